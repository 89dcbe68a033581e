"""The time, read once a turn: since boot, by the wall, and whether the kernel believes its wall clock.

Owner thread: the loop. Reading costs some 2 us; the kernel's opinion (adjtimex, which anybody may ask) is asked at most
once a second, because it changes in minutes.
"""

import ctypes
import os
import time

from agent.messages.events import Now

STA_UNSYNC = 0x0040
"""timex.h: the clock is not synchronised; set at boot, and again after 9 h without news from a time server."""
OPINION_HOLDS_S = 1.0
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


class Clock:
    """Reads the time. `always_trusted`: the configuration vouches for the wall clock."""

    def __init__(self, *, always_trusted: bool) -> None:
        self._always_trusted = always_trusted
        self._adjtimex = ctypes.CDLL(None).adjtimex
        self._timex = _Timex()
        self._synchronised = always_trusted
        self._ask_again_s = 0.0

    def read(self) -> Now:
        """The present, with 128 fresh random bits."""
        mono_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if mono_s >= self._ask_again_s:
            self._ask_again_s = mono_s + OPINION_HOLDS_S
            self._synchronised = self._always_trusted or self._kernel_agrees()
        return Now(
            mono_s=mono_s,
            wall_s=time.time(),
            synchronised=self._synchronised,
            entropy=int.from_bytes(os.urandom(ENTROPY_BYTES), "big"),
        )

    def _kernel_agrees(self) -> bool:
        """False too where the kernel refuses to answer: no evidence is no trust."""
        self._timex.modes = 0  # ask, change nothing
        state: int = self._adjtimex(ctypes.byref(self._timex))
        return state >= 0 and not self._timex.status & STA_UNSYNC
