"""One disk with the agent installed, made once; every module lays its own changes over it and boots."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from rig.ear import Ear
from rig.heard import sweep, write_wav
from rig.sound import Samples
from rig.village import Station
from rig.vm.guest import HOST, Guest, layer
from rig.vm.image import Image, image
from rig.vm.pole import Pole, install
from rig.web import WebServer, serve

SECONDS = {"short": 4.0, "long": 60.0}
serial = count()


@pytest.fixture(scope="session")
def made() -> Image:
    return image()


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("station"), names=(HOST,)) as station:
        yield station


@pytest.fixture(scope="session")
def installed(made: Image, station: Station, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a pole that has been in service, and knew the time then."""
    disk = layer(made.disk, tmp_path_factory.mktemp("vm") / "installed.qcow2")
    with Guest(made, disk) as guest:
        guest.boot()
        install(guest, station)
        with Pole(guest) as pole:
            pole.systemctl("start")
            pole.synchronise()
            pole.wait_for_line("clock trusted")
        guest.shut_down()
    return disk


@pytest.fixture(scope="module")
def guest(made: Image, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine of the module's own, with the power off."""
    with Guest(made, layer(installed, tmp_path_factory.mktemp("guest") / "disk.qcow2")) as guest:
        yield guest


@pytest.fixture(scope="session")
def sweeps() -> dict[str, Samples]:
    """What is played, by name."""
    return {name: sweep(seconds) for name, seconds in SECONDS.items()}


@pytest.fixture(scope="session")
def order(sweeps: dict[str, Samples], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Play]]:
    """A play of a sweep, under a name of its own."""
    folder = tmp_path_factory.mktemp("sweeps")
    files = {name: write_wav(folder / f"{name}.wav", samples).read_bytes() for name, samples in sweeps.items()}
    with WebServer({f"/{name}.wav": serve(body) for name, body in files.items()}) as web:

        def play(name: str) -> Play:
            body = files[name]
            file = File(web.uri(f"/{name}.wav", HOST), hashlib.sha256(body).hexdigest(), len(body))
            return Play(f"{name}-{next(serial)}", Kind.NORMAL, "title", (Source(file=file),), 120)

        yield play


@pytest.fixture(scope="module")
def ear(station: Station, guest: Guest) -> Iterator[Ear]:
    """All that the pole says to its server."""
    with station.listen() as ear:
        yield ear
