"""What servers do to a node: each is reported with its reason, nothing wrong is kept, and the next order is served.

Limits are short only where time itself is the fault; whichever reason is expected then does not depend on how busy
this machine is.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.fetching.attempt import Limits
from agent.messages.events import FileReady, SourceFailed, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import Relay
from rig.web import (
    Behaviour,
    Exchange,
    WebServer,
    answer,
    break_after,
    chunked,
    continue_for_ever,
    drip,
    drip_head,
    endless,
    gzip_bomb,
    never_answer,
    raw,
    redirect,
    serve,
    stall_after,
    status,
)
from tests.fetching import PATIENT, Fetching, order, read_to_end

DATA = os.urandom(200_000)
OTHER = os.urandom(200_000)
SHORT_HEAD = Limits(first_byte_s=0.5, connect_s=60, stall_s=60)
SHORT_STALL = Limits(first_byte_s=60, connect_s=60, stall_s=0.5)


def fails(
    tmp_path: Path, behaviour: Behaviour, *, relay: bool, limits: Limits | None = None
) -> tuple[Reason, str, list[str]]:
    """The reason, its sentence, and what is kept; then a good file must come."""
    routes = {"/bad": behaviour, "/good": serve(b"good")}
    with WebServer(routes) as web, Fetching(tmp_path, limits=limits or PATIENT) as fetching:
        if relay:
            fetching.fetch.open_stream(1, Relay(uri=web.uri("/bad")))
        else:
            fetching.fetch.fetch_file(1, order(DATA, web.uri("/bad")))
        news = fetching.news()
        if isinstance(news, StreamReady):
            read_to_end(news.fd)
            news = fetching.news()
        assert isinstance(news, SourceFailed)
        reason, detail, kept = news.reason, news.detail, fetching.kept()
    with WebServer(routes) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(2, order(b"good", web.uri("/good")))
        assert isinstance(fetching.news(), FileReady)
    return reason, detail, kept


both = pytest.mark.parametrize("relay", [False, True], ids=["file", "relay"])


@both
@pytest.mark.parametrize("code", [204, 206, 304, 401, 404, 410, 500, 503])
def test_a_status_that_brings_no_bytes_is_reported_with_its_number(tmp_path: Path, relay: bool, code: int) -> None:
    reason, detail, kept = fails(tmp_path, status(code), relay=relay)
    assert (reason, detail.split()[0]) == (Reason.HTTP_ERROR, str(code))
    assert [name for name in kept if not name.endswith(".part")] == []


@both
@pytest.mark.parametrize(
    "behaviour",
    [
        raw(b"ICY 200 OK\r\n\r\n" + DATA),
        raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nabcd"),
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        gzip_bomb,
    ],
    ids=["shoutcast 1", "ssh", "too many headers", "too long a header", "two lengths", "coded transfer", "gzip"],
)
def test_what_is_not_the_http_that_was_asked_for_is_an_http_error(
    tmp_path: Path, behaviour: Behaviour, relay: bool
) -> None:
    assert fails(tmp_path, behaviour, relay=relay)[0] is Reason.HTTP_ERROR


@both
def test_a_server_that_hangs_up_at_once_gives_no_answer(tmp_path: Path, relay: bool) -> None:
    assert fails(tmp_path, raw(b""), relay=relay)[0] is Reason.NO_ANSWER


@both
@pytest.mark.parametrize(
    "behaviour",
    [never_answer, drip_head(0.1), continue_for_ever],
    ids=["silence", "a head that never ends", "100 Continue for ever"],
)
def test_a_server_that_never_answers(tmp_path: Path, behaviour: Behaviour, relay: bool) -> None:
    assert fails(tmp_path, behaviour, relay=relay, limits=SHORT_HEAD)[0] is Reason.NO_ANSWER


@both
def test_an_answer_without_bytes_is_a_stall(tmp_path: Path, relay: bool) -> None:
    assert fails(tmp_path, stall_after(DATA, 0), relay=relay, limits=Limits())[0] is Reason.STALLED


@both
@pytest.mark.parametrize(
    "behaviour",
    [
        stall_after(DATA, 100),
        stall_after(DATA, 30_000),
        drip(b"x", 0.05),
        drip(b"x", 0.05, {"Content-Length": len(DATA)}),
    ],
    ids=["after little", "after much", "slow garbage", "slow garbage of the right length"],
)
def test_bytes_that_stop_or_drip_are_a_stall(tmp_path: Path, behaviour: Behaviour, relay: bool) -> None:
    reason, detail, kept = fails(tmp_path, behaviour, relay=relay, limits=SHORT_STALL)
    assert (reason, "in 0.5 s" in detail) == (Reason.STALLED, True)
    assert [name for name in kept if not name.endswith(".part")] == []


def test_a_stall_later_in_a_stream_is_reported_and_ends_the_pipe(tmp_path: Path) -> None:
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=0.5, lead_s=0)
    with WebServer({"/live": stall_after(DATA, 150_000)}) as web, Fetching(tmp_path, limits=limits) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert read_to_end(fetching.stream().fd) == DATA[:150_000]
        assert fetching.reason(1) is Reason.STALLED


@pytest.mark.parametrize(
    "behaviour",
    [
        serve(DATA + b"!"),
        serve(DATA[:-1]),
        serve(b""),
        chunked(DATA + b"!"),
        chunked(DATA[:-1]),
        answer(200, {}, DATA + b"!" * 70_000),
        answer(200, {}, DATA[:-1]),
        endless(bytes(65_536)),
        endless(bytes(65_536), {"Content-Length": 10**12}),
    ],
    ids=[
        "longer",
        "shorter",
        "empty",
        "longer, chunked",
        "shorter, chunked",
        "longer, to the end of the connection",
        "shorter, to the end of the connection",
        "endless",
        "a terabyte",
    ],
)
def test_a_file_of_another_size_is_not_kept(tmp_path: Path, behaviour: Behaviour) -> None:
    reason, detail, kept = fails(tmp_path, behaviour, relay=False)
    assert (reason, "200000" in detail, kept) == (Reason.SIZE_MISMATCH, True, [])


@pytest.mark.parametrize("behaviour", [serve(OTHER), chunked(OTHER), break_after(OTHER, 1_000)])
def test_a_file_with_another_hash_is_not_kept(tmp_path: Path, behaviour: Behaviour) -> None:
    reason, _, kept = fails(tmp_path, behaviour, relay=False)
    assert (reason, kept) == (Reason.HASH_MISMATCH, [])


def test_a_chunked_file_that_breaks_twice_is_no_answer(tmp_path: Path) -> None:
    reason, detail, _ = fails(tmp_path, chunked(DATA[:5_000], complete=False), relay=False)
    assert (reason, "of 200000 bytes" in detail) == (Reason.NO_ANSWER, True)


def test_a_stream_that_breaks_is_reported_after_what_came(tmp_path: Path) -> None:
    with WebServer({"/live": break_after(DATA, 150_000)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert read_to_end(fetching.stream().fd) == DATA[:150_000]
        reason, detail = fetching.failed(1)
        assert (reason, detail.startswith("the connection broke")) == (Reason.STREAM_ENDED, True)


def claims_range(text: str) -> Behaviour:
    """The whole file, unless a range is asked: then 206 with this Content-Range, and other bytes."""
    whole = serve(DATA)

    def behave(exchange: Exchange) -> None:
        if "range" not in exchange.request.headers:
            whole(exchange)
            return
        exchange.send_head(206, {"Content-Range": text, "Content-Length": len(DATA) - 50_000})
        exchange.send(OTHER[50_000:])

    return behave


@pytest.mark.parametrize(
    "resumed",
    [
        serve(DATA, ranges=False),
        claims_range("bytes 0-199999/200000"),
        claims_range("bytes 50000-199999/200001"),
        claims_range("bytes 50000-199998/200000"),
        claims_range("bytes 49999-199999/200000"),
        claims_range("bytes */200000"),
        claims_range("nonsense"),
        claims_range("bytes 50000-199999/200000"),
    ],
    ids=["no ranges", "from 0", "another size", "another end", "another begin", "no range", "nonsense", "other bytes"],
)
def test_a_partial_that_cannot_be_continued_begins_anew(tmp_path: Path, resumed: Behaviour) -> None:
    with WebServer({"/a": break_after(DATA, 25_000, times=2)}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a"))
        fetching.fetch.fetch_file(1, file)
        assert fetching.reason(1) is Reason.NO_ANSWER
        web.routes["/a"] = resumed
        fetching.fetch.fetch_file(2, file)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert Path(news.path).read_bytes() == DATA
        assert web.requests[2].headers["range"] == "bytes=50000-"
        assert fetching.kept() == [file.sha256]


def test_a_range_beyond_what_the_server_has_begins_anew(tmp_path: Path) -> None:
    with WebServer({"/a": break_after(DATA, 25_000, times=2)}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a"))
        fetching.fetch.fetch_file(1, file)
        assert fetching.reason(1) is Reason.NO_ANSWER
        web.routes["/a"] = serve(DATA[:40_000])
        fetching.fetch.fetch_file(2, file)
        assert fetching.reason(2) is Reason.SIZE_MISMATCH
        assert [request.headers.get("range") for request in web.requests[2:]] == ["bytes=50000-", None]
        assert fetching.kept() == []


@both
def test_more_than_three_redirects_are_too_many(tmp_path: Path, relay: bool) -> None:
    reason, detail, _ = fails(tmp_path, redirect("/bad"), relay=relay)
    assert (reason, detail) == (Reason.HTTP_ERROR, "more than 3 redirects")


@both
@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "http://127.0.0.1\\@evil.example/",
        "http://127.1/",
        "http://[::1/",
        "http://127.0.0.1/#x",
        "http://127.0.0.1/\xe9",
        "http://127.0.0.1/\tx",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/../x",
    ],
)
def test_a_redirect_to_what_is_no_address_is_not_followed(tmp_path: Path, location: str, relay: bool) -> None:
    assert fails(tmp_path, redirect(location), relay=relay)[0] is Reason.NOT_ALLOWED


def redirect_target(tmp_path: Path, location: Callable[[WebServer], str], *, relay: bool) -> tuple[Reason, int]:
    """A listed host sends us to another server: the reason, and how often that one was connected to."""
    with WebServer({"/x": serve(DATA)}) as outside, WebServer({"/a": redirect(location(outside))}) as web:
        listed = (f"http://radio.example:{web.port}", "http://*.radio.example:*")
        with Fetching(tmp_path, allow=listed) as fetching:
            if relay:
                fetching.fetch.open_stream(1, Relay(uri=web.uri("/a", "radio.example")))
            else:
                fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", "radio.example")))
            return fetching.reason(1), outside.connections


@both
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "radio.example", "evil.example", "router.radio.example"],
)
def test_a_redirect_outside_the_list_is_not_followed(tmp_path: Path, host: str, relay: bool) -> None:
    assert redirect_target(tmp_path, lambda web: web.uri("/x", host), relay=relay) == (Reason.NOT_ALLOWED, 0)
