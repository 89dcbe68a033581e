"""What all faults have in common: ears, an account of what was ordered, and that nothing piles up in the node."""

from collections.abc import Iterator

import pytest

from rig.ear import Ear
from rig.village import Node, Station
from tests.faults.account import Account

MAX_THREADS = 40
"""The unit allows 64 tasks."""


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


@pytest.fixture
def account(station: Station, node: Node, ear: Ear) -> Account:
    return Account(station, node, ear)
