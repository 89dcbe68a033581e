"""Counting what was refused, and the one alarm that sums up a flood."""

from agent.core.refusals import ALARM_EVERY_S, ALARM_FROM, Refusals, counted, take_alarm
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm
from tests.core.pole import Pole, make_pole, play


def forged(pole: Pole, times: int, reason: Reason = Reason.BAD_SIGNATURE) -> None:
    for _ in range(times):
        pole.tell(ev.CommandRefused(ev.Delivery(1, 9_000), reason, "because", False, "", ""))


def alarms(pole: Pole) -> list[Alarm]:
    return [report for report in pole.reports if isinstance(report, Alarm)]


def test_a_flood_costs_no_transaction_and_one_alarm_rides_on_the_next() -> None:
    pole = make_pole().start().connect()
    before = len(pole.of(do.Commit))
    forged(pole, 900)
    forged(pole, 100, Reason.UNKNOWN_KEY)
    pole.run(120.0)
    assert len(pole.of(do.Commit)) == before
    assert alarms(pole) == []
    pole.order(play())
    pole.run(20.0)
    assert alarms(pole) == [Alarm("unproven_commands", "bad_signature 900, unknown_key 100", 1_000)]


def test_without_any_order_it_is_told_within_the_hour() -> None:
    pole = make_pole().start().connect()
    forged(pole, 50)
    pole.run(3_700.0)
    assert [alarm.count for alarm in alarms(pole)] == [50]


def test_at_most_one_a_minute_and_none_is_lost_from_the_count() -> None:
    pole = make_pole().start().connect()
    for number in range(10):
        forged(pole, 20)
        pole.order(play(f"item-{number}"))
        pole.run(6.5)
    pole.run(ALARM_EVERY_S)
    pole.order(play("last"))
    pole.run(20.0)
    assert len(alarms(pole)) <= 3
    assert sum(alarm.count for alarm in alarms(pole)) == 200


def test_a_slip_is_no_alarm_and_neither_is_what_is_reported_anyway() -> None:
    refusals = Refusals()
    for _ in range(ALARM_FROM - 1):
        refusals = counted(refusals, Reason.BAD_SIGNATURE)
    for _ in range(100):
        refusals = counted(refusals, Reason.NOT_PERMITTED)
    assert take_alarm(refusals, 0.0) == (refusals, None)
    assert refusals.counts == {"bad_signature": ALARM_FROM - 1, "not_permitted": 100}


def test_an_alarm_that_could_not_be_stored_takes_nothing_with_it() -> None:
    pole = make_pole().start().connect()
    forged(pole, 50)
    pole.behaviour.commits_fail = True
    pole.order(play("lost"))
    pole.run(2.0)
    pole.behaviour.commits_fail = False
    pole.run(10.0)
    pole.connect()
    pole.order(play("kept"))
    pole.run(30.0)
    assert [record.item for record in pole.records if record.result == "played"] == ["kept"]
    assert pole.stored.outbox == sorted(set(pole.stored.outbox)), "no number is given twice"
    assert alarms(pole) == [], "one a minute"
    forged(pole, 5)
    forged(pole, 7, Reason.UNKNOWN_KEY)
    pole.run(ALARM_EVERY_S)
    pole.order(play("later"))
    pole.run(1.0)
    assert alarms(pole) == [Alarm("unproven_commands", "bad_signature 55, unknown_key 7", 62)], "and it comes back"
