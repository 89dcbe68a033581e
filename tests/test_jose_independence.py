"""Envelopes made by JOSE libraries that know nothing of us are accepted, and they read our reports."""

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc import jws
from joserfc.jwk import OKPKey

from agent.security import NodeKey
from tests.signing import CHAIR, DEFENCE, OPERATOR, Key, Pole, claims, compact_json, play

POLE = Pole()
ORDER = compact_json(claims(play()))
ALARM = compact_json(claims(play(kind="emergency"), iss=CHAIR.authority))
NPM = json.loads((Path(__file__).parent / "fixtures" / "npm_jose.json").read_text("utf-8"))
"""Made by tests/fixtures/npm_jose.mjs."""
ALGORITHMS = ["Ed25519", "EdDSA"]


def jwk(key: Key) -> OKPKey:
    private = base64.urlsafe_b64encode(key.private.private_bytes_raw()).decode().rstrip("=")
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.public, "d": private})


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # the older name, which others still use
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_joserfc_compact(alg: str) -> None:
    envelope = jws.serialize_compact({**OPERATOR.header, "alg": alg}, ORDER, jwk(OPERATOR), algorithms=[alg])
    assert POLE.obeys(envelope.encode()).kids == ("hd-operator",)


def test_joserfc_general() -> None:
    members: list[jws.HeaderDict] = [{"protected": key.header} for key in (CHAIR, DEFENCE)]
    keys = {key.kid: jwk(key) for key in (CHAIR, DEFENCE)}
    envelope = jws.serialize_json(members, ALARM, lambda signature: keys[signature.headers()["kid"]], ["Ed25519"])
    assert POLE.obeys(compact_json(envelope)).kids == ("hd-chair", "hd-defence")


def test_pyjwt() -> None:
    headers = {"kid": OPERATOR.kid, "typ": "loa-command+jws"}
    envelope = jwt.encode(claims(play()), OPERATOR.private, algorithm="EdDSA", headers=headers)
    assert POLE.obeys(envelope.encode()).kids == ("hd-operator",)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_npm_jose_compact(alg: str) -> None:
    assert POLE.obeys(NPM["compact"][alg].encode()).jti == "npm-jose-0000000001"


def test_npm_jose_general() -> None:
    assert POLE.obeys(compact_json(NPM["general"])).kids == ("hd-chair", "hd-defence")


def test_our_reports_are_read_by_joserfc() -> None:
    key = NodeKey.generate()
    public = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.public_base64url})
    read = jws.deserialize_compact(key.seal(b'{"seq":1}').decode(), public, algorithms=["Ed25519"])
    assert (read.payload, read.headers()["kid"]) == (b'{"seq":1}', public.thumbprint())


def test_the_same_key_verifies_a_report_by_itself() -> None:
    """A watcher in any language needs no more than Ed25519 over the two pieces as they are spelt."""
    key = NodeKey.generate()
    signing_input, _, signature = key.seal(b"{}").rpartition(b".")
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key.public_base64url + "="))
    public.verify(base64.urlsafe_b64decode(signature + b"=="), signing_input)
