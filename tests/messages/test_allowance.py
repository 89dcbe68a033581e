"""What may sound under the rules, for how long, and what the ledger remembers of it."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.policy import (
    NO_RULES,
    SESSION_GAP_S,
    Ceiling,
    Ledger,
    Rules,
    ceiling_percent,
    charge,
    cut_s,
    next_change_s,
    strictest,
    why_not,
)
from agent.messages.documents import Day
from agent.messages.rules import split, united
from agent.messages.words import Kind
from tests.messages.unhurried import UNHURRIED

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
BERLIN = ZoneInfo("Europe/Berlin")
HAVANA = ZoneInfo("America/Havana")
SOUNDS = [Kind.NORMAL, Kind.PRIORITY]
NIGHT = united(split(21 * 60, 4 * 60 + 45))
EMPTY = Ledger()
MIN_S = 60


def at(text: str, zone: tzinfo = HANOI, fold: int = 0) -> float:
    """An instant; 2026-09-07 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def refused(rules: Rules, kind: Kind, text: str, ledger: Ledger = EMPTY) -> str:
    """The rule in words, or nothing."""
    why = why_not(rules, ledger, kind, at(text), HANOI)
    return "" if why is None else f"{why[0]}: {why[1]}"


# May it begin? ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hour", "quiet"),
    [
        ("00:00", True),
        ("03:15", True),
        ("04:44:59.999", True),
        ("04:45", False),
        ("12:00", False),
        ("20:59:59.999", False),
        ("21:00", True),
        ("23:59:59", True),
    ],
)
def test_trung_loc_sleeps_at_a_quarter_past_three(hour: str, quiet: bool) -> None:
    rules = Rules(quiet_hours=NIGHT)
    told = f"policy_quiet_hours: quiet_hours 21:00-04:45: it is {hour[:5]}" if quiet else ""
    for kind in SOUNDS:
        assert refused(rules, kind, f"2026-09-07T{hour}") == told
    assert refused(rules, Kind.EMERGENCY, f"2026-09-07T{hour}") == ""


@pytest.mark.parametrize(
    ("spans", "hour", "told"),
    [
        (((720, 810),), "12:00", "12:00-13:30"),
        (((0, 300),), "00:00", "00:00-05:00"),
        (((1_320, 1_440),), "22:00", "22:00-00:00"),
        (((0, 60), (720, 780), (1_380, 1_440)), "12:30", "12:00-13:00"),
        (((0, 60), (720, 780), (1_380, 1_440)), "23:30", "23:00-01:00"),
    ],
)
def test_the_refusal_tells_quiet_hours_as_they_were_meant(
    spans: tuple[tuple[int, int], ...], hour: str, told: str
) -> None:
    rules = Rules(quiet_hours=spans)
    assert refused(rules, Kind.NORMAL, f"2026-09-07T{hour}") == f"policy_quiet_hours: quiet_hours {told}: it is {hour}"


def test_days() -> None:
    rules = Rules(days=frozenset({Day.WED, Day.MON}))
    assert refused(rules, Kind.NORMAL, "2026-09-07T00:00") == ""
    assert refused(rules, Kind.PRIORITY, "2026-09-08T00:00") == "policy_days: days mon, wed: it is tue"
    assert refused(Rules(days=frozenset()), Kind.NORMAL, "2026-09-07T05:00") == "policy_days: days none: it is mon"
    assert refused(Rules(days=frozenset()), Kind.EMERGENCY, "2026-09-07T05:00") == ""


TODAY = Ledger("2026-09-07", minutes_s=7_170, sessions=3, session_s=2_700, last_sound_s=at("2026-09-07T05:45"))


MINUTES_TOLD = "policy_minutes: max_minutes_per_day 119: 119.5 min have sounded today"
SESSIONS_TOLD = "policy_sessions: max_sessions_per_day 3: 3 have begun today"
SESSION_TOLD = (
    "policy_session_minutes: max_session_min 45: this session has sounded 45 min; the next begins after 5 min of pause"
)


@pytest.mark.parametrize(
    ("rules", "kind", "when", "told"),
    [
        (Rules(max_minutes_per_day=119), Kind.NORMAL, "05:46", MINUTES_TOLD),
        (Rules(max_minutes_per_day=119), Kind.PRIORITY, "05:46", MINUTES_TOLD),
        (Rules(max_minutes_per_day=120), Kind.NORMAL, "05:46", ""),
        (Rules(max_sessions_per_day=3), Kind.NORMAL, "05:49:59", ""),
        (Rules(max_sessions_per_day=3), Kind.NORMAL, "05:50", SESSIONS_TOLD),
        (Rules(max_sessions_per_day=3), Kind.PRIORITY, "05:50", ""),
        (Rules(max_sessions_per_day=4), Kind.NORMAL, "05:50", ""),
        (Rules(max_session_min=45), Kind.NORMAL, "05:46", SESSION_TOLD),
        (Rules(max_session_min=46), Kind.NORMAL, "05:46", ""),
        (Rules(max_session_min=45), Kind.NORMAL, "05:50", ""),
        (Rules(max_session_min=45), Kind.PRIORITY, "05:46", ""),
        (Rules(max_session_min=0, max_sessions_per_day=0, max_minutes_per_day=0), Kind.EMERGENCY, "05:46", ""),
    ],
)
def test_caps(rules: Rules, kind: Kind, when: str, told: str) -> None:
    assert refused(rules, kind, f"2026-09-07T{when}", TODAY) == told


def test_the_next_day_begins_with_nothing_used_up() -> None:
    rules = Rules(max_minutes_per_day=1, max_sessions_per_day=1)
    assert refused(rules, Kind.NORMAL, "2026-09-07T23:59:59", TODAY).startswith("policy_minutes")
    assert refused(rules, Kind.NORMAL, "2026-09-08T00:00", TODAY) == ""


@pytest.mark.parametrize(
    ("limit", "rules"),
    [
        ("max_session_min", replace(NO_RULES, max_session_min=0)),
        ("max_sessions_per_day", replace(NO_RULES, max_sessions_per_day=0)),
        ("max_minutes_per_day", replace(NO_RULES, max_minutes_per_day=0)),
    ],
)
def test_nought_means_none(limit: str, rules: Rules) -> None:
    assert refused(rules, Kind.NORMAL, "2026-09-07T05:00")
    assert bool(refused(rules, Kind.PRIORITY, "2026-09-07T05:00")) is (limit == "max_minutes_per_day")
    assert cut_s(rules, EMPTY, Kind.NORMAL, at("2026-09-07T05:00"), HANOI) is not None
    assert refused(replace(NO_RULES, max_sessions_per_day=0), Kind.NORMAL, "2026-09-07T05:46", TODAY), (
        "going on neither"
    )


# What is charged ----------------------------------------------------------------------------------------------------


def test_sessions_end_with_a_pause_of_five_minutes() -> None:
    begin = at("2026-09-07T05:00")
    ledger = charge(EMPTY, Kind.NORMAL, begin, begin + 600, HANOI)
    assert ledger == Ledger("2026-09-07", 600, 1, 600, begin + 600)
    joined = charge(ledger, Kind.NORMAL, begin + 600 + SESSION_GAP_S - 1, begin + 1_200, HANOI)
    assert (joined.sessions, joined.session_s) == (1, 600 + 301)
    apart = charge(ledger, Kind.NORMAL, begin + 600 + SESSION_GAP_S, begin + 1_200, HANOI)
    assert (apart.sessions, apart.session_s, apart.minutes_s) == (2, 300, 900)


def test_priority_counts_in_minutes_and_neither_makes_nor_joins_sessions() -> None:
    begin = at("2026-09-07T05:00")
    ledger = charge(EMPTY, Kind.NORMAL, begin, begin + 60, HANOI)
    after = charge(ledger, Kind.PRIORITY, begin + 60, begin + 60 + SESSION_GAP_S, HANOI)
    assert after == replace(ledger, minutes_s=60 + SESSION_GAP_S)
    assert charge(after, Kind.NORMAL, begin + 360, begin + 400, HANOI).sessions == 2


def test_emergencies_and_spans_without_length_cost_nothing() -> None:
    begin = at("2026-09-07T05:00")
    assert charge(EMPTY, Kind.EMERGENCY, begin, begin + 600, HANOI) == EMPTY
    assert charge(EMPTY, Kind.NORMAL, begin, begin, HANOI) == EMPTY
    assert charge(EMPTY, Kind.NORMAL, begin, begin - 1, HANOI) == EMPTY


def test_a_session_over_midnight_counts_on_the_day_it_began_and_stays_one() -> None:
    begin = at("2026-09-07T23:50")
    ledger = charge(EMPTY, Kind.NORMAL, begin, begin + 1_800, HANOI)
    assert ledger == Ledger("2026-09-08", minutes_s=1_200, sessions=0, session_s=1_800, last_sound_s=begin + 1_800)


def test_a_ledger_from_a_clock_that_was_years_ahead_does_not_hold_the_session_open() -> None:
    ledger = Ledger("2030-01-01", 600, 3, 2_700, at("2030-01-01T05:00"))
    rules = Rules(max_session_min=45, max_sessions_per_day=3)
    assert refused(rules, Kind.NORMAL, "2026-09-07T05:00", ledger) == ""


# When it ends -------------------------------------------------------------------------------------------------------


def cut(rules: Rules, kind: Kind, text: str, ledger: Ledger = EMPTY, zone: tzinfo = HANOI) -> str:
    """When which rule ends it, as local time."""
    found = cut_s(rules, ledger, kind, at(text, zone), zone)
    return "" if found is None else f"{datetime.fromtimestamp(found[0], zone):%m-%d %H:%M:%S} {found[1]}"


@pytest.mark.parametrize(
    ("rules", "kind", "begin", "ends"),
    [
        (NO_RULES, Kind.NORMAL, "05:00", ""),
        (Rules(quiet_hours=NIGHT), Kind.NORMAL, "05:00", "09-07 21:00:00 policy_quiet_hours"),
        (Rules(quiet_hours=NIGHT), Kind.PRIORITY, "20:59:59", "09-07 21:00:00 policy_quiet_hours"),
        (Rules(quiet_hours=NIGHT), Kind.NORMAL, "21:30", "09-07 21:30:00 policy_quiet_hours"),
        (Rules(quiet_hours=((0, 60),)), Kind.NORMAL, "01:00", "09-08 00:00:00 policy_quiet_hours"),
        (Rules(quiet_hours=NIGHT), Kind.EMERGENCY, "21:30", ""),
        (Rules(days=frozenset({Day.MON, Day.TUE})), Kind.NORMAL, "05:00", "09-09 00:00:00 policy_days"),
        (Rules(days=frozenset(Day) - {Day.SUN}), Kind.NORMAL, "05:00", "09-13 00:00:00 policy_days"),
        (Rules(max_session_min=45), Kind.NORMAL, "05:00", "09-07 05:45:00 policy_session_minutes"),
        (Rules(max_session_min=45), Kind.NORMAL, "23:50", "09-08 00:35:00 policy_session_minutes"),
        (Rules(max_session_min=45), Kind.PRIORITY, "05:00", ""),
        (Rules(max_minutes_per_day=45), Kind.PRIORITY, "05:00", "09-07 05:45:00 policy_minutes"),
        (Rules(max_minutes_per_day=45), Kind.NORMAL, "23:15", "09-08 00:45:00 policy_minutes"),
        (Rules(max_minutes_per_day=1_440), Kind.NORMAL, "05:00", ""),
        (Rules(max_sessions_per_day=1), Kind.NORMAL, "05:00", ""),
        (Rules(quiet_hours=((0, 1_440),)), Kind.NORMAL, "05:00", "09-07 05:00:00 policy_quiet_hours"),
        (Rules(quiet_hours=NIGHT, max_session_min=5), Kind.NORMAL, "20:58", "09-07 21:00:00 policy_quiet_hours"),
        (Rules(quiet_hours=NIGHT, max_session_min=1), Kind.NORMAL, "20:58", "09-07 20:59:00 policy_session_minutes"),
    ],
)
def test_which_rule_ends_what_sounds_and_when(rules: Rules, kind: Kind, begin: str, ends: str) -> None:
    assert cut(rules, kind, f"2026-09-07T{begin}") == ends


def test_what_has_sounded_before_shortens_the_rest() -> None:
    rules = Rules(max_session_min=50, max_minutes_per_day=122)
    assert cut(rules, Kind.NORMAL, "2026-09-07T05:46", TODAY) == "09-07 05:48:30 policy_minutes"
    assert (
        cut(rules, Kind.NORMAL, "2026-09-07T05:46", replace(TODAY, minutes_s=0))
        == "09-07 05:51:00 policy_session_minutes"
    )
    assert (
        cut(rules, Kind.NORMAL, "2026-09-07T05:50", replace(TODAY, minutes_s=0))
        == "09-07 06:40:00 policy_session_minutes"
    )


def test_quiet_hours_where_the_clock_is_moved() -> None:
    early = Rules(quiet_hours=((135, 300),))  # 02:15 to 05:00, and there is no 02:15
    assert cut(early, Kind.NORMAL, "2026-03-29T01:00", zone=BERLIN) == "03-29 03:00:00 policy_quiet_hours"
    twice = Rules(quiet_hours=((135, 150),))  # 02:15 to 02:30, twice
    assert next_change_s(twice, at("2026-10-25T02:20", BERLIN), BERLIN) == at("2026-10-25T02:30", BERLIN)
    assert next_change_s(twice, at("2026-10-25T02:40", BERLIN), BERLIN) == at("2026-10-25T02:15", BERLIN, fold=1)
    assert cut(twice, Kind.NORMAL, "2026-10-25T02:40", zone=BERLIN) == "10-25 02:15:00 policy_quiet_hours"
    past = Rules(quiet_hours=((0, 30),))  # Havana moves from 24:00 to 01:00: that night it is not quiet at all
    assert cut(past, Kind.NORMAL, "2026-03-07T12:00", zone=HAVANA) == "03-09 00:00:00 policy_quiet_hours"


# How loud -----------------------------------------------------------------------------------------------------------

EVENING = Rules(
    quiet_hours=NIGHT,
    ceilings=(
        Ceiling(Kind.NORMAL, 80),
        Ceiling(Kind.NORMAL, 50, 1_200, 1_260),
        Ceiling(Kind.PRIORITY, 60, 1_200, 1_260),
    ),
)


@pytest.mark.parametrize(
    ("hour", "normal", "priority"),
    [("00:00", 80, 100), ("19:59", 80, 100), ("20:00", 50, 60), ("20:59:59", 50, 60), ("21:00", 80, 100)],
)
def test_ceilings_by_kind_and_hour(hour: str, normal: int, priority: int) -> None:
    instant = at(f"2026-09-07T{hour}")
    loudest = [ceiling_percent(EVENING, kind, instant, HANOI) for kind in (Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY)]
    assert loudest == [normal, priority, 100]
    assert ceiling_percent(NO_RULES, Kind.NORMAL, instant, HANOI) == 100


def test_a_ceiling_of_nought_is_a_ceiling() -> None:
    rules = Rules(ceilings=(Ceiling(Kind.NORMAL, 0), Ceiling(Kind.EMERGENCY, 0)))
    assert [ceiling_percent(rules, kind, 0, HANOI) for kind in Kind] == [0, 100, 100]


@pytest.mark.parametrize(
    ("rules", "after", "change"),
    [
        (EVENING, "2026-09-07T05:00", "2026-09-07T20:00"),
        (EVENING, "2026-09-07T20:00", "2026-09-07T21:00"),
        (EVENING, "2026-09-07T21:00", "2026-09-08T04:45"),
        (EVENING, "2026-09-08T04:44:59", "2026-09-08T04:45"),
        (Rules(quiet_hours=((720, 721),)), "2026-09-07T12:01", "2026-09-08T12:00"),
        (Rules(ceilings=(Ceiling(Kind.NORMAL, 80),)), "2026-09-07T05:00", None),
        (Rules(ceilings=(Ceiling(Kind.NORMAL, 80), Ceiling(Kind.NORMAL, 90, 60, 120))), "2026-09-07T05:00", None),
        (Rules(quiet_hours=((0, 1_440),)), "2026-09-07T05:00", None),
        (NO_RULES, "2026-09-07T05:00", None),
    ],
)
def test_when_the_hours_change(rules: Rules, after: str, change: str | None) -> None:
    assert next_change_s(rules, at(after), HANOI) == (None if change is None else at(change))


# Properties ---------------------------------------------------------------------------------------------------------

ZONES = st.sampled_from([HANOI, BERLIN, HAVANA, ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=-11))])
INSTANTS = st.integers(int(at("2026-01-01")), int(at("2026-12-31"))) | st.sampled_from(
    [int(at(text)) for text in ("2026-03-08T11:30", "2026-03-29T07:30", "2026-10-25T06:00", "2026-11-01T11:00")]
)
MINUTES = st.sampled_from([0, 1, 30, 135, 150, 285, 720, 1_260, 1_439])
LIMIT = st.none() | st.sampled_from([0, 1, 45, 120, 600, 1_440])


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    """Rules that object often enough."""
    quiet = [span for _ in range(draw(st.integers(0, 2))) for span in split(draw(MINUTES), draw(MINUTES))]
    days = draw(st.frozensets(st.sampled_from(Day), min_size=5))
    return Rules(united(quiet), days, draw(LIMIT), draw(LIMIT), draw(LIMIT))


RULES = some_rules()
LENGTHS = st.integers(1, 12 * 3_600)
KINDS = st.sampled_from(SOUNDS)
HISTORY = st.lists(st.tuples(KINDS, st.integers(0, 4_000), LENGTHS), max_size=4)


def ledger_before(history: list[tuple[Kind, int, int]], end_s: float, zone: tzinfo) -> Ledger:
    """What is charged for a history of (kind, pause after it, length) that ends at that instant."""
    begin_s = end_s - sum(pause + length for _, pause, length in history)
    ledger = EMPTY
    for kind, pause, length in history:
        ledger = charge(ledger, kind, begin_s, begin_s + length, zone)
        begin_s += length + pause
    return ledger


@UNHURRIED
@given(history=HISTORY, kind=KINDS, begin=INSTANTS, first=LENGTHS, second=LENGTHS, zone=ZONES)
def test_in_pieces_or_at_once_the_same_is_charged(
    history: list[tuple[Kind, int, int]], kind: Kind, begin: int, first: int, second: int, zone: tzinfo
) -> None:
    before = ledger_before(history, begin, zone)
    whole = charge(before, kind, begin, begin + first + second, zone)
    assert (
        charge(charge(before, kind, begin, begin + first, zone), kind, begin + first, begin + first + second, zone)
        == whole
    )
    assert 0 < whole.minutes_s <= 25 * 3_600


@UNHURRIED
@given(rules=RULES, history=HISTORY, kind=KINDS, begin=INSTANTS, zone=ZONES, probe=st.floats(0, 1))
def test_the_cut_is_where_the_rules_first_object(
    rules: Rules, history: list[tuple[Kind, int, int]], kind: Kind, begin: int, zone: tzinfo, probe: float
) -> None:
    ledger = ledger_before(history, begin, zone)

    def objects(instant: float) -> object:
        return why_not(rules, charge(ledger, kind, begin, instant, zone), kind, instant, zone)

    found = cut_s(rules, ledger, kind, begin, zone)
    if objects(begin) is not None:
        assert found == (begin, *objects(begin))  # type: ignore[misc]
        return
    end = begin + 3 * 86_400.0 if found is None else found[0]
    assert end > begin
    assert objects(begin + probe * (end - begin - 0.01)) is None
    assert objects(end - 0.01) is None
    assert found is None or objects(end) == found[1:]


@UNHURRIED
@given(one=RULES, other=RULES, history=HISTORY, kind=st.sampled_from(Kind), begin=INSTANTS, zone=ZONES)
def test_the_strictest_refuses_what_either_refuses_and_ends_it_no_later(
    one: Rules, other: Rules, history: list[tuple[Kind, int, int]], kind: Kind, begin: int, zone: tzinfo
) -> None:
    ledger = ledger_before(history, begin, zone)
    both = strictest([one, other])
    each = [why_not(rules, ledger, kind, begin, zone) for rules in (one, other)]
    assert (why_not(both, ledger, kind, begin, zone) is None) == (each == [None, None])
    cuts = [cut_s(rules, ledger, kind, begin, zone) for rules in (one, other)]
    ends = [found[0] for found in cuts if found is not None]
    together = cut_s(both, ledger, kind, begin, zone)
    assert (None if together is None else together[0]) == min(ends, default=None)


@UNHURRIED
@given(rules=RULES, begin=INSTANTS, zone=ZONES, probe=st.floats(0, 1))
def test_between_two_changes_nothing_changes(rules: Rules, begin: int, zone: tzinfo, probe: float) -> None:
    rules = replace(
        rules, days=frozenset(Day), max_session_min=None, max_sessions_per_day=None, max_minutes_per_day=None
    )

    def quiet(instant: float) -> bool:
        return why_not(rules, EMPTY, Kind.NORMAL, instant, zone) is not None

    change = next_change_s(rules, begin, zone)
    end = begin + 86_400.0 if change is None else change
    assert end > begin
    assert quiet(begin + probe * (end - begin - 0.01)) is quiet(begin)
    assert change is None or quiet(change) is not quiet(begin)


@pytest.mark.parametrize("instant", [-1e18, 0.0, 253_402_300_799.0, 1e18])
def test_the_ends_of_the_calendar_are_no_crash(instant: float) -> None:
    rules = Rules(NIGHT, frozenset({Day.MON}), 1, 1, 1, (Ceiling(Kind.NORMAL, 1, 0, 60),))
    why_not(rules, EMPTY, Kind.NORMAL, instant, HANOI)
    cut_s(rules, EMPTY, Kind.NORMAL, instant, HANOI)
    next_change_s(rules, instant, HANOI)
    assert charge(EMPTY, Kind.NORMAL, instant, instant + 1, HANOI).minutes_s >= 0
