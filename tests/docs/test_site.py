import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from release.documentation import ROOT


def build(source: Path, site: Path) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--site-dir",
        str(site),
        "-f",
        str(source / "mkdocs.yml"),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=source)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the site is made of."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "docs", copy / "docs")
    shutil.copytree(ROOT / "config", copy / "config")
    (copy / "release").mkdir()
    for name in ("mkdocs.yml", "SECURITY.md", "release/documentation.py"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def test_the_site_is_built_with_every_link_leading_somewhere(checkout: Path, tmp_path: Path) -> None:
    done = build(checkout, tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "configuration.html").read_text("utf-8")
    assert 'href="checkout/config/node.example.yaml.txt"' in page
    assert "mqtt.hoang-dao.example" in (tmp_path / "site/checkout/config/node.example.yaml.txt").read_text("utf-8")
    loaded = [path for path in (tmp_path / "site").rglob("*.html") if "fonts.googleapis" in path.read_text("utf-8")]
    assert loaded == [], "a page that loads from elsewhere is no page in a commune without a network"


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](../config/nowhere.yaml)", "[x](operator.md#nowhere)"])
def test_a_link_that_leads_nowhere_fails(checkout: Path, tmp_path: Path, link: str) -> None:
    with (checkout / "docs" / "broker.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    assert build(checkout, tmp_path / "site").returncode != 0
