"""What hundreds of forgeries a second cost a good order, in time, memory and disk.

Each forgery is a real order with one letter of its signature changed: it passes every cheap check, so each costs the
node a whole Ed25519 verification. Quiet and flooded rounds alternate within one run.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from bench.budget import p50_p95
from bench.idle import memory_mib, written_bytes
from bench.latency import Span, first_sound, wait_off
from rig.calm import Machine
from rig.ear import Ear
from rig.heard import encode, sweep, write_wav
from rig.sound import Daemon, Recorder, boottime_s
from rig.village import Node, Station, command_topic
from rig.web import WebServer, serve

ROUNDS = 5
RATES_PER_S = (200, 1_000)
"""Forgeries: what a Pi Zero 2 W must bear, and what this machine must."""
BATCH_S = 0.05
SETTLE_S = 2.0
"""A flooded round begins when the flood has run so long."""
BUDGET_MS = 300
SECONDS = 1.0
RAW_S = 2.0

Publish = Callable[[bytes], None]


@dataclass
class Rig:
    """What every round uses."""

    node: Node
    ear: Ear
    recorder: Recorder
    send: Publish
    flood: Publish
    order: Callable[[str], bytes]


@dataclass
class Cost:
    """What the rounds at one rate gave."""

    spans: list[Span] = field(default_factory=list)
    sent: int = 0
    written: int = 0


def run(station: Station, sound: Daemon, machine: Machine) -> None:
    """Print p50 and p95 without a flood and with each, in ms, and what else it cost."""
    mp3 = encode(write_wav(station.folder / "sweep.wav", sweep(SECONDS)), station.folder / "sweep.mp3", "-b:a", "128k")
    body = mp3.read_bytes()
    amplifier = {"main": {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 100, "min_off_ms": 0}}
    with (
        WebServer({"/sweep.mp3": serve(body)}) as web,
        Node(station, sound, changes={"amplifier": amplifier, "heartbeat_s": 10}) as node,
        station.listen() as ear,
        sound.recorder() as recorder,
        station.broker.publisher(station.control, command_topic(node.name)) as send,
        station.broker.publisher(station.control, command_topic(node.name)) as flood,
    ):
        source = Source(file=File(web.uri("/sweep.mp3"), hashlib.sha256(body).hexdigest(), len(body)))
        rig = Rig(
            node=node, ear=ear, recorder=recorder, send=send, flood=flood,
            order=lambda item: station.sign(Play(item, Kind.NORMAL, "bench", (source,), 10)).envelope,
        )  # fmt: skip
        _rounds(rig, "warm", 0, 1)
        print(f"\none core here verifies {_raw_per_s():.0f} signatures a second, and nothing else meanwhile")
        print(f"order published -> first sample, {ROUNDS} rounds each, in ms")
        print(f"  {'forgeries':<12} {'p50':>7} {'p95':>7}   without the machine's stalls {'p50':>7} {'p95':>7}")
        _told("none", _rounds(rig, "quiet", 0, ROUNDS), machine)
        for rate_per_s in RATES_PER_S:
            _flooded(rig, rate_per_s, machine)


def _flooded(rig: Rig, rate_per_s: int, machine: Machine) -> None:
    before = memory_mib(rig.node.pid)["Rss"]
    name = f"{rate_per_s} a second"
    try:
        cost = _rounds(rig, f"flood-{rate_per_s}", rate_per_s, ROUNDS)
    except TimeoutError as error:
        raise TimeoutError(f"{name}: {error}; {memory_mib(rig.node.pid)['Rss'] - before:+.1f} MiB RSS") from None
    after = memory_mib(rig.node.pid)["Rss"]
    _told(name, cost, machine)
    beats = len(rig.ear.heartbeats)
    rig.ear.wait(lambda: len(rig.ear.heartbeats) > beats + 1, what="two more heartbeats")
    print(f"    budget {BUDGET_MS} ms; {cost.sent} sent, {_refused(rig.ear.heartbeats)} refused and counted so far")
    print(f"    RSS {before:.1f} MiB before, {after:.1f} after; {cost.written} bytes written to disk by forgeries")


def _rounds(rig: Rig, name: str, rate_per_s: int, rounds: int) -> Cost:
    cost = Cost()
    for number in range(rounds):
        envelope = rig.order(f"{name}-{number}")
        with _flooding(rig.flood, envelope, rate_per_s) if rate_per_s else _calm() as count:
            time.sleep(SETTLE_S if rate_per_s else 0.0)
            cost.spans.append(first_sound(rig.recorder, partial(rig.send, envelope)))
            if rate_per_s:  # the record of the play is stored by now: what is written from here on is the forgeries'
                rig.ear.record(f"{name}-{number}")
                before = written_bytes(rig.node.pid)
                time.sleep(SETTLE_S)
                cost.written += written_bytes(rig.node.pid) - before
        cost.sent += count[0]
        rig.ear.record(f"{name}-{number}")
        wait_off(rig.node, rig.ear)
    return cost


def _told(name: str, cost: Cost, machine: Machine) -> None:
    clock = [(heard_s - began_s) * 1_000 for began_s, heard_s in cost.spans]
    share = [machine.ours_s(*span) * 1_000 for span in cost.spans]
    print(f"  {name:<12} {p50_p95(clock)} {'':<30} {p50_p95(share)}")


def _raw_per_s() -> float:
    """Bare verifications by the clock, on a machine as busy as it is."""
    private = Ed25519PrivateKey.generate()
    signature, public = private.sign(b"x" * 700), private.public_key()
    began_s, count = time.monotonic(), 0
    while time.monotonic() < began_s + RAW_S:
        public.verify(signature, b"x" * 700)
        count += 1
    return count / (time.monotonic() - began_s)


def _refused(heartbeats: list[dict[str, Any]]) -> int:
    return int(heartbeats[-1].get("refused", {}).get("bad_signature", 0))


@contextmanager
def _calm() -> Iterator[list[int]]:
    yield [0]


@contextmanager
def _flooding(publish: Publish, envelope: bytes, rate_per_s: int) -> Iterator[list[int]]:
    """Forgeries at an even pace, from a thread, until the block ends; how many, in a list of one."""
    signing_input, _, signature = envelope.rpartition(b".")
    places = cycle(range(10, 70))
    over, count = threading.Event(), [0]

    def forged() -> bytes:
        place = next(places)
        other = b"A" if signature[place : place + 1] != b"A" else b"B"
        return signing_input + b"." + signature[:place] + other + signature[place + 1 :]

    def work() -> None:
        began_s = boottime_s()
        while not over.wait(BATCH_S):
            due = round((boottime_s() - began_s) * rate_per_s) - count[0]
            publish(b"\n".join(forged() for _ in range(due)))
            count[0] += due

    thread = threading.Thread(target=work, name="flood", daemon=True)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()
