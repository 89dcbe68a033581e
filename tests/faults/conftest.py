"""What all faults have in common: ears, an account of what was ordered, and that nothing has piled up in the node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.ear import Ear
from rig.pole import Pole
from rig.sound import wait_until
from rig.village import Node, Station
from tests.faults.account import Account

MAX_THREADS = 32
"""An idle node has some 16; the unit allows 64 tasks, children among them."""
MAX_FILES = 64


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


@pytest.fixture
def account(station: Station, node: Node, ear: Ear) -> Account:
    return Account(station, node, ear)


def threads_of(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def dead_children_of(pid: int) -> list[str]:
    """Those that nobody has waited for."""
    children = [child for thread in threads_of(pid) for child in (thread / "children").read_text().split()]
    return [child for child in children if ") Z " in Path(f"/proc/{child}/stat").read_text()]


@pytest.fixture(autouse=True)
def nothing_piles_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a node has been through, its threads, files and children are as few as before."""
    node = request.getfixturevalue("node") if "node" in request.fixturenames else None
    yield
    if not isinstance(node, (Node, Pole)) or not node.running:
        return
    pid = node.pid
    assert len(threads_of(pid)) <= MAX_THREADS
    assert len(list(Path(f"/proc/{pid}/fd").iterdir())) <= MAX_FILES
    wait_until(lambda: dead_children_of(pid) == [], what="somebody to wait for the node's dead children", timeout_s=5.0)
