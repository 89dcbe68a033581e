"""How long this machine stood still, measured: a bound on time is a bound on our share of it.

A processor of an overbooked host stops for tenths of a second at a time, and tells its guest nothing. One sleeper on
each processor, at real-time priority where that is allowed (so that our own load does not delay it), notes every
time it was woken late. Tests take what was stolen from a span before they judge it; benches print it.
"""

import os
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rig.sound import boottime_s

TICK_S = 0.01
LATE_S = 0.005
"""A sleeper on an idle machine wakes within 1 ms, one that shares its interpreter within the 5 ms of a switch."""

Span = tuple[float, float]


class _Sleeper:
    """One thread on one processor. Its list of stalls only grows, and has one writer."""

    def __init__(self, processor: int) -> None:
        self.stalls: list[Span] = []
        self.seen_s = boottime_s()
        self.stopping = False
        self._processor = processor
        self.thread = threading.Thread(target=self._run, name=f"calm-{processor}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with suppress(OSError):  # a processor that this process may not use is not ours to watch
            os.sched_setaffinity(0, {self._processor})
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        while not self.stopping:
            due_s = boottime_s() + TICK_S
            time.sleep(TICK_S)
            woken_s = boottime_s()
            if woken_s - due_s > LATE_S:
                self.stalls.append((due_s, woken_s))
            self.seen_s = woken_s


def _joined(spans: list[Span]) -> list[Span]:
    """The same time, without overlaps, in order."""
    joined: list[Span] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end_s, joined[-1][1]))
        else:
            joined.append((start_s, end_s))
    return joined


class Machine:
    """Watches every processor while its block runs. Times are CLOCK_BOOTTIME in s."""

    def __enter__(self) -> Self:
        self._sleepers = [_Sleeper(processor) for processor in sorted(os.sched_getaffinity(0))]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for sleeper in self._sleepers:
            sleeper.stopping = True
        for sleeper in self._sleepers:
            sleeper.thread.join()

    def _stalls(self, since_s: float, until_s: float) -> list[Span]:
        while min(sleeper.seen_s for sleeper in self._sleepers) < until_s:
            time.sleep(TICK_S)  # a stall is known when it is over
        spans = [span for sleeper in self._sleepers for span in sleeper.stalls]
        clipped = [(max(start_s, since_s), min(end_s, until_s)) for start_s, end_s in spans]
        return _joined([span for span in clipped if span[0] < span[1]])

    def stalled_s(self, since_s: float, until_s: float) -> float:
        """How much of this span any processor stood still."""
        return sum(end_s - start_s for start_s, end_s in self._stalls(since_s, until_s))

    def worst_s(self, since_s: float, until_s: float) -> float:
        """The longest time at a stretch."""
        return max((end_s - start_s for start_s, end_s in self._stalls(since_s, until_s)), default=0.0)

    def ours_s(self, since_s: float, until_s: float) -> float:
        """What is left of this span without the machine's stalls: what a test may judge."""
        return until_s - since_s - self.stalled_s(since_s, until_s)
