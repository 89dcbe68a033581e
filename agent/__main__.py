"""Command line and composition root: the only place that builds adapters.

Exit codes: 0 done, 1 failed, 2 bad input, 3 refused.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from agent import RELEASED_AT_S, __version__
from agent.clock import Clock
from agent.config import Config, ConfigError, load_config, load_trust
from agent.console import Console, ConsoleError, ask
from agent.core import node
from agent.core.amplifier import AmplifierSettings
from agent.fetch import Fetch
from agent.gpio_amp import GpioAmplifiers, GpioError, Line, amp_off
from agent.key_file import load_or_make
from agent.link import Link
from agent.loop import Adapters, Loop
from agent.messages import events as ev
from agent.messages.commands import Play, VerifiedCommand
from agent.messages.trust import fingerprint
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
    verify,
    verify_stored,
)
from agent.sound_card import SoundCard
from agent.store import Store, StoreError
from agent.systemd import Systemd
from agent.vitals import Vitals

DONE, FAILED, BAD_INPUT, REFUSED = 0, 1, 2, 3

ASK_TIMEOUT_S: Final = 3.0
MAX_ENVELOPE_FILE_BYTES: Final = 1 << 20

log = logging.getLogger("loa")

Inbox = SimpleQueue[ev.Event]


def main() -> None:
    """Entry point of `loa-agent` and `python -m agent`."""
    sys.exit(_run_command(sys.argv[1:]))


def _run_command(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
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
        ("amp-off", _amp_off, "switch the amplifier off / tắt tăng âm"),
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
    lines = explain(payload.strip(), retained=False, trust=trust, addressee=_addressee(config), clock=view)
    print("\n".join(lines))
    return DONE if lines[-1] == "accepted" else REFUSED


def _amp_off(_: argparse.Namespace, config: Config, __: TrustStore) -> int:
    """The running agent owns the line; only where none runs is it opened from here (field notes, gpiozero 4)."""
    try:
        answer = ask(_socket(config), "amp-off", ASK_TIMEOUT_S)
    except ConsoleError:
        amp_off(lines=_lines(config), factory=config.gpio.factory, chip=config.gpio.chip, trace=config.gpio.trace)
        answer = b"amplifier off\n"
    sys.stdout.write(answer.decode())
    return DONE


def _run(_: argparse.Namespace, config: Config, trust: TrustStore) -> int:
    log_to_stderr()
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
    store = Store(path=config.storage.state / "loa.db", post=inbox.put)
    memory = store.load()
    closing.callback(store.close)
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
    )
    closing.callback(fetch.close)
    console = Console(path=_socket(config), post=inbox.put)
    closing.callback(console.close)
    link = _link(config, inbox)
    closing.callback(link.close)
    supervisor = Systemd(environment=os.environ)
    closing.callback(supervisor.close)
    amplifiers = GpioAmplifiers(
        lines=_lines(config),
        factory=config.gpio.factory,
        chip=config.gpio.chip,
        trace=config.gpio.trace,
        post=inbox.put,
    )
    closing.callback(amplifiers.close)
    addressee = _addressee(config)
    inbox.put(_restored(memory, trust, addressee))
    return Loop(
        state=node.initial(_node_settings(config, trust, key), RELEASED_AT_S, clock.read()),
        inbox=inbox,
        adapters=Adapters(
            clock=clock,
            link=link,
            store=store,
            fetch=fetch,
            player=player,
            card=card,
            amplifiers=amplifiers,
            supervisor=supervisor,
            vitals=Vitals(disk=config.storage.state),
            console=console,
        ),
        judge=_judge(trust, addressee),
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


def _judge(
    trust: TrustStore, addressee: Addressee
) -> Callable[[ev.MessageArrived, float | None, int], ev.CommandVerified | ev.CommandRefused]:
    def judge(
        message: ev.MessageArrived, trusted_s: float | None, floor_s: int
    ) -> ev.CommandVerified | ev.CommandRefused:
        found = verify(
            message.payload,
            retained=message.retained,
            trust=trust,
            addressee=addressee,
            clock=ClockView(trusted_s, floor_s),
        )
        if isinstance(found, VerifiedCommand):
            return ev.CommandVerified(message.delivery, found)
        return ev.CommandRefused(message.delivery, found.reason, found.detail, found.reportable, found.iss, found.jti)

    return judge


def _restored(memory: ev.Memory, trust: TrustStore, addressee: Addressee) -> ev.Restored:
    """What the store remembers, its envelopes verified again: the file on the card proves nothing."""
    items = []
    for stored in memory.items:
        found = verify_stored(stored.envelope, trust=trust, addressee=addressee)
        if isinstance(found, VerifiedCommand) and isinstance(found.command, Play):
            items.append(ev.RestoredItem(found, stored.accepted_at, stored.started_at))
        else:
            log.error("a stored item is no longer verified and is left alone: %s", found)
    return ev.Restored(
        memory.next_seq, memory.outbox_count, memory.accepted, memory.stops, tuple(items), memory.settings
    )


def _node_settings(config: Config, trust: TrustStore, key: NodeKey) -> node.NodeSettings:
    return node.NodeSettings(
        node=config.node,
        site=config.site,
        boot=os.urandom(16).hex(),
        version=__version__,
        public=key.public_base64url,
        trust_version=trust.document.version,
        trust_sha256=fingerprint(trust.document),
        key_ends=tuple((each.kid, int(each.valid_until.timestamp())) for each in trust.document.keys if each.may),
        zones={
            zone.name: AmplifierSettings(zone.warm_up_ms, zone.linger_ms, zone.max_on_s, zone.min_off_ms)
            for zone in config.amplifier
        },
        volume_percent=config.audio.volume_percent,
        emergency_volume_percent=config.audio.emergency_volume_percent,
        heartbeat_s=config.heartbeat_s,
    )


def _lines(config: Config) -> dict[str, Line]:
    return {zone.name: Line(zone.gpio, zone.active_high) for zone in config.amplifier}


def _addressee(config: Config) -> Addressee:
    return Addressee(config.site, config.node, frozenset(config.groups))


def _socket(config: Config) -> Path:
    return config.storage.runtime / "agent.sock"


def _key_file(config: Config) -> Path:
    return config.storage.state / "node.key"


def _node_key(config: Config) -> NodeKey:
    return load_or_make(_key_file(config))


if __name__ == "__main__":
    main()
