"""Files that appear whole or not at all. A file that is there is never written over unawares."""

import os
import secrets
from pathlib import Path

from control.problems import InputError, WorldError

PRIVATE = 0o600
"""The owner alone: private keys."""
SHARED = 0o644
"""For everybody to read: trust documents hold no secret."""


def write_new(path: Path, data: bytes, *, mode: int = SHARED) -> None:
    """Write a file that was not there; it is on the disk when this returns.

    Raises:
        InputError: a file of this name exists; it is left as it is.
        WorldError: the disk refuses.
    """
    if path.exists() or path.is_symlink():
        raise _exists(path)
    _write(path, data, mode, new=True)


def write_over(path: Path, data: bytes) -> None:
    """Write a file in place of what was there, if anything; at every moment it is the old one or the new one.

    Raises:
        WorldError: the disk refuses.
    """
    _write(path, data, SHARED, new=False)


def read(path: Path, max_bytes: int) -> bytes:
    """What stands in a file.

    Raises:
        InputError: it cannot be read, or is larger than `max_bytes`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > max_bytes:
        raise InputError(f"{path}: larger than {max_bytes} bytes")
    return data


def _exists(path: Path) -> InputError:
    return InputError(f"{path} exists already and is not overwritten: choose another name or folder, or move it away")


def _write(path: Path, data: bytes, mode: int, *, new: bool) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if new and _linked(temporary, path):
                temporary.unlink()
            else:
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _settle(path.parent)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise WorldError(f"cannot write {path}: {error.strerror}") from None


def _linked(temporary: Path, path: Path) -> bool:
    """Whether the file got its name by a link, which fails where the name is taken; USB sticks (FAT) know no links."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _settle(folder: Path) -> None:
    """The folder's entry, too, survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
