"""Start to ready, and what the node costs at rest after one play."""

import os
import subprocess
import sys
import time
from pathlib import Path

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.soak.surroundings import in_memory
from rig.sound import Daemon, boottime_s
from rig.village import Node, Station

STARTS = 5
REST_S = 60.0
WRITTEN_PLAYS = 20
BETWEEN_S = 1.0
"""A pole's items come alone: what waits is stored with what comes, and one transaction for many is cheap."""
LIBRARIES = """
import gpiozero, msgspec, paho.mqtt.client, urllib3, vlc, yaml
import cryptography.hazmat.primitives.asymmetric.ed25519
"""
Span = tuple[float, float]
SLEEPER = "import time\nwhile True: time.sleep(2)"


def start_to_ready(station: Station, sound: Daemon, machine: Machine) -> None:
    """Print how long a start takes, from exec to READY (budget 1.0 s)."""
    ready: list[Span] = []
    imported: list[Span] = []
    node = Node(station, sound)
    for _ in range(STARTS + 1):
        since = len(node.log)
        began_s = boottime_s()
        node.start(wait=False)
        ready.append((began_s, node.wait_for_line("ready", since=since)))
        node.end()
        began_s = boottime_s()
        subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
        imported.append((began_s, boottime_s()))
    print(f"\nstart to ready, {STARTS} starts (budget 1.0 s)")
    for name, spans in (("node", ready[1:]), ("its libraries' imports alone", imported[1:])):  # the first compiles
        clock_s = sorted(end_s - start_s for start_s, end_s in spans)
        share_s = sorted(machine.ours_s(*span) for span in spans)
        print(f"  {name:<30} {_spread(clock_s)}; without the machine's stalls {_spread(share_s)}")


def _spread(took_s: list[float]) -> str:
    return f"min {took_s[0]:.2f} s, median {took_s[len(took_s) // 2]:.2f} s"


def at_rest(station: Station, sound: Daemon, _machine: Machine, *, rest_s: float = REST_S) -> None:
    """Print memory, processor and disk of an idle node after one play, beside a bare Python that wakes every 2 s."""
    with Node(station, sound, changes={"heartbeat_s": 60}) as node, station.listen() as ear:
        play = Play("warm", Kind.NORMAL, "warm", (Source(builtin=Builtin(BuiltinName.CHIME)),), 5)
        station.send(station.sign(play))
        ear.record("warm")
        time.sleep(3.0)
        with subprocess.Popen([sys.executable, "-c", SLEEPER]) as sleeper:
            pids = (node.pid, sleeper.pid)
            time.sleep(3.0)
            before = [(cpu_s(pid), _wakes(pid)) for pid in pids]
            before_bytes = written_bytes(node.pid)
            time.sleep(rest_s)
            after = [(cpu_s(pid), _wakes(pid)) for pid in pids]
            sleeper.kill()
        written = written_bytes(node.pid) - before_bytes
        memory = memory_mib(node.pid)
    print(f"\nidle for {rest_s:.0f} s after one play")
    print(f"  RssAnon {memory['RssAnon']:.1f} (34), PSS {memory['Pss']:.1f} (52), RSS {memory['Rss']:.1f} MiB (75)")
    print(f"  {written} bytes written to disk (0)")
    for name, (cpu_0, wakes_0), (cpu_1, wakes_1) in zip(("node", "bare Python"), before, after, strict=True):
        share, wakes_per_s = (cpu_1 - cpu_0) / rest_s * 100, (wakes_1 - wakes_0) / rest_s
        print(f"  {name:<12} {share:.2f} % of a core (budget of a node: 0.2), {wakes_per_s:.2f} wakes a second")


def written_an_item(station: Station, sound: Daemon, _machine: Machine) -> None:
    """Print what an order and its play cause to be written to disk. What a pole has in memory is in memory here."""
    chime = (Source(builtin=Builtin(BuiltinName.CHIME)),)
    with (
        in_memory() as settings,
        Node(station, sound, changes=settings) as node,
        station.listen() as ear,
    ):
        written: list[int] = []
        for number in range(WRITTEN_PLAYS + 1):
            before = written_bytes(node.pid)
            station.send(station.sign(Play(f"written-{number}", Kind.NORMAL, "title", chime, 1)))
            ear.record(f"written-{number}")
            time.sleep(BETWEEN_S)
            written.append(written_bytes(node.pid) - before)
    each = sorted(written[1:])
    print(f"\none played item, {WRITTEN_PLAYS} of them, {BETWEEN_S:g} s between")
    print(f"  {sum(each) / len(each) / 1_024:.1f} KiB written to disk for its order, outcome and record", end="")
    print(f"; {each[0] / 1_024:.0f} at least, {each[-1] / 1_024:.0f} at most")


def cpu_s(pid: int) -> float:
    """Processor time that the process has used, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wakes(pid: int) -> int:
    """How often any of its threads had slept: what idling costs on any machine, however slow."""
    wakes = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        line = next(each for each in status.read_text(encoding="ascii").splitlines() if each.startswith("voluntary"))
        wakes += int(line.split()[1])
    return wakes


def written_bytes(pid: int) -> int:
    """What the process has caused to be written to disk, so far."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes")))


def memory_mib(pid: int) -> dict[str, float]:
    """RssAnon, Pss and Rss in MiB (proc(5))."""
    found: dict[str, float] = {}
    for name in ("status", "smaps_rollup"):
        for line in Path(f"/proc/{pid}/{name}").read_text(encoding="ascii").splitlines():
            key, _, rest = line.partition(":")
            if key in {"RssAnon", "Pss", "Rss"}:
                found[key] = int(rest.split()[0]) / 1_024
    return found
