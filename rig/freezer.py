"""One thread of a process stopped where it is, while all others go on: so a library, a driver or a disk hangs.

By ptrace (Linux, x86-64 and arm64 alike), which stops a single thread; the process must be ours or a child's. It is
stopped where it waits in the kernel for something to happen, and not before: there it does not hold the interpreter's
lock, with which all threads of Python would stand still.
"""

import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_DETACH: Final = 17
_CONT: Final = 7
_WALL: Final = 0x40000000
PATIENCE_S: Final = 20.0
LOOK_S: Final = 0.02
AGAIN_S: Final = 0.0005
_WAITS: Final = {
    "x86_64": frozenset({7, 23, 35, 202, 230, 232, 270, 271, 281}),
    "aarch64": frozenset({22, 72, 73, 98, 101, 115}),
}
"""System calls that wait: poll, select, nanosleep, futex, epoll_wait and their kin (asm/unistd.h of each machine)."""

_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_ptrace.restype = ctypes.c_long


def thread_of(pid: int, name: str) -> int:
    """The thread of this process with this name, its main thread for an empty one. Threads of ours carry their names.

    Raises:
        LookupError: there is none.
    """
    if not name:
        return pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name[:15]:
            return int(task.name)
    raise LookupError(f"process {pid} has no thread {name}")


class Frozen:
    """Thread `tid` stands still from `__enter__` to `__exit__`. Only the tracer may let it go: a thread of its own.

    With `in_python` it is stopped in the interpreter's own code, whose lock it holds: so a C extension hangs that never
    gave it up.
    """

    def __init__(self, tid: int, *, in_python: bool = False) -> None:
        self._tid = tid
        self._is_there: Callable[[int], bool] = _runs_python if in_python else _waits
        self._let_go = threading.Event()
        self._told: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()
        self._tracer = threading.Thread(target=self._trace, name="freezer", daemon=True)

    def __enter__(self) -> Self:
        self._tracer.start()
        error = self._told.get(timeout=2 * PATIENCE_S)
        if error is not None:
            raise error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._let_go.set()
        self._tracer.join(PATIENCE_S)

    def _trace(self) -> None:
        try:
            _call(_SEIZE, self._tid)
            self._stop_there()
        except OSError as error:
            self._told.put(error)
            return
        self._told.put(None)
        while not self._let_go.wait(LOOK_S):
            if _has_ended(self._tid):
                return
        _ptrace(_DETACH, self._tid, None, None)

    def _stop_there(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            _call(_INTERRUPT, self._tid)
            _wait_for_stop(self._tid)
            if self._is_there(self._tid):
                return
            _call(_CONT, self._tid)
            time.sleep(AGAIN_S)
        raise TimeoutError(f"thread {self._tid} never is where it was to be stopped")


def _waits(tid: int) -> bool:
    """Whether this thread, which is stopped, was in a system call that waits."""
    call, *_ = _at(tid)
    return call in _WAITS[os.uname().machine]


def _runs_python(tid: int) -> bool:
    """Whether it was in the interpreter's code, and in no system call."""
    call, *_, counter = _at(tid)
    return call < 0 and any(counter in code for code in _interpreter(tid))


def _at(tid: int) -> list[int]:
    """Number of the system call, or -1; its arguments; stack pointer and program counter (proc(5))."""
    return [int(word, 0) for word in Path(f"/proc/{tid}/syscall").read_text().split()]


def _interpreter(tid: int) -> Iterator[range]:
    """Where its code is mapped: the binary or its library."""
    for line in Path(f"/proc/{tid}/maps").read_text().splitlines():
        addresses, access, *_, file = line.split()
        if "x" in access and Path(file).name.startswith(("python", "libpython")):
            start, end = (int(each, 16) for each in addresses.split("-"))
            yield range(start, end)


def _call(request: int, tid: int) -> None:
    if _ptrace(request, tid, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of thread {tid}: {os.strerror(ctypes.get_errno())}")


def _has_ended(tid: int) -> bool:
    """A thread that is traced, and dead, is there until its tracer has looked; and so is its whole process."""
    found, status = os.waitpid(tid, os.WNOHANG | _WALL)
    return found == tid and not os.WIFSTOPPED(status)


def _wait_for_stop(tid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found, _ = os.waitpid(tid, os.WNOHANG | _WALL)
        if found == tid:
            return
        time.sleep(AGAIN_S)
    raise TimeoutError(f"thread {tid} does not stop")
