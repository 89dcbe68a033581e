"""Machines for the packages' tests: bare, with the packages, and with a commune that works; each a layer on the other.

A test boots a machine of its own, and what it writes is gone with it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent import __version__
from rig.container import Container, booted
from rig.debian import root_file_system
from tests.package import commune
from tests.test_packaging import depends

ROOT = Path(__file__).parent.parent.parent
MACHINE = ["systemd-sysv", "dbus", "man-db"]
"""A Debian that boots."""
COMMUNE = ["mosquitto", "mosquitto-clients", "pulseaudio", "pulseaudio-utils", "libasound2-plugins"]
"""What a commune has beside poles, and a sound server in place of a card."""


@pytest.fixture(scope="session")
def packages() -> dict[str, Path]:
    """The packages as `make deb` has built them, by name."""
    found = {name: ROOT / f"build/{name}_{__version__}_all.deb" for name in ("loa-agent", "loa-control")}
    assert all(file.exists() for file in found.values()), "make deb comes first"
    return found


@pytest.fixture(scope="session")
def debian() -> Path:
    """Debian 13 with everything that the packages depend on, and without them."""
    assert os.geteuid() == 0, "containers need root"
    names = [name for package in ("loa-agent", "loa-control") for name in depends(package)]
    return root_file_system(ROOT / "build/roots", [*MACHINE, *COMMUNE, *filter(re.compile(r"[a-z]").match, names)])


def install(machine: Container, *debs: Path) -> str:
    """By apt, from files, with no network: whatever is not there already fails it."""
    for deb in debs:
        (machine.root / "root" / deb.name).write_bytes(deb.read_bytes())
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends"]
    return machine.run(*command, "--allow-downgrades", *(f"/root/{deb.name}" for deb in debs))


@pytest.fixture(scope="session")
def with_packages(debian: Path, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Layers of a machine on which the packages were installed."""
    with booted([debian], tmp_path_factory.mktemp("with-packages")) as machine:
        install(machine, *packages.values())
        machine.shut_down()
        return [machine.upper, debian]


@pytest.fixture(scope="session")
def with_commune(with_packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Layers of a machine on which there is also a commune, and no configuration of the node yet."""
    with booted(with_packages, tmp_path_factory.mktemp("with-commune")) as machine:
        commune.found_commune(machine, ROOT / "config/mosquitto")
        machine.shut_down()
        return [machine.upper, *with_packages]


Boot = Callable[[list[Path]], Container]


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    """Boot a machine from these layers."""
    with ExitStack() as stack:

        def start(layers: list[Path]) -> Container:
            return stack.enter_context(booted(layers, tmp_path / "machine"))

        yield start


@pytest.fixture
def pole(boot: Boot, with_commune: list[Path]) -> Container:
    """A machine with commune, ear, and a node that runs."""
    machine = boot(with_commune)
    commune.configure(machine)
    return machine
