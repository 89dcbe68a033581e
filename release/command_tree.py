"""Both command lines as one kind of tree, read from the programs themselves: what the manual and the shell are told.

Neither argparse nor click has a public way to be looked through; what is used here is what their own help is made of.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer


@dataclass(frozen=True, slots=True)
class Entry:
    """An option with its spellings, or an argument with its name; `value` is what it takes, empty for a flag."""

    names: tuple[str, ...]
    value: str
    told: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and the commands below it."""

    name: str
    told: str
    arguments: tuple[Entry, ...] = ()
    options: tuple[Entry, ...] = ()
    commands: tuple["Command", ...] = ()

    def walk(self, above: str = "") -> Iterator[tuple[str, "Command"]]:
        """Each command with its whole name, from the top."""
        whole = f"{above} {self.name}".strip()
        yield whole, self
        for command in self.commands:
            yield from command.walk(whole)


def of_argparse(parser: argparse.ArgumentParser, name: str) -> Command:
    """The tree of an argparse parser."""
    arguments: list[Entry] = []
    options: list[Entry] = []
    commands: list[Command] = []
    for action in parser._actions:  # noqa: SLF001  see above
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            commands += [of_argparse(below, each) for each, below in action.choices.items()]
            continue
        if isinstance(action, argparse._HelpAction):  # noqa: SLF001
            continue
        value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
        told = action.help or (f"Default: {action.default}." if action.default else "")
        entry = Entry(tuple(action.option_strings) or (value,), value, told)
        (options if action.option_strings else arguments).append(entry)
    return Command(name, parser.description or "", tuple(arguments), tuple(options), tuple(commands))


def of_typer(app: typer.Typer, name: str) -> Command:
    """The tree of a typer application."""
    return _of_click(typer.main.get_command(app), name)


def _of_click(command: Any, name: str) -> Command:
    entries = [(each.param_type_name, _entry(each)) for each in command.params]
    below = getattr(command, "commands", {})
    return Command(
        name,
        _unwrapped(command.help),
        tuple(entry for kind, entry in entries if kind == "argument"),
        tuple(entry for kind, entry in entries if kind == "option"),
        tuple(_of_click(each, each_name) for each_name, each in below.items()),
    )


def _entry(parameter: Any) -> Entry:
    value = str(parameter.metavar or parameter.name.upper())
    told = _unwrapped(parameter.help)
    if parameter.param_type_name == "argument":
        return Entry((value,), value, told)
    return Entry((*parameter.opts, *parameter.secondary_opts), "" if parameter.is_flag else value, told)


def _unwrapped(text: str | None) -> str:
    return " ".join((text or "").split())
