"""The trust store, stored items, the explanation, and the node's own key; the attacks are in tests/attacks."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.messages.codec import convert
from agent.messages.commands import Stop, VerifiedCommand
from agent.messages.reasons import Reason
from agent.messages.trust import Roots, TrustDocument, TrustedKey
from agent.security import (
    CHECKS,
    Addressee,
    ClockView,
    NodeKey,
    NodeKeyError,
    Refusal,
    RefusalError,
    TrustError,
    TrustStore,
    explain,
    open_report,
    thumbprint,
    verify,
    verify_stored,
)
from tests.signing import (
    CHAIR,
    DEFENCE,
    HERE,
    NOW,
    OPERATOR,
    ROOT,
    SITE,
    STRANGER,
    TRUSTED,
    UNTRUSTED,
    Pole,
    base64url,
    claims,
    compact_json,
    document,
    general,
    order,
    play,
)

POLE = Pole()
PRIME = 2**255 - 19
COMPACT = order(play())
GENERAL = compact_json(general(compact_json(claims(play(kind="emergency"), iss=CHAIR.authority)), (CHAIR, DEFENCE)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def trusted(**changes: object) -> TrustedKey:
    """The operator's entry, with changes that a typed document would also carry."""
    members = {name: getattr(OPERATOR.trusted(), name) for name in TrustedKey.__struct_fields__}
    entry = convert({**members, **{name: value for name, value in changes.items() if name != "public"}}, TrustedKey)
    public = changes.get("public", entry.public)
    assert isinstance(public, str)
    return TrustedKey(
        kid=entry.kid,
        public=public,
        authority=entry.authority,
        may=entry.may,
        valid_from=entry.valid_from,
        valid_until=entry.valid_until,
    )


def of_keys(*keys: TrustedKey) -> TrustDocument:
    roots = Roots(threshold=1, kids=(keys[0].kid,))
    return TrustDocument(version=1, site=SITE, keys=keys, roots=roots, approvals={})


def point(y: int, *, sign: int = 0) -> str:
    return base64url((y | sign << 255).to_bytes(32, "little")).decode()


def both_roots(square: int) -> list[int]:
    """Square roots modulo the field's prime (which is 5 modulo 8); none where there is none."""
    root = pow(square, (PRIME + 3) // 8, PRIME)
    for candidate in (root, root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME):
        if candidate * candidate % PRIME == square % PRIME:
            return [candidate, PRIME - candidate]
    return []


class TestTrustDocument:
    def test_a_good_one(self) -> None:
        store = TrustStore(document(), site=SITE)
        known, stranger = store.find("hd-operator"), store.find("stranger")
        assert known is not None
        assert known.key.authority == "commune operator"
        assert stranger is None

    @pytest.mark.parametrize(
        ("bad", "sentence"),
        [
            (document(site="xa-khac"), "is of site 'xa-khac', this node is of 'hoang-dao'"),
            (document(OPERATOR, replace(CHAIR, kid="hd-operator"), ROOT), "kid 'hd-operator' stands 2 times"),
            (of_keys(trusted(), trusted(kid="again")), "public key '.*' stands 2 times"),
            (document(OPERATOR, roots=Roots(threshold=1, kids=("hd-root",))), "root kid 'hd-root' has no key"),
            (document(roots=Roots(threshold=3, kids=("hd-root", "hd-root-paper"))), "ask 3 signatures, .* only 2"),
            (document(roots=Roots(threshold=2, kids=("hd-root", "hd-root"))), "root kid 'hd-root' stands 2 times"),
            (of_keys(trusted(valid_from=datetime(2026, 1, 1))), "need a time zone"),  # noqa: DTZ001 - the mistake
            (of_keys(trusted(valid_until=datetime(2029, 1, 1))), "need a time zone"),  # noqa: DTZ001 - the mistake
            (of_keys(trusted(valid_until=datetime(2026, 1, 1, tzinfo=UTC))), "must be later than valid_from"),
        ],
    )
    def test_what_is_refused_whole(self, bad: TrustDocument, sentence: str) -> None:
        with pytest.raises(TrustError, match=sentence):
            TrustStore(bad, site=SITE)

    @pytest.mark.parametrize(
        "public",
        [
            pytest.param("A" * 42, id="31 bytes"),
            pytest.param("A" * 44, id="33 bytes"),
            pytest.param("A" * 42 + "B", id="spare bits set"),
            pytest.param("A" * 42 + "=", id="padding"),
            pytest.param("ä" * 43, id="not ASCII"),
            pytest.param(point(0), id="order 4"),
            pytest.param(point(0, sign=1), id="order 4, other sign"),
            pytest.param(point(1), id="order 1"),
            pytest.param(point(1, sign=1), id="order 1, other sign"),
            pytest.param(point(PRIME - 1), id="order 2"),
            pytest.param(point(PRIME), id="zero, not canonical"),
            pytest.param(point(PRIME + 1), id="one, not canonical"),
            pytest.param(point(2), id="not on the curve"),
        ],
    )
    def test_public_keys_that_nobody_owns_or_anybody(self, public: str) -> None:
        with pytest.raises(TrustError, match="public"):
            TrustStore(of_keys(trusted(public=public)), site=SITE)

    def test_keys_of_order_eight_are_refused_with_both_signs(self) -> None:
        """Solved here from d y^4 + 2 y^2 = 1, so that the check is not its own witness: y^2 = (-1 ± sqrt(1+d)) / d."""
        d = -121665 * pow(121666, -1, PRIME) % PRIME
        squares = [(root - 1) * pow(d, -1, PRIME) % PRIME for root in both_roots(1 + d)]
        found = [y for square in squares for y in both_roots(square)]
        assert len(found) == 2
        for y in found:
            for sign in (0, 1):
                with pytest.raises(TrustError, match="anybody can own"):
                    TrustStore(of_keys(trusted(public=point(y, sign=sign))), site=SITE)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_key_pair_is_an_honest_point(seed: bytes) -> None:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    TrustStore(of_keys(trusted(public=base64url(public).decode())), site=SITE)


def test_a_clock_beyond_the_last_year_ends_keys_and_not_the_process() -> None:
    """A `time` may be dated up to the last second of 9999, and then the node's clock goes on."""
    for clock in (ClockView(253_402_300_799 + 60.0, NOW), ClockView(None, 253_402_300_799 + 60)):
        found = verify(COMPACT, retained=False, trust=POLE.trust, addressee=HERE, clock=clock)
        assert isinstance(found, Refusal)
        assert found.reason is Reason.KEY_NOT_VALID


class TestStored:
    """Asked again at the next start: signatures, audience, permissions; neither dates nor windows."""

    def again(self, trust: TrustDocument, addressee: Addressee = HERE) -> VerifiedCommand | Refusal:
        return verify_stored(COMPACT, trust=TrustStore(trust, site=trust.site), addressee=addressee)

    def test_it_stays_what_it_was(self) -> None:
        assert self.again(document()) == POLE.obeys(COMPACT)

    def test_its_dates_and_the_keys_end_do_not_matter(self) -> None:
        ended = replace(OPERATOR, valid_until=datetime(2026, 2, 1, tzinfo=UTC))
        assert isinstance(self.again(document(ended)), VerifiedCommand)

    @pytest.mark.parametrize(
        ("trust", "addressee", "expected"),
        [
            (document(CHAIR), HERE, Reason.UNKNOWN_KEY),
            (document(replace(OPERATOR, may=("stop",))), HERE, Reason.NOT_PERMITTED),
            (document(OPERATOR, approvals={"play.normal": 2}), HERE, Reason.NOT_ENOUGH_SIGNATURES),
            (document(replace(OPERATOR, authority="other")), HERE, Reason.WRONG_ISSUER),
            (document(OPERATOR), Addressee(SITE, "hd-99", frozenset()), Reason.WRONG_AUDIENCE),
        ],
    )
    def test_what_no_longer_holds_ends(self, trust: TrustDocument, addressee: Addressee, expected: Reason) -> None:
        found = self.again(trust, addressee)
        assert isinstance(found, Refusal)
        assert found.reason is expected

    def test_a_retired_key_stands_for_what_it_once_could(self) -> None:
        found = self.again(document(replace(OPERATOR, may=())))
        assert isinstance(found, VerifiedCommand)
        assert found.may == frozenset()

    def test_a_damaged_envelope_is_refused(self) -> None:
        found = verify_stored(b"\x00" + COMPACT[1:], trust=POLE.trust, addressee=HERE)
        assert isinstance(found, Refusal)
        assert (found.check, found.reason) == (3, Reason.BAD_ENVELOPE)


class TestExplain:
    def test_accepted(self) -> None:
        lines = explain(COMPACT, retained=False, trust=POLE.trust, addressee=HERE, clock=TRUSTED)
        assert lines == (*(f"{check.number:2} ok      {check.asks}" for check in CHECKS), "accepted")

    def test_refused(self) -> None:
        lines = explain(order(play(), aud=["site:x"]), retained=False, trust=POLE.trust, addressee=HERE, clock=TRUSTED)
        assert lines[-4:] == (
            " 7 ok      six claims in strict JSON",
            " 8 failed  addressed to this node: addressed to site:x, not to this node",
            "           it stops another commune's order carried here",
            "wrong_audience",
        )

    def test_every_check_can_fail(self) -> None:
        envelopes = {
            2: b"x" * 262_145,
            3: b"",
            4: b"..",
            5: order(play(), STRANGER),
            6: COMPACT[:-11] + base64url(bytes(8)),
            7: OPERATOR.compact(b"{}"),
            8: order(play(), aud=["site:x"]),
            9: order(play(), iss="x"),
            10: order({}),
            11: order(play(kind="emergency")),
            12: order(play(), exp=NOW - 1),
        }
        assert POLE.refuses(COMPACT, retained=True).check == 1
        assert [POLE.refuses(envelope).check for envelope in envelopes.values()] == list(envelopes)


def test_what_is_verified_is_kept_whole() -> None:
    verified = POLE.obeys(GENERAL)
    assert (verified.iat, verified.exp, verified.iss) == (NOW, NOW + 3_600, "commune chair")
    assert (verified.kids, verified.max_volume_percent) == (("hd-chair", "hd-defence"), 95)
    assert verified.envelope == GENERAL
    stop = POLE.obeys(order({"type": "stop", "all": True, "reason": ""})).command
    assert stop == Stop(reason="", all=True)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_never_verifies_and_never_raises(noise: bytes) -> None:
    for clock in (TRUSTED, UNTRUSTED):
        found = verify(noise, retained=False, trust=POLE.trust, addressee=HERE, clock=clock)
        assert isinstance(found, Refusal)
        assert not found.reportable


@settings(deadline=None)
@given(st.sampled_from((COMPACT, GENERAL)), st.data())
def test_an_envelope_with_any_byte_changed_never_verifies(honest: bytes, data: st.DataObject) -> None:
    where = data.draw(st.integers(0, len(honest) - 1))
    other = data.draw(st.binary(max_size=3).filter(lambda piece: piece != honest[where : where + 1]))
    bent = honest[:where] + other + honest[where + 1 :]
    found = POLE.hears(bent)
    # How General JSON is spelt around the signed pieces is not signed, and carries no meaning. Nor does a kid that is
    # no longer known: it counts nothing, and this emergency asks for one signature only; but its own must be good.
    if isinstance(found, VerifiedCommand):
        assert honest is GENERAL
        assert found.command == POLE.obeys(honest).command
        assert json.loads(bent)["payload"] == json.loads(honest)["payload"]
    elif found.reportable:  # the chair's kid is bent to an unknown one: the other officer is proven, and no issuer
        assert (found.reason, found.iss) == (Reason.WRONG_ISSUER, DEFENCE.authority)
        assert json.loads(bent)["payload"] == json.loads(honest)["payload"]


@settings(deadline=None)
@given(st.sampled_from(["iss", "aud", "jti", "iat", "exp", "command", "other"]), JSON)
def test_whatever_a_key_holder_signs_never_raises(name: str, value: object) -> None:
    for clock in (TRUSTED, UNTRUSTED):
        found = replace(POLE, clock=clock).hears(order(play(), **{name: value}))
        if isinstance(found, Refusal) and found.reportable:
            assert found.iss == OPERATOR.authority
            assert found.detail.isprintable()


@settings(deadline=None)
@given(
    st.sampled_from([*play(), "volume_percent", "start_at", "not_after", "repeat", "chime", "replaces", "zones"]), JSON
)
def test_whatever_stands_in_a_signed_play_never_raises(name: str, value: object) -> None:
    found = POLE.hears(order(play(**{name: value})))
    assert isinstance(found, VerifiedCommand) or found.reportable


@settings(deadline=None)
@given(JSON)
def test_whatever_stands_in_a_header_never_raises(value: object) -> None:
    found = POLE.refuses(OPERATOR.compact(compact_json(claims(play())), header=compact_json(value)))
    assert found.reason is Reason.BAD_HEADER


def respelt(jws: bytes, payload: bytes) -> bytes:
    protected, _, signature = jws.split(b".")
    return b".".join((protected, base64url(payload), signature))


class TestNodeKey:
    def test_a_report_is_opened_with_the_public_part(self) -> None:
        key = NodeKey.generate()
        assert open_report(key.seal(b'{"seq":1}'), key.public_base64url) == b'{"seq":1}'

    def test_the_key_survives_its_file_and_signs_the_same_bytes(self) -> None:
        key = NodeKey.generate()
        again = NodeKey.from_pem(key.private_pem())
        assert again.public_base64url == key.public_base64url
        assert again.seal(b"{}") == key.seal(b"{}")

    def test_the_header_names_the_key_by_itself(self) -> None:
        key = NodeKey.generate()
        protected = key.seal(b"{}").split(b".")[0]
        assert json.loads(urlsafe_b64decode(protected + b"==")) == {
            "alg": "Ed25519",
            "kid": thumbprint(key.public_base64url),
            "typ": "loa-report+jws",
        }

    def test_the_thumbprint_of_rfc_8037(self) -> None:
        """Its appendix A.3."""
        assert (
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        )

    def test_a_report_is_no_command_and_a_command_no_report(self) -> None:
        assert POLE.refuses(NodeKey.generate().seal(b"{}")).reason is Reason.WRONG_TYP
        with pytest.raises(RefusalError) as refused:
            open_report(COMPACT, OPERATOR.public)
        assert refused.value.reason is Reason.WRONG_TYP

    @pytest.mark.parametrize(
        ("bend", "expected"),
        [
            (lambda jws: jws[:-11] + base64url(bytes(8)), Reason.BAD_SIGNATURE),
            (lambda jws: respelt(jws, b"{}"), Reason.BAD_SIGNATURE),
            (lambda _: NodeKey.generate().seal(b'{"seq":1}'), Reason.UNKNOWN_KEY),
            (lambda _: b"junk", Reason.BAD_ENVELOPE),
        ],
    )
    def test_a_report_bent_or_of_another_node(self, bend: Callable[[bytes], bytes], expected: Reason) -> None:
        key = NodeKey.generate()
        with pytest.raises(RefusalError) as refused:
            open_report(bend(key.seal(b'{"seq":1}')), key.public_base64url)
        assert refused.value.reason is expected

    def test_a_report_with_two_signatures_is_none(self) -> None:
        header = {"alg": "Ed25519", "kid": thumbprint(OPERATOR.public), "typ": "loa-report+jws"}
        payload = base64url(b"{}")
        protected, signature = OPERATOR.part(payload, header=header)
        part = {"protected": protected.decode(), "signature": signature.decode()}
        with pytest.raises(RefusalError, match="another key"):
            open_report(compact_json({"payload": payload.decode(), "signatures": [part, part]}), OPERATOR.public)

    @pytest.mark.parametrize(
        "pem",
        [
            b"",
            b"not a key",
            generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            OPERATOR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")),
        ],
        ids=["empty", "text", "another kind", "encrypted"],
    )
    def test_a_file_that_holds_no_such_key(self, pem: bytes) -> None:
        with pytest.raises(NodeKeyError):
            NodeKey.from_pem(pem)
