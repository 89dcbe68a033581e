"""The next version of a trust document: one key added, retired or revoked; and the first one of a site. Pure.

Every change is checked before it is written: by the rules nodes have, and against every kid there ever was.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from agent.messages.codec import WordError, convert
from agent.messages.trust import (
    Roots,
    TrustDocument,
    TrustedKey,
    TrustError,
    check_alone,
    check_succession,
)
from control import keys
from control.problems import InputError
from control.trust_yaml import instant

MAX_THRESHOLD = 8
"""An envelope holds no more signatures (protocol section 2): more roots could be asked, but never answer."""


def first(site: str, roots: tuple[TrustedKey, ...], version: int) -> TrustDocument:
    """The first version of a site, or of its new beginning: these roots, any one of which may change it.

    Raises:
        InputError: names that no node takes.
    """
    kids = tuple(key.kid for key in roots)
    document = TrustDocument(version=version, site=site, keys=roots, roots=Roots(threshold=1, kids=kids), approvals={})
    return checked(document)


def checked(document: TrustDocument) -> TrustDocument:
    """The document, if nodes would believe it.

    Raises:
        InputError: bad_trust, and why.
    """
    threshold = document.roots.threshold
    if not 1 <= threshold <= MAX_THRESHOLD:
        raise InputError(f"nodes would refuse this document (bad_trust): threshold {threshold}: 1 to {MAX_THRESHOLD}")
    try:
        check_alone(document)
    except TrustError as error:
        raise InputError(f"nodes would refuse this document (bad_trust): {error}") from None
    return document


def following(document: TrustDocument, before: TrustDocument, used: Mapping[str, str]) -> TrustDocument:
    """The document, if nodes that have `before` would take it next; `used`: every kid there was, and its key.

    Raises:
        InputError: bad_trust, and why.
    """
    checked(document)
    try:
        check_succession(document, before, used)
    except TrustError as error:
        raise InputError(f"nodes would refuse this document (bad_trust): {error}") from None
    return document


def added(document: TrustDocument, key: TrustedKey, *, root: bool) -> TrustDocument:
    """With one more key, which is a root if `root`.

    Raises:
        InputError: its kid or public part stands there already.
    """
    for other in document.keys:
        if other.kid == key.kid:
            raise InputError(
                f"kid {key.kid!r} stands in version {document.version}: choose another kid for the new key"
            )
        if other.public == key.public:
            raise InputError(f"this public key stands in version {document.version} as {other.kid!r}: make a new key")
    roots = replace(document.roots, kids=(*document.roots.kids, key.kid)) if root else document.roots
    return replace(document, keys=(*document.keys, key), roots=roots)


def retired(document: TrustDocument, kid: str) -> TrustDocument:
    """With this key kept, but ordering nothing new: what it ordered stays.

    Raises:
        InputError: no such key, a root, or retired already.
    """
    key = require_key(document, kid)
    if kid in document.roots.kids:
        raise InputError(f"{kid!r} is a root, which orders nothing anyway: revoke it to take its vote away")
    if not key.may:
        raise InputError(f"{kid!r} may order nothing already: there is nothing to retire")
    return replace(document, keys=tuple(replace(each, may=()) if each is key else each for each in document.keys))


def revoked(document: TrustDocument, kid: str) -> TrustDocument:
    """Without this key, also among the roots: whatever it alone ordered ends.

    Raises:
        InputError: no such key, or the last root.
    """
    gone = require_key(document, kid)
    kids = tuple(each for each in document.roots.kids if each != kid)
    if not kids:
        raise InputError(f"{kid!r} is the only root: add another root first, or nobody could change anything again")
    rest = tuple(each for each in document.keys if each is not gone)
    return replace(document, keys=rest, roots=replace(document.roots, kids=kids))


def with_threshold(document: TrustDocument, threshold: int) -> TrustDocument:
    """With so many roots asked for the next change."""
    return replace(document, roots=replace(document.roots, threshold=threshold))


def require_key(document: TrustDocument, kid: str) -> TrustedKey:
    """The key of this name.

    Raises:
        InputError: there is none; the sentence names those there are.
    """
    for key in document.keys:
        if key.kid == kid:
            return key
    names = ", ".join(key.kid for key in document.keys)
    raise InputError(f"version {document.version} has no key {kid!r}: its keys are {names}")


def entry(
    kid: str,
    public: str,
    *,
    authority: str,
    may: tuple[str, ...],
    max_volume_percent: int,
    valid_from: datetime,
    valid_until: datetime,
) -> TrustedKey:
    """One key as a document says it.

    Raises:
        InputError: a name, permission, percentage or public key that no node takes.
    """
    members = {
        "kid": kid,
        "public": keys.require_public(public, kid),
        "authority": authority,
        "may": list(dict.fromkeys(may)),
        "max_volume_percent": max_volume_percent,
        "valid_from": instant(valid_from),
        "valid_until": instant(valid_until),
    }
    try:
        return convert(members, TrustedKey)
    except WordError as error:
        raise InputError(f"no node would take this key: {error.detail}") from None
