"""Relays that cannot be switched, for a while or for good: no emergency is silenced by them (protocol section 7)."""

import pytest

from agent.core.amplifier import FAULT_REST_S, AmplifierSettings
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play, Repeat
from agent.messages.reasons import Reason
from agent.messages.rules import NO_RULES
from agent.messages.words import Kind
from tests.core.pole import TRUST, Behaviour, Pole, altered, make_pole, play, stop

INSTANT = AmplifierSettings(warm_up_ms=0)


def pole_with(*zones: str, **members: object) -> Pole:
    behaviour = Behaviour(sound_length_s=10.0, **members)  # type: ignore[arg-type]
    return make_pole(behaviour, TRUST, NO_RULES, 60, **dict.fromkeys(zones, INSTANT)).start().connect()


def told(pole: Pole) -> list[tuple[str, str, Reason | None]]:
    return [(each.item, each.result, each.reason) for each in pole.records]


def flood(**members: object) -> Play:
    return altered(play("flood", kind=Kind.EMERGENCY), **members)


def break_relay(pole: Pole, zone: str, times: int = 1) -> None:
    """It is busy now, and the next times that it is switched on."""
    pole.behaviour.broken[zone] = times
    pole.tell(ev.RelayFailed(zone, "line busy"))


def test_all_its_soundings_are_heard_though_a_relay_was_busy_once() -> None:
    pole = pole_with("main")
    pole.order(flood(repeat=Repeat(20, 0)))
    pole.run(5.0)
    break_relay(pole, "main", 0)
    pole.run(400.0)
    assert told(pole) == [("flood", "played", None)]
    assert pole.records[0].played_s == pytest.approx(200.0)
    first, second = pole.heard[:2]
    assert second.from_s == pytest.approx(first.until_s, abs=0.1), "where it was"
    assert second.at_s - (first.at_s + first.until_s) == pytest.approx(FAULT_REST_S + 0.5, abs=0.1), (
        "it rests, and then has its time off"
    )


def test_one_that_comes_soon_after_a_fault_waits_for_the_relay() -> None:
    pole = pole_with("main")
    pole.order(play("news"))
    pole.run(3.0)
    break_relay(pole, "main", 0)
    pole.run(2.0)
    pole.order(flood(repeat=Repeat(3, 0)))
    pole.run(100.0)
    assert told(pole) == [("news", "failed", Reason.AMPLIFIER_FAULT), ("flood", "played", None)]


def test_with_two_zones_it_sounds_where_it_can_and_in_both_from_the_next_sounding_on() -> None:
    pole = pole_with("hall", "street")
    break_relay(pole, "hall", 0)
    pole.run(1.0)
    ordered_s = pole.mono_s
    pole.order(flood(repeat=Repeat(3, 0)))
    pole.run(5.0)
    assert pole.on_card_since_s - ordered_s < 0.1
    assert [pole.state.amplifiers[zone].mode.value for zone in ("hall", "street")] == ["fault", "on"]
    pole.run(10.0)
    assert [pole.state.amplifiers[zone].mode.value for zone in ("hall", "street")] == ["on", "on"]
    pole.run(60.0)
    assert told(pole) == [("flood", "played", None)]


def test_a_zone_that_fails_amid_it_does_not_end_it_in_the_others() -> None:
    pole = pole_with("hall", "street")
    pole.order(flood())
    pole.run(5.0)
    break_relay(pole, "hall", 0)
    pole.run(60.0)
    assert told(pole) == [("flood", "played", None)]
    assert len(pole.heard) == 1


def test_what_is_no_emergency_ends_with_a_zone_of_its_own() -> None:
    pole = pole_with("hall", "street")
    pole.order(play("news"))
    pole.run(5.0)
    break_relay(pole, "hall", 0)
    pole.run(60.0)
    assert told(pole) == [("news", "failed", Reason.AMPLIFIER_FAULT)]


def test_a_relay_that_is_broken_for_good_lets_others_sound_in_their_zones() -> None:
    pole = pole_with("hall", "street")
    pole.behaviour.broken["hall"] = 10_000
    pole.order(flood(zones=("hall",), not_after=pole.wall_s + 3_000))
    pole.order(altered(play("news"), zones=("street",)))
    pole.run(2_900.0)
    assert told(pole) == [("news", "played", None)]
    switched = [effect for _, effect in pole.of(do.SwitchRelay) if isinstance(effect, do.SwitchRelay)]
    tried = sum(each.on for each in switched if each.zone == "hall")
    assert 5 <= tried <= 15, "again and again, but less and less"
    pole.run(200.0)
    assert told(pole)[1:] == [("flood", "failed", Reason.AMPLIFIER_FAULT)]


def test_it_can_be_stopped_while_it_waits_for_a_relay_and_while_it_falls_silent_for_one() -> None:
    for wait_s in (0.0, 5.0):
        pole = pole_with("main")
        pole.order(flood())
        pole.run(5.0)
        break_relay(pole, "main", 0)
        pole.run(wait_s)
        pole.order(stop("flood"))
        pole.run(60.0)
        assert told(pole) == [("flood", "stopped", Reason.STOPPED)]
        assert len(pole.heard) == 1


def test_a_fault_does_not_bring_back_what_was_stopped() -> None:
    pole = pole_with("main", silence_s=1.0)
    pole.order(flood(repeat=Repeat(5, 0)))
    pole.run(5.0)
    pole.order(stop("flood"))
    break_relay(pole, "main", 0)
    pole.run(60.0)
    assert told(pole) == [("flood", "stopped", Reason.STOPPED)]
