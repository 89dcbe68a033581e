"""A thousand nodes whose broker is restarted: when each is back, and whether any was refused.

Real broker with config/mosquitto as shipped, real TLS with a certificate a node, real MQTT; when a node tries again is
the agent's own decision (`agent.core.connection`). What it leaves out: 4G, and that here the nodes share a processor
with their broker, which makes both slower than they are.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from agent.core.connection import MAX_DELAY_S
from rig.commune import SITE, Commune
from rig.soak.crowd import Crowd
from rig.soak.findings import Findings

PROCESSES: Final = 2
FIRST_S: Final = 10.0
"""The nodes come at first within this time."""
ALL_UP_WAIT_S: Final = 120.0
BACK_WITHIN_S: Final = 2 * MAX_DELAY_S
"""All are: the longest delay, and as long again for a broker that shares its processor with a thousand nodes."""
MOST_AT_ONCE: Final = 0.2
"""Of all, that begin in the same 100 ms: after a short outage, when all wait a second at most, it is a tenth."""
BIN_S: Final = 0.1

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Told:
    """What happened to one node: begun, up, failed or lost."""

    name: str
    what: str
    at_s: float
    detail: str


class _Processes:
    """Crowds as processes, and what they say."""

    def __init__(self, crowds: list[Crowd]) -> None:
        self._heard: SimpleQueue[Told] = SimpleQueue()
        self._children = [_started(crowd) for crowd in crowds]
        for child in self._children:
            threading.Thread(target=self._read, args=(child,), name="crowd", daemon=True).start()

    def close(self) -> None:
        """Their input ends, and they with it."""
        for child in self._children:
            assert child.stdin is not None
            child.stdin.close()
            child.wait(30)

    def _read(self, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                name, what, at_s, *detail = line.rstrip("\n").split(" ", 3)
                self._heard.put(Told(name, what, float(at_s), "".join(detail)))

    def until_up(self, count: int, timeout_s: float) -> list[Told]:
        """All that is told until so many are up that were not.

        Raises:
            RuntimeError: a process has ended.
        """
        deadline_s = time.monotonic() + timeout_s
        told: list[Told] = []
        up: set[str] = set()
        while len(up) < count and time.monotonic() < deadline_s:
            if any(child.poll() is not None for child in self._children):
                raise RuntimeError("a crowd has ended")
            try:
                told.append(self._heard.get(timeout=0.2))
            except Empty:
                continue
            if told[-1].what == "up":
                up.add(told[-1].name)
            elif told[-1].what == "lost":
                up.discard(told[-1].name)
        return told


def _started(crowd: Crowd) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-m", "rig.soak.crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(asdict(crowd)) + "\n")
    return child


@contextmanager
def _crowds(commune: Commune, nodes: int) -> Iterator[_Processes]:
    names = [f"hd-{number:04}" for number in range(nodes)]
    for name in names:
        commune.pole(name)
    parts = [names[number::PROCESSES] for number in range(PROCESSES)]
    processes = _Processes([Crowd(SITE, part, str(commune.ca.path), commune.poles, FIRST_S) for part in parts])
    try:
        yield processes
    finally:
        processes.close()


def run(folder: Path, *, nodes: int, down_s: tuple[float, ...], say: Said) -> list[Findings]:
    """Restart the broker once for each time in `down_s`, between its end and its start."""
    with ExitStack() as stack:
        commune = Commune(folder)
        stack.callback(commune.stop)
        commune.start()
        processes = stack.enter_context(_crowds(commune, nodes))
        first = processes.until_up(nodes, ALL_UP_WAIT_S)
        say(f"{sum(each.what == 'up' for each in first)} of {nodes} nodes are up")
        found = []
        for seconds in down_s:
            commune.stop()
            time.sleep(seconds)
            commune.start()
            listens_s = time.monotonic()
            told = processes.until_up(nodes, ALL_UP_WAIT_S)
            say(f"down for {seconds:g} s: {len(told)} things told")
            found.append(_findings(told, nodes, seconds, listens_s))
    return found


def _findings(told: list[Told], nodes: int, down_s: float, listens_s: float) -> Findings:
    found = Findings(f"fleet: {nodes} nodes, their broker down for {down_s:g} s")
    back_s = sorted({each.name: each.at_s - listens_s for each in told if each.what == "up"}.values())
    found.expect(len(back_s) == nodes, f"back: {len(back_s)} of {nodes}")
    refused = _failed(told, listens_s)
    reasons = dict(Counter(each.detail for each in refused))
    found.expect(not refused, f"refused once the broker listened: {len(refused)} (none) {reasons or ''}")
    found.tell(f"attempts while it did not: {sum(each.what == 'failed' for each in told) - len(refused)}")
    begun = _bins(each.at_s - listens_s for each in told if each.what == "begun")
    most = max(begun.values(), default=0)
    found.expect(
        most <= MOST_AT_ONCE * nodes, f"attempts begun in the same 100 ms: {most} at most ({MOST_AT_ONCE:.0%})"
    )
    if back_s:
        half_s, all_s = back_s[len(back_s) // 2], back_s[-1]
        found.expect(
            all_s <= BACK_WITHIN_S, f"half of them after {half_s:.1f} s, all after {all_s:.1f} s ({BACK_WITHIN_S:g})"
        )
        found.lines += _histogram(_bins(back_s))
    return found


def _failed(told: list[Told], since_s: float) -> list[Told]:
    """What failed of the attempts that were begun since then: a busy loop hears of an older one's end later."""
    begun_s: dict[str, float] = {}
    failed = []
    for each in told:
        if each.what == "begun":
            begun_s[each.name] = each.at_s
        elif each.what == "failed" and begun_s.get(each.name, 0.0) >= since_s:
            failed.append(each)
    return failed


def _bins(times_s: Iterable[float]) -> Counter[int]:
    """How many in each 100 ms; what came before the broker listened is left out."""
    return Counter(int(at_s / BIN_S) for at_s in times_s if at_s >= 0)


def _histogram(bins: Counter[int]) -> list[str]:
    rows = [[bins[10 * second + tenth] for tenth in range(10)] for second in range(max(bins, default=0) // 10 + 1)]
    told = [f"{second:3} s " + " ".join(f"{count:4}" for count in row) for second, row in enumerate(rows)]
    return ["up in each 100 ms, a second a line:", *told]
