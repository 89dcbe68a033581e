"""The service on a machine with a real kernel: its relays from power on to every way out, and its sound through ALSA.

States and orders only: the machine is emulated, and keeps no time.
"""

from collections.abc import Callable, Iterator

import pytest

from agent.messages.commands import Play, Stop
from rig.ear import Ear
from rig.sound import Samples
from rig.village import Station
from rig.vm.guest import PATIENCE_S, Guest
from rig.vm.pole import REST, Level, Pole
from tests.vm.hearing import assert_heard_whole

LINES = tuple(REST)


@pytest.fixture(scope="module")
def pole(guest: Guest) -> Iterator[Pole]:
    """A machine that was switched on, with nobody there; the agent starts with it, and a time server sets its clock."""
    guest.boot()
    with Pole(guest) as pole:
        pole.wait_for_line("Started loa-agent")
        pole.synchronise()
        pole.wait_for_line("clock trusted")
        yield pole


@pytest.fixture(autouse=True)
def nothing_goes_on(station: Station, pole: Pole, ear: Ear) -> Iterator[None]:
    """What a test leaves playing is stopped, and the relays have opened."""
    yield
    pole.systemctl("start")
    stop = station.sign(Stop(reason="end of test", all=True))
    station.send(stop)
    assert ear.outcome(stop.jti, PATIENCE_S)["outcome"] == "accepted"
    pole.wait(lambda: pole.relays_open, what="relays open")


def words(gpio: int, levels: list[Level]) -> list[str]:
    """`off` and `on`."""
    return ["off" if each.level == REST[gpio] else "on" for each in levels]


def playing(station: Station, pole: Pole, play: Play) -> float:
    """Order it and wait until it sounds; when it began to."""
    station.send(station.sign(play))
    return pole.wait_for_line(f"item {play.item}: sounding")


def test_from_power_on_to_ready_no_relay_moves(pole: Pole) -> None:
    for gpio in LINES:
        assert words(gpio, pole.levels(gpio)) == ["off"]
        assert words(gpio, pole.written(gpio)) == ["off"], "claimed at rest, in one act"


def test_no_relay_moves_when_the_agent_ends_and_starts_again(pole: Pole) -> None:
    """Seen by one who looks all the time, and by the kernel, which sees every level that is written."""
    since_s = pole.now_s()
    with pole.stared_at() as stared:
        pole.systemctl("restart")
    for gpio in LINES:
        assert words(gpio, stared[gpio]) == ["off"]
        assert set(words(gpio, pole.written(gpio, since_s))) == {"off"}


def test_a_signed_broadcast_is_heard_whole_between_relays_that_close_before_it_and_linger_after_it(
    station: Station, pole: Pole, ear: Ear, order: Callable[[str], Play], sweeps: dict[str, Samples]
) -> None:
    since_s, play = pole.now_s(), order("short")
    with pole.listened_to() as recording:
        began_s = playing(station, pole, play)
        record = ear.record(play.item, PATIENCE_S)
    assert record["result"] == "played"
    assert_heard_whole(sweeps["short"], recording.samples)
    pole.wait(lambda: pole.relays_open, what="relays open")
    ended_s = pole.wait_for_line(f"item {play.item}: played")
    lingers_s = pole.wait_for_line("amplifier main: linger", since_s)
    for gpio in LINES:
        on, off = pole.levels(gpio, since_s)
        assert (on.level, off.level) == (1 - REST[gpio], REST[gpio])
        assert on.at_s < began_s < ended_s < lingers_s < off.at_s


def test_stopping_the_service_opens_the_relays_at_once(
    station: Station, pole: Pole, order: Callable[[str], Play]
) -> None:
    playing(station, pole, order("long"))
    since_s = pole.now_s()
    pole.systemctl("stop")
    assert pole.shown("Result") == "success"
    ended_s = pole.wait_for_line("Deactivated successfully", since_s)
    for gpio in LINES:
        assert set(words(gpio, pole.written(gpio, since_s))) == {"off"}
        (off,) = pole.levels(gpio, since_s)
        assert off.level == REST[gpio]
        assert off.at_s < ended_s


@pytest.mark.parametrize(
    ("signal", "told"), [("KILL", "status=9/KILL"), ("STOP", "Watchdog timeout")], ids=["killed", "stopped"]
)
def test_a_process_that_cannot_open_the_relays_itself_has_them_opened(
    station: Station, pole: Pole, order: Callable[[str], Play], signal: str, told: str
) -> None:
    """By ExecStopPost, on lines that stay as they were when their process dies: a Pi's kernel leaves them so."""
    playing(station, pole, order("long"))
    pole.pull_against()
    since_s = pole.now_s()
    pole.kill(signal)
    pole.wait_for_line(told, since_s)
    again_s = pole.wait_for_line("Starting loa-agent", since_s)
    pole.wait_for_line("Started loa-agent", again_s)
    for gpio in LINES:
        off = pole.levels(gpio, since_s)[0]
        assert off.level == REST[gpio]
        assert off.at_s < again_s


def test_what_was_interrupted_sounds_on_after_the_service_has_come_back(
    station: Station, pole: Pole, ear: Ear, order: Callable[[str], Play]
) -> None:
    play = order("long")
    playing(station, pole, play)
    since_s = pole.now_s()
    pole.kill("KILL")
    pole.wait_for_line("interrupted, to be resumed", since_s)
    assert ear.record(play.item, PATIENCE_S)["result"] == "played"
    records = [each for each in ear.of("play_record") if each["item"] == play.item]
    assert len(records) == 1
    pole.wait(lambda: pole.relays_open, what="relays open")
    for gpio in LINES:
        assert words(gpio, pole.levels(gpio, since_s)) == ["off", "on", "off"]
