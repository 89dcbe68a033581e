"""The growing wait before a life that follows bad ones, and what makes it short again."""

from pathlib import Path

import pytest

from agent.restarts import CALM_S, FILE_NAME, WAITS_S, Restarts


def lives(folder: Path, *, each_s: float, times: int, at_s: float = 100.0) -> list[float]:
    """The waits of so many lives in a row that last `each_s` and end badly."""
    waits = []
    for _ in range(times):
        _, wait_s = Restarts(folder).begin(at_s)
        waits.append(wait_s)
        at_s += wait_s + each_s
    return waits


def test_the_first_is_followed_at_once_and_the_wait_grows_to_half_a_minute_and_never_ends(tmp_path: Path) -> None:
    assert lives(tmp_path, each_s=3.0, times=9) == [0.0, 0.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_life_that_lasted_was_a_good_one(tmp_path: Path) -> None:
    assert lives(tmp_path, each_s=3.0, times=6)[-1] == 16.0
    assert lives(tmp_path, each_s=CALM_S, times=3, at_s=10_000.0) == [0.0, 0.0, 0.0]
    assert lives(tmp_path, each_s=3.0, times=3, at_s=20_000.0) == [0.0, 0.0, 2.0]


def test_one_that_was_told_to_end_counts_for_nothing(tmp_path: Path) -> None:
    lives(tmp_path, each_s=3.0, times=6)
    restarts = Restarts(tmp_path)
    assert restarts.begin(200.0) == (6, WAITS_S[-1])
    restarts.end_well()
    assert lives(tmp_path, each_s=3.0, times=3, at_s=240.0) == [0.0, 0.0, 2.0]


def test_after_a_reboot_nothing_is_held_against_it(tmp_path: Path) -> None:
    """A folder that outlived it would tell of a later time than it is."""
    lives(tmp_path, each_s=3.0, times=6, at_s=50_000.0)
    assert Restarts(tmp_path).begin(20.0) == (0, 0.0)


@pytest.mark.parametrize("text", ["", "[", "[1]", "[null, 1]", '["a", "b"]', "[1e400, 1]", "\x00", "{}"])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert Restarts(tmp_path).begin(100.0) == (0, 0.0)
    assert Restarts(tmp_path).begin(101.0) == (1, 0.0)


def test_a_folder_that_is_not_there_delays_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    restarts = Restarts(tmp_path / "gone")
    assert restarts.begin(100.0) == (0, 0.0)
    restarts.end_well()
    assert "cannot be kept" in caplog.text
    nobody = Restarts(None)
    assert [nobody.begin(1.0) for _ in range(9)] == [(0, 0.0)] * 9
