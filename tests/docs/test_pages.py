"""What the pages tell a technician or an operator to type is there; what they say a node reports, it can report."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from agent.__main__ import COMMANDS
from agent.messages.reasons import Reason
from control.__main__ import app
from control.table import SIGNS

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "CHANGELOG.md"})
GUIDES = ("technician", "troubleshooting")
REPORTED = re.compile(r"`(?:refused|failed|played|missed): (\w+)`|played \((\w+)\)")


def commands(text: str, program: str) -> Iterator[list[str]]:
    """Every command line of this program in code, continued lines joined, comments left out."""
    joined = re.sub(r"\\\n\s*", " ", text)
    inline = re.findall(rf"`((?:sudo )?{program} [^`\n]+)`", joined)
    lines = re.findall(rf"^\s*((?:sudo )?{program} .+)$", joined, re.MULTILINE)
    for line in (*inline, *lines):
        words = shlex.split(line.removeprefix("sudo "), comments=True)
        if len(words) > 1 and re.fullmatch(r"[a-z-]+", words[1]):
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_an_operator_is_told_to_type_is_there(page: Path) -> None:
    for words in commands(page.read_text("utf-8"), "loactl"):
        options = options_of(words)
        assert {word for word in words if word.startswith("--")} <= options, f"loactl {' '.join(words)}"


def options_of(words: list[str]) -> set[str]:
    """What the command that these words begin with takes; a group alone takes none. Raises KeyError: no command."""
    command: Any = typer.main.get_command(app)  # typer brings its own click, which has no public name
    for word in words:
        if hasattr(command, "commands"):
            command = command.commands[word]
    return {option for each in command.params for option in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_technician_is_told_to_type_is_there(page: Path) -> None:
    told = [words[0] for words in commands(page.read_text("utf-8"), "loa-agent")]
    assert set(told) <= set(COMMANDS), told


def test_the_commands_are_looked_for() -> None:
    text = "`sudo loa-agent status` and\n\n    loactl play --to x \\\n        --title 'a b'  # so\n"
    assert list(commands(text, "loa-agent")) == [["status"]]
    assert list(commands(text, "loactl")) == [["play", "--to", "x", "--title", "a b"]]


@pytest.mark.parametrize("language", ["", ".vi"])
def test_every_reason_in_the_troubleshooting_can_be_reported(language: str) -> None:
    page = (ROOT / "docs" / f"troubleshooting{language}.md").read_text("utf-8")
    words = {first or second for first, second in REPORTED.findall(page)}
    assert len(words) >= 10
    assert words <= {reason.value for reason in Reason}


@pytest.mark.parametrize("guide", GUIDES)
def test_both_languages_say_the_same(guide: str) -> None:
    """As far as a program can see: the same sections, rows, pictures, links and words in code, in the same order."""
    english, vietnamese = ((ROOT / "docs" / f"{guide}{end}.md").read_text("utf-8") for end in ("", ".vi"))
    for pattern in (r"^#+ ", r"^\| ", r"!\[[^]]*\]\(([^)]+)\)", r"^ {4,}\S.*$", r"^\d\. "):
        found = [re.findall(pattern, text, re.MULTILINE) for text in (english, vietnamese)]
        assert len(found[0]) == len(found[1]), pattern


def test_every_sign_of_the_watch_is_explained() -> None:
    guide = (ROOT / "docs" / "operator.md").read_text("utf-8")
    told = {"KEY CHANGED", "FORGED", "store begun anew", "reports lost", "offline", "silent", "key not enrolled",
            "taken back", "clock not trusted", "disk fails", "card fails", "no signed status",
            "keys end soon"}  # fmt: skip
    assert {word for word in told if word not in guide} == set()
    assert len(SIGNS) == len(told) + 1, "a new sign: tell it in docs/operator.md, and here"
