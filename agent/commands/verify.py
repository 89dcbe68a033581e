"""`verify`: one envelope in a file, judged by the numbered checks as the node would judge it."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent import RELEASED_AT_S
from agent.clock import Clock
from agent.commands.exits import DONE, REFUSED, CommandError
from agent.commands.files import addressee, load
from agent.commands.language import Language
from agent.commands.places import ASK_TIMEOUT_S, socket_in
from agent.commands.status import condition_of
from agent.console import ConsoleError, ask
from agent.messages.sentences import Sentence
from agent.security import ClockView, explain

MAX_FILE_BYTES: Final = 1 << 20
"""Four times the largest envelope: more is a wrong file."""


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """The envelope's file."""
    parser.add_argument("file", metavar="FILE", help=language.text(Sentence("the envelope; - for standard input")))


def main(options: argparse.Namespace, language: Language) -> int:
    """Prints the checks and, last, `accepted` or the reason code. Raises ConfigError, OSError."""
    config, trust = load(options.config)
    if options.file == "-":
        payload = sys.stdin.buffer.read(MAX_FILE_BYTES)
    else:
        payload = Path(options.file).read_bytes()[:MAX_FILE_BYTES]
    now = Clock(always_trusted=config.clock.trust == "always").read()
    view = ClockView(now.wall_s if now.synchronised else None, RELEASED_AT_S)
    with suppress(ConsoleError, CommandError):
        running = condition_of(ask(socket_in(config.storage.runtime), "status", ASK_TIMEOUT_S)).trust.sha256
        if running != trust.sha256:
            told = Sentence(
                "the running agent judges by another trust document (SHA-256 {running}) than {file}: "
                "its verdict may differ",
                running=running,
                file=config.trust,
            )
            print(f"loa-agent: {language.text(told)}", file=sys.stderr)
    lines = explain(payload.strip(), retained=False, trust=trust, addressee=addressee(config), clock=view)
    print("\n".join(lines))
    return DONE if lines[-1] == "accepted" else REFUSED
