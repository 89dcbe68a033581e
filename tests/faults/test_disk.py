"""A disk that is full, and one that takes nothing: what can sound sounds, and the server is told."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.disk import SmallDisk
from rig.ear import Ear
from rig.sound import Daemon
from rig.village import Node, Station

TONE = Source(builtin=Builtin(BuiltinName.TONE))
serial = itertools.count()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def node(station: Station, sound: Daemon, disk: SmallDisk) -> Iterator[Node]:
    changes = {
        "storage": {"state": str(disk.folder / "state"), "runtime": "runtime", "cache_max_mb": 1},
        "heartbeat_s": 1,
    }
    with Node(station, sound, changes=changes) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def order(station: Station, kind: Kind) -> str:
    play = Play(f"disk-{next(serial)}", kind, "title", (TONE,), 1)
    station.send(station.sign(play, key=station.defence if kind is Kind.EMERGENCY else station.operator))
    return play.item


def faults(ear: Ear) -> list[str]:
    found = ear.heartbeats[-1].get("faults", []) if ear.heartbeats else []
    assert isinstance(found, list)
    return found


def test_on_a_full_disk_emergencies_sound_and_all_else_waits_at_the_broker(
    station: Station, node: Node, ear: Ear, disk: SmallDisk
) -> None:
    disk.fill()
    lines = len(node.log)
    flood, notice = order(station, Kind.EMERGENCY), order(station, Kind.NORMAL)
    node.wait_for_line(f"item {flood}: played", since=lines)
    ear.wait(lambda: faults(ear) == ["disk"], what="a heartbeat that says so")
    assert not any(notice in line and "sounding" in line for _, line in node.log[lines:])
    told = [line for _, line in node.log[lines:] if "not stored" in line or "stores again" in line]
    assert len(told) == 1, told
    disk.free()
    record = ear.record(flood)
    assert (record["result"], record["not_durable"]) == ("played", True)
    assert ear.record(notice)["result"] == "played"
    ear.wait(lambda: faults(ear) == [], what="a heartbeat that says that it is over")


def test_a_node_on_a_disk_that_takes_nothing_starts_and_raises_alarms(
    station: Station, node: Node, ear: Ear, disk: SmallDisk
) -> None:
    order(station, Kind.NORMAL)
    ear.wait(lambda: bool(ear.of("play_record")), what="a record, so that there is a store")
    node.end()
    disk.take_nothing()
    lines = len(node.log)
    node.start()
    flood = order(station, Kind.EMERGENCY)
    node.wait_for_line(f"item {flood}: played", since=lines)
    ear.wait(lambda: faults(ear) == ["disk"], what="a heartbeat that says so")
    assert "the disk takes nothing" in node.command("status").stdout


def test_a_node_that_finds_no_room_for_its_store_raises_alarms_and_begins_anew_once_there_is(
    station: Station, node: Node, ear: Ear, disk: SmallDisk
) -> None:
    node.end()
    for file in (disk.folder / "state").iterdir():
        if file.is_file() and file.name != "node.key":
            file.unlink()
    disk.fill()
    lines = len(node.log)
    node.start()
    flood = order(station, Kind.EMERGENCY)
    node.wait_for_line(f"item {flood}: played", since=lines)
    assert "the disk takes nothing" in node.command("status").stdout
    disk.free()
    node.wait_for_line("takes something again: the agent begins anew", since=lines)
    assert node.end() == 70
    node.start()
    assert ear.record(order(station, Kind.NORMAL))["result"] == "played"
