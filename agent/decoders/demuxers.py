"""Which demuxer libVLC is told to use, from the first bytes; what is not known is refused.

Pure. Left to choose, libVLC takes a playlist for a stream and connects to what it names. Only content counts here,
never a name or a content type. A relay joins in the middle of a frame, so MPEG audio, ADTS and TS are looked for a
little way in.
"""

import re
from collections.abc import Callable
from typing import Final

LANDS: Final = frozenset({"wav", "es", "flac"})
"""What begins in the middle of a file as told, or a little earlier: elsewhere libVLC errs by up to minutes. Of FLAC
without a seek table, as ffmpeg writes it, it gives no sample at all; `flac` finds the place for it."""

HEAD_BYTES = 8_192
"""Enough for three of the longest MPEG audio or ADTS frames after half a one."""
_FRAMES_IN_A_ROW = 3
"""Two bytes of sync are found in any noise; three frames that lead to each other are not."""

_TS_PACKET = 188
_SYNC = 0xFF
_MPEG_SYNC, _ADTS_SYNC, _ADTS_MASK = 0xE0, 0xF0, 0xF6
_ID3_HEADER = 10
_MPEG_HEADER = 4
_ADTS_HEADER = 7

_BITRATES_V1 = (
    (),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
)
_BITRATES_V2 = (
    (),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
)
"""kbit/s by layer as the header counts it (1 is layer III, 3 is layer I), then by index; 0 is free format: refused."""
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Hz by version as the header counts it: 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5."""
_MPEG_1, _RESERVED = 3, 1
_LAYER_III, _LAYER_I = 1, 3
_BAD_BITRATE, _BAD_RATE = 15, 3


def _mpeg_frame_bytes(head: bytes, at: int) -> int:
    """Length of the MPEG audio frame that begins here, 0 if none does."""
    if at + _MPEG_HEADER > len(head) or head[at] != _SYNC or head[at + 1] & _MPEG_SYNC != _MPEG_SYNC:
        return 0
    version, layer = head[at + 1] >> 3 & 3, head[at + 1] >> 1 & 3
    bitrate_index, rate_index, padding = head[at + 2] >> 4, head[at + 2] >> 2 & 3, head[at + 2] >> 1 & 1
    if version == _RESERVED or layer == 0 or bitrate_index in (0, _BAD_BITRATE) or rate_index == _BAD_RATE:
        return 0
    bits_per_s = 1_000 * (_BITRATES_V1 if version == _MPEG_1 else _BITRATES_V2)[layer][bitrate_index]
    rate_hz = _SAMPLE_RATES[version][rate_index]
    if layer == _LAYER_I:
        return (12 * bits_per_s // rate_hz + padding) * 4
    slots = 72 if layer == _LAYER_III and version != _MPEG_1 else 144
    return slots * bits_per_s // rate_hz + padding


def _adts_frame_bytes(head: bytes, at: int) -> int:
    """Length of the ADTS frame that begins here, 0 if none does."""
    if at + _ADTS_HEADER > len(head) or head[at] != _SYNC or head[at + 1] & _ADTS_MASK != _ADTS_SYNC:
        return 0
    length = (head[at + 3] & 3) << 11 | head[at + 4] << 3 | head[at + 5] >> 5
    return length if length > _ADTS_HEADER else 0


def _leads_on(head: bytes, at: int, frame_bytes: Callable[[bytes, int], int], surely: bool) -> bool:
    """Whether frames follow each other from here: three of them, or (not `surely`) as far as the head reaches."""
    first = at == 0
    for count in range(_FRAMES_IN_A_ROW):
        length = frame_bytes(head, at)
        if not length:  # the head ends here, or in the next frame's header
            return not surely and count > 0 and at + _ADTS_HEADER > len(head)
        at += length
        if at > len(head):
            return not surely and (first or count > 0)  # a short head that begins with a frame is believed
    return True


def _found(head: bytes, frame_bytes: Callable[[bytes, int], int], surely: bool) -> int | None:
    """Where the first whole frame begins, None where there is none."""
    at = head.find(b"\xff")
    while 0 <= at < HEAD_BYTES // 2:
        if _leads_on(head, at, frame_bytes, surely):
            return at
        at = head.find(b"\xff", at + 1)
    return None


def _frames(head: bytes) -> tuple[str, int] | None:
    """Demuxer, and where the first frame begins.

    What is surely one format goes before what may be the other: half a frame of MPEG audio holds what begins ADTS.
    """
    for surely in (True, False):
        for name, frame_bytes in (("aac", _adts_frame_bytes), ("es", _mpeg_frame_bytes)):
            at = _found(head, frame_bytes, surely)
            if at is not None:
                return name, at
    return None


def _is_ts(head: bytes) -> bool:
    return any(
        all(head[at + n * _TS_PACKET] == ord("G") for n in range(_FRAMES_IN_A_ROW))
        for at in range(min(_TS_PACKET, len(head) - (_FRAMES_IN_A_ROW - 1) * _TS_PACKET))
    )


def id3_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag at the beginning, 0 if there is none: what is tagged begins there."""
    if head[:3] != b"ID3" or len(head) < _ID3_HEADER or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    footer = _ID3_HEADER if head[5] & 0x10 else 0
    return _ID3_HEADER + size + footer


def demuxer_for(head: bytes) -> str | None:
    """The name for libVLC's `:demux=`, or None: refused.

    Args:
        head: the first bytes, `HEAD_BYTES` of them if there are so many.
    """
    tag = id3_bytes(head)
    if tag:
        # Its end may lie beyond the head: MPEG audio is what is tagged so, and `es` plays nothing else.
        return demuxer_for(head[tag:]) if len(head) - tag >= HEAD_BYTES // 8 else "es"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "mp4"
    return _demuxer_for_frames(head) if looks_like(head) == _UNKNOWN else None


def _demuxer_for_frames(head: bytes) -> str | None:
    if _is_ts(head):
        return "ts"
    found = _frames(head)
    return found and found[0]


def begin_of(head: bytes) -> int:
    """Where a stream's first whole frame begins. Left in, the half frame before it makes libVLC give up a relay."""
    found = _frames(head) if demuxer_for(head) == "es" and not id3_bytes(head) else None
    return found[1] if found else 0


_UNKNOWN = "not any sound format this node knows"
_MARKUP = ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<head", "an HTML page"))
_TEXTS = (
    *_MARKUP,
    (b"#extm3u", "an HLS or M3U playlist"),
    (b"[playlist]", "a PLS playlist"),
    (b"<asx", "an ASX playlist"),
    (b"[reference]", "an ASX playlist"),
    (b"<playlist", "an XSPF playlist"),
    (b"<?xml", "an XML document"),
    (b"http://", "a list of addresses"),
    (b"https://", "a list of addresses"),
)
_JSON = re.compile(rb"\{\s*(\}\s*$|\"[^\x00-\x1f]+\"\s*:)")
"""One brace is in the middle of any frame: what follows must be text as well."""
_BINARIES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b\x08", "gzip data"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (0, b"FORM", "an AIFF file"),
    (0, b"#!AMR", "an AMR recording"),
    (0, b"\x30\x26\xb2\x75", "a Windows Media file"),
    (4, b"moov", "a QuickTime movie of the old kind"),
    (4, b"mdat", "a QuickTime movie of the old kind"),
    (4, b"free", "a QuickTime movie of the old kind"),
    (4, b"wide", "a QuickTime movie of the old kind"),
)


def looks_like(head: bytes) -> str:
    """What refused bytes look like, for a person to read."""
    if not head:
        return "empty"
    for offset, magic, name in _BINARIES:
        if head.startswith(magic, offset):
            return name
    text = head[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _JSON.match(text):
        return "a JSON document"
    return next((name for magic, name in _TEXTS if text.startswith(magic)), _UNKNOWN)
