"""Whoever holds good envelopes or good keys, and uses them for what they were not given for."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.messages.commands import ROOTS, VerifiedCommand, obeyed_without_clock
from agent.messages.reasons import Reason
from agent.messages.trust import Permission, Roots
from agent.security import Addressee, ClockView, Refusal, TrustStore, explain, verify_stored
from tests.signing import (
    CHAIR,
    DEFENCE,
    EXPIRED,
    FUTURE,
    HERE,
    JTI,
    NODE,
    NOW,
    OPERATOR,
    PAPER_ROOT,
    RETIRED,
    ROOT,
    SITE,
    UNTRUSTED,
    Key,
    Pole,
    changed,
    claims,
    compact_json,
    document,
    general,
    order,
    play,
    seal,
)

POLE = Pole()
BLIND = Pole(clock=UNTRUSTED)
STOP = {"type": "stop", "item": "tin-1", "reason": "xong"}
TIME = {"type": "time", "nonce": "0f" * 16}
ALARM = play(kind="emergency", sources=[{"builtin": {"name": "siren"}}])


def refused(
    envelope: bytes, expected: Reason, *, pole: Pole = POLE, reportable: bool = True, iss: str = OPERATOR.authority
) -> None:
    refusal = pole.refuses(envelope)
    assert (refusal.reason, refusal.reportable) == (expected, reportable), refusal
    assert (refusal.iss, refusal.jti) == ((iss, JTI) if reportable else ("", ""))


def pole(*keys: Key, clock: ClockView = POLE.clock, approvals: dict[Permission, int] | None = None) -> Pole:
    return Pole(trust=TrustStore(document(*keys, approvals=approvals), site=SITE), clock=clock)


class TestCarriedElsewhere:
    """Every commune has a thon-2."""

    @pytest.mark.parametrize("aud", [f"node:{SITE}/{NODE}", f"group:{SITE}/thon-2", f"site:{SITE}"])
    def test_each_name_of_the_node_suffices(self, aud: str) -> None:
        POLE.obeys(order(play(), aud=[aud]))
        POLE.obeys(order(play(), aud=["site:xa-khac", "node:xa-khac/p-1", aud]))

    @pytest.mark.parametrize(
        "aud",
        ["site:xa-khac", "group:xa-khac/thon-2", f"node:xa-khac/{NODE}", f"node:{SITE}/hd-04", f"group:{SITE}/{NODE}"],
    )
    def test_an_order_to_others(self, aud: str) -> None:
        refused(order(play(), aud=[aud]), Reason.WRONG_AUDIENCE, reportable=False)

    @pytest.mark.parametrize(
        "aud",
        ["", "all", "node:", f"node:{NODE}", f"NODE:{SITE}/{NODE}", f"node:{SITE}/{NODE}/x", f"site:{SITE}\n", "site:*",
         f"site:{SITE}/{NODE}", "group:x", f" site:{SITE}", "node:-a/b", f"site:{'a' * 41}"],
    )  # fmt: skip
    def test_names_outside_the_grammar(self, aud: str) -> None:
        refused(order(play(), aud=[aud]), Reason.BAD_VALUE, reportable=False)
        refused(order(play(), aud=[f"site:{SITE}", aud]), Reason.BAD_VALUE)

    @pytest.mark.parametrize("aud", [[], f"site:{SITE}", None, [f"site:{SITE}"] * 201, [None], [["site:x"]]])
    def test_an_audience_of_another_form(self, aud: object) -> None:
        refused(order(play(), aud=aud), Reason.BAD_VALUE, reportable=False)

    def test_two_hundred_names_are_the_most(self) -> None:
        POLE.obeys(order(play(), aud=[f"node:xa-khac/p-{n}" for n in range(199)] + [f"site:{SITE}"]))

    def test_a_node_without_groups_is_in_none(self) -> None:
        alone = Pole(addressee=Addressee(SITE, NODE, frozenset()))
        refused(order(play(), aud=[f"group:{SITE}/thon-2"]), Reason.WRONG_AUDIENCE, pole=alone, reportable=False)


class TestRecordedAndSentAgain:
    """The dates; the replay memory itself is the core's."""

    def test_it_is_good_until_the_second_of_exp(self) -> None:
        order_ = order(play(), iat=NOW - 3_600, exp=NOW + 1)
        POLE.obeys(order_)
        late = replace(POLE, clock=ClockView(NOW + 0.999, 0))
        late.obeys(order_)
        refused(order_, Reason.EXPIRED, pole=replace(POLE, clock=ClockView(NOW + 1.0, 0)))

    def test_a_sender_whose_clock_runs_ahead(self) -> None:
        POLE.obeys(order(play(), iat=NOW + 300, exp=NOW + 900))
        refused(order(play(), iat=NOW + 301, exp=NOW + 900), Reason.NOT_YET_VALID)

    @pytest.mark.parametrize("exp", [NOW, NOW - 1])
    def test_an_order_that_ends_before_it_begins(self, exp: int) -> None:
        refused(order(play(), exp=exp), Reason.BAD_VALUE)

    @pytest.mark.parametrize(
        ("command", "lifetime_s"),
        [
            (play(), 86_400),
            (STOP, 86_400),
            ({"type": "report_now"}, 86_400),
            ({"type": "set_volume", "percent": 50}, 7 * 86_400),
            ({"type": "set_mute", "muted": False}, 7 * 86_400),
        ],
    )
    def test_an_order_made_to_last(self, command: dict[str, object], lifetime_s: int) -> None:
        POLE.obeys(order(command, exp=NOW + lifetime_s))
        refused(order(command, exp=NOW + lifetime_s + 1), Reason.LIFETIME_TOO_LONG)

    def test_a_flood_alarm_kept_for_next_week(self) -> None:
        POLE.obeys(order(play(not_after=NOW + 7 * 86_400)))
        refused(order(play(not_after=NOW + 7 * 86_400 + 1)), Reason.BAD_VALUE)


class TestNoClockYet:
    """A pole after a power cut, without network time."""

    @pytest.mark.parametrize("command", [STOP, {"type": "report_now"}, {"type": "set_mute", "muted": True}])
    def test_what_makes_silence_is_obeyed(self, command: dict[str, object]) -> None:
        BLIND.obeys(order(command))
        BLIND.obeys(order(command, iat=NOW + 9_000, exp=NOW + 9_999))

    @pytest.mark.parametrize(
        "command", [play(), {"type": "set_mute", "muted": False}, {"type": "set_volume", "percent": 1}]
    )
    def test_what_makes_sound_waits_for_the_time_and_is_judged_anew(self, command: dict[str, object]) -> None:
        """Who asks a pole's own `verify` is told so; that it does wait is tests/core/test_waiting.py's."""
        assert not obeyed_without_clock(BLIND.obeys(order(command)).command)
        told = explain(order(command), retained=False, trust=BLIND.trust, addressee=HERE, clock=UNTRUSTED)
        assert [told[-1], *(line for line in told if "failed" in line)] == ["clock_untrusted"]
        late = replace(POLE, clock=ClockView(trusted_s=NOW + 3_600.0, floor_s=NOW))
        refused(order(command), Reason.EXPIRED, pole=late)

    def test_what_the_floor_has_passed_is_over(self) -> None:
        floor = UNTRUSTED.floor_s
        refused(order(STOP, iat=floor - 9, exp=floor), Reason.EXPIRED, pole=BLIND)
        BLIND.obeys(order(STOP, iat=floor - 9, exp=floor + 1))

    def test_time_is_told_by_who_may(self) -> None:
        BLIND.obeys(order(TIME, CHAIR))
        refused(order(TIME), Reason.NOT_PERMITTED, pole=BLIND)

    def test_a_key_younger_than_the_nodes_build_may_tell_the_time(self) -> None:
        year_2025 = ClockView(None, int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()))
        replace(POLE, clock=year_2025).obeys(order(TIME, CHAIR))

    def test_a_floor_proves_that_a_key_has_ended(self) -> None:
        year_2030 = ClockView(None, int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()))
        refused(order(TIME, CHAIR), Reason.KEY_NOT_VALID, pole=replace(POLE, clock=year_2030), reportable=False)


class TestTimeFromTheRoots:
    """A laptop that said 2099 must not have bricked the pole."""

    YEAR_2099 = int(datetime(2099, 1, 1, tzinfo=UTC).timestamp())

    @pytest.mark.parametrize("trusted", [float(YEAR_2099), None])
    def test_the_roots_are_believed_against_the_nodes_own_time(self, trusted: float | None) -> None:
        bricked = replace(POLE, clock=ClockView(trusted, self.YEAR_2099))
        assert ROOTS in bricked.obeys(order(TIME, ROOT)).may
        refused(order(TIME, CHAIR), Reason.KEY_NOT_VALID, pole=bricked, reportable=False)

    def test_below_the_threshold_a_root_is_a_key_like_others(self) -> None:
        trust = TrustStore(document(roots=Roots(threshold=2, kids=(ROOT.kid, PAPER_ROOT.kid))), site=SITE)
        careful = replace(POLE, trust=trust)
        refused(order(TIME, ROOT), Reason.NOT_PERMITTED, pole=careful, iss="root")
        assert ROOTS in careful.obeys(order(TIME, ROOT, PAPER_ROOT)).may
        refused(order(TIME, ROOT, ROOT), Reason.NOT_PERMITTED, pole=careful, iss="root")

    def test_a_root_may_ask_for_a_report_and_a_retired_key_may_not(self) -> None:
        assert pole().obeys(order({"type": "report_now"}, ROOT)).kids == (ROOT.kid,)
        refused(order({"type": "report_now"}, RETIRED), Reason.NOT_PERMITTED)

    def test_roots_order_nothing_else(self) -> None:
        refused(order(play(), ROOT), Reason.NOT_PERMITTED, iss="root")

    def test_even_the_roots_must_be_consistent(self) -> None:
        refused(order(TIME, ROOT, exp=NOW), Reason.BAD_VALUE, iss="root")
        refused(order(TIME, ROOT, iss="commune chair"), Reason.WRONG_ISSUER, iss="root")

    def test_a_root_whose_window_does_not_hold_the_date(self) -> None:
        far = int(datetime(2050, 1, 1, tzinfo=UTC).timestamp())
        refused(order(TIME, ROOT, iat=far, exp=far + 60), Reason.KEY_NOT_VALID, reportable=False)


class TestOldKeys:
    """Keys whose time has not come, has passed, or was ended."""

    @pytest.mark.parametrize("key", [EXPIRED, FUTURE])
    def test_a_key_outside_its_window(self, key: Key) -> None:
        refused(order(play(), key), Reason.KEY_NOT_VALID, reportable=False)

    @pytest.mark.parametrize("trusted_s", [253_402_300_799.0, 253_402_300_800.0, 1e15])
    def test_a_clock_at_the_end_of_all_calendars_or_beyond(self, trusted_s: float) -> None:
        """Whoever may tell the time may say it is 31 December 9999: then messages are refused, and the node goes on."""
        late = Pole(clock=ClockView(trusted_s, int(trusted_s)))
        refused(order(play(), OPERATOR), Reason.KEY_NOT_VALID, pole=late, reportable=False)
        end = 253_402_300_799
        refused(order(play(), OPERATOR, iat=end - 1, exp=end), Reason.KEY_NOT_VALID, pole=late, reportable=False)
        endless = replace(OPERATOR, valid_until=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
        pole = Pole(TrustStore(document(endless), site=SITE), clock=ClockView(end - 5.5, end - 6))
        pole.obeys(order(play(), OPERATOR, iat=end - 10, exp=end))

    def test_an_order_dated_back_into_the_window(self) -> None:
        iat = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp())
        refused(order(play(), EXPIRED, iat=iat, exp=NOW + 60), Reason.KEY_NOT_VALID, reportable=False)

    def test_an_order_dated_forward_into_the_window(self) -> None:
        iat = int(datetime(2027, 5, 1, tzinfo=UTC).timestamp())
        refused(order(play(), FUTURE, iat=iat, exp=iat + 60), Reason.KEY_NOT_VALID, reportable=False)

    @pytest.mark.parametrize("command", [play(), STOP, {"type": "report_now"}])
    def test_a_retired_key_signs_nothing_new(self, command: dict[str, object]) -> None:
        refused(order(command, RETIRED), Reason.NOT_PERMITTED)

    def test_what_a_retired_key_ordered_stays(self) -> None:
        verified = verify_stored(order(play(), RETIRED), trust=POLE.trust, addressee=POLE.addressee)
        assert isinstance(verified, VerifiedCommand)
        assert verified.kids == ("hd-retired",)

    def test_an_expired_key_lends_no_second_signature(self) -> None:
        two = pole(EXPIRED, OPERATOR, approvals={"play.normal": 2})
        refused(order(play(), OPERATOR, EXPIRED), Reason.NOT_ENOUGH_SIGNATURES, pole=two)


class TestBorrowedNames:
    """Good keys, other people's names."""

    def test_an_operator_orders_in_the_chairs_name(self) -> None:
        """Reported under the name that the key proves: nobody may spoil the outcome of another's jti."""
        refused(order(play(), iss=CHAIR.authority), Reason.WRONG_ISSUER)

    def test_a_broken_order_in_the_chairs_name(self) -> None:
        refused(order(play(), iss=CHAIR.authority, more=1), Reason.UNKNOWN_MEMBER)

    def test_a_retired_officers_key_lends_its_name_to_an_operator(self) -> None:
        old_chair = Key("hd-old-chair", CHAIR.authority)
        conspiracy = pole(OPERATOR, old_chair)
        payload = compact_json(claims(STOP, iss=CHAIR.authority))
        refused(seal(payload, OPERATOR, old_chair), Reason.NOT_PERMITTED, pole=conspiracy, iss=CHAIR.authority)

    def test_the_operators_laptop_is_stolen(self) -> None:
        """It raises no emergency, tells no time, and what it may not end it does not hold."""
        refused(order(ALARM), Reason.NOT_PERMITTED)
        refused(order(TIME), Reason.NOT_PERMITTED)
        assert "play.emergency" not in POLE.obeys(order(STOP)).may

    @pytest.mark.parametrize(
        ("command", "needed"),
        [
            (play(), "play.normal"),
            (play(kind="priority"), "play.priority"),
            (ALARM, "play.emergency"),
            ({"type": "set_volume", "percent": 5}, "volume"),
            ({"type": "set_mute", "muted": True}, "volume"),
            (TIME, "time"),
            ({"type": "restart"}, "restart"),
            ({"type": "self_test"}, "restart"),
        ],
    )
    def test_each_order_needs_its_own_permission(self, command: dict[str, object], needed: Permission) -> None:
        every: tuple[Permission, ...] = (
            "play.normal", "play.priority", "play.emergency", "stop", "schedule", "policy", "prefetch", "volume",
            "restart", "time",
        )  # fmt: skip
        only = replace(OPERATOR, may=(needed,))
        others = replace(OPERATOR, may=tuple(name for name in every if name != needed))
        assert pole(only).obeys(order(command)).may == {needed}
        refused(order(command), Reason.NOT_PERMITTED, pole=pole(others))

    def test_any_key_in_force_may_ask_for_a_report(self) -> None:
        pole(replace(OPERATOR, may=("prefetch",))).obeys(order({"type": "report_now"}))

    def test_a_stop_is_for_whoever_may_order_or_stop(self) -> None:
        """What it ends is the core's to say, from `may`."""
        assert pole(replace(OPERATOR, may=("stop",))).obeys(order(STOP)).may == {"stop"}
        assert pole(replace(OPERATOR, may=("play.normal",))).obeys(order(STOP)).may == {"play.normal"}
        refused(order(STOP), Reason.NOT_PERMITTED, pole=pole(replace(OPERATOR, may=("volume", "time"))))


class TestSeveralOfficers:
    """The trust document asks two signatures for an emergency."""

    TWO = pole(OPERATOR, CHAIR, DEFENCE, approvals={"play.emergency": 2})
    PAYLOAD = compact_json(claims(ALARM, iss=CHAIR.authority))

    def test_two_officers_agree(self) -> None:
        verified = self.TWO.obeys(seal(self.PAYLOAD, CHAIR, DEFENCE))
        assert (verified.kids, verified.max_volume_percent) == (("hd-chair", "hd-defence"), 95)
        assert "play.emergency" in verified.may

    def test_one_is_not_enough(self) -> None:
        refused(seal(self.PAYLOAD, CHAIR), Reason.NOT_ENOUGH_SIGNATURES, pole=self.TWO, iss=CHAIR.authority)

    def test_one_key_listed_twice_does_not_make_two_officers(self) -> None:
        refused(seal(self.PAYLOAD, CHAIR, CHAIR), Reason.NOT_ENOUGH_SIGNATURES, pole=self.TWO, iss=CHAIR.authority)

    def test_a_second_who_may_not_himself_does_not_count(self) -> None:
        envelope = seal(self.PAYLOAD, CHAIR, OPERATOR)
        refused(envelope, Reason.NOT_ENOUGH_SIGNATURES, pole=self.TWO, iss=CHAIR.authority)

    def test_a_permission_short_of_signatures_is_not_held(self) -> None:
        """The chair may stop, but alone not what alone could not have been ordered."""
        verified = self.TWO.obeys(order(STOP, CHAIR))
        assert "play.emergency" not in verified.may
        assert "stop" in verified.may

    def test_stop_asking_two_leaves_everyone_their_own(self) -> None:
        strict = pole(OPERATOR, CHAIR, approvals={"stop": 2})
        assert "stop" not in strict.obeys(order(STOP, CHAIR)).may
        assert "stop" in strict.obeys(order(STOP, CHAIR, OPERATOR)).may

    def test_two_keys_do_not_add_up_to_one_permission(self) -> None:
        halves = pole(replace(OPERATOR, may=("stop",)), replace(DEFENCE, may=("play.emergency",)))
        verified = halves.obeys(order(STOP, OPERATOR, DEFENCE))
        assert verified.may == {"stop"}

    def test_signatures_are_asked_again_of_what_was_stored(self) -> None:
        found = verify_stored(seal(self.PAYLOAD, CHAIR), trust=self.TWO.trust, addressee=self.TWO.addressee)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.NOT_ENOUGH_SIGNATURES

    def test_eight_signatures_are_the_most(self) -> None:
        keys = tuple(replace(CHAIR, kid=f"k-{n}") for n in range(8))
        everyone = pole(*keys, approvals={"play.emergency": 8})
        assert len(everyone.obeys(compact_json(general(self.PAYLOAD, keys))).kids) == 8


class TestHalfUnderstood:
    """Properly signed, yet not in the words of this protocol."""

    @pytest.mark.parametrize("name", ["iss", "aud", "jti", "iat", "exp", "command"])
    def test_a_claim_is_missing(self, name: str) -> None:
        reportable = name in {"exp", "command"}
        refused(order(play(), **{name: ...}), Reason.MISSING_MEMBER, reportable=reportable)

    def test_a_claim_too_many(self) -> None:
        refused(order(play(), nbf=NOW), Reason.UNKNOWN_MEMBER)

    @pytest.mark.parametrize(
        "change",
        [{"jti": "short"}, {"jti": "x" * 65}, {"jti": "0123456789abcde\n"}, {"jti": 5}, {"iat": True}, {"iat": -1},
         {"iat": "1790000000"}, {"iat": None}, {"iss": ""}, {"iss": None}, {"iat": 10**400}, {"iat": 253_402_300_800}],
    )  # fmt: skip
    def test_a_claim_nobody_can_be_answered_by(self, change: dict[str, object]) -> None:
        refused(order(play(), **change), Reason.BAD_VALUE, reportable=False)

    @pytest.mark.parametrize("exp", [True, -1, None, "x", 2**63, 10**400])
    def test_an_exp_that_is_no_instant(self, exp: object) -> None:
        refused(order(play(), exp=exp), Reason.BAD_VALUE)

    @pytest.mark.parametrize("command", [None, [], "play", 1])
    def test_a_command_that_is_no_object(self, command: object) -> None:
        refused(order(command), Reason.BAD_VALUE)

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            ({}, Reason.MISSING_MEMBER),
            ({"type": 5}, Reason.BAD_VALUE),
            ({"type": None}, Reason.BAD_VALUE),
            ({"type": "explode"}, Reason.UNKNOWN_COMMAND),
            ({"type": "Play"}, Reason.UNKNOWN_COMMAND),
            (changed(play(), {"title": ...}), Reason.MISSING_MEMBER),
            (play(volume=5), Reason.UNKNOWN_MEMBER),
            (play(repeat={"count": 1, "gap_s": 0, "x": 1}), Reason.UNKNOWN_MEMBER),
            (play(volume_percent=101), Reason.BAD_VALUE),
            (play(volume_percent=None), Reason.BAD_VALUE),
            (play(max_duration_s="9"), Reason.BAD_VALUE),
        ],
    )
    def test_a_command_in_other_words(self, command: object, expected: Reason) -> None:
        refused(order(command), expected)

    @pytest.mark.parametrize(
        "name",
        ["live", "set_link"],
    )
    def test_a_word_of_the_protocol_that_this_version_does_not_know_yet(self, name: str) -> None:
        refused(order({"type": name, "whatever": 1}), Reason.NOT_SUPPORTED)

    @pytest.mark.parametrize(
        ("payload", "expected"),
        [
            (b"", Reason.MALFORMED_JSON),
            (b"[" * 9_000, Reason.MALFORMED_JSON),
            (b"\xff\xfe", Reason.MALFORMED_JSON),
            (b"null", Reason.BAD_VALUE),
            (b"[]", Reason.BAD_VALUE),
            (compact_json(claims(play())).replace(b'"iat"', b'"exp":1,"iat"'), Reason.DUPLICATE_MEMBER),
            (compact_json(claims(play())).replace(b'"bytes"', b'"bytes":1,"bytes"'), Reason.DUPLICATE_MEMBER),
            (compact_json(claims(play())).replace(b"48000", b"48000.0"), Reason.BAD_VALUE),
            (compact_json(claims(play())).replace(b"48000", b"NaN"), Reason.MALFORMED_JSON),
            (compact_json(claims(play())).replace(b'"normal"', b'"norm\\ud800al"'), Reason.MALFORMED_JSON),
            (compact_json(claims(play())) + b"{}", Reason.MALFORMED_JSON),
        ],
    )
    def test_a_payload_that_is_not_the_json_we_mean(self, payload: bytes, expected: Reason) -> None:
        refused(OPERATOR.compact(payload), expected, reportable=False)

    def test_only_documents_may_be_large(self) -> None:
        # White space between members is no member: the same order, grown to the byte.
        payload = compact_json(claims(play()))
        room = 16 * 1024 - len(OPERATOR.compact(b""))
        grown = payload[:-1] + b" " * (room * 3 // 4 - len(payload)) + b"}"
        assert len(OPERATOR.compact(grown)) == 16 * 1024
        POLE.obeys(OPERATOR.compact(grown))
        refused(OPERATOR.compact(grown[:-1] + b" }"), Reason.TOO_LARGE)
        refused(order({"type": "set_schedule", "version": 1, "more": "x" * 180_000}), Reason.UNKNOWN_MEMBER)
        refused(order({"type": "explode", "more": "x" * 180_000}), Reason.TOO_LARGE)
