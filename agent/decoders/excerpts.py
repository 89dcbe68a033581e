"""A file as libVLC is shown it: without what lies before the place to begin at, and with a few bytes set right.

Part of player; knows no format, and no libVLC.
"""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Cut out `cut_from` to `cut_to` (bytes), and the sound begins `at_s` after the file's beginning."""

    cut_from: int
    cut_to: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Patch:
    """These bytes stand at `at`, before any cut, in place of what the file has there."""

    at: int
    data: bytes


class Excerpt:
    """An open file, cut and patched, read by one thread.

    Args:
        fd: read by `os.pread`, and not closed here.
        place: what is left out, if anything.
        patches: what reads otherwise.
    """

    def __init__(self, fd: int, place: Place | None, *patches: Patch) -> None:
        self._fd = fd
        self._at = 0
        self._patches = patches
        self._cut_at, self._cut_bytes = (0, 0) if place is None else (place.cut_from, place.cut_to - place.cut_from)
        self.size = os.fstat(fd).st_size - self._cut_bytes

    def seek(self, offset: int) -> None:
        """Read from there on."""
        self._at = offset

    def read(self, wanted: int) -> bytes:
        """Up to so many of the next bytes, none at the end. Raises OSError."""
        data = bytearray(self._bytes(wanted))
        for patch in self._patches:
            for index, byte in enumerate(patch.data, patch.at - self._at):
                if 0 <= index < len(data):
                    data[index] = byte
        self._at += len(data)
        return bytes(data)

    def _bytes(self, wanted: int) -> bytes:
        if self._at < self._cut_at:
            return os.pread(self._fd, min(wanted, self._cut_at - self._at), self._at)
        return os.pread(self._fd, wanted, self._at + self._cut_bytes)
