"""What waits for a transaction, and what follows once it is on the disk (persist, then acknowledge, then act)."""

from dataclasses import dataclass

from agent.messages.commands import VerifiedCommand
from agent.messages.effects import Write
from agent.messages.events import Delivery, DocumentType
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
    """An authority's newest schedule or policy. Without `verified` it is revoked: its version alone is remembered."""

    version: int
    iat: int
    sha256: str
    verified: VerifiedCommand | None


@dataclass(frozen=True, slots=True)
class ItemDurable:
    """The item may sound."""

    item: str


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
    """The authority's schedule or policy is this one."""

    key: DocumentKey
    kept: KeptDocument


Consequence = ItemDurable | SettingInForce | TrustInForce | DocumentInForce


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
