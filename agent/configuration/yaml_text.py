"""YAML text to a tree that remembers where everything stood, and all that is wrong with it as text.

Pure; any thread. The only module that imports yaml. It builds on YAML's *events*: whatever would
be resolved, shared or merged behind the reader's back (tags, anchors, aliases, merge keys) is seen and refused, and
nothing is converted: a scalar stays the text that was written, and its reader decides what it may mean. What is
refused here becomes `Refused` in the tree, so that everything else in the file is still looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.resolver import Resolver

from agent.configuration.problems import START, Mistake, Mistakes, Position, position_in, shown
from agent.messages.sentences import Sentence

MAX_DEPTH = 8
"""Deepest nesting of lists and mappings: the real files need four."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One word or text as written; `plain` if it had no quotes."""

    text: str
    plain: bool
    position: Position

    @property
    def kind(self) -> str:
        """What YAML 1.1 would take it for: `str`, `int`, `float`, `bool`, `null`, `timestamp`, `value`."""
        if not self.plain:
            return "str"
        tag: str = _resolver.resolve(yaml.ScalarNode, self.text, (True, False))
        return tag.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    values: tuple["Value", ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Mapping:
    """Names and values, in the order of the file; each name once."""

    entries: tuple[tuple[Scalar, "Value"], ...]
    position: Position

    def get(self, name: str) -> "Value | None":
        """The value under that name, or None."""
        return next((value for key, value in self.entries if key.text == name), None)


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands where something was refused and reported already."""

    position: Position


Value = Scalar | Sequence | Mapping | Refused

_resolver: Any = Resolver()


def read_tree(text: str) -> tuple[Value, list[Mistake]]:
    """The tree of one YAML document, and what was refused on the way.

    Raises:
        Mistakes: the text is no YAML at all (one mistake: nothing after it can be believed), or is empty.
    """
    return _Document(text).read()


class _Document:
    """One pass over the events of a text."""

    def __init__(self, text: str) -> None:
        self._found: list[Mistake] = []
        try:
            self._loader: Any = yaml.SafeLoader(text)
        except yaml.reader.ReaderError as error:
            character = f"U+{ord(text[error.position]):04X}"
            told = Sentence("character {character} cannot stand in YAML: remove it", character=character)
            raise Mistakes(Mistake(position_in(text, error.position), told)) from None

    def read(self) -> tuple[Value, list[Mistake]]:
        self._next()  # the stream's start
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise Mistakes(Mistake(START, Sentence("the file is empty: begin with the example file")))
        self._refuse_directives(event)
        value = self._value(self._next(), 1)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, Sentence("a second document begins here: keep one document in the file"))
        return value, self._found

    def _next(self) -> yaml.Event:
        try:
            event: yaml.Event = self._loader.get_event()
        except yaml.MarkedYAMLError as error:
            raise Mistakes(_syntax_mistake(error)) from None
        except (ValueError, OverflowError):  # an escape or a version number beyond what Python can hold
            mark = self._loader.get_mark()
            told = Sentence("a number here is too large for YAML: write a smaller one")
            raise Mistakes(Mistake(_at(mark), told)) from None
        return event

    def _refuse(self, event: yaml.Event, text: Sentence) -> None:
        self._found.append(Mistake(_at(event.start_mark), text))

    def _refuse_directives(self, event: yaml.Event) -> None:
        assert isinstance(event, yaml.DocumentStartEvent)
        if event.version or event.tags:
            self._refuse(event, Sentence("directives are not read here: remove the line that begins with %"))

    def _value(self, event: yaml.Event, depth: int) -> Value:
        position = _at(event.start_mark)
        if depth > MAX_DEPTH:
            told = Sentence("nested deeper than {levels} levels: write it as the example shows", levels=MAX_DEPTH)
            raise Mistakes(Mistake(position, told))
        if isinstance(event, yaml.AliasEvent):
            anchor = f"*{shown(event.anchor or '')}"
            self._refuse(
                event, Sentence("aliases are not read here: write out again what {anchor} stands for", anchor=anchor)
            )
            return Refused(position)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._refuse(
                event, Sentence("anchors are not read here: remove {anchor}", anchor=f"&{shown(event.anchor)}")
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            written = shown(tag.replace("tag:yaml.org,2002:", "!!"))
            self._refuse(event, Sentence("tags are not read here: remove {tag}, and put texts in quotes", tag=written))
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, event.style is None, position) if tag is None else Refused(position)
        if isinstance(event, yaml.SequenceStartEvent):
            return Sequence(tuple(self._values(depth + 1)), position)
        return Mapping(tuple(self._entries(depth + 1)), position)

    def _values(self, depth: int) -> Iterator[Value]:
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            yield self._value(event, depth)

    def _entries(self, depth: int) -> Iterator[tuple[Scalar, Value]]:
        first: dict[str, Position] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, depth)
            value = self._value(self._next(), depth)
            if not isinstance(key, Scalar):
                self._refuse(event, Sentence("a key must be one word: write name: value"))
            elif key.plain and key.text == "<<":
                self._refuse(event, Sentence("merge keys are not read here: write the keys out"))
            elif key.text in first:
                line = first[key.text].line
                told = Sentence(
                    "{key} stands twice, first in line {line}: keep one of them", key=shown(key.text), line=line
                )
                self._refuse(event, told)
            else:
                first[key.text] = key.position
                yield key, value


def _at(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


_SYNTAX = (
    ("'\\t'", Sentence("a tab stands here, where YAML takes only spaces: write spaces")),
    ("could not find expected ':'", Sentence("this line has no colon after its key: write name: value")),
    (
        "mapping values are not allowed here",
        Sentence("a colon stands where none can be: put the text in quotes, or line the key up with its neighbours"),
    ),
    (
        "found unexpected end of stream",
        Sentence("a quote is opened here and never closed: write the closing quote"),
    ),
    (
        "expected ',' or ']'",
        Sentence("a list is not closed before this: write ] after its last entry, and commas between"),
    ),
    (
        "expected ',' or '}'",
        Sentence("a mapping is not closed before this: write }} after its last entry, and commas between"),
    ),
    (
        "expected <block end>",
        Sentence("this line is not lined up with its neighbours: indent it with as many spaces as they"),
    ),
    ("that cannot start any token", Sentence("this character cannot begin a text: put the text in quotes")),
    ("unknown escape character", Sentence("this is no escape: write \\\\ for a backslash, or take single quotes")),
)
"""Words of the parser's complaint, and what it means to the person who wrote the file."""


def _syntax_mistake(error: yaml.MarkedYAMLError) -> Mistake:
    problem = str(error.problem)
    mark = error.problem_mark or error.context_mark
    if problem == "found unexpected end of stream":
        mark = error.context_mark or mark
    position = START if mark is None else _at(mark)
    for words, sentence in _SYNTAX:
        if words in problem:
            return Mistake(position, sentence)
    told = Sentence(
        "this is not YAML ({problem}): write one name: value a line, indented with spaces", problem=problem[:80]
    )
    return Mistake(position, told)
