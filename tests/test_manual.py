"""Manual pages and completions tell of every command and option that the programs have."""

import subprocess
from pathlib import Path

import pytest

from control.__main__ import app
from release.command_tree import Command, of_typer
from release.manual import agent_tree, write


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    write(folder)
    return folder


def trees() -> list[tuple[Command, str]]:
    return [(agent_tree(), "loa-agent.8"), (of_typer(app, "loactl"), "loactl.1")]


@pytest.mark.parametrize(("top", "name"), trees(), ids=["agent", "control"])
def test_a_page_tells_of_every_command_and_option(written: Path, top: Command, name: str) -> None:
    page = (written / name).read_text("utf-8").replace("\\-", "-")
    for whole, command in top.walk():
        if not command.commands:
            assert f"\n.SS {whole.partition(' ')[2]}" in page
        for option in command.options:
            assert all(f"\\fB{spelling}\\fR" in page for spelling in option.names), whole


@pytest.mark.parametrize("name", ["loa-agent.8", "loactl.1"])
def test_a_page_is_printed_without_a_complaint(written: Path, name: str) -> None:
    command = ["groff", "-man", "-ww", "-z", "-K", "utf8", "-T", "utf8", str(written / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def completed(written: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    program = words[0]
    script = """
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        "_${1//-/_}"; printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-euc", script, "bash", str(written / "completions" / program), *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("loa-agent", "am"), ["amp-off"]),
        (("loa-agent", "run", "--conf"), ["--config"]),
        (("loactl", "tr"), ["trust"]),
        (("loactl", "trust", "re"), ["retire", "revoke"]),
        (("loactl", "--x", "trust", "sign", "--sig"), ["--signing-key"]),
        (("loactl", "play", "/etc/pass"), []),
    ],
)
def test_bash_completes_commands_and_options_and_leaves_files_to_itself(
    written: Path, words: tuple[str, ...], offered: list[str]
) -> None:
    assert completed(written, *words) == offered
