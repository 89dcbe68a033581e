"""One attempt at one source: its limits, its deadline, and how it is given up. Part of fetch.

Owner: the worker thread that runs the attempt. The loop's thread may call `cancel`, nothing else: it sets a flag and
wakes whichever of the two things the worker can wait for, a descriptor or the mailbox.
Invariant: a worker waits for the outside only in `wait_for` or `receive`, so no wait outlives deadline or cancellation.
"""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from agent.messages.reasons import Reason
from agent.messages.sources import File, Relay


@dataclass(frozen=True, slots=True)
class Limits:
    """How long fetch waits: what goes wrong is reported within 5 s (design, invariant 10), so each wait ends before."""

    first_byte_s: float = 4.5
    """From the start to the body's first byte: name, connection, TLS, every redirect, head."""
    connect_s: float = 4.0
    """Of these, for the name and the TCP connection of one hop; 4G takes up to 3 s to wake its radio."""
    stall_s: float = 4.5
    """The longest pause in a body, and the window in which the least rates below hold."""
    file_bytes_per_s: int = 4_096
    """32 kbit/s: what arrives more slowly than speech is spoken is not awaited."""
    relay_bytes_per_s: int = 128
    """1 kbit/s: below every codec, above a server that drips to be thought alive."""
    lead_s: float = 3.0
    """What a relay keeps before its first byte goes into the pipe: 4G drops out for seconds."""
    reconnect_s: float = 4.0
    """How long a relay that broke is dialled anew: from its last byte on, HLS from the end of the sound it gave."""
    reconnect_every_s: float = 1.0
    """Between two dials for the same thing: fifty poles must not hammer a server that has just come back."""
    close_s: float = 2.0
    """How long `close` waits for the threads."""


class SourceError(Exception):
    """This source gives nothing (more): the reason that is reported, and one sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class ConnectionBrokenError(Exception):
    """The connection ended inside a body; the text is one sentence."""


class CancelledError(Exception):
    """The loop has given the attempt up: nobody waits for news of it."""


class GiveWayError(Exception):
    """Something was ordered meanwhile, and this can wait: it is begun again later."""


LATE_READS = 64
"""Of a socket, each 8 KiB at most, taken after a deadline."""


class Attempt:
    """One order to fetch, from the moment the loop gives it until it is answered, failed or cancelled."""

    def __init__(
        self,
        token: int,
        order: File | Relay,
        limits: Limits,
        *,
        urgent: bool = False,
        prefetch: bool = False,
        pin: bool = False,
    ) -> None:
        self.token = token
        self.order = order
        self.limits = limits
        self.urgent = urgent
        """Whether an emergency waits for it: nothing lesser keeps it waiting."""
        self.prefetch = prefetch
        """Whether nobody waits for it: it gives way to what was ordered."""
        self.pin = pin
        """Whether the file is to stay in the cache for good."""
        self.mailbox: SimpleQueue[list[str] | OSError | None] = SimpleQueue()
        """Where a resolver's answer arrives; None wakes the reader after `cancel`."""
        self.cancelled = False
        self.delivered = False
        """Whether a stream's pipe has been handed over."""
        self._gives_way = False
        self._wake_fd: int | None = None
        self._deadline_s = 0.0
        self._late_reads = 0
        self._late = SourceError(Reason.NO_ANSWER, "not begun")
        self._window_s = 0.0
        self._window_bytes = 0
        self._missing_bytes = 0
        self._alarm: tuple[float, Callable[[], None]] | None = None

    def begin(self, wake_fd: int) -> None:
        """Become the worker's whose eventfd this is; a second time after it gave way.

        Raises:
            CancelledError: it was given up while it waited.
        """
        self._wake_fd = wake_fd
        self._gives_way = False
        self.fresh_mailbox()

    def cancel(self) -> None:
        """Give up. From the loop's thread; a second time does nothing more."""
        self.cancelled = True
        self._wake()

    def give_way(self) -> None:
        """Stop for now. From any thread that has something more urgent."""
        self._gives_way = True
        self._wake()

    def fresh_mailbox(self) -> SimpleQueue[list[str] | OSError | None]:
        """For one question alone: what an earlier one is answered late is not for this one.

        Raises:
            CancelledError, GiveWayError: it was given up, which the mailbox before may have been told.
        """
        self.mailbox = SimpleQueue()
        self.check()
        return self.mailbox

    def _wake(self) -> None:
        self.mailbox.put(None)
        if self._wake_fd is not None:
            os.eventfd_write(self._wake_fd, 1)

    def check(self) -> None:
        """Go on, unless cancelled or told to give way.

        Raises:
            CancelledError, GiveWayError: it is.
        """
        if self.cancelled:
            raise CancelledError
        if self._gives_way:
            raise GiveWayError

    def expect(self, within_s: float, reason: Reason, detail: str) -> None:
        """From now on waits end `within_s` from now, with this reason."""
        self._deadline_s = time.monotonic() + within_s
        self._late_reads = 0
        self._late = SourceError(reason, detail)

    def expect_answer(self, within_s: float) -> None:
        """From now on waits end `within_s` from now, for want of an answer."""
        self.expect(within_s, Reason.NO_ANSWER, f"no answer in {within_s:.3g} s")

    def expect_still(self, reason: Reason, detail: str) -> None:
        """The deadline stays; passing it means something else."""
        self._late = SourceError(reason, detail)

    def expect_body(self, bytes_per_s: int) -> None:
        """From now on each `stall_s` must bring this rate on average."""
        self._window_bytes = int(bytes_per_s * self.limits.stall_s)
        self._open_window()

    def arrived(self, count: int) -> None:
        """Count body bytes; the deadline moves on when the window's share is there."""
        self._missing_bytes -= count
        if self._missing_bytes <= 0:
            self._open_window()

    def _open_window(self) -> None:
        self._missing_bytes = self._window_bytes
        within_s = self.limits.stall_s
        self.expect(within_s, Reason.STALLED, f"less than {self._window_bytes} bytes in {within_s:g} s")

    def receive(self, until_s: float) -> list[str]:
        """A resolver's answer, awaited until `until_s` (monotonic).

        Raises:
            OSError: the resolver's own.
            SourceError: it was too late.
            CancelledError: given up.
        """
        try:
            answer = self.mailbox.get(timeout=max(0.0, min(until_s, self._deadline_s) - time.monotonic()))
        except Empty:
            raise SourceError(Reason.NO_ANSWER, "the name server does not answer") from None
        self.check()
        if isinstance(answer, OSError):
            raise answer
        assert answer is not None, "None is put by cancel only"
        return answer

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Do this once, amid the first wait that lasts until `when_s` (monotonic).

        A wait deep inside a parser of HTTP cannot be left and taken up again. `action` raises nothing.
        """
        self._alarm = when_s, action

    def _ring(self) -> None:
        if self._alarm is not None and time.monotonic() >= self._alarm[0]:
            action, self._alarm = self._alarm[1], None
            action()

    def wait_for(self, fd: int, events: int, until_s: float | None = None) -> bool:
        """Wait until `fd` is ready (True) or `until_s` (monotonic) has come (False).

        What is ready is taken even after the deadline, a few times: a slow card must not look like a slow server.

        Raises:
            SourceError: the deadline came first.
            CancelledError: given up.
        """
        while True:
            self._ring()
            end_s = self._deadline_s if until_s is None else min(until_s, self._deadline_s)
            if self._poll(fd, events, min(end_s, self._alarm[0]) if self._alarm else end_s):
                self._count_late()
                return True
            if time.monotonic() >= self._deadline_s:
                raise self._late
            if time.monotonic() >= end_s:
                return False

    def _count_late(self) -> None:
        """A server that always has something more, and never what was asked for, ends here: `100 Continue` for ever."""
        if time.monotonic() >= self._deadline_s:
            self._late_reads += 1
            if self._late_reads > LATE_READS:
                raise self._late

    def rest(self, until_s: float, pipe_fd: int | None) -> bool:
        """Do nothing until then (monotonic), whatever the deadline; False as soon as nobody reads the pipe any more.

        Raises:
            CancelledError: given up.
        """
        while time.monotonic() < until_s:
            self._ring()
            if self._poll(pipe_fd, 0, min(until_s, self._alarm[0]) if self._alarm else until_s):
                return False
        self.check()
        return True

    def wait_for_reader(self, fd: int) -> None:
        """Wait, as long as it takes, until the pipe `fd` takes bytes or its reader is gone.

        Raises:
            CancelledError: given up.
        """
        while not self._poll(fd, select.POLLOUT, None):
            pass

    def _poll(self, fd: int | None, events: int, end_s: float | None) -> bool:
        assert self._wake_fd is not None, "begin() comes first"
        self.check()
        poll = select.poll()
        if fd is not None:
            poll.register(fd, events)
        poll.register(self._wake_fd, select.POLLIN)
        left_ms = None if end_s is None else max(0.0, end_s - time.monotonic()) * 1_000
        ready = dict(poll.poll(left_ms))
        if self._wake_fd in ready:
            # It may have been meant for the attempt before this one: the flag decides.
            os.eventfd_read(self._wake_fd)
            self.check()
        return fd in ready
