"""What `make bench` measures is held against its budgets: one that is missed fails the part, and says which."""

import math
from dataclasses import dataclass, field

import pytest

from bench import drift, skew
from bench.budget import Budgets, MissedError, UnsoundError, p95


def test_one_of_twenty_may_be_slower() -> None:
    assert p95([1.0] * 19 + [9.0]) == 1.0
    assert p95([1.0] * 18 + [9.0] * 2) == 9.0
    assert p95([2.0]) == 2.0


def test_what_is_held_and_what_is_missed_is_told_and_the_part_fails_at_its_end() -> None:
    budgets = Budgets()
    assert budgets.hold("p50", 1.0, 1.0) == "p50 1.00 ms, budget 1: held"
    budgets.settle()
    assert budgets.hold("p95", 1.01, 1.0) == "p95 1.01 ms, budget 1: MISSED"
    budgets.hold("skew", math.nan, 1.0)
    with pytest.raises(MissedError, match=r"p95 1\.01 ms, budget 1: MISSED; skew nan"):
        budgets.settle()


def test_sound_cards_that_drift_further_apart_than_they_may_fail(capsys: pytest.CaptureFixture[str]) -> None:
    apart_ms = iter(([0.0, 0.0], [0.0, 3.1]))
    with pytest.raises(MissedError, match="at worst"):
        drift.run(lambda _pcm, _minutes: next(apart_ms))
    assert "MISSED" in capsys.readouterr().out


@dataclass
class Records:
    """What an ear has heard."""

    heard: list[dict[str, object]] = field(default_factory=list)

    def of(self, _kind: str) -> list[dict[str, object]]:
        return self.heard


def test_a_start_that_was_not_played_is_none() -> None:
    ear = Records([{"item": "a", "result": "played"}, {"item": "b", "result": "failed"}])
    assert skew.played(ear, "a") == 1
    assert skew.played(ear, "c") == 0
    with pytest.raises(UnsoundError, match="b was not played everywhere"):
        skew.played(ear, "b")
