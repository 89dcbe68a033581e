"""How one value of YAML becomes one typed value: readers, and the sentences about values that are wrong.

Pure; any thread. A *reader* takes one value and the place it stands in, and returns what it means or raises `Mistakes`
with everything that is wrong in it. A sentence says what was found and what to write instead.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from agent.configuration.problems import SHOWN_CHARACTERS, Mistake, Mistakes, Position, shown
from agent.configuration.yaml_text import Mapping, Refused, Scalar, Sequence, Value
from agent.messages.sentences import Sentence

T = TypeVar("T")

MAX_TEXT_CHARACTERS = 200
"""Longest text of a file of ours: no name, path or device needs more."""

LIKENESS = 0.65
"""How much of a word must be right to be taken for another: max_volume is max_volume_percent, signed is not site."""
FEW_WORDS = 4
"""Choices up to this number are told in full; of more, the one that was probably meant."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: its dotted name for sentences, and the folder its paths begin in.

    `aside` is where that folder's contents lie now, if it is still to be put in its place.
    """

    name: str
    base: Path
    aside: Path | None = None

    def under(self, name: str) -> "Place":
        """The place of a key within this one."""
        return replace(self, name=f"{self.name}.{name}" if self.name else name)

    def entry(self, index: int) -> "Place":
        """The place of a list's entry, counted from 1."""
        return replace(self, name=f"{self.name}[{index + 1}]")

    def now(self, path: Path) -> Path:
        """Where that file or folder is to be looked at now."""
        if self.aside is None or not path.is_relative_to(self.base):
            return path
        return self.aside / path.relative_to(self.base)


Reader = Callable[[Value, Place], T]
Schema = dict[str, Any]
"""Of JSON, by the draft of 2020-12."""


@dataclass(frozen=True, slots=True)
class Described(Generic[T]):
    """A reader that can also say what it takes, to an editor: so config/node.schema.json cannot drift."""

    read: Reader[T]
    schema: Callable[[], Schema]

    def __call__(self, value: Value, place: Place) -> T:
        """Read. Raises Mistakes."""
        return self.read(value, place)


def described(schema: Schema) -> Callable[[Reader[T]], Described[T]]:
    """For a reader with a grammar of its own."""
    return lambda read: Described(read, lambda: schema)


def described_as(other: Reader[Any]) -> Callable[[Reader[T]], Described[T]]:
    """For a reader that takes what another takes, and looks closer or makes something else of it."""
    return lambda read: Described(read, lambda: schema_of(other))


def schema_of(reader: Reader[Any]) -> Schema:
    """What the reader takes. Raises TypeError: it does not say."""
    if not isinstance(reader, Described):
        raise TypeError(f"{reader} does not describe what it takes")
    return reader.schema()


def wrong(value: Value, place: Place, write: str) -> Mistakes:
    """The one mistake of a value that is not what belongs here; none where it was refused already."""
    if isinstance(value, Refused):
        return Mistakes()
    name = place.name or Sentence("the file")
    return mistake(
        value.position, Sentence("{name} {found}: write {write}", name=name, found=_found(value), write=write)
    )


def mistake(position: Position, text: Sentence) -> Mistakes:
    """One mistake in the reader's own words."""
    return Mistakes(Mistake(position, text))


def _found(value: Scalar | Sequence | Mapping) -> Sentence:
    if isinstance(value, Sequence):
        return Sentence("is a list")
    if isinstance(value, Mapping):
        return Sentence("is a group of keys")
    if not value.plain:
        return Sentence('is "{text}"', text=shown(value.text))
    if value.kind == "null":
        return Sentence("is empty")
    what = _taken_for(value)
    if what is None:
        return Sentence("is {text}", text=shown(value.text))
    return Sentence("is {text}, which YAML takes for {what}", text=shown(value.text), what=what)


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
    (re.compile(r"[-+]?0[0-7_]+"), Sentence("a number in base {base}", base=8)),
    (re.compile(r"[-+]?0b[01_]+"), Sentence("a number in base {base}", base=2)),
    (re.compile(r"[-+]?0x[0-9a-fA-F_]+"), Sentence("a number in base {base}", base=16)),
    (re.compile(r"[-+]?[0-9_]+(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), Sentence("a number in base {base}", base=60)),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)"), Sentence("something that is no number")),
)
_KINDS = {
    "bool": Sentence("a yes/no value"),
    "int": Sentence("a number"),
    "float": Sentence("a fraction"),
    "timestamp": Sentence("a date"),
}


def _taken_for(value: Scalar) -> Sentence | None:
    """The trap, where YAML reads a plain word as something else than it looks."""
    if value.kind not in _KINDS or _WHOLE.fullmatch(value.text) or value.text in {"true", "false"}:
        return None
    return next((words for pattern, words in _READ_AS if pattern.fullmatch(value.text)), _KINDS[value.kind])


# Readers of one word ------------------------------------------------------------------------------------------------


def whole(low: int, high: int, meaning: str = "") -> Reader[int]:
    """A whole number, written in decimal without quotes, sign or leading zero."""
    write = Sentence("a whole number from {low} to {high}", low=low, high=high)
    if meaning:
        write = Sentence("{write}, {meaning}", write=write, meaning=meaning)

    def read(value: Value, place: Place) -> int:
        if not isinstance(value, Scalar) or not _WHOLE.fullmatch(value.text):
            raise wrong(value, place, write)
        if not value.plain:
            raise wrong(value, place, Sentence("{write}, without quotes", write=write))
        if len(value.text) > _LONGEST_WHOLE or not low <= int(value.text) <= high:
            raise wrong(value, place, write)
        return int(value.text)

    return Described(read, lambda: {"type": "integer", "minimum": low, "maximum": high})


@described({"type": "boolean"})
def flag(value: Value, place: Place) -> bool:
    """`true` or `false`, and none of YAML's other spellings."""
    if not isinstance(value, Scalar) or not value.plain or value.text not in {"true", "false"}:
        raise wrong(value, place, Sentence("true or false, without quotes"))
    return value.text == "true"


def choice(*words: str) -> Reader[Any]:
    """One of these words, with or without quotes."""
    write = Sentence("{words} or {last}", words=", ".join(words[:-1]), last=words[-1])

    def read(value: Value, place: Place) -> str:
        if not isinstance(value, Scalar):
            raise wrong(value, place, write)
        if value.text not in words:
            near = nearest(value.text, words) if len(words) > FEW_WORDS else ""
            raise wrong(value, place, near or write)
        return value.text

    numbers = [int(word) for word in words if word.isdecimal()]  # what may stand without quotes
    return Described(read, lambda: {"enum": [*words, *numbers]})


def text(write: str, pattern: str = r"\S|\S.*\S", at_most: int = MAX_TEXT_CHARACTERS) -> Reader[str]:
    """A text that fits the pattern, has no control characters, and that YAML does not take for something else."""
    fits = re.compile(pattern)

    def read(value: Value, place: Place) -> str:
        if not isinstance(value, Scalar) or value.kind == "null":
            raise wrong(value, place, write)
        if not value.text.isprintable() or len(value.text) > at_most or not fits.fullmatch(value.text):
            raise wrong(value, place, write)
        if value.kind != "str":
            raise wrong(value, place, Sentence('it in quotes, "{text}"', text=value.text))
        return value.text

    return Described(read, lambda: {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": at_most})
