"""What the village hears of a programme: an emergency above it, the return, quiet hours, a radio that goes silent."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, File, Relay, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.ear import Ear
from rig.heard import heard, sweep, write_wav
from rig.icecast import Icecast
from rig.sound import RATE_HZ, Daemon, Recorder, Samples, wait_until
from rig.village import Node, Station
from rig.web import WebServer, serve

SIREN = Source(builtin=Builtin(BuiltinName.SIREN))
TONE = Source(builtin=Builtin(BuiltinName.TONE))
LOUD = 10_000
"""Only an emergency reaches this here: what it interrupts stays below an eighth of full scale."""
QUIET_LEVEL = 0.1
AT_ONCE = {"main": {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 500, "min_off_ms": 100}}
serial = itertools.count()


@pytest.fixture(scope="module")
def radio() -> Iterator[Icecast]:
    with Icecast() as radio:
        yield radio


@pytest.fixture
def node(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound, changes={"amplifier": AT_ONCE}) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def play(*sources: Source, kind: Kind = Kind.NORMAL, max_duration_s: int = 30) -> Play:
    return Play(f"{kind}-{next(serial)}", kind, "title", sources, max_duration_s)


def raise_alarm(station: Station, max_duration_s: int = 2) -> tuple[str, str]:
    """Order an emergency; its item and jti."""
    order = play(SIREN, kind=Kind.EMERGENCY, max_duration_s=max_duration_s)
    signed = station.sign(order, key=station.defence)
    station.send(signed)
    return order.item, signed.jti


def loud_from(samples: Samples) -> int | None:
    """The first sample that only an emergency reaches."""
    found = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    return int(found[0]) if len(found) else None


def wait_for_loud(recorder: Recorder, since: int = 0) -> int:
    recorder.wait(lambda: loud_from(recorder.samples(since)) is not None, what="the siren", timeout_s=30.0)
    found = loud_from(recorder.samples(since))
    assert found is not None
    return since + found


def test_an_emergency_sounds_within_300_ms_over_a_radio_and_the_radio_comes_back(
    station: Station, sound: Daemon, node: Node, ear: Ear, machine: Machine, radio: Icecast
) -> None:
    with sound.recorder() as recorder:
        relay = play(Source(relay=Relay(radio.uri)), max_duration_s=12)
        station.send(station.sign(relay))
        recorder.wait_for_sound(timeout_s=15)
        recorder.listen(2.0)
        lines = len(node.log)
        name, jti = raise_alarm(station)
        loud = wait_for_loud(recorder)
        received_s = node.wait_for_line(f"{jti} received", since=lines)
        emergency, record = ear.record(name), ear.record(relay.item)
        recorder.listen(0.3)
        after = without_the_siren(recorder.samples(loud))
    assert machine.ours_s(received_s, recorder.time_of(loud)) <= 0.300
    assert (emergency["result"], emergency["reason"], emergency["played_s"]) == ("played", "max_duration", 2.0)
    assert (record["result"], record["reason"]) == ("played", "max_duration")
    assert record["played_s"] == pytest.approx(12.0, abs=0.05)
    assert np.abs(after[RATE_HZ // 10 :].astype(np.int32)).max() > 1_000, "after the siren the radio"


def test_a_file_goes_on_where_it_was_with_no_sample_lost_or_doubled(
    station: Station, sound: Daemon, node: Node, ear: Ear, machine: Machine, tmp_path: Path
) -> None:
    sent = sweep(6.0, level=QUIET_LEVEL)
    body = write_wav(tmp_path / "sweep.wav", sent).read_bytes()
    with WebServer({"/sweep.wav": serve(body)}) as web, sound.recorder() as recorder:
        file = File(web.uri("/sweep.wav"), hashlib.sha256(body).hexdigest(), len(body))
        order = play(Source(file=file))
        station.send(station.sign(order))
        onset = recorder.wait_for_sound(timeout_s=15)
        recorder.listen(2.0)
        name, _ = raise_alarm(station, max_duration_s=1)
        loud = wait_for_loud(recorder)
        record = ear.record(order.item)
        recorder.listen(0.3)
        emergency = ear.record(name)
    assert (emergency["result"], record["result"], record.get("underruns", 0)) == ("played", "played", 0)
    assert record["played_s"] == 6.0
    everything = recorder.samples(onset)
    split = loud - onset
    before, after = everything[:split], without_the_siren(everything[split:])
    joined = heard(sent, np.concatenate([before[: last_sound(before)], after[first_sound(after) :]]))
    assert joined.head_lost_ms <= 10.0
    assert joined.tail_lost_ms <= 10.0
    assert joined.within_lost_ms <= 20.0, "no more than two fades hide"


def without_the_siren(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
    return samples[int(loud[-1]) + 1 :]


def first_sound(samples: Samples) -> int:
    return int(np.flatnonzero(samples)[0])


def last_sound(samples: Samples) -> int:
    return int(np.flatnonzero(samples)[-1]) + 1


def where_it_is_a_quarter_past_three() -> str:
    """A zone of the world in which the hour is three, by night."""
    ahead = (3 - time.gmtime().tm_hour) % 24
    ahead = ahead if ahead <= 14 else ahead - 24
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def test_nothing_but_an_emergency_sounds_at_a_quarter_past_three(
    station: Station, sound: Daemon, machine: Machine
) -> None:
    changes: dict[str, Any] = {
        "amplifier": AT_ONCE,
        "timezone": where_it_is_a_quarter_past_three(),
        "policy": {"quiet_hours": ["21:00-05:00"]},
    }
    with Node(station, sound, changes=changes) as node, station.listen() as ear, sound.recorder() as recorder:
        before = node.switched()  # by the nodes of other tests: the trace is one for all
        for kind in (Kind.NORMAL, Kind.PRIORITY):
            signed = station.sign(play(TONE, kind=kind, max_duration_s=1))
            station.send(signed)
            outcome = ear.outcome(signed.jti)
            assert (outcome["outcome"], outcome["reason"]) == ("refused", "policy_quiet_hours")
            assert "21:00" in outcome["detail"]
        recorder.listen(1.0)
        assert not recorder.samples().any()
        assert node.switched() == before, "the relay is not touched"
        name, _ = raise_alarm(station, max_duration_s=1)
        wait_for_loud(recorder)
        assert ear.record(name)["result"] == "played"


def test_the_second_source_takes_over_from_a_dead_radio_and_the_next_item_has_it_again(
    station: Station, sound: Daemon, node: Node, ear: Ear, radio: Icecast
) -> None:
    relay = Source(relay=Relay(radio.uri))
    with sound.recorder() as recorder:
        first = play(relay, TONE, max_duration_s=20)
        station.send(station.sign(first))
        recorder.wait_for_sound(timeout_s=15)
        radio.stop()
        record = ear.record(first.item)
        assert (record["result"], record["source"]) == ("played", {"kind": "builtin", "name": "tone"})
        assert record["played_s"] > 5
        radio.start()
        wait_until(lambda: not node.relay_on, what="relay off")
        again = play(relay, TONE, max_duration_s=3)
        station.send(station.sign(again))
        record = ear.record(again.item)
    assert (record["result"], record["played_s"]) == ("played", 3.0)
    assert record["source"] == {"kind": "relay", "host": f"127.0.0.1:{radio.port}"}
