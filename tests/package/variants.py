"""Other versions of the agent's package, made from the one that was built: good ones, and ones that fail."""

import subprocess
from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]
"""What is altered in the unpacked package."""


def variant(deb: Path, folder: Path, version: str, *changes: Change) -> Path:
    """The same package as another version, with these changes."""
    tree = folder / f"loa-agent-{version}"
    subprocess.run(["dpkg-deb", "--raw-extract", str(deb), str(tree)], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines))
    for change in (_calls_itself(version), *changes):
        change(tree)
    fresh = folder / f"loa-agent_{version}_all.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(fresh)], check=True, capture_output=True
    )
    return fresh


def _calls_itself(version: str) -> Change:
    def change(tree: Path) -> None:
        module = tree / "usr/lib/loa/agent/__init__.py"
        lines = module.read_text().splitlines(keepends=True)
        named = [f'__version__ = "{version}"\n' if line.startswith("__version__") else line for line in lines]
        module.write_text("".join(named))

    return change


def newer_store(tree: Path) -> None:
    """Its database has a table that the version before knows nothing of."""
    module = tree / "usr/lib/loa/agent/storage/database.py"
    with module.open("a") as file:
        file.write('MIGRATIONS = (*MIGRATIONS, "CREATE TABLE novelty (text TEXT) STRICT")\n')
        file.write('WAYS_BACK = {**WAYS_BACK, len(MIGRATIONS): "DROP TABLE novelty"}\n')


def never_ready(tree: Path) -> None:
    """It opens its store, and fails before it is ready."""
    module = tree / "usr/lib/loa/agent/commands/run.py"
    text = module.read_text()
    opened = "    memory = store.load()\n"
    assert opened in text
    module.write_text(text.replace(opened, f'{opened}    raise RuntimeError("this version is broken")\n'))


def waits_half_installed(tree: Path) -> None:
    """Its files are there, and dpkg waits for its script until the power is cut."""
    script = tree / "DEBIAN/postinst"
    script.write_text(script.read_text().replace("set -e\n", "set -e\ntouch /var/tmp/unpacked; sleep 600\n", 1))
