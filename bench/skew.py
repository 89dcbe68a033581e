"""How far apart two and four poles begin that one house can hear, beside Snapcast on the same card.

All poles are channels of one sound card, recorded together: what is compared are samples, not times. Snapcast is given
its best case, a stream that never stops. Each start is a second of noise, found in every channel by correlation.
"""

import contextlib
import hashlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from bench.budget import Budgets, UnsoundError, p50_p95, p95
from rig.calm import Machine
from rig.heard import heard, sounding, write_wav
from rig.sound import RATE_HZ, STREET, Daemon, Samples, running
from rig.village import SITE, Node, Station
from rig.web import WebServer, serve

STARTS = 30
NOISE_S = 1.0
AHEAD_S = 2
"""From the order to the start; the file is in the cache by then."""
PAUSE_S = 1.0
AROUND_S = 0.6
BUDGET_MS = 1.0
ORDERS = f"loa/v1/{SITE}/command/all"


def run(station: Station, _sound: Daemon, _machine: Machine) -> None:
    """Print p50 and p95 of the skew of two and of four, ours and Snapcast's, and what was lost of head and tail.

    Ours is held to its budget, once all has been measured.
    """
    budgets = Budgets()
    noise = np.round(np.random.default_rng(1).normal(0, 4_000, round(NOISE_S * RATE_HZ))).clip(-30_000, 30_000)
    sent = noise.astype("<i2")
    print(f"\nskew of {STARTS} starts on one clock, in ms (budget p95 {BUDGET_MS}); head and tail lost at worst")
    for count in (2, 4):
        poles = tuple(f"pole{number}" for number in range(count))
        with Daemon(*poles, one_card=True) as sound:
            ours = _recorded(sound, lambda sound=sound: _loa(station, sound, sent))  # type: ignore[misc]
            theirs = _recorded(sound, lambda sound=sound: _snapcast(sound, sent))  # type: ignore[misc]
        for name, recording in (("Loa", ours), ("Snapcast", theirs)):
            skews_ms = _tell(f"{count} poles, {name}", sent, recording)
            if name == "Loa":
                print(f"    {budgets.hold(f'p95 of {count} poles', p95(skews_ms), BUDGET_MS)}", flush=True)
    budgets.settle()


def _recorded(sound: Daemon, act: Callable[[], None]) -> Samples:
    """What all poles sounded meanwhile, one column a pole."""
    count = len(sound.sinks)
    with tempfile.TemporaryFile() as tape:
        command = ["parec", "--raw", "--format=s16le", "--rate=48000", f"--channels={count}", "--latency-msec=50"]
        places = ",".join(f"aux{number}" for number in range(count))
        command += [f"--channel-map={places}", "-d", f"{STREET}.monitor"]
        with running(command, environment=sound.environment, stdout=tape, stderr=subprocess.DEVNULL):
            time.sleep(1.0)
            act()
            time.sleep(1.0)
        tape.seek(0)
        data = np.frombuffer(tape.read(), dtype="<i2")
    return data[: len(data) // count * count].reshape(-1, count)


def _tell(name: str, sent: Samples, recording: Samples) -> list[float]:
    skews_ms: list[float] = []
    head_ms = tail_ms = gap_ms = 0.0
    around = round(AROUND_S * RATE_HZ)
    for first, last in sounding(recording[:, 0], quiet_s=0.3):
        part = recording[max(0, first - around) : last + around]
        found = [heard(sent, channel) for channel in part.T]
        offsets = [each.offset for each in found]
        skews_ms.append((max(offsets) - min(offsets)) * 1_000 / RATE_HZ)
        head_ms = max(head_ms, *(each.head_lost_ms for each in found))
        tail_ms = max(tail_ms, *(each.tail_lost_ms for each in found))
        gap_ms = max(gap_ms, *(each.gap_ms + each.within_lost_ms for each in found))
    if len(skews_ms) != STARTS:
        raise UnsoundError(f"{name}: {len(skews_ms)} starts were heard of {STARTS}")
    worst_ms = max(skews_ms)
    print(
        f"  {name:<18} p50, p95 {p50_p95(skews_ms)}, worst {worst_ms:.2f};"
        f" head {head_ms:.1f}, tail {tail_ms:.1f}, within {gap_ms:.1f}",
        flush=True,
    )
    return skews_ms


def _loa(station: Station, sound: Daemon, sent: Samples) -> None:
    wav = write_wav(station.folder / "noise.wav", sent).read_bytes()
    with (
        WebServer({"/noise.wav": serve(wav)}) as web,
        contextlib.ExitStack() as stack,
        station.listen() as ear,
    ):
        source = Source(file=File(web.uri("/noise.wav"), hashlib.sha256(wav).hexdigest(), len(wav)))
        for pole in sound.sinks:
            amplifier = {"main": {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 100, "min_off_ms": 0}}
            stack.enter_context(Node(station, sound, name=pole, sink=pole, changes={"amplifier": amplifier}))
        send = stack.enter_context(station.broker.publisher(station.control, ORDERS))
        for number in range(STARTS):
            start_at = int(time.time()) + 1 + AHEAD_S
            item = f"skew-{len(sound.sinks)}-{number}"
            play = Play(item, Kind.NORMAL, "skew", (source,), 10, start_at=start_at)
            send(station.sign(play, to=f"site:{SITE}").envelope)
            ear.wait(lambda item=item: played(ear, item) == len(sound.sinks), what=f"all records of {item}")  # type: ignore[misc]
            time.sleep(PAUSE_S / 2)


class Records(Protocol):
    """Whatever has heard play records."""

    def of(self, kind: str, /) -> Sequence[Mapping[str, Any]]:
        """All of this kind."""


def played(ear: Records, item: str) -> int:
    """How many have played it. Raises UnsoundError where one has not: its start is none."""
    records = [each for each in ear.of("play_record") if each["item"] == item]
    for each in records:
        if each["result"] != "played":
            raise UnsoundError(f"{item} was not played everywhere: {each}")
    return len(records)


def _snapcast(sound: Daemon, sent: Samples) -> None:
    with tempfile.TemporaryDirectory(prefix="loa-snap-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        pipe, port = folder / "pipe", _free_port()
        os.mkfifo(pipe)
        (folder / "snapserver.conf").touch()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = ["snapserver", "-c", str(folder / "snapserver.conf"), f"--server.datadir={folder}"]
        server += ["--http.enabled=0", "--tcp.enabled=0", f"--stream.port={port}"]
        server += ["--stream.bind_to_address=127.0.0.1"]
        server += [f"--stream.source=pipe://{pipe}?name=default&sampleformat=48000:16:1&codec=pcm&mode=read"]
        stack.enter_context(running(server, environment=sound.environment, **quiet))
        time.sleep(1.0)
        for number, pole in enumerate(sound.sinks):
            client = ["snapclient", "-h", "127.0.0.1", "-p", str(port), "-i", str(number + 1), "--hostID", pole]
            client += ["--player", "alsa", "-s", sound.device(pole), "--mixer", "none"]
            stack.enter_context(running(client, environment=sound.environment, **quiet))
        _feed(pipe, sent)


def _feed(pipe: Path, sent: Samples) -> None:
    """Silence while the clients come together, then noise and silence in turn; the server takes it at its own pace."""
    silence = bytes(2 * RATE_HZ)
    with pipe.open("wb") as stream:
        stream.write(silence * 5)
        for _ in range(STARTS):
            stream.write(sent.tobytes())
            stream.write(silence)
        stream.write(silence * 2)
    time.sleep(2.0)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
