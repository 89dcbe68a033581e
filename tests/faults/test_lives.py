"""SIGKILL and power cuts at any moment of a working node: no report lost, nothing played twice, no replay obeyed.

`make soak` does the same some hundreds of times.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from rig.disk import Disk
from rig.ear import Ear
from rig.lives import Found, Lives
from rig.sound import Daemon
from rig.village import Node, Station

KILLS = int(os.environ.get("KILLS", "15"))
CUTS = int(os.environ.get("CUTS", "15"))
STORE_CUTS = int(os.environ.get("STORE_CUTS", "50"))
SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


def test_what_the_store_has_confirmed_outlives_power_cuts(disk: Disk) -> None:
    """And what it has not confirmed is there whole or not at all."""
    random = Random(SEED)
    confirmed: set[int] = set()
    for life_number in range(STORE_CUTS):
        arguments = (str(disk.folder / "state" / "loa.db"), str(10_000 * life_number))
        life = subprocess.Popen([sys.executable, "-m", "rig.store_life", *arguments], stdout=subprocess.PIPE, text=True)
        assert life.stdout is not None
        memory = json.loads(life.stdout.readline())
        assert memory["fault"] == "", "it was found whole"
        assert confirmed <= set(memory["found"]), "confirmed, and gone"
        assert memory["reports"] == len(memory["found"]), "half a transaction"
        time.sleep(random.uniform(0, 0.08))
        life.send_signal(signal.SIGSTOP)
        disk.cut()
        life.kill()
        told = life.stdout.read()
        life.wait()
        life.stdout.close()
        confirmed |= {int(line.removeprefix("c ")) for line in told.splitlines()}
        disk.boot()
    assert len(confirmed) > STORE_CUTS


@pytest.fixture
def ear(station: Station) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def test_a_node_that_is_killed_at_any_moment(station: Station, sound: Daemon, ear: Ear) -> None:
    node = Node(station, sound)
    lives = Lives(station, node, ear, seed=SEED)
    try:
        lives.killed(KILLS)
        assert lives.settle() == Found()
    finally:
        node.__exit__(None, None, None)
    assert len(lives.orders) > KILLS // 3


def test_a_node_whose_power_is_cut_at_any_moment(station: Station, sound: Daemon, ear: Ear, disk: Disk) -> None:
    storage = {"state": str(disk.folder / "state"), "runtime": "runtime"}
    node = Node(station, sound, changes={"storage": storage})
    lives = Lives(station, node, ear, seed=SEED)
    try:
        lives.cut_off(CUTS, disk, node.folder / "runtime")
        assert lives.settle() == Found()
    finally:
        node.__exit__(None, None, None)
    assert len(lives.orders) > CUTS // 3
