"""`check`: whether node.yaml and trust.yaml are right, and what to write instead."""

import argparse
from contextlib import suppress

from agent.commands.exits import DONE
from agent.commands.files import load, node_key
from agent.commands.places import key_file


def arguments(_: argparse.ArgumentParser) -> None:
    """None of its own."""


def main(options: argparse.Namespace) -> int:
    """Changes nothing. Raises ConfigError with what is wrong, CommandError where others may read the node's key."""
    config, trust = load(options.config)
    with suppress(PermissionError):  # a technician who may not read the key: that is as it should be
        if key_file(config).exists():  # only `run` makes one
            node_key(config)
    for note in config.notes:
        print(f"{options.config}: note: {note}")
    print(f"{options.config}: ok: node {config.site}/{config.node}, trust version {trust.document.version}")
    return DONE
