"""trust.yaml to one `TrustDocument`, with the same exact problems as node.yaml.

Any thread; reads one file. JSON is read as well, being YAML. What a document must fulfil in itself stands in protocol
section 6; who may change it is not decided here.
"""

import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from agent.configuration.fields import Place, Reader, choice, mistake, nearest, text, whole, wrong
from agent.configuration.problems import Mistake, shown
from agent.configuration.sections import Field, distinct, items, named, position_of, read_document, section
from agent.configuration.yaml_text import Mapping, Scalar, Sequence, Value
from agent.messages.trust import Permission, Roots, TrustDocument, TrustedKey

MAX_KEYS = 200
MAX_ROOTS = 16
MAX_SIGNATURES = 8
"""Bounds of the document's words: protocol section 6 and `agent.messages.trust`."""
MAX_VERSION = 1_000_000_000
"""Highest version: each change is one up, so this is a slip of the hand and not a history."""

_KID = text("an id of letters, digits, '.', '_' and '-', 64 at most, such as hd-operator", r"[A-Za-z0-9._-]{1,64}")
_PERMISSION = choice(*get_args(Permission))
_PUBLIC_WRITE = "the 43 letters that `loactl keygen` printed: base64url of the key's 32 bytes, without ="


def _public(value: Value, place: Place) -> str:
    """An Ed25519 public key in base64url, canonical: the same key is always the same text."""
    written = text(_PUBLIC_WRITE, r"[A-Za-z0-9_-]{43}")(value, place)
    if urlsafe_b64encode(urlsafe_b64decode(f"{written}=")) != f"{written}=".encode():
        raise wrong(value, place, _PUBLIC_WRITE)
    return written


_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[Zz]|\+00:00)")

_INSTANT_WRITE = "an instant in UTC with a Z, such as 2026-01-01T00:00:00Z"


def _instant(value: Value, place: Place) -> datetime:
    """A whole second of UTC; a date without its zone would be another instant on another machine."""
    if not isinstance(value, Scalar):
        raise wrong(value, place, _INSTANT_WRITE)
    parts = _INSTANT.fullmatch(value.text)
    if parts is None:
        raise mistake(value.position, f"{place.name} is {shown(value.text)}: write {_INSTANT_WRITE}")
    year, month, day, hour, minute, second = map(int, parts.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        told = f"is {value.text}, which is in no calendar: write {_INSTANT_WRITE}"
        raise mistake(value.position, f"{place.name} {told}") from None


def _authority(value: Value, place: Place) -> str:
    """Whose key it is. Commands must name it letter for letter, so it is in Unicode's composed form."""
    written = text("whose key it is, such as commune operator")(value, place)
    if not unicodedata.is_normalized("NFC", written):
        told = "is not in composed Unicode (NFC): write it anew with the keyboard at Unicode dựng sẵn"
        raise mistake(value.position, f"{place.name} {told}")
    return written


def _site(expected: str) -> Reader[str]:
    read_text = text("the commune's name, such as hoang-dao", r"[a-z0-9][a-z0-9-]{0,39}")

    def read(value: Value, place: Place) -> str:
        written = read_text(value, place)
        if written != expected:
            told = f"write {expected}, or take this site's own trust document"
            raise mistake(value.position, f"{place.name} is {written}, and the node's is {expected}: {told}")
        return written

    return read


# What holds between keys --------------------------------------------------------------------------------------------


def _window_is_open(key: TrustedKey, keys: Mapping, place: Place) -> Iterator[Mistake]:
    if key.valid_until <= key.valid_from:
        told = f"{place.under('valid_until').name} is not after valid_from: write a later instant"
        yield Mistake(position_of(keys, "valid_until"), told)


def _threshold_can_be_met(roots: Roots, keys: Mapping, place: Place) -> Iterator[Mistake]:
    if roots.threshold > len(roots.kids):
        name = place.under("threshold").name
        told = f"{name} is {roots.threshold}, more than there are kids: write at most {len(roots.kids)}"
        yield Mistake(position_of(keys, "threshold"), told)


def _keys_are_distinct(document: TrustDocument, keys: Mapping, place: Place) -> Iterator[Mistake]:
    """One key listed twice must not make two officers; one name for two keys would make neither."""
    listed = keys.get("keys")
    assert isinstance(listed, Sequence)
    for member in ("kid", "public"):
        first: dict[str, str] = {}
        for index, (key, value) in enumerate(zip(document.keys, listed.values, strict=True)):
            assert isinstance(value, Mapping)
            name = place.under("keys").entry(index).under(member).name
            written = getattr(key, member)
            if written in first:
                told = f"{name} is the same as {first[written]}: write each key once, under its own {member}"
                yield Mistake(position_of(value, member), told)
            first.setdefault(written, name)


def _roots_have_keys(document: TrustDocument, keys: Mapping, place: Place) -> Iterator[Mistake]:
    known = tuple(key.kid for key in document.keys)
    roots = keys.get("roots")
    assert isinstance(roots, Mapping)
    listed = roots.get("kids")
    assert isinstance(listed, Sequence)
    for index, (kid, value) in enumerate(zip(document.roots.kids, listed.values, strict=True)):
        if kid not in known:
            name = place.under("roots").under("kids").entry(index).name
            told = nearest(kid, known) or "the kid of one of the keys above"
            yield Mistake(value.position, f"{name} is {kid}, which is none of the keys: write {told}")


# The tables ---------------------------------------------------------------------------------------------------------

_KEY = section(
    TrustedKey,
    Field("kid", _KID, required="kid: and a name for the key, such as hd-operator"),
    Field("public", _public, required='public: "..." as `loactl keygen` printed it'),
    Field("authority", _authority, required="authority: and whose key it is, such as commune operator"),
    Field(
        "may",
        items(_PERMISSION, len(get_args(Permission)), "a list such as [play.normal, stop], or [] for a root"),
        required="may: [play.normal, stop], or may: [] for a root or a retired key",
    ),
    Field("max_volume_percent", whole(0, 100)),
    Field("valid_from", _instant, required="valid_from: 2026-01-01T00:00:00Z"),
    Field("valid_until", _instant, required="valid_until: 2029-01-01T00:00:00Z"),
    rules=(_window_is_open,),
)
_ROOTS = section(
    Roots,
    Field("threshold", whole(1, MAX_ROOTS), required="threshold: 1, how many roots must sign a change"),
    Field(
        "kids",
        distinct(items(_KID, MAX_ROOTS, "a list such as [hd-root]", at_least=1)),
        required="kids: [hd-root], the kids of the root keys",
    ),
    rules=(_threshold_can_be_met,),
)
_APPROVALS = named(
    _PERMISSION,
    lambda _: whole(1, MAX_SIGNATURES),
    len(get_args(Permission)),
    "a group such as {play.emergency: 2}, or {} for none",
)


def _document(site: str) -> Reader[TrustDocument]:
    return section(
        TrustDocument,
        Field("version", whole(1, MAX_VERSION), required="version: 1"),
        Field("site", _site(site), required=f"site: {site}"),
        Field(
            "keys",
            items(_KEY, MAX_KEYS, "a list of keys, each with kid, public, may", at_least=1),
            required="keys: [...]",
        ),
        Field("roots", _ROOTS, required="roots: {threshold: 1, kids: [hd-root]}"),
        Field("approvals", _APPROVALS, required="approvals: {}"),
        rules=(_keys_are_distinct, _roots_have_keys),
    )


def load_trust(path: Path, site: str) -> TrustDocument:
    """The trust document of this site. Its hash and its history are not looked at here.

    Raises:
        ConfigError: with every problem found in the file.
    """
    return read_document(path, _document(site))
