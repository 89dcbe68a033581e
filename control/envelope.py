"""The envelope (protocol section 2): JWS, compact for one signature, General JSON for two to eight. Pure.

`sign` makes one; `opened` takes one apart without believing anything in it; `joined` gathers what several people
signed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.messages.codec import WordError, parse_json
from control import base64url

COMMAND_TYP = "loa-command+jws"
REPORT_TYP = "loa-report+jws"
ALGORITHMS = frozenset({"Ed25519", "EdDSA"})
MAX_SIGNATURES = 8
MAX_ENVELOPE_BYTES = 256 * 1024
"""Protocol section 2: what a node takes on arrival."""
COMPACT_PARTS = 3


class EnvelopeError(ValueError):
    """These bytes are no envelope of ours; one sentence."""


class Signer(Protocol):
    """Whoever signs: a key in memory here, a smart card elsewhere."""

    @property
    def kid(self) -> str:
        """The name under which nodes know the key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """64 bytes of Ed25519 signature."""
        ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature with its protected header; `signed` is what it was made over."""

    header: dict[str, object]
    signed: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope taken apart. Nothing in it is proven."""

    payload: bytes
    signatures: tuple[Signature, ...]


def sign(
    claims: bytes | dict[str, object], keys: Sequence[Signer], *, typ: str = COMMAND_TYP, alg: str = "Ed25519"
) -> bytes:
    """The envelope for `claims` (JSON bytes, taken as they are, or an object), signed by one to eight keys.

    Raises:
        ValueError: no key, too many, or one `kid` twice.
    """
    if not 1 <= len(keys) <= MAX_SIGNATURES:
        raise ValueError(f"an envelope takes 1 to {MAX_SIGNATURES} signatures, not {len(keys)}")
    if len({key.kid for key in keys}) != len(keys):
        raise ValueError("one kid stands twice among the signers: it would count once")
    body = base64url.encode(claims if isinstance(claims, bytes) else _compact_json(claims))
    return _assembled(body, [_signed_part(key, body, typ, alg) for key in keys])


def joined(envelopes: Sequence[Envelope]) -> bytes:
    """One envelope with the signatures of all of these, each kid once, in the order of their names.

    Raises:
        EnvelopeError: they are not over the same payload, byte for byte, or too many.
    """
    payloads = {envelope.payload for envelope in envelopes}
    if len(payloads) != 1:
        raise EnvelopeError(f"{len(payloads)} different payloads: signatures join only over the very same bytes")
    by_kid = {str(each.header.get("kid")): each for envelope in envelopes for each in envelope.signatures}
    if len(by_kid) > MAX_SIGNATURES:
        raise EnvelopeError(f"an envelope takes {MAX_SIGNATURES} signatures at most, not {len(by_kid)}")
    parts = [by_kid[kid] for kid in sorted(by_kid)]
    body = base64url.encode(payloads.pop())
    return _assembled(body, [(part.signed.decode().partition(".")[0], base64url.encode(part.value)) for part in parts])


def opened(envelope: bytes) -> Envelope:
    """Take an envelope apart, either form.

    Raises:
        EnvelopeError: it is none.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(f"larger than {MAX_ENVELOPE_BYTES} bytes")
    text = envelope.strip()
    return _opened_general(text) if text.startswith(b"{") else _opened_compact(text)


def _compact_json(value: dict[str, object]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _assembled(body: str, parts: Sequence[tuple[str, str]]) -> bytes:
    """Compact for one (protected, signature), General JSON for several."""
    if len(parts) == 1:
        protected, signature = parts[0]
        return f"{protected}.{body}.{signature}".encode("ascii")
    signatures = [{"protected": protected, "signature": signature} for protected, signature in parts]
    return _compact_json({"payload": body, "signatures": signatures})


def _signed_part(key: Signer, body: str, typ: str, alg: str) -> tuple[str, str]:
    protected = base64url.encode(_compact_json({"alg": alg, "kid": key.kid, "typ": typ}))
    return protected, base64url.encode(key.sign(f"{protected}.{body}".encode("ascii")))


def _opened_compact(text: bytes) -> Envelope:
    try:
        parts = text.decode("ascii").split(".")
    except UnicodeDecodeError:
        raise EnvelopeError("neither a compact JWS nor JSON") from None
    if len(parts) != COMPACT_PARTS:
        raise EnvelopeError(f"a compact JWS has {COMPACT_PARTS} parts between dots, this has {len(parts)}")
    protected, body, signature = parts
    return Envelope(_bytes_of(body, "payload"), (_opened_signature(protected, body, signature),))


def _opened_general(text: bytes) -> Envelope:
    try:
        value = parse_json(text)
    except WordError as error:
        raise EnvelopeError(error.detail) from None
    body, signatures = _members(value, "the envelope", "payload", "signatures")
    if not isinstance(body, str) or not isinstance(signatures, list) or not 1 < len(signatures) <= MAX_SIGNATURES:
        raise EnvelopeError(f"a General JSON JWS has a payload and 2 to {MAX_SIGNATURES} signatures")
    return Envelope(_bytes_of(body, "payload"), tuple(_opened_entry(entry, body) for entry in signatures))


def _opened_entry(entry: object, body: str) -> Signature:
    protected, signature = _members(entry, "a signature", "protected", "signature")
    if not isinstance(protected, str) or not isinstance(signature, str):
        raise EnvelopeError("protected and signature are strings")
    return _opened_signature(protected, body, signature)


def _members(value: object, name: str, first: str, second: str) -> tuple[object, object]:
    if not isinstance(value, dict) or set(value) != {first, second}:
        raise EnvelopeError(f"{name} is an object of exactly {first} and {second}")
    return value[first], value[second]


def _opened_signature(protected: str, body: str, signature: str) -> Signature:
    try:
        header = parse_json(_bytes_of(protected, "header"))
    except WordError as error:
        raise EnvelopeError(f"the header is {error.detail}") from None
    if not isinstance(header, dict):
        raise EnvelopeError("the header is not an object")
    signed = f"{protected}.{body}".encode("ascii", "replace")
    return Signature(header, signed, _bytes_of(signature, "signature"))


def _bytes_of(text: str, name: str) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise EnvelopeError(f"the {name} is {error}") from None
