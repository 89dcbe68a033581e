"""Trust documents as YAML, the form in which people read them and version 1 reaches each node. Pure.

What is written here, a node reads (`trust.yaml`); what is read here is as strict as the node's own reader about
doubled keys, anchors and tags.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from agent.messages.codec import WordError, convert
from agent.messages.trust import TrustDocument, TrustedKey, TrustError, check_alone
from control.problems import InputError
from control.yaml_nodes import at, pairs, root_of

MAX_DEPTH = 8
"""Deepest nesting that nodes read."""

HEAD = """\
# Loa: whose orders this commune's nodes obey.     Loa: các cụm loa của xã tuân lệnh của ai.
# Copy it to every node as trust.yaml, by hand.    Chép tay vào từng cụm loa, đặt tên trust.yaml.
# Later versions are signed: loactl trust add | retire | revoke, then sign.
# Các bản sau phải được ký: loactl trust add | retire | revoke, rồi sign.
"""
DRAFT_HEAD = """\
# DRAFT, not signed: nobody obeys it yet.          BẢN NHÁP, chưa ký: chưa có hiệu lực.
# It may still be changed; then: loactl trust sign --signing-key ROOT.pem
# Vẫn còn sửa được; sau đó: loactl trust sign --signing-key KHÓA-GỐC.pem
"""

_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}")


def written(document: TrustDocument, *, draft: bool) -> str:
    """The document as a file, with a head in two languages."""
    permissions = (f"{name}: {count}" for name, count in document.approvals.items())
    kids = ", ".join(map(quoted, document.roots.kids))
    return "\n".join(
        (
            f"{DRAFT_HEAD if draft else HEAD}version: {document.version}",
            f"site: {quoted(document.site)}\n",
            "keys:",
            *map(key_lines, document.keys),
            f"\nroots: {{threshold: {document.roots.threshold}, kids: [{kids}]}}",
            f"approvals: {{{', '.join(permissions)}}}\n",
        )
    )


def key_lines(key: TrustedKey, *, remark: str = "") -> str:
    """One entry under `keys:`; `remark` stands beside its permissions."""
    volume = [] if key.max_volume_percent == 100 else [f"    max_volume_percent: {key.max_volume_percent}"]  # noqa: PLR2004  the default
    return "\n".join(
        (
            f"  - kid: {quoted(key.kid)}",
            f'    public: "{key.public}"',
            f"    authority: {quoted(key.authority)}",
            f"    may: [{', '.join(key.may)}]{remark}",
            *volume,
            f"    valid_from: {instant(key.valid_from)}",
            f"    valid_until: {instant(key.valid_until)}",
        )
    )


def quoted(text: str) -> str:
    """A JSON string, which is a YAML string: `on`, `12` and `null` stay names."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def instant(moment: datetime) -> str:
    """A whole second of UTC as nodes read it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parsed(text: str, place: Path) -> TrustDocument:
    """The document in `text`, which came from `place`, fit to be believed.

    Raises:
        InputError: with the place of the mistake.
    """
    root = root_of(text, place)
    if root is None:
        raise InputError(f"{place}: empty; write a trust document, or begin with `loactl trust new`")
    _refuse_sharing(text, place)
    try:
        document = convert(_plain(root, place, 1), TrustDocument)
    except WordError as error:
        raise InputError(f"{place}: {error.detail}") from None
    try:
        check_alone(document)
    except TrustError as error:
        raise InputError(f"{place}: {error}") from None
    for key in document.keys:
        _require_utc(key, place)
    return document


def _refuse_sharing(text: str, place: Path) -> None:
    """Anchors and tags make a file mean something else than it looks like; nodes do not read them."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise InputError(f"{place}:{line}: write it out, without &, * and !")


def _plain(node: yaml.Node, place: Path, depth: int) -> object:
    """Lists, mappings, whole numbers without quotes; everything else stays text."""
    if depth > MAX_DEPTH:
        raise InputError(f"{at(node, place)}: nested deeper than {MAX_DEPTH} levels")
    if isinstance(node, yaml.SequenceNode):
        return [_plain(entry, place, depth + 1) for entry in node.value]
    if isinstance(node, yaml.MappingNode):
        members: dict[str, object] = {}
        for key, value in pairs(node, place):
            if key.value in members:
                raise InputError(f"{at(key, place)}: {key.value!r} stands twice")
            members[key.value] = _plain(value, place, depth + 1)
        return members
    text = str(node.value)
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    return int(text) if plain and _WHOLE.fullmatch(text) else text


def _require_utc(key: TrustedKey, place: Path) -> None:
    for moment in (key.valid_from, key.valid_until):
        if moment.utcoffset() != timedelta(0) or moment.microsecond:
            raise InputError(f"{place}: key {key.kid!r}: write whole seconds of UTC, such as 2026-01-01T00:00:00Z")
