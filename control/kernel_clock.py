"""Whether this machine's kernel believes its own wall clock: a time server has set it, and not long ago.

Any thread. The agent asks its own kernel the same (`agent.clock`): who tells others the time asks no less of himself.
"""

import ctypes

STA_UNSYNC = 0x0040
"""timex.h: the clock is not synchronised; set at boot, and again after 9 h without news from a time server."""


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


def is_synchronised() -> bool:
    """Ask adjtimex, which anybody may. False too where the kernel does not answer: no evidence is no trust."""
    timex = _Timex(modes=0)  # ask, change nothing
    state: int = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    return state >= 0 and not timex.status & STA_UNSYNC
