"""Whether what was heard is what was sent: a sweep whose pitch tells the time, and where of it head or tail is missing.

Pure, but for `write_wav` and `encode`. Samples are 48 kHz, 16-bit, mono.
"""

import itertools
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rig.sound import RATE_HZ, SILENCE_PEAK, Samples

WINDOW_SAMPLES = 240
"""5 ms: two periods of the lowest pitch. Edges are found to a third of it."""
HOP_SAMPLES = 24
"""0.5 ms."""
LIKE = 0.8
"""Correlation at which a window counts as heard: half a window missing leaves 0.7."""
LOUD_ENOUGH = 0.5
"""Of the level of the whole."""

MOST_PIECES = 12
"""A recording broken into more is not looked through to the end; what is left counts as lost."""

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """How a source appears in a recording. Lost is what never sounded; a gap is what sounded later than it should.

    Attributes:
        offset: sample of the recording at which the source begins, or would have begun.
        head_lost_ms: missing before the first sample heard.
        tail_lost_ms: missing after the last.
        within_lost_ms: missing between.
        gap_ms: silence between one heard sample and its successor, all such added up: the card ran dry.
        gain_db: level against the source.
    """

    offset: int
    head_lost_ms: float
    tail_lost_ms: float
    within_lost_ms: float
    gap_ms: float
    gain_db: float


@dataclass(frozen=True)
class Piece:
    """A stretch of the source that sounded without a gap: its samples `start` to `end`, each found `offset` later."""

    start: int
    end: int
    offset: int
    gain: float


def sweep(seconds: float, *, low_hz: float = 500.0, high_hz: float = 4_000.0, level: float = 0.5) -> Samples:
    """A tone that rises evenly: no two moments of it are alike. Begins and ends within 1 ms."""
    count = round(seconds * RATE_HZ)
    time = np.arange(count) / RATE_HZ
    tone = np.sin(2 * np.pi * (low_hz * time + (high_hz - low_hz) / (2 * seconds) * time**2)) * level
    edge = RATE_HZ // 1_000
    tone[:edge] *= np.linspace(0, 1, edge)
    tone[-edge:] *= np.linspace(1, 0, edge)
    return np.round(tone * 32_767).astype("<i2")


def write_wav(path: Path, samples: Samples) -> Path:
    """48 kHz, 16-bit, mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return path


def encode(wav: Path, path: Path, *options: str) -> Path:
    """The same sound in the format that the new name's ending says, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(wav), *options, str(path)]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
    return path


def _offset(source: Signal, recording: Signal) -> int:
    size = 1 << (len(source) + len(recording)).bit_length()
    spectrum = np.fft.rfft(recording, size) * np.conj(np.fft.rfft(source, size))
    correlation = np.fft.irfft(spectrum, size)
    peak = int(np.argmax(correlation))
    return peak - size if peak > size // 2 else peak


def _windows(signal: Signal) -> Signal:
    return np.lib.stride_tricks.sliding_window_view(signal, WINDOW_SAMPLES)[::HOP_SAMPLES]


def _piece(sent: Signal, whole: Signal, least_power: float) -> Piece | None:
    """The longest stretch of the source at the place where most of it fits; None if nothing does."""
    offset = _offset(sent, whole)
    padded = np.concatenate([np.zeros(max(0, -offset)), whole, np.zeros(len(sent))])
    sent_parts, got_parts = _windows(sent), _windows(padded[max(0, offset) :][: len(sent)])
    across = np.einsum("ij,ij->i", sent_parts, got_parts)
    sent_power = np.einsum("ij,ij->i", sent_parts, sent_parts)
    got_power = np.einsum("ij,ij->i", got_parts, got_parts)
    alike = (across / np.sqrt(np.maximum(sent_power * got_power, 1.0)) > LIKE) & (sent_power > least_power)
    if not alike.any():
        return None
    loud = np.sqrt(got_power / np.maximum(sent_power, 1.0))
    gain = float(np.median(loud[alike]))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], alike & (loud > gain * LOUD_ENOUGH), [False]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    first, last = int(starts[longest]), int(ends[longest]) - 1
    return Piece(first * HOP_SAMPLES, last * HOP_SAMPLES + WINDOW_SAMPLES, offset, gain)


def _pieces(source: Samples, recording: Samples) -> list[Piece]:
    """All stretches of the source that sounded, in its order. What is found is taken out of both, so counts once."""
    sent, whole = source.astype(np.float64), recording.astype(np.float64)
    # What is left at the edges of a piece is no window's worth, and would be found in any noise.
    least_power = float(np.mean(sent**2)) * WINDOW_SAMPLES * LOUD_ENOUGH
    pieces: list[Piece] = []
    while len(pieces) < MOST_PIECES and (piece := _piece(sent, whole, least_power)) is not None:
        pieces.append(piece)
        sent[piece.start : piece.end] = 0
        whole[max(0, piece.start + piece.offset) : max(0, piece.end + piece.offset)] = 0
    return sorted(pieces, key=lambda piece: piece.start)


def heard(source: Samples, recording: Samples) -> Heard:
    """Find the source in the recording. Raises ValueError if it is not there at all."""
    pieces = _pieces(source, recording)
    if not pieces:
        raise ValueError("the recording holds nothing of the source")
    joints = list(itertools.pairwise(pieces))
    # Where two pieces meet, what is missing is a hole between them, or shows as the second coming too early.
    lost = sum(max(0, after.start - before.end, before.offset - after.offset) for before, after in joints)
    gap = sum(max(0, after.start + after.offset - before.end - before.offset) for before, after in joints)
    longest = max(pieces, key=lambda piece: piece.end - piece.start)
    return Heard(
        offset=pieces[0].offset,
        head_lost_ms=_ms(pieces[0].start),
        tail_lost_ms=_ms(max(0, len(source) - HOP_SAMPLES - pieces[-1].end)),
        within_lost_ms=_ms(lost),
        gap_ms=_ms(gap),
        gain_db=round(20 * float(np.log10(longest.gain)), 2),
    )


def _ms(samples: int) -> float:
    return samples * 1_000 / RATE_HZ


def rms_dbfs(samples: Samples) -> float:
    """Level of the samples; minus infinity for none or digital silence."""
    power = float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0
    return 10 * float(np.log10(power)) - 20 * float(np.log10(32_768)) if power else float("-inf")


def sounding(samples: Samples, *, quiet_s: float = 0.1, peak: int = SILENCE_PEAK) -> list[tuple[int, int]]:
    """(first, after last) sample of each stretch of sound; a pause shorter than `quiet_s` belongs to it."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > peak)
    if not loud.size:
        return []
    breaks = np.flatnonzero(np.diff(loud) > quiet_s * RATE_HZ)
    starts = [int(loud[0]), *(int(index) for index in loud[breaks + 1])]
    ends = [*(int(index) + 1 for index in loud[breaks]), int(loud[-1]) + 1]
    return list(zip(starts, ends, strict=True))
