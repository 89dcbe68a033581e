"""Several authorities' rules as one: the strictest, whoever comes first, and however often it is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages.codec import convert
from agent.messages.documents import Day, SetPolicy
from agent.messages.rules import NO_RULES, Ceiling, Rules, rules_of, split, strictest, united
from agent.messages.words import Kind
from tests.messages.unhurried import UNHURRIED

ALL_DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def policy(**changes: object) -> SetPolicy:
    members: dict[str, object] = {
        "version": 1,
        "quiet_hours": ["21:00-04:45"],
        "days": ALL_DAYS,
        "max_session_min": 45,
        "max_sessions_per_day": 3,
        "max_minutes_per_day": 120,
        "volume_ceilings": {"normal": 80, "priority": 90},
    }
    return convert({"type": "set_policy", **members, **changes}, SetPolicy)


def test_a_signed_policy_in_numbers() -> None:
    assert rules_of(
        policy(days=["mon", "fri"], volume_ceilings={"priority": 90, "normal": 80, "emergency": 0})
    ) == Rules(
        quiet_hours=((0, 285), (1_260, 1_440)),
        days=frozenset({Day.MON, Day.FRI}),
        max_session_min=45,
        max_sessions_per_day=3,
        max_minutes_per_day=120,
        ceilings=(Ceiling(Kind.NORMAL, 80, 0, 1_440), Ceiling(Kind.PRIORITY, 90, 0, 1_440)),
    )


@pytest.mark.parametrize(
    ("hours", "spans"),
    [
        ([], ()),
        (["12:00-13:30"], ((720, 810),)),
        (["22:00-00:00"], ((1_320, 1_440),)),
        (["00:00-05:00"], ((0, 300),)),
        (["23:59-00:01"], ((0, 1), (1_439, 1_440))),
        (["12:00-13:00", "13:00-14:00", "12:30-12:40"], ((720, 840),)),
        (["21:00-05:00", "04:00-22:00"], ((0, 1_440),)),
    ],
)
def test_quiet_hours_as_minutes(hours: list[str], spans: tuple[tuple[int, int], ...]) -> None:
    assert rules_of(policy(quiet_hours=hours)).quiet_hours == spans


def test_the_strictest_of_two() -> None:
    district = Rules(((720, 780),), frozenset({Day.MON, Day.TUE}), None, 5, 60, (Ceiling(Kind.NORMAL, 70),))
    commune = Rules(((750, 840),), frozenset({Day.TUE, Day.SUN}), 45, 0, None, (Ceiling(Kind.NORMAL, 90),))
    assert strictest([district, commune]) == Rules(
        ((720, 840),),
        frozenset({Day.TUE}),
        45,
        0,
        60,
        (Ceiling(Kind.NORMAL, 70), Ceiling(Kind.NORMAL, 90)),
    )


def test_of_none_there_are_no_rules() -> None:
    assert strictest([]) == NO_RULES


MINUTE = st.integers(0, 1_439)
LIMIT = st.none() | st.integers(0, 200)
CEILINGS = st.lists(st.builds(Ceiling, st.sampled_from([Kind.NORMAL, Kind.PRIORITY]), st.integers(0, 100)), max_size=3)


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Spans as they come from several authorities, also past midnight."""
    return [span for _ in range(draw(st.integers(0, 4))) for span in split(draw(MINUTE), draw(MINUTE))]


@st.composite
def some_rules(draw: st.DrawFn) -> Rules:
    """Rules as `rules_of` and the configuration make them."""
    days = draw(st.frozensets(st.sampled_from(Day)))
    rules = Rules(united(draw(spans())), days, draw(LIMIT), draw(LIMIT), draw(LIMIT), tuple(draw(CEILINGS)))
    return strictest([rules])


SPANS = spans()
RULES = some_rules()


def minutes(spans: object) -> set[int]:
    assert isinstance(spans, tuple | list)
    return {minute for begin, end in spans for minute in range(begin, end)}


@UNHURRIED
@given(SPANS)
def test_united_spans_are_the_same_minutes_apart_and_in_order(spans: list[tuple[int, int]]) -> None:
    found = united(spans)
    assert minutes(found) == minutes(spans)
    edges = [edge for span in found for edge in span]
    assert edges == sorted(set(edges)), "neither touching nor empty"
    assert all(0 <= edge <= 1_440 for edge in edges)


@UNHURRIED
@given(st.lists(RULES, max_size=4), RULES)
def test_the_strictest_is_one_whoever_comes_first(several: list[Rules], one: Rules) -> None:
    found = strictest([*several, one])
    assert found == strictest([one, *reversed(several)])
    assert found == strictest([strictest(several), one])
    assert found == strictest([found, one, NO_RULES])


@UNHURRIED
@given(RULES, RULES)
def test_the_strictest_allows_only_what_both_allow(one: Rules, other: Rules) -> None:
    found = strictest([one, other])
    assert minutes(found.quiet_hours) == minutes(one.quiet_hours) | minutes(other.quiet_hours)
    assert found.days == one.days & other.days
    for name in ("max_session_min", "max_sessions_per_day", "max_minutes_per_day"):
        limits = {getattr(one, name), getattr(other, name)} - {None}
        assert getattr(found, name) == min(limits, default=None)
    assert set(found.ceilings) == {*one.ceilings, *other.ceilings}
