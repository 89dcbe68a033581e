"""`status`: what the running agent says of itself; without one, the key that the node would speak with."""

import argparse
import sys

from agent.commands.exits import DONE, FAILED
from agent.commands.files import node_key
from agent.commands.language import Language
from agent.commands.places import ASK_TIMEOUT_S, key_file, socket_in
from agent.config import load_config
from agent.console import ConsoleError, ask
from agent.messages.sentences import Sentence


def arguments(_: argparse.ArgumentParser, __: Language) -> None:
    """None of its own."""


def main(options: argparse.Namespace, language: Language) -> int:
    """Asks, and prints the answer. Raises ConfigError, CommandError, OSError."""
    config = load_config(options.config)
    try:
        answer = ask(socket_in(config.storage.runtime), "status", ASK_TIMEOUT_S)
    except ConsoleError as error:
        told = Sentence("the agent does not answer: {why}", why=error.args[0])
        print(f"loa-agent: {language.text(told)}", file=sys.stderr)
        if key_file(config).exists():
            print(language.text(Sentence("public key: {key}", key=node_key(config).public_base64url)))
        return FAILED
    sys.stdout.write(answer.decode())
    return DONE
