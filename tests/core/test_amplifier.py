"""The amplifier's table, whole."""

import pytest

from agent.core.amplifier import (
    ENERGISED,
    TABLE,
    Amplifier,
    AmplifierSettings,
    Cue,
    IllegalCueError,
    Mode,
    Switch,
    deadline,
    due,
    energised_s,
    is_resting,
    take,
    takes,
)

SETTINGS = AmplifierSettings(warm_up_ms=800, linger_ms=3_000, max_on_s=60, min_off_ms=500)


def test_table_switches_the_relay_exactly_when_it_enters_or_leaves_the_energised_modes() -> None:
    for (mode, cue), (after, switch) in TABLE.items():
        entering = mode not in ENERGISED and after in ENERGISED
        leaving = mode in ENERGISED and after not in ENERGISED
        if entering:
            assert switch is Switch.ON, (mode, cue)
        elif leaving:
            assert switch is Switch.OFF, (mode, cue)
        else:
            assert switch is not Switch.ON, (mode, cue)


def test_only_a_wish_in_off_closes_the_relay() -> None:
    assert [key for key, (_, switch) in TABLE.items() if switch is Switch.ON] == [(Mode.OFF, Cue.WANTED)]


def test_every_mode_but_fault_and_off_can_be_cut_and_reaches_its_maximum() -> None:
    for mode in ENERGISED:
        assert TABLE[mode, Cue.CUT] == (Mode.OFF, Switch.OFF)
        assert TABLE[mode, Cue.MAX_ON] == (Mode.OFF, Switch.OFF)


def test_any_mode_can_fail() -> None:
    assert all(TABLE[mode, Cue.FAILED][0] is Mode.FAULT for mode in Mode)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("cue", Cue)
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(mode: Mode, cue: Cue) -> None:
    amplifier = Amplifier(mode, 5.0, 5.0 if mode in ENERGISED else None)
    assert takes(amplifier, cue) == ((mode, cue) in TABLE)
    if (mode, cue) not in TABLE:
        with pytest.raises(IllegalCueError, match=str(mode)):
            take(amplifier, cue, 6.0)


def test_one_broadcast_passes_through_all_modes_and_is_counted() -> None:
    amplifier, switch = take(Amplifier(), Cue.WANTED, 10.0)
    assert (amplifier.mode, switch) == (Mode.WARMING, Switch.ON)
    assert due(amplifier, SETTINGS, 10.79) is None
    assert due(amplifier, SETTINGS, 10.8) is Cue.WARMED_UP
    amplifier, switch = take(amplifier, Cue.WARMED_UP, 10.8)
    assert (amplifier.mode, switch, amplifier.on_since_s) == (Mode.ON, Switch.KEEP, 10.0)
    amplifier, _ = take(amplifier, Cue.RELEASED, 20.0)
    assert (amplifier.mode, deadline(amplifier, SETTINGS, 20.0)) == (Mode.LINGER, 23.0)
    amplifier, switch = take(amplifier, Cue.LINGERED, 23.0)
    assert (amplifier.mode, switch, amplifier.cycles, amplifier.on_total_s) == (Mode.OFF, Switch.OFF, 1, 13.0)
    assert energised_s(amplifier, 99.0) == 13.0


def test_maximum_on_comes_before_any_other_timer() -> None:
    amplifier = Amplifier(Mode.LINGER, since_s=57.5, on_since_s=0.0)
    assert due(amplifier, SETTINGS, 60.5) is Cue.MAX_ON
    assert energised_s(amplifier, 60.0) == 60.0


def test_after_off_it_rests_the_minimum_time() -> None:
    amplifier = Amplifier(Mode.OFF, since_s=10.0)
    assert is_resting(amplifier, SETTINGS, 10.4)
    assert deadline(amplifier, SETTINGS, 10.4) == 10.5
    assert not is_resting(amplifier, SETTINGS, 10.5)
    assert deadline(amplifier, SETTINGS, 10.5) is None


def test_a_fault_rests_and_recovers() -> None:
    amplifier, switch = take(Amplifier(Mode.ON, 0.0, 0.0), Cue.FAILED, 5.0)
    assert (amplifier.mode, switch) == (Mode.FAULT, Switch.OFF)
    assert is_resting(amplifier, SETTINGS, 5.0)
    assert due(amplifier, SETTINGS, 15.0) is Cue.RESTED
    assert take(amplifier, Cue.RESTED, 15.0)[0].mode is Mode.OFF
