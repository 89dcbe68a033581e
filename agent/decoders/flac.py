"""Where in a FLAC file an instant lies: the frame that holds it, found without decoding (RFC 9639).

libVLC seeks by a table that ffmpeg does not write, and gives no sample where there is none. Frames carry their number
under a checksum, so halving the file finds the right one in some twenty small reads.
"""

import os
from collections.abc import Iterator
from typing import Final

from agent.decoders.excerpts import Place

MAX_METADATA_BLOCKS: Final = 64
"""Pictures and tags before the sound; a file with more of them begins at its beginning."""
WINDOW_BYTES: Final = 65_536
"""A frame of 4,608 samples of two channels of 16 bits, uncompressed, is 18 KiB; larger ones are not found, and harm
nobody: the search then stays further ahead."""
_BLOCK_HEADER, _LAST_BLOCK, _STREAMINFO, _STREAMINFO_BYTES = 4, 0x80, 0, 34
_MAX_HEADER_BYTES = 16
_SYNC = 0xF8
"""Of the second byte all but its last bit, which tells blocks of varying size."""
_ONE_BYTE, _FURTHER, _LENGTHS = 0x80, 0x80, range(2, 8)
"""A number below 128 is one byte; of a longer one the first byte tells the length, and further ones begin with 10."""
_CHANNEL_CODES = 11
_BLOCK_IN_8_BITS, _BLOCK_IN_16_BITS = 6, 7
_RATE_IN_8_BITS, _RATES_IN_16_BITS, _NO_RATE = 12, (13, 14), 15


def place_of(fd: int, begin: int, from_s: float) -> Place | None:
    """The last frame that begins at `from_s` or before it.

    Args:
        fd: the file, read by `os.pread`.
        begin: where `fLaC` stands, behind a tag if there is one.
        from_s: seconds from the beginning of the sound.

    Returns:
        None where the file cannot be cut: it is damaged, or built as nothing builds it.
    """
    found = _metadata(fd, begin)
    if found is None:
        return None
    sound_at, rate_hz, block_samples = found
    wanted = int(from_s * rate_hz)
    low, high = sound_at, os.fstat(fd).st_size
    while high - low > WINDOW_BYTES:
        middle = (low + high) // 2
        first = next(_frames(fd, middle, block_samples), None)
        if first is None or first[1] > wanted:
            high = middle
        else:
            low = first[0]
    best = (sound_at, 0)
    for frame in _frames(fd, low, block_samples):
        if frame[1] > wanted:
            break
        best = frame
    return Place(sound_at, best[0], best[1] / rate_hz)


def _metadata(fd: int, begin: int) -> tuple[int, int, int] | None:
    """Where the sound begins, its rate in Hz, and the samples of a block."""
    at, rate_hz, block_samples = begin + 4, 0, 0
    for _ in range(MAX_METADATA_BLOCKS):
        header = os.pread(fd, _BLOCK_HEADER + _STREAMINFO_BYTES, at)
        if len(header) < _BLOCK_HEADER:
            return None
        if header[0] & ~_LAST_BLOCK == _STREAMINFO and len(header) == _BLOCK_HEADER + _STREAMINFO_BYTES:
            block_samples = int.from_bytes(header[6:8], "big")
            rate_hz = int.from_bytes(header[14:17], "big") >> 4
        at += _BLOCK_HEADER + int.from_bytes(header[1:4], "big")
        if header[0] & _LAST_BLOCK:
            return (at, rate_hz, block_samples) if rate_hz and block_samples else None
    return None


def _frames(fd: int, at: int, block_samples: int) -> Iterator[tuple[int, int]]:
    """(offset, first sample) of each frame that begins in the window from `at` on."""
    window = os.pread(fd, WINDOW_BYTES, at) + bytes(_MAX_HEADER_BYTES)  # the last frame of silence is 12 bytes long
    found = window.find(b"\xff")
    while 0 <= found < WINDOW_BYTES:
        sample = _first_sample(window[found : found + _MAX_HEADER_BYTES], block_samples)
        if sample is not None:
            yield at + found, sample
        found = window.find(b"\xff", found + 1)


def _first_sample(header: bytes, block_samples: int) -> int | None:
    """The number of the first sample of the frame whose header this is; None if it is none (RFC 9639 section 9.1)."""
    if len(header) < _MAX_HEADER_BYTES or header[1] & 0xFE != _SYNC or header[3] & 1:
        return None
    block, rate, channels = header[2] >> 4, header[2] & 0xF, header[3] >> 4
    if block == 0 or rate == _NO_RATE or channels >= _CHANNEL_CODES:
        return None
    number, at = _coded_number(header, 4)
    at += {_BLOCK_IN_8_BITS: 1, _BLOCK_IN_16_BITS: 2}.get(block, 0)
    at += 1 if rate == _RATE_IN_8_BITS else 2 if rate in _RATES_IN_16_BITS else 0
    if number is None or _crc_8(header[:at]) != header[at]:
        return None
    return number if header[1] & 1 else number * block_samples


def _coded_number(header: bytes, at: int) -> tuple[int | None, int]:
    """A number as UTF-8 codes it, extended to 36 bits; and where it ends."""
    first = header[at]
    if first < _ONE_BYTE:
        return first, at + 1
    length = 8 - (first ^ 0xFF).bit_length()
    if length not in _LENGTHS:
        return None, at
    number = first & (0x7F >> length)
    for byte in header[at + 1 : at + length]:
        if byte & 0xC0 != _FURTHER:
            return None, at
        number = number << 6 | byte & 0x3F
    return number, at + length


def _crc_8(data: bytes) -> int:
    """Polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
