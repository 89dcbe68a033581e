"""A sound card in memory that keeps the contract of `agent.card.alsa.Pcm`, for what a real one cannot be asked to do.

It plays 10 ms (or `step_samples`) each time it is looked at, so its time is the writer's turns and a busy machine
changes nothing; `now_s` reads that time, and `time_of` says when a sample sounded by it. Its crystal may be off by
`ppm`, and what it says of its delay be late by `jitter`. All that has sounded is in `sounded`; faults are put into
`faults` and come out one at each look. `hold_after` makes one look take as long as the test needs.
"""

import errno
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from agent.card.alsa import AlsaError, Pcm, UnderrunError

RATE_HZ = 48_000
STEP_SAMPLES = 480
STEP_S = STEP_SAMPLES / RATE_HZ


class SimulatedPcm(Pcm):
    """One card, reopened as often as wanted."""

    def __init__(  # a simulator is made before it is opened
        self,
        *,
        delay_samples: int = 240,
        ppm: float = 0.0,
        jitter: Callable[[], int] = lambda: 0,
        step_samples: int = STEP_SAMPLES,
    ) -> None:
        self._step = step_samples
        self.extra_delay = delay_samples
        self.buffer_samples = 9_600
        self.sounded = bytearray()
        self.faults: SimpleQueue[int] = SimpleQueue()
        self.opened = self.closed = self.prepared = 0
        self.refuse_with = 0
        self.refused = 0
        self.looks = 0
        self.stuck = False
        self.late_writes = 0
        """So many writes to the running card come when it has sounded all that it had: the machine is slow."""
        self._rate = 1 + ppm / 1e6
        self._jitter = jitter
        self._began_s = 1_000.0
        self._owed = 0.0
        self._stretches: list[tuple[int, float]] = []
        self._hold_at: int | None = None
        self._held, self._go = threading.Event(), threading.Event()
        self._buffer = bytearray()
        self._running = False

    def open(self, *, device: str, rate_hz: int, period_samples: int, buffer_samples: int, start_samples: int) -> Pcm:
        """Ready, and silent; a fault where `refuse_with` names one."""
        if self.refuse_with:
            self.refused += 1
            raise AlsaError(self.refuse_with, f"{device}: refused: {os.strerror(self.refuse_with)}")
        assert (rate_hz, period_samples) == (48_000, 480)
        self.opened += 1
        self._start = start_samples
        self.buffer_samples = buffer_samples
        self._buffer.clear()
        self._running = False
        return self

    def now_s(self) -> float:
        """The simulated instant: of the newest look."""
        return self._began_s + self.looks * self._step / RATE_HZ

    def time_of(self, sample: int) -> float:
        """When this sample of `sounded` left the card."""
        first, at_s = next(stretch for stretch in reversed(self._stretches) if stretch[0] <= sample)
        return at_s + ((sample - first) / self._rate + self.extra_delay) / RATE_HZ

    def write(self, samples: bytes) -> int:
        """As the contract says."""
        if self._running and self.late_writes:
            self.late_writes -= 1
            self._fail(errno.EPIPE)
        room = self.buffer_samples - len(self._buffer) // 2
        taken = min(room, len(samples) // 2)
        self._buffer += samples[: taken * 2]
        if not self._running and len(self._buffer) // 2 >= self._start:
            self._running = True
            self._owed = 0.0
            self._stretches.append((len(self.sounded) // 2, self.now_s()))
        return taken

    def hold_after(self, samples: int) -> None:
        """Let the look at which so many more have sounded wait for `release`."""
        self._held.clear()
        self._go.clear()
        self._hold_at = len(self.sounded) // 2 + samples

    def wait_held(self) -> None:
        """Until the look that is held has begun."""
        assert self._held.wait(60)

    def release(self) -> None:
        """Let the held look end."""
        self._hold_at = None
        self._go.set()

    def look(self) -> tuple[int, int]:
        """One step of time; what is in the buffer and how far behind the card is."""
        if self._hold_at is not None and len(self.sounded) // 2 >= self._hold_at:
            self._held.set()
            assert self._go.wait(60)
        self.looks += 1
        if not self.faults.empty():
            self._fail(self.faults.get())
        if self._running and not self.stuck:
            self._play()
        queued = len(self._buffer) // 2
        return queued, queued + self.extra_delay + self._jitter()

    def stand_still(self, turns: int) -> None:
        """So many turns in which the card plays and nobody looks; it may run dry."""
        for _ in range(turns):
            self.looks += 1
            if self._running:
                try:
                    self._play()
                except UnderrunError:
                    self.faults.put(errno.EPIPE)

    def _play(self) -> None:
        self._owed += self._step * self._rate
        step = int(self._owed)
        self._owed -= step
        if len(self._buffer) // 2 <= step:
            self._fail(errno.EPIPE)
        self.sounded += self._buffer[: step * 2]
        del self._buffer[: step * 2]

    def _fail(self, number: int) -> None:
        if number == errno.EPIPE:
            self.sounded += self._buffer  # it plays what it has, then it is dry
            self._buffer.clear()
            self._running = False
            raise UnderrunError(number, "simulated underrun")
        raise AlsaError(number, "simulated fault")

    def drop(self) -> None:
        """As the contract says."""
        self._buffer.clear()
        self._running = False

    def prepare(self) -> None:
        """As the contract says, and counted."""
        self.prepared += 1

    def close(self) -> None:
        """Counted."""
        self.closed += 1
