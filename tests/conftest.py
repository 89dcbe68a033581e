"""Fixtures that start real parts: one sound server for the whole run, one commune for a test file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.sound import Daemon
from rig.village import Station


@pytest.fixture(scope="session")
def sound() -> Iterator[Daemon]:
    """A private sound server with a null sink that is listened to."""
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """Broker, keys and trust of one commune."""
    folder: Path = tmp_path_factory.mktemp("station")
    with Station(folder) as station:
        yield station
