"""The time, read once a turn: since boot, by the wall, and whether the kernel believes its wall clock.

Owner thread: the loop. Reading costs some 2 us; the kernel's opinion (adjtimex, which anybody may ask) is asked once a
second, because it changes in minutes, and again where the wall clock was set.
"""

import ctypes
import os
import time
from typing import Protocol

from agent.messages.events import Now

STA_UNSYNC = 0x0040
"""timex.h: the clock is not synchronised; set at boot, and again after 9 h without news from a time server."""
OPINION_HOLDS_S = 1.0
SLEWED_WITHIN_S = 0.1
"""How far wall and boot time may part in that second unless one was set: a slew is half a millisecond of it."""
ENTROPY_BYTES = 16


class _Timex(ctypes.Structure):
    """The beginning of struct timex (timex.h); the rest is left as room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


class Kernel:
    """The kernel's three clocks, as it tells them."""

    def __init__(self) -> None:
        self._adjtimex = ctypes.CDLL(None).adjtimex
        self._timex = _Timex()

    def boot_s(self) -> float:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_s(self) -> float:
        """CLOCK_REALTIME."""
        return time.time()

    def is_synchronised(self) -> bool:
        """Whether it believes the latter. False too where it refuses to answer: no evidence is no trust."""
        self._timex.modes = 0  # ask, change nothing
        state: int = self._adjtimex(ctypes.byref(self._timex))
        return state >= 0 and not self._timex.status & STA_UNSYNC


class KernelClocks(Protocol):
    """What is asked of a kernel."""

    def boot_s(self) -> float:
        """Since boot, sleep included."""

    def wall_s(self) -> float:
        """Unix seconds."""

    def is_synchronised(self) -> bool:
        """Whether it believes them."""


class Clock:
    """Reads the time. `always_trusted`: the configuration vouches for the wall clock."""

    def __init__(self, *, always_trusted: bool, kernel: KernelClocks | None = None) -> None:
        self._always_trusted = always_trusted
        self._kernel: KernelClocks = kernel or Kernel()
        self._synchronised = always_trusted
        self._offset_s = float("nan")
        self._ask_again_s = 0.0

    def read(self) -> Now:
        """The present, with 128 fresh random bits.

        Whoever sets the wall clock takes the kernel's trust in it away in the same call, so of a wall clock that was
        set the kernel is asked anew; and after the wall was read, not before it.
        """
        mono_s, wall_s = self._kernel.boot_s(), self._kernel.wall_s()
        was_set = not abs(wall_s - mono_s - self._offset_s) <= SLEWED_WITHIN_S
        if not self._always_trusted and (was_set or mono_s >= self._ask_again_s):
            self._synchronised = self._kernel.is_synchronised()
            self._offset_s, self._ask_again_s = wall_s - mono_s, mono_s + OPINION_HOLDS_S
        return Now(
            mono_s=mono_s,
            wall_s=wall_s,
            synchronised=self._synchronised,
            entropy=int.from_bytes(os.urandom(ENTROPY_BYTES), "big"),
            vouched=self._always_trusted,
        )
