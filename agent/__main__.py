"""Command line of the node: finds the command, imports it alone, and says in one line why it could not do its work.

A command's module is imported once it is asked for: on a Zero 2 W `amp-off` must not wait for libVLC's binding, nor
`status` for MQTT's (ADR 30). Exit codes: 0 done, 1 failed, 2 bad input, 3 refused.
"""

import argparse
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Final, Protocol

from agent import __version__
from agent.commands.exits import BAD_INPUT, FAILED, CommandError
from agent.commands.language import LANGUAGES, Language, choose
from agent.config import ConfigError
from agent.messages.sentences import Sentence

COMMANDS: Final = {
    "run": Sentence("be the node until told to stop"),
    "check": Sentence("check node.yaml and trust.yaml, and say what to write instead"),
    "init": Sentence("ask a few questions and write node.yaml"),
    "status": Sentence("ask the running agent what it does"),
    "first-boot": Sentence("install what was put on the boot partition"),
    "verify": Sentence("judge an envelope in a file by the numbered checks"),
    "self-test": Sentence("try what can be tried without a sound"),
    "bundle": Sentence("gather what whoever helps needs to know, without any secret"),
    "amp-off": Sentence("switch the amplifier off"),
}
"""By name, and what each does; the module in `agent.commands` has the same name."""

DEFAULT_CONFIG: Final = Path("/etc/loa/node.yaml")


class Command(Protocol):
    """What every module of a command has."""

    def arguments(self, parser: argparse.ArgumentParser, language: Language) -> None:
        """Add what this command takes beside `--config` and `--lang`."""

    def main(self, options: argparse.Namespace, language: Language) -> int:
        """Do it; the exit code. May raise ConfigError, CommandError, OSError."""


def main() -> None:
    """Entry point of `loa-agent` and `python -m agent`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show Vietnamese shows some of it
    sys.exit(run_command(sys.argv[1:], choose(sys.argv[1:], os.environ)))


def run_command(arguments: list[str], language: Language) -> int:
    """Do what the arguments say. Raises SystemExit where they say nothing that can be done."""
    named = next((word for word in arguments if word in COMMANDS), "")
    command = _import(named) if named else None
    options = _parser(named, command, language).parse_args(arguments)
    assert command is not None, "unreachable: the parser has ended the process"
    try:
        return command.main(options, language)
    except ConfigError as error:
        print("\n".join(map(language.problem, error.problems)))
        return BAD_INPUT
    except (CommandError, OSError) as error:
        print(f"loa-agent: {language.error(error)}", file=sys.stderr)
        return FAILED


def _import(name: str) -> Command:
    module: Command = importlib.import_module(f"agent.commands.{name.replace('-', '_')}")
    return module


def _parser(named: str, command: Command | None, language: Language) -> argparse.ArgumentParser:
    description = language.text(Sentence("The agent on a speaker pole."))
    parser = argparse.ArgumentParser(prog="loa-agent", description=description)
    version = language.text(Sentence("show program's version number and exit"))
    parser.add_argument("--version", action="version", version=f"loa-agent {__version__}", help=version)
    _add_language(parser, language)
    commands = parser.add_subparsers(required=True, metavar=language.text(Sentence("COMMAND")))
    for name, told in COMMANDS.items():
        subparser = commands.add_parser(name, help=language.text(told), description=language.text(told))
        subparser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="node.yaml")
        _add_language(subparser, language)
        if command is not None and name == named:
            command.arguments(subparser, language)
    return parser


def _add_language(parser: argparse.ArgumentParser, language: Language) -> None:
    told = language.text(Sentence("the language of all messages (default: that of the environment)"))
    parser.add_argument("--lang", choices=LANGUAGES, help=told)


if __name__ == "__main__":
    main()
