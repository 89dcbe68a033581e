"""An ear at a sink for hours: it keeps no sound, only how often and how long there was none amid it."""

import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import numpy as np

from rig.sound import RATE_HZ, SILENCE_PEAK, Daemon, boottime_s, running

BLOCK_SAMPLES: Final = RATE_HZ // 100
"""10 ms: a tone has passed several peaks by then."""
BLOCK_BYTES: Final = 2 * BLOCK_SAMPLES
READ_BYTES: Final = 1 << 16


class Silences:
    """Silence between sounds, in s, each with its end; what comes before the first and after the last is none of it."""

    def __init__(self, now_s: Callable[[], float] = boottime_s) -> None:
        self.found: list[tuple[float, float]] = []
        self._now_s = now_s
        self._rest = b""
        self._quiet_blocks: int | None = None

    def take(self, heard: bytes) -> None:
        """16 bit, mono; any number of bytes."""
        heard = self._rest + heard
        whole = len(heard) // BLOCK_BYTES * BLOCK_BYTES
        self._rest = heard[whole:]
        blocks = np.frombuffer(heard[:whole], "<i2").astype(np.int32).reshape(-1, BLOCK_SAMPLES)
        for quiet in np.abs(blocks).max(axis=1, initial=0) <= SILENCE_PEAK:
            if quiet:
                self._quiet_blocks = None if self._quiet_blocks is None else self._quiet_blocks + 1
                continue
            if self._quiet_blocks:
                self.found.append((self._now_s(), self._quiet_blocks * BLOCK_SAMPLES / RATE_HZ))
            self._quiet_blocks = 0


class Gaps:
    """Silences at a sink. One thread reads parec; their list only grows, with one writer."""

    def __init__(self, sound: Daemon) -> None:
        self._sound = sound
        self._silences = Silences()

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
    def silences(self) -> list[tuple[float, float]]:
        """When each ended (CLOCK_BOOTTIME), and its length."""
        return self._silences.found

    @property
    def ended(self) -> bool:
        """Whether nobody listens any more: the sound server is gone."""
        return self._child.poll() is not None

    def _read(self) -> None:
        assert self._child.stdout is not None
        while chunk := os.read(self._child.stdout.fileno(), READ_BYTES):
            self._silences.take(chunk)
