"""Dialling brokers on real sockets: those that are silent, hang or refuse, and names that nobody can look up."""

import contextlib
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from agent.messages.events import LinkFault
from agent.mqtt.broker import Broker
from agent.mqtt.dial import DIAL_S, NEXT_ADDRESS_S, NEXT_BROKER_S, Dial, DialError
from agent.mqtt.names import MAX_LOOKUPS, Names
from agent.mqtt.tls import context
from rig.broker import Broker as Mosquitto
from rig.calm import Machine
from rig.certificates import Authority
from rig.sound import boottime_s, wait_until

SOON_S = 1.0
"""What connecting may take here, TLS and all."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    return context(ca=authority.ca, certificate=None, key=None)


@pytest.fixture(scope="module")
def good(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker"), authority, plain=True) as broker:
        yield broker


class Deaf:
    """An address at which a SYN is never answered, as in a dead network, until `hear`: its queue is full."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind((host, port))
        self._server.listen(0)
        self.port: int = self._server.getsockname()[1]
        self._filling = socket.create_connection((host, self.port))
        self._taken: list[socket.socket] = []
        self._taking = threading.Thread(target=self._take, name="deaf", daemon=True)

    def hear(self) -> None:
        """Take whoever asks from now on."""
        self._taking.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._taken.append(self._server.accept()[0])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        if self._taking.is_alive():
            self._taking.join()
        for each in (self._server, self._filling, *self._taken):
            each.close()


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    with contextlib.closing(Deaf()) as deaf:
        yield deaf


class Dialling:
    """One dial as a connection would make it, on the caller's thread."""

    def __init__(self, *urls: str, tls: ssl.SSLContext | None = None, names: Names | None = None) -> None:
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.unwanted: list[bool] = []
        self._dial = Dial(
            [Broker.parse(url) for url in urls],
            names=names or Names(lambda _, __: ["127.0.0.1"]),
            tls=tls,
            wake=self.wake,
            given_up=partial(bool, self.unwanted),
            wait=lambda poll, timeout_ms: dict(poll.poll(timeout_ms)),
        )
        weakref.finalize(self._dial, os.close, self.wake)  # a lookup that ends late holds the dial

    def run(self) -> tuple[str, float, bool]:
        """URL of the broker that was reached, seconds that it took, whether it speaks TLS."""
        began_s = boottime_s()
        broker, opened = self._dial.run()
        with opened:
            return broker.url, boottime_s() - began_s, isinstance(opened, ssl.SSLSocket)


def test_the_first_that_is_wanted_is_the_one_with_its_tls_done(
    authority: Authority, tls: ssl.SSLContext, good: Mosquitto, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path, authority) as second:
        assert Dialling(second.url, good.url, tls=tls).run()[::2] == (second.url, True)
        assert Dialling(good.plain_url).run()[::2] == (good.plain_url, False)


def test_one_that_does_not_answer_costs_a_second_and_a_half_and_not_its_time_out(
    good: Mosquitto, deaf: Deaf, machine: Machine
) -> None:
    began_s = boottime_s()
    url, took_s, _ = Dialling(f"mqtt://127.0.0.1:{deaf.port}", good.plain_url).run()
    assert url == good.plain_url
    assert took_s >= NEXT_BROKER_S
    assert machine.ours_s(began_s, boottime_s()) <= NEXT_BROKER_S + SOON_S


def test_one_that_never_shakes_hands_costs_no_more(tls: ssl.SSLContext, good: Mosquitto, machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began_s = boottime_s()
        url, took_s, _ = Dialling(f"mqtts://127.0.0.1:{silent.getsockname()[1]}", good.url, tls=tls).run()
    assert url == good.url
    assert took_s >= NEXT_BROKER_S
    assert machine.ours_s(began_s, boottime_s()) <= NEXT_BROKER_S + SOON_S


def test_one_that_is_slow_is_still_the_one(good: Mosquitto, deaf: Deaf) -> None:
    """It answers before the next has its turn."""
    deaf.hear()
    assert Dialling(f"mqtt://127.0.0.1:{deaf.port}", good.plain_url).run()[0] == f"mqtt://127.0.0.1:{deaf.port}"


def test_one_that_refuses_costs_nothing(tls: ssl.SSLContext, good: Mosquitto, tmp_path: Path, machine: Machine) -> None:
    stranger = Authority(tmp_path / "stranger", "another-ca")
    with Mosquitto(tmp_path, stranger) as other:
        began_s = boottime_s()
        assert Dialling("mqtts://127.0.0.1:1", other.url, good.url, tls=tls).run()[0] == good.url
        assert machine.ours_s(began_s, boottime_s()) <= SOON_S


@pytest.mark.parametrize("away_s", [0.2, 3.2, 7.3])
def test_a_network_that_comes_back_amid_an_attempt_is_noticed_at_once(
    deaf: Deaf, machine: Machine, away_s: float
) -> None:
    """The kernel alone would ask again after 1, 3, 7 and 15 s."""
    back_s: list[float] = []

    def come_back() -> None:
        back_s.append(boottime_s())
        deaf.hear()

    network = threading.Timer(away_s, come_back)
    network.start()
    Dialling(f"mqtt://127.0.0.1:{deaf.port}").run()
    up_s = boottime_s()
    network.join()
    assert machine.ours_s(back_s[0], up_s) <= 2.0


def test_of_a_name_the_address_that_answers_is_taken(good: Mosquitto, machine: Machine) -> None:
    with contextlib.closing(Deaf("127.0.0.9", int(good.plain_url.rpartition(":")[2]))):
        url = f"mqtt://broker.example:{good.plain_url.rpartition(':')[2]}"
        names = Names(lambda _, __: ["127.0.0.9", "127.0.0.1"])
        began_s = boottime_s()
        reached, took_s, _ = Dialling(url, names=names).run()
    assert reached == url
    assert took_s >= NEXT_ADDRESS_S
    assert machine.ours_s(began_s, boottime_s()) <= NEXT_ADDRESS_S + SOON_S


class NameServer:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = threading.Event()
        self.dead_questions = 0
        """So many questions, from the first on, are never answered."""
        self.over = threading.Event()

    def resolve(self, _name: str, _port: int) -> Sequence[str]:
        self.asked += 1
        if self.asked <= self.dead_questions:
            self.over.wait()
            raise OSError("it was not answered")
        self.answers.wait()
        return ["127.0.0.1"]


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.answers.set()
    server.over.set()


def test_where_no_name_server_answers_the_last_address_will_do(
    good: Mosquitto, name_server: NameServer, machine: Machine
) -> None:
    names, url = Names(name_server.resolve), good.plain_url.replace("127.0.0.1", "localhost")
    name_server.answers.set()
    Dialling(url, names=names).run()
    name_server.answers.clear()
    for asked in range(2, MAX_LOOKUPS + 4):
        began_s = boottime_s()
        assert Dialling(url, names=names).run()[0] == url
        assert machine.ours_s(began_s, boottime_s()) <= NEXT_ADDRESS_S + SOON_S
        assert name_server.asked == min(asked, MAX_LOOKUPS + 1), "there are not ever more that hang"


def test_a_question_that_was_lost_is_asked_anew(good: Mosquitto, name_server: NameServer, machine: Machine) -> None:
    """The resolver itself does so after 5 s only."""
    name_server.dead_questions = 1
    name_server.answers.set()
    began_s = boottime_s()
    Dialling(good.plain_url.replace("127.0.0.1", "localhost"), names=Names(name_server.resolve)).run()
    assert machine.ours_s(began_s, boottime_s()) <= 2.0 + SOON_S


def test_what_nobody_answers_ends_after_its_time_and_says_so(deaf: Deaf, name_server: NameServer) -> None:
    with pytest.raises(DialError) as error:
        Dialling(f"mqtt://127.0.0.1:{deaf.port}", "mqtt://localhost:1", names=Names(name_server.resolve)).run()
    told = "the broker does not answer"
    assert error.value.detail == f"mqtt://127.0.0.1:{deaf.port}: {told}; mqtt://localhost:1: {told}"


def test_one_that_nobody_wants_any_more_ends_at_once(deaf: Deaf, machine: Machine) -> None:
    dialling = Dialling(f"mqtt://127.0.0.1:{deaf.port}")

    def give_up() -> None:
        dialling.unwanted.append(True)
        os.eventfd_write(dialling.wake, 1)

    began_s = boottime_s()
    threading.Timer(0.1, give_up).start()
    with pytest.raises(DialError, match="given up"):
        dialling.run()
    assert machine.ours_s(began_s, boottime_s()) <= SOON_S


def test_a_certificate_of_ours_that_tls_refuses_is_not_a_matter_of_patience(tmp_path: Path) -> None:
    """In TLS 1.3 the broker's word comes after the handshake, to the connection; in 1.2 amid it."""
    authority = Authority(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.server().certificate, authority.server().key)
    server.load_verify_locations(authority.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    stranger = Authority(tmp_path / "stranger", "another-ca").client("node")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer, contextlib.suppress(OSError):
                server.wrap_socket(peer, server_side=True)

        threading.Thread(target=serve, name="strict", daemon=True).start()
        ours = context(ca=authority.ca, certificate=stranger.certificate, key=stranger.key)
        with pytest.raises(DialError, match="does not know the CA") as error:
            Dialling(f"mqtts://127.0.0.1:{listening.getsockname()[1]}", tls=ours).run()
    assert error.value.fault is LinkFault.NOT_AUTHORISED


def test_nothing_is_left_open(good: Mosquitto, deaf: Deaf) -> None:
    before = open_files()
    for _ in range(3):
        Dialling(f"mqtt://127.0.0.1:{deaf.port}", good.plain_url).run()
    wait_until(lambda: not open_files() - before, what="all sockets closed", timeout_s=DIAL_S)


def open_files() -> set[tuple[str, str]]:
    """Number and file of each descriptor: a socket has a name of its own, by its inode."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that reads the folder
            found.add((each.name, str(each.readlink())))
    return found
