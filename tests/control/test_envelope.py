"""Envelopes as others read them: two JOSE libraries that are not ours, and the node's own checks."""

import json
from typing import Any

import jwt
import pytest
from joserfc import jws
from joserfc.jwk import OKPKey
from joserfc.jws import GeneralJSONSerialization

from agent.messages.commands import Play
from agent.security import TrustStore, explain
from control import base64url, keys, orders
from control.envelope import EnvelopeError, opened, sign
from control.keys import SigningKey
from tests.signing import CHAIR, NODE, NOW, OPERATOR, SITE, Key, Pole, document

WORD = orders.command(
    "play", item="tin-1", kind="normal", title="Tiêm chủng", sources=[{"builtin": {"name": "chime"}}], max_duration_s=60
)


def signer(key: Key) -> SigningKey:
    return SigningKey(key.kid, key.private)


def jwk(key: Key) -> dict[str, str | list[str]]:
    return {"kty": "OKP", "crv": "Ed25519", "x": key.public, "kid": key.kid}


def order_of(*signers: Key, word: Any = WORD, to: str = f"node:{SITE}/{NODE}") -> orders.Order:
    return orders.order(
        word, iss=signers[0].authority, audience=[to], signers=[signer(key) for key in signers], iat=NOW, lifetime_s=600
    )


def test_one_signature_is_a_compact_jws_that_joserfc_verifies() -> None:
    found = jws.deserialize_compact(
        order_of(OPERATOR).envelope, OKPKey.import_key(jwk(OPERATOR)), algorithms=["Ed25519"]
    )
    assert found.protected == {"alg": "Ed25519", "kid": "hd-operator", "typ": "loa-command+jws"}
    claims = json.loads(found.payload)
    assert set(claims) == {"iss", "aud", "jti", "iat", "exp", "command"}
    assert claims["command"]["title"] == "Tiêm chủng"


def test_with_the_older_name_of_the_algorithm_pyjwt_verifies_it() -> None:
    envelope = sign({"iss": "x"}, [signer(OPERATOR)], alg="EdDSA")
    public = jwt.PyJWK(jwk(OPERATOR), algorithm="EdDSA")
    assert jwt.decode(envelope, public.key, algorithms=["EdDSA"]) == {"iss": "x"}


def test_several_signatures_are_general_json_that_joserfc_verifies() -> None:
    envelope = order_of(CHAIR, OPERATOR).envelope
    value = json.loads(envelope)
    assert set(value) == {"payload", "signatures"}
    assert [set(part) for part in value["signatures"]] == [{"protected", "signature"}] * 2
    for key in (CHAIR, OPERATOR):
        public = OKPKey.import_key(jwk(key))
        alone: GeneralJSONSerialization = {
            "payload": value["payload"],
            "signatures": [value["signatures"][(CHAIR, OPERATOR).index(key)]],
        }
        found = jws.deserialize_json(alone, public, algorithms=["Ed25519"])
        assert json.loads(found.payload)["iss"] == CHAIR.authority


def test_a_node_obeys_both_forms() -> None:
    two = Pole(trust=TrustStore(document(approvals={"play.normal": 2}), site=SITE))
    for pole, signers in ((Pole(), (OPERATOR,)), (two, (CHAIR, OPERATOR))):
        verified = pole.obeys(order_of(*signers).envelope)
        assert isinstance(verified.command, Play)
        assert verified.command == WORD
        assert verified.kids == tuple(key.kid for key in signers)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("stop", {"item": "tin-1", "reason": "xong"}),
        ("stop", {"all": True, "reason": "xong"}),
        ("set_volume", {"percent": 0}),
        ("set_mute", {"muted": False}),
        ("report_now", {}),
        ("time", {"nonce": "ab" * 16}),
    ],
)
def test_a_node_obeys_every_command_made_here(name: str, members: dict[str, object]) -> None:
    word = orders.command(name, **members)
    assert Pole().obeys(order_of(CHAIR, word=word, to=f"site:{SITE}").envelope).command == word


def test_the_signature_covers_every_byte() -> None:
    envelope = order_of(OPERATOR).envelope
    head, body, signature = envelope.split(b".")
    changed = base64url.encode(base64url.decode(body.decode()).replace(b"tin-1", b"tin-2")).encode()
    pole = Pole()
    lines = explain(
        b".".join((head, changed, signature)),
        retained=False,
        trust=pole.trust,
        addressee=pole.addressee,
        clock=pole.clock,
    )
    assert lines[-1] == "bad_signature"


def test_bytes_are_signed_as_they_are() -> None:
    assert opened(sign(b'{ "a":1}', [signer(OPERATOR)])).payload == b'{ "a":1}'


@pytest.mark.parametrize("count", [0, 9])
def test_no_signer_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 8 signatures, not {count}"):
        sign({}, [keys.generate(f"k{number}") for number in range(count)])


def test_one_name_does_not_sign_twice() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        sign({}, [keys.generate("k"), keys.generate("k")])


def test_what_was_signed_opens_again() -> None:
    for signers in ((OPERATOR,), (OPERATOR, CHAIR)):
        envelope = opened(sign({"iss": "x"}, [signer(key) for key in signers]))
        assert envelope.payload == b'{"iss":"x"}'
        assert [part.header["kid"] for part in envelope.signatures] == [key.kid for key in signers]
        for part, key in zip(envelope.signatures, signers, strict=True):
            assert keys.verifies(key.public, part.value, part.signed)
            assert not keys.verifies(key.public, part.value, part.signed + b"x")


@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        (b"", "3 parts"),
        (b"a.b", "3 parts"),
        (b"e30=.e30.e30", "header is not"),
        (b"e30.e31.e30", "payload is not canonical"),
        (b"W10.e30.e30", "header is not an object"),
        (b"e30.e30.\xff", "neither"),
        (b"{}", "exactly payload and signatures"),
        (b'{"payload":"e30","protected":"e30","signature":"e30"}', "exactly payload and signatures"),
        (b'{"payload":"e30","signatures":[]}', "2 to 8"),
        (b'{"payload":"e30","payload":"e30","signatures":[]}', "twice"),
        (b'{"payload":"e30","signatures":[1,2]}', "exactly protected and signature"),
        (b'{"payload":"e30","signatures":[{"protected":1,"signature":""},{"protected":1,"signature":""}]}', "strings"),
        (b"a" * 300_000, "larger"),
    ],
)
def test_what_is_no_envelope_is_named(envelope: bytes, says: str) -> None:
    with pytest.raises(EnvelopeError, match=says):
        opened(envelope)
