"""A wall clock that leaps while something sounds, and one that begins in 1970: what is believed, what sounds."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.carried import CLOCK_FILE, PROGRESS_FILE
from agent.messages.commands import Time
from agent.messages.words import Kind
from rig.ear import Ear
from rig.sound import Daemon, wait_until
from rig.village import Node, Station
from rig.wall_clock import UNSYNCHRONISED, WallClock
from tests.faults.account import PLAYED, REFUSED, Account, Fate

TEN_YEARS_S = 10 * 31_556_952
HOUR_S = 3_600
LENGTH_S = 6
NEVER_BEGUN = Fate(results=("missed",), begun=0)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """One for each test: what a pole has believed of the time stays in its store."""
    with Station(tmp_path / "station") as station:
        yield station


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def untold(station: Station, sound: Daemon, wall_clock: WallClock) -> Node:
    """A pole that no time server reaches; not started yet."""
    changes = {"clock": {"trust": "kernel"}, "heartbeat_s": 1}
    return Node(station, sound, changes=changes, environment=wall_clock.environment, prefix=UNSYNCHRONISED)


@pytest.fixture
def vouched(station: Station, sound: Daemon, wall_clock: WallClock) -> Node:
    """A pole whose configuration says that its clock is right; not started yet."""
    return Node(station, sound, environment=wall_clock.environment)


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with request.getfixturevalue(request.param) as node:
        yield node


def tell_the_time(station: Station, node: Node, ear: Ear) -> None:
    """By a signed `time` that answers what the pole says."""
    since, heard = len(node.log), len(ear.heartbeats)
    ear.wait(lambda: len(ear.heartbeats) > heard, what="a heartbeat with a nonce")
    station.send(station.sign(Time(ear.heartbeats[-1]["nonce"])))
    node.wait_for_line("clock trusted: time command", since=since)


@pytest.mark.parametrize("node", ["untold"], indirect=True)
@pytest.mark.parametrize("ahead_s", [TEN_YEARS_S, -HOUR_S], ids=["ten years on", "an hour back"])
def test_a_leap_that_nothing_proves_changes_nothing(
    station: Station, node: Node, ear: Ear, account: Account, wall_clock: WallClock, ahead_s: int
) -> None:
    tell_the_time(station, node, ear)
    given_at = time.time()
    first = account.order(Kind.EMERGENCY, max_duration_s=LENGTH_S)
    node.wait_for_line(f"item {first}: sounding")
    late = account.order(Kind.EMERGENCY, not_after=int(time.time()) + LENGTH_S // 2)
    waiting = account.order(Kind.EMERGENCY)
    for item in (late, waiting):
        ear.outcome(account.orders[item].jti)
    wall_clock.set(ahead_s)
    assert account.settled() == {first: PLAYED, late: NEVER_BEGUN, waiting: PLAYED}
    record = ear.record(first)
    assert record["played_s"] == LENGTH_S
    assert given_at - 1 <= record["started_at"] < record["ended_at"] - LENGTH_S + 0.1 <= time.time() - LENGTH_S + 0.1


@pytest.mark.parametrize("node", ["vouched"], indirect=True)
def test_a_leap_ahead_that_the_configuration_vouches_for_ends_what_is_too_old(
    node: Node, ear: Ear, account: Account, wall_clock: WallClock
) -> None:
    sounding, waiting = leap(account, node, wall_clock, TEN_YEARS_S)
    account.wait_told([sounding, waiting])
    wall_clock.set(0)
    assert account.settled() == {sounding: Fate(results=("stopped",)), waiting: NEVER_BEGUN}
    assert [ear.record(item)["reason"] for item in (sounding, waiting)] == ["not_after", "not_after"]


@pytest.mark.parametrize("node", ["vouched"], indirect=True)
def test_a_leap_back_that_the_configuration_vouches_for_goes_on_with_what_sounds(
    node: Node, ear: Ear, account: Account, wall_clock: WallClock
) -> None:
    sounding, waiting = leap(account, node, wall_clock, -HOUR_S)
    account.wait_told([sounding, waiting])
    wall_clock.set(0)
    assert account.settled() == {sounding: PLAYED, waiting: PLAYED}
    assert ear.record(sounding)["played_s"] == LENGTH_S


def leap(account: Account, node: Node, wall_clock: WallClock, ahead_s: int) -> tuple[str, str]:
    """While one emergency sounds and one waits."""
    sounding = account.order(Kind.EMERGENCY, max_duration_s=LENGTH_S)
    node.wait_for_line(f"item {sounding}: sounding")
    waiting = account.order(Kind.EMERGENCY)
    account.ear.outcome(account.orders[waiting].jti)
    wall_clock.set(ahead_s)
    return sounding, waiting


@pytest.mark.parametrize("node", ["untold"], indirect=True)
def test_a_pole_that_boots_in_1970_sounds_no_emergency_that_is_over(
    station: Station, node: Node, ear: Ear, account: Account, wall_clock: WallClock
) -> None:
    """Neither one that it had stored before the power cut, nor one that waited at the broker."""
    tell_the_time(station, node, ear)
    over_at = int(time.time()) + 8
    stored = account.order(Kind.EMERGENCY, start_at=over_at - 2, not_after=over_at)
    ear.outcome(account.orders[stored].jti)
    node.end()
    for name in (CLOCK_FILE, PROGRESS_FILE):
        (node.folder / "runtime" / name).unlink(missing_ok=True)
    queued = account.order(Kind.EMERGENCY, not_after=over_at)
    wall_clock.set(-int(time.time()) + 10)
    node.start()
    wait_until(lambda: time.time() > over_at, what="the end of what had been ordered")
    assert not node.relay_on
    tell_the_time(station, node, ear)
    assert account.settled() == {stored: NEVER_BEGUN, queued: REFUSED}
    wait_until(lambda: not node.relay_on, what="the end of the last order")
    assert len(node.switched()) == 2, "for that one alone"
