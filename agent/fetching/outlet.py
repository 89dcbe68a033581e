"""The pipe to whoever decodes: its head shown first, a lead kept back, then everything as it comes. Part of fetch.

Owner: the worker thread whose attempt it is. Invariants: the pipe holds at most PIPE_BYTES, and while it is full the
network is not read; the reading end is the receiver's from `deliver` on, the writing end is closed here, always.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Self

from agent.fetching.attempt import Attempt

PIPE_BYTES = 1024 * 1024
"""The pipe's size: what an unprivileged process may ask for; a minute at 128 kbit/s."""
HEAD_BYTES = 4_096
"""Most of a stream's beginning that is shown for naming its format."""

Deliver = Callable[[int, bytes], None]
"""Hand over the reading end and the head."""


class Outlet:
    """The pipe's writing end, for as long as the `with` block lasts; nothing is made before `open`."""

    def __init__(self, attempt: Attempt, deliver: Deliver) -> None:
        self._attempt = attempt
        self._deliver = deliver
        self._enough_bytes = 0
        self._lead: bytearray | None = None
        self.fd: int | None = None
        """None until `open`."""
        self.gone = False
        """Nobody reads any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    @property
    def opened(self) -> bool:
        """Whether somebody has been given the reading end."""
        return self.fd is not None

    def open(self, head: bytes, *, enough_bytes: int = 0) -> None:
        """Make the pipe and hand it over; what is put is kept until there are `enough_bytes`, or until `release`.

        Raises:
            CancelledError: given up.
        """
        read_fd, self.fd = os.pipe()
        try:
            os.set_blocking(self.fd, False)
            # Refused to a user with very many pipes: then it holds 64 KiB, and the network waits sooner.
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            self._attempt.check()
        except BaseException:
            os.close(read_fd)
            raise
        self._enough_bytes = enough_bytes
        self._lead = bytearray() if enough_bytes else None
        self._attempt.delivered = True
        self._deliver(read_fd, head[:HEAD_BYTES])

    def put(self, data: bytes) -> None:
        """Pass on, or add to the lead. Waits while the pipe is full.

        Raises:
            CancelledError: given up.
        """
        if self._lead is None:
            self._write(data)
            return
        self._lead += data
        if len(self._lead) >= self._enough_bytes:
            self.release()

    def release(self) -> None:
        """Let the lead go. Idempotent; raises nothing but CancelledError, because it is called amid a wait."""
        lead, self._lead = self._lead, None
        if lead:
            self._write(lead)

    def rest(self, until_s: float) -> bool:
        """Do nothing until then (monotonic); False as soon as nobody reads any more.

        Raises:
            CancelledError: given up.
        """
        self.gone = self.gone or not self._attempt.rest(until_s, self.fd)
        return not self.gone

    def _write(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        try:
            while left and not self.gone:
                left = self._write_some(left)
        except BrokenPipeError:
            self.gone = True

    def _write_some(self, left: memoryview) -> memoryview:
        assert self.fd is not None, "open() comes first"
        try:
            return left[os.write(self.fd, left) :]
        except BlockingIOError:
            self._attempt.wait_for_reader(self.fd)
            # The server was not listened to meanwhile: its time begins anew.
            self._attempt.expect_body(self._attempt.limits.relay_bytes_per_s)
            return left
