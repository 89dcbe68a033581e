"""Lists, groups and whole documents: readers made of readers; a section is a table of fields.

Pure but for `read_document`; any thread. Everything is read before anything is given up, so that one look at a file
tells all of its mistakes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from agent.configuration.fields import Described, Place, Reader, Schema, mistake, nearest, schema_of, wrong
from agent.configuration.problems import ConfigError, Mistake, Mistakes, Position, problems_of, read_text, shown
from agent.configuration.yaml_text import Mapping, Scalar, Sequence, Value, read_tree
from agent.messages.sentences import Sentence

T = TypeVar("T")

# Readers of several -------------------------------------------------------------------------------------------------


def items(read_one: Reader[T], at_most: int, write: str, at_least: int = 0) -> Reader[tuple[T, ...]]:
    """A list, all of whose entries are read."""

    def read(value: Value, place: Place) -> tuple[T, ...]:
        if not isinstance(value, Sequence):
            raise wrong(value, place, write)
        if not at_least <= len(value.values) <= at_most:
            count = Sentence("{count} entries", count=len(value.values)) if value.values else Sentence("no entry")
            told = Sentence(
                "{name} has {count}: write {at_least} to {at_most}, in {write}",
                name=place.name,
                count=count,
                at_least=at_least,
                at_most=at_most,
                write=write,
            )
            raise mistake(value.position, told)
        return tuple(gather((read_one, entry, place.entry(index)) for index, entry in enumerate(value.values)))

    bounds = {"minItems": at_least, "maxItems": at_most}
    return Described(read, lambda: {"type": "array", "items": schema_of(read_one), **bounds})


def distinct(read_list: Reader[tuple[T, ...]]) -> Reader[tuple[T, ...]]:
    """A list in which nothing stands twice."""

    def read(value: Value, place: Place) -> tuple[T, ...]:
        found = read_list(value, place)
        assert isinstance(value, Sequence)
        twice = [
            Mistake(
                value.values[index].position,
                Sentence("{name} stands in the list already: remove it", name=place.entry(index).name),
            )
            for index, one in enumerate(found)
            if one in found[:index]
        ]
        if twice:
            raise Mistakes(*twice)
        return found

    return Described(read, lambda: {**schema_of(read_list), "uniqueItems": True})


def named(
    read_name: Reader[str], read_one: Callable[[str], Reader[T]], at_most: int, write: str, at_least: int = 0
) -> Reader[dict[str, T]]:
    """A group whose keys are names that the writer chooses; `read_one` gives the reader for what stands under one."""

    def read(value: Value, place: Place) -> dict[str, T]:
        if not isinstance(value, Mapping):
            raise wrong(value, place, write)
        if not at_least <= len(value.entries) <= at_most:
            count = Sentence("{count} keys", count=len(value.entries)) if value.entries else Sentence("no key")
            told = Sentence("{name} has {count}: write {write}", name=place.name, count=count, write=write)
            raise mistake(value.position, told)
        name_place = replace(place, name=Sentence("a name in {place}", place=place.name))

        def read_entry(key: Scalar) -> Reader[tuple[str, T]]:
            return lambda one, at: (read_name(_as_text(key), name_place), read_one(key.text)(one, at))

        return dict(gather((read_entry(key), one, place.under(shown(key.text))) for key, one in value.entries))

    def schema() -> Schema:
        bounds = {"minProperties": at_least, "maxProperties": at_most}
        value = schema_of(read_one(""))
        return {"type": "object", "propertyNames": schema_of(read_name), "additionalProperties": value, **bounds}

    return Described(read, schema)


def _as_text(key: Scalar) -> Scalar:
    """A key is text, whatever YAML would take the word for."""
    return Scalar(key.text, False, key.position)


def gather(work: Iterable[tuple[Reader[T], Value, Place]]) -> list[T]:
    """Everything read, in order.

    Raises:
        Mistakes: all mistakes of all of them.
    """
    results: list[T] = []
    found: list[Mistake] = []
    failed = False
    for read, value, place in work:
        try:
            results.append(read(value, place))
        except Mistakes as mistakes:
            found += mistakes.found
            failed = True
    if failed:
        raise Mistakes(*found)
    return results


# Sections -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section. `required` is what to write where it is missing; an empty one: the key may be absent."""

    name: str
    read: Reader[Any]
    required: str = ""


Rule = Callable[[Any, Mapping, Place], Iterable[Mistake]]
"""What must hold between the fields of a section that are right in themselves: (what was made, its keys, its place)."""


def section(
    make: Callable[..., T], *fields: Field, rules: tuple[Rule, ...] = (), also: Schema | None = None
) -> Reader[T]:
    """A group of known keys: unknown ones refused, every one read, then built by `make` and held against the rules.

    A field that is absent is not given to `make`, whose own default then holds. `also`: what an editor can see of the
    rules, as JSON Schema.
    """
    known = {field.name: field for field in fields}

    def read(value: Value, place: Place) -> T:
        if not isinstance(value, Mapping):
            raise wrong(value, place, Sentence("a group of keys ({keys})", keys=", ".join(known)))
        found = _unknown_and_missing(value, place, fields)
        present = [(known[key.text], one) for key, one in value.entries if key.text in known]
        try:
            results = gather((field.read, one, place.under(field.name)) for field, one in present)
        except Mistakes as mistakes:
            raise Mistakes(*found, *mistakes.found) from None
        if found:
            raise Mistakes(*found)
        made = make(**{field.name: result for (field, _), result in zip(present, results, strict=True)})
        broken = [one for rule in rules for one in rule(made, value, place)]
        if broken:
            raise Mistakes(*broken)
        return made

    def schema() -> Schema:
        return {
            "type": "object",
            "properties": {field.name: schema_of(field.read) for field in fields},
            "required": [field.name for field in fields if field.required],
            "additionalProperties": False,
            **(also or {}),
        }

    return Described(read, schema)


def _unknown_and_missing(value: Mapping, place: Place, fields: tuple[Field, ...]) -> list[Mistake]:
    """A required key that was only misspelt is told once, as what it is."""
    known = tuple(field.name for field in fields)
    meant = {key: nearest(key.text, known) for key, _ in value.entries if key.text not in known}
    unknown = [
        Mistake(key.position, _unknown(place.under(shown(key.text)).name, near, known)) for key, near in meant.items()
    ]
    missing = [
        Mistake(
            value.position,
            Sentence("{name} is missing: write {write}", name=place.under(field.name).name, write=field.required),
        )
        for field in fields
        if field.required and value.get(field.name) is None and field.name not in meant.values()
    ]
    return [*unknown, *missing]


def _unknown(name: str, near: str, known: tuple[str, ...]) -> Sentence:
    if near:
        return Sentence("{name} is no key here: write {near}", name=name, near=near)
    keys = ", ".join(known)
    return Sentence("{name} is no key here: remove it, or write one of {keys}", name=name, keys=keys)


def position_of(section_keys: Mapping, name: str) -> Position:
    """Where the value of a key stands, for rules; the section itself where the key is absent."""
    value = section_keys.get(name)
    return section_keys.position if value is None else value.position


# Documents -----------------------------------------------------------------------------------------------------------


def read_document(path: Path, read: Reader[T], aside: Path | None = None) -> T:
    """What a whole file means. `aside`: what will be in the file's folder lies there now, the file as well.

    Raises:
        ConfigError: with everything that is wrong with it, as YAML and as what it should say.
    """
    place = Place("", path.absolute().parent, aside)
    text = read_text(path, place.now(path.absolute()))
    found: list[Mistake] = []
    try:
        tree, found = read_tree(text)
        result = read(tree, place)
    except Mistakes as mistakes:
        raise ConfigError(problems_of(path, [*found, *mistakes.found])) from None
    if found:
        raise ConfigError(problems_of(path, found))
    return result
