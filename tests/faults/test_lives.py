"""SIGKILL and power cuts at any moment of a working node: no report lost, nothing played twice, no replay obeyed.

`make soak` does the same some hundreds of times (`python -m tests.soak`).
"""

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from random import Random

import pytest

from agent.messages.effects import AppendReport, RememberCommand, Write
from agent.messages.events import Committed, Event
from agent.store import Store
from rig.disk import Disk
from rig.ear import Ear
from rig.lives import Found, Lives
from rig.sound import Daemon
from rig.village import Node, Station
from tests.test_store import report

KILLS = 15
CUTS = 15
STORE_CUTS = 50


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


def test_what_the_store_has_confirmed_outlives_power_cuts(disk: Disk) -> None:
    """And what it has not confirmed is there whole or not at all."""
    random = Random(5)
    confirmed: set[int] = set()
    token = 0
    for _ in range(STORE_CUTS):
        inbox: SimpleQueue[Event] = SimpleQueue()
        store = Store(path=disk.folder / "state" / "loa.db", post=inbox.put)
        memory = store.load()
        assert memory.fault == "", "it was found whole"
        found = {int(jti.removeprefix("jti-")) for _, jti, _ in memory.accepted}
        assert confirmed <= found, "confirmed, and gone"
        assert memory.outbox_count == len(found), "half a transaction"
        confirmed = found
        for _ in range(random.randrange(1, 30)):
            token += 1
            writes: tuple[Write, ...] = (
                RememberCommand("iss", f"jti-{token:06}", 2_000_000_000),
                AppendReport(report(token)),
            )
            store.commit(token, writes)
            if random.random() < 0.5:
                answer = inbox.get(timeout=20)
                confirmed |= {answer.token} if isinstance(answer, Committed) else set()
        disk.cut()
        while not inbox.empty():
            answer = inbox.get()
            confirmed |= {answer.token} if isinstance(answer, Committed) else set()
        store.close()
        disk.boot()
    assert len(confirmed) > STORE_CUTS


@pytest.fixture
def ear(station: Station) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def test_a_node_that_is_killed_at_any_moment(station: Station, sound: Daemon, ear: Ear) -> None:
    node = Node(station, sound)
    lives = Lives(station, node, ear, seed=1)
    try:
        lives.killed(KILLS)
        assert lives.settle() == Found()
    finally:
        node.__exit__(None, None, None)
    assert len(lives.orders) > KILLS // 3


def test_a_node_whose_power_is_cut_at_any_moment(station: Station, sound: Daemon, ear: Ear, disk: Disk) -> None:
    storage = {"state": str(disk.folder / "state"), "runtime": "runtime"}
    node = Node(station, sound, changes={"storage": storage})
    lives = Lives(station, node, ear, seed=2)
    try:
        lives.cut_off(CUTS, disk, node.folder / "runtime")
        assert lives.settle() == Found()
    finally:
        node.__exit__(None, None, None)
    assert len(lives.orders) > CUTS // 3
