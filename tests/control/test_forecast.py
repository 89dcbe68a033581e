"""A week looked at beforehand: who waits for whom, what the rules object to, and which words the operator reads."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages.documents import Day, Slot
from agent.messages.rules import NO_RULES, Rules
from agent.messages.timetable import occurrences
from control.forecast import Planned, forecast
from control.week import length, source
from tests.messages.slots import slot
from tests.messages.unhurried import UNHURRIED

HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
MONDAY = datetime(2026, 9, 7, tzinfo=HANOI).timestamp()
MIN_S = 60
MINUTES_TOLD = "max_minutes_per_day 35: 35 min have sounded today"


def on_monday(slots: Sequence[Slot], rules: Rules = NO_RULES, days: int = 1) -> list[Planned]:
    due = occurrences(slots, HANOI, MONDAY, MONDAY + days * 86_400)
    return forecast([(one, "lich.yaml") for one in due], rules, HANOI)


def told(found: Sequence[Planned]) -> list[str]:
    """Each broadcast: slot, from and until, and the English of its warnings."""
    return [
        " ".join(
            [
                one.occurrence.slot.id,
                *(f"{datetime.fromtimestamp(instant, HANOI):%H:%M}" for instant in (one.begins_s, one.ends_s)),
                *(warning.partition(" · ")[2] for warning in one.warnings),
            ]
        )
        for one in found
    ]


def half_hour(name: str, at: str, **changes: object) -> Slot:
    return slot(id=name, at=at, title=name.upper(), **changes)


def test_a_week_without_trouble_has_no_warning() -> None:
    assert told(on_monday([half_hour("a", "05:00"), half_hour("b", "05:30")])) == ["a 05:00 05:30", "b 05:30 06:00"]


def test_what_overlaps_waits_and_loses_its_end() -> None:
    assert told(on_monday([half_hour("a", "05:00"), half_hour("b", "05:20"), half_hour("c", "05:25")])) == [
        "a 05:00 05:30",
        "b 05:30 05:50 overlaps “A”: may begin late and lose 10 min",
        "c 05:50 05:55 overlaps “B”: may begin late and lose 25 min",
    ]


def test_what_overlaps_wholly_is_missed() -> None:
    short = half_hour("b", "05:10", max_duration_s=20 * MIN_S)
    assert told(on_monday([half_hour("a", "05:00"), short])) == [
        "a 05:00 05:30",
        "b 05:30 05:30 overlaps “A” and is missed",
    ]


def test_priority_goes_ahead_of_waiting_normals_and_interrupts_nothing() -> None:
    slots = [half_hour("a", "05:00"), half_hour("b", "05:10"), half_hour("c", "05:20", kind="priority")]
    assert told(on_monday(slots)) == [
        "a 05:00 05:30",
        "c 05:30 05:50 overlaps “A”: may begin late and lose 10 min",
        "b 05:50 05:50 overlaps “C” and is missed",
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            Rules(quiet_hours=((0, 285),)),
            ["a 03:15 03:15 will not sound, policy_quiet_hours: quiet_hours 00:00-04:45: it is 03:15", "b 05:00 05:30"],
        ),
        (
            Rules(quiet_hours=((310, 320),)),
            [
                "a 03:15 03:45",
                "b 05:00 05:10 loses its last 20 min, policy_quiet_hours: quiet_hours 05:10-05:20: it is 05:10",
            ],
        ),
        (
            Rules(max_sessions_per_day=1),
            [
                "a 03:15 03:45",
                "b 05:00 05:00 will not sound, policy_sessions: max_sessions_per_day 1: 1 have begun today",
            ],
        ),
        (
            Rules(max_minutes_per_day=35),
            [
                "a 03:15 03:45",
                f"b 05:00 05:05 loses its last 25 min, policy_minutes: {MINUTES_TOLD}",
            ],
        ),
        (
            Rules(days=frozenset(Day) - {Day.MON}),
            [
                f"{name} {at} {at} will not sound, policy_days: days tue, wed, thu, fri, sat, sun: it is mon"
                for name, at in (("a", "03:15"), ("b", "05:00"))
            ],
        ),
    ],
)
def test_what_the_rules_object_to_is_told_in_the_nodes_own_words(rules: Rules, expected: list[str]) -> None:
    assert told(on_monday([half_hour("a", "03:15"), half_hour("b", "05:00")], rules)) == expected


def test_what_an_amplifier_is_too_long_on_for_loses_its_end_and_after_it_all_begins_anew() -> None:
    slots = [half_hour(name, at) for name, at in (("a", "05:00"), ("b", "05:30"), ("c", "06:00"))]
    due = occurrences(slots, HANOI, MONDAY, MONDAY + 86_400)
    found = forecast([(one, "lich.yaml") for one in due], NO_RULES, HANOI, 3_600)
    switched_off = "amplifier_max_on: the amplifier has been on for 60 min; leave a pause before"
    assert told(found) == ["a 05:00 05:30", f"b 05:30 05:59 loses its last 0.1 min, {switched_off}", "c 06:00 06:30"]


def test_a_pause_in_which_it_goes_off_is_enough() -> None:
    slots = [half_hour("a", "05:00"), half_hour("b", "05:31"), half_hour("c", "06:02")]
    due = occurrences(slots, HANOI, MONDAY, MONDAY + 86_400)
    assert not any(one.warnings for one in forecast([(one, "x") for one in due], NO_RULES, HANOI, 3_600))


def test_one_that_is_longer_than_that_by_itself_is_told() -> None:
    due = occurrences([half_hour("a", "05:00", max_duration_s=7_200)], HANOI, MONDAY, MONDAY + 86_400)
    [one] = forecast([(each, "x") for each in due], NO_RULES, HANOI, 3_600)
    assert one.ends_s - one.begins_s == pytest.approx(3_600 - 1.1)
    assert "loses its last 60 min" in one.warnings[0]


def test_caps_begin_anew_each_day() -> None:
    found = on_monday([half_hour("a", "05:00"), half_hour("b", "17:00")], Rules(max_sessions_per_day=1), days=2)
    assert [(one.occurrence.slot.id, bool(one.warnings)) for one in found] == [
        ("a", False),
        ("b", True),
        ("a", False),
        ("b", True),
    ]


def test_names_that_meet_or_that_nobody_can_say_are_told() -> None:
    long = "x" * 56
    due = occurrences([half_hour("a", "05:00"), half_hour(long, "06:00")], HANOI, MONDAY, MONDAY + 86_400)
    found = forecast([*((one, "a.yaml") for one in due), (due[0], "b.yaml")], NO_RULES, HANOI)
    warnings = [(one.origin, warning.partition(" · ")[2]) for one in found for warning in one.warnings]
    assert warnings == [
        ("b.yaml", "overlaps “A” and is missed"),
        ("b.yaml", "the name a.20260907 stands in another schedule too"),
        ("a.yaml", f"its id is too long: no order can name {long}.20260907 to stop it"),
    ]


SLOTS = st.lists(
    st.tuples(st.integers(0, 1_439), st.integers(1, 7_200), st.sampled_from(["normal", "priority"])), max_size=8
)


@UNHURRIED
@given(SLOTS, st.integers(0, 5), st.integers(0, 300))
def test_one_at_a_time_within_its_window_and_each_once(
    days: list[tuple[int, int, str]], sessions: int, minutes: int
) -> None:
    slots = [
        slot(id=f"s{number}", at=f"{minute // 60:02}:{minute % 60:02}", max_duration_s=duration_s, kind=kind)
        for number, (minute, duration_s, kind) in enumerate(days)
    ]
    rules = Rules(quiet_hours=((0, 285), (1_260, 1_440)), max_sessions_per_day=sessions, max_minutes_per_day=minutes)
    found = on_monday(slots, rules)
    assert sorted(one.occurrence.slot.id for one in found) == sorted(one.id for one in slots)
    ends_s = 0.0
    for one in found:
        assert max(ends_s, one.occurrence.at_s) <= one.begins_s <= one.ends_s
        assert one.ends_s == one.begins_s or one.ends_s <= one.occurrence.until_s
        assert one.warnings or (one.begins_s, one.ends_s) == (one.occurrence.at_s, one.occurrence.until_s)
        ends_s = one.ends_s
    assert sum(one.ends_s - one.begins_s for one in found) <= minutes * 60 + 0.001


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5s"), (60, "1m"), (90, "1m30s"), (3_600, "1h"), (5_400, "1h30m"), (14_400, "4h")]
)
def test_lengths(seconds: int, shown: str) -> None:
    assert length(seconds) == shown


def test_sources_in_a_few_words() -> None:
    file = {"file": {"uri": "https://tin.example/a/tin.mp3?x=1", "sha256": "0" * 64, "bytes": 1}}
    speech = {"speech": {"text": "Mời bà con ra nhà văn hóa thôn", "language": "vi"}}
    for sources, shown in (
        ([{"relay": {"uri": "https://stream.vov.example/vov1"}}, file], "stream.vov.example +1"),
        ([file], "tin.mp3"),
        ([{"builtin": {"name": "chime"}}], "chime"),
        ([speech], "“Mời bà con ra nhà văn h…”"),
    ):
        assert source(slot(sources=sources).sources) == shown
