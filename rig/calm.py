"""How long this machine stood still, measured: a bound on time is a bound on our share of it.

A processor of an overbooked host stops for tenths of a second at a time, and tells its guest nothing. A process of its
own (`python -m rig.calm`: nothing that a test computes delays it) keeps one sleeper on each processor, at real-time
priority where that is allowed, and tells every time one was woken late. Tests take what was stolen from a span before
they judge it; benches print it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rig.sound import boottime_s

TICK_S = 0.01
LATE_S = 0.003
"""A sleeper on an idle machine wakes within 1 ms."""
TELL_TICKS = 5
"""Also without a stall each sleeper tells this often how far it has watched."""
START_S = 20.0

Span = tuple[float, float]


def _sleep_for_ever(processor: int) -> None:
    """Write `PROCESSOR FROM TO` for each stall, and without one (FROM = TO) every few ticks."""
    with suppress(OSError):  # a processor that this process may not use is not ours to watch
        os.sched_setaffinity(0, {processor})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ticks = 0
    while True:
        due_s = boottime_s() + TICK_S
        time.sleep(TICK_S)
        woken_s = boottime_s()
        ticks += 1
        late = woken_s - due_s > LATE_S
        if late or ticks % TELL_TICKS == 0:
            try:
                os.write(1, f"{processor} {due_s if late else woken_s} {woken_s}\n".encode())
            except BrokenPipeError:  # whoever asked is gone: nobody else would end this process
                os._exit(0)


def _main() -> None:
    for processor in sorted(os.sched_getaffinity(0)):
        threading.Thread(target=_sleep_for_ever, args=(processor,), daemon=True).start()
    signal.pause()


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
    """Watches every processor while its block runs. Times are CLOCK_BOOTTIME in s.

    One thread reads what the sleepers tell; lists only grow and have one writer.
    """

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._seen_s = dict.fromkeys(os.sched_getaffinity(0), 0.0)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rig.calm"], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._read, name="calm", daemon=True)
        self._thread.start()
        self._wait_seen(boottime_s())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                processor, start_s, end_s = line.split()
                if start_s != end_s:
                    self._spans.append((float(start_s), float(end_s)))
                self._seen_s[int(processor)] = float(end_s)

    def _wait_seen(self, until_s: float) -> None:
        """A stall is known when it is over. Raises RuntimeError if the sleepers are gone."""
        deadline_s = boottime_s() + START_S
        while min(self._seen_s.values()) < until_s:
            if self._process.poll() is not None or boottime_s() > deadline_s:
                raise RuntimeError("nobody watches the machine any more")
            time.sleep(TICK_S)

    def _stalls(self, since_s: float, until_s: float) -> list[Span]:
        self._wait_seen(until_s)
        clipped = [(max(start_s, since_s), min(end_s, until_s)) for start_s, end_s in list(self._spans)]
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


if __name__ == "__main__":
    _main()
