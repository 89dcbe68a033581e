"""config/node.schema.json, for editors: `python -m release.schema` writes it from the loader's own tables.

What a key means is said by the comments above it in config/node.example.yaml, in English and Vietnamese.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from agent.config import node_schema

CONFIG: Final = Path(__file__).parent.parent / "config"
FILE: Final = CONFIG / "node.schema.json"
EXAMPLE: Final = CONFIG / "node.example.yaml"

_KEY: Final = re.compile(r"^( *)(# )?([a-z0-9_]+):(?: |$)")
_ZONE: Final = "main"
"""The example's only name that a writer chooses."""

Schema = dict[str, Any]


def schema() -> Schema:
    """The whole document."""
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Loa: what a node is (node.yaml)",
        **node_schema(),
    }
    for names, told in explained(EXAMPLE.read_text("utf-8")):
        found = _find(whole, names)
        if found is not None and told:
            found["description"] = told
    return whole


def explained(example: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each key of the example, also one behind a #, by the names that lead to it; and the comment above it."""
    above: list[str] = []
    open_keys: list[tuple[int, str]] = []
    for line in example.splitlines():
        key = _KEY.match(line)
        if key is None:
            comment = line.strip()
            above = [*above, comment.removeprefix("#").removeprefix(" ").removeprefix("* ")] if comment else []
            continue
        indent = len(key[1])
        open_keys = [*(each for each in open_keys if each[0] < indent), (indent, key[3])]
        yield tuple(name for _, name in open_keys), "\n".join(re.sub(r" {3,}", "\n", text) for text in above)
        above = []


def _find(whole: Schema, names: tuple[str, ...]) -> Schema | None:
    here: Schema | None = whole
    for name in names:
        if here is None:
            return None
        properties: dict[str, Schema] = here.get("properties", {})
        here = properties.get(name, here.get("additionalProperties") or None if name == _ZONE else None)
    return here


def text() -> str:
    """As it is committed."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
