"""From the published command to the first sample at the sink: the node, libVLC alone, and mosquitto_sub piped to mpv.

Taken in turn, so that all see the same machine; beside what the clock says stands what is left without the machine's
own stalls. Publishers are connected before. Underruns are told: a run with one fails, and so
does one that misses its budget.
"""

import contextlib
import hashlib
import os
import signal
import sqlite3
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import vlc

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from bench.budget import Budgets, UnsoundError, p50_p95, p95
from rig.calm import Machine
from rig.ear import Ear
from rig.heard import encode, sweep, write_wav
from rig.sound import RATE_HZ, SILENCE_PEAK, Daemon, Recorder, Samples, boottime_s
from rig.village import Node, Station, command_topic
from rig.web import WebServer, serve

ROUNDS = 12
SECONDS = 1.0
WHOLE_S = 0.9
"""So much of it above silence: all but the zero crossings, and what a player may lose."""
BETWEEN_S = 0.3
BESIDE_LIBVLC_MS = 15.0
P95_MS = 150.0
COMMITS = 21


Span = tuple[float, float]


def run(station: Station, sound: Daemon, machine: Machine) -> None:
    """Print p50 and p95 of each, in ms."""
    mp3 = encode(write_wav(station.folder / "sweep.wav", sweep(SECONDS)), station.folder / "sweep.mp3", "-b:a", "128k")
    body = mp3.read_bytes()
    amplifier = {"main": {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 100, "min_off_ms": 0}}
    figures: dict[str, list[Span]] = {"Loa, order to sink": [], "libVLC alone": [], "mosquitto_sub | mpv": []}
    underruns, silent = 0, list[str]()
    with (
        WebServer({"/sweep.mp3": serve(body)}) as web,
        Node(station, sound, changes={"amplifier": amplifier}) as node,
        station.listen() as ear,
        sound.recorder() as recorder,
        station.broker.publisher(station.control, command_topic(node.name)) as send,
        _LibVlc(sound) as alone,
        _Mpv(station, sound, mp3) as mpv,
    ):
        source = Source(file=File(web.uri("/sweep.mp3"), hashlib.sha256(body).hexdigest(), len(body)))
        for number in range(ROUNDS + 1):
            play = Play(f"bench-{number}", Kind.NORMAL, "bench", (source,), 10)
            envelope = station.sign(play).envelope
            try:
                ours = first_sound(recorder, lambda envelope=envelope: send(envelope))  # type: ignore[misc]
                underruns += ear.record(play.item).get("underruns", 0)
            except TimeoutError:  # where the machine stands still for 2 s the dead man's handle ends the node, rightly
                silent.append(node.log[-1][1])
                if not node.running:
                    node.start()
                continue
            wait_off(node, ear)
            spans = (ours, first_sound(recorder, lambda: alone.play(mp3)), first_sound(recorder, mpv.play))
            if number:  # the first of each fetches the file and warms everything
                for name, span in zip(figures, spans, strict=True):
                    figures[name].append(span)
    print(f"\ncommand published -> first sample at the sink, warm-up 0, {ROUNDS} rounds, in ms")
    shares: dict[str, list[float]] = {}
    print(f"  {'':<22} {'p50':>7} {'p95':>7}   without the machine's stalls {'p50':>7} {'p95':>7}")
    for name, spans_of in figures.items():
        clock = [(heard_s - began_s) * 1_000 for began_s, heard_s in spans_of]
        share = shares[name] = [machine.ours_s(*span) * 1_000 for span in spans_of]
        print(f"  {name:<22} {p50_p95(clock)} {'':<30} {p50_p95(share)}")
    print(f"  underruns in all: {underruns}; rounds without sound: {len(silent)} {silent or ''}")
    if underruns or silent:
        raise UnsoundError(f"{underruns} underruns, {len(silent)} rounds without sound")
    _hold(shares["Loa, order to sink"], shares["libVLC alone"], commit_ms(station.folder / "commit.db"))


def _hold(ours_ms: list[float], alone_ms: list[float], one_commit_ms: float) -> None:
    """Without the machine's stalls, which are nobody's. Raises MissedError."""
    budgets = Budgets()
    most_ms = statistics.median(alone_ms) + BESIDE_LIBVLC_MS + one_commit_ms
    print(f"  {budgets.hold('p50', statistics.median(ours_ms), most_ms)} (a commit here: {one_commit_ms:.1f} ms)")
    print(f"  {budgets.hold('p95', p95(ours_ms), P95_MS)}")
    budgets.settle()


def commit_ms(path: Path) -> float:
    """What one durable transaction takes on this disk, as the store makes them: the median of a few."""
    took_ms: list[float] = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE commits (at REAL)")
        for _ in range(COMMITS):
            began_s = time.monotonic()
            database.execute("INSERT INTO commits VALUES (?)", (began_s,))
            took_ms.append((time.monotonic() - began_s) * 1_000)
    return statistics.median(took_ms)


def first_sound(recorder: Recorder, begin: Callable[[], None]) -> Span:
    """When it was begun and when its first sample sounded; returns after its end."""
    since = len(recorder.samples())
    began_s = boottime_s()
    begin()
    first = recorder.wait_for_sound(timeout_s=20, since=since)
    # To its end, by what was heard and not by a pause: a machine that stands still puts pauses into it.
    with contextlib.suppress(TimeoutError):
        recorder.wait(lambda: _loud(recorder.samples(first)) >= WHOLE_S * RATE_HZ, what="the end", timeout_s=6)
    recorder.wait_for_silence(quiet_s=BETWEEN_S, timeout_s=20)
    return began_s, recorder.time_of(first)


def _loud(samples: Samples) -> int:
    return int(np.count_nonzero(np.abs(samples.astype(np.int32)) > SILENCE_PEAK))


def wait_off(node: Node, ear: Ear) -> None:
    """Until the relay is open."""
    deadline = time.monotonic() + 10
    while node.relay_on and time.monotonic() < deadline:
        ear.take(0.02)


class _LibVlc:
    """libVLC playing a file through its own ALSA output, already warm."""

    def __init__(self, sound: Daemon) -> None:
        os.environ.update({name: sound.environment[name] for name in ("ALSA_CONFIG_PATH", "PULSE_SERVER")})
        self._instance = vlc.Instance("--quiet", "--no-video", "--aout=alsa", f"--alsa-audio-device={sound.device()}")
        self._player = self._instance.media_player_new()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._player.stop()
        self._player.release()
        self._instance.release()

    def play(self, path: Path) -> None:
        media = self._instance.media_new_path(str(path))
        self._player.set_media(media)
        self._player.play()


class _Mpv:
    """The shell's way: mosquitto_sub prints a line, mpv is started with the file."""

    def __init__(self, station: Station, sound: Daemon, path: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._publish = self._stack.enter_context(station.broker.publisher(station.control, "bench/mpv"))
        identity = station.authority.client("shell-node")
        script = (
            f"mosquitto_sub -h localhost -p {station.broker.port} --cafile {station.authority.ca} "
            f"--cert {identity.certificate} --key {identity.key} -t bench/mpv | while read -r _; do "
            f"mpv --really-quiet --no-video --ao=alsa --audio-device=alsa/{sound.device()} {path} </dev/null; done"
        )
        self._process = subprocess.Popen(["sh", "-c", script], env=sound.environment, start_new_session=True)

    def __enter__(self) -> Self:
        time.sleep(1.0)  # mosquitto_sub says nothing when it stands
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(5)

    def play(self) -> None:
        self._publish(b"play")
