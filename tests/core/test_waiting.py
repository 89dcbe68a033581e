"""Commands that come before the time is known: stored, acknowledged, judged once it is. With real signatures."""

from dataclasses import replace

import pytest

from agent.core.admission import MAX_STOPS, RESERVED
from agent.core.answers import MAX_REPORTED_REFUSALS
from agent.core.state import DISK_CALM_S, RememberedStop
from agent.core.unjudged import MAX_UNJUDGED
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.memory import StoredCommand
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome
from tests.core.pole import Behaviour, Pole, claims_of, make_pole
from tests.signing import CHAIR, DEFENCE, NOW, OPERATOR, Key, claims, compact_json, document, order, play, seal
from tests.test_set_trust import A, change, trust

UNMUTE = {"type": "set_mute", "muted": False}
STOP_FLOOD = {"type": "stop", "item": "flood", "reason": "a false alarm"}


def blind(**changes: object) -> Pole:
    """A pole that was in use before and does not know the time."""
    return make_pole(Behaviour(synchronised=False, **changes)).start().connect()  # type: ignore[arg-type]


def said(item: str, key: Key = OPERATOR, life_s: int = 3_600, iat: int = NOW, **changes: object) -> bytes:
    return order(play(item=item, **changes), key, jti=f"jti-of-{item:->20}", iat=iat, exp=iat + life_s)


def flood(item: str = "flood") -> bytes:
    source = [{"builtin": {"name": "siren"}}]
    return said(item, CHAIR, kind="emergency", sources=source, max_duration_s=3)


def outcomes(pole: Pole) -> dict[str, Reason | None]:
    """By item or jti; each has one, or this fails."""
    told = [each for each in pole.reports if isinstance(each, CommandOutcome)]
    assert len({each.jti for each in told}) == len(told)
    return {each.jti.removeprefix("jti-of-").lstrip("-"): each.reason for each in told}


def test_it_is_stored_then_acknowledged_and_nothing_is_said_of_it_yet() -> None:
    pole = blind()
    pole.run(1.0)
    since = len(pole.history)
    pole.hear(said("later"))
    assert pole.acknowledged == []
    pole.run(60.0)
    done = [effect for _, effect in pole.history[since:] if isinstance(effect, do.Commit | do.Acknowledge)]
    assert isinstance(done[0], do.Commit)
    assert done[0].writes == (do.KeepUnjudged(OPERATOR.authority, f"jti-of-{'later':->20}", "", said("later")),)
    assert [type(effect) for effect in done[1:]] == [do.Acknowledge]
    assert (outcomes(pole), pole.relay()) == ({}, [])


def test_once_the_time_is_known_each_gets_its_one_outcome_in_the_order_in_which_it_came() -> None:
    pole = blind()
    pole.hear(said("first"))
    pole.hear(said("over", life_s=10))
    pole.hear(order({"type": "set_volume", "percent": 33}, jti="jti-of-the-volume-33"))
    pole.hear(said("ahead", iat=NOW + 9_000))
    pole.run(20.0)
    pole.learn_from_the_network()
    assert list(outcomes(pole).items()) == [
        ("first", None),
        ("over", Reason.EXPIRED),
        ("the-volume-33", None),
        ("ahead", Reason.NOT_YET_VALID),
    ]
    pole.run(30.0)
    assert ([record.item for record in pole.records], pole.state.volume.value) == (["first"], 33)
    assert (dict(pole.state.unjudged), pole.stored.unjudged) == ({}, {})
    assert len(pole.acknowledged) == 4


def test_what_was_refused_before_is_judged_when_it_comes_as_it_should() -> None:
    """The first officer's signature alone was sent too early; both are over the very same payload, and its `jti`."""
    pole = make_pole(Behaviour(synchronised=False), document(CHAIR, DEFENCE, approvals={"play.emergency": 2}))
    pole.start().connect()
    payload = compact_json(
        claims(play(item="flood", kind="emergency"), iss=CHAIR.authority, jti="jti-of-----------flood")
    )
    pole.hear(seal(payload, CHAIR))
    pole.run(1.0)
    pole.hear(seal(payload, CHAIR, DEFENCE))
    pole.run(1.0)
    pole.learn_from_the_network()
    pole.run(20.0)
    told = [(each.outcome, each.reason) for each in pole.reports if isinstance(each, CommandOutcome)]
    assert told == [("refused", Reason.NOT_ENOUGH_SIGNATURES), ("accepted", None)]
    assert [record.item for record in pole.records] == ["flood"]


def test_a_signed_time_is_answered_to_the_nonce_and_then_the_waiting_are_judged() -> None:
    pole = blind()
    pole.hear(said("later"))
    pole.run(10.0)
    (state,) = [effect for _, effect in pole.of(do.PublishState) if isinstance(effect, do.PublishState)]
    told = claims_of(state.payload)
    assert told["clock"] == {"trusted": False, "evidence": "none", "floor": NOW - 86_400}, "why it waits"
    time = {"type": "time", "nonce": told["nonce"]}
    pole.hear(order(time, CHAIR, jti="jti-of-the-time-told", iat=NOW + 10, exp=NOW + 100))
    assert outcomes(pole) == {"the-time-told": None, "later": None}
    pole.run(20.0)
    assert [record.item for record in pole.records] == ["later"]


def test_they_survive_a_power_cut_and_are_judged_by_the_clock_of_the_next_life() -> None:
    pole = blind()
    pole.hear(said("later", life_s=600))
    pole.hear(said("over", life_s=60))
    pole.run(1.0)
    again = pole.after_power_cut(300.0).connect()
    again.run(30.0)
    assert outcomes(again) == {}
    again.learn_from_the_network()
    again.run(20.0)
    assert outcomes(again) == {"later": None, "over": Reason.EXPIRED}
    assert [record.item for record in again.records] == ["later"]


def test_a_life_that_begins_with_the_time_known_judges_what_waits_at_once() -> None:
    pole = blind()
    pole.hear(said("later"))
    pole.run(1.0)
    again = pole.after_power_cut(10.0, wall_s=pole.world_s + 10.0, synchronised=True)
    again.run(20.0)
    assert [record.item for record in again.records] == ["later"]


def test_an_outcome_that_was_not_stored_is_given_by_the_next_life() -> None:
    """The power fails between the judgement and its transaction."""
    pole = blind()
    pole.hear(said("later"))
    pole.run(1.0)
    pole.behaviour.commits_fail = True
    pole.learn_from_the_network()
    again = pole.after_power_cut(10.0)
    again.behaviour.commits_fail = False
    again.learn_from_the_network()
    again.run(20.0)
    assert (outcomes(again), [record.item for record in again.records]) == ({"later": None}, ["later"])


def test_a_setting_that_waited_and_could_not_be_stored_at_first_comes_into_force() -> None:
    pole = blind()
    pole.hear(order({"type": "set_volume", "percent": 33}, jti="jti-of-the-volume-33"))
    pole.run(1.0)
    pole.behaviour.commits_fail = True
    pole.learn_from_the_network()
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.run(10.0)
    assert (outcomes(pole), pole.state.volume.value) == ({"the-volume-33": None}, 33)


def test_a_setting_that_could_not_be_stored_at_first_is_not_written_over_a_later_one() -> None:
    """Both waited, so both are tried until they are stored, the earlier one later."""
    pole = blind()
    pole.hear(order({"type": "set_volume", "percent": 33}, jti="jti-of-the-volume-33"))
    pole.run(1.0)
    pole.behaviour.commits_fail = True
    pole.learn_from_the_network()
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.connect()
    pole.hear(order({"type": "set_volume", "percent": 44}, jti="jti-of-the-volume-44", iat=NOW + 1, exp=NOW + 600))
    pole.run(1.0)
    assert pole.stored.settings["volume_percent"] == (44, NOW + 1)
    pole.run(10.0)
    assert outcomes(pole) == {"the-volume-44": None, "the-volume-33": None}
    assert (pole.stored.settings["volume_percent"], pole.state.volume.value) == ((44, NOW + 1), 44)


def test_one_that_cannot_be_stored_is_not_acknowledged_and_may_come_again() -> None:
    pole = blind()
    pole.run(1.0)
    pole.behaviour.commits_fail = True
    pole.hear(said("later"))
    pole.run(DISK_CALM_S + 1.0)
    assert (pole.acknowledged, dict(pole.state.unjudged), pole.state.connection.up) == ([], {}, False)
    pole.behaviour.commits_fail = False
    pole.run(5.0)
    pole.connect()
    pole.hear(said("later"))
    pole.run(1.0)
    assert (len(pole.acknowledged), len(pole.stored.unjudged)) == (1, 1)


def test_a_copy_is_acknowledged_with_the_first_and_waits_no_second_time() -> None:
    pole = blind(commit_s=5.0)
    pole.hear(said("later"))
    pole.run(1.0)
    pole.hear(said("later"))
    assert pole.acknowledged == []
    pole.run(10.0)
    assert (len(pole.acknowledged), len(pole.stored.unjudged)) == (2, 1)
    assert pole.state.refusals.counts == {"replayed": 1}


# Too many -------------------------------------------------------------------------------------------------------------


def test_the_oldest_that_is_no_emergency_makes_room_and_is_told_so() -> None:
    pole = blind()
    pole.hear(flood())
    for number in range(MAX_UNJUDGED + 2):
        pole.hear(said(f"item-{number}"))
    pole.run(1.0)
    displaced = dict.fromkeys((f"item-{number}" for number in range(3)), Reason.CLOCK_UNTRUSTED)
    assert (outcomes(pole), len(pole.stored.unjudged)) == (displaced, MAX_UNJUDGED)
    assert "flood" in [each.emergency for each in pole.stored.unjudged.values()]
    assert len(pole.acknowledged) == MAX_UNJUDGED + 3


def test_where_all_are_emergencies_another_displaces_the_oldest_and_nothing_else_does() -> None:
    pole = blind()
    for number in range(MAX_UNJUDGED):
        pole.hear(flood(f"flood-{number}"))
    pole.hear(said("bulletin"))
    pole.hear(flood("one-more"))
    pole.run(1.0)
    assert outcomes(pole) == {"bulletin": Reason.CLOCK_UNTRUSTED, "flood-0": Reason.CLOCK_UNTRUSTED}
    assert [each.emergency for each in pole.stored.unjudged.values()][-1] == "one-more"


def test_the_stops_of_a_key_that_may_raise_no_emergency_push_no_warning_out() -> None:
    pole = blind()
    pole.hear(flood())
    for number in range(MAX_UNJUDGED + 10):
        pole.hear(order(STOP_FLOOD, OPERATOR, jti=f"jti-of-a-stop-{number:06}", iat=NOW, exp=NOW + 3_600))
    pole.run(1.0)
    assert "flood" in [each.emergency for each in pole.stored.unjudged.values()]
    pole.learn_from_the_network()
    pole.run(20.0)
    assert [(record.item, record.result) for record in pole.records] == [("flood", "played")]


def test_what_was_displaced_and_comes_again_is_counted_and_nothing_else() -> None:
    """A broker that brings 65 recorded orders in turn must not wear the card."""
    pole = blind()
    recorded = [said(f"item-{number}") for number in range(MAX_UNJUDGED + 1)]
    for _ in range(20):
        for envelope in recorded:
            pole.hear(envelope)
        pole.run(61.0)
    told = [report for report in pole.reports if isinstance(report, CommandOutcome)]
    assert len(told) == len({each.jti for each in told}) == 1
    assert len(pole.of(do.Commit)) < 2 * len(recorded)


def test_so_many_a_minute_are_displaced_and_no_more_but_an_emergency_always_finds_room() -> None:
    pole = blind()
    for number in range(MAX_UNJUDGED + 100):
        pole.hear(said(f"item-{number}"))
    pole.hear(flood())
    pole.run(1.0)
    assert len(outcomes(pole)) == MAX_REPORTED_REFUSALS + 1
    assert "flood" in [each.emergency for each in pole.stored.unjudged.values()]


def test_all_that_waited_get_their_outcome_whatever_a_minute_allows() -> None:
    pole = blind()
    for number in range(MAX_UNJUDGED):
        pole.hear(said(f"item-{number}", life_s=10))
    pole.run(20.0)
    pole.learn_from_the_network()
    pole.run(1.0)
    assert outcomes(pole) == dict.fromkeys((f"item-{number}" for number in range(MAX_UNJUDGED)), Reason.EXPIRED)
    assert pole.stored.unjudged == {}


# Silence, and whose orders count --------------------------------------------------------------------------------------


def test_what_was_obeyed_without_the_time_and_dated_ahead_binds_no_longer_than_now() -> None:
    pole = blind()
    ahead = NOW + 2 * 365 * 86_400
    pole.hear(order({"type": "set_mute", "muted": True}, jti="jti-of-a-mute-of-2028", iat=ahead, exp=ahead + 600))
    pole.hear(order({**STOP_FLOOD, "item": "tin"}, jti="jti-of-a-stop-of-2028", iat=ahead, exp=ahead + 600))
    pole.run(1.0)
    assert pole.state.muted.value == 1
    pole.learn_from_the_network()
    pole.run(60.0)
    pole.hear(order(UNMUTE, jti="jti-of-the-unmuting", iat=NOW + 60, exp=NOW + 600))
    pole.hear(said("tin"))
    pole.run(20.0)
    assert (outcomes(pole)["the-unmuting"], outcomes(pole)["tin"], pole.state.muted.value) == (None, None, 0)
    again = pole.after_power_cut(10.0, wall_s=NOW + 200.0, synchronised=True)
    assert again.state.muted.value == 0, "and so it is on the card"


def test_what_was_dated_ahead_and_is_still_being_stored_when_the_time_comes_binds_no_longer_either() -> None:
    pole = blind(commit_s=8.0)
    ahead = NOW + 2 * 365 * 86_400
    pole.hear(order({"type": "set_mute", "muted": True}, jti="jti-of-a-mute-of-2028", iat=ahead, exp=ahead + 600))
    pole.learn_from_the_network()
    pole.run(30.0)
    assert NOW <= pole.state.muted.iat < NOW + 60
    assert pole.stored.settings["muted"] == (1, pole.state.muted.iat)


def test_no_stop_that_came_before_the_time_silences_an_emergency() -> None:
    pole = blind()
    pole.hear(order(STOP_FLOOD, CHAIR, jti="jti-of-an-early-stop", iat=NOW, exp=NOW + 3_600))
    pole.learn_from_the_network()
    pole.hear(flood())
    pole.run(20.0)
    assert [(record.item, record.result) for record in pole.records] == [("flood", "played")]


def test_what_makes_silence_is_obeyed_at_once_and_undoing_it_waits() -> None:
    pole = blind()
    pole.hear(order({"type": "set_mute", "muted": True}, jti="jti-of-the-muting-now"))
    pole.hear(order(UNMUTE, jti="jti-of-the-unmuting", iat=NOW + 1, exp=NOW + 600))
    pole.hear(order({"type": "stop", "item": "tin", "reason": "x"}, jti="jti-of-the-stop-of-it"))
    pole.run(1.0)
    assert (outcomes(pole), pole.state.muted.value) == ({"the-muting-now": None, "the-stop-of-it": None}, 1)
    pole.hear(said("tin"))
    pole.learn_from_the_network()
    pole.run(1.0)
    assert (outcomes(pole)["tin"], pole.state.muted.value) == (Reason.STOPPED, 0)


@pytest.mark.parametrize("kept", [True, False], ids=["accepted before the cut", "waiting itself"])
def test_the_stop_of_an_emergency_waits_and_ends_it_before_it_sounds(kept: bool) -> None:
    if kept:
        pole = make_pole().start().connect()
        pole.hear(flood())
        pole = pole.after_power_cut(10.0).connect()
    else:
        pole = blind()
        pole.hear(flood())
    pole.hear(order(STOP_FLOOD, CHAIR, jti="jti-of-the-flood-stop"))
    pole.run(30.0)
    assert "the-flood-stop" not in outcomes(pole)
    pole.learn_from_the_network()
    pole.run(60.0)
    assert outcomes(pole)["the-flood-stop"] is None
    assert [(record.item, record.result, record.played_s) for record in pole.records] == [("flood", "stopped", 0.0)]
    assert pole.relay() == []


def test_a_stop_of_all_reaches_what_waits_and_the_key_may_end_for_as_long_as_it_could_sound() -> None:
    pole = blind()
    pole.hear(said("bulletin", life_s=7_200))
    pole.hear(said("chairs", CHAIR, life_s=7_200))
    pole.hear(said("important", kind="priority", life_s=7_200))
    pole.hear(flood())
    everything = {"type": "stop", "all": True, "reason": "not tonight"}
    pole.hear(order(everything, CHAIR, jti="jti-of-the-stop-of-all", iat=NOW, exp=NOW + 60))
    pole.run(1.0)
    (told,) = [each for each in pole.reports if isinstance(each, CommandOutcome)]
    assert (told.outcome, told.detail) == ("accepted", "stayed: important, flood")
    again = pole.after_power_cut(600.0).connect()
    again.learn_from_the_network()
    again.hear(said("bulletin", life_s=7_200))
    again.run(60.0)
    assert outcomes(again) == {
        "the-stop-of-all": None,
        "bulletin": Reason.STOPPED,
        "chairs": Reason.STOPPED,
        "important": None,
        "flood": None,
    }
    assert {record.item for record in again.records} == {"flood", "important"}


def test_a_stop_of_all_after_a_power_cut_reaches_what_waited_before_it() -> None:
    pole = blind()
    pole.hear(said("bulletin"))
    pole.hear(order({"type": "set_volume", "percent": 33}, jti="jti-of-the-volume-33"))
    pole.run(1.0)
    again = pole.after_power_cut(10.0).connect()
    again.hear(order({"type": "stop", "all": True, "reason": "x"}, jti="jti-of-the-stop-of-all"))
    again.run(1.0)
    again.learn_from_the_network()
    again.run(20.0)
    assert outcomes(again) == {"the-stop-of-all": None, "bulletin": Reason.STOPPED, "the-volume-33": None}
    assert again.relay() == []


def test_a_stop_of_all_remembers_no_more_stops_than_there_is_room_for() -> None:
    pole = blind()
    for number in range(3):
        pole.hear(said(f"item-{number}"))
    may = frozenset({"play.normal", "stop"})
    others = (RememberedStop(f"other-{number}", "commune", may) for number in range(MAX_STOPS - RESERVED - 2))
    pole.state = replace(pole.state, stops=dict.fromkeys(others, NOW + 3_600))
    pole.hear(order({"type": "stop", "all": True, "reason": "x"}, jti="jti-of-the-stop-of-all"))
    pole.run(1.0)
    (told,) = [each for each in pole.reports if isinstance(each, CommandOutcome)]
    assert (told.detail, len(pole.state.stops)) == ("stayed: item-2", MAX_STOPS - RESERVED)


def test_the_stop_of_one_that_waits_binds_as_long_as_that_could_sound() -> None:
    pole = blind()
    pole.hear(said("bulletin", life_s=7_200))
    stop = {"type": "stop", "item": "bulletin", "reason": "x"}
    pole.hear(order(stop, jti="jti-of-the-stop-of-it", iat=NOW, exp=NOW + 60))
    pole.run(600.0)
    pole.learn_from_the_network()
    pole.run(20.0)
    assert (outcomes(pole)["bulletin"], pole.relay()) == (Reason.STOPPED, [])


def test_whoever_may_not_order_emergencies_stops_none_that_waits() -> None:
    pole = blind()
    pole.hear(flood())
    pole.hear(order(STOP_FLOOD, OPERATOR, jti="jti-of-the-flood-stop"))
    pole.run(1.0)
    pole.learn_from_the_network()
    pole.run(20.0)
    assert outcomes(pole) == {"flood": None, "the-flood-stop": Reason.NOT_PERMITTED}
    assert [record.result for record in pole.records] == ["played"]


def test_the_orders_of_a_key_that_is_removed_while_they_wait_end_as_revoked() -> None:
    pole = make_pole(Behaviour(synchronised=False), trust(1, OPERATOR, CHAIR)).start().connect()
    pole.hear(said("bulletin"))
    pole.hear(said("chair", CHAIR))
    pole.hear(change(trust(2, CHAIR), A, jti="jti-of-the-set-trust"))
    pole.run(1.0)
    pole.learn_from_the_network()
    pole.run(1.0)
    assert outcomes(pole) == {"the-set-trust": None, "bulletin": Reason.REVOKED, "chair": None}


def test_a_key_that_has_run_out_meanwhile_is_named_as_the_reason() -> None:
    pole = blind()
    pole.hear(said("bulletin", life_s=86_400))
    pole.run(1.0)
    ends_s = OPERATOR.valid_until.timestamp()
    pole.world_offset_s += ends_s - pole.world_s + 1
    pole.learn_from_the_network()
    assert outcomes(pole) == {"bulletin": Reason.KEY_NOT_VALID}


def test_one_that_the_disk_has_altered_is_told_and_forgotten() -> None:
    pole = blind()
    pole.hear(said("bulletin"))
    pole.run(1.0)
    ((key, kept),) = pole.stored.unjudged.items()
    pole.stored.unjudged[key] = StoredCommand(*key, "", kept.envelope.replace(b".", b".A", 1))
    again = pole.after_power_cut(1.0)
    again.learn_from_the_network()
    again.run(1.0)
    assert (outcomes(again), again.stored.unjudged) == ({"bulletin": Reason.STORAGE}, {})


def test_a_verdict_on_what_no_longer_waits_changes_nothing() -> None:
    pole = blind()
    pole.hear(said("bulletin"))
    pole.run(1.0)
    number = pole.state.unjudged[OPERATOR.authority, f"jti-of-{'bulletin':->20}"].number
    pole.learn_from_the_network()
    pole.run(20.0)
    since = len(pole.history)
    again = ev.MessageArrived(ev.Delivery(ev.FROM_STORE, number), "", said("bulletin"), False)
    for verdict in (
        pole.judge.judge(again, float(NOW), NOW),
        ev.CommandRefused(again.delivery, Reason.EXPIRED, "late", True, OPERATOR.authority, "jti", NOW, again),
    ):
        pole.tell(verdict)
    assert [effect for _, effect in pole.history[since:] if not isinstance(effect, do.Log)] == []
    assert (outcomes(pole), [record.item for record in pole.records]) == ({"bulletin": None}, ["bulletin"])
