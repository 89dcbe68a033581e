"""What an HLS playlist says (RFC 8216), within bounds, and which of its segments come next. Part of fetch.

Pure, any thread. The only module that knows m3u8, which is imported with the first playlist: 2 MB that a node without
HLS does not pay. m3u8 is shown no tag that is not needed here, so that an odd date or advertisement ends no relay.
Refused, as `unsupported_format`: whatever libVLC cannot take from a pipe (fragmented MP4), encryption, byte ranges.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.fetching.attempt import SourceError
from agent.messages.reasons import Reason

MAX_PLAYLIST_BYTES = 512 * 1024
"""MAX_ENTRIES of 100 characters and their durations; a live window has some 2 KB."""
MAX_ENTRIES = 4_000
"""The longest play, four hours, in segments of 3.6 s."""
MAX_ATTRIBUTE_LINES = 200
"""Variants, renditions and keys: their quoted lists are slow to take apart (m3u8: 10 ms for a line of bad quotes)."""
MAX_LINE_CHARACTERS = 4_096
"""A URI of 2,048 characters with its attributes."""
MAX_SEGMENT_S = 60
"""Longest segment and target duration: a live stream is joined three of them behind, and reloaded once in each."""
START_BEHIND = 3
"""Target durations between the place where a live stream is joined and its end (RFC 8216, 6.3.3)."""
MAX_DETAIL_CHARACTERS = 200
"""What a playlist says is quoted in a report, but not whole."""
MAX_SEQUENCE = 2**63 - 1
"""Media sequence numbers are 64 bits."""

_ATTRIBUTES = frozenset({"#EXT-X-STREAM-INF", "#EXT-X-MEDIA", "#EXT-X-KEY", "#EXT-X-MAP"})
_TAGS = _ATTRIBUTES | {
    "#EXTINF",
    "#EXT-X-TARGETDURATION",
    "#EXT-X-MEDIA-SEQUENCE",
    "#EXT-X-ENDLIST",
    "#EXT-X-BYTERANGE",
    "#EXT-X-I-FRAMES-ONLY",
    "#EXT-X-GAP",
}
_AUDIO_CODECS = ("mp4a", "mp3", "ac-3", "ec-3", "opus", "vorbis", "flac")
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What m3u8 raises for what is none; there is no list of them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A few seconds of sound. A `gap` is one that the server says is missing."""

    sequence: int
    uri: str
    duration_s: float
    gap: bool = False


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """The segments that there are now; with `ended` there will be no more."""

    target_s: int
    segments: tuple[Segment, ...]
    ended: bool


@dataclass(frozen=True, slots=True)
class MasterPlaylist:
    """Nothing but the way to the media playlist that was chosen."""

    uri: str


def is_playlist(head: bytes) -> bool:
    """Whether a body that begins so is an M3U playlist."""
    return head.removeprefix(b"\xef\xbb\xbf").startswith(b"#EXTM3U")


def parse(document: bytes) -> MasterPlaylist | MediaPlaylist:
    """Read a playlist.

    Raises:
        SourceError: `unsupported_format`.
    """
    if not is_playlist(document):
        raise _refused("it does not begin with #EXTM3U")
    if len(document) > MAX_PLAYLIST_BYTES:
        raise _refused(f"it has more than {MAX_PLAYLIST_BYTES} bytes")
    try:
        data = _data(document.decode("utf-8-sig"))
        if data["playlists"] or data["is_variant"]:
            return _chosen(data)
        return _media(data)
    except _BROKEN as error:
        raise _refused(f"it cannot be read: {error!r}") from None


def _refused(why: str) -> SourceError:
    return SourceError(Reason.UNSUPPORTED_FORMAT, f"the playlist: {why}"[:MAX_DETAIL_CHARACTERS])


def _data(text: str) -> Mapping[str, Any]:
    import m3u8  # noqa: PLC0415  see above

    attribute_lines = 0

    def is_not_needed(line: str, *_: object) -> bool:
        nonlocal attribute_lines
        tag = line.partition(":")[0]
        attribute_lines += tag in _ATTRIBUTES
        if attribute_lines > MAX_ATTRIBUTE_LINES:
            raise _refused(f"it names more than {MAX_ATTRIBUTE_LINES} variants, renditions and keys")
        if len(line) > MAX_LINE_CHARACTERS:
            raise _refused(f"a line has more than {MAX_LINE_CHARACTERS} characters")
        return tag not in _TAGS

    data: Mapping[str, Any] = m3u8.parse(text, custom_tags_parser=is_not_needed)
    if len(data["segments"]) + len(data["playlists"]) > MAX_ENTRIES:
        raise _refused(f"it has more than {MAX_ENTRIES} entries")
    return data


# Master playlists -----------------------------------------------------------------------------------------------------


def _chosen(data: Mapping[str, Any]) -> MasterPlaylist:
    """Sound alone if there is such a variant or rendition, else the least of what holds sound: a pole shows nothing."""
    if data["segments"]:
        raise _refused("it lists both variants and segments")
    variants = sorted(data["playlists"], key=lambda each: _bandwidth(each["stream_info"]))
    with_sound = [each for each in variants if _has_sound(each["stream_info"])]
    if not with_sound:
        raise _refused("no variant has sound")
    alone = [each["uri"] for each in with_sound if _is_sound_alone(each["stream_info"])]
    renditions = [
        uri for each in with_sound if (uri := _rendition(each["stream_info"].get("audio"), data["media"])) is not None
    ]
    return MasterPlaylist((alone or renditions or [with_sound[0]["uri"]])[0])


def _bandwidth(info: Mapping[str, Any]) -> int:
    bandwidth: int = info.get("bandwidth", MAX_SEQUENCE)
    return bandwidth


def _codecs(info: Mapping[str, Any]) -> list[str]:
    return [codec.strip().lower() for codec in str(info.get("codecs", "")).split(",") if codec.strip()]


def _has_sound(info: Mapping[str, Any]) -> bool:
    """Who names no codecs is believed."""
    codecs = _codecs(info)
    return not codecs or any(codec.startswith(_AUDIO_CODECS) for codec in codecs)


def _is_sound_alone(info: Mapping[str, Any]) -> bool:
    codecs = _codecs(info)
    return bool(codecs) and all(codec.startswith(_AUDIO_CODECS) for codec in codecs) and "resolution" not in info


def _rendition(group: str | None, media: Sequence[Mapping[str, Any]]) -> str | None:
    """The group's default sound where it has a playlist of its own; without `uri` it is within the variant."""
    found = [
        each for each in media if each.get("type") == "AUDIO" and each.get("group_id") == group and each.get("uri")
    ]
    found.sort(key=lambda each: each.get("default") != "YES")
    return str(found[0]["uri"]) if group is not None and found else None


# Media playlists ------------------------------------------------------------------------------------------------------


def _media(data: Mapping[str, Any]) -> MediaPlaylist:
    if "targetduration" not in data:
        raise _refused("it has no #EXT-X-TARGETDURATION: a list of stations is no HLS, name the stream itself")
    target_s: int = data["targetduration"]
    _require(1 <= target_s <= MAX_SEGMENT_S, f"a target duration of {target_s} s, at most {MAX_SEGMENT_S} are taken")
    first: int = data["media_sequence"]
    _require(0 <= first <= MAX_SEQUENCE - MAX_ENTRIES, f"no media sequence number: {first}")
    _require(not data["is_i_frames_only"], "it has pictures alone")
    _require(not data["segment_map"], "fragmented MP4 cannot be played from a stream: ask for MPEG-TS or ADTS")
    for key in data["keys"]:
        _require(key is None or key.get("method") == "NONE", f"it is encrypted ({(key or {}).get('method')})")
    segments = tuple(_segment(number, each) for number, each in enumerate(data["segments"], first) if each.get("uri"))
    return MediaPlaylist(target_s, segments, bool(data["is_endlist"]))


def _segment(sequence: int, told: Mapping[str, Any]) -> Segment:
    duration_s: float = told["duration"]
    _require("byterange" not in told, "byte ranges are not supported")
    fits = math.isfinite(duration_s) and 0 <= duration_s <= MAX_SEGMENT_S
    _require(fits, f"a segment of {duration_s:g} s, at most {MAX_SEGMENT_S} are taken")
    return Segment(sequence, told["uri"], duration_s, bool(told.get("gap_tag")))


def _require(fits: bool, otherwise: str) -> None:
    if not fits:
        raise _refused(otherwise)


class Place:
    """How far one stream has come: no segment twice, none left out unless the window has moved on."""

    def __init__(self) -> None:
        self._next: int | None = None

    def coming(self, playlist: MediaPlaylist) -> tuple[Segment, ...]:
        """What follows in this playlist.

        A window that lies by its own length below what was expected is that of a server that began to count anew: it is
        joined as at first. One that is a little behind comes from an older copy, and will catch up.
        """
        segments = playlist.segments
        if segments and (self._next is None or segments[-1].sequence + 1 < self._next - len(segments)):
            self._next = _start(playlist)
        return tuple(each for each in segments if self._next is not None and each.sequence >= self._next)

    def passed(self, segment: Segment) -> None:
        """This one is done."""
        self._next = segment.sequence + 1


def _start(playlist: MediaPlaylist) -> int:
    """What has ended is played from its beginning, what is live from START_BEHIND target durations before its end."""
    behind_s = 0.0
    for segment in reversed(playlist.segments):
        behind_s += segment.duration_s
        if not playlist.ended and behind_s >= START_BEHIND * playlist.target_s:
            return segment.sequence
    return playlist.segments[0].sequence
