"""Whether a trust document may follow the one in force, and whether the one kept still proves itself (protocol 6).

Pure; any thread. Who of today's roots has signed was settled before (`authority`); here the document itself is judged,
and its own new roots are asked. The cheap questions come first: an old change that is sent again costs no curve points.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from agent.messages.codec import convert, parse_json
from agent.messages.commands import Claims, SetTrust
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, TrustError, roots_short
from agent.verification.envelope import COMMAND_TYP, Part, RefusalError, read_envelope, read_header


class Signer(Protocol):
    """One key of a document."""

    def has_signed(self, part: Part) -> bool:
        """Whether the part's signature is this key's."""


class Following(Protocol):
    """The keys of the document that is to follow."""

    @property
    def document(self) -> TrustDocument:
        """The document."""

    def find(self, kid: str) -> Signer | None:
        """The key of this name."""


class InForce(Protocol):
    """The keys in force."""

    @property
    def document(self) -> TrustDocument:
        """The document."""

    @property
    def sha256(self) -> str:
        """Its fingerprint."""

    def followed_by(self, document: TrustDocument) -> Following:
        """The keys of the next document.

        Raises:
            TrustError: it is unfit, or may not follow.
        """


Signatures = Sequence[tuple[str, Part]]
"""Each part of an envelope under the kid that it names."""


def check_following(document: TrustDocument, now: InForce, signatures: Signatures, proven: Collection[str]) -> None:
    """Whether `document` may follow the one in force; `proven` are the kids whose signatures today's keys confirm.

    Raises:
        RefusalError: `stale_version`, `bad_trust`, `bad_signature`, `not_enough_signatures`.
    """
    if document.version != now.document.version + 1:
        told = f"version {document.version} is not the next: {now.document.version} is in force, SHA-256 {now.sha256}"
        raise RefusalError(Reason.STALE_VERSION, told)
    try:
        following = now.followed_by(document)
    except TrustError as error:
        raise RefusalError(Reason.BAD_TRUST, str(error)) from None
    _require_own_roots(following, signatures, proven)


def read_kept(envelope: bytes) -> TrustDocument:
    """The document in a `set_trust` that was accepted once and kept; its signatures are not looked at.

    Raises:
        WordError: the envelope is damaged.
    """
    claims = convert(parse_json(read_envelope(envelope).payload), Claims)
    return convert(claims.command, SetTrust).trust


def check_kept(envelope: bytes, kept: Following) -> None:
    """Whether the document that was kept is still what its own roots signed: a damaged card must not say who rules.

    Raises:
        RefusalError: it is not.
    """
    parts = read_envelope(envelope).parts
    _require_own_roots(kept, [(read_header(part.header, COMMAND_TYP), part) for part in parts], ())


def _require_own_roots(following: Following, signatures: Signatures, proven: Collection[str]) -> None:
    """A kid that was proven before is the same key here, since no kid is ever another key."""
    known = set(proven)
    for kid, part in signatures:
        signer = following.find(kid)
        if signer is None or kid in known:
            continue
        if not signer.has_signed(part):
            raise RefusalError(Reason.BAD_SIGNATURE, f"the signature of {kid!r} does not fit")
        known.add(kid)
    document = following.document
    short = roots_short(document, known)
    if short:
        told = f"the roots of version {document.version} ask {document.roots.threshold}, {short} more must sign"
        raise RefusalError(Reason.NOT_ENOUGH_SIGNATURES, told)
