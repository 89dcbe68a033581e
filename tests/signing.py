"""A commune's key holders, and whoever copies, bends or forges what they sign: envelopes made on demand.

`Key` is one officer's key, `order` an honest order by one or more of them, `Pole` the node that hears it. Every part of
an envelope can be replaced on the way, which is how the attacks are made.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.messages.commands import VerifiedCommand
from agent.messages.trust import Permission, Roots, TrustDocument, TrustedKey
from agent.security import Addressee, ClockView, Refusal, TrustStore, verify

NOW = 1_790_000_000
"""21 September 2026, when every test takes place."""
SITE = "hoang-dao"
NODE = "hd-03"
JTI = "0123456789abcdef-order"

Json = Mapping[str, object]


def base64url(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def compact_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Key:
    """One key pair, made from its name, so that every run has the same."""

    kid: str
    authority: str
    may: tuple[Permission, ...] = ()
    max_volume_percent: int = 100
    valid_from: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    valid_until: datetime = datetime(2029, 1, 1, tzinfo=UTC)

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(self.kid.encode()).digest())

    @property
    def public(self) -> str:
        return base64url(self.private.public_key().public_bytes_raw()).decode()

    @property
    def header(self) -> dict[str, object]:
        return {"alg": "Ed25519", "kid": self.kid, "typ": "loa-command+jws"}

    def trusted(self) -> TrustedKey:
        return TrustedKey(
            kid=self.kid,
            public=self.public,
            authority=self.authority,
            may=self.may,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            max_volume_percent=self.max_volume_percent,
        )

    def part(self, payload: bytes, *, header: Json | bytes | None = None) -> tuple[bytes, bytes]:
        """(protected, signature), both base64url, over `payload` as it is spelt; the header may be any other."""
        if header is None:
            header = self.header
        protected = base64url(header if isinstance(header, bytes) else compact_json(header))
        return protected, base64url(self.private.sign(protected + b"." + payload))

    def compact(self, payload: bytes, *, header: Json | bytes | None = None) -> bytes:
        """A compact JWS over the payload's bytes."""
        spelt = base64url(payload)
        protected, signature = self.part(spelt, header=header)
        return b".".join((protected, spelt, signature))


def general(payload: bytes, keys: Iterable[Key]) -> dict[str, object]:
    """The members of a General JSON JWS, one signature a key; hostile hands may change them before `compact_json`."""
    spelt = base64url(payload)
    parts = [key.part(spelt) for key in keys]
    signatures = [{"protected": head.decode(), "signature": signature.decode()} for head, signature in parts]
    return {"payload": spelt.decode(), "signatures": signatures}


def seal(payload: bytes, *keys: Key) -> bytes:
    """Compact for one key, General JSON for several."""
    return keys[0].compact(payload) if len(keys) == 1 else compact_json(general(payload, keys))


OPERATOR = Key(
    "hd-operator",
    "commune operator",
    may=("play.normal", "play.priority", "stop", "schedule", "prefetch", "volume"),
    max_volume_percent=90,
)
CHAIR = Key(
    "hd-chair", "commune chair", may=("play.normal", "play.emergency", "stop", "volume", "time"), max_volume_percent=95
)
DEFENCE = Key("hd-defence", "civil defence", may=("play.emergency", "stop", "time"))
RETIRED = Key("hd-retired", "commune operator")
EXPIRED = replace(OPERATOR, kid="hd-expired", valid_until=datetime(2026, 6, 1, tzinfo=UTC))
FUTURE = replace(OPERATOR, kid="hd-future", valid_from=datetime(2027, 1, 1, tzinfo=UTC))
ROOT = Key("hd-root", "root", valid_until=datetime(2036, 1, 1, tzinfo=UTC))
PAPER_ROOT = Key("hd-root-paper", "root", valid_until=datetime(2036, 1, 1, tzinfo=UTC))
STRANGER = Key("stranger", "commune operator", may=OPERATOR.may)
"""Trusted nowhere."""

ROOTS = (ROOT, PAPER_ROOT)
ALL_KEYS = (OPERATOR, CHAIR, DEFENCE, RETIRED, EXPIRED, FUTURE, *ROOTS)


def document(
    *keys: Key,
    site: str = SITE,
    roots: Roots | None = None,
    approvals: dict[Permission, int] | None = None,
) -> TrustDocument:
    """A trust document of these keys (all, if none is named), and of two roots, one of which suffices."""
    if roots is None:
        keys = (*(key for key in keys or ALL_KEYS if key not in ROOTS), *ROOTS)
        roots = Roots(threshold=1, kids=tuple(key.kid for key in ROOTS))
    return TrustDocument(
        version=1,
        site=site,
        keys=tuple(key.trusted() for key in keys or ALL_KEYS),
        roots=roots,
        approvals=approvals or {},
    )


def play(**changes: object) -> dict[str, object]:
    """A small, honest `play`; a change to `...` removes the member."""
    command: dict[str, object] = {
        "type": "play",
        "item": "tin-1",
        "kind": "normal",
        "title": "Thông báo lịch tiêm chủng",
        "sources": [{"file": {"uri": "https://tin.example/1.mp3", "sha256": "ab" * 32, "bytes": 48_000}}],
        "max_duration_s": 120,
    }
    return changed(command, changes)


def changed(members: Json, changes: Json) -> dict[str, object]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ...}


def claims(command: object, /, **changes: object) -> dict[str, object]:
    """The six claims of an honest order to this node, an hour to live."""
    members: dict[str, object] = {
        "iss": OPERATOR.authority,
        "aud": [f"node:{SITE}/{NODE}"],
        "jti": JTI,
        "iat": NOW,
        "exp": NOW + 3_600,
        "command": command,
    }
    return changed(members, changes)


def order(command: object, /, *keys: Key, **changes: object) -> bytes:
    """A signed order; the claims as `changes` say, `iss` the first key's authority."""
    keys = keys or (OPERATOR,)
    return seal(compact_json(claims(command, **{"iss": keys[0].authority, **changes})), *keys)


HERE = Addressee(SITE, NODE, frozenset({"thon-2"}))
TRUSTED = ClockView(trusted_s=float(NOW), floor_s=NOW - 86_400)
UNTRUSTED = ClockView(trusted_s=None, floor_s=NOW - 86_400)


@dataclass(frozen=True)
class Pole:
    """One node as `security` sees it: whom it trusts, its names, and what it knows of the time."""

    trust: TrustStore = field(default_factory=lambda: TrustStore(document(), site=SITE))
    addressee: Addressee = HERE
    clock: ClockView = TRUSTED

    def hears(self, envelope: bytes, *, retained: bool = False) -> VerifiedCommand | Refusal:
        return verify(envelope, retained=retained, trust=self.trust, addressee=self.addressee, clock=self.clock)

    def obeys(self, envelope: bytes) -> VerifiedCommand:
        found = self.hears(envelope)
        assert isinstance(found, VerifiedCommand), found
        return found

    def refuses(self, envelope: bytes, *, retained: bool = False) -> Refusal:
        found = self.hears(envelope, retained=retained)
        assert isinstance(found, Refusal), found
        return found
