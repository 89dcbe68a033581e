"""A trust document is changed by its roots alone: real signatures, old and new roots, and every way around them."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages.codec import encode
from agent.messages.commands import ROOTS, SetTrust, VerifiedCommand
from agent.messages.reasons import Reason
from agent.messages.trust import Roots, TrustDocument, TrustedKey, TrustError, fingerprint
from agent.security import ClockView, TrustStore, verify_kept_trust
from tests.signing import (
    CHAIR,
    HERE,
    NOW,
    OPERATOR,
    SITE,
    STRANGER,
    UNTRUSTED,
    Json,
    Key,
    Pole,
    changed,
    claims,
    compact_json,
    document,
    general,
    order,
    seal,
)

LONG = datetime(2036, 1, 1, tzinfo=UTC)
A, B, C = (Key(f"root-{letter}", f"root {letter}", valid_until=LONG) for letter in "abc")
NEW = Key("root-new", "root new", valid_until=LONG)
ENDED = replace(A, kid="root-ended", valid_until=datetime(2026, 2, 1, tzinfo=UTC))


def trust(
    version: int, *keys: Key, roots: tuple[Key, ...] = (A,), threshold: int = 1, site: str = SITE
) -> TrustDocument:
    made = document(*keys, *roots, site=site, roots=Roots(threshold, tuple(root.kid for root in roots)))
    return with_members(made, version=version)


def with_members(made: TrustDocument, **changes: object) -> TrustDocument:
    members = {name: getattr(made, name) for name in made.__struct_fields__}
    return TrustDocument(**{**members, **changes})


def entry(key: Key, *, public: Key) -> TrustedKey:
    """A key's entry under another's public part."""
    members = {name: getattr(key.trusted(), name) for name in TrustedKey.__struct_fields__}
    return TrustedKey(**{**members, "public": public.public})


def payload(after: TrustDocument | Json, iss: object = A.authority, **changes: object) -> bytes:
    word = json.loads(encode(after)) if isinstance(after, TrustDocument) else after
    return compact_json(claims({"type": "set_trust", "trust": word}, **{"iss": iss, **changes}))


def pole(before: TrustDocument, clock: ClockView = UNTRUSTED) -> Pole:
    return Pole(trust=TrustStore(before, site=SITE), clock=clock)


def change(after: TrustDocument, *keys: Key, **changes: object) -> bytes:
    return seal(payload(after, **{"iss": keys[0].authority, **changes}), *keys)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
ONE = trust(1, OPERATOR)
TWO = trust(2, CHAIR)


class TestAccepted:
    def test_by_the_one_root_of_both_while_the_clock_is_not_known(self) -> None:
        verified = pole(ONE).obeys(change(TWO, A))
        assert verified.command == SetTrust(TWO)
        assert (verified.kids, ROOTS in verified.may) == ((A.kid,), True)

    @pytest.mark.parametrize(
        "dates",
        [
            {"iat": 1, "exp": 2},
            {"iat": NOW + 9_999_999, "exp": NOW + 99_999_999},
            {"iat": NOW, "exp": 0},
        ],
        ids=["long past", "far ahead", "exp before iat"],
    )
    def test_no_date_is_asked(self, dates: Json) -> None:
        for clock in (UNTRUSTED, ClockView(float(NOW), NOW)):
            assert pole(ONE, clock).obeys(change(TWO, A, **dates)).command == SetTrust(TWO)

    def test_a_root_past_its_end_still_changes_the_document(self) -> None:
        before, after = (trust(version, OPERATOR, roots=(ENDED,)) for version in (1, 2))
        assert pole(before, ClockView(float(NOW), NOW)).obeys(change(after, ENDED)).kids == (ENDED.kid,)

    def test_two_of_three_in_general_json(self) -> None:
        before, after = (trust(version, OPERATOR, roots=(A, B, C), threshold=2) for version in (1, 2))
        for pair in ((A, B), (C, A), (B, C)):
            assert pole(before).obeys(change(after, *pair)).kids == tuple(key.kid for key in pair)

    def test_old_and_new_roots_where_none_stays(self) -> None:
        assert pole(ONE).obeys(change(trust(2, OPERATOR, roots=(NEW,)), A, NEW)).kids == (A.kid,)

    def test_a_stranger_beside_the_roots_counts_nothing(self) -> None:
        assert pole(ONE).obeys(change(TWO, A, STRANGER)).kids == (A.kid,)

    def test_a_document_larger_than_any_other_command(self) -> None:
        many = [Key(f"key-{number:03}", "xã " * 60) for number in range(190)]
        envelope = change(trust(2, *many), A)
        assert 64 * 1024 < len(envelope) < 256 * 1024
        pole(ONE).obeys(envelope)

    def test_a_key_that_comes_back_under_its_own_name(self) -> None:
        two = TrustStore(ONE, site=SITE).followed_by(TWO)
        assert Pole(trust=two).obeys(change(trust(3, OPERATOR, CHAIR), A)).command


TWO_OF_THREE = trust(1, OPERATOR, roots=(A, B, C), threshold=2)
REPLACED = trust(2, OPERATOR, roots=(NEW,))
REUSED = with_members(TWO, keys=(entry(OPERATOR, public=CHAIR), A.trusted()))
NO_KEY = with_members(TWO, roots=Roots(1, (A.kid, "root-nobody")))
TWICE = with_members(TWO, keys=(CHAIR.trusted(), entry(B, public=CHAIR), A.trusted()))
ONE_KEY_TWO_ROOTS = with_members(TWO, keys=(A.trusted(), entry(B, public=A)), roots=Roots(2, (A.kid, B.kid)))


@pytest.mark.parametrize(
    ("before", "envelope", "expected", "says"),
    [
        pytest.param(ONE, change(TWO, OPERATOR), Reason.NOT_PERMITTED, "no root", id="an officer who is no root"),
        pytest.param(ONE, change(REPLACED, A), Reason.NOT_ENOUGH_SIGNATURES, "roots of version 2", id="old roots only"),
        pytest.param(ONE, change(REPLACED, NEW), Reason.UNKNOWN_KEY, "root-new", id="new roots only"),
        pytest.param(
            ONE, change(REPLACED, OPERATOR, NEW), Reason.NOT_PERMITTED, "no root", id="new roots and an officer"
        ),
        pytest.param(
            TWO_OF_THREE,
            change(with_members(TWO_OF_THREE, version=2), B),
            Reason.NOT_ENOUGH_SIGNATURES,
            "ask 2, 1 count",
            id="one of two",
        ),
        pytest.param(
            TWO_OF_THREE,
            change(with_members(TWO_OF_THREE, version=2), B, B),
            Reason.NOT_ENOUGH_SIGNATURES,
            "ask 2, 1 count",
            id="one signature twice",
        ),
        pytest.param(ONE, change(trust(1, CHAIR), A), Reason.STALE_VERSION, fingerprint(ONE), id="the same version"),
        pytest.param(
            with_members(ONE, version=7), change(TWO, A), Reason.STALE_VERSION, "7 is in force", id="rolled back"
        ),
        pytest.param(ONE, change(trust(3, CHAIR), A), Reason.STALE_VERSION, "1 is in force", id="one skipped"),
        pytest.param(ONE, change(trust(999_999, CHAIR), A), Reason.STALE_VERSION, "is not the next", id="fast forward"),
        pytest.param(ONE, change(trust(2, CHAIR, site="xa-khac"), A), Reason.BAD_TRUST, "xa-khac", id="another site"),
        pytest.param(ONE, change(NO_KEY, A), Reason.BAD_TRUST, "root-nobody", id="a root without a key"),
        pytest.param(ONE, change(REUSED, A), Reason.BAD_TRUST, "once another key", id="a kid with another key"),
        pytest.param(ONE, change(TWICE, A), Reason.BAD_TRUST, "2 times", id="one key listed twice"),
        pytest.param(ONE, change(ONE_KEY_TWO_ROOTS, A), Reason.BAD_TRUST, "2 times", id="one key as two roots"),
        pytest.param(ONE, change(TWO, A, iss="civil defence"), Reason.WRONG_ISSUER, "civil", id="a borrowed name"),
        pytest.param(
            ONE, change(REPLACED, A, NEW, iss=NEW.authority), Reason.WRONG_ISSUER, "root new", id="a new root's name"
        ),
        pytest.param(ONE, change(TWO, A, aud=["site:xa-khac"]), Reason.WRONG_AUDIENCE, "xa-khac", id="not for us"),
    ],
)
def test_refused(before: TrustDocument, envelope: bytes, expected: Reason, says: str) -> None:
    found = pole(before).refuses(envelope)
    assert (found.reason, says in found.detail) == (expected, True), found
    assert found.reportable is (expected not in {Reason.UNKNOWN_KEY, Reason.WRONG_AUDIENCE})


@pytest.mark.parametrize("threshold", [0, 2, 17])
def test_a_threshold_of_nobody_or_of_more_than_there_are(threshold: int) -> None:
    word = changed(json.loads(encode(TWO)), {"roots": {"threshold": threshold, "kids": [A.kid]}})
    assert pole(ONE).refuses(A.compact(payload(word))).reason is Reason.BAD_TRUST


@pytest.mark.parametrize(
    ("change_of", "expected"),
    [({"more": 1}, Reason.UNKNOWN_MEMBER), ({"roots": ...}, Reason.MISSING_MEMBER), ({"keys": []}, Reason.BAD_TRUST)],
)
def test_a_document_in_other_words(change_of: Json, expected: Reason) -> None:
    word = changed(json.loads(encode(TWO)), change_of)
    assert pole(ONE).refuses(A.compact(payload(word))).reason is expected


def test_signatures_of_two_drafts_do_not_add_up() -> None:
    """One officer signed this, the other that: neither document has both."""
    before = trust(1, OPERATOR, roots=(A, B), threshold=2)
    first, second = trust(2, CHAIR, roots=(A, B), threshold=2), trust(2, STRANGER, roots=(A, B), threshold=2)
    mixed = {**general(payload(first), [A, B])}
    other = general(payload(second), [A, B])
    mixed["signatures"] = [mixed["signatures"][0], other["signatures"][1]]  # type: ignore[index]
    found = pole(before).refuses(compact_json(mixed))
    assert (found.reason, found.reportable) == (Reason.BAD_SIGNATURE, False)


def test_a_forged_signature_of_a_new_root_refuses_the_whole() -> None:
    forged = general(payload(REPLACED), [A, NEW])
    forged["signatures"][1]["signature"] = forged["signatures"][0]["signature"]  # type: ignore[index]
    found = pole(ONE).refuses(compact_json(forged))
    assert (found.check, found.reason, found.reportable) == (13, Reason.BAD_SIGNATURE, False)


def test_a_kid_of_a_version_long_gone_is_never_another_key() -> None:
    two = TrustStore(ONE, site=SITE).followed_by(TWO)  # the operator is gone
    three = with_members(trust(3, CHAIR), keys=(CHAIR.trusted(), entry(OPERATOR, public=STRANGER), A.trusted()))
    found = Pole(trust=two).refuses(change(three, A))
    assert (found.reason, OPERATOR.kid in found.detail) == (Reason.BAD_TRUST, True)


@pytest.mark.parametrize(
    "instant", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00", "tomorrow", 5, None]
)
def test_an_instant_that_no_clock_shows(instant: object) -> None:
    """Its fingerprint could not be made, and a node that had stored it would die at every start."""
    member = "valid_from" if str(instant).startswith("0001") else "valid_until"
    key = json.loads(encode(A.trusted())) | {member: instant}
    word = changed(json.loads(encode(TWO)), {"keys": [key]})
    assert pole(ONE).refuses(A.compact(payload(word))).reason is Reason.BAD_TRUST


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["version", "site", "keys", "roots", "approvals", "kid", "public", "authority", "may"]), JSON)
def test_whatever_a_root_signs_never_raises(name: str, value: object) -> None:
    word = json.loads(encode(TWO))
    (word if name in word else word["keys"][0])[name] = value
    found = pole(ONE).hears(A.compact(payload(word)))
    assert isinstance(found, VerifiedCommand) or found.reportable


def test_a_retained_change_is_old_news() -> None:
    assert pole(ONE).refuses(change(TWO, A), retained=True).reason is Reason.RETAINED


def test_another_command_by_a_root_is_not_lifted_by_it() -> None:
    assert pole(ONE).refuses(order({"type": "set_volume", "percent": 1}, A)).reason is Reason.NOT_PERMITTED


class TestKept:
    def test_it_proves_itself_without_the_roots_before_it(self) -> None:
        kept = verify_kept_trust(change(REPLACED, A, NEW), site=SITE, used={"old": "O"})
        assert kept.document == REPLACED
        assert (kept.used["old"], kept.used[NEW.kid]) == ("O", NEW.public)

    @pytest.mark.parametrize(
        "envelope",
        [
            b"",
            change(REPLACED, A),
            change(trust(2, CHAIR, site="xa-khac"), A),
            change(TWO, A)[:-11] + b"AAAAAAAAAAA",
            order({"type": "report_now"}, A),
        ],
        ids=["empty", "not by its own roots", "another site", "damaged", "another command"],
    )
    def test_what_does_not_is_told(self, envelope: bytes) -> None:
        with pytest.raises(TrustError):
            verify_kept_trust(envelope, site=SITE, used={})


def test_the_addressee_is_the_whole_site_or_this_node() -> None:
    for name in HERE.names:
        pole(ONE).obeys(change(TWO, A, aud=[name]))
