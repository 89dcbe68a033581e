"""The trust document: who may order what, and when one is fit to be believed (protocol section 6).

The rules stand beside the words because both ends need them: a node before it uses any key, the control side before
anybody signs. Pure; any thread. A document with one bad key is refused whole, because nobody would notice the missing
one until it is needed.
"""

import hashlib
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from agent.messages.codec import encode
from agent.messages.sentences import Sentence

PUBLIC_KEY_BYTES = 32
_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
"""The field and the constant of edwards25519 (RFC 8032, section 5.1)."""

Permission = Literal[
    "play.normal",
    "play.priority",
    "play.emergency",
    "stop",
    "schedule",
    "policy",
    "prefetch",
    "volume",
    "restart",
    "time",
]

KeyId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]


class TrustedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One public key. `may: []` means retired: it signs nothing new, what it ordered stays."""

    kid: KeyId
    public: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{43}\Z", description="base64url of the 32 bytes, no padding")]
    authority: Annotated[str, Meta(min_length=1, max_length=200)]
    may: tuple[Permission, ...]
    valid_from: datetime
    valid_until: datetime
    max_volume_percent: Annotated[int, Meta(ge=0, le=100)] = 100


class Roots(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may change the trust document: any `threshold` of `kids`."""

    threshold: Annotated[int, Meta(ge=1, le=8)]
    """No envelope holds more signatures: with a higher one no change could ever be signed."""
    kids: Annotated[tuple[KeyId, ...], Meta(min_length=1, max_length=16)]


class TrustDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of what a node believes about keys. `approvals` asks several signatures for a permission."""

    version: Annotated[int, Meta(ge=1)]
    site: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,39}\Z")]
    keys: Annotated[tuple[TrustedKey, ...], Meta(min_length=1, max_length=200)]
    roots: Roots
    approvals: dict[Permission, Annotated[int, Meta(ge=1, le=8)]]


class TrustError(ValueError):
    """A trust document that must not be believed; its argument is one sentence."""


def check_document(document: TrustDocument, site: str) -> None:
    """Everything about a document that its types do not say.

    Raises:
        TrustError: another site, or as `check_alone`.
    """
    if document.site != site:
        raise TrustError(
            Sentence(
                "the trust document is of site {other!r}, this node is of {site!r}", other=document.site, site=site
            )
        )
    check_alone(document)


def check_alone(document: TrustDocument) -> None:
    """What a document must fulfil in itself, whatever the site.

    Raises:
        TrustError: a kid or public key twice, roots without keys, a bad name, window or public key.
    """
    _refuse_twice(Sentence("kid"), (key.kid for key in document.keys))
    _refuse_twice(Sentence("public key"), (key.public for key in document.keys))
    _check_roots(document)
    for key in document.keys:
        _check_window(key)
        if not unicodedata.is_normalized("NFC", key.authority):
            raise _about(key, Sentence("authority is not in composed Unicode (NFC): write it anew"))
        public_bytes(key)


def check_succession(new: TrustDocument, before: TrustDocument, used: Mapping[str, str]) -> None:
    """Whether `new` may follow `before`; `used` is every kid there ever was, with its public key (`names_used`).

    Raises:
        TrustError: another site, a version that is not exactly one up, a kid that once was another key.
    """
    if new.site != before.site:
        raise TrustError(
            Sentence("the new document is of site {new!r}, the one in force of {old!r}", new=new.site, old=before.site)
        )
    if new.version != before.version + 1:
        told = Sentence(
            "version {new} cannot follow {old}: it must be {next}",
            new=new.version,
            old=before.version,
            next=before.version + 1,
        )
        raise TrustError(told)
    check_names(new, used)


def check_names(document: TrustDocument, used: Mapping[str, str]) -> None:
    """No kid is ever another key.

    Raises:
        TrustError: one is.
    """
    for key in document.keys:
        if used.get(key.kid, key.public) != key.public:
            raise TrustError(
                Sentence("kid {kid!r} was once another key: give the new key a name that was never used", kid=key.kid)
            )


def names_used(documents: Iterable[TrustDocument]) -> dict[str, str]:
    """Every kid of these documents with its public key."""
    return {key.kid: key.public for document in documents for key in document.keys}


def roots_short(document: TrustDocument, kids: Collection[str]) -> int:
    """How many root signatures the document's threshold still lacks, once those of `kids` are proven.

    In a document that `check_alone` let pass each kid is another key, so counting names counts keys.
    """
    return max(0, document.roots.threshold - len(set(kids).intersection(document.roots.kids)))


def fingerprint(document: TrustDocument) -> str:
    """SHA-256 (hex) of the document as compact JSON in UTC: the same for one document in a file and off the wire."""
    keys = tuple(
        replace(key, valid_from=key.valid_from.astimezone(UTC), valid_until=key.valid_until.astimezone(UTC))
        for key in document.keys
    )
    return hashlib.sha256(encode(replace(document, keys=keys))).hexdigest()


def public_bytes(key: TrustedKey) -> bytes:
    """The 32 bytes of a public key.

    Raises:
        TrustError: not canonical, not a point of the curve, or of small order.
    """
    try:
        octets = urlsafe_b64decode(f"{key.public}=")
    except ValueError:
        octets = b""
    if urlsafe_b64encode(octets) != f"{key.public}=".encode():
        raise _about(key, Sentence("public is not canonical base64url of {count} bytes", count=PUBLIC_KEY_BYTES))
    if len(octets) != PUBLIC_KEY_BYTES or not _is_honest_point(octets):
        raise _about(key, Sentence("public is not an Ed25519 public key that anybody can own"))
    return octets


def _refuse_twice(what: Sentence, values: Iterable[str]) -> None:
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        told = Sentence(
            "{what} {value!r} stands {count} times, every one must differ", what=what, value=value, count=count
        )
        raise TrustError(told)


def _check_roots(document: TrustDocument) -> None:
    roots = document.roots
    _refuse_twice(Sentence("root kid"), roots.kids)
    strangers = set(roots.kids) - {key.kid for key in document.keys}
    if strangers:
        told = Sentence(
            "root kid {kid!r} has no key in the document: add its key, or take it from the roots", kid=min(strangers)
        )
        raise TrustError(told)
    if roots.threshold > len(roots.kids):
        told = Sentence(
            "roots ask {threshold} signatures, but there are only {count} of them: "
            "lower the threshold, or name more roots",
            threshold=roots.threshold,
            count=len(roots.kids),
        )
        raise TrustError(told)


def _check_window(key: TrustedKey) -> None:
    if key.valid_from.tzinfo is None or key.valid_until.tzinfo is None:
        told = Sentence("valid_from and valid_until need a time zone, as in {example}", example="2026-01-01T00:00:00Z")
        raise _about(key, told)
    try:
        key.valid_from.astimezone(UTC), key.valid_until.astimezone(UTC)
    except OverflowError:  # the fingerprint could not be made, at every start anew
        raise _about(key, Sentence("valid_from or valid_until is in no calendar of UTC")) from None
    if key.valid_until <= key.valid_from:
        raise _about(key, Sentence("valid_until must be later than valid_from"))


def _about(key: TrustedKey, told: Sentence) -> TrustError:
    return TrustError(Sentence("key {kid!r}: {told}", kid=key.kid, told=told))


def _is_honest_point(octets: bytes) -> bool:
    """A point of the curve, canonically spelt, and not one of the eight under which anyone can sign anything.

    On -x^2 + y^2 = 1 + d x^2 y^2 the orders 1, 2 and 4 have y = 1, -1, 0; doubling a point of order 8 gives y = 0, that
    is x^2 = -y^2, and so d y^4 + 2 y^2 = 1.
    """
    y = int.from_bytes(octets, "little") & (2**255 - 1)
    if y >= _PRIME or y in (0, 1, _PRIME - 1):
        return False
    y2 = y * y % _PRIME
    if (_D * y2 * y2 + 2 * y2 - 1) % _PRIME == 0:
        return False
    x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _PRIME) % _PRIME
    return pow(x2, (_PRIME - 1) // 2, _PRIME) == 1
