"""`status`: what the running agent says of itself, in the technician's words; without one, the node's key.

Works with a bad node.yaml too: then the agent is asked where the unit puts it.
"""

import argparse
import sys

from agent.commands.exits import BAD_INPUT, DONE, FAILED, CommandError
from agent.commands.language import Language
from agent.commands.phrases import Phrases
from agent.commands.places import ASK_TIMEOUT_S, key_file, runtime_folder, socket_in
from agent.config import Config, ConfigError, Problem, load_config
from agent.console import ConsoleError, ask
from agent.messages.codec import WordError, decode
from agent.messages.condition import Condition
from agent.messages.sentences import Sentence


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """For programs."""
    told = language.text(Sentence("print the agent's answer as JSON"))
    parser.add_argument("--json", action="store_true", help=told)


def main(options: argparse.Namespace, language: Language) -> int:
    """Ask, and print the answer. Raises CommandError, OSError."""
    config: Config | None = None
    problems: tuple[Problem, ...] = ()
    try:
        config = load_config(options.config)
    except ConfigError as error:
        problems = error.problems
    try:
        answer = ask(socket_in(runtime_folder(config)), "status", ASK_TIMEOUT_S)
    except ConsoleError as error:
        told = Sentence("the agent does not answer: {why}", why=error.args[0])
        print(f"loa-agent: {language.text(told)}", file=sys.stderr)
        print("\n".join([language.problem(problem) for problem in problems] or _at_rest(config, language)))
        return BAD_INPUT if problems else FAILED
    if options.json:
        sys.stdout.buffer.write(answer + b"\n")
        return DONE
    for what, how in Phrases(condition_of(answer), language).lines():
        print(f"{language.text(what)}: {how}")
    return DONE


def condition_of(answer: bytes) -> Condition:
    """The answer of an agent of this version. Raises CommandError."""
    try:
        return decode(answer, Condition)
    except WordError:
        raise CommandError(
            Sentence("the running agent is of another version: restart it, or ask with --json")
        ) from None


def _at_rest(config: Config | None, language: Language) -> list[str]:
    """What can be said of a node that does not run."""
    if config is None or not key_file(config).exists():
        return []
    from agent.commands.files import node_key  # noqa: PLC0415  only here, where nobody answers

    return [language.text(Sentence("public key: {key}", key=node_key(config).public_base64url))]
