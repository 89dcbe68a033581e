"""A folder's contents replaced whole: made beside it, checked there, then exchanged in one system call (ADR 32).

Called by one command, on its only thread. Invariant: at any instant, power cuts included, `target` is a whole folder,
the old one or the new one.
"""

import ctypes
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from agent.provisioning.folders import sync

PRIVATE_KEY: Final = b"PRIVATE KEY-----"
"""As `configuration.values` knows one."""

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
"""fcntl.h, linux/fs.h."""

_FOLDER_MODE: Final = 0o750
_FILE_MODE: Final = 0o640
_SECRET_MODE: Final = 0o600


class Owner(NamedTuple):
    """Whom the node runs as."""

    uid: int
    gid: int


def stage(target: Path, files: Mapping[str, bytes], owner: Owner) -> Path:
    """A folder beside `target` that holds what `target` holds, with `files` instead or in addition. Raises OSError.

    Private keys belong to the node alone; the rest to root, for the node to read.
    """
    staged = _beside(target)
    discard(target)
    if not target.exists():
        target.mkdir(mode=_FOLDER_MODE, parents=True)
        os.chown(target, -1, owner.gid)
    _link_all(target, staged)
    for name, contents in files.items():
        _write(staged / name, contents, owner)
    sync(staged)
    return staged


def put_in_place(target: Path) -> None:
    """What was staged is now `target`, and on the disk. Raises OSError."""
    staged = _beside(target)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))
    sync(target.parent)
    discard(target)


def discard(target: Path) -> None:
    """Remove what lies beside `target`: staged and not wanted, or the old one. Raises OSError."""
    staged = _beside(target)
    if staged.exists():
        shutil.rmtree(staged)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.staged")


def _link_all(source: Path, copy: Path) -> None:
    """The same files under another folder: hard links, which keep owner and mode and cost nothing."""
    copy.mkdir(mode=0o700)
    for entry in sorted(source.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            _link_all(entry, copy / entry.name)
        else:
            os.link(entry, copy / entry.name, follow_symlinks=False)
    found = source.stat()
    os.chown(copy, found.st_uid, found.st_gid)
    shutil.copystat(source, copy)
    sync(copy)


def _write(path: Path, contents: bytes, owner: Owner) -> None:
    secret = PRIVATE_KEY in contents or path.suffix.lower() == ".key"
    path.unlink(missing_ok=True)  # a link to the file in force, which must not change
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _SECRET_MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchown(descriptor, owner.uid if secret else -1, owner.gid)
        os.fchmod(descriptor, _SECRET_MODE if secret else _FILE_MODE)
        file.write(contents)
        file.flush()
        os.fsync(descriptor)
