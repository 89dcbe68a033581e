"""Schedules and policies in the core: versions of each authority go up, for good, and end with their keys."""

from dataclasses import replace
from typing import Protocol

import pytest

from agent.core import documents
from agent.core.documents import MAX_AUTHORITIES
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import convert
from agent.messages.commands import ReportNow
from agent.messages.documents import SetPolicy, SetSchedule, fingerprint
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm, CommandOutcome, DocumentSeen, Status
from agent.messages.trust import Permission, TrustDocument
from tests.core.pole import Behaviour, Pole, make_pole
from tests.signing import CHAIR, NOW, OPERATOR, Key, order
from tests.test_set_trust import A, change, trust, with_members

CLERK = Key("hd-clerk", "commune clerk", may=("play.normal", "play.priority", "schedule", "policy"))
DISTRICT = Key("district", "district culture office", may=("play.normal", "schedule", "policy"))
BOTH = trust(1, CLERK, DISTRICT, OPERATOR, CHAIR)

SLOT = {
    "id": "thoi-su-sang",
    "days": ["mon", "wed", "fri"],
    "at": "05:00",
    "kind": "normal",
    "title": "Thời sự buổi sáng",
    "sources": [{"relay": {"uri": "https://stream.vov.example/vov1"}}],
    "max_duration_s": 1_800,
    "valid_from": "2026-09-01",
    "valid_until": "2026-12-31",
}


class Document(Protocol):
    """Makes the command of a version."""

    def __call__(self, version: int = 1) -> dict[str, object]: ...


def schedule(version: int = 1, *slots: object) -> dict[str, object]:
    return {"type": "set_schedule", "version": version, "slots": list(slots)}


def policy(version: int = 1, **changes: object) -> dict[str, object]:
    return {
        "type": "set_policy",
        "version": version,
        "quiet_hours": ["21:00-04:45"],
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "max_session_min": 45,
        "max_sessions_per_day": 3,
        "max_minutes_per_day": 120,
        "volume_ceilings": {"normal": 80, "priority": 90},
        **changes,
    }


def sha256(command: dict[str, object]) -> str:
    if command["type"] == "set_schedule":
        return fingerprint(convert(command, SetSchedule))
    return fingerprint(convert(command, SetPolicy))


def started(behaviour: Behaviour | None = None, document: TrustDocument = BOTH) -> Pole:
    return make_pole(behaviour, document).start().connect()


def hear(pole: Pole, command: dict[str, object], *keys: Key, jti: str, iat: int = NOW, wait_s: float = 1.0) -> None:
    pole.hear(order(command, *(keys or (CLERK,)), jti=f"{jti}-0123456789ab", iat=iat, exp=iat + 3_600))
    pole.run(wait_s)


def outcome(pole: Pole, jti: str) -> CommandOutcome:
    return pole.outcome(f"{jti}-0123456789ab")


def seen(pole: Pole) -> list[DocumentSeen]:
    """What is in force, of either sort."""
    return [*documents.seen(pole.state, "set_schedule"), *documents.seen(pole.state, "set_policy")]


@pytest.mark.parametrize("document", [schedule, policy])
class TestVersions:
    def test_the_first_and_a_higher_one_come_into_force_once_they_are_on_the_disk(self, document: Document) -> None:
        pole = started(Behaviour(commit_s=2.0))
        hear(pole, document(7), jti="first")
        assert (seen(pole), pole.acknowledged) == ([], [])
        pole.run(5.0)
        assert seen(pole) == [DocumentSeen("commune clerk", 7, sha256(document(7)))]
        assert len(pole.acknowledged) == 1
        hear(pole, document(9), jti="second", wait_s=5.0)
        assert seen(pole) == [DocumentSeen("commune clerk", 9, sha256(document(9)))]
        assert [outcome(pole, jti).outcome for jti in ("first", "second")] == ["accepted", "accepted"]

    @pytest.mark.parametrize("version", [6, 7])
    def test_one_that_is_not_higher_is_stale_and_told_what_holds(self, document: Document, version: int) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        hear(pole, document(version), jti="older", iat=NOW + 1)
        refused = outcome(pole, "older")
        assert (refused.outcome, refused.reason) == ("refused", Reason.STALE_VERSION)
        assert "version 7 " in str(refused.detail)
        assert sha256(document(7)) in str(refused.detail)
        assert [each.version for each in seen(pole)] == [7]

    def test_two_at_once_are_compared_though_neither_is_stored_yet(self, document: Document) -> None:
        pole = started(Behaviour(commit_s=3.0))
        hear(pole, document(7), jti="first", wait_s=0.0)
        hear(pole, document(6), jti="older", wait_s=10.0)
        assert (outcome(pole, "older").reason, [each.version for each in seen(pole)]) == (Reason.STALE_VERSION, [7])

    def test_one_issued_before_the_one_in_force_is_superseded(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        hear(pole, document(8), jti="older", iat=NOW - 60)
        assert outcome(pole, "older").reason is Reason.SUPERSEDED
        assert [each.version for each in seen(pole)] == [7]

    def test_each_authority_counts_for_itself(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="commune")
        hear(pole, document(2), DISTRICT, jti="district")
        assert [(each.iss, each.version) for each in seen(pole)] == [
            ("commune clerk", 7), ("district culture office", 2),
        ]  # fmt: skip

    def test_a_version_above_iat_would_end_all_versions(self, document: Document) -> None:
        pole = started()
        hear(pole, document(NOW + 1), jti="far-ahead")
        assert (outcome(pole, "far-ahead").reason, seen(pole)) == (Reason.BAD_VALUE, [])
        hear(pole, document(NOW), jti="highest")
        hear(pole, document(NOW + 1), jti="the-next", iat=NOW + 1)
        assert [each.version for each in seen(pole)] == [NOW + 1]

    def test_it_survives_a_power_cut_with_its_version(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        again = pole.after_power_cut(synchronised=True, wall_s=NOW + 120.0).connect()
        assert seen(again) == seen(pole)
        hear(again, document(7), jti="replayed", iat=NOW + 100)
        assert outcome(again, "replayed").reason is Reason.STALE_VERSION

    def test_what_cannot_be_stored_is_not_in_force_and_may_come_again(self, document: Document) -> None:
        pole = started()
        pole.behaviour.commits_fail = True
        hear(pole, document(7), jti="first")
        assert (seen(pole), pole.acknowledged) == ([], [])
        pole.behaviour.commits_fail = False
        pole.run(5.0)
        pole.connect()
        hear(pole, document(7), jti="first")
        assert [each.version for each in seen(pole)] == [7]

    def test_it_waits_where_the_time_is_not_known(self, document: Document) -> None:
        pole = started(Behaviour(synchronised=False))
        hear(pole, document(7), jti="early")
        assert (seen(pole), len(pole.acknowledged)) == ([], 1)
        pole.behaviour.synchronised = True
        pole.run(10.0)
        assert [each.version for each in seen(pole)] == [7]
        assert outcome(pole, "early").outcome == "accepted"

    def test_a_revoked_key_takes_its_document_with_it_but_not_its_version(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        hear(pole, document(2), DISTRICT, jti="district")
        pole.hear(change(trust(2, DISTRICT, OPERATOR, CHAIR), A, jti="trust-version-two"))
        pole.run(1.0)
        assert [each.iss for each in seen(pole)] == ["district culture office"]
        again = pole.after_power_cut(synchronised=True, wall_s=NOW + 120.0).connect()
        assert [each.iss for each in seen(again)] == ["district culture office"]
        again.hear(change(trust(3, CLERK, DISTRICT, OPERATOR, CHAIR), A, jti="trust-version-three"))
        again.run(1.0)
        assert [each.iss for each in seen(again)] == ["district culture office"], "the dead do not come back by a key"
        hear(again, document(7), jti="recorded", iat=NOW + 100)
        hear(again, document(8), jti="anew", iat=NOW + 100)
        assert outcome(again, "recorded").reason is Reason.STALE_VERSION
        assert {(each.iss, each.version) for each in seen(again)} == {
            ("commune clerk", 8), ("district culture office", 2),
        }  # fmt: skip

    def test_a_retired_key_leaves_its_document_in_force(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        pole.hear(change(trust(2, replace(CLERK, may=()), OPERATOR, CHAIR), A, jti="trust-version-two"))
        pole.run(1.0)
        assert [each.version for each in seen(pole)] == [7]

    def test_a_key_removed_while_the_document_was_being_stored(self, document: Document) -> None:
        pole = started(Behaviour(synchronised=False))
        hear(pole, document(7), jti="early")
        pole.behaviour.commit_s = None
        pole.behaviour.synchronised = True
        pole.run(10.0)
        waiting = [token for token, each in pole.state.pending.items() if each.then is not None]
        pole.behaviour.commit_s = 0.005
        pole.hear(change(trust(2, OPERATOR, CHAIR), A, jti="trust-version-two"))
        pole.run(1.0)
        pole.tell(ev.Committed(waiting[0]))
        pole.run(1.0)
        assert seen(pole) == []
        assert pole.stored.documents[str(document()["type"]), "commune clerk"].envelope is None

    @pytest.mark.parametrize(
        ("left", "stays"),
        [(("play.normal", "play.priority"), False), (CLERK.may, True), ((), True)],
        ids=["permissions lost", "nothing lost", "retired"],
    )
    def test_a_key_changed_while_the_document_was_being_stored(
        self, document: Document, left: tuple[Permission, ...], stays: bool
    ) -> None:
        pole = started(Behaviour(commit_s=None))
        hear(pole, document(7), jti="first")
        (token,) = [token for token, each in pole.state.pending.items() if each.then is not None]
        pole.behaviour.commit_s = 0.005
        pole.hear(change(trust(2, replace(CLERK, may=left), OPERATOR, CHAIR), A, jti="trust-version-two"))
        pole.run(1.0)
        assert pole.state.trust.document.version == 2
        pole.tell(ev.Committed(token))
        pole.run(1.0)
        assert [each.version for each in seen(pole)] == [7] * stays
        kept = pole.stored.documents[str(document()["type"]), "commune clerk"]
        assert (kept.envelope is not None) == stays

    def test_one_that_the_disk_has_altered_is_not_obeyed_and_not_forgotten(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        key = str(document()["type"]), "commune clerk"
        kept = pole.stored.documents[key]
        assert kept.envelope is not None
        pole.stored.documents[key] = replace(kept, envelope=kept.envelope[:-5] + b"AAAAA")
        again = pole.after_power_cut(synchronised=True, wall_s=NOW + 120.0).connect()
        assert seen(again) == []
        assert pole.stored.documents[key].envelope is not None, "left for whoever looks into it"
        assert [each.what for each in again.reports if isinstance(each, Alarm)] == ["document_altered"]
        hear(again, document(7), jti="once-more", iat=NOW + 100)
        assert outcome(again, "once-more").reason is Reason.STALE_VERSION

    def test_a_node_that_leaves_a_group_and_comes_back_has_it_again(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        elsewhere = pole.after_power_cut(synchronised=True, wall_s=NOW + 120.0, known_as="hd-99").connect()
        assert seen(elsewhere) == []
        again = elsewhere.after_power_cut(synchronised=True, wall_s=NOW + 240.0).connect()
        assert seen(again) == seen(pole)

    def test_one_that_waits_for_the_disk_does_not_come_after_its_successor(self, document: Document) -> None:
        pole = started(Behaviour(synchronised=False))
        hear(pole, document(7), jti="early")
        pole.behaviour.commits_fail = True
        pole.behaviour.synchronised = True
        pole.run(6.0)
        pole.behaviour.commits_fail = False
        hear(pole, document(8), jti="successor", iat=NOW + 1, wait_s=0.5)
        pole.connect()
        pole.run(20.0)
        assert [each.version for each in seen(pole)] == [8]
        assert pole.stored.documents[str(document()["type"]), "commune clerk"].version == 8

    def test_an_end_that_could_not_be_stored_does_not_end_the_successor(self, document: Document) -> None:
        pole = started()
        hear(pole, document(7), jti="first")
        pole.hear(change(trust(2, OPERATOR, CHAIR), A, jti="trust-version-two"))
        pole.behaviour.commit_s = 0.005
        pole.run(0.004)
        pole.behaviour.commits_fail = True
        pole.run(2.0)
        pole.behaviour.commits_fail = False
        pole.hear(change(trust(3, CLERK, OPERATOR, CHAIR), A, jti="trust-version-three"))
        pole.run(0.1)
        hear(pole, document(8), jti="successor", iat=NOW + 1)
        pole.run(20.0)
        assert pole.stored.documents[str(document()["type"]), "commune clerk"].envelope is not None
        assert [each.version for each in seen(pole)] == [8]

    def test_authorities_are_bounded(self, document: Document) -> None:
        keys = [Key(f"k-{n}", f"authority {n}", may=CLERK.may) for n in range(MAX_AUTHORITIES + 1)]
        pole = started(document=trust(1, *keys))
        for key in keys:
            hear(pole, document(1), key, jti=f"of-{key.kid}")
        assert len(seen(pole)) == MAX_AUTHORITIES
        assert outcome(pole, f"of-k-{MAX_AUTHORITIES}").reason is Reason.QUEUE_FULL

    def test_an_authority_that_was_revoked_comes_back_only_where_there_is_room(self, document: Document) -> None:
        keys = [Key(f"k-{n}", f"authority {n}", may=CLERK.may) for n in range(MAX_AUTHORITIES + 1)]
        pole = started(document=trust(1, *keys))
        hear(pole, document(1), keys[0], jti="of-the-first")
        pole.hear(change(trust(2, *keys[1:]), A, jti="trust-version-two"))
        pole.run(1.0)
        for key in keys[1:]:
            hear(pole, document(1), key, jti=f"of-{key.kid}")
        pole.hear(change(trust(3, *keys), A, jti="trust-version-three"))
        pole.run(1.0)
        hear(pole, document(2), keys[0], jti="back-again")
        assert (outcome(pole, "back-again").reason, len(seen(pole))) == (Reason.QUEUE_FULL, MAX_AUTHORITIES)


class TestPermission:
    @pytest.mark.parametrize(
        ("kinds", "may", "expected"),
        [
            ([], ("schedule",), None),
            (["normal"], ("schedule", "play.normal"), None),
            (["normal", "priority"], ("schedule", "play.normal", "play.priority"), None),
            (["normal"], ("schedule",), Reason.NOT_PERMITTED),
            (["normal"], ("play.normal",), Reason.NOT_PERMITTED),
            (["normal", "priority"], ("schedule", "play.normal"), Reason.NOT_PERMITTED),
        ],
    )
    def test_a_schedule_needs_its_own_permission_and_that_of_every_slot(
        self, kinds: list[str], may: tuple[Permission, ...], expected: Reason | None
    ) -> None:
        key = replace(CLERK, may=may)
        pole = started(document=trust(1, key))
        slots = [{**SLOT, "id": f"slot-{n}", "kind": kind} for n, kind in enumerate(kinds)]
        hear(pole, schedule(1, *slots), key, jti="slots")
        assert outcome(pole, "slots").reason is expected

    def test_a_policy_needs_its_own(self) -> None:
        pole = started()
        hear(pole, policy(), OPERATOR, jti="no-policy")
        assert outcome(pole, "no-policy").reason is Reason.NOT_PERMITTED

    @pytest.mark.parametrize("permission", ["schedule", "play.priority"])
    def test_the_most_signatures_that_any_of_its_permissions_asks(self, permission: str) -> None:
        second = replace(CLERK, kid="hd-clerk-2", authority="another clerk")
        pole = started(document=with_members(trust(1, CLERK, second), approvals={permission: 2}))
        slot = {**SLOT, "kind": "priority"}
        hear(pole, schedule(1, slot), jti="one-alone")
        hear(pole, schedule(1, slot), CLERK, second, jti="both-of-them")
        assert outcome(pole, "one-alone").reason is Reason.NOT_ENOUGH_SIGNATURES
        assert outcome(pole, "both-of-them").outcome == "accepted"


def test_the_signed_status_tells_every_version_and_its_hash() -> None:
    pole = started()
    hear(pole, schedule(3, SLOT), jti="schedule")
    hear(pole, policy(5), DISTRICT, jti="policy")
    pole.order(ReportNow())
    pole.run(1.0)
    status = [report for report in pole.reports if isinstance(report, Status)][-1]
    assert status.schedules == (DocumentSeen("commune clerk", 3, sha256(schedule(3, SLOT))),)
    assert status.policies == (DocumentSeen("district culture office", 5, sha256(policy(5))),)


def test_the_store_ends_a_document_in_a_transaction_of_its_own() -> None:
    pole = started()
    hear(pole, policy(7), jti="first")
    pole.hear(change(trust(2, OPERATOR, CHAIR), A, jti="trust-version-two"))
    pole.run(1.0)
    ended = [write for _, each in pole.of(do.Commit) if isinstance(each, do.Commit) for write in each.writes]
    assert [write for write in ended if isinstance(write, do.EndDocument)] == [
        do.EndDocument("set_policy", "commune clerk")
    ]


def test_a_fingerprint_does_not_ask_in_which_order_ceilings_stand() -> None:
    turned = policy(volume_ceilings={"priority": 90, "normal": 80})
    assert sha256(turned) == sha256(policy())
    assert sha256(policy(2)) != sha256(policy())
