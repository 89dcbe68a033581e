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
from agent.messages.sentences import Sentence
from agent.messages.trust import Permission, Roots, TrustDocument, TrustedKey

MAX_KEYS = 200
MAX_ROOTS = 16
MAX_SIGNATURES = 8
"""Bounds of the document's words: protocol section 6 and `agent.messages.trust`."""
MAX_VERSION = 1_000_000_000
"""Highest version: each change is one up, so this is a slip of the hand and not a history."""

_KID = text(
    Sentence("an id of letters, digits, '.', '_' and '-', 64 at most, such as {example}", example="hd-operator"),
    r"[A-Za-z0-9._-]{1,64}",
)
_PERMISSION = choice(*get_args(Permission))
_PUBLIC_WRITE = Sentence("the 43 letters that `loactl keygen` printed: base64url of the key's 32 bytes, without =")


def _public(value: Value, place: Place) -> str:
    """An Ed25519 public key in base64url, canonical: the same key is always the same text."""
    written = text(_PUBLIC_WRITE, r"[A-Za-z0-9_-]{43}")(value, place)
    if urlsafe_b64encode(urlsafe_b64decode(f"{written}=")) != f"{written}=".encode():
        raise wrong(value, place, _PUBLIC_WRITE)
    return written


_INSTANT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[Zz]|\+00:00)")

_INSTANT_WRITE = Sentence("an instant in UTC with a Z, such as {example}", example="2026-01-01T00:00:00Z")


def _instant(value: Value, place: Place) -> datetime:
    """A whole second of UTC; a date without its zone would be another instant on another machine."""
    if not isinstance(value, Scalar):
        raise wrong(value, place, _INSTANT_WRITE)
    parts = _INSTANT.fullmatch(value.text)
    if parts is None:
        told = Sentence(
            "{name} {found}: write {write}",
            name=place.name,
            found=Sentence("is {text}", text=shown(value.text)),
            write=_INSTANT_WRITE,
        )
        raise mistake(value.position, told)
    year, month, day, hour, minute, second = map(int, parts.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        told = Sentence(
            "{name} is {text}, which is in no calendar: write {write}",
            name=place.name,
            text=value.text,
            write=_INSTANT_WRITE,
        )
        raise mistake(value.position, told) from None


def _authority(value: Value, place: Place) -> str:
    """Whose key it is. Commands must name it letter for letter, so it is in Unicode's composed form."""
    written = text(Sentence("whose key it is, such as {example}", example="commune operator"))(value, place)
    if not unicodedata.is_normalized("NFC", written):
        told = Sentence(
            "{name} is not in composed Unicode (NFC): write it anew with the keyboard at Unicode dựng sẵn",
            name=place.name,
        )
        raise mistake(value.position, told)
    return written


def _site(expected: str | None) -> Reader[str]:
    read_text = text(Sentence("the commune's name, such as {example}", example="hoang-dao"), r"[a-z0-9][a-z0-9-]{0,39}")

    def read(value: Value, place: Place) -> str:
        written = read_text(value, place)
        if expected is not None and written != expected:
            told = Sentence(
                "{name} is {written}, and the node's is {expected}: "
                "write {expected}, or take this site's own trust document",
                name=place.name,
                written=written,
                expected=expected,
            )
            raise mistake(value.position, told)
        return written

    return read


# What holds between keys --------------------------------------------------------------------------------------------


def _window_is_open(key: TrustedKey, keys: Mapping, place: Place) -> Iterator[Mistake]:
    if key.valid_until <= key.valid_from:
        name = place.under("valid_until").name
        told = Sentence("{name} is not after {start}: write a later instant", name=name, start="valid_from")
        yield Mistake(position_of(keys, "valid_until"), told)


def _threshold_can_be_met(roots: Roots, keys: Mapping, place: Place) -> Iterator[Mistake]:
    if roots.threshold > len(roots.kids):
        told = Sentence(
            "{name} is {threshold}, more than there are kids: write at most {count}",
            name=place.under("threshold").name,
            threshold=roots.threshold,
            count=len(roots.kids),
        )
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
                told = Sentence(
                    "{name} is the same as {first}: write each key once, under its own {member}",
                    name=name,
                    first=first[written],
                    member=member,
                )
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
            told = Sentence(
                "{name} is {kid}, which is none of the keys: write {write}",
                name=place.under("roots").under("kids").entry(index).name,
                kid=kid,
                write=nearest(kid, known) or Sentence("the kid of one of the keys above"),
            )
            yield Mistake(value.position, told)


# The tables ---------------------------------------------------------------------------------------------------------

_KEY = section(
    TrustedKey,
    Field("kid", _KID, required=Sentence("kid: and a name for the key, such as {example}", example="hd-operator")),
    Field("public", _public, required=Sentence('public: "..." as `loactl keygen` printed it')),
    Field(
        "authority",
        _authority,
        required=Sentence("authority: and whose key it is, such as {example}", example="commune operator"),
    ),
    Field(
        "may",
        items(
            _PERMISSION,
            len(get_args(Permission)),
            Sentence("a list such as {example}, or [] for a root", example="[play.normal, stop]"),
        ),
        required=Sentence("{example}, or may: [] for a root or a retired key", example="may: [play.normal, stop]"),
    ),
    Field("max_volume_percent", whole(0, 100)),
    Field("valid_from", _instant, required="valid_from: 2026-01-01T00:00:00Z"),
    Field("valid_until", _instant, required="valid_until: 2029-01-01T00:00:00Z"),
    rules=(_window_is_open,),
)
_ROOTS = section(
    Roots,
    Field("threshold", whole(1, MAX_SIGNATURES), required=Sentence("threshold: 1, how many roots must sign a change")),
    Field(
        "kids",
        distinct(items(_KID, MAX_ROOTS, Sentence("a list such as {example}", example="[hd-root]"), at_least=1)),
        required=Sentence("kids: [hd-root], the kids of the root keys"),
    ),
    rules=(_threshold_can_be_met,),
)
_APPROVALS = named(
    _PERMISSION,
    lambda _: whole(1, MAX_SIGNATURES),
    len(get_args(Permission)),
    Sentence("a group such as {example}, or {{}} for none", example="{play.emergency: 2}"),
)


def _document(site: str | None) -> Reader[TrustDocument]:
    return section(
        TrustDocument,
        Field("version", whole(1, MAX_VERSION), required="version: 1"),
        Field("site", _site(site), required=f"site: {site or 'hoang-dao'}"),
        Field(
            "keys",
            items(_KEY, MAX_KEYS, Sentence("a list of keys, each with kid, public, may"), at_least=1),
            required="keys: [...]",
        ),
        Field("roots", _ROOTS, required="roots: {threshold: 1, kids: [hd-root]}"),
        Field("approvals", _APPROVALS, required="approvals: {}"),
        rules=(_keys_are_distinct, _roots_have_keys),
    )


def load_trust(path: Path, site: str | None, aside: Path | None = None) -> TrustDocument:
    """The trust document of this site (None: of any). Its hash and its history are not looked at here.

    `aside`: what will be in the file's folder lies there now.

    Raises:
        ConfigError: with every problem found in the file.
    """
    return read_document(path, _document(site), aside)
