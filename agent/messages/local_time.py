"""Local days and minutes, and the instants they are. Pure; any thread; the zone is an argument.

Where summer time makes a wall time that does not exist, or exists twice, `fold=0` of PEP 495 holds: the first of two,
and in the gap as many minutes after midnight as if the clock had not been moved. Vietnam has had neither since 1975.
"""

from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from agent.messages.documents import MINUTES_OF_DAY, Day
from agent.messages.words import LAST_SECOND

DAY_S: Final = 24 * 3_600
_LAST_S: Final = LAST_SECOND - 16 * DAY_S
"""Instants are looked at as if none were later: a calendar ends with the year 9999, and we look some days ahead."""
_ONE_DAY: Final = timedelta(days=1)
_WEEK: Final = tuple(Day)


def local_time(at_s: float, zone: tzinfo) -> datetime:
    """The wall time at that Unix second, in whole seconds; what lies beyond the calendar's ends counts as its ends."""
    return datetime.fromtimestamp(int(min(max(at_s, DAY_S), _LAST_S)), zone)


def local_date(at_s: float, zone: tzinfo) -> date:
    """The local date."""
    return local_time(at_s, zone).date()


def local_minute(at_s: float, zone: tzinfo) -> int:
    """Minutes since midnight on the wall."""
    wall = local_time(at_s, zone)
    return wall.hour * 60 + wall.minute


def weekday(day: date) -> Day:
    """The day of the week."""
    return _WEEK[day.weekday()]


def minute_of(hour: str) -> int:
    """Minutes since midnight of an `HH:MM`."""
    hours, _, minutes = hour.partition(":")
    return int(hours) * 60 + int(minutes)


def instant_s(day: date, minute: int, zone: tzinfo, *, fold: int = 0) -> int:
    """Unix second at which this minute of the local day begins; minute 1440 is the next day's first."""
    if minute == MINUTES_OF_DAY:
        day, minute = day + _ONE_DAY, 0
    wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone, fold=fold)
    return int(wall.timestamp())


def end_of_day_s(at_s: float, zone: tzinfo) -> float:
    """The next local midnight after that instant."""
    day = local_date(at_s, zone)
    for fold in (0, 1):
        midnight_s = instant_s(day, MINUTES_OF_DAY, zone, fold=fold)
        if midnight_s > at_s:
            return midnight_s
    return at_s + DAY_S  # beyond the calendar's end


def marks_s(day: date, minutes: frozenset[int], zone: tzinfo) -> list[int]:
    """Every instant of the local day at which the wall may pass into or out of one of these minutes, in order.

    That is its midnight, each of the minutes (both, where it comes twice), and the instant at which the clock is moved:
    who compares what holds at each of them with what held before misses no change.
    """
    begin_s, end_s = instant_s(day, 0, zone), instant_s(day, MINUTES_OF_DAY, zone)
    found = {begin_s, *(instant_s(day, minute, zone) for minute in minutes)}
    if _offset(begin_s, zone) != _offset(end_s, zone):
        found.update(instant_s(day, minute, zone, fold=1) for minute in minutes)
        found.add(_moved_s(begin_s, end_s, zone))
    return sorted(found)


def _moved_s(begin_s: int, end_s: int, zone: tzinfo) -> int:
    """The first second of the new offset, by halving."""
    before = _offset(begin_s, zone)
    while end_s - begin_s > 1:
        middle_s = (begin_s + end_s) // 2
        if _offset(middle_s, zone) == before:
            begin_s = middle_s
        else:
            end_s = middle_s
    return end_s


def _offset(at_s: int, zone: tzinfo) -> timedelta | None:
    return local_time(at_s, zone).utcoffset()
