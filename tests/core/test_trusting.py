"""A new trust document in the core: stored, then in force, then what it no longer bears ends. With real signatures."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.state import MAX_ACCEPTED
from agent.core.trusting import MAX_HELD, MAX_HELD_QOS_0
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import decode
from agent.messages.condition import Condition
from agent.messages.memory import Memory, StoredAccepted, StoredItem
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome, Status
from agent.messages.trust import TrustDocument, fingerprint, names_used
from agent.mqtt.connection import MAX_UNREAD
from tests.core.pole import Behaviour, Pole, claims_of, make_pole
from tests.signing import CHAIR, DEFENCE, NOW, OPERATOR, STRANGER, Key, order, play
from tests.test_set_trust import A, B, change, trust

ONE = trust(1, OPERATOR, CHAIR)
JTI = "set-trust-to-version-"


def to(after: TrustDocument, *keys: Key) -> bytes:
    return change(after, *(keys or (A,)), jti=f"{JTI}{after.version}", iat=NOW - 90 * 86_400, exp=NOW - 89 * 86_400)


def started(behaviour: Behaviour | None = None, before: TrustDocument = ONE) -> Pole:
    return make_pole(behaviour, before).start().connect()


def outcomes(pole: Pole) -> list[tuple[str, str, Reason | None]]:
    return [(each.jti, each.outcome, each.reason) for each in pole.reports if isinstance(each, CommandOutcome)]


def told(pole: Pole) -> object:
    """The trust version that `state` last told."""
    states = [each.payload for _, each in pole.of(do.PublishState) if isinstance(each, do.PublishState)]
    return claims_of(states[-1])["trust_version"]


def test_it_is_stored_with_its_outcome_then_acknowledged_then_in_force() -> None:
    pole = started(Behaviour(synchronised=False))
    pole.run(1.0)  # it has looked at its sound card
    two = trust(2, CHAIR)
    since = len(pole.history)
    pole.hear(to(two))
    assert (pole.state.trust.document, pole.acknowledged) == (ONE, [])
    pole.run(1.0)
    done = [effect for _, effect in pole.history[since:] if not isinstance(effect, do.Log)]
    commit = done[0]
    assert isinstance(commit, do.Commit)
    assert [type(write) for write in commit.writes] == [
        do.RememberCommand, do.KeepTrust, do.KeepNames, do.AppendReport,
    ]  # fmt: skip
    assert commit.writes[1:3] == (do.KeepTrust(2, to(two)), do.KeepNames(tuple(names_used((two, ONE)).items())))
    assert [type(effect) for effect in done[1:]] == [do.Acknowledge, do.TakeTrust, do.PublishState]
    assert outcomes(pole) == [(f"{JTI}2", "accepted", None)]
    assert (pole.state.trust.sha256, told(pole)) == (fingerprint(two), 2)


def test_three_versions_that_waited_are_taken_in_turn_though_roots_change_between() -> None:
    pole = started(Behaviour(commit_s=3.0))
    pole.hear(to(trust(2, OPERATOR, roots=(B,)), A, B))
    pole.hear(to(trust(3, CHAIR, roots=(B,)), B))
    pole.hear(to(trust(4, CHAIR, DEFENCE, roots=(B,)), B))
    held = len(pole.state.trust.held)
    pole.run(20.0)
    assert outcomes(pole) == [(f"{JTI}{version}", "accepted", None) for version in (2, 3, 4)]
    assert (held, len(pole.state.trust.held), told(pole), len(pole.acknowledged)) == (2, 0, 4, 3)


def test_as_many_versions_are_taken_in_turn_as_a_broker_may_bring_at_once() -> None:
    """One of MQTT 3.1.1 knows no receive maximum: what the link reads must find room."""
    assert MAX_HELD >= MAX_UNREAD
    pole = started(Behaviour(commit_s=0.2))
    for version in range(2, MAX_UNREAD + 2):
        pole.hear(to(trust(version, OPERATOR, CHAIR)))
    pole.run(30.0)
    assert outcomes(pole) == [(f"{JTI}{version}", "accepted", None) for version in range(2, MAX_UNREAD + 2)]
    assert (told(pole), len(pole.acknowledged), pole.state.trust.held) == (MAX_UNREAD + 1, MAX_UNREAD, ())


def test_a_second_document_of_the_same_version_is_stale() -> None:
    pole = started(Behaviour(commit_s=1.0))
    pole.hear(to(trust(2, CHAIR)))
    pole.hear(change(trust(2, DEFENCE), A, jti="another-change-to-2"))
    pole.run(5.0)
    assert outcomes(pole) == [(f"{JTI}2", "accepted", None), ("another-change-to-2", "refused", Reason.STALE_VERSION)]
    assert fingerprint(ONE) in (pole.outcome("another-change-to-2").detail or "")


def test_a_copy_is_acknowledged_and_counted_though_its_exp_is_long_past() -> None:
    pole = started()
    for _ in range(2):
        pole.hear(to(trust(2, CHAIR)))
        pole.run(60.0)
    assert (outcomes(pole), len(pole.acknowledged)) == ([(f"{JTI}2", "accepted", None)], 2)
    assert pole.state.refusals.counts == {"replayed": 1}


def test_what_cannot_be_stored_does_not_come_into_force_and_may_come_again() -> None:
    pole = started()
    pole.behaviour.commits_fail = True
    pole.hear(to(trust(2, CHAIR)))
    pole.hear(b"noise")
    pole.run(1.0)
    assert (pole.state.trust.document, pole.state.trust.changing, pole.state.trust.held) == (ONE, False, ())
    assert len(pole.acknowledged) == 1, "the noise alone"
    pole.behaviour.commits_fail = False
    pole.run(5.0)
    pole.connect()
    pole.hear(to(trust(2, CHAIR)))
    pole.run(1.0)
    assert told(pole) == 2


def test_what_is_held_is_bounded() -> None:
    pole = started(Behaviour(commit_s=1.0))
    pole.hear(to(trust(2, CHAIR)))
    for number in range(MAX_HELD + 5):
        pole.hear(b"noise")
        pole.hear(order(play(), STRANGER, jti=f"of-a-stranger-{number:04}"))
    assert (len(pole.state.trust.held), len(pole.acknowledged)) == (MAX_HELD, MAX_HELD + 10)
    pole.run(2.0)
    assert len(pole.acknowledged) == 2 * MAX_HELD + 11


def test_who_floods_under_qos_0_takes_no_place_from_what_the_broker_waits_for() -> None:
    """The successor is signed by roots to come, and is there while its predecessor is being stored."""
    pole = make_pole(Behaviour(commit_s=1.0), trust(1, OPERATOR, CHAIR)).start().connect()
    pole.hear(change(trust(2, OPERATOR, CHAIR, roots=(B,)), A, B, jti=f"{JTI}2"))
    for number in range(MAX_HELD_QOS_0 + 5):
        junk = order(play(), STRANGER, jti=f"of-a-stranger-{number:04}")
        pole.hear(junk, qos=0)
    pole.hear(change(trust(3, CHAIR, roots=(B,)), B, jti=f"{JTI}3"))
    assert len(pole.state.trust.held) == MAX_HELD_QOS_0 + 1
    pole.run(5.0)
    assert outcomes(pole) == [(f"{JTI}2", "accepted", None), (f"{JTI}3", "accepted", None)]
    assert told(pole) == 3


def test_a_removed_key_ends_nothing_that_comes_later() -> None:
    pole = started(before=trust(1, CHAIR, DEFENCE))
    pole.hear(order({"type": "stop", "item": "flood", "reason": "x"}, CHAIR, jti="an-early-stop-of-a-thief"))
    pole.run(1.0)
    pole.hear(to(trust(2, DEFENCE)))
    pole.run(1.0)
    again = pole.after_power_cut(synchronised=True, wall_s=NOW + 60.0).connect()
    for each in (pole, again):
        each.hear(order(play(kind="emergency", item="flood"), DEFENCE, jti="a-true-flood-warning"))
        each.run(30.0)
        assert [(record.item, record.result) for record in each.records] == [("flood", "played")]
        each.reports.clear()


def test_a_full_replay_table_does_not_keep_out_a_revocation() -> None:
    table = tuple(StoredAccepted("commune", f"jti-{number:012d}", NOW + 9_000) for number in range(MAX_ACCEPTED))
    pole = make_pole(trust=ONE).start(ev.Restored(1, 0, table, (), (), ())).connect()
    pole.hear(to(trust(2, CHAIR)))
    assert outcomes(pole) == [(f"{JTI}2", "accepted", None)]


# What it no longer bears ----------------------------------------------------------------------------------------------


def by(key: Key, item: str, **changes: object) -> bytes:
    return order(play(item=item, **changes), key, jti=f"play-by-the-{item:>12}".replace(" ", "-"))


def playing_and_waiting(length_s: float = 60.0) -> Pole:
    pole = started(Behaviour(sound_length_s=length_s))
    for envelope in (by(OPERATOR, "now"), by(CHAIR, "chair"), by(OPERATOR, "later")):
        pole.hear(envelope)
    pole.run(5.0)
    return pole


def test_what_a_removed_key_ordered_ends_playing_and_waiting_and_nothing_else() -> None:
    pole = playing_and_waiting()
    pole.hear(to(trust(2, CHAIR)))
    pole.run(1.0)
    assert {record.item: (record.result, record.reason) for record in pole.records} == {
        "now": ("stopped", Reason.REVOKED),
        "later": ("stopped", Reason.REVOKED),
    }
    assert [record.played_s > 0 for record in pole.records if record.item == "now"] == [True]
    pole.run(100.0)
    assert [(record.item, record.result) for record in pole.records][-1] == ("chair", "played")


@pytest.mark.parametrize(
    "kept",
    [replace(OPERATOR, may=()), replace(OPERATOR, valid_until=datetime(2026, 2, 1, tzinfo=UTC))],
    ids=["may nothing", "past its end"],
)
def test_what_a_retired_key_ordered_stays_and_it_orders_nothing_new(kept: Key) -> None:
    pole = playing_and_waiting(10.0)
    pole.hear(to(trust(2, kept, CHAIR)))
    pole.run(1.0)
    pole.hear(by(OPERATOR, "new"))
    pole.run(60.0)
    assert {record.item: record.result for record in pole.records} == dict.fromkeys(("now", "chair", "later"), "played")


def test_a_key_that_loses_the_permission_no_longer_bears_its_order() -> None:
    pole = playing_and_waiting()
    pole.hear(to(trust(2, replace(OPERATOR, may=("stop",)), CHAIR)))
    pole.run(1.0)
    assert {record.item for record in pole.records} == {"now", "later"}


def test_what_stays_takes_the_ceiling_that_its_key_has_now() -> None:
    pole = playing_and_waiting()
    pole.hear(to(trust(2, replace(OPERATOR, max_volume_percent=15), CHAIR)))
    pole.run(1.0)
    gains = [each.gain_percent for _, each in pole.of(do.SetGain) if isinstance(each, do.SetGain)]
    assert (gains[-1], pole.records) == (15, [])


def test_a_stored_item_that_is_no_longer_borne_gets_its_record_at_start() -> None:
    stored = tuple(
        StoredItem(envelope, NOW - 60, started_at)
        for envelope, started_at in ((by(OPERATOR, "now"), NOW - 30.0), (by(CHAIR, "chair"), None))
    )
    pole = make_pole(trust=trust(2, CHAIR))
    damaged = StoredItem(by(CHAIR, "bent")[:-11] + b"AAAAAAAAAAA", NOW - 60, None)
    pole.start(pole.judge.restored(Memory(1, 0, (), (), (*stored, damaged), ())))
    pole.run(20.0)
    assert [(each.item, each.result, each.reason) for each in pole.records] == [
        ("now", "stopped", Reason.REVOKED),
        ("chair", "played", None),
    ]


# What is told of it ---------------------------------------------------------------------------------------------------


def test_status_names_the_document_in_force() -> None:
    pole = started()
    pole.hear(to(trust(2, CHAIR)))
    pole.run(6 * 3_600.0 + 1)
    assert [(each.trust_version, each.trust_sha256) for each in pole.reports if isinstance(each, Status)] == [
        (1, fingerprint(ONE)),
        (2, fingerprint(trust(2, CHAIR))),
    ]
    pole.tell(ev.Asked(1, "status"))
    answer = pole.of(do.Answer)[-1][1]
    assert isinstance(answer, do.Answer)
    found = decode(answer.text, Condition).trust
    assert (found.version, found.sha256) == (2, fingerprint(trust(2, CHAIR)))


def test_state_warns_sixty_days_before_a_key_ends_also_where_the_link_stays_up() -> None:
    ends = datetime.fromtimestamp(NOW, UTC) + timedelta(days=60, hours=3)
    pole = started(before=trust(1, replace(OPERATOR, valid_until=ends), CHAIR))
    pole.run(3_600.0)
    states = [claims_of(each.payload) for _, each in pole.of(do.PublishState) if isinstance(each, do.PublishState)]
    assert all("key_ends" not in state for state in states)
    pole.run(6 * 3_600.0)
    last = pole.of(do.PublishState)[-1][1]
    assert isinstance(last, do.PublishState)
    assert claims_of(last.payload)["key_ends"] == OPERATOR.kid


def test_state_warns_of_roots_that_end_as_well() -> None:
    """A root that has ended can no longer tell the time."""
    ends = datetime.fromtimestamp(NOW, UTC) + timedelta(days=30)
    pole = started(before=trust(1, OPERATOR, roots=(replace(A, valid_until=ends),)))
    pole.run(1.0)
    [first, *_] = [each for _, each in pole.of(do.PublishState) if isinstance(each, do.PublishState)]
    assert claims_of(first.payload)["key_ends"] == A.kid


def test_a_document_of_other_roots_than_the_threshold_is_reported_refused() -> None:
    before = trust(1, OPERATOR, roots=(A, B), threshold=2)
    pole = started(before=before)
    pole.hear(to(trust(2, CHAIR, roots=(A, B), threshold=2)))
    pole.run(1.0)
    assert outcomes(pole) == [(f"{JTI}2", "refused", Reason.NOT_ENOUGH_SIGNATURES)]
    assert told(pole) == 1
