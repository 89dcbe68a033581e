"""JWS as the wire carries it (RFC 7515): bytes -> protected headers, payload and signatures, still unproven.

Pure; any thread. Nothing in the payload is looked at here, and nothing in a header is believed: this module only says
which key is said to have signed which bytes. Every field has one spelling, so that no bytes have two readings.
"""

import binascii
from functools import lru_cache
from typing import NamedTuple

from agent.messages.codec import WordError, decode_base64, parse_json
from agent.messages.reasons import Reason

COMMAND_TYP = "loa-command+jws"
REPORT_TYP = "loa-report+jws"
ALGORITHMS = ("Ed25519", "EdDSA")
"""The one algorithm, by its name in RFC 9864 and its older one in RFC 8037."""

MAX_ENVELOPE_BYTES = 256 * 1024
"""Largest envelope on arrival: 500 schedule slots with room to spare, and the broker's packet limit holds it."""
MAX_SMALL_ENVELOPE_BYTES = 16 * 1024
"""Largest envelope of a command that is no document: the longest speech with four sources needs 13 KiB."""
MIN_SIGNATURES = 2
"""General JSON is for several signatures; one has the compact form, and only that."""
MAX_SIGNATURES = 8
"""Most signatures of one envelope: more than a commune has officers, few enough to verify in one turn."""
MAX_HEADER_CHARACTERS = 512
"""Longest protected header: the three members need 160."""
MAX_HEADERS_KNOWN = 64
"""Headers whose reading is remembered: a commune has few keys, and each spells its own the same way every time."""
MAX_KID_CHARACTERS = 64

_URL_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STANDARD_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = ord("!")
_FROM_URL = bytes(
    _STANDARD_ALPHABET[_URL_ALPHABET.index(octet)] if octet in _URL_ALPHABET else _NOT_BASE64 for octet in range(256)
)
_LAST_CHARACTERS = {0: _URL_ALPHABET, 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}
"""By length modulo 4, the characters that may end canonical base64url: those whose spare bits are zero."""


class RefusalError(WordError):
    """A refusal by one of the numbered checks: the reason code, and one sentence."""


class Part(NamedTuple):
    """One signature and its protected header: decoded, and the signing input as spelt on the wire."""

    header: bytes
    signing_input: bytes
    signature: bytes


class Envelope(NamedTuple):
    """A JWS taken apart: its payload, and one part for each signature. Nothing of it is proven."""

    payload: bytes
    parts: tuple[Part, ...]


def read_envelope(text: bytes) -> Envelope:
    """Compact or General JSON serialisation; the flattened one is refused.

    Raises:
        RefusalError: `bad_envelope`, or `bad_header` for one too long.
    """
    if text.startswith(b"{"):
        return _read_general(text)
    first, last = text.find(b"."), text.rfind(b".")
    payload = text[first + 1 : last]
    if first == last or b"." in payload:
        raise RefusalError(Reason.BAD_ENVELOPE, "an envelope is header.payload.signature, or General JSON")
    part = Part(_decode_header(text[:first]), text[:last], decode_base64url(text[last + 1 :]))
    return Envelope(decode_base64url(payload), (part,))


def _read_general(text: bytes) -> Envelope:
    members = _exactly(_parse_general(text), "payload", "signatures")
    signatures = members["signatures"]
    if not isinstance(signatures, list) or not MIN_SIGNATURES <= len(signatures) <= MAX_SIGNATURES:
        raise RefusalError(Reason.BAD_ENVELOPE, f"signatures is a list of {MIN_SIGNATURES} to {MAX_SIGNATURES}")
    payload = _ascii(members["payload"])
    return Envelope(
        payload=decode_base64url(payload),
        parts=tuple(
            _part(_ascii(part["protected"]), payload, _ascii(part["signature"]))
            for part in (_exactly(signature, "protected", "signature") for signature in signatures)
        ),
    )


def _parse_general(text: bytes) -> object:
    try:
        return parse_json(text)
    except WordError as error:
        raise RefusalError(Reason.BAD_ENVELOPE, error.detail) from None


def _part(protected: bytes, payload: bytes, signature: bytes) -> Part:
    return Part(_decode_header(protected), protected + b"." + payload, decode_base64url(signature))


@lru_cache(MAX_HEADERS_KNOWN)
def _decode_header(protected: bytes) -> bytes:
    if len(protected) > MAX_HEADER_CHARACTERS:
        raise RefusalError(Reason.BAD_HEADER, f"protected header is longer than {MAX_HEADER_CHARACTERS} characters")
    return decode_base64url(protected)


def _exactly(value: object, *names: str) -> dict[str, object]:
    if not isinstance(value, dict) or value.keys() != set(names):
        raise RefusalError(Reason.BAD_ENVELOPE, f"an object with exactly {' and '.join(names)} is wanted")
    return value


def _ascii(value: object) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise RefusalError(Reason.BAD_ENVELOPE, "base64url is a string of ASCII characters")
    return value.encode("ascii")


def decode_base64url(text: bytes) -> bytes:
    """Canonical base64url only: no padding, no white space, spare bits zero, no `+` and `/`.

    Raises:
        RefusalError: `bad_envelope`.
    """
    if text and text[-1] not in _LAST_CHARACTERS.get(len(text) % 4, b""):
        raise RefusalError(Reason.BAD_ENVELOPE, "base64url does not end as canonical base64url does")
    try:
        return decode_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4))
    except ValueError:
        raise RefusalError(Reason.BAD_ENVELOPE, "base64url holds a foreign character") from None


def encode_base64url(octets: bytes) -> bytes:
    """The one spelling that `decode_base64url` takes."""
    return binascii.b2a_base64(octets, newline=False).rstrip(b"=").translate(bytes.maketrans(b"+/", b"-_"))


@lru_cache(MAX_HEADERS_KNOWN)
def read_header(text: bytes, typ: str) -> str:
    """The `kid` of a protected header that is exactly `alg`, `kid` and `typ`, with the values this protocol has.

    A key spells its header alike in each order: the last 64 that were good are not read again (a refusal is).

    Raises:
        RefusalError: `bad_header`, `wrong_alg`, `wrong_typ`.
    """
    try:
        header = parse_json(text)
    except WordError as error:
        raise RefusalError(Reason.BAD_HEADER, f"protected header: {error.detail}") from None
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
        raise RefusalError(Reason.BAD_HEADER, "protected header is exactly alg, kid and typ")
    if header["alg"] not in ALGORITHMS:
        raise RefusalError(Reason.WRONG_ALG, "alg is Ed25519 or EdDSA, nothing else")
    if header["typ"] != typ:
        raise RefusalError(Reason.WRONG_TYP, f"typ is {typ}, nothing else")
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        raise RefusalError(Reason.BAD_HEADER, f"kid is a string of 1 to {MAX_KID_CHARACTERS} characters")
    return kid
