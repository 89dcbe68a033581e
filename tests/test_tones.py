import sys
from array import array
from itertools import pairwise

import pytest

from agent.decoders import tones
from agent.messages.effects import CHIME_SAMPLES


def _samples(pcm: bytes) -> "array[int]":
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _steepest(samples: "array[int]") -> int:
    return max(abs(b - a) for a, b in pairwise(samples))


def _rising_crossings(samples: "array[int]") -> int:
    return sum(a < 0 <= b for a, b in pairwise(samples))


@pytest.mark.parametrize("make", [tones.chime, tones.siren_cycle, tones.tone_cycle])
def test_peaks_at_minus_3_dbfs(make: tones.Synthesis) -> None:
    assert max(abs(sample) for sample in _samples(make())) == pytest.approx(tones.PEAK, rel=0.001)


@pytest.mark.parametrize("make", [tones.siren_cycle, tones.tone_cycle])
def test_a_cycle_loops_without_a_step(make: tones.Synthesis) -> None:
    samples = _samples(make())
    assert abs(samples[0] - samples[-1]) <= _steepest(samples)
    assert _steepest(samples[-480:] + samples[:480]) <= _steepest(samples)


def test_chime_begins_at_zero_and_fades_out_to_zero() -> None:
    samples = _samples(tones.chime())
    assert samples[0] == 0
    assert samples[-1] == 0
    assert len(samples) == round(tones.CHIME_S * tones.RATE_HZ)
    assert max(abs(sample) for sample in samples[-480:]) < tones.PEAK // 100


def test_chime_has_a_stroke_where_each_begins() -> None:
    samples = _samples(tones.chime())
    for start_s, _ in tones.CHIME_STROKES:
        start = round(start_s * tones.RATE_HZ)
        before = max((abs(s) for s in samples[max(0, start - 960) : start]), default=0)
        assert max(abs(s) for s in samples[start : start + 2_400]) > before


def test_siren_sweeps_between_its_pitches() -> None:
    samples = _samples(tones.siren_cycle())
    window = tones.RATE_HZ // 5
    pitches = [_rising_crossings(samples[i : i + window]) * 5 for i in range(0, len(samples) - window, window)]
    assert min(pitches) == pytest.approx(tones.SIREN_LOW_HZ, abs=15)
    assert max(pitches) == pytest.approx(tones.SIREN_HIGH_HZ, abs=15)
    assert pitches.index(max(pitches)) == pytest.approx(len(pitches) / 2, abs=2)


def test_tone_is_one_kilohertz() -> None:
    assert _rising_crossings(_samples(tones.tone_cycle()) * 2) == pytest.approx(2_000, abs=1)


def test_a_sound_is_made_once() -> None:
    assert tones.siren_cycle() is tones.siren_cycle()


def test_the_chime_is_as_long_as_the_core_is_told() -> None:
    assert len(tones.chime()) // 2 == CHIME_SAMPLES
