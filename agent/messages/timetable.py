"""When the slots of a timetable sound: their occurrences as instants. Pure; any thread; the zone is an argument.

The node asks it what is due, the control side what a week will be. A slot sounds on its days, from `at` on the wall of
the zone, between its two dates; its item is `ID.YYYYMMDD`, of the date on which it begins also where it sounds past
midnight. Summer time: `local_time` says what a wall time means that does not exist (it sounds as many minutes after
midnight as ever, which the moved clock calls an hour later) or exists twice (it sounds once, the first time).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo

from agent.messages.documents import Slot
from agent.messages.local_time import instant_s, local_date, minute_of, weekday
from agent.messages.words import Kind


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One broadcast of a slot on one day, from `at_s` to before `until_s` (Unix seconds): its window."""

    slot: Slot
    item: str
    at_s: int
    until_s: int


def occurrences(slots: Iterable[Slot], zone: tzinfo, from_s: float, until_s: float) -> tuple[Occurrence, ...]:
    """All that begin in `from_s` <= `at_s` < `until_s`, by instant, priority before normal, then by name."""
    slots = tuple(slots)
    found = (
        Occurrence(slot, slot.id + suffix, at_s, at_s + slot.max_duration_s)
        for day in _days_around(from_s, until_s, zone)
        for suffix in (f".{day.year:04}{day.month:02}{day.day:02}",)
        for slot, at_s in _begins(day, slots, zone)
        if from_s <= at_s < until_s
    )
    return tuple(sorted(found, key=_order))


def next_at_s(slots: Iterable[Slot], zone: tzinfo, after_s: float, horizon_s: float) -> int | None:
    """The first instant after `after_s`, and not more than `horizon_s` after it, at which a slot begins.

    It looks at every slot for each day up to the one found: with 8,000 slots too much for each turn of a loop. What it
    found holds until that instant has passed, the slots change, or the clock is set.
    """
    slots = tuple(slots)
    until_s = after_s + horizon_s
    found: list[int] = []
    for day in _days_around(after_s, until_s, zone):
        seen = bool(found)
        found += [at_s for _, at_s in _begins(day, slots, zone) if after_s < at_s <= until_s]
        if seen:  # one day more than needed: where the clock is moved at midnight, neighbours may change places
            break
    return min(found, default=None)


def _days_around(from_s: float, until_s: float, zone: tzinfo) -> Iterator[date]:
    """The local days of a span and one on either side: a wall time that does not exist may fall on the next day."""
    first = local_date(from_s, zone)
    last = local_date(until_s, zone)
    return (first + timedelta(days=ahead) for ahead in range(-1, (last - first).days + 2))


def _begins(day: date, slots: tuple[Slot, ...], zone: tzinfo) -> Iterator[tuple[Slot, int]]:
    """The slots of that day, each with the instant at which it begins."""
    name = weekday(day)
    instants: dict[str, int] = {}
    for slot in slots:
        if name in slot.days and slot.valid_from <= day <= slot.valid_until:
            if slot.at not in instants:
                instants[slot.at] = instant_s(day, minute_of(slot.at), zone)
            yield slot, instants[slot.at]


def _order(one: Occurrence) -> tuple[int, bool, str]:
    return one.at_s, one.slot.kind is not Kind.PRIORITY, one.item
