"""What waits for a transaction, and what follows once it is on the disk (persist, then acknowledge, then act)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.messages.commands import VerifiedCommand
from agent.messages.effects import Write
from agent.messages.events import Delivery
from agent.messages.memory import DocumentType
from agent.messages.trust import TrustDocument


@dataclass(frozen=True, slots=True)
class Setting:
    """A value set by command, and the `iat` of the command that set it: an older one is superseded."""

    value: int
    iat: int = -1


DocumentKey = tuple[DocumentType, str]
"""Each authority (`iss`) has its own schedule and its own policy."""


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """An authority's newest schedule or policy. Without `verified` it is revoked: its version alone is remembered.

    Its slots are due from `since` on (Unix seconds): when it was issued, by a clock that may have been ahead of ours,
    or came, if that was before.
    """

    version: int
    iat: int
    sha256: str
    verified: VerifiedCommand | None
    since: int


@dataclass(frozen=True, slots=True)
class ItemDurable:
    """The item may sound: the one of this order (`jti`), not another that has its name by now."""

    item: str
    jti: str


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """`volume_percent` or `muted` has this value."""

    name: str
    setting: Setting


@dataclass(frozen=True, slots=True)
class TrustInForce:
    """The document's keys are those that count."""

    document: TrustDocument


@dataclass(frozen=True, slots=True)
class DocumentInForce:
    """The authority's schedule or policy is this one, which was judged by the trust document of this version."""

    key: DocumentKey
    kept: KeptDocument
    trust_version: int


@dataclass(frozen=True, slots=True)
class RestartDue:
    """The node may end: that it was told so is on the disk, and the same command does not end it again."""

    iss: str


Consequence = ItemDurable | SettingInForce | TrustInForce | DocumentInForce | RestartDue


@dataclass(frozen=True, slots=True)
class Aboard:
    """What only rode along, to be taken back where the transaction is given up: it has nothing to do with its end.

    `unproven` is what its alarm sums up, `removed` the reports that it removes, `kept_s` the floor stored before it.
    """

    kept_s: int
    removed: tuple[int, ...] = ()
    unproven: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a transaction: the delivery to acknowledge, with its copies, and what follows.

    `again` if it must not fail: it is tried until it is stored.
    """

    writes: tuple[Write, ...]
    delivery: Delivery | None = None
    then: Consequence | None = None
    again: bool = False
    copies: tuple[Delivery, ...] = ()
    """Further deliveries of the same command, acknowledged with the first."""
    aboard: Aboard | None = None
