"""What an authority allows of normal and priority sound, as numbers: of node.yaml's and of each signed policy.

Pure; any thread. `strictest` makes one of all; whether an item may sound under it is `allowance`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent.messages.documents import MINUTES_OF_DAY, Day, SetPolicy
from agent.messages.local_time import minute_of
from agent.messages.words import Kind

Span = tuple[int, int]
"""Minutes of the local day, from the first to before the second, which is 1440 at most: never past midnight."""
WHOLE_DAY: Final[Span] = (0, MINUTES_OF_DAY)


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The loudest that items of a kind sound, in percent, from one minute of the local day to before another."""

    kind: Kind
    percent: int
    from_minute: int = WHOLE_DAY[0]
    until_minute: int = WHOLE_DAY[1]


@dataclass(frozen=True, slots=True)
class Rules:
    """All limits; None: no limit, 0: nothing may sound. Quiet hours are in order, and neither touch nor overlap."""

    quiet_hours: tuple[Span, ...] = ()
    days: frozenset[Day] = frozenset(Day)
    max_session_min: int | None = None
    max_sessions_per_day: int | None = None
    max_minutes_per_day: int | None = None
    ceilings: tuple[Ceiling, ...] = ()


NO_RULES: Final = Rules()


def rules_of(document: SetPolicy) -> Rules:
    """A signed policy's; its ceilings hold all day, and one for emergencies binds nothing."""
    return Rules(
        quiet_hours=united(span for hours in document.quiet_hours for span in _span_of(hours)),
        days=frozenset(document.days),
        max_session_min=document.max_session_min,
        max_sessions_per_day=document.max_sessions_per_day,
        max_minutes_per_day=document.max_minutes_per_day,
        ceilings=_in_order(Ceiling(kind, percent) for kind, percent in document.volume_ceilings.items()),
    )


def strictest(rules: Iterable[Rules]) -> Rules:
    """Quiet hours united, days intersected, each number the lowest, all ceilings. Of none: no rules."""
    given = tuple(rules)
    return Rules(
        quiet_hours=united(span for one in given for span in one.quiet_hours),
        days=NO_RULES.days.intersection(*(one.days for one in given)),
        max_session_min=_lowest(one.max_session_min for one in given),
        max_sessions_per_day=_lowest(one.max_sessions_per_day for one in given),
        max_minutes_per_day=_lowest(one.max_minutes_per_day for one in given),
        ceilings=_in_order(ceiling for one in given for ceiling in one.ceilings),
    )


def split(from_minute: int, until_minute: int) -> tuple[Span, ...]:
    """A span that may go past midnight, as one or two that do not; two equal minutes are a whole day."""
    if from_minute < until_minute:
        return ((from_minute, until_minute),)
    parts = ((0, until_minute), (from_minute, MINUTES_OF_DAY))
    return tuple(part for part in parts if part[0] < part[1])


def united(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same minutes in as few spans as possible, in order."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return tuple(found)


def _span_of(hours: str) -> tuple[Span, ...]:
    begin, _, end = hours.partition("-")
    return split(minute_of(begin), minute_of(end))


def _lowest(limits: Iterable[int | None]) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _in_order(ceilings: Iterable[Ceiling]) -> tuple[Ceiling, ...]:
    """Each once, and none that binds nothing: two authorities that say the same are one rule."""
    binding = {one for one in ceilings if one.kind is not Kind.EMERGENCY}
    return tuple(sorted(binding, key=lambda one: (one.kind, one.from_minute, one.until_minute, one.percent)))
