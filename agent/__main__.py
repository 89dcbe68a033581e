"""Command line and composition root: the only place that builds adapters.

Exit codes: 0 done, 1 failed, 2 bad input, 3 refused.
"""

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Final
from zoneinfo import ZoneInfo

from agent import RELEASED_AT_S, __version__
from agent.carried import CarriedClock, CarriedProgress
from agent.clock import Clock
from agent.clock_chip import read_chip
from agent.config import Config, ConfigError, load_config, load_trust
from agent.console import SOCKET_NAME, Console, ConsoleDeniedError, ConsoleError, ask
from agent.core import node
from agent.core.amplifier import AmplifierSettings
from agent.decoders.demuxers import begin_of, demuxer_for
from agent.fetch import Fetch
from agent.gpio.claim import Claim, recall, remember
from agent.gpio_amp import GpioAmplifiers, GpioError, Line, amp_off
from agent.link import Link
from agent.loop import Adapters, Loop
from agent.messages import events as ev
from agent.messages.rules import NO_RULES
from agent.player import Player
from agent.process import log_to_stderr, post_deaths, post_signals
from agent.security import (
    Addressee,
    ClockView,
    NodeKey,
    NodeKeyError,
    TrustError,
    TrustStore,
    explain,
)
from agent.sound_card import SoundCard
from agent.speech import Synthesiser
from agent.store import Store, StoreError
from agent.systemd import Systemd
from agent.verification.judge import Judge, trust_in_force
from agent.verification.key_file import load_or_make
from agent.vitals import Vitals

DONE, FAILED, BAD_INPUT, REFUSED = 0, 1, 2, 3

ASK_TIMEOUT_S: Final = 3.0
MAX_ENVELOPE_FILE_BYTES: Final = 1 << 20
DEFAULT_RUNTIME: Final = "/run/loa"
"""Where the unit's RuntimeDirectory is, if the configuration cannot say."""

log = logging.getLogger("loa")

Inbox = SimpleQueue[ev.Event]


def main() -> None:
    """Entry point of `loa-agent` and `python -m agent`."""
    sys.exit(_run_command(sys.argv[1:]))


def _run_command(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.command is None:
        return _amp_off(options.config)
    command: Callable[[argparse.Namespace, Config, TrustStore], int] = options.command
    try:
        config = load_config(options.config)
        trust = TrustStore(load_trust(config.trust, config.site), site=config.site)
    except ConfigError as error:
        for problem in error.problems:
            print(problem)
        return BAD_INPUT
    except TrustError as error:
        print(f"{config.trust}:1:1: {error}")
        return BAD_INPUT
    try:
        return command(options, config, trust)
    except TrustError as error:  # fit in itself, and not after what this node has seen
        print(f"{config.trust}:1:1: {error}")
        return BAD_INPUT
    except (GpioError, StoreError, NodeKeyError, ConsoleError, OSError) as error:
        print(f"loa-agent: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="loa-agent", description="The agent on a speaker pole.")
    parser.add_argument("--version", action="version", version=f"loa-agent {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, function, told in (
        ("run", _run, "be the node until told to stop"),
        ("check", _check, "check node.yaml and trust.yaml, and say what to write instead"),
        ("status", _status, "ask the running agent what it does / hỏi tình trạng"),
        ("verify", _verify, "judge an envelope in a file by the numbered checks"),
        ("amp-off", None, "switch the amplifier off / tắt tăng âm"),
    ):
        command = commands.add_parser(name, help=told, description=told)
        command.add_argument("--config", type=Path, default=Path("/etc/loa/node.yaml"), metavar="FILE")
        command.set_defaults(command=function)
        if name == "verify":
            command.add_argument("file", metavar="FILE", help="the envelope; - for standard input")
    return parser


# Commands -----------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace, config: Config, trust: TrustStore) -> int:
    with suppress(PermissionError):  # a technician who may not read the key: that is as it should be
        if _key_file(config).exists():  # only `run` makes one
            _node_key(config)
    for note in config.notes:
        print(f"{options.config}: note: {note}")
    print(f"{options.config}: ok: node {config.site}/{config.node}, trust version {trust.document.version}")
    return DONE


def _status(_: argparse.Namespace, config: Config, __: TrustStore) -> int:
    try:
        answer = ask(_socket(config), "status", ASK_TIMEOUT_S)
    except ConsoleError as error:
        print(f"loa-agent: the agent does not answer: {error}", file=sys.stderr)
        if _key_file(config).exists():
            print(f"public key: {_node_key(config).public_base64url}")
        return FAILED
    sys.stdout.write(answer.decode())
    return DONE


def _verify(options: argparse.Namespace, config: Config, trust: TrustStore) -> int:
    if options.file == "-":
        payload = sys.stdin.buffer.read(MAX_ENVELOPE_FILE_BYTES)
    else:
        payload = Path(options.file).read_bytes()[:MAX_ENVELOPE_FILE_BYTES]
    now = Clock(always_trusted=config.clock.trust == "always").read()
    view = ClockView(now.wall_s if now.synchronised else None, RELEASED_AT_S)
    with suppress(ConsoleError):
        running = _trust_told(ask(_socket(config), "status", ASK_TIMEOUT_S))
        if running and running != trust.sha256:
            told = f"the running agent judges by another trust document (SHA-256 {running}) than {config.trust}"
            print(f"loa-agent: {told}: its verdict may differ", file=sys.stderr)
    lines = explain(payload.strip(), retained=False, trust=trust, addressee=_addressee(config), clock=view)
    print("\n".join(lines))
    return DONE if lines[-1] == "accepted" else REFUSED


def _trust_told(status: bytes) -> str:
    """The SHA-256 in the agent's answer to `status`, empty if it says none."""
    found = re.search(rb"^trust: version \d+, SHA-256 ([0-9a-f]{64})$", status, re.MULTILINE)
    return found[1].decode() if found else ""


def _amp_off(path: Path) -> int:
    """The running agent owns the line; only where none runs is it opened from here (field notes, gpiozero 4).

    Needs no good configuration: it has to work after a crash, when a file may have been edited badly since.
    """
    claims: list[Claim] = []
    runtime = Path(os.environ.get("RUNTIME_DIRECTORY", DEFAULT_RUNTIME))
    try:
        config = load_config(path)
    except ConfigError as error:
        print("\n".join(str(problem) for problem in error.problems))
    else:
        runtime = config.storage.runtime
        claims.append(_claim(config))
    try:
        answer = ask(runtime / SOCKET_NAME, "amp-off", ASK_TIMEOUT_S)
    except ConsoleDeniedError as error:
        print(f"loa-agent: {error}", file=sys.stderr)
        return FAILED
    except ConsoleError:
        return _open_relays(claims, recall(runtime))
    sys.stdout.write(answer.decode())
    return DONE


def _open_relays(claims: list[Claim], remembered: Claim | None) -> int:
    """What was claimed last, and what the configuration names now: usually the same."""
    if remembered is not None and remembered not in claims:
        claims.insert(0, remembered)
    try:
        for claim in claims:
            amp_off(lines=claim.lines, factory=claim.factory, chip=claim.chip, trace=claim.trace)
    except (GpioError, OSError) as error:
        print(f"loa-agent: {error}", file=sys.stderr)
        return FAILED
    if not claims:
        return BAD_INPUT
    print("amplifier off")
    return DONE


def _run(options: argparse.Namespace, config: Config, trust: TrustStore) -> int:
    log_to_stderr()
    for note in config.notes:  # what a technician should know of a file that is good
        log.warning("%s: %s", options.config, note)
    inbox: Inbox = SimpleQueue()
    post_deaths(inbox.put)
    post_signals(inbox.put)
    with ExitStack() as open_adapters:
        loop = _compose(config, trust, inbox, open_adapters)
        return loop.run()


# Composition --------------------------------------------------------------------------------------------------------


def _compose(config: Config, trust: TrustStore, inbox: Inbox, closing: ExitStack) -> Loop:
    """Build the ring. Whatever was opened is closed in reverse order: the amplifiers, opened last, go off first."""
    for folder in (config.storage.state, config.storage.runtime):
        folder.mkdir(parents=True, exist_ok=True)
    os.chdir(config.storage.runtime)  # lgpio writes its pipes into the working directory
    clock = Clock(always_trusted=config.clock.trust == "always")
    key = _node_key(config)
    store = Store(path=config.storage.state / "loa.db", scratch=config.storage.runtime, post=inbox.put)
    memory = store.load()
    closing.callback(store.close)
    judge = Judge(trust_in_force(trust, memory), _addressee(config))
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
    console = Console(path=_socket(config), post=inbox.put)
    closing.callback(console.close)
    link = _link(config, inbox)
    closing.callback(link.close)
    supervisor = Systemd(environment=os.environ)
    closing.callback(supervisor.close)
    claim = _claim(config)
    remember(config.storage.runtime, claim)
    amplifiers = GpioAmplifiers(
        lines=claim.lines, factory=claim.factory, chip=claim.chip, trace=claim.trace, post=inbox.put
    )
    closing.callback(amplifiers.close)
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
    )


def _claim(config: Config) -> Claim:
    lines = {zone.name: Line(zone.gpio, zone.active_high) for zone in config.amplifier}
    return Claim(lines=lines, factory=config.gpio.factory, chip=config.gpio.chip, trace=config.gpio.trace)


def _addressee(config: Config) -> Addressee:
    return Addressee(config.site, config.node, frozenset(config.groups))


def _socket(config: Config) -> Path:
    return config.storage.runtime / SOCKET_NAME


def _key_file(config: Config) -> Path:
    return config.storage.state / "node.key"


def _node_key(config: Config) -> NodeKey:
    return load_or_make(_key_file(config))


if __name__ == "__main__":
    main()
