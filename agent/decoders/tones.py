"""Sounds that the node makes by itself: chime, siren, test tone.

Pure arithmetic, synthesised from formulas on first use (a siren cycle takes some tens of ms, a Zero 2 W twelve times
that) and kept. Arrays and generators only: a list of a hundred thousand numbers leaves megabytes behind in the heap.
All are 48 kHz, 16-bit, mono. Siren and tone are cycles: the last sample leads into the first without a step.
"""

import math
from array import array
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain, islice, pairwise

Synthesis = Callable[[], bytes]

RATE_HZ = 48_000
PEAK = 23_197
"""-3 dBFS: room for a converter's reconstruction peaks."""

_TABLE_BITS = 12
_TABLE_SIZE = 1 << _TABLE_BITS
"""4,096 points of a sine: steps of at most 0.15 % of the amplitude."""

CHIME_STROKES = ((0.0, 659.26), (0.4, 523.25), (0.8, 392.00))
"""(start in s, pitch in Hz): E5, C5, G4, a falling chord that is no alarm."""
CHIME_S = 2.0
_CHIME_FADE_S = 0.3
_CHIME_RATE_HZ = RATE_HZ // 2
"""Its highest partial is 2 kHz: half the work, and the means between are 40 dB above what they leave as image."""
_STROKE_ATTACK_S = 0.008
_STROKE_DECAY_S = 0.45
_INAUDIBLE_AFTER = 6
"""Time constants: e**-6 is 52 dB down."""
_BELL_PARTIALS = ((1.0, 1.0, 1.0), (2.0, 0.35, 1.8), (3.01, 0.12, 3.0))
"""(ratio to the pitch, amplitude, how many times faster it dies away)."""

SIREN_LOW_HZ, SIREN_HIGH_HZ = 250.0, 500.0
_SIREN_HALF_S = 3.0
"""One wail in 6 s through an octave whose overtones horn loudspeakers carry far."""
_SIREN_BLOCK = 48
"""Samples of equal pitch, 1 ms: the phase is exact where each begins."""
_FRACTION = 1 << 16
_SIREN_OVERTONES = ((1, 1.0), (2, 0.5), (3, 0.35), (4, 0.15))

TONE_HZ = 1_000


def _wave_table(overtones: tuple[tuple[int, float], ...]) -> "array[int]":
    """One period at `PEAK`, made of (harmonic, amplitude)."""
    step = 2 * math.pi / _TABLE_SIZE
    wave = [sum(a * math.sin(n * i * step) for n, a in overtones) for i in range(_TABLE_SIZE)]
    scale = PEAK / max(abs(value) for value in wave)
    return array("h", [round(value * scale) for value in wave])


def _little_endian(samples: "array[int]") -> bytes:
    return samples.tobytes()  # Pi and PC alike are little-endian, and so is S16N there


def _ring(length: int, pitch_hz: float, amplitude: float, decay_s: float) -> Iterator[float]:
    """One decaying partial at the chime's rate, as a two-pole resonator: two multiplications a sample."""
    radius = math.exp(-1 / (decay_s * _CHIME_RATE_HZ))
    angle = 2 * math.pi * pitch_hz / _CHIME_RATE_HZ
    feedback, damping = 2 * radius * math.cos(angle), radius * radius
    before, now = 0.0, amplitude * radius * math.sin(angle)
    for _ in range(min(length, round(_INAUDIBLE_AFTER * decay_s * _CHIME_RATE_HZ))):
        yield before
        before, now = now, feedback * now - damping * before


def _add_stroke(mix: "array[float]", start: int, pitch_hz: float) -> None:
    attack = round(_STROKE_ATTACK_S * _CHIME_RATE_HZ)
    for ratio, amplitude, haste in _BELL_PARTIALS:
        ring = _ring(len(mix) - start, pitch_hz * ratio, amplitude, _STROKE_DECAY_S / haste)
        for index, value in enumerate(islice(ring, attack)):
            mix[start + index] += value * index / attack
        for at, value in enumerate(ring, start + attack):
            mix[at] += value


@cache
def chime() -> bytes:
    """Three soft bell strokes, fading out to zero."""
    length = round(CHIME_S * _CHIME_RATE_HZ)
    mix = array("d", bytes(8 * length))
    for start_s, pitch_hz in CHIME_STROKES:
        _add_stroke(mix, round(start_s * _CHIME_RATE_HZ), pitch_hz)
    fade = round(_CHIME_FADE_S * _CHIME_RATE_HZ)
    for index in range(fade):
        mix[length - 1 - index] *= index / fade
    scale = PEAK / max(map(abs, mix))
    sparse = array("h", (round(value * scale) for value in mix))
    pcm = array("h", bytes(4 * length))
    pcm[::2] = sparse
    pcm[1::2] = array("h", ((a + b) // 2 for a, b in pairwise(chain(sparse, [0]))))
    return _little_endian(pcm)


@cache
def siren_cycle() -> bytes:
    """One wail, rising and falling on a cosine; a whole number of periods, so that it loops without a step."""
    half = round(_SIREN_HALF_S * RATE_HZ)
    middle, swing = (SIREN_LOW_HZ + SIREN_HIGH_HZ) / 2, (SIREN_HIGH_HZ - SIREN_LOW_HZ) / 2
    turns_a_sample, sway_turns = middle / RATE_HZ, swing * _SIREN_HALF_S / math.pi
    table = _wave_table(_SIREN_OVERTONES)

    def phase(sample: int) -> int:
        """The integral of the pitch, a line less a sine, in fixed point."""
        turns = turns_a_sample * sample - sway_turns * math.sin(math.pi * sample / half)
        return round(turns * _TABLE_SIZE * _FRACTION)

    rise = array("h")
    for start in range(0, half, _SIREN_BLOCK):
        begin = phase(start)
        step = (phase(start + _SIREN_BLOCK) - begin) // _SIREN_BLOCK
        points = range(begin, begin + _SIREN_BLOCK * step, step)
        rise.extend([table[point // _FRACTION & _TABLE_SIZE - 1] for point in points])
    # The wave is a sum of sines and the pitch is even about the top: the fall is the rise backwards, upside down.
    fall = array("h", chain([0], (-sample for sample in rise[:0:-1])))
    return _little_endian(rise + fall)


@cache
def tone_cycle() -> bytes:
    """One second of a 1 kHz sine, starting and ending at a zero crossing."""
    period = RATE_HZ // TONE_HZ
    one = array("h", [round(PEAK * math.sin(2 * math.pi * n / period)) for n in range(period)])
    return _little_endian(one * TONE_HZ)
