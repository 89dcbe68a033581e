"""One item between the first sample given to the card and the last that has left it: its gain, its levels, its rest.

Belongs to the card's writer alone. No clock, no I/O here.
"""

import audioop
import math
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.card.lane import BYTES_A_SAMPLE, PERIOD_SAMPLES, Lane
from agent.messages.events import End
from agent.messages.loudness import Loudness

_NEAR_SAMPLES = 2 * PERIOD_SAMPLES
"""20 ms: enough to fade in."""
_FULL_SCALE = 32_768
_SQUARES_WIDTH = 4
_SQUARES_SCALE = 65_536
"""Levels are taken at 32 bits, where audioop's whole-numbered RMS errs by nothing."""


def ramp(pcm: bytes, before: float, after: float) -> bytes:
    """Samples with their gain going evenly from `before` to `after`."""
    samples = array("h", pcm)
    step = (after - before) / max(1, len(samples))
    return array("h", [round(s * (before + step * i)) for i, s in enumerate(samples, 1)]).tobytes()


def _decibels(ratio: float) -> float | None:
    return round(20 * math.log10(ratio), 2) if ratio > 0 else None


@dataclass(frozen=True, slots=True)
class _Block:
    """What was written at once: as it was before its gain, so that it can be written again, and how loud it became."""

    position: int
    raw: bytes
    gain_before: float
    gain_after: float
    squares: float
    peak: int
    silent: bool

    @property
    def samples(self) -> int:
        return len(self.raw) // BYTES_A_SAMPLE

    def after(self, samples: int) -> "_Block":
        """What is left of it once so many have sounded."""
        share = samples / self.samples
        return _Block(
            position=self.position + samples,
            raw=self.raw[samples * BYTES_A_SAMPLE :],
            gain_before=self.gain_before + (self.gain_after - self.gain_before) * share,
            gain_after=self.gain_after,
            squares=self.squares * (1 - share),
            peak=self.peak,
            silent=self.silent,
        )


class Sounding:
    """From one `sound` of a lane until it has ended or is held.

    Positions are counts of samples written to the card since it was opened. What is written is kept until it has left,
    so that what was dropped is never counted as sounded, and can be written again.

    Args:
        lane: where its samples come from.
        gain_percent: linear amplitude.
        max_samples: how many of the lane it may use, those left out included.
        at_mono_s: the instant of the first of them; None to begin at once.
        until_mono_s: the instant of the last that may sound; None if there is none.
        paced: its first sample, whenever that sounds, gives the instant.
        resumed: it goes on after having been held, faded in.
        rest: what the card had of it when it was held: comes first.
    """

    def __init__(
        self,
        *,
        lane: Lane,
        gain_percent: int,
        max_samples: int,
        at_mono_s: float | None = None,
        until_mono_s: float | None = None,
        paced: bool = False,
        resumed: bool = False,
        rest: bytes = b"",
    ) -> None:
        self.token = lane.token
        self.lane = lane
        self.at_mono_s = at_mono_s
        self.until_mono_s = until_mono_s
        self._paced = paced
        self.used = 0
        """Samples of the lane that were taken or left out."""
        self.started = False
        self.starving = False
        self.holding = False
        """Its last 10 ms are a fade, after which it is held."""
        self.followed = False
        """It was to sound to its end before another: whatever takes that one's place does so as well."""
        self.underruns = 0
        self.silent = 0
        """Samples that have left the card since the source last gave anything but zeros, whatever the gain."""
        self.rest = rest
        """Taken back from the card, as it was before its gain: comes before what the lane holds."""
        self._resumed = resumed
        self._gain_wanted = gain_percent / 100
        self._gain = 0.0 if resumed else self._gain_wanted
        self._left = max_samples
        self._at_limit = End.LIMIT
        self.parting = False
        """Its next 10 ms are a fade, and the last."""
        self._end: int | None = None
        self._in_card: deque[_Block] = deque()
        self._sounded = 0
        self._squares = 0.0
        self._peak = 0

    def set_pace(self, sounds_at_s: float) -> None:
        """The next sample sounds at this instant: if it is the first, the others follow by the clock."""
        if self._paced and self.at_mono_s is None:
            self.at_mono_s = sounds_at_s

    def set_gain(self, gain_percent: int) -> None:
        """From the next sample on, over 10 ms."""
        self._gain_wanted = gain_percent / 100

    @property
    def begun(self) -> bool:
        """Something of it has been heard, now or before it was held."""
        return self._resumed or self._sounded > 0

    @property
    def all_taken(self) -> bool:
        """Nothing more of it will be written."""
        return self._left == 0 or (not self.rest and self.lane.exhausted())

    @property
    def end(self) -> End:
        """Why no more of it is taken, once that is so."""
        if not self.rest and self.lane.exhausted() and not self.lane.gone:
            return End.COMPLETE  # be the last of it a fade
        cut = self.parting or self.lane.gone or self._left > 0
        return End.CUT if cut else self._at_limit

    def allow(self, samples: int) -> None:
        """So many may still be taken before its instant comes: near it they are the limit.

        Not before: what is known of the card's clock grows better all the time.
        """
        if samples <= _NEAR_SAMPLES and samples < self._left:
            if self._left - max(samples, 0) > PERIOD_SAMPLES:
                self._at_limit = End.UNTIL
            self._left = max(samples, 0)

    def available(self) -> int:
        """Samples that can be taken now."""
        return len(self.rest) // BYTES_A_SAMPLE + self.lane.available()

    def ready(self) -> bool:
        """A whole period can be taken, or all that is left."""
        ended = self.lane.ended
        available = self.available()
        return available >= min(PERIOD_SAMPLES, self._left) or (ended and available > 0)

    def take(self, position: int, correct: Callable[[bytes], bytes] | None = None) -> bytes:
        """The next samples to be written at `position`, gain applied: a period, less where the lane holds less.

        Args:
            position: of the first of them.
            correct: adds or takes away a sample, for the card's drift.
        """
        cut = self.parting or not (self.lane.ended and self.available() <= self._left)
        # Where the item is cut, the last period is a whole one, so that the fade has its 10 ms.
        last = self._left <= PERIOD_SAMPLES
        raw = self._next(self._left if last else min(PERIOD_SAMPLES, max(self._left - PERIOD_SAMPLES, 1)))
        if correct:
            raw = correct(raw)
        before, after = self._gain, 0.0 if last and cut else self._gain_wanted
        self._gain = after
        pcm = _amplified(raw, before, after)
        rms = audioop.rms(audioop.lin2lin(pcm, BYTES_A_SAMPLE, _SQUARES_WIDTH), _SQUARES_WIDTH) / _SQUARES_SCALE
        samples = len(pcm) // BYTES_A_SAMPLE
        peak = audioop.max(pcm, BYTES_A_SAMPLE)
        silent = peak == 0 and audioop.max(raw, BYTES_A_SAMPLE) == 0
        self._in_card.append(_Block(position, raw, before, after, rms * rms * samples, peak, silent))
        self._end = position + samples
        return pcm

    def leave_out(self, samples: int) -> None:
        """Skip so many, or as many as there are; what comes then is faded in."""
        self._next(min(samples, self._left))
        self._gain = 0.0

    def _next(self, samples: int) -> bytes:
        again = self.rest[: samples * BYTES_A_SAMPLE]
        self.rest = self.rest[len(again) :]
        raw = again + self.lane.take(samples - len(again) // BYTES_A_SAMPLE)
        taken = len(raw) // BYTES_A_SAMPLE
        self._left -= taken
        self.used += taken
        return raw

    def settle(self, position: int) -> None:
        """The card has played up to `position`: count what has left it."""
        while self._in_card:
            block = self._in_card[0]
            left = min(block.samples, position - block.position)
            if left <= 0:
                return
            self._sounded += left
            self._squares += block.squares * left / block.samples
            self._peak = max(self._peak, block.peak)
            self.silent = self.silent + left if block.silent else 0
            if left < block.samples:
                self._in_card[0] = block.after(left)
                return
            self._in_card.popleft()

    def take_back(self) -> None:
        """The card has thrown away what was written and has not sounded: it comes again, before the rest."""
        if not self._in_card:
            return
        self._gain = self._in_card[0].gain_before
        self._end = self._in_card[0].position
        back = b"".join(block.raw for block in self._in_card)
        self._in_card.clear()
        self.rest = back + self.rest
        self._left += len(back) // BYTES_A_SAMPLE
        self.used -= len(back) // BYTES_A_SAMPLE

    @property
    def ends_within_a_fade(self) -> bool:
        """What is left of it is not worth parting from."""
        return self._left <= PERIOD_SAMPLES or (self.lane.exhausted() and self.available() <= PERIOD_SAMPLES)

    def part(self) -> None:
        """Fade out over the next 10 ms, or over what there is of them, and give no more."""
        self.parting = True
        self._left = min(self._left, PERIOD_SAMPLES, self.available())

    def has_left(self, position: int) -> bool:
        """All that it will ever give has sounded."""
        return self.all_taken and (self._end is None or position >= self._end)

    def over(self) -> int:
        """Samples of the lane that have sounded or were left out so far."""
        return self.used - sum(block.samples for block in self._in_card)

    def loudness(self) -> Loudness:
        """Of the samples that have left the card so far."""
        rms = math.sqrt(self._squares / self._sounded) if self._sounded else 0.0
        return Loudness(
            samples=self._sounded,
            rms_dbfs=_decibels(rms / _FULL_SCALE),
            peak_dbfs=_decibels(self._peak / _FULL_SCALE),
            underruns=self.underruns,
        )


def _amplified(raw: bytes, before: float, after: float) -> bytes:
    if before != after:
        return ramp(raw, before, after)
    return raw if after == 1 else audioop.mul(raw, BYTES_A_SAMPLE, after)
