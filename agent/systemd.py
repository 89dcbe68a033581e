"""Telling systemd how we are (sd_notify), in a page and without a dependency.

Owner thread: the loop. A datagram that cannot be sent is dropped: systemd's own watchdog is the net below. Without
NOTIFY_SOCKET (a terminal, a test) every verb does nothing.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

MAX_STATUS_CHARACTERS = 200
"""One line of `systemctl status`."""
MICROSECONDS = 1_000_000


class Systemd:
    """The service manager that started us, if any."""

    def __init__(self, *, environment: Mapping[str, str]) -> None:
        self._socket: socket.socket | None = None
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # an abstract socket: no file, its name begins with a zero byte
            self._address = "\0" + self._address[1:]
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.watchdog_interval_s = _watchdog_interval_s(environment)
        """How often to call `watchdog`: half of what systemd allows; None where nobody watches."""

    def ready(self) -> None:
        """The node can take orders."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """The loop has made real progress."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for a person."""
        self._send(f"STATUS={' '.join(text.split())[:MAX_STATUS_CHARACTERS]}")

    def stopping(self) -> None:
        """The amplifiers are off, the rest is being closed."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Nothing more is said; may be called again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: str) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(line.encode(), self._address)


def _watchdog_interval_s(environment: Mapping[str, str]) -> float | None:
    allowed_us = environment.get("WATCHDOG_USEC", "")
    meant_for = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not allowed_us.isdecimal() or int(allowed_us) == 0 or meant_for != str(os.getpid()):
        return None
    return int(allowed_us) / MICROSECONDS / 2
