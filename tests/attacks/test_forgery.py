"""Whoever holds no trusted key: forgers, men in the middle, and the broker itself."""

import json

import pytest

from agent.messages.reasons import Reason
from agent.security import CHECKS, Refusal
from tests.signing import (
    CHAIR,
    DEFENCE,
    OPERATOR,
    STRANGER,
    Json,
    Pole,
    base64url,
    changed,
    claims,
    compact_json,
    general,
    order,
    play,
)

POLE = Pole()


def reason(envelope: bytes) -> Reason:
    """Why the pole refuses; nothing of it may be reported, since no sender is proven."""
    refusal = POLE.refuses(envelope)
    assert (refusal.reportable, refusal.iss, refusal.jti) == (False, "", "")
    return refusal.reason


def pieces(envelope: bytes) -> tuple[bytes, bytes, bytes]:
    protected, payload, signature = envelope.split(b".")
    return protected, payload, signature


def test_an_honest_order_is_obeyed() -> None:
    verified = POLE.obeys(order(play()))
    assert (verified.iss, verified.kids, verified.max_volume_percent) == ("commune operator", ("hd-operator",), 90)
    assert verified.may == frozenset(OPERATOR.may)


def test_a_stranger_signs_with_a_key_of_his_own() -> None:
    assert reason(order(play(), STRANGER)) is Reason.UNKNOWN_KEY


def test_a_stranger_signs_under_an_officers_name() -> None:
    envelope = STRANGER.compact(compact_json(claims(play())), header=OPERATOR.header)
    assert reason(envelope) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("where", range(0, 86, 5))
def test_one_character_of_the_signature_is_changed(where: int) -> None:
    protected, payload, signature = pieces(order(play()))
    other = b"A" if signature[where : where + 1] != b"A" else b"B"
    forged = signature[:where] + other + signature[where + 1 :]
    assert reason(b".".join((protected, payload, forged))) in {Reason.BAD_SIGNATURE, Reason.BAD_ENVELOPE}


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_the_signature_has_another_length(length: int) -> None:
    protected, payload, _ = pieces(order(play()))
    assert reason(b".".join((protected, payload, base64url(bytes(length))))) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("name", ["iss", "aud", "jti", "iat", "exp", "command"])
def test_a_claim_is_altered_on_the_way(name: str) -> None:
    other: Json = {
        "iss": "commune chair",
        "aud": ["site:hoang-dao"],
        "jti": "fedcba9876543210",
        "iat": 1_790_000_001,
        "exp": 1_790_003_601,
        "command": play(item="tin-2"),
    }
    protected, _, signature = pieces(order(play()))
    payload = base64url(compact_json(claims(play(), **{name: other[name]})))
    assert reason(b".".join((protected, payload, signature))) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "name", ["item", "kind", "title", "sources", "max_duration_s", "volume_percent", "start_at", "not_after", "resume"]
)
def test_a_member_of_the_command_is_altered_on_the_way(name: str) -> None:
    honest = play(volume_percent=50, start_at=1_790_000_100, not_after=1_790_000_900, resume=True)
    other: Json = {
        "item": "tin-2",
        "kind": "priority",
        "title": "Tin khác",
        "sources": [{"builtin": {"name": "siren"}}],
        "max_duration_s": 14_400,
        "volume_percent": 90,
        "start_at": 1_790_000_000,
        "not_after": 1_790_009_000,
        "resume": False,
    }
    protected, _, signature = pieces(order(honest))
    payload = base64url(compact_json(claims({**honest, name: other[name]})))
    assert reason(b".".join((protected, payload, signature))) is Reason.BAD_SIGNATURE


def test_the_header_of_one_envelope_is_put_before_another() -> None:
    _, payload, signature = pieces(order(play()))
    protected = base64url(compact_json(CHAIR.header))
    assert reason(b".".join((protected, payload, signature))) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS256", "ES256", "Ed448", "eddsa", "", None, 0, ["EdDSA"]])
def test_another_algorithm_is_named(alg: object) -> None:
    envelope = OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, "alg": alg})
    assert reason(envelope) is Reason.WRONG_ALG


def test_no_algorithm_and_no_signature() -> None:
    head = base64url(compact_json({**OPERATOR.header, "alg": "none"}))
    assert reason(head + b"." + base64url(compact_json(claims(play()))) + b".") is Reason.WRONG_ALG


@pytest.mark.parametrize("typ", ["loa-report+jws", "JWT", "LOA-COMMAND+JWS", "application/loa-command+jws", None, 1])
def test_a_token_made_for_something_else(typ: object) -> None:
    envelope = OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, "typ": typ})
    assert reason(envelope) is Reason.WRONG_TYP


@pytest.mark.parametrize(
    "extra",
    [{"crit": ["b64"], "b64": False}, {"jwk": {"kty": "OKP"}}, {"jku": "https://evil.example"}, {"x5c": []}, {"": 1}],
)
def test_a_header_brings_its_own_key_or_rule(extra: Json) -> None:
    envelope = OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, **extra})
    assert reason(envelope) is Reason.BAD_HEADER


@pytest.mark.parametrize("missing", ["alg", "kid", "typ"])
def test_a_header_lacks_a_member(missing: str) -> None:
    header = changed(OPERATOR.header, {missing: ...})
    assert reason(OPERATOR.compact(compact_json(claims(play())), header=header)) is Reason.BAD_HEADER


@pytest.mark.parametrize("kid", ["", "k" * 65, None, 7, ["hd-operator"], {"hd-operator": 1}])
def test_a_kid_that_is_no_name(kid: object) -> None:
    envelope = OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, "kid": kid})
    assert reason(envelope) is Reason.BAD_HEADER


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b'"EdDSA"',
        b"{",
        b"\xff",
        b'{"alg":"EdDSA","alg":"none","kid":"hd-operator","typ":"loa-command+jws"}',
        b'{"alg":"none","\\u0061lg":"EdDSA","kid":"hd-operator","typ":"loa-command+jws"}',
        b"[" * 300,
        b" " * 400,
    ],
)
def test_a_header_that_is_no_object_of_three_members(header: bytes) -> None:
    assert reason(OPERATOR.compact(compact_json(claims(play())), header=header)) is Reason.BAD_HEADER


@pytest.mark.parametrize("alg", ["Ed25519", "EdDSA"])
def test_both_names_of_the_one_algorithm_are_good(alg: str) -> None:
    POLE.obeys(OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, "alg": alg}))


def test_a_signature_that_reads_the_same_but_is_spelt_otherwise() -> None:
    protected, payload, signature = pieces(order(play()))
    assert signature[-1:] in b"AQgw"
    respelt = signature[:-1] + bytes([signature[-1] + 1])
    assert reason(b".".join((protected, payload, respelt))) is Reason.BAD_ENVELOPE


@pytest.mark.parametrize("junk", [b"=", b"==", b"\n", b" ", b"+", b"/", b"%", b"\x00", b"\xc3\xa1", b"A" * 256])
@pytest.mark.parametrize("piece", [0, 1, 2])
def test_base64url_with_something_more(junk: bytes, piece: int) -> None:
    spelt = list(pieces(order(play())))
    spelt[piece] += junk
    assert reason(b".".join(spelt)) in {Reason.BAD_ENVELOPE, Reason.BAD_HEADER, Reason.BAD_SIGNATURE}
    spelt[piece] = junk + spelt[piece].removesuffix(junk)
    assert reason(b".".join(spelt)) in {Reason.BAD_ENVELOPE, Reason.BAD_HEADER, Reason.BAD_SIGNATURE}


@pytest.mark.parametrize(
    "text", [b"", b".", b"..", b"...", b"a.b", b"a.b.c.d", b"\x00" * 99, b"{}", b"{", b"[]", b"null"]
)
def test_what_is_no_envelope_at_all(text: bytes) -> None:
    assert reason(text) in {Reason.BAD_ENVELOPE, Reason.BAD_HEADER}


def test_an_envelope_larger_than_any_order_is_not_even_looked_at() -> None:
    assert reason(b"{" + b" " * (256 * 1024)) is Reason.TOO_LARGE
    assert reason(b"{" + b" " * (256 * 1024 - 1)) is Reason.BAD_ENVELOPE


def test_a_retained_order_is_refused_whoever_signed_it() -> None:
    refusal = POLE.refuses(order(play()), retained=True)
    assert refusal == Refusal(1, Reason.RETAINED, "commands are never retained", reportable=False, iss="", jti="")


def test_detail_cannot_break_a_line_of_the_log() -> None:
    envelope = OPERATOR.compact(compact_json(claims(play(), **{"x\n2026 ERROR\x1b[31m": 1})))
    assert POLE.refuses(envelope).detail.isprintable()
    assert len(POLE.refuses(OPERATOR.compact(compact_json(claims(play(), **{"x" * 9_000: 1})))).detail) <= 200


class TestSeveralSignatures:
    """General JSON, bent."""

    ALARM = compact_json(claims(play(kind="emergency"), iss=CHAIR.authority))

    def signed(self) -> dict[str, object]:
        return general(self.ALARM, (CHAIR, DEFENCE))

    def test_as_it_should_be(self) -> None:
        assert POLE.obeys(compact_json(self.signed())).kids == ("hd-chair", "hd-defence")

    def test_one_of_two_signatures_is_forged(self) -> None:
        envelope = self.signed()
        other = general(compact_json(claims(play())), (CHAIR, DEFENCE))
        signatures = envelope["signatures"]
        others = other["signatures"]
        assert isinstance(signatures, list)
        assert isinstance(others, list)
        signatures[1]["signature"] = others[1]["signature"]
        assert reason(compact_json(envelope)) is Reason.BAD_SIGNATURE

    def test_a_stranger_adds_his_own(self) -> None:
        assert POLE.obeys(compact_json(general(self.ALARM, (CHAIR, STRANGER)))).kids == ("hd-chair",)

    def test_only_strangers(self) -> None:
        assert reason(compact_json(general(self.ALARM, (STRANGER, STRANGER)))) is Reason.UNKNOWN_KEY

    @pytest.mark.parametrize("count", [0, 1, 9, 200])
    def test_too_few_or_too_many(self, count: int) -> None:
        assert reason(compact_json(general(self.ALARM, (CHAIR,) * count))) is Reason.BAD_ENVELOPE

    def test_the_flattened_form(self) -> None:
        spelt = base64url(self.ALARM)
        protected, signature = CHAIR.part(spelt)
        flattened = {"payload": spelt.decode(), "protected": protected.decode(), "signature": signature.decode()}
        assert reason(compact_json(flattened)) is Reason.BAD_ENVELOPE

    @pytest.mark.parametrize("change", [{"header": {}}, {"payload": ...}, {"signatures": ...}, {"protected": "e30"}])
    def test_other_members_than_the_two(self, change: Json) -> None:
        assert reason(compact_json(changed(self.signed(), change))) is Reason.BAD_ENVELOPE

    @pytest.mark.parametrize("value", [None, 1, "x", {}, [], [1, 2], [None] * 2, [{}] * 2, ["á"] * 2])
    def test_signatures_of_another_kind(self, value: object) -> None:
        assert reason(compact_json({**self.signed(), "signatures": value})) is Reason.BAD_ENVELOPE

    @pytest.mark.parametrize(
        "change", [{"header": {"kid": "x"}}, {"protected": ...}, {"signature": 5}, {"protected": "é"}]
    )
    def test_an_unprotected_header_or_a_part_missing(self, change: Json) -> None:
        envelope = self.signed()
        signatures = envelope["signatures"]
        assert isinstance(signatures, list)
        signatures[0] = changed(signatures[0], change)
        assert reason(compact_json(envelope)) is Reason.BAD_ENVELOPE

    @pytest.mark.parametrize("payload", [None, 5, "é", ["x"], "a b", "QQ=="])
    def test_a_payload_of_another_kind(self, payload: object) -> None:
        assert reason(compact_json({**self.signed(), "payload": payload})) is Reason.BAD_ENVELOPE

    def test_a_payload_named_twice(self) -> None:
        text = compact_json(self.signed())
        assert reason(b'{"payload":"e30",' + text[1:]) is Reason.BAD_ENVELOPE

    def test_brackets_without_end(self) -> None:
        assert reason(b'{"payload":' + b"[" * 200_000) is Reason.BAD_ENVELOPE
        assert reason(b'{"payload":' * 20_000) is Reason.BAD_ENVELOPE

    def test_a_number_of_a_hundred_thousand_digits(self) -> None:
        assert reason(b'{"payload":' + b"9" * 100_000 + b"}") is Reason.BAD_ENVELOPE


def test_the_checks_are_numbered_from_one_without_a_gap() -> None:
    assert [check.number for check in CHECKS] == list(range(1, 14))
    assert json.dumps([check.stops for check in CHECKS])
