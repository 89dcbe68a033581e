"""A sound card that is missing at the start, or is pulled out amid an announcement, and comes back."""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, File, Source
from agent.messages.words import Kind
from rig.ear import Ear
from rig.heard import encode, heard, sweep, write_wav
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station
from rig.web import WebServer, serve

TONE = Source(builtin=Builtin(BuiltinName.TONE))
LENGTH_S = 12.0
IN_CARD_S = 0.7
"""Gone with the card: what it held (600 ms), and half a period here and there."""
serial = itertools.count()


@pytest.fixture
def card() -> Iterator[Daemon]:
    with Daemon() as card:
        yield card


@pytest.fixture
def node(station: Station, card: Daemon) -> Node:
    return Node(station, card)


@pytest.fixture
def ear(station: Station) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def order(station: Station, kind: Kind, source: Source, length_s: int = 1) -> str:
    play = Play(f"card-{next(serial)}", kind, "title", (source,), length_s)
    station.send(station.sign(play, key=station.defence if kind is Kind.EMERGENCY else station.operator))
    return play.item


def faults(ear: Ear) -> list[str]:
    return list(ear.heartbeats[-1].get("faults", [])) if ear.heartbeats else []


def test_one_that_is_missing_at_the_start_is_told_and_waited_for(
    station: Station, card: Daemon, node: Node, ear: Ear
) -> None:
    card.unplug()
    with node:
        ear.wait(lambda: faults(ear) == ["card"], what="a heartbeat that says so, with nothing to play")
        ear.wait(lambda: [each["what"] for each in ear.of("alarm")] == ["sound_card"], what="an alarm")
        items = [order(station, Kind.NORMAL, TONE), order(station, Kind.EMERGENCY, TONE)]
        for item in items:
            node.wait_for_line("verified and accepted")
            assert not [each for each in ear.of("play_record") if each["item"] == item]
        assert node.switched() == []
        assert "loa_village" in node.command("status").stdout
        card.plug()
        assert [ear.record(item)["result"] for item in items] == ["played", "played"]
        ear.wait(lambda: faults(ear) == [], what="a heartbeat that says that it is over")


@pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.EMERGENCY])
def test_one_that_is_pulled_out_amid_an_announcement_lets_it_go_on_once_it_is_back(
    station: Station, card: Daemon, node: Node, ear: Ear, tmp_path: Path, kind: Kind
) -> None:
    sent = sweep(LENGTH_S)
    body = encode(write_wav(tmp_path / "sweep.wav", sent), tmp_path / "sweep.flac").read_bytes()
    with WebServer({"/sweep.flac": serve(body)}) as web, node:
        source = Source(file=File(web.uri("/sweep.flac"), hashlib.sha256(body).hexdigest(), len(body)))
        item = order(station, kind, source, 60)
        began_s = node.wait_for_line(f"item {item}: sounding")
        with card.recorder() as recorder:
            recorder.listen(4.0)
        since, pulled_s = len(node.log), boottime_s()
        card.unplug()
        off_s = node.wait_for_line("sound card: ", since=since)
        ear.wait(lambda: faults(ear) == ["card"], what="a heartbeat that says so")
        assert not node.relay_on
        assert node.switched()[-1].at_s <= off_s + 0.5
        card.plug()
        with card.recorder() as recorder:
            resumed = recorder.wait_for_sound(timeout_s=15)
            record = ear.record(item)
            recorder.listen(0.3)
    found = heard(sent, recorder.samples(resumed))
    left_at_s = pulled_s - began_s
    assert left_at_s - IN_CARD_S - 0.3 <= found.head_lost_ms / 1_000 <= left_at_s + 0.3
    assert found.tail_lost_ms <= 10.0
    assert (record["result"], record["reason"]) == ("played", None)
    assert record["played_s"] == pytest.approx(LENGTH_S, abs=0.1)
    assert [each["item"] for each in ear.of("play_record")].count(item) == 1
