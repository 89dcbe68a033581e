"""`self-test`: what can be tried on the spot without a sound: card, relays, clock, disk, and the running agent.

No sound: nothing sounds without a verified order (design invariant 1), not even for a technician. Who wants to hear the
horns orders a tone: `loactl play --builtin tone`.
"""

import argparse
from functools import partial

from agent.commands.exits import DONE, FAILED
from agent.commands.language import Language
from agent.commands.online import try_all
from agent.commands.places import ASK_TIMEOUT_S, socket_in
from agent.commands.probes import FaultError, Probe, card, clock, disk, relays
from agent.commands.status import condition_of
from agent.config import load_config
from agent.console import ConsoleError, ask
from agent.messages.condition import Condition
from agent.messages.sentences import Sentence


def arguments(_: argparse.ArgumentParser, __: Language) -> None:
    """None of its own."""


def main(options: argparse.Namespace, language: Language) -> int:
    """One line for each; 1 if any fails. Raises ConfigError, CommandError, OSError."""
    config = load_config(options.config)
    condition: Condition | None = None
    why: Sentence | str = ""
    try:
        condition = condition_of(ask(socket_in(config.storage.runtime), "status", ASK_TIMEOUT_S))
    except ConsoleError as error:
        why = error.args[0]
    probes = [
        Probe(Sentence("agent"), partial(_agent, condition, why)),
        Probe(Sentence("link"), partial(_link, condition, language)),
        Probe(Sentence("sound card"), partial(card, config, condition)),
        Probe(Sentence("relays"), partial(relays, config, condition)),
        Probe(Sentence("clock"), partial(clock, config, condition)),
        Probe(Sentence("disk"), partial(disk, config, condition)),
    ]
    well = try_all(probes, language)
    tone = f"loactl play --to node:{config.site}/{config.node} --title Test --builtin tone --max-duration 5s"
    told = Sentence("Nothing was sounded. To hear the horns, order: {order}", order=tone)
    print(language.text(told))
    return DONE if well else FAILED


def _agent(condition: Condition | None, why: Sentence | str) -> Sentence:
    if condition is None:
        raise FaultError(Sentence("{why} See `systemctl status loa-agent`", why=why))
    if not condition.ready:
        raise FaultError(Sentence("not ready yet: wait a minute, then see `journalctl -u loa-agent`"))
    return Sentence("running, version {version}", version=condition.version)


def _link(condition: Condition | None, language: Language) -> Sentence:
    if condition is None:
        return Sentence("not looked at: loa-agent check --online")
    if not condition.link_up:
        why = language.known(condition.link_cause) or "-"
        raise FaultError(Sentence("down ({why}): loa-agent check --online", why=why))
    return Sentence("up")
