"""Manual pages and bash completions of both programs: `python -m release.manual FOLDER`, for the Debian packages.

The day in the pages is that of SOURCE_DATE_EPOCH, so that the same sources make the same pages.
"""

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent import RELEASED_AT_S, __version__
from agent.__main__ import COMMANDS, _import, _parser
from agent.commands.language import Language
from control.__main__ import app
from release.command_tree import Command, Entry, of_argparse, of_typer

EXIT_CODES = (("0", "done"), ("1", "failed"), ("2", "bad input"), ("3", "refused"))


def page(top: Command, section: int, told: str, see_also: str) -> str:
    """The manual page of a program, with all its commands, in roff."""
    day = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", RELEASED_AT_S))))
    lines = [
        f'.TH {_plain(top.name.upper())} {section} {day} "Loa {__version__}" Loa',
        ".SH NAME",
        f"{_plain(top.name)} \\- {_plain(told)}",
        ".SH SYNOPSIS",
        f".B {_plain(top.name)}",
        r"COMMAND [OPTION]...",
        ".SH DESCRIPTION",
        _plain(top.told),
        ".SH COMMANDS",
    ]
    for whole, command in top.walk():
        if command is not top and not command.commands:
            lines += _command(whole.removeprefix(f"{top.name} "), command)
    lines += [".SH OPTIONS", *_entries(top.options), ".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES:
        lines += [".TP", f".B {code}", meaning]
    return "\n".join([*lines, ".SH SEE ALSO", see_also, ""])


def _command(name: str, command: Command) -> Iterator[str]:
    arguments = " ".join(rf"\fI{_plain(entry.value)}\fR" for entry in command.arguments)
    yield f".SS {_plain(name)} {arguments}".rstrip()
    yield _plain(command.told)
    yield from _entries((*(each for each in command.arguments if each.told), *command.options))


def _entries(entries: tuple[Entry, ...]) -> Iterator[str]:
    for entry in entries:
        value = rf" \fI{_plain(entry.value)}\fR" if entry.value and entry.names != (entry.value,) else ""
        yield ".TP"
        yield ", ".join(rf"\fB{_plain(name)}\fR" for name in entry.names) + value
        yield _plain(entry.told) or r"\&"


def _plain(text: str) -> str:
    r"""Text that roff takes for nothing but text: a hyphen is a minus sign, for one may copy it into a shell."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped[:1] in {".", "'"} else escaped


def completion(top: Command) -> str:
    """A bash function that offers the commands, and below them their options; files for all else."""
    function = "_" + top.name.replace("-", "_")
    cases = []
    for whole, command in top.walk():
        words = [each.name for each in command.commands] or [each for entry in command.options for each in entry.names]
        cases.append(f'        "{whole}") words="{" ".join(words)}" ;;')
    return "\n".join(
        [
            f"# bash completion of {top.name}",
            f"{function}() {{",
            f'    local word words="" at="{top.name}" known',
            f'    known=" {" ".join(whole.replace(" ", "/") for whole, _ in top.walk())} "',
            '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            '        if [[ "$known" == *" ${at// //}/$word "* ]]; then at="$at $word"; fi',
            "    done",
            '    case "$at" in',
            *cases,
            "    esac",
            '    mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")',
            "}",
            f"complete -o default -F {function} {top.name}",
            "",
        ]
    )


def agent_tree() -> Command:
    """All of `loa-agent`, whose parser knows what a command takes once that command is asked for."""
    whole = [of_argparse(_parser(name, _import(name), Language("en")), "loa-agent") for name in COMMANDS]
    commands = (
        next(each for each in top.commands if each.name == name) for name, top in zip(COMMANDS, whole, strict=True)
    )
    return replace(whole[0], commands=tuple(commands))


def write(folder: Path) -> None:
    """The four files, named as a Debian package names them."""
    (folder / "completions").mkdir(parents=True, exist_ok=True)
    agent, control = agent_tree(), of_typer(app, "loactl")
    pages = {
        "loa-agent.8": page(agent, 8, "the agent on a speaker pole", ".BR loactl (1)"),
        "loactl.1": page(control, 1, "orders to loudspeakers, and the watch over them", ".BR loa\\-agent (8)"),
        "completions/loa-agent": completion(agent),
        "completions/loactl": completion(control),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")


def main() -> None:
    """Entry point of `python -m release.manual`."""
    options = argparse.ArgumentParser(description="Manual pages and completions.")
    options.add_argument("folder", type=Path)
    write(options.parse_args().folder)


if __name__ == "__main__":
    main()
