"""An HLS stream from the network into a pipe, segment after segment. Part of fetch; what playlists say is in hls.py.

Owner: the worker thread whose attempt it is. Every playlist and every segment is a request of its own, held against the
allow-list with its redirects. A segment is passed on as it comes; one that breaks is asked for again and goes on behind
the bytes that are through already. What fails is tried again once a second as long as the sound that was passed on
lasts and `reconnect_s` more; before the first sound nothing is tried twice. Prefetching is what the pipe holds.
"""

import contextlib
import time
from collections.abc import Iterator

from agent.fetching import hls
from agent.fetching.attempt import Attempt, SourceError
from agent.fetching.body import Body, FormatOf, GetStream, require_ok
from agent.fetching.download import Answer
from agent.fetching.outlet import HEAD_BYTES, Outlet
from agent.messages.addresses import follow, parse_address
from agent.messages.reasons import Reason

MAX_SEGMENT_BYTES = 8 * 1024 * 1024
"""Ten seconds of the least picture that stations send, some 1 Mbit/s, with room; sound alone has a fiftieth."""
MIN_RELOAD_S = 1.0
"""Between two loads of one playlist, however short its segments."""
SEGMENT_FORMATS = frozenset({"ts", "aac", "es"})
"""By the names of their demuxers: MPEG-TS, packed ADTS, packed MPEG audio."""

_PASSING = frozenset({Reason.NO_ANSWER, Reason.HTTP_ERROR, Reason.STALLED, Reason.TLS_ERROR})
"""What may be over when it is tried again."""


def read_playlist(answer: Answer, body: Body, head: bytes, content_type: str = "") -> bytes:
    """A playlist whole, after the `head` that was read already; under the deadline as it is.

    Raises:
        SourceError: `unsupported_format`, `stalled`, `no_answer` where it broke off.
        CancelledError: given up.
    """
    too_long = SourceError(Reason.UNSUPPORTED_FORMAT, f"a playlist of more than {hls.MAX_PLAYLIST_BYTES} bytes")
    if answer.length is not None and answer.length > hls.MAX_PLAYLIST_BYTES:
        raise too_long
    document = head or body.head(bool)
    if not hls.is_playlist(document):
        told = f"{content_type or 'this'} is a playlist that is no HLS: name the stream itself"
        raise SourceError(Reason.UNSUPPORTED_FORMAT, told)
    document += body.head(lambda more: len(document) + len(more) > hls.MAX_PLAYLIST_BYTES)
    if body.broken:
        raise SourceError(Reason.NO_ANSWER, f"a playlist: {body.end}")
    if len(document) > hls.MAX_PLAYLIST_BYTES:
        raise too_long
    return document


class Follower:
    """Follows one stream."""

    def __init__(
        self, attempt: Attempt, get: GetStream, outlet: Outlet, format_of: FormatOf, *, first_until_s: float
    ) -> None:
        """Until `first_until_s` (monotonic) the first segment must have begun to come."""
        self._attempt = attempt
        self._limits = attempt.limits
        self._get = get
        self._outlet = outlet
        self._format_of = format_of
        self._format: str | None = None
        self._place = hls.Place()
        self._fed_until_s = first_until_s - attempt.limits.reconnect_s
        self._through_bytes = 0
        self._trouble = SourceError(Reason.STALLED, "the playlist brings nothing new")

    def follow(self, document: bytes, uri: str, base: str) -> str | None:
        """Carry it to whoever reads; how it ended, or None where the reader went away. `base`: where the document was.

        Raises:
            SourceError: every reason of a relay.
            CancelledError: given up.
        """
        playlist = hls.parse(document)
        if isinstance(playlist, hls.MasterPlaylist):
            uri = _resolved(base, playlist.uri)
            playlist, base = self._load(uri)
        loaded_s, wait_s = time.monotonic(), float(playlist.target_s)
        while True:
            whole = self._carry(playlist, base)
            if self._outlet.gone:
                return None
            if whole and playlist.ended:
                return "the stream has ended"
            due_s = loaded_s + max(MIN_RELOAD_S, wait_s) if whole else time.monotonic() + self._limits.reconnect_every_s
            if not self._outlet.rest(min(due_s, max(self._limit_s, time.monotonic()))):
                return None
            if time.monotonic() >= self._limit_s:
                raise self._trouble
            if playlist.ended:
                continue
            loaded_s = time.monotonic()
            before = playlist
            with self._passing_trouble():
                playlist, base = self._load(uri)
            # Half the time where nothing is new (RFC 8216, 6.3.4).
            wait_s = playlist.target_s if playlist != before else playlist.target_s / 2

    @property
    def _limit_s(self) -> float:
        return self._fed_until_s + self._limits.reconnect_s

    @contextlib.contextmanager
    def _passing_trouble(self) -> Iterator[None]:
        """What may pass is kept as the reason for a later end; before the first sound it is the end."""
        try:
            yield
        except SourceError as error:
            if not self._outlet.opened or error.reason not in _PASSING:
                raise
            self._trouble = error

    def _within_s(self) -> float:
        """How long an answer is waited for."""
        return max(0.0, min(self._limits.first_byte_s, self._limit_s - time.monotonic()))

    def _load(self, uri: str) -> tuple[hls.MediaPlaylist, str]:
        with self._get(uri, self._within_s()) as answer:
            require_ok(answer)
            playlist = hls.parse(read_playlist(answer, Body(self._attempt, answer), b""))
        if isinstance(playlist, hls.MasterPlaylist):
            raise SourceError(Reason.UNSUPPORTED_FORMAT, "a playlist of playlists within another")
        return playlist, answer.uri

    def _carry(self, playlist: hls.MediaPlaylist, base: str) -> bool:
        """Pass on what is new; whether all of it is through."""
        for segment in self._place.coming(playlist):
            done = segment.gap
            if not segment.gap:
                with self._passing_trouble():
                    self._pass_on(segment, base)
                    done = True
            if not done or self._outlet.gone:
                return False
            self._place.passed(segment)
            self._through_bytes = 0
            self._trouble = SourceError(Reason.STALLED, "the playlist brings nothing new")
        return True

    def _pass_on(self, segment: hls.Segment, base: str) -> None:
        with self._get(_resolved(base, segment.uri), self._within_s()) as answer:
            require_ok(answer)
            if answer.length is not None and answer.length > MAX_SEGMENT_BYTES:
                raise _too_large(answer.length)
            body = Body(self._attempt, answer)
            head = body.head(lambda head: len(head) >= HEAD_BYTES)
            if not head:
                raise SourceError(Reason.NO_ANSWER, "a segment without bytes")
            self._require_format(head)
            self._attempt.expect_body(self._limits.relay_bytes_per_s)
            if not self._outlet.opened:
                self._outlet.open(head)
            self._pass_on_body(body, head)
        self._fed_until_s = max(self._fed_until_s, time.monotonic()) + segment.duration_s

    def _pass_on_body(self, body: Body, head: bytes) -> None:
        seen_bytes, data = 0, head
        while data and not self._outlet.gone:
            new = data[max(0, self._through_bytes - seen_bytes) :]
            seen_bytes += len(data)
            if seen_bytes > MAX_SEGMENT_BYTES:
                raise _too_large(seen_bytes)
            if new:
                self._outlet.put(new)
                self._through_bytes = seen_bytes
            data = body.read()
        if body.broken:
            raise SourceError(Reason.NO_ANSWER, f"a segment: {body.end}")

    def _require_format(self, head: bytes) -> None:
        found = self._format_of(head)
        if found not in SEGMENT_FORMATS:
            raise SourceError(Reason.UNSUPPORTED_FORMAT, "a segment that is neither MPEG-TS nor ADTS nor MPEG audio")
        if self._format not in {None, found}:
            raise SourceError(Reason.UNSUPPORTED_FORMAT, f"the segments were {self._format}, and go on as {found}")
        self._format = found


def _resolved(base: str, uri: str) -> str:
    """The URI that a playlist from `base` names.

    Raises:
        SourceError: `not_allowed`, for one that everybody must not read in one way.
    """
    if not uri.isascii() or not uri.isprintable():
        raise SourceError(Reason.NOT_ALLOWED, "the playlist names a URI with a character that must be percent-encoded")
    try:
        return follow(parse_address(base), uri).uri
    except ValueError as error:
        raise SourceError(Reason.NOT_ALLOWED, f"the playlist names {uri.partition('?')[0][:100]!r}: {error}") from None


def _too_large(count: int) -> SourceError:
    return SourceError(Reason.UNSUPPORTED_FORMAT, f"a segment of {count} bytes, at most {MAX_SEGMENT_BYTES} are taken")
