"""An authority's timetable and its rules for the node: whole documents, the next one replaces the last (protocol 4).

Each authority has its own of both; which version may follow which is the core's (`core.documents`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from agent.messages.codec import encode
from agent.messages.sources import Source, require_siren_for_emergency
from agent.messages.words import (
    LAST_SECOND,
    Command,
    DurationSeconds,
    ItemId,
    Kind,
    Percent,
    Text200,
    Word,
    require_plain_text,
)

MAX_SLOTS = 500
"""Slots of one authority's week: 70 a day."""
MAX_QUIET_HOURS = 16
"""Spans of quiet hours in a day."""
MINUTES_OF_DAY = 24 * 60

_HOUR = r"([01][0-9]|2[0-3]):[0-5][0-9]"
LocalTime = Annotated[str, Meta(pattern=rf"\A{_HOUR}\Z", description="Wall time in the node's zone.")]
QuietSpan = Annotated[str, Meta(pattern=rf"\A{_HOUR}-{_HOUR}\Z", description="From, until; may go past midnight.")]
Version = Annotated[int, Meta(ge=1, le=LAST_SECOND, description="Above any before of this authority, at most `iat`.")]
DayMinutes = Annotated[int, Meta(ge=0, le=MINUTES_OF_DAY)]
Sessions = Annotated[int, Meta(ge=0, le=MINUTES_OF_DAY)]


class Day(StrEnum):
    """Days of the week, in the node's zone."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


Days = Annotated[tuple[Day, ...], Meta(max_length=7)]


def _refuse_twice(what: str, values: Iterable[str]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"{what} {twice[0]} stands twice")


class Slot(Word, frozen=True, omit_defaults=True):
    """One recurring broadcast: on these days, from `at`, between two local dates (inclusive)."""

    id: ItemId
    days: Annotated[Days, Meta(min_length=1)]
    at: LocalTime
    kind: Kind
    title: Text200
    sources: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=4)]
    max_duration_s: DurationSeconds
    valid_from: date
    valid_until: date
    volume_percent: Percent | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_plain_text("title", self.title)
        _refuse_twice("day", self.days)
        if self.kind is Kind.EMERGENCY:
            raise ValueError("a slot is normal or priority: an emergency is ordered when it happens")
        if self.valid_until < self.valid_from:
            raise ValueError("valid_until is before valid_from")
        require_siren_for_emergency(self.kind, self.sources)


class SetSchedule(Command, frozen=True, tag="set_schedule"):
    """An authority's whole timetable; no slots: it has none any more."""

    MAX_LIFETIME_S: ClassVar[int] = 30 * 24 * 3_600

    version: Version
    slots: Annotated[tuple[Slot, ...], Meta(max_length=MAX_SLOTS)]

    def __post_init__(self) -> None:
        _refuse_twice("slot id", (slot.id for slot in self.slots))


class SetPolicy(Command, frozen=True, tag="set_policy"):
    """An authority's rules for normal and priority items; of several authorities' the strictest holds.

    A ceiling for emergencies is a word of the protocol, and binds nothing: no policy touches them (section 7).
    """

    MAX_LIFETIME_S: ClassVar[int] = 30 * 24 * 3_600

    version: Version
    quiet_hours: Annotated[tuple[QuietSpan, ...], Meta(max_length=MAX_QUIET_HOURS)]
    days: Days
    max_session_min: DayMinutes
    max_sessions_per_day: Sessions
    max_minutes_per_day: DayMinutes
    volume_ceilings: dict[Kind, Percent]

    def __post_init__(self) -> None:
        _refuse_twice("day", self.days)
        for span in self.quiet_hours:
            begin, _, end = span.partition("-")
            if begin == end:
                raise ValueError(f"quiet hours {span} have no length: write days: [] where no day may sound")


Document = SetSchedule | SetPolicy
"""What lasts until its authority's next version."""


def fingerprint(document: Document) -> str:
    """SHA-256 (hex) of the document as compact JSON, its members in the order of this module, ceilings by name."""
    if isinstance(document, SetPolicy):
        document = replace(document, volume_ceilings=dict(sorted(document.volume_ceilings.items())))
    return hashlib.sha256(encode(document)).hexdigest()
