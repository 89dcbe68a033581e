"""What the Debian packages say of themselves is what the project says."""

import re
import subprocess
import sys
import tomllib
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from agent import RELEASED_AT_S, __version__
from tests.test_architecture import imports, sources

ROOT = Path(__file__).parent.parent
DEBIAN = ROOT / "packaging/debian"
NAMES = {"pyyaml": "python3-yaml", "tzdata": "tzdata"}
"""Where Debian's name is not python3- and PyPI's."""
MODULES = {"paho": "python3-paho-mqtt", "audioop": "python3-audioop-lts", "vlc": "python3-python-vlc"}
"""Where it is not python3- and the module's."""
RECOMMENDED = {"python3-lgpio"}
"""Compiled, and Raspberry Pi's alone; a node with a simulated relay needs none."""
NOT_THEIRS = {"", "agent", "control", "_typeshed"} | (sys.stdlib_module_names - {"audioop"})


def changelog() -> tuple[str, int]:
    """Version and instant (Unix seconds) of the newest entry."""
    text = (DEBIAN / "changelog").read_text()
    head = re.match(r"loa \((\S+)\) ", text)
    foot = re.search(r"^ -- .*>  (.*)$", text, re.MULTILINE)
    assert head
    assert foot
    return head[1], int(parsedate_to_datetime(foot[1]).timestamp())


def depends(package: str, how: str = "Depends") -> dict[str, str]:
    """What a package depends on, and the lowest version of it, if one is named."""
    text = (DEBIAN / "control").read_text()
    (paragraph,) = re.findall(rf"^Package: {package}$.*?^{how}: (.*?)^\w", text, re.DOTALL | re.MULTILINE)
    found: dict[str, str] = {}
    for each in paragraph.split(","):
        name, _, bound = each.strip().partition(" ")
        if not bound.startswith("(<<"):
            found[name] = bound.removeprefix("(>= ").removesuffix(")")
    return found


def wanted(*lists: list[str]) -> dict[str, str]:
    """The same of pyproject.toml, by Debian's names."""
    requirements = [Requirement(line) for each in lists for line in each]
    return {NAMES.get(each.name.lower(), f"python3-{each.name.lower()}"): lowest(each) for each in requirements}


def lowest(requirement: Requirement) -> str:
    (version,) = [each.version for each in requirement.specifier if each.operator == ">="]
    return version


def vendored() -> dict[str, str]:
    lines = (ROOT / "packaging/vendored.txt").read_text().splitlines()
    return dict(line.split()[0].split("==") for line in lines if not line.startswith("#"))


def project() -> tuple[list[str], list[str]]:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return document["dependencies"], document["optional-dependencies"]["control"]


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_version_and_its_day_are_those_of_the_agent() -> None:
    assert changelog() == (__version__, RELEASED_AT_S)


def test_what_the_node_imports_is_depended_on_or_taken_in() -> None:
    dependencies, _ = project()
    needed = wanted(dependencies)
    taken_in = {f"python3-{name}" for name in vendored()}
    debian = depends("loa-agent")
    assert needed.keys() - taken_in - debian.keys() == set()
    for name in debian.keys() & needed.keys():
        if debian[name]:
            assert version(debian[name]) >= version(needed[name])[: len(version(debian[name]))], name


def test_what_is_taken_in_is_new_enough_and_bound_by_its_hash() -> None:
    dependencies, _ = project()
    needed = wanted(dependencies)
    for name, taken in vendored().items():
        assert taken >= needed[f"python3-{name}"]
    lines = [line for line in (ROOT / "packaging/vendored.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)
    named = (DEBIAN / "copyright").read_text()
    assert "Files: vendored/gpiozero/*" in named
    assert "Files: vendored/vlc.py" in named


def imported(*packages: str) -> set[str]:
    """What these of our packages import of others, by Debian's names."""
    known = sources(*packages)
    tops = {name.split(".")[0] for text in known.values() for name in imports(text, known)}
    return {MODULES.get(top, f"python3-{top}") for top in tops - NOT_THEIRS}


def test_each_package_depends_on_what_it_imports() -> None:
    node = imported("agent")
    assert node - RECOMMENDED - {f"python3-{name}" for name in vendored()} <= depends("loa-agent").keys()
    assert depends("loa-agent", "Recommends").keys() >= RECOMMENDED
    assert imported("control", "agent/messages") <= depends("loa-control").keys()


def test_the_other_end_needs_no_sound_and_no_node() -> None:
    _, extra = project()
    assert wanted(extra).keys() <= depends("loa-control").keys()
    assert {"libvlc5", "loa-agent"} & depends("loa-control").keys() == set()


@pytest.mark.parametrize("script", ["packaging/trial", "packaging/debian/loa-agent.postinst"])
def test_shell_scripts_are_read_by_the_plainest_shell(script: str) -> None:
    subprocess.run(["dash", "-n", str(ROOT / script)], check=True)
