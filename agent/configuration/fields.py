"""How one value of YAML becomes one typed value: readers, and the sentences about values that are wrong.

Pure; any thread. A *reader* takes one value and the place it stands in, and returns what it means or raises `Mistakes`
with everything that is wrong in it. A sentence says what was found and what to write instead.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.configuration.problems import SHOWN_CHARACTERS, Mistake, Mistakes, Position, shown
from agent.configuration.yaml_text import Mapping, Refused, Scalar, Sequence, Value

T = TypeVar("T")

MAX_TEXT_CHARACTERS = 200
"""Longest text of a file of ours: no name, path or device needs more."""

LIKENESS = 0.65
"""How much of a word must be right to be taken for another: max_volume is max_volume_percent, signed is not site."""
FEW_WORDS = 4
"""Choices up to this number are told in full; of more, the one that was probably meant."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its dotted name for sentences, and the folder its paths begin in."""

    name: str
    base: Path

    def under(self, name: str) -> "Place":
        """The place of a key within this one."""
        return Place(f"{self.name}.{name}" if self.name else name, self.base)

    def entry(self, index: int) -> "Place":
        """The place of a list's entry, counted from 1."""
        return Place(f"{self.name}[{index + 1}]", self.base)


Reader = Callable[[Value, Place], T]


def wrong(value: Value, place: Place, write: str) -> Mistakes:
    """The one mistake of a value that is not what belongs here; none where it was refused already."""
    if isinstance(value, Refused):
        return Mistakes()
    return mistake(value.position, f"{place.name or 'the file'} {_found(value)}: write {write}")


def mistake(position: Position, text: str) -> Mistakes:
    """One mistake in the reader's own words."""
    return Mistakes(Mistake(position, text))


def _found(value: Scalar | Sequence | Mapping) -> str:
    if isinstance(value, Sequence):
        return "is a list"
    if isinstance(value, Mapping):
        return "is a group of keys"
    if not value.plain:
        return f'is "{shown(value.text)}"'
    if value.kind == "null":
        return "is empty"
    return f"is {shown(value.text)}{_taken_for(value)}"


def nearest(word: str, known: tuple[str, ...]) -> str:
    """The known word that was probably meant, or nothing."""
    if len(word) > SHOWN_CHARACTERS:
        return ""
    import difflib  # noqa: PLC0415  3 ms that only a mistake costs

    return next(iter(difflib.get_close_matches(word, known, 1, LIKENESS)), "")


_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_LONGEST_WHOLE = 12
"""Digits of a number that is looked at; every limit is smaller."""

_READ_AS = (
    (re.compile(r"[-+]?0[0-7_]+"), "a number in base 8"),
    (re.compile(r"[-+]?0b[01_]+"), "a number in base 2"),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), "a number in base 16"),
    (re.compile(r"[-+]?[0-9_]+(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "a number in base 60"),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)"), "something that is no number"),
)
_KINDS = {"bool": "a yes/no value", "int": "a number", "float": "a fraction", "timestamp": "a date"}


def _taken_for(value: Scalar) -> str:
    """The trap, where YAML reads a plain word as something else than it looks."""
    if value.kind not in _KINDS or _WHOLE.fullmatch(value.text) or value.text in {"true", "false"}:
        return ""
    words = next((words for pattern, words in _READ_AS if pattern.fullmatch(value.text)), _KINDS[value.kind])
    return f", which YAML takes for {words}"


# Readers of one word ------------------------------------------------------------------------------------------------


def whole(low: int, high: int, unit: str = "") -> Reader[int]:
    """A whole number, written in decimal without quotes, sign or leading zero."""
    write = f"a whole number from {low} to {high}{unit}"

    def read(value: Value, place: Place) -> int:
        if not isinstance(value, Scalar) or not _WHOLE.fullmatch(value.text):
            raise wrong(value, place, write)
        if not value.plain:
            raise wrong(value, place, f"{write}, without quotes")
        if len(value.text) > _LONGEST_WHOLE or not low <= int(value.text) <= high:
            raise wrong(value, place, write)
        return int(value.text)

    return read


def flag(value: Value, place: Place) -> bool:
    """`true` or `false`, and none of YAML's other spellings."""
    if not isinstance(value, Scalar) or not value.plain or value.text not in {"true", "false"}:
        raise wrong(value, place, "true or false, without quotes")
    return value.text == "true"


def choice(*words: str) -> Reader[Any]:
    """One of these words, with or without quotes."""
    write = f"{', '.join(words[:-1])} or {words[-1]}"

    def read(value: Value, place: Place) -> str:
        if not isinstance(value, Scalar):
            raise wrong(value, place, write)
        if value.text not in words:
            near = nearest(value.text, words) if len(words) > FEW_WORDS else ""
            raise wrong(value, place, near or write)
        return value.text

    return read


def text(write: str, pattern: str = r"\S|\S.*\S", at_most: int = MAX_TEXT_CHARACTERS) -> Reader[str]:
    """A text that fits the pattern, has no control characters, and that YAML does not take for something else."""
    fits = re.compile(pattern)

    def read(value: Value, place: Place) -> str:
        if not isinstance(value, Scalar) or value.kind == "null":
            raise wrong(value, place, write)
        if not value.text.isprintable() or len(value.text) > at_most or not fits.fullmatch(value.text):
            raise wrong(value, place, write)
        if value.kind != "str":
            raise wrong(value, place, f'it in quotes, "{value.text}"')
        return value.text

    return read
