"""Whether what was heard is what was sent: a sweep whose pitch tells the time, and where of it head or tail is missing.

Pure, but for `write_wav` and `encode`. Samples are 48 kHz, 16-bit, mono.
"""

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

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """How a source appears in a recording. `offset` is the sample at which it begins, or would have begun."""

    offset: int
    head_lost_ms: float
    tail_lost_ms: float
    within_lost_ms: float
    gain_db: float


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


def heard(source: Samples, recording: Samples) -> Heard:
    """Find the source in the recording. Raises ValueError if it is not there at all."""
    sent = source.astype(np.float64)
    whole = recording.astype(np.float64)
    offset = _offset(sent, whole)
    padded = np.concatenate([np.zeros(max(0, -offset)), whole, np.zeros(len(sent))])
    got = padded[max(0, offset) :][: len(sent)]
    sent_parts, got_parts = _windows(sent), _windows(got)
    across = np.einsum("ij,ij->i", sent_parts, got_parts)
    sent_power = np.einsum("ij,ij->i", sent_parts, sent_parts)
    got_power = np.einsum("ij,ij->i", got_parts, got_parts)
    like = across / np.sqrt(np.maximum(sent_power * got_power, 1.0))
    loud = np.sqrt(got_power / np.maximum(sent_power, 1.0))
    alike = like > LIKE
    if not alike.any():
        raise ValueError("the recording holds nothing of the source")
    gain = float(np.median(loud[alike]))
    found = np.flatnonzero(alike & (loud > gain * LOUD_ENOUGH))
    first, last = int(found[0]), int(found[-1])
    hop_ms = HOP_SAMPLES * 1_000 / RATE_HZ
    return Heard(
        offset=offset,
        head_lost_ms=first * hop_ms,
        tail_lost_ms=(len(alike) - 1 - last) * hop_ms,
        within_lost_ms=(last - first + 1 - len(found)) * hop_ms,
        gain_db=round(20 * float(np.log10(gain)), 2),
    )


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
