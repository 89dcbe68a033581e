"""What found no room in the outbox is told in one alarm, once somebody listens."""

from agent.core import outbox as box
from agent.core.outbox import SUMS_EVERY_S
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reports import Alarm
from agent.messages.sums import NO_SUMS, Sums
from agent.messages.words import LAST_SECOND
from tests.core.pole import Pole, make_pole

SUMS = Sums(
    played=800, stopped=5, failed=4, missed=3, played_s=34_210.4, amplifier_on_s=35_000.0, refusals=120, others=4,
    from_s=1_767_330_000.0, until_s=1_772_643_600.0, first_seq=12, last_seq=1_205,
)  # fmt: skip
MORE = Sums(refusals=7, first_seq=1_300, last_seq=1_310)


def alarms(pole: Pole) -> list[Alarm]:
    return [report for report in pole.reports if isinstance(report, Alarm)]


def forgotten(pole: Pole) -> list[Sums]:
    commits = [effect for _, effect in pole.of(do.Commit) if isinstance(effect, do.Commit)]
    return [write.told for commit in commits for write in commit.writes if isinstance(write, do.ForgetSums)]


def test_one_alarm_holds_every_number() -> None:
    assert box.alarm_of(SUMS) == Alarm(
        "reports_added_up",
        "812 play records 2026-01-02T05:00Z to 2026-03-04T17:00Z; 800 played, 5 stopped, 4 failed, 3 missed; "
        "34210 s of sound, amplifier on 35000 s; 120 refusals; 4 others; seq 12 to 1205",
        936,
    )
    assert box.alarm_of(MORE).detail == "7 refusals; seq 1300 to 1310"


def test_no_date_is_too_late_to_be_told() -> None:
    """A pole whose clock was told the end of the calendar must not crash at every start of what it then wrote."""
    last = box.alarm_of(Sums(played=1, from_s=LAST_SECOND + 10.0, until_s=1e15, first_seq=1, last_seq=1))
    assert "9999-12-" in last.detail


def test_it_waits_for_the_link_and_leaves_the_sums_as_it_enters_the_outbox() -> None:
    pole = make_pole().start()
    waiting = pole.state.outbox.waiting
    pole.tell(ev.ReportsAddedUp(3, SUMS))
    pole.run(60.0)
    assert alarms(pole) == []
    assert pole.state.outbox.waiting == waiting - 3
    pole.connect().run(1.0)
    assert alarms(pole) == [box.alarm_of(SUMS)]
    (commit,) = [
        effect
        for _, effect in pole.of(do.Commit)
        if isinstance(effect, do.Commit) and do.ForgetSums(SUMS) in effect.writes
    ]
    assert any(isinstance(write, do.AppendReport) for write in commit.writes), "in one transaction"


def test_it_is_told_once_an_hour_at_most_and_never_twice() -> None:
    pole = make_pole().start().connect()
    pole.tell(ev.ReportsAddedUp(3, SUMS))
    pole.tell(ev.ReportsAddedUp(0, NO_SUMS))  # the store has forgotten what was told
    pole.tell(ev.ReportsAddedUp(7, MORE))
    pole.run(SUMS_EVERY_S - 1.0)
    assert forgotten(pole) == [SUMS]
    pole.run(120.0)
    assert forgotten(pole) == [SUMS, MORE]


def test_while_the_disk_does_not_take_it_no_second_one_is_made() -> None:
    pole = make_pole().start().connect()
    pole.behaviour.commit_s = None
    pole.tell(ev.ReportsAddedUp(3, SUMS))
    both = Sums(refusals=SUMS.refusals + 7, first_seq=12, last_seq=1_310)
    pole.tell(ev.ReportsAddedUp(7, both))
    pole.run(2 * SUMS_EVERY_S)
    assert forgotten(pole) == [SUMS]


def test_what_a_life_before_had_not_told_is_told_by_this_one() -> None:
    pole = make_pole()
    pole.stored.sums = SUMS
    pole.start().connect().run(1.0)
    assert alarms(pole) == [box.alarm_of(SUMS)]
    assert pole.stored.sums == NO_SUMS
