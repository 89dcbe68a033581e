"""What the store holds, as it stands on the disk: proven by nobody yet."""

from dataclasses import dataclass
from typing import Literal

from agent.messages.sums import NO_SUMS, Sums

DocumentType = Literal["set_schedule", "set_policy"]
"""The commands whose document lasts until its authority's next version."""


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An accepted item as the store keeps it: its envelope is verified again before anybody believes it."""

    envelope: bytes
    accepted_at: int
    started_at: float | None
    round: int = 0
    round_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoredCommand:
    """A verified command that waits for the time; `emergency` names the emergency item it is about, empty if none."""

    iss: str
    jti: str
    emergency: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class StoredAccepted:
    """A command in the replay memory; `iat` is 0 where no date is asked, or none was kept yet."""

    iss: str
    jti: str
    exp: int
    iat: int = 0


@dataclass(frozen=True, slots=True)
class StoredStop:
    """A stop that awaits its item: what its keys could end, and who they are."""

    item: str
    iss: str
    may: tuple[str, ...]
    exp: int
    kids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """An authority's schedule or policy as the store keeps it; without envelope it was revoked.

    `since` (Unix seconds) is when it was accepted, or issued if that was before; 0 where an older agent kept it.
    """

    type: DocumentType
    iss: str
    version: int
    iat: int
    sha256: str
    envelope: bytes | None
    since: int = 0


@dataclass(frozen=True, slots=True)
class StoredSlot:
    """A slot that was due on a day, as the store keeps it; `slot` is its words, believed only if its schedule has it.

    `settled` once its record is stored.
    """

    iss: str
    item: str
    at_s: int
    until_s: int
    jti: str
    slot: bytes
    started_at: float | None
    settled: bool


@dataclass(frozen=True, slots=True)
class StoredLedger:
    """What had sounded on a local date, and in the last session, when it was last kept."""

    day: str
    minutes_s: float
    sessions: int
    session_s: float
    last_sound_s: float


@dataclass(frozen=True, slots=True)
class StoredWanted:
    """A file that was ordered to be fetched ahead, and is not here yet."""

    sha256: str
    uri: str
    bytes: int
    pin: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What the store held when it was opened; not an event, but the stuff that `Restored` is made of."""

    next_seq: int
    outbox_count: int
    accepted: tuple[StoredAccepted, ...]
    stops: tuple[StoredStop, ...]
    items: tuple[StoredItem, ...]
    settings: tuple[tuple[str, int, int], ...]
    trust: bytes | None = None
    """The `set_trust` last accepted, as it came."""
    names: tuple[tuple[str, str], ...] = ()
    """(kid, public) of every key there ever was."""
    unjudged: tuple[StoredCommand, ...] = ()
    """In the order of arrival."""
    documents: tuple[StoredDocument, ...] = ()
    slots: tuple[StoredSlot, ...] = ()
    ledger: StoredLedger | None = None
    wanted: tuple[StoredWanted, ...] = ()
    sums: Sums = NO_SUMS
    """Of reports that went from the outbox undelivered, and are still to be told."""
    fault: str = ""
    """What a person should know of the disk: a database that was lost, a disk that takes nothing."""
