"""A disk whose power can be cut: ext4 in a file, mounted by a loop device. Needs root.

The shutdown ioctl of ext4 without a flush of its journal does what a power cut does: whatever was not synchronised is
gone, and nothing is written any more. `e2fsck` and a mount are the next boot.
"""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.root import run

EXT4_IOC_SHUTDOWN: Final = 0x8004587D
"""linux/fs/ext4/ext4.h, _IOR('X', 125, __u32)."""
NO_FLUSH_OF_THE_LOG: Final = 2
FIFREEZE: Final = 0xC0045877
FITHAW: Final = 0xC0045878
"""linux/fs.h."""
CORRECTED: Final = 1
"""e2fsck(8): errors were found, and mended."""
BUSY_S: Final = 10.0


class Disk:
    """Mounted on `folder` while it is open."""

    def __init__(self, folder: Path, *, megabytes: int = 64) -> None:
        self.folder = folder
        self._image = folder.with_name(f"{folder.name}.ext4")
        self._megabytes = megabytes
        self.cuts = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(self._megabytes * 1024 * 1024)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self._mount()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._unmount(lazily=error is not None)  # what failed may have left a process behind
        self._image.unlink()

    def cut(self) -> None:
        """The power is gone: from here on every write fails. Whoever writes is stopped (SIGSTOP) before.

        A processor without power confirms nothing; a running one may: an fsync that meets the shutdown in the kernel's
        journal returns 0 for a transaction that was dropped (seen in 1 of 60 cuts, of the very last confirmations).
        """
        self.cuts += 1
        self._ask(EXT4_IOC_SHUTDOWN, struct.pack("I", NO_FLUSH_OF_THE_LOG))

    def boot(self) -> None:
        """The power is back. Whoever had files open must have ended."""
        self._unmount()
        run("e2fsck", "-fp", str(self._image), good=(0, CORRECTED))
        self._mount()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It answers no write: whoever writes waits, even if he is killed."""
        self._ask(FIFREEZE)
        try:
            yield
        finally:
            self._ask(FITHAW)

    def _ask(self, request: int, argument: bytes = b"") -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, request, argument)
        finally:
            os.close(descriptor)

    def _mount(self) -> None:
        run("mount", "-o", "loop,commit=1", str(self._image), str(self.folder))

    def _unmount(self, *, lazily: bool = False) -> None:
        """And wait until the file system is no more: a namespace that has just begun has a copy of the mount."""
        deadline = time.monotonic() + BUSY_S
        command = ["umount", *(["--lazy"] if lazily else []), str(self.folder)]
        while subprocess.run(command, capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder} is still in use")
            time.sleep(0.05)
        while not lazily and run("losetup", "--associated", str(self._image)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder} is still mounted in another namespace")
            time.sleep(0.01)


class SmallDisk:
    """A tmpfs of a few megabytes on `folder`, to be filled up or made read-only. Needs root."""

    def __init__(self, folder: Path, *, megabytes: int = 8) -> None:
        self.folder = folder
        self._megabytes = megabytes
        self._filler = folder / "filler"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m,mode=700", "tmpfs", str(self.folder))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Not one page is left."""
        with suppress(OSError), self._filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4_096))

    def free(self) -> None:
        """There is room again."""
        self._filler.unlink()

    def take_nothing(self) -> None:
        """As a worn-out SD card, or a file system that has seen an error. Nobody may be writing."""
        run("mount", "-o", "remount,ro", str(self.folder))
