"""Sources that fail, lie or stall: a reason within five seconds, the relay off, and the next item plays."""

import hashlib
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, File, Relay, Source
from agent.messages.words import Kind
from rig import web as behave
from rig.calm import Machine
from rig.ear import Ear
from rig.sound import Daemon, boottime_s, wait_until
from rig.village import Node, Station
from rig.web import WebServer

MP3_BYTES_PER_S = 12_000
LIVE = {"Content-Type": "audio/mpeg"}


@pytest.fixture(scope="module")
def tone_mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Eight seconds of 440 Hz by ffmpeg, 96 kbit/s."""
    return encoded(tmp_path_factory.mktemp("tone") / "tone.mp3", "-b:a", "96k")


@pytest.fixture(scope="module")
def tone_ogg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same as Ogg Vorbis."""
    return encoded(tmp_path_factory.mktemp("tone") / "tone.ogg", "-c:a", "libvorbis")


def encoded(path: Path, *options: str) -> bytes:
    source = "sine=frequency=440:sample_rate=48000:duration=8"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", source, *options, str(path)], check=True)
    return path.read_bytes()


@pytest.fixture(scope="module")
def lasting(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound) as node:
        yield node


@pytest.fixture
def node(lasting: Node) -> Node:
    """The file's node; started again if a test before ended it."""
    if not lasting.running:
        lasting.start()
    return lasting


@pytest.fixture(scope="module")
def ear(station: Station, lasting: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


class Trap:
    """A listener that counts who connects: nobody may."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._thread = threading.Thread(target=self._accept, name="trap", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


def file_source(uri: str, body: bytes) -> Source:
    return Source(file=File(uri, hashlib.sha256(body).hexdigest(), len(body)))


def relay_source(uri: str) -> Source:
    return Source(relay=Relay(uri))


LOG_MS = 50.0
"""A log line is seen this much after it was written, at most, on a machine that keeps time."""
NEXT = Source(builtin=Builtin(BuiltinName.CHIME))
serial = iter(range(1_000_000))


def failure(station: Station, node: Node, ear: Ear, source: Source) -> tuple[str, float, float]:
    """Order the source and a chime behind it; why it failed, when it was accepted and when it had failed."""
    wait_until(lambda: not node.relay_on, what="relay off after what was before")
    number, lines = next(serial), len(node.log)
    orders = [
        station.sign(Play(f"{name}-{number}", Kind.NORMAL, name, (each,), 30))
        for name, each in (("bad", source), ("next", NEXT))
    ]
    for order in orders:
        station.send(order)
    accepted_s = node.wait_for_line(f"{orders[0].jti} verified", since=lines)
    failed_s = node.wait_for_line(f"item bad-{number}: failed", since=lines)
    record = ear.record(f"bad-{number}")
    assert (record["result"], record["played_s"]) == ("failed", 0.0)
    assert ear.record(f"next-{number}")["result"] == "played"
    closed_s = [each.at_s for each in node.switched() if each.on and each.at_s > accepted_s]
    assert len(closed_s) == 1, "the relay closed once, for the next item"
    assert closed_s[0] > failed_s - LOG_MS / 1_000, "not for a source that never gave a sample"
    return record["reason"], accepted_s, failed_s


Judge = Callable[..., None]


@pytest.fixture
def judge(station: Station, node: Node, ear: Ear, machine: Machine) -> Judge:
    """Says whether a source fails for one of the expected reasons, within five seconds of ours."""

    def judged(source: Source, *expected: str) -> None:
        reason, accepted_s, failed_s = failure(station, node, ear, source)
        assert reason in expected
        assert machine.ours_s(accepted_s, failed_s) < 5.0

    return judged


def test_not_found(judge: Judge) -> None:
    with WebServer({}) as web:
        judge(file_source(web.uri("/gone.mp3"), b"x"), "http_error")


def test_a_hash_that_does_not_fit(judge: Judge, tone_mp3: bytes) -> None:
    other = tone_mp3[:-1] + bytes([tone_mp3[-1] ^ 1])
    with WebServer({"/a.mp3": behave.serve(other)}) as web:
        judge(file_source(web.uri("/a.mp3"), tone_mp3), "hash_mismatch")


@pytest.mark.parametrize("kind", ["file", "relay"])
def test_a_server_that_never_answers(judge: Judge, kind: str) -> None:
    with WebServer({"/a": behave.never_answer}) as web:
        source = file_source(web.uri("/a"), b"x") if kind == "file" else relay_source(web.uri("/a"))
        judge(source, "no_answer")


def test_a_download_that_stalls(judge: Judge, tone_mp3: bytes) -> None:
    with WebServer({"/a.mp3": behave.stall_after(tone_mp3, 1_000)}) as web:
        judge(file_source(web.uri("/a.mp3"), tone_mp3), "stalled")


def test_a_stream_that_stalls_while_it_sounds(
    station: Station, node: Node, ear: Ear, machine: Machine, tone_mp3: bytes
) -> None:
    """It hangs once it sounds: what has come by then is heard, and nothing else."""
    number, ordered_s, hush, lines = next(serial), boottime_s(), threading.Event(), len(node.log)
    live = behave.live(
        tone_mp3 * 30, bytes_per_s=MP3_BYTES_PER_S, burst_bytes=3 * MP3_BYTES_PER_S, headers=LIVE, hush=hush
    )
    with WebServer({"/live": live}) as web:
        order = station.sign(Play(f"stall-{number}", Kind.NORMAL, "stall", (relay_source(web.uri("/live")),), 600))
        station.send(order)
        node.wait_for_line("sounding", since=lines)
        hush.set()
        came_s = 3.0 + boottime_s() - ordered_s
        record = ear.record(f"stall-{number}")
    assert (record["result"], record["reason"]) == ("failed", "stalled")
    assert 2.0 < record["played_s"] < came_s + 0.5
    stalled_s = machine.stalled_s(ordered_s, boottime_s())
    assert record["ended_at"] - record["started_at"] - record["played_s"] < 5.0 + stalled_s
    node.wait_for_line("amplifier main: off", since=len(node.log) - 3)


def test_a_redirect_outside_the_list(judge: Judge, trap: Trap) -> None:
    target = f"http://localhost:{trap.port}/elsewhere"
    with WebServer({"/live": behave.redirect(target)}) as web:
        judge(relay_source(web.uri("/live")), "not_allowed")
    assert trap.connections == 0


def test_slow_endless_garbage(judge: Judge) -> None:
    with WebServer({"/live": behave.drip(b"\x13\x37garbage" * 20, 0.2, LIVE)}) as web:
        judge(relay_source(web.uri("/live")), "unsupported_format", "stalled")


def test_garbage_that_begins_like_mp3(judge: Judge) -> None:
    garbage = b"\xff\xfb\x90\x64" + b"\x13\x37" * 30_000
    with WebServer({"/a.mp3": behave.serve(garbage)}) as web:
        judge(file_source(web.uri("/a.mp3"), garbage), "undecodable", "unsupported_format")


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{port}/s.ts\n",
    "m3u": "#EXTM3U\n#EXTINF:-1,radio\nhttp://127.0.0.1:{port}/live.mp3\n",
    "bare list": "http://127.0.0.1:{port}/live.mp3\n",
    "HTML": '<!DOCTYPE html><html><head><meta http-equiv="refresh" content="0;url=http://127.0.0.1:{port}/"></head></html>',
}


@pytest.mark.parametrize(
    ("what", "kind"),
    [(what, kind) for what in PLAYLISTS for kind in ("file", "relay") if (what, kind) != ("HLS", "relay")],
)
def test_what_names_other_places_is_refused_and_nobody_is_called(
    judge: Judge, trap: Trap, what: str, kind: str
) -> None:
    body = PLAYLISTS[what].format(port=trap.port).encode()
    with WebServer({"/a": behave.serve(body, "audio/mpeg")}) as web:
        source = file_source(web.uri("/a"), body) if kind == "file" else relay_source(web.uri("/a"))
        judge(source, "unsupported_format")
    assert trap.connections == 0


def test_a_playlist_s_segment_elsewhere_is_not_allowed_and_nobody_is_called(judge: Judge, trap: Trap) -> None:
    body = PLAYLISTS["HLS"].format(port=trap.port).replace("127.0.0.1", "localhost").encode()
    with WebServer({"/a": behave.serve(body, "application/vnd.apple.mpegurl")}) as web:
        judge(relay_source(web.uri("/a")), "not_allowed")
    assert trap.connections == 0


def test_an_emergency_whose_server_is_away_is_heard_once_it_is_back(
    station: Station, node: Node, ear: Ear, tone_mp3: bytes
) -> None:
    number, lines = next(serial), len(node.log)
    with WebServer({}) as web:
        flood = Play(f"flood-{number}", Kind.EMERGENCY, "flood", (file_source(web.uri("/a.mp3"), tone_mp3),), 2)
        station.send(station.sign(flood, key=station.defence))
        node.wait_for_line(f"item flood-{number}: no source is to be had", since=lines)
        station.send(station.sign(Play(f"next-{number}", Kind.NORMAL, "next", (NEXT,), 30)))
        assert ear.record(f"next-{number}")["result"] == "played"
        web.routes["/a.mp3"] = behave.serve(tone_mp3)
        record = ear.record(f"flood-{number}", timeout_s=90)
    assert (record["result"], record["reason"]) == ("played", "max_duration")
    alarms = [each["detail"] for each in ear.of("alarm") if each["what"] == "no_source"]
    assert alarms == [f"flood-{number}, http_error: 404 Not Found"]


@pytest.mark.parametrize("container", ["mp3", "ogg"])
def test_a_live_relay_is_heard(
    station: Station,
    sound: Daemon,
    node: Node,
    ear: Ear,
    machine: Machine,
    tone_mp3: bytes,
    tone_ogg: bytes,
    container: str,
) -> None:
    number = next(serial)
    body = {"mp3": tone_mp3, "ogg": tone_ogg}[container]
    live = behave.live(body, bytes_per_s=len(body) // 8, burst_bytes=len(body) // 4, headers=LIVE)
    with WebServer({"/live": live}) as web, sound.recorder() as recorder:
        began_s = boottime_s()
        station.send(station.sign(Play(f"radio-{number}", Kind.NORMAL, "radio", (relay_source(web.uri("/live")),), 4)))
        onset = recorder.wait_for_sound()
        record = ear.record(f"radio-{number}")
    assert machine.ours_s(began_s, recorder.time_of(onset)) < 8.0
    assert (record["result"], record["reason"], record["played_s"]) == ("played", "max_duration", 4.0)
    assert record["source"] == {"kind": "relay", "host": f"127.0.0.1:{web.port}"}
