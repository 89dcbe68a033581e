"""A broker whose certificate expires in mid-life: refused, said clearly, asked again gently, taken up once renewed."""

import re
from collections.abc import Iterator
from itertools import pairwise

import pytest

from rig.calm import Machine
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station
from tests.faults.account import PLAYED, Account

BACK_S = 5.0
"""From a good broker to link up."""
ATTEMPTS = 4
AGAIN = re.compile(r"next attempt in ([0-9.]+) s")
ROUNDED_S = 0.06


@pytest.fixture
def node(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound) as node:
        yield node


def waits(node: Node, since: int) -> list[tuple[float, float]]:
    """How long the node waited from one failure to the next, at least, and how long it had said it would."""
    failed = [(at_s, AGAIN.search(line)) for at_s, line in node.log[since:]]
    told = [(at_s, float(found[1])) for at_s, found in failed if found is not None]
    return [(later_s - at_s, announced_s) for (at_s, announced_s), (later_s, _) in pairwise(told)]


def test_an_expired_certificate_is_refused_until_there_is_a_good_one(
    station: Station, node: Node, account: Account, machine: Machine
) -> None:
    item, since = account.order(), len(node.log)
    node.wait_for_line(f"item {item}: sounding")
    station.broker.certify(station.authority.server("expired", expired=True))
    station.broker.restart()
    node.wait_for_line("the broker's certificate has expired", since=since)
    node.wait_for_line(f"item {item}: played", since=since)
    for _ in range(ATTEMPTS):
        node.wait_for_line("link down", since=len(node.log))
    assert all(gap_s >= announced_s - ROUNDED_S for gap_s, announced_s in waits(node, since))
    station.broker.certify(station.certificate)
    since, back_s = len(node.log), boottime_s()
    station.broker.restart()
    assert machine.ours_s(back_s, node.wait_for_line("link up", since=since)) <= BACK_S
    account.order()
    assert account.settled() == dict.fromkeys(list(account.orders)[:2], PLAYED)
