"""A relay from the network into a pipe: its head, then a lead of sound, then as it comes; what breaks is dialled anew.

Owner: the worker thread whose attempt it is. Part of fetch. A playlist instead of a stream is followed by segments.py.

A relay that breaks or ends is asked for again at once and then every second, as long as somebody reads and not more
than `reconnect_s` have passed without bytes. What then comes goes into the same pipe, behind half a frame: MPEG audio,
ADTS, TS and Ogg find their next frame by themselves, and nothing else is joined. A body that came whole, by its own
length, is over: asking again would begin it anew.
"""

import contextlib
import logging
import time
from urllib.parse import urlsplit

from agent.fetching import hls, segments
from agent.fetching.attempt import Attempt, SourceError
from agent.fetching.body import HEAD_ENOUGH_BYTES, BeginOf, Body, FormatOf, GetStream, require_ok
from agent.fetching.download import Answer
from agent.fetching.outlet import HEAD_BYTES, Outlet
from agent.messages.reasons import Reason

LEAD_BYTES = 128 * 1024
"""A lead that needs no waiting where the server does not tell its bit rate: 3.3 s of MP3 at its highest, 320 kbit/s."""
MAX_TOLD_KBIT_S = 2_000
"""Above this a server's word about its bit rate is not believed."""
JOINED_FORMATS = frozenset({"es", "aac", "ts", "ogg"})
"""By the names of their demuxers: what goes on by itself after a cut in mid-frame."""

_PLAYLISTS = frozenset(
    {
        "application/vnd.apple.mpegurl",
        "application/x-mpegurl",
        "audio/mpegurl",
        "audio/x-mpegurl",
        "audio/x-scpls",
    }
)
_FOR_GOOD = frozenset({Reason.NOT_ALLOWED, Reason.UNSUPPORTED_FORMAT})
"""What asking again does not change."""

_log = logging.getLogger(__name__)


def carry(
    attempt: Attempt, uri: str, get: GetStream, outlet: Outlet, *, format_of: FormatOf, begin_of: BeginOf
) -> str | None:
    """Carry what is at `uri` to whoever reads; how it ended, or None where the reader went away.

    Raises:
        SourceError: every reason of a relay.
        CancelledError: given up.
    """
    until_s = time.monotonic() + attempt.limits.first_byte_s
    attempt.expect_answer(attempt.limits.first_byte_s)
    with contextlib.ExitStack() as connection:
        answer = connection.enter_context(get(uri, None))
        require_ok(answer)
        body = Body(attempt, answer)
        kind = _content_type(answer)
        head = b"" if kind in _PLAYLISTS else _first_head(attempt, body)
        if kind in _PLAYLISTS or hls.is_playlist(head):
            document = segments.read_playlist(answer, body, head, kind)
            connection.close()
            follower = segments.Follower(attempt, get, outlet, format_of, first_until_s=until_s)
            return follower.follow(document, uri, answer.uri)
        if not head:
            return body.end
        head = head[begin_of(head) :]
        outlet.open(head, enough_bytes=_lead_bytes(answer, attempt.limits.lead_s))
        attempt.at(time.monotonic() + attempt.limits.lead_s, outlet.release)
        relay = _Relay(attempt, uri, get, outlet, format_of)
        try:
            return relay.run(connection, answer, body, head)
        except SourceError as error:
            if error.reason is Reason.STREAM_ENDED:
                outlet.release()
            raise


class _Relay:
    """One relay, over as many connections as it takes."""

    def __init__(self, attempt: Attempt, uri: str, get: GetStream, outlet: Outlet, format_of: FormatOf) -> None:
        self._attempt = attempt
        self._uri = uri
        self._get = get
        self._outlet = outlet
        self._format_of = format_of
        self._dialled_s = time.monotonic()
        self._begin = b""

    def run(self, connection: contextlib.ExitStack, answer: Answer, body: Body, head: bytes) -> str | None:
        """Until it is over for good."""
        while True:
            self._pass_on(body, head)
            if self._outlet.gone:
                return None
            connection.close()
            whole = answer.length is not None and not body.broken
            if whole or self._format_of(self._begin) not in JOINED_FORMATS:
                self._outlet.release()
                return body.end
            again = self._dial_again(connection, body)
            if again is None:
                return None
            answer, body, head = again

    def _pass_on(self, body: Body, head: bytes) -> None:
        self._attempt.expect_body(self._attempt.limits.relay_bytes_per_s)
        data = head
        while data and not self._outlet.gone:
            if len(self._begin) < HEAD_BYTES:
                self._begin = (self._begin + data)[:HEAD_BYTES]
            self._outlet.put(data)
            data = body.read()

    def _dial_again(self, connection: contextlib.ExitStack, broken: Body) -> tuple[Answer, Body, bytes] | None:
        """The next connection with its head; None where the reader went away.

        Raises:
            SourceError: `stream_ended` after `reconnect_s` without bytes, or what asking again would not change.
        """
        limits = self._attempt.limits
        until_s = broken.last_s + limits.reconnect_s
        trouble = ""
        while (next_s := max(time.monotonic(), self._dialled_s + limits.reconnect_every_s)) < until_s:
            if not self._outlet.rest(next_s):
                return None
            self._dialled_s = time.monotonic()
            try:
                answer = connection.enter_context(self._get(self._uri, max(0.0, until_s - self._dialled_s)))
                body, head = self._joined(answer)
            except SourceError as error:
                connection.close()
                if error.reason in _FOR_GOOD:
                    raise
                trouble = f"; asked again: {error.detail}"
                continue
            if head:
                gap_s = body.last_s - broken.last_s
                _log.info("relay %s: goes on after %.1f s (%s)", urlsplit(self._uri).hostname, gap_s, broken.end)
                return answer, body, head
            connection.close()
            trouble = "; asked again: no bytes"
        raise SourceError(Reason.STREAM_ENDED, broken.end + trouble)

    def _joined(self, answer: Answer) -> tuple[Body, bytes]:
        """What may follow in the same pipe."""
        require_ok(answer)
        body = Body(self._attempt, answer)
        begun = self._format_of(self._begin)
        head = body.head(
            lambda head: len(head) >= HEAD_BYTES or (len(head) >= HEAD_ENOUGH_BYTES and self._format_of(head) == begun)
        )
        if head and (found := self._format_of(head)) != begun:
            told = f"it came back as {found or 'something that is not played'}, and had been {begun}"
            raise SourceError(Reason.UNSUPPORTED_FORMAT, told)
        return body, head


def _first_head(attempt: Attempt, body: Body) -> bytes:
    """At least HEAD_ENOUGH_BYTES, or all there is."""
    first = body.head(bool)
    attempt.expect_body(attempt.limits.relay_bytes_per_s)
    attempt.arrived(len(first))
    return first + body.head(lambda more: len(first) + len(more) >= HEAD_ENOUGH_BYTES) if first else first


def _content_type(answer: Answer) -> str:
    return answer.header("Content-Type").partition(";")[0].strip().lower()


def _lead_bytes(answer: Answer, lead_s: float) -> int:
    """What makes the lead without waiting: a burst from the server is seconds of sound at once.

    `icy-br` is Icecast's and Shoutcast's word for kbit/s; a false one shortens or lengthens the lead, no more.
    """
    told = answer.header("icy-br").partition(",")[0].strip()
    kbit_s = int(told) if told.isascii() and told.isdecimal() and len(told) <= len(str(MAX_TOLD_KBIT_S)) else 0
    return min(LEAD_BYTES, int(lead_s * kbit_s * 125)) if 0 < kbit_s <= MAX_TOLD_KBIT_S else LEAD_BYTES
