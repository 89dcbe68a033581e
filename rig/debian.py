"""Debian 13 in a folder, made by mmdebstrap from this machine's own package sources and kept for the next time.

Needs root. What is in it follows from the names of packages alone: another list makes another folder.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

SUITE: Final = "trixie"
MIRROR_VARIABLE: Final = "LOA_DEBIAN_MIRROR"
"""Overrules the archive that this machine's apt takes Debian from."""
MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


class DebianError(RuntimeError):
    """No root file system; the text says why."""


def mirror() -> str:
    """The address of the Debian archive."""
    if given := os.environ.get(MIRROR_VARIABLE):
        return given
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(maxsplit=2)[2] for line in lines if line.startswith("Debian main ")]
    if not found:
        raise DebianError(f"apt has no Debian archive in its sources: run apt-get update, or set {MIRROR_VARIABLE}")
    return found[0]


def root_file_system(cache: Path, packages: list[str], architecture: str = MACHINES[platform.machine()]) -> Path:
    """The folder with these packages in it, made if it is not there: a minute or two. Nothing may write to it.

    Raises:
        DebianError: mmdebstrap failed.
    """
    names = sorted(set(packages))
    key = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
    root = cache / f"{SUITE}-{architecture}-{key}"
    if root.exists():
        return root
    fresh = root.with_name(f"{root.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=apt",
        f"--architectures={architecture}",
        f"--include={','.join(names)}",
    ]
    done = subprocess.run([*command, SUITE, str(fresh), mirror()], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DebianError(f"mmdebstrap: {done.stderr[-2_000:]}")
    fresh.rename(root)
    return root
