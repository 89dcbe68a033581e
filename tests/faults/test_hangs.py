"""One thread of a real node stands still, as in a library, a driver or a disk that hangs: what follows.

ADR 26. A process that stands still as a whole is systemd's to end: tests/vm.
"""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.carried import PROGRESS_FILE
from agent.loop import LONGEST_WAIT_S, SILENT_S, STUCK_S
from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Relay, Source
from agent.messages.words import Kind
from rig.calm import Machine
from rig.ear import Ear
from rig.freezer import Frozen, thread_of
from rig.sound import PATIENCE_S, Daemon, boottime_s, wait_until
from rig.village import Node, Station
from rig.web import WebServer, never_answer

TONE = Source(builtin=Builtin(BuiltinName.TONE))
HUNG_LOOP_S = 2.0
CLOSING_S = 8.0
"""Longest that closing what hangs may take."""
serial = itertools.count()


@pytest.fixture
def node(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound) as node:
        yield node


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def order(station: Station, kind: Kind = Kind.NORMAL, source: Source = TONE, *, length_s: int = 60) -> str:
    play = Play(f"hang-{next(serial)}", kind, "title", (source,), length_s)
    station.send(station.sign(play, key=station.defence if kind is Kind.EMERGENCY else station.operator))
    return play.item


def sounding(station: Station, node: Node) -> str:
    """An item that has begun and goes on for a minute."""
    item = order(station)
    node.wait_for_line(f"item {item}: sounding")
    return item


def off_at_s(node: Node) -> float:
    """When the relay fell, waited for."""
    wait_until(lambda: not node.relay_on, what="the relay open", timeout_s=PATIENCE_S)
    return node.switched()[-1].at_s


def wait_for_text(file: Path, text: str) -> None:
    wait_until(lambda: file.exists() and text in file.read_text(), what=f"{text} in {file.name}")


def faults(ear: Ear) -> list[str]:
    return list(ear.heartbeats[-1].get("faults", [])) if ear.heartbeats else []


def test_a_loop_that_hangs_opens_the_relay_within_two_seconds(station: Station, node: Node, machine: Machine) -> None:
    sounding(station, node)
    with Frozen(thread_of(node.pid, "")):
        hung_s = boottime_s()
        assert machine.ours_s(hung_s, off_at_s(node)) <= HUNG_LOOP_S
    node.wait_for_line("exit 70: thread loop died")  # it goes on, and is not believed any more
    assert node.end() == 70


@pytest.mark.parametrize("thread", ["player", "card"])
def test_a_worker_that_hangs_takes_the_process_with_it_amplifier_first(
    station: Station, node: Node, machine: Machine, thread: str
) -> None:
    sounding(station, node)
    with Frozen(thread_of(node.pid, thread)):
        hung_s = boottime_s()
        order(station, Kind.EMERGENCY)
        told_s = node.wait_for_line(f"thread {thread} hangs since")
        assert machine.ours_s(hung_s, told_s) <= STUCK_S + 2 * LONGEST_WAIT_S
        fell_s = off_at_s(node)
        assert fell_s <= told_s or machine.ours_s(told_s, fell_s) <= 0.1
        wait_until(lambda: not node.running, what="the end", timeout_s=PATIENCE_S)
        assert machine.ours_s(told_s, boottime_s()) <= CLOSING_S + 1.0
    assert node.end() == 75


def test_a_disk_that_hangs_silences_no_emergency_and_is_told(station: Station, node: Node, ear: Ear) -> None:
    with Frozen(thread_of(node.pid, "store")):
        flood = order(station, Kind.EMERGENCY, length_s=2)
        node.wait_for_line(f"item {flood}: sounding")
        node.wait_for_line("disk: it has not answered for")
        ear.wait(lambda: faults(ear) == ["disk"], what="a heartbeat that says so")
        assert node.running
    node.wait_for_line("disk: it answers again")
    record = ear.record(flood)
    assert (record["result"], record["not_durable"]) == ("played", True)
    ear.wait(lambda: faults(ear) == [], what="a heartbeat that says that it is over")


def test_a_connection_that_hangs_is_left_behind_for_another(
    station: Station, node: Node, ear: Ear, machine: Machine
) -> None:
    since = len(node.log)
    with Frozen(thread_of(node.pid, "link-1")):
        hung_s = boottime_s()
        item = order(station, length_s=1)
        node.wait_for_line("thread link hangs since", since=since)
        up_s = node.wait_for_line("link up", since=since)
        assert machine.ours_s(hung_s, up_s) <= SILENT_S + 2 * LONGEST_WAIT_S + 5.0
        assert ear.record(item)["result"] == "played", "the broker brings it again"
    assert node.running


def test_what_makes_it_crash_twice_before_it_has_sounded_is_given_up(station: Station, node: Node, ear: Ear) -> None:
    """libVLC may die of a file before its first sample; here while its bytes are awaited."""
    progress = node.folder / "runtime" / PROGRESS_FILE
    with WebServer({"/live.mp3": never_answer}) as web:
        item = order(station, source=Source(relay=Relay(web.uri("/live.mp3"))))
        for crashes in range(2):
            wait_for_text(progress, f'"at_risk":true,"crashes":{crashes}')
            assert node.end(signal.SIGSEGV) == -signal.SIGSEGV
            assert "Fatal Python error: Segmentation fault" in node.log_text()
            node.start()
        record = ear.record(item)
    assert (record["result"], record["reason"], record["played_s"]) == ("failed", "crash", 0.0)
    assert ear.record(order(station, length_s=1))["result"] == "played", "and the node goes on"


def test_a_journal_that_reads_nothing_silences_nobody(station: Station, sound: Daemon) -> None:
    """It writes to the same SD card as everybody, and hangs with it."""
    node = Node(station, sound, name="mute")
    theirs, ours = socket.socketpair()
    with theirs, ours, station.listen() as ear:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        stream = os.fstat(ours.fileno())
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", str(node.config)],
            env={**sound.environment, "JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"},
            stderr=ours.fileno(),
        )
        try:
            ear.wait(lambda: any(each["online"] for each in ear.states if each["node"] == "mute"), what="the node")
            for number in range(3):
                order = station.sign(Play(f"mute-{number}", Kind.NORMAL, "title", (TONE,), 1), to="node:hoang-dao/mute")
                station.send(order, node="mute")
                assert ear.record(f"mute-{number}")["result"] == "played"
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0
        ours.close()
        read = b"".join(iter(lambda: theirs.recv(1 << 16), b"")).decode()
    assert "<6>" in read
    assert "mute-2" not in read, "its journal had stood still long before"
