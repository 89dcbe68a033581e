"""The one writer to the ALSA device: silence and the sounding item's samples, in 10 ms periods.

Owner thread: `card`, the only one that touches ALSA; it blocks on its queue while the card is closed, and wakes every
10 ms while it is open. Verbs may be called from any thread and only enqueue; answers are events.

Silence is kept 20 ms ahead of the card, so an item's first sample sounds that soon after `sound`; programme 600 ms, so
neither a slow SD card nor a busy machine makes a gap in it (ADR 0012). Position is samples written less the card's
delay. Every `sound` is answered by exactly one `SoundEnded`, which comes when the item's last sample has left the card.
Times are CLOCK_BOOTTIME in s.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue

from agent.card.alsa import AlsaError, Pcm, UnderrunError
from agent.card.playout import BYTES_A_SAMPLE, PERIOD_SAMPLES, RATE_HZ, Lane, Sounding
from agent.messages.events import (
    CardFailed,
    CardOpened,
    Event,
    Loudness,
    SoundAdvanced,
    SoundEnded,
    SoundFlowed,
    SoundStarted,
    SoundStarved,
)

_log = logging.getLogger(__name__)

BUFFER_SAMPLES = 33_600
"""700 ms: what the card holds at most. One that cannot hold so much is used with what it has."""
SILENCE_AHEAD_SAMPLES = 960
"""20 ms: the wait for the first sample of an item. A card that runs dry on it is given 10 ms more each time."""
SILENCE_AHEAD_MAX_SAMPLES = 4_800
"""100 ms: a card that needs more has another fault."""
PROGRAMME_AHEAD_SAMPLES = 28_800
"""600 ms: longer than this process, or the machine below it, stands still on a bad day."""
TURN_S = 0.010
RETRY_S = 1.0
"""A card that is busy, or not plugged in, is looked for this often."""
STALL_TURNS = 300
"""3 s: a card that plays nothing for so many turns is taken for lost; PulseAudio may pause for 2 s. Counted in turns:
a time in which this process itself was stopped is not held against the card."""
ADVANCE_EVERY_S = 1.0
"""While an item sounds the card says so this often: whoever listens knows within 5 s that it hangs."""
CLOSE_TIMEOUT_S = 2.0
_SILENCE = bytes(PERIOD_SAMPLES * BYTES_A_SAMPLE)


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SoundCard:
    """One ALSA device, opened and closed on demand.

    Args:
        device: ALSA's name, such as `plughw:CARD=sndrpihifiberry`.
        post: takes each event; called on the card's thread.
        pcm: opens the device; tests give a simulator, whose time is not ours.
        turn_s: how often the open card is looked at.
    """

    def __init__(
        self,
        *,
        device: str,
        post: Callable[[Event], None],
        pcm: Callable[..., Pcm] = Pcm,
        turn_s: float = TURN_S,
    ) -> None:
        self._device = device
        self._post = post
        self._pcm_class = pcm
        self._turn_s = turn_s
        self._verbs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lanes: dict[int, Lane] = {}
        self._items: list[Sounding] = []
        self._pcm: Pcm | None = None
        self._wanted = False
        self._running = True
        self._retry_at_s = 0.0
        self._cause = ""
        self._reset_position()
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._thread.start()

    # Verbs: any thread.

    def open(self) -> None:
        """Run silence: `CardOpened`, or `CardFailed` once a cause while it is tried again every second."""
        self._verbs.put(self._open_wanted)

    def close_card(self) -> None:
        """Stop at once and give the device back; what sounds ends incomplete."""
        self._verbs.put(self._close_wanted)

    def lane(self, token: int) -> Lane:
        """A fresh lane, pushed to by one thread; forgotten when its item has ended, or by `silence` or its `clear`."""
        lane = Lane(token=token, cleared=lambda token: self._verbs.put(partial(self._forget, token)))
        self._verbs.put(lambda: self._lanes.update({token: lane}))
        return lane

    def sound(self, token: int, gain_percent: int, max_samples: int) -> None:
        """Let this lane sound from its first sample on: `SoundStarted`, at last `SoundEnded`. Replaces what sounds.

        Args:
            token: a lane that was asked for; unknown ones are ignored.
            gain_percent: linear amplitude, 0 to 100; at 100 the samples stay as they are.
            max_samples: cut here, faded over the last 10 ms.
        """
        self._verbs.put(partial(self._sound, token, gain_percent, max_samples))

    def set_gain(self, token: int, gain_percent: int) -> None:
        """Another gain for what sounds, over 10 ms. What the card already holds (600 ms) keeps the old one."""
        self._verbs.put(partial(self._set_gain, token, gain_percent))

    def silence(self, token: int) -> None:
        """Nothing more of this lane, not even what the card holds; `SoundEnded` follows if `sound` was called."""
        self._verbs.put(partial(self._silence, token))

    def close(self) -> None:
        """End the thread; the device is closed first. Idempotent, waits at most 2 s."""
        self._verbs.put(self._stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_TIMEOUT_S)

    # The card's thread.

    def _run(self) -> None:
        while self._running:
            self._obey()
            if self._pcm:
                self._turn(self._pcm)
            elif self._wanted and _now_s() >= self._retry_at_s:
                self._open()

    def _obey(self) -> None:
        """Wait for a verb as long as the card allows, then perform all that wait."""
        wait_s = self._turn_s if self._pcm else max(0.0, self._retry_at_s - _now_s()) if self._wanted else None
        try:
            self._verbs.get(timeout=wait_s)()
            while not self._verbs.empty():
                self._verbs.get_nowait()()
        except Empty:
            return

    def _open_wanted(self) -> None:
        self._wanted = True
        self._retry_at_s = 0.0
        if self._pcm:
            self._post(CardOpened())

    def _close_wanted(self) -> None:
        self._wanted = False
        self._cause = ""
        self._give_back()

    def _stop(self) -> None:
        self._close_wanted()
        self._running = False

    def _sound(self, token: int, gain_percent: int, max_samples: int) -> None:
        lane = self._lanes.get(token)
        if lane is None:
            _log.warning("asked to sound unknown token %d", token)
            return
        for item in self._items:
            if not item.all_taken:
                self._silence(item.token)
        item = Sounding(lane=lane, gain_percent=gain_percent, max_samples=max_samples)
        self._items.append(item)
        if not self._pcm:
            self._end(item, complete=False)

    def _set_gain(self, token: int, gain_percent: int) -> None:
        for item in self._items:
            if item.token == token:
                item.set_gain(gain_percent)

    def _silence(self, token: int) -> None:
        """Throw away what the card holds. An item that is all written while the next one sounds is left to end."""
        if not self._items or self._items[-1].token != token:
            if all(item.token != token for item in self._items):
                self._lanes.pop(token, None)
            return
        if self._pcm:
            try:
                self._drop(self._pcm)
            except AlsaError as error:
                self._lost(str(error))
        for item in list(self._items):
            self._end(item, complete=False)

    def _forget(self, token: int) -> None:
        """The player has cleared the lane: an item that sounds ends by itself, others leave nothing."""
        if all(item.token != token for item in self._items):
            self._lanes.pop(token, None)

    # The device.

    def _open(self) -> None:
        try:
            pcm = self._pcm_class(
                device=self._device,
                rate_hz=RATE_HZ,
                period_samples=PERIOD_SAMPLES,
                buffer_samples=BUFFER_SAMPLES,
                start_samples=SILENCE_AHEAD_SAMPLES,
            )
        except AlsaError as error:
            self._failed(str(error))
            return
        self._pcm = pcm
        self._cause = ""
        self._silence_ahead = SILENCE_AHEAD_SAMPLES
        self._programme_ahead = min(PROGRAMME_AHEAD_SAMPLES, pcm.buffer_samples - PERIOD_SAMPLES)
        self._reset_position()
        self._turn(pcm)
        if self._pcm:
            _log.info("sound card %s is open", self._device)
            self._post(CardOpened())

    def _reset_position(self) -> None:
        self._written = 0
        self._unwritten = b""
        self._edge_s = 0.0
        self._position = -1
        self._still_turns = 0
        self._advance_due_s = 0.0

    def _failed(self, cause: str) -> None:
        self._retry_at_s = _now_s() + RETRY_S
        if cause != self._cause:
            self._cause = cause
            _log.warning("sound card failed: %s", cause)
            self._post(CardFailed(detail=cause))

    def _lost(self, cause: str) -> None:
        self._give_back()
        self._failed(cause)

    def _give_back(self) -> None:
        if self._pcm:
            pcm, self._pcm = self._pcm, None
            with suppress(AlsaError):  # it may be gone already: what was last known to have sounded stands
                self._drop(pcm, restart=False)
            pcm.close()
        for item in list(self._items):
            self._end(item, complete=False)

    def _drop(self, pcm: Pcm, *, restart: bool = True) -> None:
        try:
            self._look(pcm)
        except UnderrunError:
            self._settle(self._written)
        pcm.drop()
        self._written, self._unwritten = max(self._position, 0), b""
        if restart:
            pcm.prepare()

    # One turn.

    def _turn(self, pcm: Pcm) -> None:
        try:
            try:
                self._look(pcm)
                self._fill(pcm)
            except UnderrunError:
                self._recover(pcm)
                self._fill(pcm)
        except AlsaError as error:
            self._lost(str(error))
            return
        if self._still_turns > STALL_TURNS:
            self._lost(f"{self._device}: takes no samples any more")

    def _look(self, pcm: Pcm) -> None:
        """Read where the card is, and end what has left it."""
        self._queued, delay = pcm.look()
        delay = max(delay, self._queued)  # a plug-in that has just begun says 0
        self._edge_s = _now_s() + delay / RATE_HZ
        position = self._written - delay
        self._still_turns = 0 if position > self._position else self._still_turns + 1
        self._settle(position)
        self._tell_advance()
        if self._items and self._queued <= 1 and self._needs_more():
            self._items[-1].underruns += 1  # PulseAudio's plug-in may rather go on than say so

    def _tell_advance(self) -> None:
        moves = self._still_turns == 0 and bool(self._items) and self._items[-1].started
        if moves and _now_s() >= self._advance_due_s:
            self._advance_due_s = _now_s() + ADVANCE_EVERY_S
            self._post(SoundAdvanced(token=self._items[-1].token))

    def _needs_more(self) -> bool:
        item = self._items[-1]
        return item.started and not item.starving and not item.all_taken

    def _settle(self, position: int) -> None:
        self._position = max(self._position, position)
        for item in list(self._items):
            item.settle(self._position)
            if item.has_left(self._position):
                self._end(item, complete=item.complete)

    def _recover(self, pcm: Pcm) -> None:
        """The card ran dry: all that was written has sounded."""
        self._settle(self._written)
        if self._items and self._needs_more():
            self._items[-1].underruns += 1
        else:
            self._silence_ahead = min(self._silence_ahead + PERIOD_SAMPLES, SILENCE_AHEAD_MAX_SAMPLES)
        pcm.prepare()
        self._queued = 0
        self._edge_s = _now_s()

    def _fill(self, pcm: Pcm) -> None:
        """Write until the card holds enough. Programme comes before silence, silence only where there is none."""
        while self._flush(pcm):
            item = self._items[-1] if self._items and not self._items[-1].all_taken else None
            low = self._queued < self._silence_ahead
            if item and self._queued < self._programme_ahead and (item.ready() or (low and item.lane.available())):
                self._unwritten = item.take(self._written)
                self._tell_flow(item)
            elif low:
                if item and item.started and not item.starving:
                    item.starving = True
                    self._post(SoundStarved(token=item.token, at_mono_s=self._edge_s))
                self._unwritten = _SILENCE
            else:
                return

    def _flush(self, pcm: Pcm) -> bool:
        """Write what was taken. False while the card has no room for the rest of it."""
        if self._unwritten:
            taken = pcm.write(self._unwritten)
            self._unwritten = self._unwritten[taken * BYTES_A_SAMPLE :]
            self._written += taken
            self._queued += taken
            self._edge_s += taken / RATE_HZ
        return not self._unwritten

    def _tell_flow(self, item: Sounding) -> None:
        if not item.started:
            item.started = True
            self._advance_due_s = _now_s() + ADVANCE_EVERY_S
            self._post(SoundStarted(token=item.token, at_mono_s=self._edge_s))
        elif item.starving:
            item.starving = False
            self._post(SoundFlowed(token=item.token))

    def _end(self, item: Sounding, *, complete: bool) -> None:
        self._items.remove(item)
        self._lanes.pop(item.token, None)
        if item.lane.dropped:
            _log.warning("lane of token %d was full: %d samples lost", item.token, item.lane.dropped)
        loudness: Loudness = item.loudness()
        self._post(SoundEnded(token=item.token, complete=complete, loudness=loudness))
