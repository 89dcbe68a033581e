"""Which instants a timetable means: days, dates, midnight, the year's end, and zones that move their clocks."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.messages.documents import Day, Slot
from agent.messages.timetable import next_at_s, occurrences
from agent.messages.words import Kind
from tests.messages.slots import EVERY_DAY, slot
from tests.messages.unhurried import UNHURRIED

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")
"""Its clock is moved at midnight: there are days without one, and days with two."""
ZONES = st.sampled_from([HANOI, BERLIN, HAVANA, ZoneInfo("Australia/Lord_Howe"), UTC])
DAY_S = 86_400
MORNING = slot()


def at(text: str, zone: ZoneInfo = HANOI) -> float:
    """The instant of a local date and time, the first where there are two."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def begins(slots: list[Slot], from_s: float, until_s: float, zone: ZoneInfo = HANOI) -> list[str]:
    """What begins in a span, as item and local time."""
    found = occurrences(slots, zone, from_s, until_s)
    return [f"{one.item} {datetime.fromtimestamp(one.at_s, zone):%m-%d %H:%M}" for one in found]


def test_a_week_has_the_days_that_the_slot_names() -> None:
    week = begins([slot(id="a", days=["sun", "wed"])], at("2026-09-07"), at("2026-09-14"))
    assert week == ["a.20260909 09-09 05:00", "a.20260913 09-13 05:00"]


def test_the_instant_is_that_of_the_zone() -> None:
    (one,) = occurrences([slot()], HANOI, at("2026-09-07"), at("2026-09-08"))
    assert one.at_s == datetime(2026, 9, 6, 22, 0, tzinfo=UTC).timestamp()
    assert one.until_s == one.at_s + 1_800


def test_the_span_has_its_first_instant_and_not_its_last() -> None:
    five = at("2026-09-07T05:00")
    assert len(occurrences([slot()], HANOI, five, five + 1)) == 1
    assert occurrences([slot()], HANOI, five - 1, five) == ()
    assert occurrences([slot()], HANOI, five + 0.001, five + 1) == ()
    assert occurrences([slot()], HANOI, five, five) == ()
    assert occurrences([slot()], HANOI, five + 1, five - 1) == ()


def test_both_dates_are_within() -> None:
    one = slot(id="a", valid_from="2026-09-07", valid_until="2026-09-08")
    assert begins([one], at("2026-01-01"), at("2027-01-01")) == ["a.20260907 09-07 05:00", "a.20260908 09-08 05:00"]


def test_across_midnight_and_the_years_end() -> None:
    late = slot(id="late", at="23:59", max_duration_s=7_200, valid_until="2027-12-31")
    early = slot(id="early", at="00:00", valid_until="2027-12-31")
    assert begins([early, late], at("2026-12-31T12:00"), at("2027-01-01T12:00")) == [
        "late.20261231 12-31 23:59",
        "early.20270101 01-01 00:00",
    ]
    (_, one) = occurrences([late], HANOI, at("2026-12-30T12:00"), at("2027-01-01T12:00"))
    assert one.until_s == at("2027-01-01T01:59")


def test_a_leap_year_has_its_day() -> None:
    one = slot(id="a", valid_from="2028-02-28", valid_until="2028-03-01")
    assert [each.partition(" ")[0] for each in begins([one], at("2028-02-01"), at("2028-04-01"))] == [
        "a.20280228",
        "a.20280229",
        "a.20280301",
    ]


def test_at_one_instant_priority_goes_first_and_then_the_name() -> None:
    slots = [slot(id="c"), slot(id="b", kind="priority"), slot(id="a"), slot(id="d", at="04:59")]
    assert [one.slot.id for one in occurrences(slots, HANOI, at("2026-09-07"), at("2026-09-08"))] == [
        "d",
        "b",
        "a",
        "c",
    ]


@pytest.mark.parametrize(
    ("zone", "day", "hour", "sounds_at"),
    [
        (BERLIN, "2026-03-29", "02:30", "2026-03-29T01:30:00Z"),  # there is none: as far from midnight as ever
        (BERLIN, "2026-03-29", "03:00", "2026-03-29T01:00:00Z"),
        (BERLIN, "2026-10-25", "02:30", "2026-10-25T00:30:00Z"),  # there are two: the first
        (BERLIN, "2026-10-25", "03:00", "2026-10-25T02:00:00Z"),
        (HAVANA, "2026-03-08", "00:15", "2026-03-08T05:15:00Z"),  # midnight itself is missing
        (HAVANA, "2026-11-01", "00:15", "2026-11-01T04:15:00Z"),
        (HANOI, "2026-03-29", "02:30", "2026-03-28T19:30:00Z"),
    ],
)
def test_where_the_clock_is_moved_a_slot_sounds_once(zone: ZoneInfo, day: str, hour: str, sounds_at: str) -> None:
    noon = at(f"{day}T12:00", zone)
    (one,) = occurrences([slot(id="a", at=hour)], zone, noon - DAY_S / 2 - 3_600, noon)
    assert datetime.fromtimestamp(one.at_s, UTC) == datetime.fromisoformat(sounds_at)
    assert one.item == f"a.{day.replace('-', '')}"


def test_the_ends_of_the_calendar_are_no_crash() -> None:
    forever = slot(valid_from="0001-01-01", valid_until="9999-12-31")
    for begin in (-1e18, 0.0, 253_402_300_799.0, 1e18):
        assert len(occurrences([forever], HANOI, begin, begin + 3_600)) <= 1
        assert next_at_s([forever], HANOI, begin, DAY_S) is None or begin >= 0


def test_the_next_one() -> None:
    slots = [slot(id="a", at="05:00"), slot(id="b", at="17:00", days=["tue"])]
    monday = at("2026-09-07T05:00")
    assert next_at_s(slots, HANOI, monday - 0.5, DAY_S) == monday
    assert next_at_s(slots, HANOI, monday, DAY_S) == monday + DAY_S, "after means after, and the horizon is within"
    assert next_at_s(slots, HANOI, monday, DAY_S - 1) is None
    assert next_at_s(slots, HANOI, monday + DAY_S, DAY_S) == at("2026-09-08T17:00")
    assert next_at_s([], HANOI, monday, DAY_S) is None
    assert next_at_s([slot(valid_until="2026-09-07")], HANOI, monday, 400 * DAY_S) is None
    assert next_at_s([slot(valid_from="2026-12-01")], HANOI, monday, 400 * DAY_S) == at("2026-12-01T05:00")


@st.composite
def week_slots(draw: st.DrawFn) -> list[Slot]:
    """Up to six slots, each on some days of some part of the year."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        minute = draw(st.integers(0, 1_439))
        begin = draw(st.dates(date(2026, 3, 1), date(2026, 11, 30)))
        one = replace(
            MORNING,
            id=f"s{number}",
            days=tuple(draw(st.sets(st.sampled_from(Day), min_size=1))),
            at=f"{minute // 60:02}:{minute % 60:02}",
            kind=draw(st.sampled_from([Kind.NORMAL, Kind.PRIORITY])),
            valid_from=begin,
            valid_until=begin + timedelta(days=draw(st.integers(0, 300))),
        )
        found.append(one)
    return found


SLOTS = week_slots()
INSTANTS = st.integers(int(at("2026-03-01")), int(at("2026-12-31")))


@UNHURRIED
@given(slots=SLOTS, zone=ZONES, begin=INSTANTS, first=st.integers(1, 10 * DAY_S), second=st.integers(1, 10 * DAY_S))
def test_two_spans_side_by_side_have_what_both_together_have(
    slots: list[Slot], zone: ZoneInfo, begin: int, first: int, second: int
) -> None:
    whole = occurrences(slots, zone, begin, begin + first + second)
    parts = (
        *occurrences(slots, zone, begin, begin + first),
        *occurrences(slots, zone, begin + first, begin + first + second),
    )
    assert whole == parts
    assert len({one.item for one in whole}) == len(whole)
    assert all(before.at_s <= after.at_s for before, after in pairwise(whole))


@UNHURRIED
@given(slots=SLOTS, zone=ZONES, after=INSTANTS, horizon=st.integers(1, 20 * DAY_S))
def test_the_next_one_is_the_first_of_the_horizon(slots: list[Slot], zone: ZoneInfo, after: int, horizon: int) -> None:
    within = occurrences(slots, zone, after + 1, after + horizon + 1)
    assert next_at_s(slots, zone, after, horizon) == (within[0].at_s if within else None)


@UNHURRIED
@given(slots=SLOTS, zone=ZONES, begin=INSTANTS)
def test_an_occurrence_is_on_a_day_of_its_slot_at_its_hour_unless_the_clock_skips_it(
    slots: list[Slot], zone: ZoneInfo, begin: int
) -> None:
    for one in occurrences(slots, zone, begin, begin + 9 * DAY_S):
        day = date.fromisoformat(one.item.rpartition(".")[2])
        assert EVERY_DAY[day.weekday()] in one.slot.days
        assert one.slot.valid_from <= day <= one.slot.valid_until
        wall = datetime.fromtimestamp(one.at_s, zone)
        skipped = datetime.fromtimestamp(one.at_s - 3_600, zone).utcoffset() != wall.utcoffset()
        assert (wall.date(), f"{wall:%H:%M}") == (day, one.slot.at) or skipped
