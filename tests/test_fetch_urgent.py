"""What an emergency asks of fetch waits for nothing lesser: no thread, no file that is hashed, no name that hangs."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.core.programme import MAX_COMING
from agent.fetch import MAX_AT_ONCE, QUICK_HASH_BYTES
from agent.fetching.attempt import Limits
from agent.fetching.cache import Cache, Check
from agent.fetching.names import MAX_LOOKUPS, Mailbox, Names
from agent.messages.events import FileReady, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import File, Relay
from rig.web import WebServer, endless, never_answer, serve
from tests.fetching import DEADLINE_S, PATIENT, Fetching, order, read_to_end, wait_until

DATA = os.urandom(200_000)
FOREVER_S = 1e9


def test_each_crew_has_a_thread_for_all_that_the_core_asks_of_it() -> None:
    on_the_air = 1
    assert MAX_COMING + on_the_air <= MAX_AT_ONCE


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[tuple[WebServer, Fetching]]:
    """Every lesser thread is held, by relays that sound and by servers that say nothing; and as many more wait."""
    with WebServer({"/live": endless(DATA), "/never": never_answer, "/a": serve(DATA)}) as web:
        with Fetching(tmp_path) as fetching:
            fetching.fetch.open_stream(1, Relay(uri=web.uri("/live")))
            sounds = fetching.stream()
            for token in range(2, 2 + 2 * MAX_AT_ONCE):
                fetching.fetch.fetch_file(token, File(web.uri("/never"), f"{token:064x}", 1_000))
            fetching.fetch.prefetch(99, File(web.uri("/never"), "9" * 64, 1_000), True)
            wait_until(lambda: len(web.requests) == MAX_AT_ONCE)
            yield web, fetching
        read_to_end(sounds.fd)


def test_an_emergencys_file_waits_for_nothing_lesser(crowd: tuple[WebServer, Fetching]) -> None:
    web, fetching = crowd
    fetching.fetch.fetch_file(50, order(DATA, web.uri("/a")), urgent=True)
    news = fetching.news()
    assert isinstance(news, FileReady)
    assert news.token == 50


def test_nor_does_its_relay(crowd: tuple[WebServer, Fetching]) -> None:
    web, fetching = crowd
    fetching.fetch.open_stream(50, Relay(uri=web.uri("/live")), urgent=True)
    news = fetching.news()
    assert isinstance(news, StreamReady)
    assert news.token == 50
    os.close(news.fd)


def test_nor_do_as_many_emergencies_at_once_as_the_core_asks_for(crowd: tuple[WebServer, Fetching]) -> None:
    web, fetching = crowd
    for token in range(50, 50 + MAX_COMING):
        fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")), urgent=True)
    fetching.fetch.fetch_file(90, order(DATA, web.uri("/a")), urgent=True)
    news = fetching.news()
    assert isinstance(news, FileReady)
    assert news.token == 90


@pytest.mark.parametrize("size", [1_000, QUICK_HASH_BYTES + 1])
def test_nor_does_a_pinned_file_that_has_been_here_since_before_the_start(tmp_path: Path, size: int) -> None:
    pinned = os.urandom(size)
    with WebServer({"/a": serve(pinned), "/never": never_answer}) as web:
        file = order(pinned, web.uri("/a"))
        with Fetching(tmp_path) as fetching:
            fetching.fetch.prefetch(1, file, True)
            assert isinstance(fetching.news(), FileReady)
        with Fetching(tmp_path) as fetching:
            for token in range(2, 2 + 2 * MAX_AT_ONCE):
                fetching.fetch.open_stream(token, Relay(uri=web.uri("/never")))
            wait_until(lambda: len(web.requests) == 1 + MAX_AT_ONCE)
            fetching.fetch.fetch_file(50, file, urgent=True)
            news = fetching.news()
            assert isinstance(news, FileReady)
            assert news.token == 50
            assert len(web.requests) == 1 + MAX_AT_ONCE, "it was here"


# A disk that hangs ----------------------------------------------------------------------------------------------------


def test_a_file_that_hangs_holds_one_thread_however_often_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the core gives it up and asks again; another emergency's stream does not need the disk."""
    hanging, released = threading.Semaphore(0), threading.Event()
    verified = Cache.verified

    def hang(cache: Cache, file: File, check: Check) -> Path | None:
        hanging.release()
        released.wait()
        return verified(cache, file, check)

    monkeypatch.setattr(Cache, "verified", hang)
    with WebServer({"/live": endless(DATA), "/a": serve(DATA)}) as web, Fetching(tmp_path) as fetching:
        try:
            for token in range(2 * MAX_AT_ONCE):
                fetching.fetch.cancel(token - 1)
                fetching.fetch.fetch_file(token, order(DATA, web.uri("/a")), urgent=True)
                if token == 0:
                    assert hanging.acquire(timeout=DEADLINE_S)
            fetching.fetch.open_stream(50, Relay(uri=web.uri("/live")), urgent=True)
            stream = fetching.stream()
            assert stream.token == 50
            assert not hanging.acquire(blocking=False)
        finally:
            released.set()
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 2 * MAX_AT_ONCE - 1, "the last that asked has it"
        os.close(stream.fd)


# Names ----------------------------------------------------------------------------------------------------------------


class NameServer:
    """Says nothing about names that begin with `hang`, until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.asked: list[str] = []

    def resolve(self, name: str, port: int) -> list[str]:
        self.asked.append(name)
        if name.startswith("hang"):
            self.released.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ["127.0.0.1"]

    def hangs(self) -> int:
        return sum(thread.name == "fetch-dns" for thread in threading.enumerate())


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.released.set()
    wait_until(lambda: server.hangs() == 0)


def test_names_that_hang_do_not_bar_an_emergencys_own(tmp_path: Path, server: NameServer) -> None:
    """More of them than are looked up at once, each given up before the next: as an ordinary key may order them."""
    hosts = ("http://radio.example:*", "http://*.hang.example:*")
    limits = Limits(first_byte_s=60, connect_s=0.05, stall_s=60)
    with (
        WebServer({"/a": serve(DATA)}) as web,
        Fetching(tmp_path, allow=hosts, files=hosts, limits=limits, resolve=server.resolve) as fetching,
    ):
        for token in range(3 * MAX_LOOKUPS):
            fetching.fetch.fetch_file(token, File(web.uri("/a", f"hang{token}.hang.example"), f"{token:064x}", 1_000))
            assert fetching.reason(token) is Reason.NO_ANSWER
        assert len(server.asked) == server.hangs() == MAX_LOOKUPS
        # The machine may be slow; the name server is not asked for longer than it takes to begin.
        fetching.fetch._limits = PATIENT
        fetching.fetch.fetch_file(99, order(DATA, web.uri("/a", "radio.example")), urgent=True)
        news = fetching.news()
        assert isinstance(news, FileReady)
        assert news.token == 99


def answer_of(mailbox: Mailbox) -> list[str] | OSError | None:
    return mailbox.get(timeout=DEADLINE_S)


def test_a_name_is_looked_up_once_for_all_who_ask_meanwhile(server: NameServer) -> None:
    names = Names(server.resolve)
    mailboxes: list[Mailbox] = [SimpleQueue() for _ in range(3 * MAX_LOOKUPS)]
    for mailbox in mailboxes:
        names.ask("hang.example", 80, mailbox, FOREVER_S)
    server.released.set()
    assert {str(answer_of(mailbox)) for mailbox in mailboxes} == {
        f"[Errno {socket.EAI_AGAIN}] Temporary failure in name resolution"
    }
    assert server.asked == ["hang.example"]
    names.ask("hang.example", 80, mailboxes[0], FOREVER_S)
    assert isinstance(answer_of(mailboxes[0]), OSError)
    assert server.asked == ["hang.example"] * 2, "what was said is not believed for later"


def test_where_as_many_hang_as_may_the_next_waits_until_one_comes_free(server: NameServer) -> None:
    names = Names(server.resolve)
    hung: list[Mailbox] = [SimpleQueue() for _ in range(MAX_LOOKUPS)]
    for number, mailbox in enumerate(hung):
        names.ask(f"hang{number}.example", 80, mailbox, FOREVER_S)
    wait_until(lambda: len(server.asked) == MAX_LOOKUPS)
    late: Mailbox = SimpleQueue()
    past: Mailbox = SimpleQueue()
    names.ask("given-up.example", 80, past, 0.0)
    names.ask("radio.example", 80, late, FOREVER_S)
    assert late.empty()
    server.released.set()
    assert answer_of(late) == ["127.0.0.1"]
    assert "given-up.example" not in server.asked, "nobody waits for it any more"
