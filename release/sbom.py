"""The bill of materials of a node's run-time: `python -m release.sbom build/sbom.cdx.json` (CycloneDX 1.6).

Lists what `pip install .` brings and nothing else, in the versions of this environment: the closure of
`project.dependencies` under this Python's markers, without extras, so that no tool of ours seems a part of a node.
What Debian brings (libVLC, ALSA, lgpio) is dpkg's to list. Needs no network.
"""

import argparse
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

from agent import __version__

ROOT = Path(__file__).parent.parent
MAX_LICENSE_CHARACTERS = 80
"""Longest name of a licence: some packages write its whole text there."""


class NotInstalledError(LookupError):
    """A package that a node needs is not in this environment."""


def canonical(name: str) -> str:
    """A project's one spelling (PEP 503): PyYAML is pyyaml."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(requirements: list[str], extras: frozenset[str]) -> Iterator[Requirement]:
    """Those that hold on this Python."""
    for each in map(Requirement, requirements):
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield each


def closure(requirements: list[str]) -> dict[str, tuple[Distribution, frozenset[str]]]:
    """Canonical name to (what is installed, canonical names of what it needs), for these and all that they need.

    Raises:
        NotInstalledError: something is missing here.
    """
    found: dict[str, tuple[Distribution, frozenset[str]]] = {}
    open_ones = list(wanted(requirements, frozenset()))
    while open_ones:
        requirement = open_ones.pop()
        name = canonical(requirement.name)
        try:
            installed = distribution(requirement.name)
        except PackageNotFoundError:
            raise NotInstalledError(f"{requirement.name} is not installed: run scripts/setup first") from None
        needs = list(wanted(installed.requires or [], frozenset(requirement.extras)))
        before = found[name][1] if name in found else frozenset()
        names = before | {canonical(each.name) for each in needs}
        if name not in found or names != before:
            found[name] = installed, names
            open_ones += needs
    return found


def bill(pyproject: Path = ROOT / "pyproject.toml") -> Bom:
    """The bill of the project described there."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    parts = closure(project["dependencies"])
    components = {name: _component(name, installed) for name, (installed, _) in parts.items()}
    loa = Component(
        name=project["name"],
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref=BomRef(f"{project['name']}@{__version__}"),
        description=project["description"],
        licenses=[LicenseFactory().make_from_string(project["license"]["text"])],
    )
    bom = Bom(components=components.values())
    bom.metadata.component = loa
    direct = {canonical(each.name) for each in wanted(project["dependencies"], frozenset())}
    bom.register_dependency(loa, [components[name] for name in sorted(direct)])
    for name, (_, needs) in parts.items():
        bom.register_dependency(components[name], [components[need] for need in sorted(needs)])
    return bom


def _component(name: str, installed: Distribution) -> Component:
    declared = _told(installed, "License-Expression") or _told(installed, "License")
    licenses = []
    if declared and len(declared) <= MAX_LICENSE_CHARACTERS:
        factory = LicenseFactory()
        licenses = [factory.make_from_string(declared, license_acknowledgement=LicenseAcknowledgement.DECLARED)]
    purl = PackageURL("pypi", name=name, version=installed.version)
    return Component(
        name=installed.metadata["Name"],
        version=installed.version,
        type=ComponentType.LIBRARY,
        bom_ref=BomRef(purl.to_string()),
        purl=purl,
        description=_told(installed, "Summary"),
        licenses=licenses,
    )


def _told(installed: Distribution, field: str) -> str:
    """A field of the package's metadata, empty where it has none."""
    return installed.metadata[field].strip() if field in installed.metadata else ""


def main() -> None:
    """Write the bill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file: Path = parser.parse_args().file
    file.parent.mkdir(parents=True, exist_ok=True)
    bom = bill()
    file.write_text(JsonV1Dot6(bom).output_as_string(indent=2), "utf-8")
    print(f"{file}: {len(bom.components)} parts")


if __name__ == "__main__":
    main()
