"""Command line of the node: finds the command, imports it alone, and says in one line why it could not do its work.

A command's module is imported once it is asked for: on a Zero 2 W `amp-off` must not wait for libVLC's binding, nor
`status` for MQTT's (ADR 30). Exit codes: 0 done, 1 failed, 2 bad input, 3 refused.
"""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final, Protocol

from agent import __version__
from agent.commands.exits import BAD_INPUT, FAILED, CommandError
from agent.config import ConfigError

COMMANDS: Final = {
    "run": "be the node until told to stop",
    "check": "check node.yaml and trust.yaml, and say what to write instead",
    "status": "ask the running agent what it does / hỏi tình trạng",
    "verify": "judge an envelope in a file by the numbered checks",
    "amp-off": "switch the amplifier off / tắt tăng âm",
}
"""By name, and what each does; the module in `agent.commands` has the same name."""

DEFAULT_CONFIG: Final = Path("/etc/loa/node.yaml")


class Command(Protocol):
    """What every module of a command has."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what this command takes beside `--config`."""

    def main(self, options: argparse.Namespace) -> int:
        """Do it; the exit code. May raise ConfigError, CommandError, OSError."""


def main() -> None:
    """Entry point of `loa-agent` and `python -m agent`."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Do what the arguments say. Raises SystemExit where they say nothing that can be done."""
    named = next((word for word in arguments if word in COMMANDS), "")
    command = _import(named) if named else None
    options = _parser(named, command).parse_args(arguments)
    assert command is not None, "unreachable: the parser has ended the process"
    try:
        return command.main(options)
    except ConfigError as error:
        print("\n".join(map(str, error.problems)))
        return BAD_INPUT
    except (CommandError, OSError) as error:
        print(f"loa-agent: {error}", file=sys.stderr)
        return FAILED


def _import(name: str) -> Command:
    module: Command = importlib.import_module(f"agent.commands.{name.replace('-', '_')}")
    return module


def _parser(named: str, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loa-agent", description="The agent on a speaker pole.")
    parser.add_argument("--version", action="version", version=f"loa-agent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, told in COMMANDS.items():
        subparser = commands.add_parser(name, help=told, description=told)
        subparser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
        if command is not None and name == named:
            command.arguments(subparser)
    return parser


if __name__ == "__main__":
    main()
