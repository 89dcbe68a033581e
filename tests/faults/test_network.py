"""A network that loses packets, goes away, and comes back, between a real broker and a node in its own namespace."""

import os
from collections.abc import Callable, Iterator

import pytest

from agent.messages.words import Kind
from rig.calm import Machine
from rig.network import Network
from rig.sound import Daemon, boottime_s, wait_until
from rig.village import Node, Station
from tests.faults.account import PLAYED, Account

KEEPALIVE_S = 5
NOTICED_S = 2.5 * KEEPALIVE_S
BACK_S = 5.0
"""From network back to link up."""
LOST = 0.3
PARTITIONS = int(os.environ.get("PARTITIONS", "1"))
LOST_IN_A_ROW = 4
"""Repeats of one packet by the kernel: some 1.5 s."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Network(tmp_path_factory.mktemp("network")) as network:
        yield network


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("station"), addresses=(network.station,)) as station:
        yield station


@pytest.fixture
def node(station: Station, sound: Daemon, network: Network) -> Iterator[Node]:
    network.pass_all()
    identity = station.authority.client("hd-03")
    mqtt = {
        "brokers": [f"mqtts://{network.station}:{station.broker.port}"],
        "ca": str(station.authority.ca),
        "certificate": str(identity.certificate),
        "key": str(identity.key),
        "keepalive_s": KEEPALIVE_S,
    }
    with Node(station, sound, changes={"mqtt": mqtt}, prefix=network.pole.prefix) as node:
        yield node


def test_orders_and_reports_pass_where_a_third_of_all_packets_is_lost(
    station: Station, node: Node, network: Network, account: Account
) -> None:
    """Each way; and the connection itself is made anew meanwhile."""
    network.lose(LOST)
    for kind in (Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY):
        account.order(kind)
    account.wait_told(account.orders)
    since = len(node.log)
    station.broker.restart()
    for kind in (Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY):
        account.order(kind)
    node.wait_for_line("link up", since=since)
    assert account.settled() == dict.fromkeys(list(account.orders)[:6], PLAYED)
    assert network.dropped > 10


@pytest.mark.parametrize(
    ("part", "join"),
    [(Network.unplug, Network.plug_in), (Network.swallow, Network.pass_all)],
    ids=["no network", "packets vanish"],
)
def test_the_link_is_up_within_five_seconds_of_a_network_that_was_away(
    node: Node,
    network: Network,
    account: Account,
    machine: Machine,
    record_property: Callable[[str, object], None],
    part: Callable[[Network], None],
    join: Callable[[Network], None],
) -> None:
    """Wherever it is in its attempts to connect; what was ordered meanwhile waits at the broker."""
    for attempts in range(1, PARTITIONS + 1):
        since, away_s = len(node.log), boottime_s()
        part(network)
        down_s = node.wait_for_line("link down", since=since)
        assert machine.ours_s(away_s, down_s) <= NOTICED_S
        account.order()
        for _ in range(attempts):
            node.wait_for_line("link down", since=len(node.log))
        since, back_s = len(node.log), boottime_s()
        join(network)
        up_s = machine.ours_s(back_s, node.wait_for_line("link up", since=since))
        record_property("up_s", up_s)
        assert up_s <= BACK_S
    assert account.settled() == dict.fromkeys(list(account.orders)[:PARTITIONS], PLAYED)


def test_what_the_kernel_sends_again_costs_no_connection(node: Node, network: Network, account: Account) -> None:
    since = len(node.log)
    network.swallow()
    item = account.order()
    wait_until(lambda: network.dropped >= LOST_IN_A_ROW, what="packets sent again and again")
    network.pass_all()
    assert account.settled()[item] == PLAYED
    assert not any("link down" in line for _, line in node.log[since:])
