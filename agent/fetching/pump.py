"""A relay from the network into a pipe: head first, then a lead of sound, then as it comes. Part of fetch.

Owner: the worker thread whose attempt it is. Invariants: the pipe holds at most PIPE_BYTES, and while it is full the
network is not read; the reading end is the receiver's from `deliver` on, the writing end is closed here, always.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from http import HTTPStatus

from agent.fetching.attempt import Attempt, ConnectionBrokenError, SourceError
from agent.fetching.download import Answer, http_error
from agent.messages.reasons import Reason

HEAD_BYTES = 4_096
"""Most of a stream's beginning that is shown for naming its format."""
HEAD_ENOUGH_BYTES = 512
"""Least of it, unless the stream is shorter: names every format we take; half a second of the slowest relay."""
LEAD_BYTES = 128 * 1024
"""A lead that needs no waiting where the server does not tell its bit rate: 3.3 s of MP3 at its highest, 320 kbit/s."""
PIPE_BYTES = 1024 * 1024
"""The pipe's size: what an unprivileged process may ask for; a minute at 128 kbit/s."""
READ_BYTES = 16 * 1024
"""Read at once: a second at 128 kbit/s."""
MAX_TOLD_KBIT_S = 2_000
"""Above this a server's word about its bit rate is not believed."""

_PLAYLISTS = frozenset(
    {
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
        "audio/x-scpls",
    }
)

Deliver = Callable[[int, bytes], None]
"""Hand over the reading end and the head."""


def pump(attempt: Attempt, answer: Answer, deliver: Deliver) -> str | None:
    """Carry the body to whoever reads; how it ended, or None where the reader went away.

    Raises:
        SourceError: `http_error`, `unsupported_format`, `stalled`.
        CancelledError: given up.
    """
    _require_stream(answer)
    body = _Body(attempt, answer)
    head = body.read_head()
    if not head:
        return body.end
    read_fd, write_fd = os.pipe()
    delivered = False
    try:
        os.set_blocking(write_fd, False)
        # Refused to a user with very many pipes: then it holds 64 KiB, and the network waits sooner.
        with contextlib.suppress(OSError):
            fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        attempt.check()
        delivered = True
        deliver(read_fd, head[:HEAD_BYTES])
        outlet = _Outlet(attempt, write_fd, enough_bytes=_lead_bytes(answer, attempt.limits.lead_s))
        attempt.at(body.first_s + attempt.limits.lead_s, outlet.release)
        data = head
        while data and not outlet.gone:
            outlet.put(data)
            data = body.read()
        outlet.release()
    finally:
        os.close(write_fd)
        if not delivered:
            os.close(read_fd)
    return None if outlet.gone else body.end


def _require_stream(answer: Answer) -> None:
    if answer.status != HTTPStatus.OK:
        raise http_error(answer.status)
    kind = answer.header("Content-Type").partition(";")[0].strip().lower()
    if kind in _PLAYLISTS:
        raise SourceError(Reason.UNSUPPORTED_FORMAT, f"{kind} is a playlist: name the stream itself")


def _lead_bytes(answer: Answer, lead_s: float) -> int:
    """What makes the lead without waiting: a burst from the server is seconds of sound at once.

    `icy-br` is Icecast's and Shoutcast's word for kbit/s; a false one shortens or lengthens the lead, no more.
    """
    told = answer.header("icy-br").partition(",")[0].strip()
    kbit_s = int(told) if told.isascii() and told.isdecimal() and len(told) <= len(str(MAX_TOLD_KBIT_S)) else 0
    return min(LEAD_BYTES, int(lead_s * kbit_s * 125)) if 0 < kbit_s <= MAX_TOLD_KBIT_S else LEAD_BYTES


class _Body:
    """The body, read until its end; a broken connection is an end like any other, with other words."""

    def __init__(self, attempt: Attempt, answer: Answer) -> None:
        self._attempt = attempt
        self._answer = answer
        self.first_s = 0.0
        self.end = "the stream has ended"

    def read(self) -> bytes:
        try:
            data = self._answer.read(READ_BYTES)
        except ConnectionBrokenError as broken:
            self.end = f"the connection broke: {broken}"
            return b""
        self._attempt.arrived(len(data))
        return data

    def read_head(self) -> bytes:
        """At least HEAD_ENOUGH_BYTES, or all there is."""
        head = self.read()
        self.first_s = time.monotonic()
        self._attempt.expect_body(self._attempt.limits.relay_bytes_per_s)
        while head and len(head) < HEAD_ENOUGH_BYTES and (data := self.read()):
            head += data
        return head


class _Outlet:
    """The pipe's writing end: keeps the lead back, then passes everything on as it comes."""

    def __init__(self, attempt: Attempt, fd: int, *, enough_bytes: int) -> None:
        self._attempt = attempt
        self._fd = fd
        self._enough_bytes = enough_bytes
        self._lead: bytearray | None = bytearray()
        self.gone = False
        """Nobody reads any more."""

    def put(self, data: bytes) -> None:
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

    def _write(self, data: bytes | bytearray) -> None:
        left = memoryview(data)
        try:
            while left and not self.gone:
                left = self._write_some(left)
        except BrokenPipeError:
            self.gone = True

    def _write_some(self, left: memoryview) -> memoryview:
        try:
            return left[os.write(self._fd, left) :]
        except BlockingIOError:
            self._attempt.wait_for_reader(self._fd)
            # The server was not listened to meanwhile: its time begins anew.
            self._attempt.expect_body(self._attempt.limits.relay_bytes_per_s)
            return left
