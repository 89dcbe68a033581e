"""What sounds on the open card: items one after the other, on their instants, held and gone on with, silence between.

Belongs to the card's thread. Every `sound` is answered by one `SoundEnded`, which comes when the item's last sample has
left the card, or by one `SoundHeld`. Whatever is cut off is faded: what the card held is thrown away, and its first
10 ms are written once more as a fade. Times are CLOCK_BOOTTIME in s.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

from agent.card.alsa import AlsaError, Pcm, UnderrunError
from agent.card.drift import CardClock, Corrector, dropped, inserted
from agent.card.lane import BYTES_A_SAMPLE, PERIOD_SAMPLES, RATE_HZ, Lane
from agent.card.sounding import Sounding
from agent.card.writer import Writer
from agent.messages.events import (
    End,
    Event,
    SoundAdvanced,
    SoundEnded,
    SoundEnding,
    SoundFlowed,
    SoundHeld,
    SoundStarted,
    SoundStarved,
)
from agent.messages.loudness import Loudness

_log = logging.getLogger(__name__)

ADVANCE_EVERY_S = 1.0
"""While an item sounds the card says so this often: whoever listens knows within 5 s that it hangs."""
HELD_MAX = 3
"""Each keeps its lane, some 0.6 MB: a normal and a priority item under an emergency, and one more."""
RESYNC_SAMPLES = RATE_HZ // 100
"""10 ms: an item that comes so late after an underrun leaves out what it has missed; less is left to the drift's
correction, and nothing where the lane does not hold the place at which it would go on."""


class Playout:
    """Lanes, and the items that sound from them.

    Args:
        post: takes each event.
        now_s: reads the clock.
    """

    def __init__(self, *, post: Callable[[Event], None], now_s: Callable[[], float]) -> None:
        self._post = post
        self._now_s = now_s
        self._writer: Writer | None = None
        self._lanes: dict[int, Lane] = {}
        self._items: list[Sounding] = []
        """In the order in which they are written."""
        self._held: dict[int, Sounding] = {}
        self._clock = CardClock()
        self._corrector = Corrector()
        self._advance_due_s = 0.0
        self._dry_turns = 0

    # Orders. Those that throw away what the card holds raise AlsaError.

    def add(self, lane: Lane) -> None:
        """A lane that may be asked for."""
        self._lanes[lane.token] = lane

    def forget(self, token: int) -> None:
        """The player has cleared the lane: an item that sounds ends by itself, others leave nothing."""
        self._held.pop(token, None)
        if all(item.token != token for item in self._items):
            self._lanes.pop(token, None)

    def sound(
        self,
        token: int,
        gain_percent: int,
        max_samples: int,
        at_mono_s: float | None = None,
        until_mono_s: float | None = None,
        *,
        paced: bool = False,
    ) -> None:
        """Let this lane sound next, in place of what sounds."""
        lane = self._lanes.get(token)
        if lane is None:
            _log.warning("asked to sound unknown token %d", token)
            return
        self._make_way()
        held = self._held.pop(token, None)
        item = Sounding(
            lane=lane,
            gain_percent=gain_percent,
            max_samples=max_samples,
            at_mono_s=at_mono_s,
            until_mono_s=until_mono_s,
            paced=paced,
            resumed=held is not None,
            rest=held.rest if held else b"",
        )
        self._corrector = Corrector()
        self._items.append(item)
        if not self._writer:
            self._end(item, End.CUT)

    def _make_way(self) -> None:
        """For the next: what is all written sounds to its end, also if it was taken back with what was to follow it."""
        if self._items and not (self._items[-1].all_taken or self._items[-1].followed):
            self.silence(self._items[-1].token)
        for item in self._items:
            item.followed = True

    def set_gain(self, token: int, gain_percent: int) -> None:
        """Another gain for what sounds."""
        for item in self._items:
            if item.token == token:
                item.set_gain(gain_percent)

    def silence(self, token: int) -> None:
        """Nothing more of this lane but a fade. An item that is all written while the next one sounds may end."""
        if self._held.pop(token, None):
            self._lanes.pop(token)
            self._post(SoundEnded(token=token, end=End.CUT, loudness=Loudness(), used=0))
        elif any(item.token == token for item in self._items):
            if item := self._cut_before(token):
                self._part(item)
        else:
            self._lanes.pop(token, None)

    def hold(self, token: int) -> None:
        """Fade, and keep the rest. What has not begun ends; what would end within the fade ends by itself."""
        item = self._cut_before(token)
        if item and not (item.begun and item.ends_within_a_fade):
            item.holding = item.begun and len(self._held) < HELD_MAX
            self._part(item)

    def _part(self, item: Sounding) -> None:
        if item.begun:
            item.part()
            self._settle()
        else:
            self._end(item, End.CUT)

    def _cut_before(self, token: int) -> Sounding | None:
        """The newest item if that is the one, with all that had not sounded taken back from the card."""
        if not self._writer or not self._items or self._items[-1].token != token:
            return None
        self._writer.cut()
        self._settle()
        for item in self._items:
            item.take_back()
        return self._items[-1] if self._items and self._items[-1].token == token else None

    # The device.

    @property
    def open(self) -> bool:
        """Whether there is a card."""
        return self._writer is not None

    def opened(self, pcm: Pcm) -> None:
        """A card: silence runs from the next turn on."""
        self._writer = Writer(pcm, self._now_s, self._clock)

    def close(self, *, lost: bool = False) -> None:
        """Give the card back, or let go of one that is `lost`. What sounds ends incomplete; what is held stays."""
        if self._writer:
            writer, self._writer = self._writer, None
            with suppress(AlsaError):  # it may be gone already: what was last known to have sounded stands
                writer.close(lost=lost)
            for item in list(self._items):
                item.settle(writer.position)
                self._end(item, End.CUT)

    # One turn.

    def turn(self) -> int:
        """Look at the open card, tell what has happened, and fill it. Raises AlsaError.

        Returns:
            How many turns in a row the card has not moved, or has been dry again before it was filled.
        """
        writer = self._writer
        if not writer:
            return 0
        try:
            self._look(writer)
            self._fill(writer)
        except UnderrunError:
            return self._refill(writer)
        self._dry_turns = 0
        return writer.still_turns

    def _refill(self, writer: Writer) -> int:
        """After an underrun. The card starts on the first 20 ms: where the machine is slow it is dry again at once."""
        try:
            self._recover(writer)
            self._fill(writer)
        except UnderrunError:
            self._recover(writer)
            self._dry_turns += 1
        else:
            self._dry_turns = 0
        return self._dry_turns

    def _look(self, writer: Writer) -> None:
        writer.look()
        self._settle()
        self._tell_advance(writer)
        if self._items and writer.queued <= 1 and self._needs_more():
            self._items[-1].underruns += 1  # PulseAudio's plug-in may rather go on than say so

    def _tell_advance(self, writer: Writer) -> None:
        moves = writer.still_turns == 0 and bool(self._items) and self._items[-1].started
        if moves and self._now_s() >= self._advance_due_s:
            self._advance_due_s = self._now_s() + ADVANCE_EVERY_S
            item = self._items[-1]
            self._post(SoundAdvanced(item.token, item.loudness(), item.over(), item.silent / RATE_HZ))

    def _needs_more(self) -> bool:
        item = self._items[-1]
        return item.started and not item.starving and not item.all_taken

    def _settle(self) -> None:
        """Count what has left the card, and end what is over."""
        position = self._writer.position if self._writer else 0
        for item in list(self._items):
            item.settle(position)
            if item.has_left(position):
                self._end(item, item.end)

    def _recover(self, writer: Writer) -> None:
        writer.recover(in_silence=not self._items or not self._needs_more())
        self._settle()
        if self._items and self._needs_more():
            self._items[-1].underruns += 1

    def _fill(self, writer: Writer) -> None:
        """Write until the card holds enough. Programme comes before silence, silence only where there is none."""
        while writer.flush():
            item = self._next_item(writer)
            low = writer.queued < writer.silence_ahead
            wait = self._wait_samples(writer, item) if item else 0
            near = 0 < wait <= writer.programme_ahead - writer.queued
            if near:
                writer.put(bytes(min(wait, PERIOD_SAMPLES) * BYTES_A_SAMPLE))
            elif item and not wait and self._has_something(writer, item, low=low):
                item.set_pace(writer.sounds_at_s)
                self._give(writer, item)
            elif low:
                self._tell_starving(writer, item)
                writer.put(bytes(PERIOD_SAMPLES * BYTES_A_SAMPLE))
            else:
                return

    def _give(self, writer: Writer, item: Sounding) -> None:
        """The item's next samples to the card."""
        sounds_at_s = writer.sounds_at_s
        pcm = item.take(writer.written, self._correction(writer, item))
        writer.put(pcm)
        self._tell_flow(writer, item)
        if item.all_taken and not item.parting:
            ends_s = sounds_at_s + len(pcm) / BYTES_A_SAMPLE / RATE_HZ
            self._post(SoundEnding(token=item.token, at_mono_s=ends_s))

    def _next_item(self, writer: Writer) -> Sounding | None:
        """The first of which more may be written; those whose instant has come are over."""
        for item in self._items:
            if item.until_mono_s is not None and not item.all_taken:
                item.allow(round((item.until_mono_s - writer.sounds_at_s) * RATE_HZ))
            if not item.all_taken:
                return item
        return None

    @staticmethod
    def _has_something(writer: Writer, item: Sounding, *, low: bool) -> bool:
        return writer.queued < writer.programme_ahead and (item.ready() or (low and item.available() > 0))

    def _wait_samples(self, writer: Writer, item: Sounding) -> int:
        """Samples of silence before its next sample's instant; what comes too late for its own is left out."""
        late_s = None
        if item.at_mono_s is not None:
            late_s = writer.lateness_s(item.at_mono_s + item.used / RATE_HZ)
        if late_s is None:
            return 0
        late = round(late_s * RATE_HZ)
        if not item.started:
            if late > 0:
                item.leave_out(late)
            return max(0, -late)
        if late >= RESYNC_SAMPLES and writer.clock.settled and item.available() >= late + PERIOD_SAMPLES:
            _log.warning("token %d is %d samples late: left out", item.token, late)
            item.leave_out(late)
        return 0

    def _correction(self, writer: Writer, item: Sounding) -> Callable[[bytes], bytes] | None:
        if item.at_mono_s is None or not item.started:
            return None
        late_s = writer.lateness_s(item.at_mono_s + item.used / RATE_HZ, line=True)
        due = 0 if late_s is None else self._corrector.due(late_s, writer.written)
        return None if due == 0 else dropped if due < 0 else inserted

    def _tell_flow(self, writer: Writer, item: Sounding) -> None:
        if not item.started:
            item.started = True
            self._advance_due_s = self._now_s() + ADVANCE_EVERY_S
            self._post(SoundStarted(token=item.token, at_mono_s=writer.edge_s))
        elif item.starving:
            item.starving = False
            self._post(SoundFlowed(token=item.token))

    def _tell_starving(self, writer: Writer, item: Sounding | None) -> None:
        if item and item.started and not item.starving:
            item.starving = True
            self._post(SoundStarved(token=item.token, at_mono_s=writer.edge_s))

    def _end(self, item: Sounding, end: End) -> None:
        self._items.remove(item)
        if item.holding and not item.lane.gone:
            self._held[item.token] = item
            self._post(SoundHeld(token=item.token, loudness=item.loudness(), used=item.over()))
            return
        self._lanes.pop(item.token, None)
        if item.lane.dropped:
            _log.warning("lane of token %d was full: %d samples lost", item.token, item.lane.dropped)
        self._post(SoundEnded(token=item.token, end=end, loudness=item.loudness(), used=item.over()))
