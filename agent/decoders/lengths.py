"""How long a file sounds, found without decoding it. Part of player.

Asked where a node joins so late that nothing is left: whoever repeats an item has gone on to a later sounding, and by
this the node knows to which. A guess would make an echo that lasts, so what does not say it to the sample says nothing:
libVLC is believed of FLAC, not of MPEG audio, whose encoder adds some 50 ms that do not sound, nor of WAV, which it may
be shown a part of.
"""

import os
from typing import Final

from agent.decoders.demuxers import id3_bytes
from agent.decoders.wav import wav_of

_HEAD_BYTES: Final = 256
_SYNC, _SYNC_MASK, _MPEG_1, _LAYER_III, _MONO = 0xFF, 0xE0, 3, 1, 3
_RATES_HZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_SIDE_BYTES: Final = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
"""Between header and table, by MPEG 1 and by mono."""
_TABLES: Final = (b"Xing", b"Info")
_HAS_FRAMES, _FIELDS = 1, ((1, 4), (2, 4), (4, 100), (8, 4))
"""Bit and size of each member of the table: frames, bytes, places, quality."""
_DELAYS_AT, _DELAY_BYTES = 21, 3
"""In what LAME, and what writes like it, puts behind the table: samples before and after the sound, 12 bits each."""
_ENCODERS: Final = (b"LAME", b"Lavf", b"Lavc")


def length_s(fd: int, demuxer: str, told_ms: int) -> float | None:
    """Of an open file, in s; None where it is not known to the sample.

    Args:
        fd: read by `os.pread`.
        demuxer: from `demuxer_for`.
        told_ms: what libVLC says of it.
    """
    if demuxer == "wav":
        wav = wav_of(fd)
        return wav.length_s if wav is not None and wav.size else None
    if demuxer == "flac":
        return told_ms / 1_000 if told_ms > 0 else None
    return _of_mpeg(fd) if demuxer == "es" else None


def _of_mpeg(fd: int) -> float | None:
    begin = id3_bytes(os.pread(fd, 10, 0))
    head = os.pread(fd, _HEAD_BYTES, begin)
    if len(head) < _HEAD_BYTES or head[0] != _SYNC or head[1] & _SYNC_MASK != _SYNC_MASK:
        return None
    version, layer, rate_index = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
    if version not in _RATES_HZ or layer != _LAYER_III or rate_index >= len(_RATES_HZ[version]):
        return None
    table = head[4 + _SIDE_BYTES[version == _MPEG_1, head[3] >> 6 == _MONO] :]
    return _of_table(table, 1_152 if version == _MPEG_1 else 576, _RATES_HZ[version][rate_index])


def _of_table(table: bytes, frame_samples: int, rate_hz: int) -> float | None:
    flags = int.from_bytes(table[4:8], "big")
    if table[:4] not in _TABLES or not flags & _HAS_FRAMES:
        return None
    frames = int.from_bytes(table[8:12], "big")
    encoder = table[8 + sum(size for bit, size in _FIELDS if flags & bit) :]
    if not encoder.startswith(_ENCODERS):
        return None
    delays = int.from_bytes(encoder[_DELAYS_AT : _DELAYS_AT + _DELAY_BYTES], "big")
    samples = frames * frame_samples - (delays >> 12) - (delays & 0xFFF)
    return samples / rate_hz if samples > 0 else None
