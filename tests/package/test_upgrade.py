"""Upgraded, downgraded, and brought back by itself where the new version does not get ready."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from agent import __version__
from agent.storage.database import MIGRATIONS
from rig.container import Container
from tests.package import commune
from tests.package.commune import shell
from tests.package.conftest import install
from tests.package.variants import never_ready, newer_store, variant, waits_half_installed

GOOD, BROKEN, MENDED = "0.1.1", "0.1.2", "0.1.3"
KEPT = "/var/cache/loa"


@pytest.fixture
def deb(packages: dict[str, Path]) -> Path:
    return packages["loa-agent"]


def installed(machine: Container) -> str:
    """Version and state of the package, as dpkg has them."""
    return machine.run("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "loa-agent")


def identity(machine: Container) -> dict[str, str]:
    """What must be the same before and after."""
    said = commune.status(machine)
    configuration = shell(machine, "stat -c '%n %U:%G %a' /etc/loa/*", "cat /etc/loa/*")
    return {"public": said["public key"], "trust": said["trust"], "configuration": configuration}


def store_version(machine: Container) -> int:
    program = (
        "import sqlite3; print(sqlite3.connect('/var/lib/loa/loa.db').execute('PRAGMA user_version').fetchone()[0])"
    )
    shell(machine, "systemctl stop loa-agent")
    version = int(machine.run("python3", "-c", program))
    shell(machine, "systemctl start loa-agent")
    return version


def is_back(machine: Container, failed: str) -> bool:
    """Whether the first version is installed, ready, and has told of the one that failed."""
    if installed(machine) != f"{__version__} installed":
        return False
    if set(machine.run("ls", KEPT).split()) != {"previous.deb", "rolled-back"}:
        return False
    active = machine.try_to("systemctl", "is-active", "--quiet", "loa-agent").returncode == 0
    return active and commune.state(machine).get("rolled_back") == failed


def tone(machine: Container) -> None:
    commune.broadcast(machine, "play", "--title", "Chuông", "--builtin", "tone", "--max-duration", "1s")


def test_an_upgrade_and_a_downgrade_keep_key_trust_configuration_and_records(
    pole: Container, deb: Path, tmp_path: Path
) -> None:
    tone(pole)
    before = identity(pole)
    install(pole, variant(deb, tmp_path, GOOD, newer_store))
    assert (commune.status(pole)["version"], identity(pole)) == (GOOD, before)
    assert store_version(pole) == len(MIGRATIONS) + 1
    tone(pole)
    install(pole, deb)
    assert (commune.status(pole)["version"], identity(pole)) == (__version__, before)
    assert store_version(pole) == len(MIGRATIONS)
    tone(pole)
    assert "store could not be read" not in pole.journal("--unit=loa-agent")
    assert "rolled_back" not in commune.state(pole)


def dissected(deb: Path, tree: Path) -> dict[str, list[str]]:
    """All that a package is: files with owner, mode and day, folders without it, scripts, fields in any order."""
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    listed = subprocess.run(["dpkg-deb", "--contents", str(deb)], check=True, capture_output=True, text=True).stdout
    control = (tree / "DEBIAN/control").read_text()
    (tree / "DEBIAN/control").unlink()
    files = [each for each in sorted(tree.rglob("*")) if each.is_file()]
    sums = [f"{each.relative_to(tree)} {hashlib.sha256(each.read_bytes()).hexdigest()}" for each in files]
    lines = [
        re.sub(r" \d{4}-\d\d-\d\d \d\d:\d\d ", " ", line) if line[0] == "d" else line for line in listed.splitlines()
    ]
    return {"listed": sorted(lines), "control": sorted(control.splitlines()), "sums": sums}


def test_the_version_before_is_kept_as_it_was_built(pole: Container, deb: Path, tmp_path: Path) -> None:
    install(pole, variant(deb, tmp_path, GOOD))
    assert pole.run("ls", KEPT).split() == ["previous.deb"], "no trial is left"
    kept = dissected(pole.root / "var/cache/loa/previous.deb", tmp_path / "kept")
    assert kept == dissected(deb, tmp_path / "built")


def test_a_version_that_does_not_get_ready_gives_way_to_the_one_before(
    pole: Container, deb: Path, tmp_path: Path
) -> None:
    tone(pole)
    before = identity(pole)
    install(pole, variant(deb, tmp_path, BROKEN, newer_store, never_ready))
    pole.wait(lambda: is_back(pole, BROKEN), what="the version before")
    assert identity(pole) == before
    assert store_version(pole) == len(MIGRATIONS)
    log = pole.journal()
    assert f"loa-agent {BROKEN} was not ready after 2 starts: the version before it comes back" in log
    assert log.count("this version is broken") >= 2
    assert "store could not be read" not in log
    tone(pole)


def offer(machine: Container, *debs: Path) -> None:
    """An archive on the machine itself, with these packages in it."""
    paragraphs = []
    for deb in debs:
        content = deb.read_bytes()
        (machine.root / "srv" / deb.name).write_bytes(content)
        fields = subprocess.run(["dpkg-deb", "--field", str(deb)], check=True, capture_output=True, text=True).stdout
        bound = f"Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        paragraphs.append(f"{fields}{bound}")
    machine.write("/srv/Packages", "\n".join(paragraphs))
    machine.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv ./\n")
    machine.run("apt-get", "update")


def test_no_upgrade_of_the_night_brings_the_same_version_again(pole: Container, deb: Path, tmp_path: Path) -> None:
    broken = variant(deb, tmp_path, BROKEN, never_ready)
    offer(pole, broken)
    shell(pole, "apt-get upgrade --yes")
    pole.wait(lambda: is_back(pole, BROKEN), what="the version before")
    assert "loa-agent" not in pole.run("apt-get", "upgrade", "--simulate")
    offer(pole, broken, variant(deb, tmp_path, MENDED))
    shell(pole, "apt-get upgrade --yes")
    assert installed(pole) == f"{MENDED} installed"
    assert "rolled_back" not in commune.state(pole)
    assert pole.try_to("ls", "/etc/apt/preferences.d/loa-rolled-back").returncode != 0


def test_a_power_cut_in_the_middle_of_an_upgrade_leaves_a_node_that_comes_up(
    pole: Container, deb: Path, tmp_path: Path
) -> None:
    before = identity(pole)
    fresh = variant(deb, tmp_path, BROKEN, newer_store, never_ready, waits_half_installed)
    (pole.root / "root" / fresh.name).write_bytes(fresh.read_bytes())
    pole.run("systemd-run", "--unit=upgrade", "dpkg", "--install", f"/root/{fresh.name}")
    pole.wait((pole.root / "var/tmp/unpacked").exists, what="the new version's files")
    pole.cut()
    pole.boot()
    pole.wait(lambda: is_back(pole, BROKEN), what="the version before")
    assert identity(pole) == before


def test_an_agent_that_did_not_run_before_is_no_measure(pole: Container, deb: Path, tmp_path: Path) -> None:
    pole.write("/etc/loa/trust.yaml", "nonsense: yes\n")
    pole.run("systemctl", "restart", "--no-block", "loa-agent")
    pole.wait(lambda: "nonsense" in pole.journal("--unit=loa-agent"), what="the complaint")
    install(pole, variant(deb, tmp_path, GOOD))
    pole.wait(lambda: pole.journal("--unit=loa-agent").count("nonsense") >= 4, what="some more starts")
    assert installed(pole) == f"{GOOD} installed"
    assert pole.run("ls", KEPT).split() == []
