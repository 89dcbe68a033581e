"""config/node.schema.json: the loader's own tables as an editor reads them, neither more nor less."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agent.config import node_schema
from agent.configuration.fields import schema_of
from release.schema import EXAMPLE, FILE, explained, schema, text
from tests.node_files import NODE, make_folder, told_about_node
from tests.node_mistakes import MISTAKES

VALIDATOR = Draft202012Validator(json.loads(FILE.read_text("utf-8")))

UNSEEN = (
    "cannot be read",
    "holds no ",
    "is not a file",
    "which main has already",
    "in the clear",
    "begins and ends at the same minute",
    "cover the whole day",
    "is no entry (after *.",
    "timezone is ",
    "can be read or changed by others",
    "is locked by a password",
    "stands twice",
    "anchors are not read",
    "merge keys are not read",
    "tags are not read",
    "directives are not read",
    "aliases are not read",
    "is no folder",
    "heartbeat_s is 060,",  # from here on: what YAML has made a good value of before the schema is asked
    "heartbeat_s is 1:00,",
    "heartbeat_s is 60.0,",
    "heartbeat_s is 0x3c,",
    "heartbeat_s is 1_000,",
    "heartbeat_s is 0b11,",
    "insecure is on,",
    "insecure is True,",
    "example:99999",  # and what a pattern cannot count
    "300.1.1.1",
    "mqtts://-a.b",
)
"""What is told only by who looks at the machine, at YAML itself, or at two keys at once."""


def test_what_is_committed_is_what_the_tables_say() -> None:
    assert FILE.read_text("utf-8") == text(), "run make schema"


def test_it_is_json_schema_and_refuses_by_itself() -> None:
    Draft202012Validator.check_schema(schema())
    assert not VALIDATOR.is_valid({})
    assert not VALIDATOR.is_valid([])


def test_the_example_is_right_by_it_and_names_it_for_editors() -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(EXAMPLE.read_text("utf-8")))] == []
    assert EXAMPLE.read_text("utf-8").startswith(f"# yaml-language-server: $schema={FILE.name}\n")


def properties(of: dict[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    for name, found in of.get("properties", {}).items():
        yield (*above, name), found
        yield from properties(found, *above, name)
    if isinstance(of.get("additionalProperties"), dict):
        yield from properties(of["additionalProperties"], *above, "main")


def test_every_key_stands_in_the_example_and_is_explained_in_both_languages() -> None:
    shown = {names for names, _ in explained(EXAMPLE.read_text("utf-8"))}
    assert {names for names, _ in properties(schema())} - shown == set()
    told = [found["description"] for _, found in properties(schema()) if "description" in found]
    assert len(told) > 25
    assert all(any(ord(letter) > 127 for letter in each) for each in told)


@pytest.mark.parametrize(("old", "new", "told", "write"), MISTAKES)
def test_of_the_mistakes_it_sees_what_an_editor_can_see(old: str, new: str, told: str, write: str) -> None:
    try:
        document = yaml.safe_load(NODE.replace(old, new, 1))
    except (yaml.YAMLError, ValueError):
        return  # an editor sees this without a schema
    unseen = any(words in told for words in UNSEEN)
    assert VALIDATOR.is_valid(document) == unseen, told


def test_what_it_refuses_the_loader_refuses(tmp_path: Path) -> None:
    """The other way round: an editor that complains about a good file is switched off."""
    path = make_folder(tmp_path)
    for change in ("version: 5", 'version: "5"', "version: 3.1.1", "insecure: true", "keepalive_s: 600"):
        changed = NODE.replace("trust:", f"  {change}\ntrust:", 1)
        assert told_about_node(path, changed) == [], change
        assert VALIDATOR.is_valid(yaml.safe_load(changed)), change


def test_a_reader_that_does_not_describe_itself_would_be_seen() -> None:
    with pytest.raises(TypeError, match="does not describe what it takes"):
        schema_of(lambda *read: read)
    assert node_schema()["additionalProperties"] is False
