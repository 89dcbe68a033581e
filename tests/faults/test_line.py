"""Broker and line that fail in the ways they do in the field: killed, slow, dead without saying so."""

import itertools
from collections.abc import Iterator

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.ear import Ear
from rig.proxy import Proxy
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station

TONE = Source(builtin=Builtin(BuiltinName.TONE))
KEEPALIVE_S = 5
BACK_S = 5.0
"""From network back to link up."""
serial = itertools.count()


@pytest.fixture
def line(station: Station) -> Iterator[Proxy]:
    with Proxy(int(station.broker.url.rpartition(":")[2])) as line:
        yield line


@pytest.fixture
def node(station: Station, sound: Daemon, line: Proxy) -> Iterator[Node]:
    identity = station.authority.client("hd-03")
    mqtt = {
        "brokers": [f"mqtts://localhost:{line.port}"],
        "ca": str(station.authority.ca),
        "certificate": str(identity.certificate),
        "key": str(identity.key),
        "keepalive_s": KEEPALIVE_S,
    }
    with Node(station, sound, changes={"mqtt": mqtt}) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def order(station: Station) -> str:
    play = Play(f"line-{next(serial)}", Kind.NORMAL, "title", (TONE,), 1)
    station.send(station.sign(play))
    return play.item


def test_the_link_is_up_within_five_seconds_of_the_network(
    station: Station, node: Node, ear: Ear, line: Proxy, machine: Machine
) -> None:
    """However long it was away: the wait between two attempts does not grow beyond that."""
    station.broker.kill()
    node.wait_for_line("link down")
    for _ in range(6):
        node.wait_for_line("link down", since=len(node.log))
    since, back_s = len(node.log), boottime_s()
    station.broker.restart()
    up_s = node.wait_for_line("link up", since=since)
    assert machine.ours_s(back_s, up_s) <= BACK_S
    assert ear.record(order(station))["result"] == "played"


def test_a_line_that_is_dead_without_saying_so_is_noticed(
    station: Station, node: Node, ear: Ear, line: Proxy, machine: Machine
) -> None:
    since, dead_s = len(node.log), boottime_s()
    line.dead = True
    down_s = node.wait_for_line("link down", since=since)
    assert machine.ours_s(dead_s, down_s) <= 2.5 * KEEPALIVE_S
    item = order(station)
    line.dead = False
    node.wait_for_line("link up", since=since)
    assert ear.record(item)["result"] == "played"


def test_two_seconds_each_way_are_slow_and_nothing_else(station: Station, node: Node, ear: Ear, line: Proxy) -> None:
    line.delay_s = 2.0
    since = len(node.log)
    for item in [order(station) for _ in range(3)]:
        assert ear.record(item)["result"] == "played"
    assert not any("link down" in text for _, text in node.log[since:])
    assert len({(each["boot"], each["seq"]) for each in ear.reports}) == len(ear.reports), "none was sent twice"
