"""Trust anchors: whether a trust document is fit to be believed (protocol section 6).

Pure; any thread. Asked once a document, before any key in it is used; a document with one bad key is refused whole,
because nobody would notice the missing one until it is needed.
"""

from collections import Counter
from collections.abc import Iterable

from agent.envelope import RefusalError, decode_base64url
from agent.messages.trust import TrustDocument, TrustedKey

PUBLIC_KEY_BYTES = 32
_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
"""The field and the constant of edwards25519 (RFC 8032, section 5.1)."""


class TrustError(ValueError):
    """A trust document that must not be believed; the text is one sentence."""


def check_document(document: TrustDocument, site: str) -> None:
    """Everything about a document that its types do not say.

    Raises:
        TrustError: another site, a kid or public key twice, roots without keys, a bad window or public key.
    """
    if document.site != site:
        raise TrustError(f"the trust document is of site {document.site!r}, this node is of {site!r}")
    _refuse_twice("kid", (key.kid for key in document.keys))
    _refuse_twice("public key", (key.public for key in document.keys))
    _check_roots(document)
    for key in document.keys:
        _check_window(key)
        public_bytes(key)


def _refuse_twice(what: str, values: Iterable[str]) -> None:
    value, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise TrustError(f"{what} {value!r} stands {count} times, every one must differ")


def _check_roots(document: TrustDocument) -> None:
    roots = document.roots
    _refuse_twice("root kid", roots.kids)
    strangers = set(roots.kids) - {key.kid for key in document.keys}
    if strangers:
        raise TrustError(f"root kid {min(strangers)!r} has no key in the document")
    if roots.threshold > len(roots.kids):
        raise TrustError(f"roots ask {roots.threshold} signatures, but there are only {len(roots.kids)} of them")


def _check_window(key: TrustedKey) -> None:
    if key.valid_from.tzinfo is None or key.valid_until.tzinfo is None:
        raise TrustError(f"key {key.kid!r}: valid_from and valid_until need a time zone, as in 2026-01-01T00:00:00Z")
    if key.valid_until <= key.valid_from:
        raise TrustError(f"key {key.kid!r}: valid_until must be later than valid_from")


def public_bytes(key: TrustedKey) -> bytes:
    """The 32 bytes of a public key.

    Raises:
        TrustError: not canonical, not a point of the curve, or of small order.
    """
    try:
        octets = decode_base64url(key.public.encode())
    except RefusalError as refused:
        raise TrustError(f"key {key.kid!r}: public: {refused.detail}") from None
    if len(octets) != PUBLIC_KEY_BYTES or not _is_honest_point(octets):
        raise TrustError(f"key {key.kid!r}: public is not an Ed25519 public key that anybody can own")
    return octets


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
