"""The process as the operating system sees it: signals and dying threads become events, and it ends when it is to end.

Hooks run on whichever thread dies or is interrupted: each builds one event and posts it (`SimpleQueue.put` may be
re-entered).
"""

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from agent.messages.events import Event, StopRequested, ThreadDied

Post = Callable[[Event], None]

_PR_SET_NAME = 15
_NAME_BYTES = 15
"""What the kernel keeps of a thread's name."""

_log = logging.getLogger(__name__)


def post_signals(post: Post) -> None:
    """SIGTERM and SIGINT ask for an orderly end."""

    def on_signal(number: int, _: FrameType | None) -> None:
        post(StopRequested(signal.Signals(number).name))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def post_deaths(post: Post) -> None:
    """A thread or callback that ends by an exception ends the process: half a node is worse than none."""

    def on_thread(died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread is not None else "unknown"
        _tell(f"thread {name} has failed", died)
        post(ThreadDied(name, f"{died.exc_type.__name__}: {died.exc_value}"))

    def on_callback(died: "sys.UnraisableHookArgs") -> None:
        _tell("a callback has failed", died)
        post(ThreadDied("callback", f"{died.exc_type.__name__}: {died.exc_value}"))

    threading.excepthook = on_thread
    sys.unraisablehook = on_callback


def _tell(what: str, died: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    error = died.exc_value or died.exc_type()
    _log.critical("%s", what, exc_info=(died.exc_type, error, died.exc_traceback))


def name_threads() -> None:
    """Let the kernel know each thread that begins from now on by its name, for `top -H` and debuggers.

    Python does so by itself from 3.14 on.
    """
    threading.setprofile(_name_thread)


def _name_thread(_: FrameType, __: str, ___: object) -> None:
    """The first that a new thread does; on that thread."""
    sys.setprofile(None)
    name = threading.current_thread().name.encode("ascii", "replace")[:_NAME_BYTES]
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name, 0, 0, 0)


def tell_of_crashes(descriptor: int) -> None:
    """Where each thread was, on this descriptor, if the process dies of SIGSEGV, or of the watchdog's SIGABRT."""
    faulthandler.enable(descriptor, all_threads=True)


def end_within(wait_s: float, code: int) -> None:
    """Whatever still hangs by then, in a library or a disk, does not keep the process from ending with this code."""
    last = threading.Timer(wait_s, os._exit, (code,))
    last.daemon = True
    last.start()


def end_now(code: int) -> NoReturn:
    """Without what libraries have left to do at an exit: a thread that hangs in one would hang there, too."""
    logging.shutdown()
    os._exit(code)
