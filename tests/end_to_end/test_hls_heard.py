"""HLS from a real ffmpeg, heard: a recording whole, a live window across its reloads, and what is refused."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Relay, Source
from agent.messages.words import Kind
from rig.ear import Ear
from rig.heard import heard, sounding, sweep, write_wav
from rig.hls import SEGMENT_S, HlsServer
from rig.sound import RATE_HZ, Daemon
from rig.village import Node, Station

TONE_HZ = 440
SWEEP_S = 7.0
CODEC_EDGE_MS = 60.0
"""AAC begins and ends within a frame or two: 1,024 samples each, and the first holds the encoder's delay."""
LIVE_S = 5 * SEGMENT_S
CHIME = Source(builtin=Builtin(BuiltinName.CHIME))
serial = itertools.count()


@pytest.fixture(scope="module")
def hls() -> Iterator[HlsServer]:
    with HlsServer() as server:
        yield server


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


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def relay(uri: str, *others: Source, max_duration_s: int = 60) -> Play:
    return Play(f"hls-{next(serial)}", Kind.NORMAL, "Đài xã", (Source(relay=Relay(uri)), *others), max_duration_s)


def test_a_recording_is_heard_whole(
    station: Station, sound: Daemon, node: Node, ear: Ear, hls: HlsServer, tmp_path: Path
) -> None:
    rising = sweep(SWEEP_S)
    name = f"recording-{next(serial)}"
    play = relay(hls.cut(write_wav(tmp_path / "sweep.wav", rising), name))
    with sound.recorder() as recorder:
        since = len(recorder.samples())
        station.send(station.sign(play))
        record = ear.record(play.item)
        recorder.listen(0.3)
        got = heard(rising, recorder.samples(since))
    assert (record["result"], record["reason"]) == ("played", "stream_ended")
    assert (got.within_lost_ms, got.gap_ms) == (0.0, 0.0)
    assert max(got.head_lost_ms, got.tail_lost_ms) <= CODEC_EDGE_MS
    assert record["played_s"] == pytest.approx(SWEEP_S, abs=3 * CODEC_EDGE_MS / 1_000)


def test_a_live_window_is_heard_without_a_gap_across_its_reloads(
    station: Station, sound: Daemon, node: Node, ear: Ear, hls: HlsServer
) -> None:
    play = relay(hls.live(f"live-{next(serial)}", frequency_hz=TONE_HZ), max_duration_s=LIVE_S)
    with sound.recorder() as recorder:
        since = len(recorder.samples())
        station.send(station.sign(play))
        record = ear.record(play.item)
        recorder.listen(0.3)
        samples = recorder.samples(since)
    assert (record["result"], record["reason"], record["played_s"]) == ("played", "max_duration", LIVE_S)
    assert record.get("underruns", 0) == 0
    ((first, last),) = sounding(samples, quiet_s=0.01)
    assert (last - first) / RATE_HZ == pytest.approx(LIVE_S, abs=0.1)
    spectrum = np.abs(np.fft.rfft(samples[first:last].astype(np.float64)))
    assert float(np.argmax(spectrum)) * RATE_HZ / (last - first) == pytest.approx(TONE_HZ, abs=1.0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-hls_segment_type", "fmp4"), "fragmented MP4"),
        (("-hls_enc", "1", "-hls_enc_key", "0123456789abcdef" * 2), "encrypted"),
    ],
    ids=["fragmented MP4", "AES-128"],
)
def test_what_is_refused_says_why_and_gives_way_to_the_next_source(
    station: Station, node: Node, ear: Ear, hls: HlsServer, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    wav = write_wav(tmp_path / "sweep.wav", sweep(SWEEP_S))
    uri = hls.cut(wav, f"refused-{next(serial)}", *options)
    alone, with_other = relay(uri), relay(uri, CHIME)
    station.send(station.sign(alone))
    record = ear.record(alone.item)
    assert (record["result"], record["reason"], record["played_s"]) == ("failed", "unsupported_format", 0.0)
    assert why in record["detail"]
    station.send(station.sign(with_other))
    record = ear.record(with_other.item)
    assert (record["result"], record["source"]["kind"]) == ("played", "builtin")
