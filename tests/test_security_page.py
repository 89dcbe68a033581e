"""docs/security.md proves what it says: each test that it names is there, each attack in the suite is on the page."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
ATTACKS = "tests/attacks/test_by_name.py"


def names_in(text: str) -> set[str]:
    """The tests of a file, `Class::test` inside a class."""
    found = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found.update(f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
    return {name for name in found if name.split("::")[-1].startswith("test_")}


def missing(page: str) -> list[str]:
    """Named on the page, and not in the tree."""
    known: dict[str, set[str]] = {}
    for file, _ in NAMED.findall(page):
        path = ROOT / file
        known[file] = names_in(path.read_text("utf-8")) if path.is_file() else set()
    return [f"{file}::{name}" for file, name in NAMED.findall(page) if name not in known[file]]


def test_every_test_that_the_page_names_exists() -> None:
    assert len(set(NAMED.findall(PAGE))) > 40
    assert missing(PAGE) == []


@pytest.mark.parametrize(
    "wrong",
    ["tests/test_nowhere.py::test_x", "tests/test_link.py::test_that_was_renamed", "tests/test_link.py::Station"],
)
def test_a_test_that_is_gone_would_be_seen(wrong: str) -> None:
    assert missing(f"{PAGE}\n`{wrong}`") == [wrong]


def test_every_attack_by_name_stands_on_the_page() -> None:
    named = {name for file, name in NAMED.findall(PAGE) if file == ATTACKS}
    assert named == names_in((ROOT / ATTACKS).read_text("utf-8"))


def test_nothing_on_the_page_looks_like_a_test_and_is_not_checked() -> None:
    assert PAGE.count("::test_") == len(NAMED.findall(PAGE))


def test_links_lead_somewhere() -> None:
    for name in ("README.md", "SECURITY.md"):
        assert "(docs/security.md)" in (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([\w./-]+)\)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target
