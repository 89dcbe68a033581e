"""A sound card in memory that keeps the contract of `agent.card.alsa.Pcm`, for what a real one cannot be asked to do.

It plays 10 ms each time it is looked at, so its time is the writer's turns and a busy machine changes nothing. All that
has sounded is in `sounded`; faults are put into `faults` and come out one at each look. `hold_after` makes one look
take as long as the test needs.
"""

import errno
import threading
from queue import SimpleQueue

from agent.card.alsa import AlsaError, Pcm, UnderrunError

STEP_SAMPLES = 480


class SimulatedPcm(Pcm):
    """One card, reopened as often as wanted."""

    def __init__(self, *, delay_samples: int = 240) -> None:  # a simulator is made before it is opened
        self.extra_delay = delay_samples
        self.buffer_samples = 9_600
        self.sounded = bytearray()
        self.faults: SimpleQueue[int] = SimpleQueue()
        self.opened = self.closed = self.prepared = 0
        self.refuse_with = 0
        self.refused = 0
        self.looks = 0
        self.stuck = False
        self._hold_at: int | None = None
        self._held, self._go = threading.Event(), threading.Event()
        self._buffer = bytearray()
        self._running = False

    def open(self, *, device: str, rate_hz: int, period_samples: int, buffer_samples: int, start_samples: int) -> Pcm:
        if self.refuse_with:
            self.refused += 1
            raise AlsaError(self.refuse_with, f"{device}: refused")
        assert (rate_hz, period_samples) == (48_000, 480)
        self.opened += 1
        self._start = start_samples
        self.buffer_samples = buffer_samples
        self._buffer.clear()
        self._running = False
        return self

    def write(self, samples: bytes) -> int:
        room = self.buffer_samples - len(self._buffer) // 2
        taken = min(room, len(samples) // 2)
        self._buffer += samples[: taken * 2]
        self._running = self._running or len(self._buffer) // 2 >= self._start
        return taken

    def hold_after(self, samples: int) -> None:
        """Let the look at which so many more have sounded wait for `release`."""
        self._held.clear()
        self._go.clear()
        self._hold_at = len(self.sounded) // 2 + samples

    def wait_held(self) -> None:
        assert self._held.wait(60)

    def release(self) -> None:
        self._hold_at = None
        self._go.set()

    def look(self) -> tuple[int, int]:
        self.looks += 1
        if self._hold_at is not None and len(self.sounded) // 2 >= self._hold_at:
            self._held.set()
            assert self._go.wait(60)
        if not self.faults.empty():
            self._fail(self.faults.get())
        if self._running and not self.stuck:
            if len(self._buffer) // 2 <= STEP_SAMPLES:
                self._fail(errno.EPIPE)
            self.sounded += self._buffer[: STEP_SAMPLES * 2]
            del self._buffer[: STEP_SAMPLES * 2]
        queued = len(self._buffer) // 2
        return queued, queued + self.extra_delay

    def _fail(self, number: int) -> None:
        if number == errno.EPIPE:
            self.sounded += self._buffer  # it plays what it has, then it is dry
            self._buffer.clear()
            self._running = False
            raise UnderrunError(number, "simulated underrun")
        raise AlsaError(number, "simulated fault")

    def drop(self) -> None:
        self._buffer.clear()
        self._running = False

    def prepare(self) -> None:
        self.prepared += 1

    def close(self) -> None:
        self.closed += 1
