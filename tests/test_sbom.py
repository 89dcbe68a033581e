"""The bill of materials: what a node runs on is in it, what only we work with is not."""

import json
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release.sbom import ROOT, NotInstalledError, bill, canonical, closure, main

DIRECT = {"cryptography", "gpiozero", "m3u8", "msgspec", "paho-mqtt", "python-vlc", "pyyaml", "tzdata", "urllib3"}
INDIRECT = {"cffi", "colorzero", "pycparser", "setuptools"}
"""What those need: cryptography its C interface, gpiozero its colours, and colorzero, by its own word, setuptools."""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, object]]]:
    """The product of `make sbom`, valid by the standard's own schema."""
    file = tmp_path / "build" / "sbom.cdx.json"
    monkeypatch.setattr(sys, "argv", ["sbom", str(file)])
    main()
    text = file.read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    assert isinstance(document, dict)
    return document


def names(document: dict[str, list[dict[str, object]]]) -> set[str]:
    return {canonical(str(component["name"])) for component in document["components"]}


def test_it_lists_the_run_time_closure_and_nothing_else(written: dict[str, list[dict[str, object]]]) -> None:
    needed = DIRECT | INDIRECT | ({"audioop-lts"} if sys.version_info >= (3, 13) else set())
    assert names(written) == needed


def test_none_of_our_tools_is_taken_for_a_part_of_a_node(written: dict[str, list[dict[str, object]]]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    tools = set(closure([each for extra in ("control", "dev") for each in extras[extra]]))
    assert {"pytest", "ruff", "mypy", "typer", "rich"} <= tools
    assert names(written) & tools <= set(closure(sorted(DIRECT)))


def test_each_part_has_the_version_that_is_installed_and_its_name_in_the_index(
    written: dict[str, list[dict[str, object]]],
) -> None:
    for component in written["components"]:
        name = str(component["name"])
        assert component["version"] == version(name)
        assert component["purl"] == f"pkg:pypi/{canonical(name)}@{version(name)}"


def test_the_tree_hangs_together(written: dict[str, list[dict[str, object]]]) -> None:
    tree = {str(each["ref"]): each.get("dependsOn", []) for each in written["dependencies"]}
    root = next(ref for ref in tree if ref.startswith("loa@"))
    below = tree[root]
    assert isinstance(below, list)
    assert {ref.split("/")[1].split("@")[0] for ref in below} - {"audioop-lts"} == DIRECT
    assert set(tree) == {root} | {str(component["bom-ref"]) for component in written["components"]}


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    lacking = tmp_path / "pyproject.toml"
    lacking.write_text('[project]\nname = "x"\ndependencies = ["no-such-package-anywhere"]\n')
    with pytest.raises(NotInstalledError, match="no-such-package-anywhere"):
        bill(lacking)


def test_markers_and_extras_are_followed() -> None:
    assert set(closure(["msgspec ; python_version < '3'"])) == set()
    assert "pyyaml" not in closure(["msgspec"])
    assert "pyyaml" in closure(["msgspec[yaml]"])
