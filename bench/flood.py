"""What a thousand forgeries a second cost a good order, in time, memory and disk.

Each forgery is a real order with one letter of its signature changed: it passes every cheap check, so each costs the
node a whole Ed25519 verification. Quiet and flooded rounds alternate within one run.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from bench.idle import memory_mib, written_bytes
from bench.latency import Span, first_sound, p50_p95, wait_off
from rig.calm import Machine
from rig.heard import encode, sweep, write_wav
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station, command_topic
from rig.web import WebServer, serve

ROUNDS = 5
FORGERIES_PER_S = 1_000
BATCH_S = 0.05
SETTLE_S = 2.0
"""A flooded round begins when the flood has run so long."""
BUDGET_MS = 300
SECONDS = 1.0

Publish = Callable[[bytes], None]


def run(station: Station, sound: Daemon, machine: Machine) -> None:
    """Print p50 and p95 with and without the flood, in ms, and what else it cost."""
    mp3 = encode(write_wav(station.folder / "sweep.wav", sweep(SECONDS)), station.folder / "sweep.mp3", "-b:a", "128k")
    body = mp3.read_bytes()
    amplifier = {"main": {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 100, "min_off_ms": 0}}
    spans: dict[bool, list[Span]] = {False: [], True: []}
    sent = 0
    with (
        WebServer({"/sweep.mp3": serve(body)}) as web,
        Node(station, sound, changes={"amplifier": amplifier, "heartbeat_s": 10}) as node,
        station.listen() as ear,
        sound.recorder() as recorder,
        station.broker.publisher(station.control, command_topic(node.name)) as send,
        station.broker.publisher(station.control, command_topic(node.name)) as flood,
    ):
        source = Source(file=File(web.uri("/sweep.mp3"), hashlib.sha256(body).hexdigest(), len(body)))
        memory, written = memory_mib(node.pid)["Rss"], 0
        for number in range(2 * ROUNDS + 2):
            flooded = number % 2 == 1
            play = Play(f"flood-{number}", Kind.NORMAL, "bench", (source,), 10)
            envelope = station.sign(play).envelope
            with _flooding(flood, envelope) if flooded else _calm() as count:
                time.sleep(SETTLE_S)
                span = first_sound(recorder, lambda envelope=envelope: send(envelope))  # type: ignore[misc]
                before = written_bytes(node.pid)
                time.sleep(SETTLE_S)
                written += (written_bytes(node.pid) - before) * flooded
            sent += count[0]
            ear.record(play.item)
            wait_off(node, ear)
            if number == 1:
                memory = memory_mib(node.pid)["Rss"]
            if number > 1:  # the first of each fetches the file and warms everything
                spans[flooded].append(span)
        after = memory_mib(node.pid)["Rss"]
        beats = len(ear.heartbeats)
        ear.wait(lambda: len(ear.heartbeats) > beats + 1, what="two more heartbeats")
        refused = _refused(ear.heartbeats)
    print(f"\norder published -> first sample under {FORGERIES_PER_S} forgeries a second, {ROUNDS} rounds each, in ms")
    print(f"  {'':<10} {'p50':>7} {'p95':>7}   without the machine's stalls {'p50':>7} {'p95':>7} (budget {BUDGET_MS})")
    for name, flooded in (("quiet", False), ("flooded", True)):
        clock = [(heard_s - began_s) * 1_000 for began_s, heard_s in spans[flooded]]
        share = [machine.ours_s(*span) * 1_000 for span in spans[flooded]]
        print(f"  {name:<10} {p50_p95(clock)} {'':<30} {p50_p95(share)}")
    print(f"  {sent} forgeries sent, {refused} refused and counted")
    print(f"  RSS {memory:.1f} MiB after the first thousands, {after:.1f} at the end")
    print(f"  {written} bytes written to disk while forgeries came after the record of the play")


def _refused(heartbeats: list[dict[str, Any]]) -> int:
    return int(heartbeats[-1].get("refused", {}).get("bad_signature", 0))


@contextmanager
def _calm() -> Iterator[list[int]]:
    yield [0]


@contextmanager
def _flooding(publish: Publish, envelope: bytes) -> Iterator[list[int]]:
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
            due = round((boottime_s() - began_s) * FORGERIES_PER_S) - count[0]
            publish(b"\n".join(forged() for _ in range(due)))
            count[0] += due

    thread = threading.Thread(target=work, name="flood", daemon=True)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join()
