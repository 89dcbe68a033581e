"""The same sources make the same packages, whoever builds them, where and when."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.package.conftest import ROOT

SOURCES = (
    "agent",
    "config",
    "control",
    "docs",
    "packaging",
    "release",
    "scripts",
    "systemd",
    "README.md",
    "README.vi.md",
    "CHANGELOG.md",
    "SECURITY.md",
)


def test_another_folder_umask_and_language_make_the_same_bytes(packages: dict[str, Path], tmp_path: Path) -> None:
    checkout = tmp_path / "elsewhere"
    checkout.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, checkout / name, copy_function=shutil.copy)  # copied now: another mtime
        else:
            shutil.copy(ROOT / name, checkout / name)
    shutil.copytree(ROOT / "build/wheels", checkout / "build/wheels")
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    subprocess.run(
        ["sh", "-c", "umask 077; exec scripts/deb"],
        cwd=checkout,
        env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "Asia/Ho_Chi_Minh"},
        check=True,
    )
    for deb in packages.values():
        assert (checkout / "build" / deb.name).read_bytes() == deb.read_bytes(), deb.name
