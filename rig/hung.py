"""One thread of a living process held where it is, while all others go on: ptrace(2), as a debugger does it.

What a loop looks like from outside that hangs in the kernel. Whoever holds it must be one thread of ours from beginning
to end, and hears of the process's death before its own parent does.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SEIZE, _INTERRUPT, _CONTINUE, _DETACH = 0x4206, 0x4207, 7, 17
"""PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_CONT, PTRACE_DETACH (linux/ptrace.h)."""
_ALL: Final = 0x4000_0000
"""__WALL of waitpid(2): threads too."""
_AT_WORK: Final = ("-1", "running")
"""In /proc/PID/syscall: not in the kernel, so perhaps with Python's lock in its hands, which would stop all others."""
_TRIES: Final = 500

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def _ask(request: int, thread: int) -> None:
    if _ptrace(request, thread, None, None) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def held_while_it_waits(thread: int) -> Iterator[None]:
    """Hold this thread, caught in a system call; let go at the end, unless its process has ended.

    Raises:
        OSError: no such thread, or not ours to hold.
        TimeoutError: it never waits.
    """
    _ask(_SEIZE, thread)
    try:
        for _ in range(_TRIES):
            _ask(_INTERRUPT, thread)
            os.waitpid(thread, _ALL)
            if Path(f"/proc/{thread}/syscall").read_text().split()[0] not in _AT_WORK:
                break
            _ask(_CONTINUE, thread)
        else:
            raise TimeoutError(f"thread {thread} is never seen to wait")
        yield
    finally:
        with suppress(OSError):
            _ask(_DETACH, thread)


def wait_killed(thread: int) -> signal.Signals:
    """By which signal the held thread's process has been killed, waited for."""
    while True:
        _, status = os.waitpid(thread, _ALL)
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status))
