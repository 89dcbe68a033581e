"""What the node says: signed reports, and the plain `state` and `heartbeat` (protocol section 5)."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.messages.reasons import Reason


class Report(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all reports; `type` tells them apart."""


class CommandOutcome(Report, frozen=True, tag="command_outcome", omit_defaults=True):
    """Exactly one for every command that was accepted, or refused with a good signature."""

    iss: str
    jti: str
    outcome: Literal["accepted", "refused"]
    reason: Reason | None
    detail: str | UnsetType = UNSET


class SourceNamed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which source sounded (or was tried last): its kind, and the hash, host or name."""

    kind: Literal["file", "relay", "speech", "builtin"]
    sha256: str | UnsetType = UNSET
    host: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class PlayRecord(Report, frozen=True, tag="play_record", omit_defaults=True):
    """Exactly one for every item that was ordered or due: what was asked, and what really sounded.

    Instants are Unix seconds; `played_s` counts samples that left the sound card; levels are of the sound as it left.
    """

    item: str
    iss: str
    jti: str
    kind: str
    title: str
    source: SourceNamed
    due_at: int
    started_at: float | None
    ended_at: float
    requested_s: int
    played_s: float
    result: Literal["played", "stopped", "failed", "missed"]
    reason: Reason | None
    volume_percent: int
    amplifier_on_s: float
    rms_dbfs: float | None
    peak_dbfs: float | None
    underruns: int = 0
    not_durable: bool = False
    detail: str | UnsetType = UNSET


class ClockSeen(msgspec.Struct, frozen=True):
    """Whether the node believes its wall clock, why, and the latest time it is sure has passed."""

    trusted: bool
    evidence: str
    floor: int


class DocumentSeen(msgspec.Struct, frozen=True):
    """The version in force of one authority's schedule or policy, and its SHA-256."""

    iss: str
    version: int
    sha256: str


class Status(Report, frozen=True, tag="status", omit_defaults=True):
    """What is in force. A server that withholds trust or schedules becomes visible here."""

    agent_version: str
    trust_version: int
    trust_sha256: str
    volume_percent: int
    muted: bool
    clock: ClockSeen
    playing: str | None
    waiting: int
    jti: str | UnsetType = UNSET
    mark: int | None = None
    """Orders issued before it (Unix seconds) are refused: the store does not reach back. Absent until time is known."""
    schedules: tuple[DocumentSeen, ...] = ()
    policies: tuple[DocumentSeen, ...] = ()


class Alarm(Report, frozen=True, tag="alarm"):
    """Something a person should look at. At most one summary a minute."""

    what: str
    detail: str
    count: int


AnyReport = CommandOutcome | PlayRecord | Status | Alarm


class ReportClaims(msgspec.Struct, frozen=True):
    """The payload of a report's JWS."""

    iss: str
    iat: int
    boot: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    seq: int
    clock_trusted: bool
    report: AnyReport


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """Retained, also the last will (`online` false). A hint, not proof."""

    node: str
    site: str
    online: bool
    boot: str
    link: int
    version: str | UnsetType = UNSET
    public: str | UnsetType = UNSET
    nonce: str | UnsetType = UNSET
    clock: ClockSeen | UnsetType = UNSET
    trust_version: int | UnsetType = UNSET
    key_ends: str | UnsetType = UNSET
    rolled_back: str | UnsetType = UNSET
    """The version of the agent that did not get ready, so that the one before it came back."""


class Heartbeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest only, QoS 0. At most 512 bytes on the wire."""

    boot: str
    up_s: int
    link: int
    amp: str
    playing: str | None
    waiting: int
    volume: int
    muted: bool
    clock: bool
    outbox: int
    nonce: str | UnsetType = UNSET
    refused: dict[str, int] | UnsetType = UNSET
    cpu_c: float | UnsetType = UNSET
    rss_mb: float | UnsetType = UNSET
    load: float | UnsetType = UNSET
    disk_free_mb: int | UnsetType = UNSET
    faults: tuple[Literal["disk", "card"], ...] | UnsetType = UNSET
    """What does not work at present: the disk stores nothing, the sound card is not to be had."""
