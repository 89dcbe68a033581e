"""Threads that each do one piece of work at a time. Part of fetch.

Each has an eventfd of its own, by which what it works for wakes it. Work that finds all threads of its crew busy waits,
in the order in which it came.
"""

import functools
import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

W = TypeVar("W")


class Crew(Generic[W]):
    """`count` threads, `name-1` and so on, that `do` what they are given until `end`."""

    def __init__(self, name: str, count: int, do: Callable[[W, int], None]) -> None:
        """`do` is called with a piece of work and the eventfd of the thread that does it."""
        self._do = do
        self._waiting: SimpleQueue[W | None] = SimpleQueue()
        self._wake_fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(count)]
        self._threads = [
            threading.Thread(target=functools.partial(self._work, wake_fd), name=f"{name}-{number}", daemon=True)
            for number, wake_fd in enumerate(self._wake_fds, 1)
        ]
        for thread in self._threads:
            thread.start()

    def give(self, work: W) -> None:
        """Let this be done. Any thread."""
        self._waiting.put(work)

    def end(self) -> None:
        """Let all threads end once what was given is done."""
        for _ in self._threads:
            self._waiting.put(None)

    def join(self, until_s: float) -> None:
        """Wait for the threads, at most until then (monotonic)."""
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            # Else an eventfd may still be polled: a number given to another file would be read from.
            for wake_fd in self._wake_fds:
                os.close(wake_fd)

    def _work(self, wake_fd: int) -> None:
        while (work := self._waiting.get()) is not None:
            self._do(work, wake_fd)
