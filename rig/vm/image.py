"""The virtual machine's disk and kernel, made once (`python -m rig.vm.image`) and kept until their recipe changes.

Debian 13, the base of Raspberry Pi's own system, from the package servers that this machine uses itself. The kernel is
Debian's, with gpio-sim built beside it; all that the agent needs is there, but not the agent.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUITE: Final = "trixie"
DISK_MEGABYTES: Final = 2_048
CHECKOUT: Final = Path(__file__).parent.parent.parent
RECIPE: Final = Path(__file__).parent / "recipe"
"""`root` is laid over the file system of the guest; `making/prepare` then runs in it."""
KEPT_IN: Final = CHECKOUT / "build/vm"
MIRROR_VARIABLE: Final = "LOA_VM_MIRROR"
PYTHON_SOURCES: Final = (("lgpio", "--no-binary=:all:"), ("gpiozero", "--only-binary=:all:"))
"""Debian has no lgpio, and a gpiozero that is too old; lgpio has no wheel for Debian's Python."""

PACKAGES: Final = (
    "linux-image-amd64",
    "initramfs-tools",
    "systemd-sysv",
    "udev",
    "kmod",
    "openssh-server",
    "iproute2",
    "procps",
    "alsa-utils",
    "gpiod",
    "ca-certificates",
    # what scripts/install takes from Debian, and all that Debian's own Python has of pyproject.toml
    "python3-venv",
    "python3-paho-mqtt",
    "python3-vlc",
    "python3-yaml",
    "python3-cryptography",
    "python3-msgspec",
    "python3-urllib3",
    "python3-m3u8",
    "python3-audioop-lts",
    "python3-colorzero",
    "tzdata",
    "libvlc5",
    "libvlc-bin",
    "vlc-plugin-base",
    "libasound2t64",
    "espeak-ng",
)


class ImageError(RuntimeError):
    """The disk could not be made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Image:
    """The files of a machine that has never run."""

    folder: Path

    @property
    def disk(self) -> Path:
        """Root file system, ext4, raw."""
        return self.folder / "disk.ext4"

    @property
    def kernel(self) -> Path:
        """Uncompressed."""
        return self.folder / "vmlinux"

    @property
    def initrd(self) -> Path:
        """What mounts the disk."""
        return self.folder / "initrd.img"

    @property
    def key(self) -> Path:
        """Opens the guest's ssh server as root."""
        return self.folder / "ssh_key"


def image() -> Image:
    """The disk of this recipe, made now if it is not there (some minutes).

    Raises:
        ImageError: it cannot be made.
    """
    kept = Image(KEPT_IN / _recipe_sum())
    if not kept.folder.exists():
        KEPT_IN.mkdir(parents=True, exist_ok=True)
        for old in KEPT_IN.iterdir():
            shutil.rmtree(old)
        with tempfile.TemporaryDirectory(prefix="making-", dir=KEPT_IN) as folder:
            _make(Image(Path(folder) / "image"))
            (Path(folder) / "image").rename(kept.folder)
    return kept


def _recipe_sum() -> str:
    parts = [Path(__file__), *(path for path in RECIPE.rglob("*") if path.is_file())]
    found = hashlib.sha256()
    for path in sorted(parts):
        found.update(f"{path.relative_to(CHECKOUT)} {path.stat().st_mode & 0o100}\n".encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _make(new: Image) -> None:
    if os.geteuid() != 0:
        raise ImageError("a disk image is made by root: sudo make vm-test")
    new.folder.mkdir(mode=0o700)
    build, root = new.folder / "build", new.folder / "root"
    shutil.copytree(RECIPE / "making", build)
    for package, kind in PYTHON_SOURCES:
        wheels = str(build / "wheels")
        _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, "--dest", wheels, package)
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vm-test", "-f", new.key)
    _debian(root, build, new.key.with_suffix(".pub"))
    for name in ("vmlinux", "initrd.img"):
        shutil.copyfile(root / "boot" / name, new.folder / name)
    with new.disk.open("wb") as disk:
        disk.truncate(DISK_MEGABYTES * 1024 * 1024)
    options = "lazy_itable_init=0,lazy_journal_init=0"
    _run("mke2fs", "-q", "-t", "ext4", "-E", options, "-d", root, new.disk)
    shutil.rmtree(root)
    shutil.rmtree(build)


def _debian(root: Path, build: Path, public_key: Path) -> None:
    """The file system: Debian's packages, our files laid over it, and what `prepare` does there."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    first = f'cp -r --preserve=mode {RECIPE / "root"}/. "$1"/ && mkdir -m 700 -p "$1"/root/.ssh'
    last = f'cp -r {build} "$1"/build && cp {public_key} "$1"/root/.ssh/authorized_keys && chroot "$1" /build/prepare'
    hooks = (f"--essential-hook={first}", f"--customize-hook={last}")
    source = f"deb [signed-by={keyring}] {_mirror()} {SUITE} main"
    include = f"--include={','.join(PACKAGES)}"
    _run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", include, *hooks, SUITE, root, source)
    for name, text in (
        ("hostname", "hd-03"),
        ("hosts", "127.0.0.1 localhost hd-03"),
        ("fstab", "/dev/vda / ext4 defaults,noatime 0 1"),
        ("machine-id", uuid.uuid4().hex),  # without one every boot is a first boot
    ):
        (root / "etc" / name).write_text(text + "\n")
    for name in ("etc", "var"):
        (root / name / ".updated").touch()  # nothing newer in /usr: systemd need not look through it


def _mirror() -> str:
    """Where this machine has its own Debian from; an environment variable may name another."""
    named = os.environ.get(MIRROR_VARIABLE)
    if named:
        return named
    host = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    wanted = [host.get("VERSION_CODENAME", ""), "main"]
    told = _run("apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
    for line in told.splitlines():
        *what, uri = line.split()
        if what == wanted:
            return uri
    raise ImageError(f"apt's sources name no server for {' '.join(wanted)}: set {MIRROR_VARIABLE} to a Debian mirror")


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2_000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(image().folder)
    except ImageError as error:
        sys.exit(f"vm: {error}")
