"""A resolver that says nothing, and one that does not know the broker: the pole does without until it is back."""

from collections.abc import Iterator

import pytest

from agent.console import SOCKET_NAME, ask
from agent.messages.codec import decode
from agent.messages.condition import Condition
from rig.calm import Machine
from rig.network import Network
from rig.resolver import Resolver
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station
from tests.faults.account import PLAYED, Account

NAME = "mqtt.hoang-dao.example"
BACK_S = 5.0
"""From network back to link up."""
ANSWER_S = 1.0
"""The loop's answer to somebody at the pole."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Network(tmp_path_factory.mktemp("network")) as network:
        yield network


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("station"), addresses=(network.station,), names=(NAME,)) as station:
        yield station


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[Resolver]:
    with Resolver(tmp_path_factory.mktemp("resolver"), network.station) as resolver:
        network.ask(resolver.address)
        yield resolver


@pytest.fixture
def node(station: Station, sound: Daemon, network: Network, resolver: Resolver) -> Iterator[Node]:
    network.pass_all()
    resolver.know(NAME, network.station)
    identity = station.authority.client("hd-03")
    mqtt = {
        "brokers": [f"mqtts://{NAME}:{station.broker.port}"],
        "ca": str(station.authority.ca),
        "certificate": str(identity.certificate),
        "key": str(identity.key),
    }
    with Node(station, sound, changes={"mqtt": mqtt}, prefix=network.pole.prefix) as node:
        yield node


def told(node: Node) -> Condition:
    """What the loop answers to somebody at the pole."""
    return decode(ask(node.folder / "runtime" / SOCKET_NAME, "status", 10.0), Condition)


def test_a_pole_whose_resolver_says_nothing_plays_what_it_has(
    station: Station, node: Node, network: Network, account: Account, machine: Machine
) -> None:
    item = account.order(max_duration_s=6)
    node.wait_for_line(f"item {item}: sounding")
    assert node.end() == 0
    network.swallow("-p", "udp", "--dport", "53")
    since = len(node.log)
    node.start(wait=False)
    node.wait_for_line("amplifier main: on", since=since)
    while not any(f"item {item}: played" in line for _, line in node.log[since:]):
        asked_s = boottime_s()
        assert not told(node).link_up
        assert machine.ours_s(asked_s, boottime_s()) <= ANSWER_S
    back_s = boottime_s()
    network.pass_all()
    assert machine.ours_s(back_s, node.wait_for_line("link up", since=since)) <= BACK_S
    account.wait_told([item])
    assert account.fate(item).results == ("played",)


def test_a_pole_whose_broker_has_no_name_says_so_and_finds_it_once_it_has(
    station: Station, node: Node, network: Network, resolver: Resolver, account: Account, machine: Machine
) -> None:
    node.end()
    resolver.forget()
    since = len(node.log)
    node.start(wait=False)
    for _ in range(2):
        node.wait_for_line(f"{NAME}:{station.broker.port}: the broker's name cannot be resolved", since=since)
        since = len(node.log)
    item, back_s = account.order(), boottime_s()
    resolver.know(NAME, network.station)
    assert machine.ours_s(back_s, node.wait_for_line("link up", since=since)) <= BACK_S
    assert account.settled()[item] == PLAYED
