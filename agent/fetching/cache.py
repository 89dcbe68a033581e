"""The content-addressed folder of verified files: FOLDER/ab/SHA-256, and beside it what is not complete. Part of fetch.

Any of fetch's threads. What they share are two dictionaries, changed by single atomic operations: what was verified in
this life, and what is reserved. Sizes are counted on the disk whenever a download begins, so no sum can drift; a file
reserves its place before anything is counted, so two downloads at once evict too much rather than too little.
A pinned file has an empty file SHA-256.pin beside it: a folder tells all, also after a power cut; there is no list that
could contradict it. A pin without its file, which rotted and was removed, holds again once the file is back.
Invariants: a name of 64 hex digits holds bytes with that SHA-256, as verified in this life of the process; nothing is
written when a file is used, but for its date, once a day, so that the least recently used is known after a restart.
"""

import contextlib
import hashlib
import io
import itertools
import os
import time
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import NamedTuple

from agent.fetching.attempt import SourceError
from agent.messages.reasons import Reason
from agent.messages.sources import File

HASH_BLOCK_BYTES = 256 * 1024
"""Read at once for hashing: some 4 ms on a Zero 2 W, then cancellation is looked at."""
DATED_EVERY_S = 24 * 3_600
"""How often a used file's date is written: an SD card's life against the order of eviction after a restart."""

PINNED_SHARE = 2
"""Pinned files take at most 1/2 of the cache: the rest is what every day needs."""

Check = Callable[[], None]
"""Called between blocks of long work; raises to end it."""


class _Place(NamedTuple):
    """What a download has reserved: which attempt's, how much, and whether an emergency waits for it."""

    token: int
    size: int
    urgent: bool


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(Reason.STORAGE, f"the cache: {error.strerror or error}") from error


class Cache:
    """The folder, bounded to `max_bytes`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._verified: dict[Path, tuple[int, int, int]] = {}
        self._reserved: dict[Path, _Place] = {}
        self._used: dict[Path, int] = {}
        self._uses = itertools.count()

    def known(self, file: File) -> Path | None:
        """The file if it was verified in this life and has not changed since: no byte of it is read.

        Raises:
            SourceError: `storage`.
        """
        path = self._path(file.sha256)
        with _storage_errors():
            key = _key(path)
        if key is None or self._verified.get(path) != key or key[2] != file.bytes:
            return None
        self._mark_used(path)
        return path

    def verified(self, file: File, check: Check) -> Path | None:
        """The file if its bytes fit; what does not fit its name is removed.

        Raises:
            SourceError: `storage`, or `size_mismatch` for an order that knows the hash and not the size.
        """
        path = self._path(file.sha256)
        with _storage_errors():
            key = _key(path)
            if key is None:
                return None
            if _digest_of(path, check) != file.sha256:
                path.unlink(missing_ok=True)
                return None
        if key[2] != file.bytes:
            raise SourceError(Reason.SIZE_MISMATCH, f"the file has {key[2]} bytes, ordered are {file.bytes}")
        self._verified[path] = key
        self._mark_used(path)
        return path

    def partial(self, file: File, token: int, check: Check, *, urgent: bool = False) -> "Partial":
        """What is there of a file to be downloaded; the caller closes it.

        For an `urgent` one the places of lesser downloads count no more than what has come of them.

        Raises:
            SourceError: `storage`, or `cache_full` for a file that can never fit.
        """
        if file.bytes > self._max_bytes:
            raise SourceError(Reason.CACHE_FULL, f"{file.bytes} bytes, the whole cache has {self._max_bytes}")
        path = self._path(file.sha256)
        kept = path.with_name(f"{path.name}.part")
        mine = _Place(token, file.bytes, urgent)
        if self._reserved.setdefault(kept, mine) != mine:
            # Another attempt is downloading the same: two writers in one file would spoil it for both.
            kept = path.with_name(f"{path.name}.{token}.part")
            self._reserved[kept] = mine
        try:
            with _storage_errors():
                _make_folders(self._folder, path.parent)
                return Partial(self, kept, path, file, check)
        except BaseException:
            self.release(kept)
            raise

    def make_room(self, partial: Path, size: int) -> None:
        """Evict what was not used for longest until `size` bytes fit for this partial.

        Raises:
            SourceError: `cache_full`, or `storage`.
        """
        places = self._reserved.copy()
        urgent = places.pop(partial).urgent
        reserved = {path: place.size for path, place in places.items() if place.urgent or not urgent}
        with _storage_errors():
            stored = {path: status for path, status in self._stored() if path != partial}
            total = size + sum(reserved.values())
            total += sum(status.st_size for path, status in stored.items() if path not in reserved)
            idle = [path for path in stored if path not in places and not _is_pinned(path, stored)]
            idle.sort(key=lambda path: (self._used.get(path, -1), stored[path].st_mtime_ns))
            for path in idle:
                if total <= self._max_bytes:
                    return
                path.unlink(missing_ok=True)
                self._verified.pop(path, None)
                self._used.pop(path, None)
                total -= stored[path].st_size
        if total > self._max_bytes:
            raise SourceError(Reason.CACHE_FULL, f"{size} bytes do not fit beside the downloads under way")

    def require_room_for_pin(self, file: File) -> None:
        """See whether this file may be pinned beside those that are.

        Raises:
            SourceError: `cache_full`, or `storage`.
        """
        most_bytes = self._max_bytes // PINNED_SHARE
        path = self._path(file.sha256)
        with _storage_errors():
            stored = dict(self._stored()) if self._folder.is_dir() else {}
        pinned_bytes = sum(stored[each].st_size for each in stored if each != path and _is_pinned(each, stored))
        if pinned_bytes + file.bytes > most_bytes:
            told = f"{file.bytes} bytes do not fit beside {pinned_bytes} pinned ones: at most {most_bytes} are pinned"
            raise SourceError(Reason.CACHE_FULL, told)

    def pin(self, path: Path) -> None:
        """Keep this verified file for good, also over a power cut.

        Raises:
            SourceError: `storage`.
        """
        pin = _pin_of(path)
        with _storage_errors():
            if not pin.exists():
                pin.touch()
                _sync_folder(pin.parent)

    def adopt(self, path: Path) -> None:
        """Take a file that has just been written and verified."""
        key = _key(path)
        if key is not None:
            self._verified[path] = key
            self._used[path] = next(self._uses)

    def release(self, partial: Path) -> None:
        """The download is over: its place is what it takes on the disk."""
        self._reserved.pop(partial, None)

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _mark_used(self, path: Path) -> None:
        self._used[path] = next(self._uses)
        # A disk that cannot be written now does not keep a verified file from sounding.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > DATED_EVERY_S:
                os.utime(path)
                self.adopt(path)

    def _stored(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in self._folder.iterdir():
            if folder.is_dir():
                for path in folder.iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        yield path, path.stat()


class Partial:
    """A file on its way into the cache, locked by its reservation. `size` bytes of it are there and hashed."""

    def __init__(self, cache: Cache, path: Path, final: Path, file: File, check: Check) -> None:
        self._cache = cache
        self._path = path
        self._final = final
        self._file = file
        self._stream = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+")
        self._digest = hashlib.sha256()
        self.size = 0
        try:
            if os.fstat(self._stream.fileno()).st_size > file.bytes:
                self._stream.truncate(0)
            self.size = _hash_rest(self._stream, self._digest, check)
        except BaseException:
            self._stream.close()
            raise
        self.inherited = self.size > 0
        """Whether it begins with bytes of an earlier attempt, which a power cut may have spoilt."""

    def make_room(self) -> None:
        """Evict until the whole file fits.

        Raises:
            SourceError: `cache_full`, or `storage`.
        """
        self._cache.make_room(self._path, self._file.bytes)

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            SourceError: `storage`.
        """
        left = memoryview(data)
        with _storage_errors():
            while left:
                left = left[self._stream.write(left) or 0 :]
        self._digest.update(data)
        self.size += len(data)

    def restart(self) -> None:
        """Forget every byte.

        Raises:
            SourceError: `storage`.
        """
        with _storage_errors():
            self._stream.seek(0)
            self._stream.truncate(0)
        self._digest = hashlib.sha256()
        self.size = 0
        self.inherited = False

    def fits(self) -> bool:
        """Whether it is the file that was ordered."""
        return self.size == self._file.bytes and self._digest.hexdigest() == self._file.sha256

    def commit(self) -> Path:
        """Make it durable under its name: fsync, rename, fsync of the folder.

        Raises:
            SourceError: `storage`.
        """
        with _storage_errors():
            os.fsync(self._stream.fileno())
            self._path.replace(self._final)
            _sync_folder(self._final.parent)
            self._cache.adopt(self._final)
        return self._final

    def discard(self) -> None:
        """Keep nothing.

        Raises:
            SourceError: `storage`.
        """
        with _storage_errors():
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """End the download, however it went: what is there is kept for the next attempt, unless two ran at once."""
        with contextlib.suppress(OSError):
            if self._path.stem != self._final.name:
                self._path.unlink(missing_ok=True)
        self._stream.close()
        self._cache.release(self._path)


def _pin_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.pin")


def _is_pinned(path: Path, stored: Container[Path]) -> bool:
    """Whether this is a pinned file, or a pin itself."""
    return path.suffix == ".pin" or _pin_of(path) in stored


def _key(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _digest_of(path: Path, check: Check) -> str:
    with path.open("rb", buffering=0) as stored:
        digest = hashlib.sha256()
        _hash_rest(stored, digest, check)
    return digest.hexdigest()


def _hash_rest(stream: io.FileIO, digest: "hashlib._Hash", check: Check) -> int:
    """Hash from here to the end; the count of bytes."""
    count = 0
    while block := stream.read(HASH_BLOCK_BYTES):
        check()
        digest.update(block)
        count += len(block)
    return count


def _make_folders(folder: Path, shard: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not shard.is_dir():
        shard.mkdir(exist_ok=True)
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
