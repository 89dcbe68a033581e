"""Fetch on real loopback sockets: files into the cache, relays into a pipe, cancelling, closing, what it may call."""

import contextlib
import errno
import fcntl
import os
import socket
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.fetch import MAX_AT_ONCE, QUICK_HASH_BYTES
from agent.fetching.attempt import Attempt, Limits, SourceError
from agent.fetching.dial import Authorities, Dialler, system_resolve
from agent.fetching.names import MAX_LOOKUPS, Names
from agent.fetching.outlet import HEAD_BYTES, PIPE_BYTES
from agent.fetching.pump import LEAD_BYTES
from agent.messages.addresses import parse_address
from agent.messages.events import FileReady
from agent.messages.reasons import Reason
from agent.messages.sources import Relay
from rig.certificates import Authority
from rig.web import (
    WebServer,
    break_after,
    chunked,
    endless,
    live,
    never_answer,
    redirect,
    serve,
    stall_after,
)
from tests.fetching import PATIENT, Fetching, News, order, read_to_end, wait_until

DATA = os.urandom(200_000)
RADIO = bytes(range(256)) * 4_000


def test_what_goes_wrong_is_reported_within_5_s() -> None:
    limits = Limits()
    margin_s = 0.4
    assert limits.connect_s <= limits.first_byte_s <= 5 - margin_s
    assert limits.stall_s <= 5 - margin_s
    assert limits.lead_s < limits.stall_s
    assert limits.close_s <= 2


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_file_comes_into_the_cache_under_its_hash(tmp_path: Path) -> None:
    with WebServer({"/a.mp3": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a.mp3"))
        fetching.fetch.fetch_file(7, file)
        path = fetching.cache_dir / file.sha256[:2] / file.sha256
        assert fetching.news() == FileReady(7, str(path))
        assert path.read_bytes() == DATA
        assert fetching.kept() == [file.sha256]


def test_the_request_asks_for_plain_bytes_and_tells_nothing(tmp_path: Path) -> None:
    with WebServer({"/a.mp3?x=1": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a.mp3?x=1", "radio.example")))
        assert isinstance(fetching.news(), FileReady)
        assert [dict(request.headers) for request in web.requests] == [
            {
                "host": f"radio.example:{web.port}",
                "user-agent": "loa-agent",
                "accept": "*/*",
                "accept-encoding": "identity",
                "connection": "close",
            }
        ]


def test_a_cached_file_needs_no_network_also_after_a_restart(tmp_path: Path) -> None:
    with WebServer({"/a.mp3": serve(DATA)}) as web:
        file = order(DATA, web.uri("/a.mp3"))
        with Fetching(tmp_path) as fetching:
            for token in (1, 2):
                fetching.fetch.fetch_file(token, file)
                assert isinstance(fetching.news(), FileReady)
        with Fetching(tmp_path, allow=(), files=()) as fetching:
            fetching.fetch.fetch_file(3, file)
            assert isinstance(fetching.news(), FileReady)
        assert web.connections == 1


def test_a_cached_file_does_not_queue_behind_the_network(tmp_path: Path) -> None:
    with WebServer({"/a.mp3": serve(DATA), "/never": never_answer}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a.mp3"))
        fetching.fetch.fetch_file(1, file)
        assert isinstance(fetching.news(), FileReady)
        for token in range(2, 2 + MAX_AT_ONCE):
            fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")))
        wait_until(lambda: len(web.requests) == 1 + MAX_AT_ONCE)
        fetching.fetch.fetch_file(9, file)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 9


def test_a_large_file_is_hashed_again_after_a_restart(tmp_path: Path) -> None:
    large = bytes(QUICK_HASH_BYTES + 1)
    with WebServer({"/a": serve(large)}) as web:
        file = order(large, web.uri("/a"))
        for token in (1, 2):
            with Fetching(tmp_path) as fetching:
                fetching.fetch.fetch_file(token, file)
                assert isinstance(fetching.news(), FileReady)
        assert web.connections == 1


def test_a_cached_file_that_has_rotted_is_fetched_again(tmp_path: Path) -> None:
    with WebServer({"/a.mp3": serve(DATA)}) as web:
        file = order(DATA, web.uri("/a.mp3"))
        with Fetching(tmp_path) as fetching:
            fetching.fetch.fetch_file(1, file)
            news = fetching.news()
            assert isinstance(news, FileReady)
        Path(news.path).write_bytes(DATA[:-1] + b"?")
        with Fetching(tmp_path) as fetching:
            fetching.fetch.fetch_file(2, file)
            assert fetching.news() == FileReady(2, news.path)
        assert Path(news.path).read_bytes() == DATA


def test_a_chunked_body_is_taken(tmp_path: Path) -> None:
    with WebServer({"/a": chunked(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert isinstance(fetching.news(), FileReady)


@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path: Path, reset: bool) -> None:
    with WebServer({"/a": break_after(DATA, 50_000, reset=reset)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert Path(news.path).read_bytes() == DATA
        assert [request.headers.get("range", "") for request in web.requests] == ["", "bytes=50000-"]


def test_a_connection_that_breaks_twice_leaves_its_bytes_for_the_next_attempt(tmp_path: Path) -> None:
    with WebServer({"/a": break_after(DATA, 50_000, times=2)}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a"))
        fetching.fetch.fetch_file(1, file)
        reason, detail = fetching.failed(1)
        assert (reason, "after 100000 of 200000 bytes" in detail) == (Reason.NO_ANSWER, True)
        assert fetching.kept() == [f"{file.sha256}.part"]
        fetching.fetch.fetch_file(2, file)
        assert isinstance(fetching.news(), FileReady)
        assert web.requests[-1].headers["range"] == "bytes=100000-"
        assert fetching.kept() == [file.sha256]


def test_two_attempts_at_one_file_at_once_both_succeed(tmp_path: Path) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        file = order(DATA, web.uri("/a"))
        for token in (1, 2, 3):
            fetching.fetch.fetch_file(token, file)
        news = [fetching.news() for _ in range(3)]
        assert {type(one) for one in news} == {FileReady}
        assert {one.token for one in news} == {1, 2, 3}
        assert fetching.kept() == [file.sha256]


def test_what_does_not_fit_into_the_cache_is_refused(tmp_path: Path) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, cache_max_bytes=199_999) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert fetching.reason(1) is Reason.CACHE_FULL


def test_a_cache_that_cannot_be_written_is_a_storage_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert fetching.reason(1) is Reason.STORAGE


# What may be called ---------------------------------------------------------------------------------------------------


def test_empty_lists_allow_nothing(tmp_path: Path) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, allow=(), files=()) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert fetching.reason(1) is Reason.NOT_ALLOWED
        fetching.fetch.open_stream(2, Relay(uri=web.uri("/a")))
        assert fetching.reason(2) is Reason.NOT_ALLOWED
        assert web.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "router.example", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_a_file_from_any_public_host_is_not_one_from_this_machine(tmp_path: Path, host: str) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, allow=(), files=None) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", host)))
        reason, detail = fetching.failed(1)
        assert (reason, "no entry names it" in detail) == (Reason.NOT_ALLOWED, True)
        assert web.connections == 0


def test_a_wildcard_does_not_open_the_local_network(tmp_path: Path) -> None:
    with WebServer({"/a": serve(RADIO)}) as web, Fetching(tmp_path, allow=("http://*.radio.example:*",)) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/a", "live.radio.example")))
        assert fetching.reason(1) is Reason.NOT_ALLOWED
        assert web.connections == 0


def test_files_may_be_narrowed_to_named_hosts(tmp_path: Path) -> None:
    with (
        WebServer({"/a": serve(DATA)}) as web,
        Fetching(tmp_path, allow=(), files=("http://files.example:*",)) as fetching,
    ):
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", "radio.example")))
        assert fetching.reason(1) is Reason.NOT_ALLOWED
        fetching.fetch.fetch_file(2, order(DATA, web.uri("/a", "files.example")))
        assert isinstance(fetching.news(), FileReady)


def test_the_address_that_was_checked_is_the_one_connected_to(tmp_path: Path) -> None:
    asked: list[str] = []

    def rebinding(name: str, port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, resolve=rebinding) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", "radio.example")))
        assert isinstance(fetching.news(), FileReady)
        assert asked == ["radio.example"]


def test_the_next_address_of_a_name_is_tried(tmp_path: Path) -> None:
    def resolve(name: str, port: int) -> list[str]:
        return ["127.0.0.9", "::1", "127.0.0.1"]

    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, resolve=resolve) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", "radio.example")))
        assert isinstance(fetching.news(), FileReady)


def test_the_environment_names_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert isinstance(fetching.news(), FileReady)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_three_redirects_are_followed(tmp_path: Path, code: int) -> None:
    with WebServer({"/3": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        web.routes["/0"] = redirect("/1?a", code)
        web.routes["/1?a"] = redirect(web.uri("/x/2", "radio.example"), code)
        web.routes["/x/2"] = redirect("../3", code)
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/0")))
        assert isinstance(fetching.news(), FileReady)
        assert [request.target for request in web.requests] == ["/0", "/1?a", "/x/2", "/3"]


# TLS ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def tls_server(authority: Authority, *, host: str = "radio.example", expired: bool = False) -> Iterator[WebServer]:
    identity = authority.server("web", hosts=(host,), expired=expired)
    with WebServer({"/a": serve(DATA)}, certificate=identity.certificate, key=identity.key) as web:
        yield web


def test_a_file_and_a_relay_over_tls(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority) as web, Fetching(tmp_path, ca_file=authority.ca) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a", "radio.example")))
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert Path(news.path).read_bytes() == DATA
        fetching.fetch.open_stream(2, Relay(uri=web.uri("/a", "radio.example")))
        assert read_to_end(fetching.stream().fd) == DATA


def test_an_ip_address_is_verified_as_such(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, host="127.0.0.1") as web, Fetching(tmp_path, ca_file=authority.ca) as fetching:
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert isinstance(fetching.news(), FileReady)


def tls_failure(fetching: Fetching, web: WebServer) -> str:
    fetching.fetch.open_stream(1, Relay(uri=web.uri("/a", "radio.example").replace("http:", "https:")))
    reason, detail = fetching.failed(1)
    assert reason is Reason.TLS_ERROR
    assert web.requests == []
    return detail


def test_a_certificate_of_another_name_is_refused(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, host="other.example") as web, Fetching(tmp_path, ca_file=authority.ca) as fetching:
        assert "radio.example" in tls_failure(fetching, web)


def test_an_expired_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, expired=True) as web, Fetching(tmp_path, ca_file=authority.ca) as fetching:
        assert "expired" in tls_failure(fetching, web)


@pytest.mark.parametrize("ours", [True, False], ids=["another authority", "the system's authorities"])
def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path, authority: Authority, ours: bool) -> None:
    other = Authority(tmp_path / "other", "other-ca")
    with tls_server(authority) as web, Fetching(tmp_path, ca_file=other.ca if ours else None) as fetching:
        assert "issuer" in tls_failure(fetching, web)


def test_plain_http_on_an_https_port_is_a_tls_error(tmp_path: Path, authority: Authority) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, ca_file=authority.ca) as fetching:
        assert tls_failure(fetching, web)


def test_a_certificate_file_that_cannot_be_read_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Fetching(tmp_path, ca_file=tmp_path / "missing.pem")


# Names ----------------------------------------------------------------------------------------------------------------


def test_an_unknown_name_is_no_answer(tmp_path: Path) -> None:
    def unknown(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with Fetching(tmp_path, resolve=unknown) as fetching:
        fetching.fetch.open_stream(1, Relay(uri="http://radio.example:8000/"))
        reason, detail = fetching.failed(1)
        assert (reason, "Name or service not known" in detail) == (Reason.NO_ANSWER, True)


def test_the_system_resolves_names_too(tmp_path: Path) -> None:
    assert set(system_resolve("localhost", 80)) & {"127.0.0.1", "::1"}


@pytest.fixture
def silent_name_server() -> Iterator[threading.Event]:
    released = threading.Event()
    yield released
    released.set()
    wait_until(lambda: not any(thread.name == "fetch-dns" for thread in threading.enumerate()))


def test_a_name_server_that_hangs_is_reported_and_bounded(tmp_path: Path, silent_name_server: threading.Event) -> None:
    def hang(name: str, port: int) -> list[str]:
        silent_name_server.wait()
        return []

    dialler = Dialler(Names(hang), Authorities(None))
    limits = Limits(connect_s=0.05)
    for token in range(MAX_LOOKUPS + 1):
        address = parse_address(f"http://radio-{token}.example/")
        attempt = Attempt(token, Relay(uri=address.uri), limits)
        attempt.expect(60, Reason.NO_ANSWER, "never reached")
        with pytest.raises(SourceError) as failed:
            dialler.dial(attempt, address, private_too=False)
        assert (failed.value.reason, failed.value.detail) == (Reason.NO_ANSWER, "the name server does not answer")
    assert sum(thread.name == "fetch-dns" for thread in threading.enumerate()) == MAX_LOOKUPS


# Relays ---------------------------------------------------------------------------------------------------------------


def pipe_holds(fd: int) -> int:
    waiting = bytearray(4)
    fcntl.ioctl(fd, termios.FIONREAD, waiting)
    return int.from_bytes(waiting, "little")


def test_a_relay_comes_out_of_the_pipe_whole_and_its_end_is_said(tmp_path: Path) -> None:
    relay = live(RADIO, bytes_per_s=2_000_000, burst_bytes=65_536, headers={"Content-Type": "audio/mpeg"})
    with WebServer({"/live": relay}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(4, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        assert ready.token == 4
        assert ready.head == RADIO[: len(ready.head)]
        assert 512 <= len(ready.head) <= HEAD_BYTES
        assert read_to_end(ready.fd) == RADIO
        assert fetching.failed(4) == (Reason.STREAM_ENDED, "the stream has ended")
        assert "icy-metadata" not in web.requests[0].headers


def test_a_chunked_relay(tmp_path: Path) -> None:
    with WebServer({"/live": chunked(RADIO)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert read_to_end(fetching.stream().fd) == RADIO
        assert fetching.reason(1) is Reason.STREAM_ENDED


def test_the_head_is_said_at_once_and_the_lead_is_kept(tmp_path: Path) -> None:
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=0.5, lead_s=600)
    with WebServer({"/live": stall_after(RADIO, 5_000)}) as web, Fetching(tmp_path, limits=limits) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        assert ready.head == RADIO[: len(ready.head)]
        assert read_to_end(ready.fd) == b""
        assert fetching.reason(1) is Reason.STALLED


@pytest.mark.parametrize(
    ("sent", "headers"),
    [(LEAD_BYTES + 10, {}), (3_000, {"icy-br": "8"}), (3_000, {"icy-br": "8,8"})],
    ids=["enough for any rate", "enough for the rate told", "the rate told twice"],
)
def test_a_burst_that_makes_the_lead_is_passed_on_at_once(tmp_path: Path, sent: int, headers: dict[str, str]) -> None:
    relay = stall_after(RADIO, sent, headers)
    with WebServer({"/live": relay}) as web, Fetching(tmp_path, limits=PATIENT) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        wait_until(lambda: pipe_holds(ready.fd) == sent)
        fetching.fetch.cancel(1)
        assert read_to_end(ready.fd) == RADIO[:sent]


@pytest.mark.parametrize("told", ["", "0", "-8", "9999", "99999999", "eight", "٨"])
def test_a_bit_rate_that_cannot_be_believed_changes_nothing(tmp_path: Path, told: str) -> None:
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=0.5, lead_s=600)
    relay = stall_after(RADIO, 20_000, {"icy-br": told.encode().decode("latin-1")})
    with WebServer({"/live": relay}) as web, Fetching(tmp_path, limits=limits) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert read_to_end(fetching.stream().fd) == b""
        assert fetching.reason(1) is Reason.STALLED


def test_after_the_lead_time_what_is_there_is_passed_on(tmp_path: Path) -> None:
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=60, lead_s=0.2)
    relay = live(RADIO, bytes_per_s=20_000, burst_bytes=2_000, headers={})
    with WebServer({"/live": relay}) as web, Fetching(tmp_path, limits=limits) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        wait_until(lambda: 2_000 <= pipe_holds(ready.fd) < LEAD_BYTES)
        os.close(ready.fd)


def test_a_stream_that_stalls_within_its_lead_is_passed_on_before_it_is_given_up(tmp_path: Path) -> None:
    limits = Limits(first_byte_s=60, connect_s=60, stall_s=3, lead_s=0.2)
    with WebServer({"/live": stall_after(RADIO, 40_000, {})}) as web, Fetching(tmp_path, limits=limits) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert read_to_end(fetching.stream().fd) == RADIO[:40_000]
        assert fetching.reason(1) is Reason.STALLED


def test_a_stream_shorter_than_a_head_is_shown_as_it_is(tmp_path: Path) -> None:
    short = b"a stream of a few bytes"
    with WebServer({"/live": serve(short)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        assert ready.head == short
        assert read_to_end(ready.fd) == short
        assert fetching.reason(1) is Reason.STREAM_ENDED


def test_a_stream_of_nothing_is_its_end(tmp_path: Path) -> None:
    with WebServer({"/live": serve(b"")}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert fetching.reason(1) is Reason.STREAM_ENDED


@pytest.mark.parametrize("kind", ["audio/x-mpegurl", "Application/vnd.apple.mpegURL; charset=utf-8", "audio/x-scpls"])
def test_a_playlist_by_its_own_word_is_refused_before_its_bytes(tmp_path: Path, kind: str) -> None:
    with WebServer({"/live": serve(RADIO, kind)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        assert fetching.reason(1) is Reason.UNSUPPORTED_FORMAT


def test_a_full_pipe_stops_the_reading_and_a_reader_starts_it_again(tmp_path: Path) -> None:
    data = RADIO * 16  # more than pipe and sockets can hold
    with WebServer({"/live": serve(data)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        wait_until(lambda: pipe_holds(ready.fd) > PIPE_BYTES // 2)
        assert not web.requests[0].peer_closed.is_set()
        assert read_to_end(ready.fd) == data
        assert fetching.reason(1) is Reason.STREAM_ENDED


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    with WebServer({"/live": endless(RADIO), "/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        os.close(fetching.stream().fd)
        wait_until(web.requests[0].peer_closed.is_set)
        fetching.fetch.fetch_file(2, order(DATA, web.uri("/a")))
        assert isinstance(fetching.news(), FileReady)


# Cancelling and closing -----------------------------------------------------------------------------------------------


def test_a_cancelled_attempt_frees_its_place_and_says_nothing(tmp_path: Path) -> None:
    with WebServer({"/never": never_answer, "/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        for token in range(MAX_AT_ONCE):
            fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")))
        wait_until(lambda: len(web.requests) == MAX_AT_ONCE)
        fetching.fetch.fetch_file(8, order(DATA, web.uri("/a")))
        fetching.fetch.cancel(1)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 8
        wait_until(lambda: sum(request.peer_closed.is_set() for request in web.requests[:MAX_AT_ONCE]) == 1)


def test_one_that_waits_its_turn_can_be_cancelled(tmp_path: Path) -> None:
    with WebServer({"/never": never_answer, "/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        for token in range(MAX_AT_ONCE):
            fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")))
        wait_until(lambda: len(web.requests) == MAX_AT_ONCE)
        fetching.fetch.open_stream(8, Relay(uri=web.uri("/a")))
        fetching.fetch.fetch_file(9, order(DATA, web.uri("/a")))
        fetching.fetch.cancel(8)
        fetching.fetch.cancel(0)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 9


def test_a_cancelled_lookup_frees_its_place(tmp_path: Path, silent_name_server: threading.Event) -> None:
    asked: list[str] = []

    def hang(name: str, port: int) -> list[str]:
        asked.append(name)
        silent_name_server.wait()
        return ["127.0.0.1"]

    hosts = ("http://127.0.0.1:*", "http://*.radio.example:*")
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path, allow=hosts, resolve=hang) as fetching:
        for token in range(MAX_AT_ONCE):
            fetching.fetch.open_stream(token, Relay(uri=web.uri("/a", f"{token}.radio.example")))
        wait_until(lambda: len(asked) == MAX_AT_ONCE)
        fetching.fetch.fetch_file(9, order(DATA, web.uri("/a")))
        for token in range(MAX_AT_ONCE):
            fetching.fetch.cancel(token)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 9
        silent_name_server.set()


def test_a_cancelled_stream_ends_for_its_reader_also_when_the_pipe_is_full(tmp_path: Path) -> None:
    with WebServer({"/live": endless(RADIO)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        wait_until(lambda: pipe_holds(ready.fd) > PIPE_BYTES // 2)
        fetching.fetch.cancel(1)
        assert len(read_to_end(ready.fd)) <= PIPE_BYTES
        wait_until(web.requests[0].peer_closed.is_set)
    assert fetching.inbox.empty()


def test_a_token_nobody_knows_is_ignored(tmp_path: Path) -> None:
    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch.cancel(5)
        fetching.fetch.fetch_file(1, order(DATA, web.uri("/a")))
        assert isinstance(fetching.news(), FileReady)
        fetching.fetch.cancel(1)
        fetching.fetch.cancel(1)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_close_ends_everything_and_leaves_no_descriptor(tmp_path: Path) -> None:
    with WebServer({"/never": never_answer, "/live": stall_after(RADIO, 600), "/a": serve(DATA)}) as web:
        before = open_descriptors()
        fetching = Fetching(tmp_path)
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
        ready = fetching.stream()
        for token in range(2, 2 + MAX_AT_ONCE):
            fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")))
        fetching.fetch.fetch_file(50, order(DATA, web.uri("/a")))
        wait_until(lambda: len(web.requests) == MAX_AT_ONCE)
        fetching.fetch.close()
        fetching.fetch.close()
        assert read_to_end(ready.fd) == b""
        wait_until(lambda: all(request.peer_closed.is_set() for request in web.requests))
        wait_until(lambda: open_descriptors() == before)
    assert fetching.inbox.empty()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_the_threads_are_daemons_with_names(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Fetching(tmp_path):
        ours = {thread.name: thread.daemon for thread in set(threading.enumerate()) - before}
    crews = {f"{crew}-{number}" for crew in ("fetch", "fetch-urgent") for number in range(1, MAX_AT_ONCE + 1)}
    assert ours == dict.fromkeys({"fetch-cache", *crews}, True)


def test_a_bug_in_a_worker_reaches_the_process_hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[tuple[str, str]] = []

    def note(args: threading.ExceptHookArgs) -> None:
        died.append((args.thread.name if args.thread else "", repr(args.exc_value)))

    monkeypatch.setattr(threading, "excepthook", note)

    def bug(news: News) -> None:
        raise ZeroDivisionError

    with WebServer({"/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        fetching.fetch._post = bug
        fetching.fetch.open_stream(1, Relay(uri=web.uri("/nothing")))
        wait_until(lambda: died != [])
    assert [(name[:6], what) for name, what in died] == [("fetch-", "ZeroDivisionError()")]


def test_a_refused_connection_is_no_answer(tmp_path: Path) -> None:
    with socket.socket() as nobody, Fetching(tmp_path) as fetching:
        nobody.bind(("127.0.0.1", 0))
        fetching.fetch.open_stream(1, Relay(uri=f"http://127.0.0.1:{nobody.getsockname()[1]}/"))
        reason, detail = fetching.failed(1)
        assert (reason, os.strerror(errno.ECONNREFUSED) in detail) == (Reason.NO_ANSWER, True)
