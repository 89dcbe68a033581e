"""`check`: whether node.yaml and trust.yaml are right, and what to write instead."""

import argparse
from contextlib import suppress

from agent.commands.exits import DONE, FAILED, CommandError
from agent.commands.files import load, node_key
from agent.commands.identity import identity_notes, identity_problems
from agent.commands.language import Language
from agent.commands.places import ASK_TIMEOUT_S, key_file, socket_in
from agent.commands.status import condition_of
from agent.config import Config, ConfigError
from agent.console import ConsoleError, ask
from agent.messages.sentences import Sentence


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """Whether to try as well."""
    told = language.text(Sentence("try too: broker, certificate, stations, sound card, relays, clock, disk"))
    parser.add_argument("--online", action="store_true", help=told)


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
    return _online(config, language) if options.online else DONE


def _online(config: Config, language: Language) -> int:
    from agent.commands.online import try_all  # noqa: PLC0415  TLS, ALSA and more, which the rest does not need
    from agent.commands.probes import probes  # noqa: PLC0415

    condition, said = None, Sentence("not running, or not to be asked: systemctl status loa-agent")
    with suppress(ConsoleError, CommandError):
        condition = condition_of(ask(socket_in(config.storage.runtime), "status", ASK_TIMEOUT_S))
        said = Sentence("running, version {version}", version=condition.version)
    print(f"{'-':5} {language.text(Sentence('agent'))}: {language.text(said)}")
    return DONE if try_all(probes(config, condition), language) else FAILED
