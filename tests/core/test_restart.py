"""`restart` and `self_test`: stored first, obeyed once, and never a way to silence an emergency or to make a sound."""

import pytest

from agent.core.amplifier import Mode
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Restart, SelfTest
from agent.messages.reasons import Reason
from agent.messages.reports import Status
from agent.messages.words import Kind
from agent.verification.permission import permissions_for
from tests.core.pole import CHIME, Behaviour, Pole, make_pole, play, stop


def exits(pole: Pole) -> list[do.Effect]:
    return [effect for _, effect in pole.of(do.Exit)]


def test_it_is_stored_and_acknowledged_before_it_is_obeyed() -> None:
    pole = make_pole(Behaviour(commit_s=1.0)).start().connect()
    pole.run(2.0)
    jti = pole.order(Restart())
    pole.run(0.5)
    assert exits(pole) == []
    pole.run(1.0)
    kinds = [type(effect) for _, effect in pole.history]
    stored = next(at for at, (_, effect) in enumerate(pole.history) if has_outcome(effect, jti))
    assert stored < kinds.index(do.Acknowledge, stored) < kinds.index(do.Exit)
    assert exits(pole) == [do.Exit(0, "restart ordered by 'commune'")]
    assert kinds[-1] is do.Exit
    assert pole.outcome(jti).outcome == "accepted"


def has_outcome(effect: do.Effect, jti: str) -> bool:
    writes = effect.writes if isinstance(effect, do.Commit) else ()
    return any(isinstance(write, do.RememberCommand) and write.jti == jti for write in writes)


def test_the_same_command_again_does_not_end_the_next_life() -> None:
    pole = make_pole().start().connect()
    jti = pole.order(Restart())
    pole.run(0.5)
    again = pole.after_crash().connect()
    since = len(again.acknowledged)
    again.order(Restart(), jti=jti)
    again.run(5.0)
    assert exits(again) == []
    assert len(again.acknowledged) == since + 1
    assert again.state.refusals.counts == {Reason.REPLAYED: 1}


def test_one_that_the_disk_does_not_take_is_not_obeyed() -> None:
    pole = make_pole(Behaviour(commits_fail=True)).start().connect()
    pole.order(Restart())
    pole.run(30.0)
    assert exits(pole) == []


def test_it_waits_for_the_end_of_an_emergency_and_for_nothing_else() -> None:
    pole = make_pole(Behaviour(sound_length_s=30.0)).start().connect()
    pole.order(play("flood", CHIME, kind=Kind.EMERGENCY))
    pole.order(play("news"))
    pole.run(2.0)
    pole.order(Restart())
    pole.run(3.0)
    assert exits(pole) == []
    pole.order(stop("flood"))
    pole.run(3.0)
    assert len(exits(pole)) == 1
    assert {record.item for record in pole.records} == {"flood"}, "news goes on in the next life"
    effects = [effect for _, effect in pole.history]
    before = [effect for effect in effects[: effects.index(exits(pole)[0])] if isinstance(effect, do.SwitchRelay)]
    assert before[-1].on is False


def test_before_the_time_is_known_it_waits_and_is_obeyed_once() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    pole.order(Restart())
    pole.run(5.0)
    assert exits(pole) == []
    assert len(pole.state.unjudged) == 1


@pytest.mark.parametrize("command", [Restart(), SelfTest()])
def test_both_need_the_permission_restart(command: Restart | SelfTest) -> None:
    assert permissions_for(command) == (frozenset({"restart"}),)


def test_a_self_test_switches_nothing_and_says_what_is_faulty() -> None:
    pole = make_pole().start().connect()
    jti = pole.order(SelfTest())
    pole.run(1.0)
    outcome = pole.outcome(jti)
    assert (outcome.outcome, outcome.detail) == ("accepted", "without a sound: no fault is known")
    assert [report.jti for report in pole.reports if isinstance(report, Status)][-1] == jti
    assert pole.relay() == []


def test_a_self_test_on_a_node_with_faults() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.order(play("a"))
    pole.run(0.5)
    pole.tell(ev.CardFailed("no such card"))
    assert detail(pole) == "without a sound: sound card: no such card"
    pole.fail_the_relay()
    assert pole.state.amplifiers["main"].mode is Mode.FAULT
    assert "amplifiers: main" in detail(pole)


def detail(pole: Pole) -> str:
    jti = pole.order(SelfTest())
    pole.run(0.1)
    return str(pole.outcome(jti).detail)
