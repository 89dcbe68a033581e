"""What the running node says of itself on its own machine, to `loa-agent status`: data, which the command line phrases.

Not on the wire, and no part of the protocol: both ends are of one version. Unix seconds by the node's own clock, which
`clock.trusted` says something about; empty texts and tuples mean: nothing.
"""

from enum import StrEnum

import msgspec

from agent.messages.reports import ClockSeen, CommandOutcome, DocumentSeen


class Silence(StrEnum):
    """Why nothing sounds just now, beside the rules of a policy, which go by their own reason."""

    NOTHING_ORDERED = "nothing_ordered"
    NOT_YET = "not_yet"
    """What has the air, or waits, is for later."""
    PREPARING = "preparing"
    """Its source is being fetched or decoded, the card opened, or the amplifier warms up."""
    SOURCE = "source"
    """No source of an emergency is to be had just now; they are asked again."""
    MUTED = "muted"
    CLOCK = "clock"
    """The time is not known: nothing ordered over the network sounds."""
    CARD = "card"
    AMPLIFIER = "amplifier"


class Piece(msgspec.Struct, frozen=True):
    """One item of the programme; `stage` is `waiting`, `unreachable`, or how far its attempt has come."""

    item: str
    kind: str
    title: str
    iss: str
    stage: str
    source: str
    due_at: int


class Told(msgspec.Struct, frozen=True):
    """What became of one command, and when it was said."""

    at: int
    outcome: CommandOutcome


class Sounded(msgspec.Struct, frozen=True):
    """The end of a play record."""

    at: int
    item: str
    result: str
    reason: str | None
    detail: str
    played_s: float


class Condition(msgspec.Struct, frozen=True):
    """All of it. `at` is the time of the answer, `programme` the first pieces, in order, of `pieces` in all."""

    node: str
    site: str
    version: str
    rolled_back: str
    """The version that did not get ready, and was replaced by this one."""
    public: str
    timezone: str
    at: int
    up_s: int
    ready: bool
    link_up: bool
    link: int
    link_cause: str
    clock: ClockSeen
    trust: DocumentSeen
    key_ends: str
    schedules: tuple[DocumentSeen, ...]
    policies: tuple[DocumentSeen, ...]
    amplifiers: dict[str, str]
    programme: tuple[Piece, ...]
    pieces: int
    silence: tuple[Silence, ...]
    forbidden: dict[str, str]
    """By kind: the reason code of the rule that forbids it at present."""
    next_slot: int | None
    volume_percent: int
    muted: bool
    card_fault: str
    disk_fault: str
    untimed: int
    """Commands that wait for the time."""
    outbox: int
    refused: dict[str, int]
    commands: tuple[Told, ...]
    """The newest last."""
    sounded: tuple[Sounded, ...]
