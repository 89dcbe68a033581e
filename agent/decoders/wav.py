"""Where in a WAV file an instant lies, and how long it sounds (RIFF: Multimedia Data Specifications 1.0).

libVLC, told where to begin, now and then gives the 50 ms before that as well: an echo for whoever joins others.
"""

import os
from dataclasses import dataclass
from typing import Final

from agent.decoders.excerpts import Patch, Place

MAX_CHUNKS: Final = 64
"""Tags and cue points before the sound; a file with more of them is left to libVLC."""
_HEADER_BYTES, _CHUNK_BYTES, _FORMAT_BYTES = 12, 8, 16
_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_A_FRAME_A_SAMPLE: Final = frozenset({_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE})
"""All others put many samples into one block."""
_RIFF_SIZE_AT: Final = 4
_TO_THE_END: Final = frozenset({0, 0xFFFF_FFFF})
"""What a recorder writes that could not go back."""


@dataclass(frozen=True, slots=True)
class Wav:
    """Where its samples lie: `size` bytes from `begin` on, `frame_bytes` for all channels of one instant."""

    begin: int
    size: int
    frame_bytes: int
    rate_hz: int

    @property
    def length_s(self) -> float:
        """How long it sounds."""
        return self.size // self.frame_bytes / self.rate_hz

    def place_of(self, from_s: float) -> Place:
        """The last sample at `from_s` or before it, or the end."""
        sample = min(int(from_s * self.rate_hz), self.size // self.frame_bytes)
        return Place(self.begin, self.begin + sample * self.frame_bytes, sample / self.rate_hz)

    def patches(self, place: Place) -> tuple[Patch, ...]:
        """What its two sizes are once it is cut there."""
        left = self.begin + self.size - place.cut_to
        sizes = ((_RIFF_SIZE_AT, self.begin - _CHUNK_BYTES + left), (self.begin - 4, left))
        return tuple(Patch(at, size.to_bytes(4, "little")) for at, size in sizes)


def wav_of(fd: int) -> Wav | None:
    """What the headers of an open file say; None where they say something else than plain samples.

    Args:
        fd: read by `os.pread`.
    """
    if os.pread(fd, 4, 0) != b"RIFF":
        return None
    frame_bytes = rate_hz = 0
    at, end = _HEADER_BYTES, os.fstat(fd).st_size
    for _ in range(MAX_CHUNKS):
        chunk = os.pread(fd, _CHUNK_BYTES + _FORMAT_BYTES, at)
        size, at = int.from_bytes(chunk[4:8], "little"), at + _CHUNK_BYTES
        if chunk.startswith(b"data") and len(chunk) >= _CHUNK_BYTES:
            there = max(0, end - at)
            size = there if size in _TO_THE_END else min(size, there)
            return Wav(at, size, frame_bytes, rate_hz) if frame_bytes and rate_hz else None
        if len(chunk) < _CHUNK_BYTES + _FORMAT_BYTES:
            return None
        if chunk.startswith(b"fmt "):
            frame_bytes, rate_hz = _format(chunk[_CHUNK_BYTES:])
        at += size + size % 2
    return None


def _format(body: bytes) -> tuple[int, int]:
    """Bytes of a frame and frames a second, 0 and 0 where one frame is not one instant."""
    if int.from_bytes(body[0:2], "little") not in _A_FRAME_A_SAMPLE:
        return 0, 0
    return int.from_bytes(body[12:14], "little"), int.from_bytes(body[4:8], "little")
