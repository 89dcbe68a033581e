"""What HLS servers do to a node: every address is held against the list, every body is bounded, no byte comes twice.

Segments are MPEG-TS by their sync bytes and nothing else: what matters here is which bytes go through, and when none.
"""

import gzip
import os
import time
from pathlib import Path

import pytest

from agent.fetching.attempt import Limits
from agent.fetching.segments import MAX_SEGMENT_BYTES, MIN_RELOAD_S
from agent.messages.events import SourceFailed, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import Relay
from rig.web import (
    Behaviour,
    WebServer,
    answer,
    break_after,
    chunked,
    drip,
    endless,
    gzip_bomb,
    redirect,
    serve,
    status,
)
from tests.fetching import DEADLINE_S, PATIENT, Fetching, read_to_end

PLAYLIST = "application/vnd.apple.mpegurl"
PACKET_BYTES = 188
SEGMENT_S = 0.5
SMALL = Limits(first_byte_s=3, connect_s=60, stall_s=60, lead_s=0, reconnect_s=1, reconnect_every_s=0.1)
"""What a server that stays broken is given."""


def transport_stream(packets: int = 400) -> bytes:
    """MPEG-TS packets of noise."""
    return b"".join(b"\x47" + os.urandom(PACKET_BYTES - 1) for _ in range(packets))


SEGMENTS = [transport_stream() for _ in range(3)]
ALL = b"".join(SEGMENTS)


def listed(*uris: str, ended: bool = True) -> Behaviour:
    """A media playlist of these segments."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", *(f"#EXTINF:{SEGMENT_S},\n{uri}" for uri in uris)]
    return serve("\n".join([*lines, *["#EXT-X-ENDLIST"] * ended, ""]).encode(), PLAYLIST)


def on_demand(*last: Behaviour) -> dict[str, Behaviour]:
    """Three segments on demand; `last` takes the place of as many at the end."""
    bodies: list[Behaviour] = [*(serve(each) for each in SEGMENTS[: 3 - len(last)]), *last]
    segments: dict[str, Behaviour] = {f"/hls/{number}.ts": body for number, body in enumerate(bodies)}
    return {"/hls/list.m3u8": listed("0.ts", "/hls/1.ts", "../hls/2.ts"), **segments}


def carried(
    tmp_path: Path, routes: dict[str, Behaviour], *, at: str = "/hls/list.m3u8", limits: Limits = PATIENT
) -> tuple[bytes, Reason, str]:
    """What came through the pipe, and how it ended; afterwards the server serves an ended stream as well as ever."""
    with WebServer({**routes, "/good": listed("/s.ts"), "/s.ts": serve(SEGMENTS[0])}) as web:
        with Fetching(tmp_path, limits=limits) as fetching:
            fetching.fetch.open_stream(1, Relay(uri=web.uri(at)))
            news, through = fetching.news(), b""
            if isinstance(news, StreamReady):
                through = read_to_end(news.fd)
                news = fetching.news()
            assert isinstance(news, SourceFailed)
            fetching.fetch.open_stream(2, Relay(uri=web.uri("/good")))
            assert read_to_end(fetching.stream().fd) == SEGMENTS[0]
            assert fetching.reason(2) is Reason.STREAM_ENDED
        return through, news.reason, news.detail


def test_a_recording_comes_whole_and_in_order(tmp_path: Path) -> None:
    assert carried(tmp_path, on_demand()) == (ALL, Reason.STREAM_ENDED, "the stream has ended")


def test_a_master_playlist_leads_to_its_sound(tmp_path: Path) -> None:
    master = (
        b'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.4d401f,mp4a.40.2",RESOLUTION=640x360\npicture.m3u8\n'
        b'#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"\nhls/list.m3u8\n'
    )
    through, reason, _ = carried(tmp_path, {"/master": serve(master, PLAYLIST), **on_demand()}, at="/master")
    assert (through, reason) == (ALL, Reason.STREAM_ENDED)


@pytest.mark.parametrize("times", [1, 3])
def test_a_segment_that_breaks_off_is_taken_up_and_no_byte_comes_twice(tmp_path: Path, times: int) -> None:
    broken = break_after(SEGMENTS[1], 20_000, times=times)
    routes = {**on_demand(), "/hls/1.ts": broken}
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=60, reconnect_s=DEADLINE_S, reconnect_every_s=0.05)
    assert carried(tmp_path, routes, limits=limits)[:2] == (ALL, Reason.STREAM_ENDED)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://elsewhere.example/s.ts", "elsewhere.example"),
        ("//elsewhere.example/s.ts", "elsewhere.example"),
        ("http://127.0.0.1.elsewhere.example/s.ts", "elsewhere.example"),
        ("file:///etc/shadow", "file"),
        ("ftp://127.0.0.1/s.ts", "ftp"),
        ("data:video/mp2t;base64,R0dH", "data"),
        ("concat:/etc/shadow", "concat"),
        ("http://user:word@127.0.0.1/s.ts", "user"),
        ("http://radio.example\\@elsewhere.example/s.ts", "elsewhere"),
        ("http://127.0.0.1/é.ts", "percent-encoded"),
    ],
)
@pytest.mark.parametrize("master", [False, True], ids=["segment", "variant"])
def test_a_playlist_that_points_elsewhere_is_not_followed(tmp_path: Path, uri: str, why: str, master: bool) -> None:
    body = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\n{uri}\n".encode()
    routes = {"/hls/list.m3u8": serve(body, PLAYLIST) if master else listed(uri)}
    through, reason, detail = carried(tmp_path, routes)
    assert (through, reason) == (b"", Reason.NOT_ALLOWED)
    assert why in detail


def test_a_segment_redirected_elsewhere_is_not_followed(tmp_path: Path) -> None:
    routes = on_demand(redirect("http://elsewhere.example/s.ts"))
    assert carried(tmp_path, routes)[:2] == (b"".join(SEGMENTS[:2]), Reason.NOT_ALLOWED)


GIGABYTE = 1_000_000_000


@pytest.mark.parametrize("told", [True, False], ids=["its length told", "without a word"])
def test_a_segment_of_a_gigabyte_is_bounded(tmp_path: Path, told: bool) -> None:
    block = transport_stream()
    body = endless(block, {"Content-Length": GIGABYTE} if told else None)
    through, reason, detail = carried(tmp_path, on_demand(body))
    assert (reason, str(MAX_SEGMENT_BYTES) in detail) == (Reason.UNSUPPORTED_FORMAT, True)
    before = len(SEGMENTS[0]) * 2
    assert through.startswith(b"".join(SEGMENTS[:2]))
    assert len(through) == before if told else before < len(through) <= before + MAX_SEGMENT_BYTES


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (endless(b"#EXTINF:2,\n/s.ts\n", {"Content-Type": PLAYLIST}), Reason.UNSUPPORTED_FORMAT),
        (serve(b"#EXTM3U\n" + b"#EXTINF:2,\n/s.ts\n" * 100_000, PLAYLIST), Reason.UNSUPPORTED_FORMAT),
        (chunked(b"#EXTM3U\n" + b"# nothing\n" * 100_000), Reason.UNSUPPORTED_FORMAT),
        (gzip_bomb, Reason.HTTP_ERROR),
        (
            answer(
                200, {"Content-Type": PLAYLIST, "Content-Encoding": "gzip"}, gzip.compress(b"#EXTM3U\n" + bytes(10**7))
            ),
            Reason.HTTP_ERROR,
        ),
    ],
    ids=["endless without a begin", "1.7 MB", "1 MB of remarks", "gzip bomb", "gzip"],
)
def test_a_playlist_beyond_all_bounds_is_refused(tmp_path: Path, body: Behaviour, reason: Reason) -> None:
    assert carried(tmp_path, {"/hls/list.m3u8": body})[:2] == (b"", reason)


def test_a_playlist_that_drips_is_a_stall(tmp_path: Path) -> None:
    limits = Limits(first_byte_s=0.5, connect_s=60, stall_s=0.5)
    body = drip(b"#EXTM3U\n", 0.05, {"Content-Type": PLAYLIST})
    through, reason, _ = carried(tmp_path, {"/hls/list.m3u8": body}, limits=limits)
    assert (through, reason) == (b"", Reason.STALLED)


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (serve(b"<html>captive portal</html>" * 400), Reason.UNSUPPORTED_FORMAT),
        (serve(b"\x00\x00\x00\x18ftypmp42" + bytes(8_192)), Reason.UNSUPPORTED_FORMAT),
        (gzip_bomb, Reason.HTTP_ERROR),
        (serve(b""), Reason.NO_ANSWER),
        (status(404), Reason.HTTP_ERROR),
    ],
    ids=["wrong type", "fragmented MP4 all at once", "gzip bomb", "nothing", "not found"],
)
def test_a_segment_that_is_none_ends_the_stream_after_what_came(
    tmp_path: Path, last: Behaviour, reason: Reason
) -> None:
    through, got, _ = carried(tmp_path, on_demand(last), limits=SMALL)
    assert (through, got) == (b"".join(SEGMENTS[:2]), reason)


def test_a_window_that_stands_still_is_a_stall_and_is_not_asked_for_without_a_pause(tmp_path: Path) -> None:
    routes = {**on_demand(), "/hls/list.m3u8": listed("0.ts", "1.ts", "2.ts", ended=False)}
    with WebServer(routes) as web, Fetching(tmp_path, limits=SMALL) as fetching:
        began_s = time.monotonic()
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/hls/list.m3u8")))
        assert read_to_end(fetching.stream().fd) == ALL
        assert fetching.failed(1) == (Reason.STALLED, "the playlist brings nothing new")
        asked = [each for each in web.requests if each.target == "/hls/list.m3u8"]
        lasted_s = time.monotonic() - began_s
    assert 2 <= len(asked) <= 1 + lasted_s / MIN_RELOAD_S


def test_a_playlist_of_playlists_of_playlists_is_no_way_down(tmp_path: Path) -> None:
    master = serve(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\nlist.m3u8\n", PLAYLIST)
    assert carried(tmp_path, {"/hls/list.m3u8": master})[:2] == (b"", Reason.UNSUPPORTED_FORMAT)
