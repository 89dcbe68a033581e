"""The ears themselves: what they say of recordings whose loss is known."""

import numpy as np
import pytest

from rig.heard import heard, rms_dbfs, sounding, sweep
from rig.sound import Samples

SOURCE = sweep(1.0)


def recorded(samples: Samples, *, before: int = 10_000, after: int = 5_000) -> Samples:
    noise = np.random.default_rng(1).integers(-3, 4, before + len(samples) + after)
    quiet = np.concatenate([np.zeros(before), samples, np.zeros(after)])
    return (quiet + noise).astype(np.int16)


def test_what_is_whole_is_heard_whole() -> None:
    found = heard(SOURCE, recorded(SOURCE))
    assert (found.offset, found.gain_db) == (10_000, 0.0)
    assert max(found.head_lost_ms, found.tail_lost_ms, found.within_lost_ms) <= 1


@pytest.mark.parametrize("lost_ms", [5, 10, 50, 400])
def test_a_missing_head_is_measured(lost_ms: int) -> None:
    cut = SOURCE.copy()
    cut[: lost_ms * 48] = 0
    found = heard(SOURCE, recorded(cut))
    assert found.head_lost_ms == pytest.approx(lost_ms, abs=3)
    assert found.tail_lost_ms <= 1


@pytest.mark.parametrize("lost_ms", [5, 10, 50, 400])
def test_a_missing_tail_is_measured(lost_ms: int) -> None:
    found = heard(SOURCE, recorded(SOURCE[: -lost_ms * 48]))
    assert found.tail_lost_ms == pytest.approx(lost_ms, abs=3)
    assert found.head_lost_ms <= 1


def test_a_hole_is_measured() -> None:
    cut = SOURCE.copy()
    cut[20_000 : 20_000 + 100 * 48] = 0
    assert heard(SOURCE, recorded(cut)).within_lost_ms == pytest.approx(100, abs=6)


def torn(at: int, pause: int, skipped: int = 0) -> Samples:
    parts = [SOURCE[:at], np.zeros(pause, np.int16), SOURCE[at + skipped :]]
    return np.concatenate(parts)


@pytest.mark.parametrize("at", [1_000, 15_000, 30_000, 47_000])
def test_a_pause_put_in_between_is_a_gap_and_loses_nothing(at: int) -> None:
    found = heard(SOURCE, recorded(torn(at, 4_800)))
    assert found.gap_ms == pytest.approx(100, abs=3)
    assert found.within_lost_ms <= 3
    assert max(found.head_lost_ms, found.tail_lost_ms) <= 1


@pytest.mark.parametrize("pause", [0, 960, 48_000])
@pytest.mark.parametrize("skipped_ms", [20, 200])
def test_a_skip_is_lost_whatever_the_pause_at_it(pause: int, skipped_ms: int) -> None:
    found = heard(SOURCE, recorded(torn(24_000, pause, skipped_ms * 48)))
    assert found.within_lost_ms == pytest.approx(skipped_ms, abs=3)
    assert max(found.head_lost_ms, found.tail_lost_ms) <= 1


def test_a_head_lost_before_a_pause_is_not_taken_for_the_rest() -> None:
    found = heard(SOURCE, recorded(torn(20_000, 9_600)[50 * 48 :]))
    assert found.head_lost_ms == pytest.approx(50, abs=3)
    assert found.gap_ms == pytest.approx(200, abs=3)
    assert max(found.within_lost_ms, found.tail_lost_ms) <= 3


def test_gain_is_measured() -> None:
    assert heard(SOURCE, recorded((SOURCE // 2).astype(np.int16))).gain_db == pytest.approx(-6.02, abs=0.05)


def test_something_else_is_not_taken_for_it() -> None:
    with pytest.raises(ValueError, match="nothing"):
        heard(SOURCE, np.random.default_rng(2).integers(-9_000, 9_000, 96_000).astype(np.int16))


def test_stretches_of_sound_and_their_level() -> None:
    two = np.concatenate([recorded(SOURCE), recorded(SOURCE)])
    stretches = sounding(two)
    assert [round((end - start) / 48_000, 2) for start, end in stretches] == [1.0, 1.0]
    assert rms_dbfs(SOURCE) == pytest.approx(-9.03, abs=0.1)
    assert rms_dbfs(np.zeros(10, np.int16)) == float("-inf")
    assert sounding(np.zeros(10, np.int16)) == []
