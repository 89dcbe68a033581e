"""What the village hears of a signed order, and the relay beside it: order, head, tail, silence."""

import hashlib
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.messages.commands import Play, Stop
from agent.messages.sources import Builtin, BuiltinName, File, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.ear import Ear
from rig.heard import heard, sounding
from rig.sound import RATE_HZ, Daemon, boottime_s, wait_until
from rig.village import Node, Station
from rig.web import WebServer, serve
from tests.sounds import Sounds

SECONDS = 2.0
EARS_MS = 20.0
"""How exactly the recorder knows when a sample sounded."""
GAP_S = 0.003
"""A silence this long within a tone is a gap: the machine stood still for longer than the card lasts."""
TONE = Source(builtin=Builtin(BuiltinName.TONE))
serial = itertools.count()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return Sounds(tmp_path_factory.mktemp("sounds"), SECONDS)


@pytest.fixture(scope="module")
def web(sounds: Sounds) -> Iterator[WebServer]:
    routes = {f"/sweep.{kind}": serve(sounds.file(kind).read_bytes()) for kind in ("mp3", "wav", "flac")}
    with WebServer(routes) as web:
        yield web


@pytest.fixture
def node(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def source_of(path: Path, web: WebServer) -> Source:
    body = path.read_bytes()
    return Source(file=File(web.uri(f"/{path.name}"), hashlib.sha256(body).hexdigest(), len(body)))


def order(source: Source, max_duration_s: int = 30) -> Play:
    return Play(f"item-{next(serial)}", Kind.NORMAL, "title", (source,), max_duration_s)


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac"])
def test_head_and_tail_arrive_from_the_first_item_after_start_on(
    station: Station, sound: Daemon, sounds: Sounds, web: WebServer, machine: Machine, kind: str
) -> None:
    """At most 10 ms are lost at either end, the first item of a fresh process included."""
    with Node(station, sound) as node, station.listen() as ear, sound.recorder() as recorder:
        for _ in ("first after start", "second"):
            wait_until(lambda: not node.relay_on, what="relay off")
            play = order(source_of(sounds.file(kind), web))
            since, sent_s = len(recorder.samples()), boottime_s()
            station.send(station.sign(play))
            record = ear.record(play.item)
            recorder.listen(0.3)
            what = heard(sounds.sent, recorder.samples(since))
            assert what.head_lost_ms <= 10.0
            assert what.tail_lost_ms <= 10.0
            assert what.within_lost_ms <= (10.0 if what.gap_ms else 0.0)
            assert record["result"] == "played"
            assert what.gap_ms / 1_000 <= machine.stalled_s(sent_s, boottime_s()), "no gap but the machine's own"
            assert record["played_s"] == pytest.approx(SECONDS, abs=0.06)


def test_the_relay_is_on_before_and_off_after_the_sound(
    station: Station, sound: Daemon, sounds: Sounds, web: WebServer, node: Node, ear: Ear, machine: Machine
) -> None:
    with sound.recorder() as recorder:
        seen = len(node.switched())
        play = order(source_of(sounds.file("wav"), web))
        station.send(station.sign(play))
        record = ear.record(play.item)
        wait_until(lambda: not node.relay_on, what="relay off")
        recorder.listen(0.3)
        on, off = node.switched()[seen:]
        stretches = sounding(recorder.samples())
        heard_s, silent_s = recorder.time_of(stretches[0][0]), recorder.time_of(stretches[-1][1])
        assert (on.on, off.on) == (True, False)
        assert heard_s - on.at_s >= 0.200 - EARS_MS / 1_000, "relay on >= warm_up_ms before the first sample"
        assert machine.ours_s(on.at_s, heard_s) < 0.400
        assert off.at_s - silent_s >= 0.5 - EARS_MS / 1_000, "linger, then off"
        assert machine.ours_s(silent_s, off.at_s) < 0.800
        late_s = machine.stalled_s(on.at_s, off.at_s)
        assert -0.3 < record["amplifier_on_s"] - (silent_s - on.at_s) < 0.3 + late_s


def test_stop_opens_the_relay_within_100_ms_and_nothing_sounds_with_the_relay_off(
    station: Station, sound: Daemon, node: Node, ear: Ear, machine: Machine
) -> None:
    with sound.recorder() as recorder:
        seen, lines = len(node.switched()), len(node.log)
        play = order(TONE)
        station.send(station.sign(play))
        recorder.wait_for_sound()
        stop = station.sign(Stop(reason="enough", item=play.item))
        station.send(stop)
        received_s = node.wait_for_line(f"{stop.jti} received", since=lines)
        record = ear.record(play.item)
        recorder.listen(0.5)
        _, off = node.switched()[seen:]
        _, after_last = sounding(recorder.samples())[-1]
        assert machine.ours_s(received_s, off.at_s) <= 0.100
        assert recorder.time_of(after_last) - off.at_s <= EARS_MS / 1_000
        assert (record["result"], record["reason"], record["detail"]) == ("stopped", "stopped", "enough")


def test_sigterm_opens_the_relay(station: Station, sound: Daemon, node: Node, ear: Ear, machine: Machine) -> None:
    with sound.recorder() as recorder:
        station.send(station.sign(order(TONE)))
        recorder.wait_for_sound()
        assert node.relay_on
        asked_s = boottime_s()
        assert node.end(signal.SIGTERM) == 0
        assert not node.relay_on
        off = node.switched()[-1]
        recorder.listen(0.5)
        _, after_last = sounding(recorder.samples())[-1]
        assert machine.ours_s(asked_s, off.at_s) < 0.5
        assert machine.ours_s(off.at_s, recorder.time_of(after_last)) <= EARS_MS / 1_000, (
            "silent before, or as, it opens"
        )
        ear.wait(lambda: bool(ear.states) and ear.states[-1]["online"] is False, what="the farewell")


def test_sigkill_leaves_the_line_to_amp_off_and_the_item_gets_its_record(
    station: Station, sound: Daemon, node: Node, ear: Ear
) -> None:
    play = Play("not-to-resume", Kind.NORMAL, "title", (TONE,), 30, resume=False)
    with sound.recorder() as recorder:
        station.send(station.sign(play))
        recorder.wait_for_sound()
        node.wait_for_line("sounding")
    ear.wait(lambda: bool(ear.of("command_outcome")), what="the outcome")
    assert node.end(signal.SIGKILL) == -signal.SIGKILL
    assert node.relay_on, "nobody could open it: on a real board the pull-down does"
    done = node.command("amp-off")
    assert (done.returncode, done.stdout) == (0, "amplifier off\n")
    assert not node.relay_on
    node.start()
    record = ear.record(play.item)
    assert (record["result"], record["reason"]) == ("failed", "restart")


def test_amp_off_opens_the_relay_of_a_killed_agent_whose_files_are_spoilt(
    station: Station, sound: Daemon, node: Node
) -> None:
    """The unit's last net must not hang on a file that somebody edited badly meanwhile."""
    with sound.recorder() as recorder:
        station.send(station.sign(order(TONE)))
        recorder.wait_for_sound()
        node.wait_for_line("sounding")
    node.end(signal.SIGKILL)
    assert node.relay_on
    good, trust = node.config.read_text(), node.folder / "trust.yaml"
    trust.write_text("}")
    node.config.write_text(good + "gpoi: {}\n")
    done = node.command("amp-off", RUNTIME_DIRECTORY=str(node.folder / "runtime"))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "amplifier off")
    assert "gpoi" in done.stdout
    assert not node.relay_on
    node.write()


def test_amp_off_asks_the_running_agent(station: Station, sound: Daemon, node: Node, ear: Ear) -> None:
    play = order(TONE)
    with sound.recorder() as recorder:
        station.send(station.sign(play))
        recorder.wait_for_sound()
    assert node.command("amp-off").returncode == 0
    assert not node.relay_on
    assert node.running
    assert ear.record(play.item)["result"] == "stopped"


def test_the_tone_is_cut_at_its_maximum_duration_to_the_sample(
    station: Station, sound: Daemon, node: Node, ear: Ear
) -> None:
    with sound.recorder() as recorder:
        play = order(TONE, max_duration_s=1)
        station.send(station.sign(play))
        record = ear.record(play.item)
        recorder.listen(0.5)
        sounded = sum(end - start for start, end in sounding(recorder.samples(), quiet_s=GAP_S))
        assert sounded == pytest.approx(RATE_HZ, abs=RATE_HZ // 100)
        assert (record["played_s"], record["reason"]) == (1.0, "max_duration")
