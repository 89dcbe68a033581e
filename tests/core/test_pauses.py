"""Pauses double from the first to the longest, however often a thing has failed."""

import pytest

from agent.core.pauses import grown_s


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(0, 5.0), (1, 10.0), (3, 40.0), (4, 60.0), (17, 60.0), (1_024, 60.0), (1_000_000, 60.0)]
)
def test_a_pause_doubles_up_to_the_longest(failures: int, pause_s: float) -> None:
    assert grown_s(5.0, failures, 60.0) == pause_s


def test_the_longest_is_reached_from_a_tenth_of_a_second() -> None:
    assert grown_s(0.1, 1_000, 3_600.0) == 3_600.0
