"""An ear at a sink for hours: it keeps no sound, only how often and how long there was none amid it."""

import os
import subprocess
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import numpy as np

from rig.sound import RATE_HZ, SILENCE_PEAK, Daemon, boottime_s, running

BLOCK_SAMPLES: Final = RATE_HZ // 100
"""10 ms: a tone has passed several peaks by then."""
READ_BYTES: Final = 1 << 16


class Gaps:
    """Silences between sounds at a sink, in s, each with its end (CLOCK_BOOTTIME). One thread reads parec.

    `silences` only grows, with one writer. What comes before the first sound and after the last is none of it.
    """

    def __init__(self, sound: Daemon) -> None:
        self._sound = sound
        self.silences: list[tuple[float, float]] = []
        self._quiet_blocks: int | None = None

    def __enter__(self) -> Self:
        command = ["parec", "--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=200"]
        with ExitStack() as stack:
            self._child = stack.enter_context(
                running(
                    [*command, "-d", f"{self._sound.sinks[0]}.monitor"],
                    environment=self._sound.environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )
            self._thread = threading.Thread(target=self._read, name="gaps", daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._child.terminate()
        self._thread.join(5)
        self._stack.close()

    @property
    def ended(self) -> bool:
        """Whether nobody listens any more: the sound server is gone."""
        return self._child.poll() is not None

    def _read(self) -> None:
        assert self._child.stdout is not None
        rest = b""
        while chunk := os.read(self._child.stdout.fileno(), READ_BYTES):
            rest += chunk
            whole = len(rest) // (2 * BLOCK_SAMPLES) * 2 * BLOCK_SAMPLES
            self._take(rest[:whole])
            rest = rest[whole:]

    def _take(self, heard: bytes) -> None:
        blocks = np.frombuffer(heard, "<i2").astype(np.int32).reshape(-1, BLOCK_SAMPLES)
        for quiet in np.abs(blocks).max(axis=1, initial=0) <= SILENCE_PEAK:
            if quiet:
                self._quiet_blocks = None if self._quiet_blocks is None else self._quiet_blocks + 1
                continue
            if self._quiet_blocks:
                self.silences.append((boottime_s(), self._quiet_blocks * BLOCK_SAMPLES / RATE_HZ))
            self._quiet_blocks = 0
