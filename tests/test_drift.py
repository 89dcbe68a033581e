"""What is learnt of a card's clock from late looks, and what is done about it."""

import random
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.card.drift import ACT_BEYOND_S, CORRECT_EVERY_SAMPLES, LINE_MIN_S, CardClock, Corrector, dropped, inserted
from agent.card.lane import RATE_HZ

MS = 0.001
LOOK_S = 0.010


def watched(clock: CardClock, *, ppm: float, jitter_ms: float, from_s: float, seconds: float, origin_s: float) -> float:
    """Looks at a card for so long; returns the true origin at their end."""
    chance = random.Random(1)
    for number in range(round(seconds / LOOK_S)):
        at_s = number * LOOK_S
        clock.observe(from_s + at_s, origin_s + at_s * ppm / 1e6 + chance.random() * jitter_ms * MS)
    return origin_s + seconds * ppm / 1e6


@settings(max_examples=15, deadline=None)
@given(ppm=st.floats(-300, 300), jitter_ms=st.sampled_from([0.0, 1.0, 10.0]), from_s=st.sampled_from([1.0, 4e7]))
def test_a_line_finds_the_origin_through_late_looks(ppm: float, jitter_ms: float, from_s: float) -> None:
    clock = CardClock()
    true_s = watched(clock, ppm=ppm, jitter_ms=jitter_ms, from_s=from_s, seconds=75, origin_s=from_s - 3)
    # Where the card drifts within a second, the earliest look of it is chosen among fewer that came nearly at once.
    assert clock.line_s(from_s + 75) == pytest.approx(true_s, abs=0.05 * MS * jitter_ms + 0.01 * MS)


def test_no_line_is_drawn_over_less_than_a_minute() -> None:
    clock = CardClock()
    watched(clock, ppm=100, jitter_ms=0, from_s=0, seconds=LINE_MIN_S - 1, origin_s=0)
    assert clock.line_s(LINE_MIN_S) is None
    assert clock.origin_s(LINE_MIN_S) == pytest.approx((LINE_MIN_S - 1) * 1e-4, abs=0.25 * MS)


def test_before_any_look_nothing_is_known() -> None:
    clock = CardClock()
    assert (clock.origin_s(0), clock.line_s(0), clock.settled) == (None, None, False)


def test_after_a_restart_the_rate_is_still_known_and_the_origin_is_not() -> None:
    clock = CardClock()
    watched(clock, ppm=200, jitter_ms=0, from_s=0, seconds=70, origin_s=0)
    clock.restart()
    assert clock.line_s(70) is None
    true_s = watched(clock, ppm=200, jitter_ms=1, from_s=100, seconds=10, origin_s=5)
    assert clock.line_s(110) == pytest.approx(true_s, abs=0.02 * MS)


def test_one_second_in_which_no_look_came_at_once_changes_nothing() -> None:
    clock = CardClock()
    watched(clock, ppm=0, jitter_ms=0, from_s=0, seconds=70, origin_s=0)
    watched(clock, ppm=0, jitter_ms=0, from_s=70, seconds=1, origin_s=0.3)
    watched(clock, ppm=0, jitter_ms=0, from_s=71, seconds=10, origin_s=0)
    assert clock.line_s(81) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("jump_s", [-0.2, -0.006, 0.006, 3.0])
def test_a_jump_that_stays_is_learnt_anew(jump_s: float) -> None:
    clock = CardClock()
    watched(clock, ppm=50, jitter_ms=0, from_s=0, seconds=70, origin_s=0)
    true_s = watched(clock, ppm=50, jitter_ms=0, from_s=70, seconds=5, origin_s=70 * 50e-6 + jump_s)
    assert clock.line_s(75) == pytest.approx(true_s, abs=0.05 * MS)


@given(late_s=st.floats(-ACT_BEYOND_S, ACT_BEYOND_S))
def test_up_to_half_a_millisecond_is_left_alone(late_s: float) -> None:
    corrector = Corrector()
    assert all(corrector.due(late_s, position) == 0 for position in range(0, RATE_HZ, 480))


@pytest.mark.parametrize(("sign", "due"), [(1, -1), (-1, 1)])
def test_once_begun_it_goes_on_to_the_last_sample_one_in_50_ms(sign: int, due: int) -> None:
    corrector, late, done = Corrector(), 30, []
    for position in range(0, 3 * RATE_HZ, 480):
        if corrector.due(sign * late / RATE_HZ, position):
            late -= 1
            done.append(position)
    assert late == 0
    assert {after - before for before, after in pairwise(done)} == {CORRECT_EVERY_SAMPLES}
    assert Corrector().due(sign * MS, 0) == due


samples = st.lists(st.integers(-32_768, 32_767), min_size=8, max_size=480)


@given(samples)
def test_one_sample_is_put_in_between_the_two_that_differ_least(values: list[int]) -> None:
    got = list(array("h", inserted(array("h", values).tobytes())))
    at = next(i for i in range(len(values)) if got[: i + 1] + got[i + 2 :] == values)
    assert len(got) == len(values) + 1
    assert min(values[at : at + 2]) <= got[at + 1] <= max(values[at : at + 2])
    least = min(abs(b - a) for a, b in pairwise(values))
    assert any(
        abs(values[i + 1] - values[i]) == least and got[: i + 1] + got[i + 2 :] == values
        for i in range(len(values) - 1)
    )


@given(samples)
def test_one_sample_is_left_out_where_its_neighbours_differ_least(values: list[int]) -> None:
    got = list(array("h", dropped(array("h", values).tobytes())))
    least = min(abs(b - a) for a, b in zip(values, values[2:], strict=False))
    places = [i for i in range(1, len(values) - 1) if abs(values[i + 1] - values[i - 1]) == least]
    assert any(got == values[:i] + values[i + 1 :] for i in places)


@given(st.lists(st.integers(-9, 9), max_size=7))
def test_too_few_are_left_as_they_are(values: list[int]) -> None:
    pcm = array("h", values).tobytes()
    assert inserted(pcm) == dropped(pcm) == pcm
