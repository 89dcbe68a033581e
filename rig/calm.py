"""Whether the machine kept time while something was tested or measured: one that stood still proves nothing.

A probe sleeps for 5 ms again and again and notes how late it wakes.
"""

import threading
import time
from types import TracebackType
from typing import Self

LATE_MS = 15.0
"""A periodic sleeper on an idle machine wakes within 1 ms; sound cards are kept 150 ms ahead, tests look at 10."""


class Probe:
    """Notes the worst oversleep, in ms, while its block runs."""

    def __init__(self) -> None:
        self.worst_ms = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="calm-probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            before = time.monotonic()
            time.sleep(0.005)
            self.worst_ms = max(self.worst_ms, (time.monotonic() - before - 0.005) * 1_000)
