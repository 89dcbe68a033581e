"""Sentences for people: English that still knows its template, so that the command line can say it in Vietnamese.

Pure; any thread. Whoever notices something builds a `Sentence`, a text like any other: it is logged, compared and
sorted in English. Only who speaks to a technician puts it into other words, by a catalogue (ADR 31). No report carries
one: msgspec encodes plain text alone, which `str(error)` gives.
"""

from collections.abc import Callable
from typing import Self

Translate = Callable[[str], str]
"""From a template in English to the same in another language; one it does not know comes back as it is."""


class Sentence(str):
    """`Sentence("{name} is missing: write {write}", name=..., write=...)`.

    The template is a literal, which `release.catalogue` finds in the sources. A value that is a sentence itself is
    translated too; any other is what somebody wrote, and stays.
    """

    __slots__ = ("_template", "_values")
    _template: str
    _values: dict[str, object]

    def __new__(cls, template: str, /, **values: object) -> Self:
        """Raises KeyError where the template asks for a value that is not given."""
        made = super().__new__(cls, template.format_map(values))
        made._template = template
        made._values = values
        return made

    def in_words_of(self, translate: Translate) -> str:
        """The same sentence by another language's templates."""
        said = {name: in_words_of(translate, value) for name, value in self._values.items()}
        return translate(self._template).format_map(said)


def in_words_of(translate: Translate, value: object) -> object:
    """A sentence in other words; anything else as it is."""
    return value.in_words_of(translate) if isinstance(value, Sentence) else value
