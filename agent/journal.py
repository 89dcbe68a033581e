"""The log: to journald with levels, a bounded number of lines, and never a wait; to a terminal as it comes.

Any thread logs; `logging` itself lets one in at a time. journald writes to the same SD card as everybody: while that
hangs it reads nothing, and a line that waited for it would take the loop along, and the relay with it. So lines that it
does not take at once are dropped, and counted.

Libraries write to stderr as they like: a spoilt MP3 file makes libmpg123 complain forty times a second, and journald
would hold our own lines back for it. So its stream is ours alone, and what others write comes through a pipe and the
thread `stderr`, as lines of the same kind.
"""

import atexit
import logging
import os
import re
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

LEVELS: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""syslog's, which journald reads from a prefix."""
KIND_BURST: Final = 10
KIND_EVERY_S: Final = 60.0
"""Lines that differ in numbers alone are of one kind: ten in a row, then one a minute. A broker that flaps for a week
writes 3,000 lines a day, not 80,000."""
ALL_BURST: Final = 200
ALL_EVERY_S: Final = 1.0
"""Of all kinds together, errors excepted: 200 in a row, then one a second. An evening's programme stays below."""
MAX_KINDS: Final = 256
MAX_LINE_CHARACTERS: Final = 500
MAX_UNSENT_BYTES: Final = 64 * 1024
"""Kept for a journal that is slow; beyond it lines are dropped."""

PIPE_BYTES: Final = 65_536
LAST_WORDS_S: Final = 1.0
"""For what was written to stderr last. A child that still holds the pipe's other end must not hold up ours."""

_STDERR: Final = 2
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-fA-F]{8,}\b|\b[A-Za-z0-9_-]{16,}|\d+")

_log = logging.getLogger(__name__)


def log_to_stderr() -> int:
    """One line a state change: to journald if stderr is its, with the time to whoever else reads it.

    Returns:
        The descriptor for a last word, which neither waits for a thread nor is moderated.
    """
    handler: logging.Handler
    last_word = _STDERR
    if _is_journal(os.environ):
        stream = socket.socket(fileno=os.dup(_STDERR))
        handler, last_word = JournalHandler(stream, time.monotonic), stream.fileno()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.dup2(writing, _STDERR)
        os.close(writing)
        passing_on = threading.Thread(target=_pass_on, args=(reading,), name="stderr", daemon=True)
        passing_on.start()
        atexit.register(_let_last_words_through, last_word, passing_on)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(capture=True)
    return last_word


def _pass_on(reading: int) -> None:
    """Log what libraries write, line by line, however long and odd; on the thread `stderr`."""
    rest = b""
    while data := os.read(reading, PIPE_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _tell_foreign(line)
        rest = rest[:MAX_LINE_CHARACTERS]
    _tell_foreign(rest)


def _tell_foreign(line: bytes) -> None:
    if text := line.decode("utf-8", "replace").strip():
        _log.warning("stderr: %s", text)


def _let_last_words_through(journal: int, passing_on: threading.Thread) -> None:
    """Why the process ends is what it writes last, and then nobody waits for a daemon thread."""
    os.dup2(journal, _STDERR)  # closes our end of the pipe
    passing_on.join(LAST_WORDS_S)


def _is_journal(environment: Mapping[str, str]) -> bool:
    """Whether stderr is the stream that systemd has connected, and not one that it was sent to since."""
    told = environment.get("JOURNAL_STREAM", "")
    try:
        stderr = os.fstat(_STDERR)
    except OSError:
        return False
    return told == f"{stderr.st_dev}:{stderr.st_ino}"


@dataclass(slots=True)
class _Bucket:
    """So many at once, then one every so often."""

    tokens: float
    looked_s: float
    held_back: int = 0

    def take(self, now_s: float, burst: int, every_s: float) -> bool:
        self.tokens = min(burst, self.tokens + (now_s - self.looked_s) / every_s)
        self.looked_s = now_s
        if self.tokens < 1.0:
            self.held_back += 1
            return False
        self.tokens -= 1.0
        return True


class Moderation:
    """Which lines are written. What is held back is counted, and told with the next line of its kind."""

    def __init__(self) -> None:
        self._all = _Bucket(ALL_BURST, 0.0)
        self._kinds: OrderedDict[str, _Bucket] = OrderedDict()

    def let_through(self, text: str, level: int, now_s: float) -> str | None:
        """The line as it is to be written, None if it is not."""
        kind = _VARIES.sub("#", text)
        bucket = self._kinds.setdefault(kind, _Bucket(KIND_BURST, now_s))
        self._kinds.move_to_end(kind)
        if len(self._kinds) > MAX_KINDS:
            self._kinds.popitem(last=False)
        if not bucket.take(now_s, KIND_BURST, KIND_EVERY_S):
            return None
        if level < logging.ERROR and not self._all.take(now_s, ALL_BURST, ALL_EVERY_S):
            bucket.held_back += 1
            return None
        held_back, bucket.held_back = bucket.held_back, 0
        return f"{text} (and {held_back} more like it)" if held_back else text


class JournalHandler(logging.Handler):
    """Writes to journald's stream socket `stream`, which is this handler's own."""

    def __init__(self, stream: socket.socket, now_s: Callable[[], float]) -> None:
        super().__init__()
        self._stream = stream
        self._now_s = now_s
        self._moderation = Moderation()
        self._unsent = b""
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or not; never wait, never raise."""
        try:
            text = _one_line(record.getMessage())
            written = self._moderation.let_through(text, record.levelno, self._now_s())
            if written is None:
                return
            prefix = f"<{LEVELS.get(record.levelno, 6)}>"
            lines = [written, *(self._traceback(record))]
            self._send("".join(f"{prefix}{line}\n" for line in lines).encode("utf-8", "replace"))
        except Exception:  # noqa: BLE001 - as logging's own handlers: a line that fails takes nothing with it
            self.handleError(record)

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        if not record.exc_info:
            return []
        return [_one_line(line) for line in logging.Formatter().formatException(record.exc_info).splitlines()]

    def _send(self, data: bytes) -> None:
        if self._dropped and not self._unsent:
            data = f"<4>{self._dropped} lines were lost: the journal did not take them\n".encode() + data
            self._dropped = 0
        if len(self._unsent) + len(data) > MAX_UNSENT_BYTES:
            self._dropped += 1
            data = b""
        self._unsent += data
        try:
            sent = self._stream.send(self._unsent, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:  # full, or gone
            return
        self._unsent = self._unsent[sent:]


def _one_line(text: str) -> str:
    """Nobody forges a line of ours by a line break in a name."""
    told = "".join(character if character.isprintable() else "?" for character in text)
    return told if len(told) <= MAX_LINE_CHARACTERS else f"{told[:MAX_LINE_CHARACTERS]}..."
