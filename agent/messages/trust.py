"""The trust document: who may order what (protocol section 6)."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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

    threshold: Annotated[int, Meta(ge=1, le=16)]
    kids: Annotated[tuple[KeyId, ...], Meta(min_length=1, max_length=16)]


class TrustDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of what a node believes about keys. `approvals` asks several signatures for a permission."""

    version: Annotated[int, Meta(ge=1)]
    site: Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,39}\Z")]
    keys: Annotated[tuple[TrustedKey, ...], Meta(min_length=1, max_length=200)]
    roots: Roots
    approvals: dict[Permission, Annotated[int, Meta(ge=1, le=8)]]
