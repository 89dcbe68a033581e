"""A sound card that is not there, goes, comes back, or hangs: what waits for it, for how long, and what is told."""

import pytest

from agent.core.card import PATIENCE_S, TELL_AFTER_S, TELL_EVERY_S
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import decode
from agent.messages.condition import Condition
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm
from agent.messages.words import Kind
from tests.core.pole import FILE, OTHER_FILE, RELAY, Behaviour, Pole, altered, make_pole, play, stop

GONE = "plughw:CARD=USB: there is no such card"


def unplug(pole: Pole) -> None:
    """The adapter says so, and gives back what sounds."""
    pole.behaviour.card_s = None
    pole.tell(ev.CardFailed(GONE))
    pole.lose_the_card()


def plug(pole: Pole) -> None:
    pole.behaviour.card_s = 0.02
    pole.tell(ev.CardOpened())


def told(pole: Pole) -> list[tuple[str, str, Reason | None]]:
    return [(each.item, each.result, each.reason) for each in pole.records]


def alarms(pole: Pole) -> list[Alarm]:
    return [each for each in pole.reports if isinstance(each, Alarm)]


def faults(pole: Pole) -> str:
    pole.tell(ev.Asked(1, "status"))
    answer = [it.text for _, it in pole.of(do.Answer) if isinstance(it, do.Answer)][-1]
    return decode(answer, Condition).card_fault or "ok"


def test_a_card_that_is_missing_at_the_start_is_known_before_it_is_needed() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.tell(ev.CardFailed(GONE))
    pole.run(TELL_AFTER_S + 0.1)
    assert faults(pole) == GONE
    assert alarms(pole) == [Alarm("sound_card", GONE, 1)]
    plug(pole)
    pole.run(1.0)
    assert faults(pole) == "ok"
    assert [type(it) for _, it in pole.of(do.OpenCard, do.CloseCard)] == [do.OpenCard, do.CloseCard]
    assert pole.relay() == []


def test_a_card_that_is_a_little_late_is_no_alarm() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.tell(ev.CardFailed(GONE))
    pole.run(TELL_AFTER_S - 0.1)
    plug(pole)
    pole.run(100.0)
    assert alarms(pole) == []


@pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY])
def test_what_sounded_goes_on_where_it_was_once_the_card_is_back(kind: Kind) -> None:
    pole = make_pole(Behaviour(sound_length_s=20.0)).start().connect()
    pole.order(play("news", kind=kind))
    pole.run(6.0)
    since_s = pole.mono_s
    unplug(pole)
    pole.run(0.1)
    assert not pole.amplifier_on, "what comes back is not amplified"
    pole.run(30.0)
    assert told(pole) == []
    plug(pole)
    pole.run(30.0)
    assert told(pole) == [("news", "played", None)]
    first, second = pole.heard
    assert (first.from_s, second.until_s) == (0.0, 20.0)
    assert second.from_s == pytest.approx(first.until_s, abs=0.01)
    assert second.at_s >= since_s + 30.0
    assert pole.records[0].played_s == pytest.approx(20.0)


def test_what_waits_for_the_card_takes_nothing_of_the_network_and_closes_no_relay() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.tell(ev.CardFailed(GONE))
    for number in range(3):
        pole.order(play(f"radio-{number}", RELAY))
    pole.run(30.0)
    assert pole.of(do.OpenStream, do.Decode) == []
    assert pole.relay() == []
    plug(pole)
    pole.run(30.0)
    assert [item for item, _, _ in told(pole)] == ["radio-0", "radio-1", "radio-2"], "in their order"


def test_all_but_an_emergency_wait_for_a_minute_each() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.order(altered(play("flood", kind=Kind.EMERGENCY), not_after=pole.wall_s + 3_000))
    pole.order(play("news"))
    pole.tell(ev.CardFailed(GONE))
    pole.run(30.0)
    pole.order(play("later"))
    pole.run(PATIENCE_S - 30.1)
    assert told(pole) == []
    pole.run(0.2)
    assert told(pole) == [("news", "failed", Reason.SOUND_CARD)]
    assert pole.records[0].detail == GONE
    pole.run(30.0)
    assert told(pole)[1:] == [("later", "failed", Reason.SOUND_CARD)]
    pole.run(1_000.0)
    assert len(pole.records) == 2
    plug(pole)
    pole.run(30.0)
    assert told(pole)[2:] == [("flood", "played", None)]


def test_an_emergency_waits_no_longer_than_its_window() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.tell(ev.CardFailed(GONE))
    pole.order(altered(play("flood", kind=Kind.EMERGENCY), not_after=pole.wall_s + 300))
    pole.run(400.0)
    assert told(pole) == [("flood", "failed", Reason.SOUND_CARD)]
    assert GONE in str(pole.records[0].detail)


def test_what_waits_for_the_card_can_be_stopped() -> None:
    pole = make_pole(Behaviour(sound_length_s=20.0)).start().connect()
    pole.order(play("news"))
    pole.run(5.0)
    unplug(pole)
    pole.order(stop("news"))
    pole.run(1.0)
    plug(pole)
    pole.run(30.0)
    assert told(pole) == [("news", "stopped", Reason.STOPPED)]
    assert len(pole.heard) == 1


def test_a_start_on_an_instant_is_joined_late() -> None:
    pole = make_pole(Behaviour(sound_length_s=50.0, card_s=None)).start().connect()
    pole.tell(ev.CardFailed(GONE))
    start_s = pole.mono_s + 20.0
    pole.order(altered(play("news"), start_at=pole.wall_s + 20))
    pole.run(40.0)
    plug(pole)
    pole.run(100.0)
    (heard,) = pole.heard
    assert heard.from_s == pytest.approx(heard.at_s - start_s, abs=0.05), "where the other poles are"
    assert told(pole) == [("news", "played", None)]


def test_a_plug_that_is_loose_is_told_every_ten_minutes_with_its_count() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    for _ in range(60):
        pole.tell(ev.CardFailed(GONE))
        pole.run(10.0)
        pole.tell(ev.CardOpened())
        pole.run(1.0)
        pole.order(play(f"item-{pole.mono_s:.0f}"))
        pole.run(9.0)
    counts = [alarm.count for alarm in alarms(pole)]
    assert len(counts) == round(60 * 20.0 / TELL_EVERY_S)
    assert counts[0] == 1
    assert counts[1] == 30


def test_news_of_a_card_that_is_not_wanted_any_more_is_none() -> None:
    pole = make_pole().start().connect()
    pole.run(1.0)
    pole.tell(ev.CardFailed(GONE))
    pole.run(10.0)
    assert (faults(pole), alarms(pole)) == ("ok", [])


def test_one_that_hangs_while_it_sounds_ends_the_item_and_opens_the_relay() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0, card_hangs=True, silence_s=None)).start().connect()
    pole.order(play("a", FILE, OTHER_FILE, max_duration_s=600))
    pole.run(2.0)
    assert pole.amplifier_on
    pole.behaviour.card_s = None
    pole.run(8.0)
    assert not pole.amplifier_on
    assert told(pole) == [("a", "failed", Reason.SOUND_CARD)]
    pole.order(play("b"))
    pole.run(PATIENCE_S + 1.0)
    assert told(pole)[1:] == [("b", "failed", Reason.SOUND_CARD)]
    assert [on for _, on in pole.relay()] == [True, False], "no relay closes on a card that hangs"


def test_an_emergency_has_a_second_try_at_one_that_hangs_and_no_third() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0, card_hangs=True, silence_s=None)).start().connect()
    pole.order(play("flood", kind=Kind.EMERGENCY, max_duration_s=600))
    pole.run(60.0)
    assert len(pole.of(do.Sound)) == 2
    assert told(pole) == [("flood", "failed", Reason.SOUND_CARD)]
    assert not pole.amplifier_on


def test_a_crash_while_it_waits_for_the_card_is_not_its_doing() -> None:
    pole = make_pole(Behaviour(sound_length_s=20.0)).start().connect()
    pole.order(play("news"))
    pole.run(5.0)
    unplug(pole)
    pole.run(1.0)
    assert [each.at_risk for each in pole.progress.begun] == [False]
    pole.behaviour.card_s = 0.02
    again = pole.after_crash()
    again.run(30.0)
    assert told(again) == [("news", "played", None)]
