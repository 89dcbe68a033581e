"""The process as the operating system sees it: signals and dying threads become events, the log goes to stderr.

Hooks run on whichever thread dies or is interrupted: each builds one event and posts it (`SimpleQueue.put` may be
re-entered).
"""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

from agent.messages.events import Event, StopRequested, ThreadDied

Post = Callable[[Event], None]

_SYSLOG_LEVELS = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def post_signals(post: Post) -> None:
    """SIGTERM and SIGINT ask for an orderly end."""

    def on_signal(number: int, _: FrameType | None) -> None:
        post(StopRequested(signal.Signals(number).name))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def post_deaths(post: Post) -> None:
    """A thread or callback that ends by an exception ends the process: half a node is worse than none."""

    def on_thread(died: threading.ExceptHookArgs) -> None:
        traceback.print_exception(died.exc_type, died.exc_value, died.exc_traceback)
        name = died.thread.name if died.thread is not None else "unknown"
        post(ThreadDied(name, f"{died.exc_type.__name__}: {died.exc_value}"))

    def on_callback(died: "sys.UnraisableHookArgs") -> None:
        traceback.print_exception(died.exc_type, died.exc_value, died.exc_traceback)
        post(ThreadDied("callback", f"{died.exc_type.__name__}: {died.exc_value}"))

    threading.excepthook = on_thread
    sys.unraisablehook = on_callback


class _JournalFormatter(logging.Formatter):
    """journald takes the level from the prefix and adds the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        level = _SYSLOG_LEVELS.get(record.levelno, 6)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())


def log_to_stderr() -> None:
    """One line a state change; to journald with levels, to a terminal with the time."""
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
