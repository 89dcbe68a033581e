"""`check`: whether node.yaml and trust.yaml are right, and what to write instead."""

import argparse
from contextlib import suppress

from agent.commands.exits import DONE
from agent.commands.files import load, node_key
from agent.commands.identity import identity_notes, identity_problems
from agent.commands.language import Language
from agent.commands.places import key_file
from agent.config import ConfigError
from agent.messages.sentences import Sentence


def arguments(_: argparse.ArgumentParser, __: Language) -> None:
    """None of its own."""


def main(options: argparse.Namespace, language: Language) -> int:
    """Changes nothing. Raises ConfigError with what is wrong, CommandError where others may read the node's key."""
    config, trust = load(options.config)
    with suppress(PermissionError):  # a technician who may not read the key: that is as it should be
        if key_file(config).exists():  # only `run` makes one
            node_key(config)
    problems = tuple(identity_problems(config))
    if problems:
        raise ConfigError(problems)
    for note in (*config.notes, *identity_notes(config, trust)):
        print(language.text(Sentence("{file}: note: {note}", file=options.config, note=note)))
    fine = Sentence(
        "{file}: ok: node {site}/{node}, trust version {version}",
        file=options.config,
        site=config.site,
        node=config.node,
        version=trust.document.version,
    )
    print(language.text(fine))
    return DONE
