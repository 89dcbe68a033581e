"""A new trust document on its way to being signed: the `set_trust` command around it, and who has signed it. Pure.

The first root to sign writes the payload; every other signs the same bytes, so that their signatures can be joined.
The payload is for the whole site: to whom it is sent is decided anew each time, and a node that was away takes it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.messages.codec import WordError, convert, parse_json
from agent.messages.commands import Claims, SetTrust
from agent.messages.trust import TrustDocument, TrustedKey, roots_short
from control import orders
from control.envelope import COMMAND_TYP, Envelope, EnvelopeError, Signature, joined, opened, sign
from control.keys import SigningKey, verifies
from control.plain import plain
from control.problems import InputError
from control.trust_changes import require_key

LIFETIME_S = 24 * 3_600
"""`exp` after `iat`. Nodes do not ask it of a `set_trust`, but it must be there; the default bound fits any reader."""


@dataclass(frozen=True, slots=True)
class Change:
    """A signed document, taken apart; which of its signatures count is asked with `proven`."""

    data: bytes
    envelope: Envelope
    claims: Claims
    document: TrustDocument


def payload(document: TrustDocument, before: TrustDocument, signer: SigningKey, *, iat: int, jti: str) -> bytes:
    """The bytes that all roots sign; the first of them speaks in its authority's name.

    Raises:
        InputError: that one is no root of the version in force, so that no node could know its name.
    """
    if signer.kid not in before.roots.kids:
        names = ", ".join(before.roots.kids)
        raise InputError(
            f"{signer.kid!r} is no root of version {before.version}: the first signature must be of one of {names}"
        )
    return orders.claims(
        SetTrust(trust=document),
        iss=require_key(before, signer.kid).authority,
        audience=(f"site:{document.site}",),
        jti=jti,
        iat=iat,
        lifetime_s=LIFETIME_S,
    )


def read(data: bytes, name: str) -> Change:
    """A signed document, from a file called `name`.

    Raises:
        InputError: it is none.
    """
    try:
        envelope = opened(data)
        claims = convert(parse_json(envelope.payload), Claims)
        word = convert(claims.command, SetTrust)
    except (EnvelopeError, WordError) as error:
        raise InputError(f"{name} is no signed trust document: {plain(str(error))}") from None
    if any(signature.header.get("typ") != COMMAND_TYP for signature in envelope.signatures):
        raise InputError(f"{name} is no signed trust document: its typ is not {COMMAND_TYP}")
    if claims.aud != (f"site:{word.trust.site}",):
        raise InputError(f"{name} is for {plain(', '.join(claims.aud))}, not for the whole site {word.trust.site}")
    return Change(data.strip(), envelope, claims, word.trust)


def signed(body: bytes, signer: SigningKey, before: TrustDocument, after: TrustDocument) -> Change:
    """One root's signature over the payload, as a compact JWS.

    Raises:
        InputError: the key is no root of either version, or not the one they name so.
    """
    known = _root_of(signer.kid, before, after)
    if known is None:
        names = ", ".join(dict.fromkeys((*before.roots.kids, *after.roots.kids)))
        raise InputError(f"{signer.kid!r} is no root of version {before.version} or {after.version}: roots are {names}")
    if known.public != signer.public:
        raise InputError(f"this private key is not the one that the document calls {signer.kid!r}: give its own file")
    return read(sign(body, [signer]), signer.kid)


def together(changes: Sequence[Change]) -> Change:
    """The signatures of all of these over their one payload.

    Raises:
        InputError: they are not over the same payload.
    """
    try:
        return read(joined([change.envelope for change in changes]), "the joined envelope")
    except EnvelopeError as error:
        raise InputError(f"these were not signed together: {error}") from None


def proven(change: Change, before: TrustDocument) -> tuple[str, ...]:
    """The roots, of the version before or of the new one, that have signed.

    Raises:
        InputError: a signature that does not fit, or of somebody who is no root.
    """
    return tuple(_prove(signature, change, before) for signature in change.envelope.signatures)


def lacking(change: Change, before: TrustDocument) -> tuple[str, ...]:
    """What is still missing until nodes take it, a phrase each; nothing if it is complete.

    Raises:
        InputError: as `proven`.
    """
    kids = proven(change, before)
    missing = [
        f"{short} of {', '.join(kid for kid in document.roots.kids if kid not in kids)} (roots of {document.version})"
        for document in (before, change.document)
        if (short := roots_short(document, kids))
    ]
    names = {key.authority for key in before.keys if key.kid in kids and key.kid in before.roots.kids}
    if change.claims.iss not in names:
        missing.append(f"the root called {change.claims.iss!r} in version {before.version}, in whose name it is")
    return tuple(missing)


def _prove(signature: Signature, change: Change, before: TrustDocument) -> str:
    kid = str(signature.header.get("kid"))
    key = _root_of(kid, before, change.document)
    if key is None:
        raise InputError(f"version {change.document.version} carries a signature of {kid[:64]!r}, who is no root")
    if not verifies(key.public, signature.value, signature.signed):
        raise InputError(f"the signature of {kid!r} on version {change.document.version} is bad: ask for it anew")
    return kid


def _root_of(kid: str, *documents: TrustDocument) -> TrustedKey | None:
    roots = (key for document in documents for key in document.keys if key.kid in document.roots.kids)
    return next((key for key in roots if key.kid == kid), None)
