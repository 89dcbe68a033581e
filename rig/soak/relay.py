"""One relay for hours: a real radio (icecast2 fed by ffmpeg, or HLS) through the whole node to a sink that is heard.

Not accelerated: a second of it takes a second. What it leaves out: 4G. The radio never breaks, so every reconnect,
every stall and every silence longer than a busy machine causes is the node's, and is counted.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from agent.messages.commands import Play
from agent.messages.sources import Relay, Source
from agent.messages.words import Kind
from rig.ear import Ear
from rig.hls import HlsServer
from rig.icecast import Icecast
from rig.soak.findings import Findings
from rig.soak.gaps import Gaps
from rig.soak.resources import Resources
from rig.soak.surroundings import long_lived
from rig.sound import Daemon
from rig.village import Node, Station

ZONE: Final = {
    "gpio": 17,
    "active": "high",
    "warm_up_ms": 200,
    "linger_ms": 500,
    "min_off_ms": 100,
    "max_on_s": 14_400,
}
ITEM: Final = "soak-relay"
TAIL_S: Final = 5.0
"""The item is measured until so long before its end."""
SAMPLES: Final = 720
"""Taken in all: every 10 s in two hours."""
LONGEST_SILENCE_S: Final = 1.0
"""What is longer is no processor that stood still. A stall, which the node reports, is 4.5 s."""
WAIT_FOR_RECORD_S: Final = 30.0

Said = Callable[[str], None]


def run(folder: Path, *, seconds: float, warm_s: float, hls: bool, say: Said) -> Findings:
    """Play it, watch, and say how it stands every hundredth of the time."""
    asked_s = round(warm_s + seconds + TAIL_S)
    with ExitStack() as stack:
        sound = stack.enter_context(Daemon())
        station = stack.enter_context(Station(folder))
        uri = stack.enter_context(HlsServer()).live() if hls else stack.enter_context(Icecast()).uri
        node = stack.enter_context(long_lived(station, sound, {"amplifier": {"main": ZONE}}))
        ear = stack.enter_context(station.listen())
        gaps = stack.enter_context(Gaps(sound))
        lines = len(node.log)
        play = Play(ITEM, Kind.NORMAL, "relay", (Source(relay=Relay(uri)),), asked_s)
        station.send(station.sign(play, lifetime_s=24 * 3_600))
        node.wait_for_line(f"item {ITEM}: sounding", since=lines)
        warm = _watched(node, ear, gaps, warm_s, say)
        say(f"warm: {warm[-1]}")
        later = _watched(node, ear, gaps, seconds, say)
        record = ear.record(ITEM, timeout_s=TAIL_S + WAIT_FOR_RECORD_S)
        silences = [silence_s for _, silence_s in gaps.silences]
        told = [line for _, line in node.log[lines:]]
    what = "HLS" if hls else "Icecast, MP3"
    found = Findings(f"relay ({what}): {asked_s} s asked, measured for {later[-1].at_s - warm[-1].at_s:.0f} s of them")
    _judge(found, record, asked_s, silences, told)
    found.expect_flat(warm, later)
    return found


def _watched(node: Node, ear: Ear, gaps: Gaps, seconds: float, say: Said) -> list[Resources]:
    """Samples of the second half of this time, at least one.

    Raises:
        RuntimeError: the node, or whoever hears it, has ended.
    """
    began_s = time.monotonic()
    taken: list[Resources] = []
    every_s = max(0.5, seconds / SAMPLES)
    while (left_s := began_s + seconds - time.monotonic()) > 0:
        if not node.running or gaps.ended:
            raise RuntimeError(f"{'the ear' if node.running else 'the node'} has ended: {node.log_text()[-2_000:]}")
        taken.append(Resources.of(node.pid))
        if len(taken) % (SAMPLES // 60) == 1:
            say(f"{taken[-1]}; {len(gaps.silences)} silences so far")
        ear.take(0.0)
        time.sleep(min(every_s, left_s))
    return taken[len(taken) // 2 :] or [Resources.of(node.pid)]


def _judge(found: Findings, record: dict[str, Any], asked_s: int, silences: list[float], told: list[str]) -> None:
    ended = record["result"], record["reason"], record["played_s"]
    found.expect(ended == ("played", "max_duration", asked_s), f"record: {', '.join(map(str, ended))} s")
    broken = [line for line in told if "goes on after" in line or "failed" in line]
    found.expect(not broken, f"reconnects and failures: {len(broken)} (none) {broken[:3] or ''}")
    longest_s = max(silences, default=0.0)
    amid = f"silences amid it: {len(silences)}, the longest {longest_s:.2f} s"
    found.expect(longest_s < LONGEST_SILENCE_S, f"{amid} (stalls: none of {LONGEST_SILENCE_S:g} s)")
    found.tell(f"underruns of the card: {record.get('underruns', 0)}")
