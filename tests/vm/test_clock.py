"""A machine that comes up with its clock in the past, as a Pi without a battery does, and has it set while it plays."""

import time
from collections.abc import Callable, Iterator

import pytest

from agent.messages.commands import Play, Time
from rig.ear import Ear
from rig.sound import Samples
from rig.village import Station
from rig.vm.guest import LONG_AGO, PATIENCE_S, Guest
from rig.vm.pole import REST, Pole
from tests.vm.hearing import assert_heard_whole

EMULATED_S = 600.0
"""How far apart two clocks may be of which one runs in an emulated machine and was read some waits ago."""


@pytest.fixture(scope="module")
def pole(guest: Guest) -> Iterator[Pole]:
    guest.boot(LONG_AGO)
    with Pole(guest) as pole:
        pole.wait_for_line("Started loa-agent")
        yield pole


def wall_s(pole: Pole) -> float:
    return float(pole.guest.run("date +%s"))


def nonce(ear: Ear) -> str:
    """The newest, waited for."""
    seen = len(ear.heartbeats)
    ear.wait(lambda: len(ear.heartbeats) > seen, what="a heartbeat", timeout_s=PATIENCE_S)
    found: str = ear.heartbeats[-1]["nonce"]
    return found


def test_nothing_sounds_before_the_time_is_known_and_what_waited_sounds_then(
    pole: Pole, station: Station, ear: Ear, order: Callable[[str], Play]
) -> None:
    assert wall_s(pole) < time.time() - EMULATED_S
    assert "clock: not trusted" in pole.status()
    play = station.sign(word := order("short"))
    station.send(play)
    pole.wait_for_line(f"command {play.jti} waits until the time is known")
    told = station.sign(Time(nonce=nonce(ear)))
    assert ear.of("command_outcome") == []
    for gpio in REST:
        assert [each.level for each in pole.levels(gpio)] == [REST[gpio]]
    station.send(told)
    for jti in (told.jti, play.jti):
        assert ear.outcome(jti, PATIENCE_S)["outcome"] == "accepted"
    record = ear.record(word.item, PATIENCE_S)
    assert record["result"] == "played"
    assert abs(record["started_at"] - time.time()) < EMULATED_S
    assert wall_s(pole) < time.time() - EMULATED_S, "the agent sets nobody's clock"
    for gpio in REST:
        on = pole.levels(gpio)[1]
        assert on.at_s > pole.wait_for_line("clock trusted: time command")


def test_the_time_is_still_known_after_a_restart_of_the_service(pole: Pole) -> None:
    pole.systemctl("restart")
    assert "clock: trusted (time command)" in pole.status()


@pytest.mark.parametrize("step", ["+1 day", "-400 days"])
def test_a_step_of_the_clock_while_it_sounds_is_neither_heard_nor_believed(
    station: Station, pole: Pole, ear: Ear, order: Callable[[str], Play], sweeps: dict[str, Samples], step: str
) -> None:
    play = order("short")
    with pole.listened_to() as recording:
        station.send(station.sign(play))
        pole.wait_for_line(f"item {play.item}: sounding")
        pole.guest.run(f"date --set='{step}'")
        record = ear.record(play.item, PATIENCE_S)
    assert record["result"] == "played"
    assert abs(record["started_at"] - time.time()) < EMULATED_S
    assert abs(record["ended_at"] - time.time()) < EMULATED_S
    assert_heard_whole(sweeps["short"], recording.samples)
