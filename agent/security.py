"""From an envelope's bytes to a `VerifiedCommand` or a named refusal, by numbered checks; and the node's own key.

Pure: no I/O, no clock, no state between calls; runs on the loop's thread. The only module that knows `cryptography`.

Invariants: nothing that a stranger sends makes it raise; nothing in a payload is read before its signatures hold; no
key, no audience, no permission means no. The table of checks is in `checks`, the rules about claims in `authority`,
the spelling of a JWS in `envelope`, what makes a trust document believable in `messages.trust`. Replay memory is the
core's, and so is which items a `stop` may end.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from agent.messages.codec import WordError, parse_json
from agent.messages.commands import VerifiedCommand, obeyed_without_clock
from agent.messages.reasons import Reason
from agent.messages.sentences import Sentence
from agent.messages.trust import (
    TrustDocument,
    TrustedKey,
    TrustError,
    check_document,
    check_succession,
    fingerprint,
    names_used,
    public_bytes,
)
from agent.verification.authority import Addressee, ClockView, read_claims, read_command
from agent.verification.checks import CHECKS, CHECKS_AGAIN, Case, Check, Refusal, examine
from agent.verification.envelope import (
    REPORT_TYP,
    Part,
    RefusalError,
    decode_base64url,
    encode_base64url,
    read_envelope,
    read_header,
)
from agent.verification.succession import check_kept, read_kept

__all__ = [
    "CHECKS",
    "Addressee",
    "Check",
    "ClockView",
    "NodeKey",
    "NodeKeyError",
    "Refusal",
    "RefusalError",
    "TrustError",
    "TrustStore",
    "explain",
    "open_report",
    "read_unproven",
    "thumbprint",
    "verify",
    "verify_kept_trust",
    "verify_stored",
]


def _is_signed(part: Part, public: Ed25519PublicKey) -> bool:
    try:
        public.verify(part.signature, part.signing_input)
    except InvalidSignature:
        return False
    return True


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key of the trust document, ready to verify."""

    key: TrustedKey
    public: Ed25519PublicKey
    from_s: float
    until_s: float

    @classmethod
    def of(cls, key: TrustedKey) -> "PublicKey":
        """Decoded, its window in Unix seconds.

        Raises:
            TrustError: it is no key that anybody can own.
        """
        public = Ed25519PublicKey.from_public_bytes(public_bytes(key))
        return cls(key, public, key.valid_from.timestamp(), key.valid_until.timestamp())

    def has_signed(self, part: Part) -> bool:
        """Whether the part's signature is this key's."""
        return _is_signed(part, self.public)


class TrustStore:
    """The keys of one trust document, checked and decoded once; `used` is every kid of the documents before it.

    Raises:
        TrustError: the document must not be believed; one sentence says why.
    """

    def __init__(self, document: TrustDocument, *, site: str, used: Mapping[str, str] = MappingProxyType({})) -> None:
        check_document(document, site)
        self.document = document
        self.used: Mapping[str, str] = {**names_used([document]), **used}
        self._keys = {key.kid: PublicKey.of(key) for key in document.keys}

    def find(self, kid: str) -> PublicKey | None:
        """The key of this name, None if it is not known here (or no longer)."""
        return self._keys.get(kid)

    @cached_property
    def sha256(self) -> str:
        """The document's fingerprint."""
        return fingerprint(self.document)

    def followed_by(self, document: TrustDocument) -> "TrustStore":
        """The keys of the next document.

        Raises:
            TrustError: it is unfit, or may not follow this one.
        """
        check_succession(document, self.document, self.used)
        return TrustStore(document, site=self.document.site, used=self.used)


def verify(
    payload: bytes,
    *,
    retained: bool,
    trust: TrustStore,
    addressee: Addressee,
    clock: ClockView,
    observe: Callable[[Check], None] | None = None,
) -> VerifiedCommand | Refusal:
    """All checks on one message; `observe` is told of each that holds."""
    return examine(Case(payload, retained, trust, addressee, clock), CHECKS, observe)


def verify_stored(envelope: bytes, *, trust: TrustStore, addressee: Addressee) -> VerifiedCommand | Refusal:
    """The checks again on an item that the store kept, against today's keys. A retired key's orders stay."""
    return examine(Case(envelope, retained=False, trust=trust, addressee=addressee, clock=None), CHECKS_AGAIN)


def verify_kept_trust(envelope: bytes, *, site: str, used: Mapping[str, str]) -> TrustStore:
    """The trust document that the store kept, if its own roots still prove it.

    Raises:
        TrustError: it is damaged, or of another site.
    """
    try:
        kept = TrustStore(read_kept(envelope), site=site, used=used)
        check_kept(envelope, kept)
    except WordError as error:
        raise TrustError(error.detail) from None
    return kept


def read_unproven(envelope: bytes) -> VerifiedCommand | None:
    """What a stored order was, for the record of its end: it may nothing. None if it is damaged."""
    try:
        claims = read_claims(parse_json(read_envelope(envelope).payload))
        command = read_command(claims, len(envelope))
    except WordError:
        return None
    return VerifiedCommand(
        iss=claims.iss,
        jti=claims.jti,
        iat=claims.iat,
        exp=claims.exp,
        command=command,
        kids=(),
        may=frozenset(),
        max_volume_percent=100,
        envelope=envelope,
    )


def explain(
    payload: bytes, *, retained: bool, trust: TrustStore, addressee: Addressee, clock: ClockView
) -> tuple[str, ...]:
    """One line for each check up to the first that fails; the last line is `accepted` or the reason code.

    Where the clock is not trusted, what a node would not obey but keep until it is ends with `clock_untrusted`.
    """
    held: list[Check] = []
    found = verify(payload, retained=retained, trust=trust, addressee=addressee, clock=clock, observe=held.append)
    lines = [f"{check.number:2} ok      {check.asks}" for check in held]
    if isinstance(found, VerifiedCommand):
        if clock.trusted_s is None and not obeyed_without_clock(found.command):
            return (*lines, "   waits   until the time is known, and is judged then", Reason.CLOCK_UNTRUSTED.value)
        return (*lines, "accepted")
    failed = CHECKS[found.check - 1]
    return (
        *lines,
        f"{failed.number:2} failed  {failed.asks}: {found.detail}",
        f"           it stops {failed.stops}",
        found.reason.value,
    )


class NodeKeyError(ValueError):
    """The node's key file holds no Ed25519 private key, or is not its owner's alone."""


class NodeKey:
    """The node's own Ed25519 key: it signs reports, nothing else."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_base64url = encode_base64url(private.public_key().public_bytes_raw()).decode()
        header = f'{{"alg":"Ed25519","kid":"{thumbprint(self.public_base64url)}","typ":"{REPORT_TYP}"}}'
        self._protected = encode_base64url(header.encode())

    @classmethod
    def generate(cls) -> "NodeKey":
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> "NodeKey":
        """The key of an unencrypted PKCS #8 PEM text.

        Raises:
            NodeKeyError: it is none.
        """
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise NodeKeyError(Sentence("the node's key is not an unencrypted PKCS #8 PEM text")) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise NodeKeyError(Sentence("the node's key is of another kind than Ed25519"))
        return cls(private)

    def private_pem(self) -> bytes:
        """PKCS #8, unencrypted: whoever holds the card holds the key."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def seal(self, claims: bytes) -> bytes:
        """A report's claims as compact JWS; the same claims give the same bytes."""
        signing_input = self._protected + b"." + encode_base64url(claims)
        return signing_input + b"." + encode_base64url(self._private.sign(signing_input))


def thumbprint(public_base64url: str) -> str:
    """A key's name made of the key itself (RFC 7638), so that a changed key is seen in every report."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{public_base64url}"}}'
    return encode_base64url(hashlib.sha256(canonical.encode()).digest()).decode()


def open_report(jws: bytes, public_base64url: str) -> bytes:
    """The claims of a report signed with this node key.

    Raises:
        RefusalError: `bad_envelope`, `bad_header`, `wrong_alg`, `wrong_typ`, `unknown_key`, `bad_signature`.
    """
    envelope = read_envelope(jws)
    part = envelope.parts[0]
    if len(envelope.parts) != 1 or read_header(part.header, REPORT_TYP) != thumbprint(public_base64url):
        raise RefusalError(Reason.UNKNOWN_KEY, "the report is signed with another key")
    public = Ed25519PublicKey.from_public_bytes(decode_base64url(public_base64url.encode()))
    if not _is_signed(part, public):
        raise RefusalError(Reason.BAD_SIGNATURE, "the report's signature does not fit")
    return envelope.payload
