"""Honest words to begin with: signed envelopes, claims, trust documents and files as they stand on a node.

What was signed here is all that was ever signed: `SIGNED` holds every signing input, byte for byte.
"""

import json
from base64 import urlsafe_b64decode
from dataclasses import replace

from agent.messages.codec import encode
from agent.messages.trust import Roots, TrustDocument
from agent.security import NodeKey
from tests.node_files import NODE, TRUST
from tests.signing import (
    ALL_KEYS,
    CHAIR,
    DEFENCE,
    EXPIRED,
    NOW,
    OPERATOR,
    PAPER_ROOT,
    RETIRED,
    ROOT,
    ROOTS,
    SITE,
    STRANGER,
    Key,
    base64url,
    claims,
    compact_json,
    document,
    general,
    order,
    play,
)

REPORT_KEY = NodeKey.generate()
"""A node's own key: its reports must not be orders, nor orders its reports."""

TRUST_NOW = document(
    *ALL_KEYS, roots=Roots(2, (ROOT.kid, PAPER_ROOT.kid)), approvals={"play.emergency": 2, "volume": 1}
)
"""In force on the fuzzed node: both roots are needed, and two officers for an emergency."""


def following(**changes: object) -> TrustDocument:
    """The next version of the document in force."""
    members = {name: getattr(TRUST_NOW, name) for name in TRUST_NOW.__struct_fields__}
    return TrustDocument(**{**members, "version": TRUST_NOW.version + 1, **changes})


NEXT = following()
NEW_ROOT = replace(ROOT, kid="hd-root-new")
REPLACED = following(
    keys=(OPERATOR.trusted(), NEW_ROOT.trusted()), roots=Roots(1, (NEW_ROOT.kid,)), approvals={"stop": 1}
)

SLOT: dict[str, object] = {
    "id": "thoi-su-sang",
    "days": ["mon", "wed"],
    "at": "05:00",
    "kind": "normal",
    "title": "Thời sự",
    "sources": [{"relay": {"uri": "https://stream.vov.example/vov1"}}],
    "max_duration_s": 1_800,
    "valid_from": "2026-09-01",
    "valid_until": "2026-12-31",
}
COMMANDS: tuple[dict[str, object], ...] = (
    play(),
    play(kind="priority", volume_percent=40, zones=["main"], resume=False),
    play(kind="emergency", sources=[{"builtin": {"name": "siren"}}], not_after=NOW + 600),
    play(sources=[{"relay": {"uri": "https://stream.vov.example/vov1"}}], chime=True, replaces=["tin-0"]),
    play(sources=[{"speech": {"text": "Nước lên nhanh.", "language": "vi", "voice": "nu-1"}}], start_at=NOW + 60),
    play(repeat={"count": 3, "gap_s": 30}),
    {"type": "stop", "item": "tin-1", "reason": "xong"},
    {"type": "stop", "all": True, "reason": "nhầm"},
    {"type": "set_volume", "percent": 30},
    {"type": "set_mute", "muted": True},
    {"type": "report_now"},
    {"type": "self_test"},
    {"type": "restart"},
    {"type": "order", "items": ["tin-1", "tin-2"]},
    {
        "type": "prefetch",
        "sources": [{"file": {"uri": "https://files.example/tin.mp3", "sha256": "ab" * 32, "bytes": 48_000}}],
        "pin": True,
    },
    {"type": "time", "nonce": "0f" * 16},
    {"type": "set_trust", "trust": json.loads(encode(NEXT))},
    {"type": "set_trust", "trust": json.loads(encode(REPLACED))},
    {"type": "set_schedule", "version": 1, "slots": []},
    {"type": "set_schedule", "version": 9, "slots": [SLOT, {**SLOT, "id": "chieu", "kind": "priority", "at": "17:00"}]},
    {
        "type": "set_policy",
        "version": 3,
        "quiet_hours": ["21:00-04:45", "11:30-13:00"],
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "max_session_min": 45,
        "max_sessions_per_day": 3,
        "max_minutes_per_day": 120,
        "volume_ceilings": {"normal": 80, "priority": 90},
    },
)
"""One of each word, and of each source."""

SIGNERS: tuple[tuple[Key, ...], ...] = (
    (OPERATOR,),
    (CHAIR,),
    (ROOT,),
    (CHAIR, DEFENCE),
    (ROOT, PAPER_ROOT),
    (OPERATOR, STRANGER),
    (ROOT, PAPER_ROOT, NEW_ROOT),
    (RETIRED,),
    (EXPIRED,),
    (OPERATOR, CHAIR, DEFENCE, RETIRED, EXPIRED, ROOT, PAPER_ROOT, STRANGER),
)
"""Who may stand under a payload."""


def orders() -> tuple[bytes, ...]:
    """Signed envelopes: most are obeyed, some are good orders to others, of another time, or by who may not."""
    named = [order(command, *keys) for command in COMMANDS for keys in ((OPERATOR,), (CHAIR, DEFENCE), ROOTS)]
    return (
        *named,
        *(order(play(), *keys) for keys in SIGNERS),
        order({"type": "set_trust", "trust": json.loads(encode(REPLACED))}, *ROOTS, NEW_ROOT),
        order({"type": "set_trust", "trust": json.loads(encode(REPLACED))}, ROOT, NEW_ROOT),
        order(play(), aud=["site:xa-khac"]),
        order(play(), aud=[f"site:{SITE}", "group:xa-khac/thon-2"]),
        order(play(), iat=NOW - 90_000, exp=NOW - 80_000),
        order(play(), iat=NOW + 9_000, exp=NOW + 9_900),
        OPERATOR.compact(compact_json(claims(play())), header={**OPERATOR.header, "alg": "EdDSA"}),
        compact_json(general(compact_json(claims(play())), (OPERATOR, OPERATOR))),
    )


def signing_inputs(envelope: bytes) -> tuple[tuple[str, bytes], ...]:
    """(kid, signing input) of every part, read in the most generous way; empty where that fails.

    Written anew from RFC 7515, not with the agent's reader: an oracle that shares the reader shares its mistakes.
    """
    try:
        if envelope.lstrip()[:1] == b"{":
            members = json.loads(envelope)
            payload = members["payload"].encode()
            parts = [(part["protected"].encode(), payload) for part in members["signatures"]]
        else:
            protected, payload, _ = envelope.split(b".")
            parts = [(protected, payload)]
        return tuple((_kid(protected), protected + b"." + payload) for protected, payload in parts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()


def _kid(protected: bytes) -> str:
    header = json.loads(urlsafe_b64decode(protected + b"=" * (-len(protected) % 4)))
    return str(header.get("kid"))


ORDERS = orders()
SIGNED = frozenset(signed for envelope in ORDERS for signed in signing_inputs(envelope))
SIGNATURES = frozenset(
    (kid, spelt, key.private.sign(spelt)) for kid, spelt in SIGNED for key in (*ALL_KEYS, NEW_ROOT) if key.kid == kid
)
"""Ed25519 signs the same bytes in the same way every time, so these are all the signatures that there are."""
KNOWN = frozenset(key.kid for key in ALL_KEYS)
"""The kids of the document in force."""

REPORT = REPORT_KEY.seal(compact_json({"iss": f"node:{SITE}/hd-03", "iat": NOW}))
ENVELOPES = (*ORDERS, REPORT, b"", b"a.b.c", b"{}")
CLAIMS = tuple(
    bytes([number]) + compact_json(claims(command, iss=SIGNERS[number & 127][0].authority))
    for command in COMMANDS
    for number in (0, 1, 2, 3, 4, 6, 7, 8, 128, 131, 132)
)
"""A byte that chooses from `SIGNERS`, its highest bit a node without the time; then a payload."""
DOCUMENTS = tuple(
    encode(each)
    for each in (
        following(keys=(ROOT.trusted(),), roots=Roots(1, (ROOT.kid,))),
        following(keys=(CHAIR.trusted(), ROOT.trusted()), roots=Roots(1, (ROOT.kid,)), approvals={"stop": 2}),
        REPLACED,
        document(CHAIR),
    )
)
"""Of few keys: each costs some multiplications on the curve."""
TRUST_FILES = (TRUST.encode(), DOCUMENTS[0])
NODE_FILES = (
    NODE.encode(),
    NODE.replace("mqtts://mqtt.hoang-dao.example", "mqtt://127.0.0.1:1883").encode(),
    (
        NODE + "sources: {allow: ['https://*.vov.example'], files: []}\npolicy: {quiet_hours: ['21:00-04:45']}\n"
    ).encode(),
    (NODE + "storage: {state: /var/lib/loa, cache_max_mb: 64}\nclock: {trust: always}\nheartbeat_s: 30\n").encode(),
)


def unsigned(payload: bytes, keys: tuple[Key, ...]) -> bytes:
    """An envelope in the names of these keys, whose signatures are nothing but there."""
    spelt, nothing = base64url(payload), base64url(bytes(64))
    heads = [base64url(compact_json(key.header)) for key in keys]
    if len(heads) == 1:
        return b".".join((heads[0], spelt, nothing))
    parts = [{"protected": head.decode(), "signature": nothing.decode()} for head in heads]
    return compact_json({"payload": spelt.decode(), "signatures": parts})
