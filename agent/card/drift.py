"""How far the card's clock is off, and what is done about it: one sample put in or left out, at most every 50 ms.

A card's crystal is up to some 100 ppm off, 0.36 s in an hour: two poles that began together would not end together.
What a card says of its delay errs by late looks and coarse pointers, nearly always to the late side; so only the
earliest of each second counts, and no line is drawn over less than a minute. Pure: no clock, no I/O.
"""

from array import array
from collections import deque
from itertools import pairwise

from agent.card.lane import BYTES_A_SAMPLE, RATE_HZ

BUCKET_S = 1.0
"""Some hundred looks: one of them came at once."""
LINE_MIN_S = 60.0
"""Over less, the noise of a coarse card looks like hundreds of ppm."""
LINE_POINTS = 120
"""2 min: a crystal that warms up changes faster than over an hour."""
JUMP_S = 0.005
"""No crystal does this in a second: the card stood still, or the clock was set. All that was learnt is void."""
SETTLED_LOOKS = 50
"""0.5 s: from then on the earliest look is believed to have come at once."""
ACT_BEYOND_S = 0.000_5
"""Two poles that are this far apart are heard as one."""
DONE_WITHIN_S = 0.000_015
"""Less than one sample: nothing more can be done."""
CORRECT_EVERY_SAMPLES = RATE_HZ // 20
"""50 ms: 417 ppm, more than any crystal, and less than any ear."""
LEAST_SAMPLES = 8
"""Fewer leave no choice of a place."""


class CardClock:
    """When a card's position sounds, by another clock, learnt from many looks of which most are late.

    The `origin` is the instant at which position 0 would have sounded, were the card's rate exact: a constant for a
    card that keeps time, rising for one that is slow. Times are in s.
    """

    def __init__(self) -> None:
        self._slope: float | None = None
        self.restart()

    def restart(self) -> None:
        """The card was opened, ran dry or was emptied: only the rate of its crystal is still what it was."""
        self.looks = 0
        self._points: deque[tuple[float, float]] = deque(maxlen=LINE_POINTS)
        self._bucket: tuple[float, float] | None = None
        self._bucket_until_s = 0.0
        self._odd: tuple[float, float] | None = None
        self._line: tuple[float, float] | None = None

    @property
    def settled(self) -> bool:
        """Whether there were looks enough to believe in `origin_s`."""
        return self.looks >= SETTLED_LOOKS

    def observe(self, now_s: float, origin_s: float) -> None:
        """One look: at `now_s` the origin seemed to be `origin_s`."""
        self.looks += 1
        if self._bucket and now_s >= self._bucket_until_s:
            self._add(self._bucket)
            self._bucket = None
        if self._bucket is None:
            self._bucket_until_s = now_s + BUCKET_S
            self._bucket = (now_s, origin_s)
        elif origin_s < self._bucket[1]:
            self._bucket = (now_s, origin_s)

    def _add(self, point: tuple[float, float]) -> None:
        expected_s = self.line_s(point[0]) or (self._points[-1][1] if self._points else point[1])
        if abs(point[1] - expected_s) <= JUMP_S:
            self._odd = None
        elif self._odd is None:
            self._odd = point  # a second in which no look came at once
            return
        else:
            odd, looks = self._odd, self.looks
            self.restart()
            self.looks = looks
            self._points.append(odd)
        self._points.append(point)
        if self._points[-1][0] - self._points[0][0] >= LINE_MIN_S:
            self._draw()

    def _draw(self) -> None:
        """The line of least squares through all points."""
        count = len(self._points)
        middle_s = sum(at_s for at_s, _ in self._points) / count
        base_s = self._points[0][1]  # differences of small numbers: nothing is lost to rounding
        mean_s = sum(origin_s - base_s for _, origin_s in self._points) / count
        across = sum((at_s - middle_s) * (origin_s - base_s) for at_s, origin_s in self._points)
        square = sum((at_s - middle_s) ** 2 for at_s, _ in self._points)
        self._slope = across / square
        self._line = (middle_s, base_s + mean_s)

    def line_s(self, now_s: float) -> float | None:
        """The origin as of now by a minute's line; None as long as there never was one.

        After a restart the old line's slope is laid through the earliest look since.
        """
        if self._slope is None:
            return None
        if self._line:
            return self._line[1] + self._slope * (now_s - self._line[0])
        if not self.settled or not self._bucket:
            return None
        slope = self._slope
        return min(origin_s + slope * (now_s - at_s) for at_s, origin_s in (*self._points, self._bucket))

    def origin_s(self, now_s: float) -> float | None:
        """The best that is known of the origin: the line, or the earliest of the last seconds; None before any look."""
        line_s = self.line_s(now_s)
        if line_s is not None or self._bucket is None:
            return line_s
        return min(self._bucket[1], self._points[-1][1]) if self._points else self._bucket[1]


class Corrector:
    """When a sample is put in or left out. Once beyond 0.5 ms it goes on until nothing is left to correct."""

    def __init__(self) -> None:
        self._acting = False
        self._next = 0

    def due(self, late_s: float, position: int) -> int:
        """What to do with the samples written next, at `position`: 1 to put one in, -1 to leave one out, 0 nothing."""
        if abs(late_s) > ACT_BEYOND_S:
            self._acting = True
        elif abs(late_s) < DONE_WITHIN_S:
            self._acting = False
        if not self._acting or position < self._next:
            return 0
        self._next = position + CORRECT_EVERY_SAMPLES
        return -1 if late_s > 0 else 1


def inserted(pcm: bytes) -> bytes:
    """One sample more: the mean of two neighbours, where these differ least."""
    samples = array("h", pcm)
    if len(samples) < LEAST_SAMPLES:
        return pcm
    steps = [abs(after - before) for before, after in pairwise(samples)]
    at = steps.index(min(steps))
    samples.insert(at + 1, (samples[at] + samples[at + 1]) // 2)
    return samples.tobytes()


def dropped(pcm: bytes) -> bytes:
    """One sample less: the one whose neighbours differ least."""
    samples = array("h", pcm)
    if len(samples) < LEAST_SAMPLES:
        return pcm
    steps = [abs(after - before) for before, after in zip(samples, samples[2:], strict=False)]
    at = (steps.index(min(steps)) + 1) * BYTES_A_SAMPLE
    return pcm[:at] + pcm[at + BYTES_A_SAMPLE :]
