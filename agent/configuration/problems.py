"""What is wrong with a file of ours, exactly where, and reading such a file without being harmed by it.

Any thread. Pure but for `read_text`.
"""

import errno
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from agent.messages.sentences import Sentence, Translate

MAX_FILE_BYTES = 64 * 1024
"""Largest file read, in bytes: thirty times the example; a pole's processor takes seconds for more."""
SHOWN_CHARACTERS = 40
"""Most characters of a wrong value that are repeated in a sentence about it."""
MAX_PROBLEMS = 100
"""Problems told at once: nobody reads more, and a wrong file could hold one a byte."""


class Position(NamedTuple):
    """Where something stands in its file, counted from 1 as editors do."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what to write instead."""

    file: str
    line: int
    column: int
    text: Sentence

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.text}"

    def in_words_of(self, translate: Translate) -> str:
        """The same line in another language."""
        return f"{self.file}:{self.line}:{self.column}: {self.text.in_words_of(translate)}"


class ConfigError(ValueError):
    """A file cannot be used. `problems` holds all that were found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Mistake(NamedTuple):
    """A problem before its file is known."""

    position: Position
    text: Sentence


class Mistakes(Exception):  # noqa: N818  it carries several, and each is one of these
    """What readers raise: everything they found; nothing where it has been said already."""

    def __init__(self, *found: Mistake) -> None:
        super().__init__(found)
        self.found = found


def shown(text: str) -> str:
    """A value for a sentence: short, and without characters that would disturb a terminal."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def problems_of(file: Path, mistakes: Iterable[Mistake]) -> tuple[Problem, ...]:
    """Mistakes as problems of this file: sorted by place, each once, at most `MAX_PROBLEMS`."""
    distinct = sorted(set(mistakes))
    problems = tuple(Problem(str(file), *mistake.position, mistake.text) for mistake in distinct[:MAX_PROBLEMS])
    if len(distinct) <= MAX_PROBLEMS:
        return problems
    more = Sentence("and {count} more problems: mend those above, and check again", count=len(distinct) - MAX_PROBLEMS)
    return (*problems, Problem(str(file), *distinct[MAX_PROBLEMS].position, more))


def read_text(path: Path, now: Path | None = None) -> str:
    """The text of a file of ours, called `path` in problems; `now` is where it lies, if elsewhere.

    Raises:
        ConfigError: missing, unreadable, not a file, larger than `MAX_FILE_BYTES`, empty, or not plain UTF-8.
    """
    lies = path if now is None else now
    try:
        if not stat.S_ISREG(lies.stat().st_mode):
            _fail(path, START, Sentence("is not a file: name the file itself"))
        with lies.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except PermissionError as error:
        _fail(path, START, Sentence("cannot be read ({reason}): say it with sudo", reason=reason_of(error)))
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        _fail(path, START, Sentence("cannot be read ({reason}): write this file, or name another one", reason=reason))
    if len(raw) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES
        _fail(
            path, START, Sentence("is larger than {limit} bytes: write only what the example file shows", limit=limit)
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        _fail(path, START, Sentence("is UTF-16: save it as UTF-8"))
    if raw.startswith(b"\xef\xbb\xbf"):
        _fail(path, START, Sentence("begins with a byte order mark: save it as UTF-8 without one"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        byte = f"0x{raw[error.start]:02x}"
        told = Sentence("byte {byte} is not UTF-8: save the file as UTF-8", byte=byte)
        _fail(path, position_in(before, len(before)), told)


_REASONS: Final = {
    errno.ENOENT: Sentence("No such file or directory"),
    errno.EACCES: Sentence("Permission denied"),
    errno.EISDIR: Sentence("Is a directory"),
    errno.ENOTDIR: Sentence("Not a directory"),
    errno.ELOOP: Sentence("Too many levels of symbolic links"),
    errno.ENAMETOOLONG: Sentence("File name too long"),
    errno.ENOSPC: Sentence("No space left on device"),
    errno.EROFS: Sentence("Read-only file system"),
    errno.EIO: Sentence("Input/output error"),
}
"""What the system says of files, so that it can be said in Vietnamese."""


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be had."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    return _REASONS.get(error.errno) or str(error.strerror)


def _fail(path: Path, position: Position, text: Sentence) -> NoReturn:
    raise ConfigError((Problem(str(path), *position, text),))


def position_in(text: str, index: int) -> Position:
    """Where the character with this index stands."""
    return Position(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))
