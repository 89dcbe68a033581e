"""A killed agent, and what the village hears of it: the item goes on, the one that kills twice does not."""

import hashlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, File, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.ear import Ear
from rig.heard import encode, heard, sweep, write_wav
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station
from rig.web import WebServer, serve

LENGTH_S = 10.0
KEPT_EVERY_S = 1.0
SEEKING_S = 0.15
"""How exactly a place is found again (design section 8)."""
IN_CARD_S = 0.4
"""Heard after the kill: what the card and the rig's daemon still hold."""
serial = itertools.count()


@pytest.fixture
def node(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def order(source: Source) -> Play:
    return Play(f"cut-{next(serial)}", Kind.NORMAL, "title", (source,), 60)


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_a_killed_agent_goes_on_where_it_was_within_five_seconds(
    kind: str, station: Station, sound: Daemon, node: Node, ear: Ear, machine: Machine, tmp_path: Path
) -> None:
    sent = sweep(LENGTH_S)
    file = write_wav(tmp_path / "sweep.wav", sent)
    if kind != "wav":
        file = encode(file, tmp_path / f"sweep.{kind}", *(("-b:a", "128k") if kind == "mp3" else ()))
    body = file.read_bytes()
    with WebServer({f"/{file.name}": serve(body)}) as web, sound.recorder() as recorder:
        source = Source(file=File(web.uri(f"/{file.name}"), hashlib.sha256(body).hexdigest(), len(body)))
        play = order(source)
        station.send(station.sign(play))
        onset = recorder.wait_for_sound(timeout_s=15)
        recorder.listen(4.0)
        killed_s = boottime_s()
        node.end(signal.SIGKILL)
        killed = recorder.wait_for_silence(quiet_s=0.5, timeout_s=5.0)
        lines = len(node.log)
        node.start()
        ready_s = node.wait_for_line("ready", since=lines)
        resumed = recorder.wait_for_sound(since=killed, timeout_s=15)
        record = ear.record(play.item)
        recorder.listen(0.3)
    place_s = heard(sent, recorder.samples(resumed)).head_lost_ms / 1_000
    left_at_s = killed_s - recorder.time_of(onset)
    assert machine.ours_s(ready_s, recorder.time_of(resumed)) <= 5.0
    assert left_at_s - KEPT_EVERY_S - SEEKING_S - IN_CARD_S <= place_s <= left_at_s + SEEKING_S
    assert heard(sent, recorder.samples(resumed)).tail_lost_ms <= 10.0
    assert (record["result"], record["reason"]) == ("played", None)
    assert record["played_s"] == pytest.approx(LENGTH_S, abs=SEEKING_S + 0.05), (
        "what was heard, but for the last second"
    )
    assert [each["item"] for each in ear.of("play_record")].count(play.item) == 1


def test_what_was_on_the_air_at_two_crashes_is_given_up(station: Station, sound: Daemon, node: Node, ear: Ear) -> None:
    play = order(Source(builtin=Builtin(BuiltinName.TONE)))
    station.send(station.sign(play))
    for _ in range(2):
        with sound.recorder() as recorder:
            recorder.wait_for_sound(timeout_s=15)
        node.end(signal.SIGKILL)
        node.command("amp-off")
        node.start()
    record = ear.record(play.item)
    assert (record["result"], record["reason"]) == ("failed", "crash")
    assert not node.relay_on


def test_an_orderly_restart_is_no_crash(station: Station, sound: Daemon, node: Node, ear: Ear) -> None:
    play = order(Source(builtin=Builtin(BuiltinName.TONE)))
    station.send(station.sign(play))
    for _ in range(3):
        with sound.recorder() as recorder:
            recorder.wait_for_sound(timeout_s=15)
            recorder.listen(1.2)
        assert node.end(signal.SIGTERM) == 0
        node.start()
    with sound.recorder() as recorder:
        recorder.wait_for_sound(timeout_s=15)
    assert ear.of("play_record") == []
