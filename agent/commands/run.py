"""`run`: be the node until told to stop. The composition root: the only place that builds the node's adapters."""

import argparse
import logging
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from queue import SimpleQueue
from typing import Final
from zoneinfo import ZoneInfo

from agent import RELEASED_AT_S, __version__
from agent.carried import CarriedClock, CarriedProgress
from agent.clock import Clock
from agent.clock_chip import read_chip
from agent.commands.amp_off import claim_of
from agent.commands.exits import BUG, DONE
from agent.commands.files import addressee, load, node_key
from agent.commands.language import Language
from agent.commands.places import socket_in, unit_folder
from agent.config import Config, ConfigError, Problem
from agent.console import Console
from agent.core import node
from agent.core.amplifier import AmplifierSettings
from agent.decoders.demuxers import begin_of, demuxer_for
from agent.fetch import Fetch
from agent.gpio.claim import remember
from agent.gpio_amp import GpioAmplifiers
from agent.journal import log_to_stderr
from agent.link import Link
from agent.loop import Adapters, Loop
from agent.messages import events as ev
from agent.messages.memory import Memory
from agent.messages.rules import NO_RULES
from agent.messages.sentences import Sentence
from agent.player import Player
from agent.process import end_now, end_within, name_threads, post_deaths, post_signals, tell_of_crashes
from agent.restarts import Restarts
from agent.rollback import failed_version
from agent.security import NodeKey, TrustError, TrustStore
from agent.sound_card import SoundCard
from agent.speech import Synthesiser
from agent.store import Store
from agent.systemd import Systemd
from agent.verification.judge import Judge, trust_in_force
from agent.vitals import Vitals

CLOSING_S: Final = 8.0
"""For all adapters together; below the unit's TimeoutStopSec and WatchdogSec, 10 s each."""

log = logging.getLogger("loa")

Inbox = SimpleQueue[ev.Event]


def arguments(_: argparse.ArgumentParser, __: Language) -> None:
    """None of its own."""


def main(options: argparse.Namespace, _: Language) -> int:
    """Whatever the loop ends with. Raises ConfigError, CommandError, OSError where it cannot begin."""
    tell_of_crashes(log_to_stderr())
    name_threads()
    restarts = Restarts(unit_folder())
    _wait_for_turn(restarts)
    config, trust = load(options.config)
    for note in config.notes:  # what a technician should know of a file that is good
        log.warning("%s: %s", options.config, note)
    inbox: Inbox = SimpleQueue()
    post_deaths(inbox.put)
    post_signals(inbox.put)
    with ExitStack() as open_adapters:
        code = _live(_compose(config, trust, inbox, open_adapters))
        if code == DONE:
            restarts.end_well()
        end_within(CLOSING_S, code)
    if code != DONE:
        end_now(code)
    return code


def _wait_for_turn(restarts: Restarts) -> None:
    """What ends badly again and again is not begun again at once, but never given up either."""
    bad, wait_s = restarts.begin(time.clock_gettime(time.CLOCK_BOOTTIME))
    if wait_s > 0:
        log.warning("%d lives in a row have ended badly: beginning in %.0f s", bad, wait_s)
        time.sleep(wait_s)


def _live(loop: Loop) -> int:
    try:
        return loop.run()
    except Exception:
        log.critical("the loop has failed: the agent ends", exc_info=True)
        return BUG


def _compose(config: Config, trust: TrustStore, inbox: Inbox, closing: ExitStack) -> Loop:
    """Build the ring. Whatever was opened is closed in reverse order: the amplifiers, opened last, go off first."""
    for folder in (config.storage.state, config.storage.runtime):
        folder.mkdir(parents=True, exist_ok=True)
    os.chdir(config.storage.runtime)  # lgpio writes its pipes into the working directory
    clock = Clock(always_trusted=config.clock.trust == "always")
    key = node_key(config)
    store = Store(path=config.storage.state / "loa.db", scratch=config.storage.runtime, post=inbox.put)
    memory = store.load()
    closing.callback(store.close)
    judge = Judge(_in_force(config, trust, memory), addressee(config))
    card = SoundCard(device=config.audio.device, post=inbox.put)
    closing.callback(card.close)
    player = Player(open_lane=card.lane, post=inbox.put)
    closing.callback(player.close)
    fetch = Fetch(
        cache_dir=config.storage.state / "cache",
        cache_max_bytes=config.storage.cache_max_mb * 1024 * 1024,
        allow=config.sources.allow,
        files=config.sources.files,
        ca_file=config.sources.ca,
        post=inbox.put,
        format_of=demuxer_for,
        begin_of=begin_of,
    )
    closing.callback(fetch.close)
    speech = Synthesiser(
        folder=config.storage.runtime / "speech", piper=config.speech.piper, voices=config.speech.voices, post=inbox.put
    )
    closing.callback(speech.close)
    console = Console(path=socket_in(config.storage.runtime), post=inbox.put)
    closing.callback(console.close)
    link = _link(config, inbox)
    closing.callback(link.close)
    supervisor = Systemd(environment=os.environ)
    closing.callback(supervisor.close)
    claim = claim_of(config)
    remember(config.storage.runtime, claim)
    amplifiers = GpioAmplifiers(
        lines=claim.lines, factory=claim.factory, chip=claim.chip, trace=claim.trace, post=inbox.put
    )
    closing.callback(amplifiers.close)
    remember(config.storage.runtime, replace(claim, chip=amplifiers.chip))
    carried_clock = CarriedClock(folder=config.storage.runtime)
    carried_progress = CarriedProgress(folder=config.storage.runtime)
    inbox.put(replace(judge.restored(memory), progress=carried_progress.recall()))
    if config.clock.rtc and (chip := read_chip(config.clock.rtc)):
        inbox.put(chip)
    settings, carried = _node_settings(config, key), carried_clock.recall()
    return Loop(
        state=node.initial(settings, judge.document, RELEASED_AT_S, clock.read(), carried),
        inbox=inbox,
        adapters=Adapters(
            clock=clock,
            carried_clock=carried_clock,
            carried_progress=carried_progress,
            link=link,
            store=store,
            fetch=fetch,
            speech=speech,
            player=player,
            card=card,
            amplifiers=amplifiers,
            supervisor=supervisor,
            vitals=Vitals(disk=config.storage.state),
            console=console,
        ),
        judge=judge,
        seal=key.seal,
    )


def _in_force(config: Config, trust: TrustStore, memory: Memory) -> TrustStore:
    """The trust document that holds. Raises ConfigError: the file's is fit in itself, and not after what was seen."""
    try:
        return trust_in_force(trust, memory)
    except TrustError as error:
        raise ConfigError((Problem(str(config.trust), 1, 1, Sentence("{why}", why=error.args[0])),)) from None


def _link(config: Config, inbox: Inbox) -> Link:
    return Link(
        site=config.site,
        node=config.node,
        groups=config.groups,
        brokers=tuple(broker.url for broker in config.mqtt.brokers),
        ca=config.mqtt.ca,
        certificate=config.mqtt.certificate,
        key=config.mqtt.key,
        version_5=config.mqtt.version == "5",
        keepalive_s=config.mqtt.keepalive_s,
        post=inbox.put,
    )


def _node_settings(config: Config, key: NodeKey) -> node.NodeSettings:
    return node.NodeSettings(
        node=config.node,
        site=config.site,
        boot=os.urandom(16).hex(),
        version=__version__,
        public=key.public_base64url,
        zones={
            zone.name: AmplifierSettings(zone.warm_up_ms, zone.linger_ms, zone.max_on_s, zone.min_off_ms)
            for zone in config.amplifier
        },
        volume_percent=config.audio.volume_percent,
        emergency_volume_percent=config.audio.emergency_volume_percent,
        heartbeat_s=config.heartbeat_s,
        zone=ZoneInfo(config.timezone),
        rules=config.policy.rules if config.policy else NO_RULES,
        start_offset_ms=config.audio.start_offset_ms,
        rolled_back=failed_version(),
    )
