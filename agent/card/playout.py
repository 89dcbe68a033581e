"""What goes to the card next, and what of it has left: lanes, the sounding item, its gain and its levels.

A `Lane` is shared by exactly two threads: its pusher (libVLC's, or the player's) and its taker (the card's writer).
A deque's `append` and `popleft` are atomic, each count has one writer, and the end is marked after the last push:
that is the whole of their agreement, no lock. `Sounding` belongs to the card's writer alone. No clock, no I/O here.
"""

import audioop
import math
from array import array
from collections import deque
from collections.abc import Callable

from agent.messages.events import Loudness

RATE_HZ = 48_000
PERIOD_SAMPLES = 480
"""10 ms: one turn's worth, one fade."""
BYTES_A_SAMPLE = 2
LANE_MAX_SAMPLES = 6 * RATE_HZ
"""576 KB: 2 s of libVLC's lead, drift, and 3 s decoded before a common start. More is a fault: dropped and counted."""
_FULL_SCALE = 32_768
_SQUARES_WIDTH = 4
_SQUARES_SCALE = 65_536
"""Levels are taken at 32 bits, where audioop's whole-numbered RMS errs by nothing."""


class Lane:
    """Decoded samples of one attempt on their way to the card: 48 kHz, 16-bit little-endian, mono."""

    def __init__(self, *, token: int, cleared: Callable[[int], None]) -> None:
        self.token = token
        self.dropped = 0
        """Samples that found the lane full."""
        self.ended = False
        self.gone = False
        """Cleared: what is left of it must not sound."""
        self._tell_cleared = cleared
        self._chunks: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._pushed_bytes = 0
        self._taken_bytes = 0

    # The pusher's side.

    def push(self, pcm: bytes) -> None:
        """Append samples; a whole chunk that finds no room is dropped and counted. Never waits."""
        if self.gone:
            return
        if self._pushed_bytes - self._taken_bytes + len(pcm) > LANE_MAX_SAMPLES * BYTES_A_SAMPLE:
            self.dropped += len(pcm) // BYTES_A_SAMPLE
            return
        self.ended = False  # a source that had drained goes on: chained streams do
        self._chunks.append(pcm)
        self._pushed_bytes += len(pcm)

    def end(self) -> None:
        """Nothing more comes: what is in the lane is the rest."""
        self.ended = True

    def clear(self) -> None:
        """Nothing of this may sound any more, and the card forgets the lane."""
        self.gone = self.ended = True
        self._tell_cleared(self.token)

    # The taker's side.

    def available(self) -> int:
        """Samples that can be taken now."""
        return 0 if self.gone else (self._pushed_bytes - self._taken_bytes) // BYTES_A_SAMPLE

    def exhausted(self) -> bool:
        """Ended, and all of it taken."""
        return self.ended and not self.available()  # in this order: the pusher marks the end after its last push

    def take(self, samples: int) -> bytes:
        """The next samples, at most `samples`."""
        wanted = samples * BYTES_A_SAMPLE
        parts = []
        while wanted and (self._rest or self._chunks):
            chunk = self._rest or memoryview(self._chunks.popleft())
            parts.append(chunk[:wanted])
            self._rest = chunk[wanted:]
            wanted -= len(parts[-1])
        taken = b"".join(parts)
        self._taken_bytes += len(taken)
        return taken


def ramp(pcm: bytes, before: float, after: float) -> bytes:
    """Samples with their gain going evenly from `before` to `after`."""
    samples = array("h", pcm)
    step = (after - before) / max(1, len(samples))
    return array("h", [round(s * (before + step * i)) for i, s in enumerate(samples, 1)]).tobytes()


def _decibels(ratio: float) -> float | None:
    return round(20 * math.log10(ratio), 2) if ratio > 0 else None


class Sounding:
    """One item between the first sample given to the card and the last that has left it.

    Positions are counts of samples written to the card since it was opened. What is written is kept as
    (position, samples, sum of squares, peak) until it has left, so that what was dropped is never counted as sounded.
    """

    def __init__(self, *, lane: Lane, gain_percent: int, max_samples: int) -> None:
        self.token = lane.token
        self.lane = lane
        self.started = False
        self.starving = False
        self.underruns = 0
        self._gain = self._gain_wanted = gain_percent / 100
        self._left = max_samples
        self._end: int | None = None
        self._in_card: deque[tuple[int, int, float, int]] = deque()
        self._sounded = 0
        self._squares = 0.0
        self._peak = 0

    def set_gain(self, gain_percent: int) -> None:
        """From the next sample on, over 10 ms."""
        self._gain_wanted = gain_percent / 100

    @property
    def all_taken(self) -> bool:
        """Nothing more of it will be written."""
        return self._left == 0 or self.lane.exhausted()

    @property
    def complete(self) -> bool:
        """Everything the source had was taken."""
        return self.lane.exhausted() and not self.lane.gone

    def ready(self) -> bool:
        """A whole period can be taken, or all that is left."""
        ended = self.lane.ended
        available = self.lane.available()
        return available >= min(PERIOD_SAMPLES, self._left) or (ended and available > 0)

    def take(self, position: int) -> bytes:
        """The next samples to be written at `position`, gain applied: a period, less where the lane holds less."""
        cut = not (self.lane.ended and self.lane.available() <= self._left)
        # Where the item is cut, the last period is a whole one, so that the fade has its 10 ms.
        last = self._left <= PERIOD_SAMPLES
        size = self._left if last else min(PERIOD_SAMPLES, max(self._left - PERIOD_SAMPLES, 1))
        pcm = self._amplify(self.lane.take(size), fade_out=last and cut)
        samples = len(pcm) // BYTES_A_SAMPLE
        self._left -= samples
        self._end = position + samples
        rms = audioop.rms(audioop.lin2lin(pcm, BYTES_A_SAMPLE, _SQUARES_WIDTH), _SQUARES_WIDTH) / _SQUARES_SCALE
        self._in_card.append((position, samples, rms * rms * samples, audioop.max(pcm, BYTES_A_SAMPLE)))
        return pcm

    def _amplify(self, pcm: bytes, *, fade_out: bool) -> bytes:
        before, after = self._gain, 0.0 if fade_out else self._gain_wanted
        self._gain = after
        if before != after:
            return ramp(pcm, before, after)
        return pcm if after == 1 else audioop.mul(pcm, BYTES_A_SAMPLE, after)

    def settle(self, position: int) -> None:
        """The card has played up to `position`: count what has left it."""
        while self._in_card:
            start, samples, squares, peak = self._in_card[0]
            left = min(samples, position - start)
            if left <= 0:
                return
            share = left / samples
            self._sounded += left
            self._squares += squares * share
            self._peak = max(self._peak, peak)
            if left < samples:
                self._in_card[0] = (start + left, samples - left, squares * (1 - share), peak)
                return
            self._in_card.popleft()

    def has_left(self, position: int) -> bool:
        """All that it will ever give has sounded."""
        return self.all_taken and (self._end is None or position >= self._end)

    def loudness(self) -> Loudness:
        """Of the samples that have left the card so far."""
        rms = math.sqrt(self._squares / self._sounded) if self._sounded else 0.0
        return Loudness(
            samples=self._sounded,
            rms_dbfs=_decibels(rms / _FULL_SCALE),
            peak_dbfs=_decibels(self._peak / _FULL_SCALE),
            underruns=self.underruns,
        )
