"""A name server that knows one name, or not: Debian's dnsmasq on port 53 of an address of the rig's network."""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.sound import running, wait_until

PORT: Final = 53
ZONE: Final = "example"
"""RFC 2606: whoever asks for a name that is not known here hears that there is none, and nobody else is asked."""


class Resolver:
    """Answers at `address` while it is open."""

    def __init__(self, folder: Path, address: str) -> None:
        self.address = address
        self._hosts = folder / "hosts"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._hosts.parent.mkdir(parents=True, exist_ok=True)
        self._hosts.write_text("")
        command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--user=root"]
        command += ["--no-resolv", "--no-hosts", f"--local=/{ZONE}/", f"--addn-hosts={self._hosts}"]
        command += [f"--port={PORT}", f"--listen-address={self.address}", "--bind-interfaces"]
        with ExitStack() as stack:
            self._child = stack.enter_context(running(command, environment=os.environ))
            wait_until(lambda: self._listens() or self._child.poll() is not None, what="the name server")
            if self._child.poll() is not None:
                raise OSError(f"dnsmasq ended with {self._child.returncode}: is {self.address}:{PORT} taken?")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def know(self, name: str, address: str) -> None:
        """From now on there is this name, and no other."""
        self._hosts.write_text(f"{address} {name}\n")
        self._child.send_signal(signal.SIGHUP)

    def forget(self) -> None:
        """From now on there is none."""
        self._hosts.write_text("")
        self._child.send_signal(signal.SIGHUP)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((self.address, PORT), timeout=1.0):
                return True
        except OSError:
            return False
