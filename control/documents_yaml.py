"""Schedules and policies as files: YAML with the words of the wire, held against the types that the nodes use.

Three things are easier than on the wire: `version` may be left out (then it is the Unix time, which only goes up), a
`file` source may name its recording by `path` (it is hashed here) or by its address alone (it is fetched and hashed),
and hours and dates need no quotes. Reads files, and fetches what is named by address alone; changes nothing.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml

from agent.messages.codec import WordError, convert
from agent.messages.documents import SetPolicy, SetSchedule, Slot
from control.problems import InputError
from control.recordings import Recording
from control.yaml_nodes import at, pairs, root_of, text_of

MAX_DEPTH = 8
"""Deepest nesting of lists and mappings: a schedule needs six."""
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_STEP = re.compile(r"\.([A-Za-z0-9_]+)|\[([0-9]+)\]")

T = TypeVar("T")
Measure = Callable[[str], Recording]


def read_schedule(path: Path, *, now: int, measure: Measure) -> SetSchedule:
    """The command that this file is.

    Raises:
        InputError: with file, line and column of what a node would refuse.
        WorldError: a recording could not be fetched.
    """
    root, members = _members(path, "set_schedule", now)
    slots = members.get("slots")
    nodes = _child(root, "slots")
    if isinstance(slots, list) and isinstance(nodes, yaml.SequenceNode):
        for slot, node in zip(slots, nodes.value, strict=True):
            _hash_files(slot, node, path, measure)
            _converted(slot, Slot, node, path)
    return _converted(members, SetSchedule, root, path)


def read_policy(path: Path, *, now: int) -> SetPolicy:
    """The command that this file is.

    Raises:
        InputError: with file, line and column of what a node would refuse.
    """
    root, members = _members(path, "set_policy", now)
    return _converted(members, SetPolicy, root, path)


def _members(path: Path, sort: str, now: int) -> tuple[yaml.Node, dict[str, object]]:
    try:
        root = root_of(text_of(path), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    if root is None:
        raise InputError(f"{path}: empty")
    members = _plain(root, path, set(), 1)
    assert isinstance(members, dict)
    if members.setdefault("type", sort) != sort:
        raise InputError(f"{path}: this is a {members['type']}, not a {sort}")
    members.setdefault("version", now)
    return root, members


def _plain(node: yaml.Node, place: Path, seen: set[int], depth: int) -> object:
    """Lists, mappings, whole numbers, truth and texts; hours and dates stay the texts that were written."""
    if id(node) in seen:
        raise InputError(f"{at(node, place)}: aliases are not read here: write it out again")
    if depth > MAX_DEPTH:
        raise InputError(f"{at(node, place)}: nested deeper than {MAX_DEPTH} levels")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        members: dict[str, object] = {}
        for key, value in pairs(node, place):
            if key.value in members:
                raise InputError(f"{at(key, place)}: {key.value!r} stands twice")
            members[str(key.value)] = _plain(value, place, seen, depth + 1)
        return members
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, place, seen, depth + 1) for value in node.value]
    return _scalar(node, place)


def _scalar(node: yaml.Node, place: Path) -> object:
    text, kind = str(node.value), str(node.tag).rpartition(":")[2]
    if kind == "null":
        raise InputError(f"{at(node, place)}: nothing is written here: leave the key out, or write its value")
    if kind == "int" and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    return text


def _hash_files(slot: object, node: yaml.Node, place: Path, measure: Measure) -> None:
    """Give every `file` source that needs it its SHA-256 and size."""
    sources = slot.get("sources") if isinstance(slot, dict) else None
    for index, source in enumerate(sources if isinstance(sources, list) else ()):
        file = source.get("file") if isinstance(source, dict) else None
        if not isinstance(file, dict) or ("sha256" in file and "path" not in file):
            continue
        local = file.pop("path", None)
        name = file.get("uri") if local is None else str(place.parent / Path(str(local)).expanduser())
        if not isinstance(name, str):
            continue
        where = _deepest(node, f"$.sources[{index}].file")
        try:
            recording = measure(name)
        except InputError as error:
            raise InputError(f"{at(where, place)}: {error}") from None
        file |= {"sha256": recording.sha256, "bytes": recording.bytes}


def _converted(value: object, word: type[T], node: yaml.Node, place: Path) -> T:
    try:
        return convert(value, word)
    except WordError as error:
        where = _deepest(node, error.detail.rpartition(" - at ")[2])
        raise InputError(f"{at(where, place)}: a node would refuse this ({error.reason}): {error.detail}") from None


def _deepest(node: yaml.Node, path: str) -> yaml.Node:
    """The node at a path such as `$.sources[0].file`, or the last one on the way to it."""
    for name, index in _STEP.findall(path):
        child = _child(node, name) if name else _entry(node, int(index))
        if child is None:
            break
        node = child
    return node


def _entry(node: yaml.Node, index: int) -> yaml.Node | None:
    return node.value[index] if isinstance(node, yaml.SequenceNode) else None


def _child(node: yaml.Node, name: str) -> yaml.Node | None:
    entries = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in entries if key.value == name), None)
