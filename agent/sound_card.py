"""The one writer to the ALSA device: silence and the sounding item's samples, in 10 ms periods.

Owner thread: `card`, the only one that touches ALSA; it blocks on its queue while the card is closed, and wakes every
10 ms while it is open. Verbs may be called from any thread and only enqueue; answers are events.

Silence is kept 20 ms ahead of the card, so an item's first sample sounds that soon after `sound`; programme 600 ms, so
neither a slow SD card nor a busy machine makes a gap in it (ADR 0012). Position is samples written less the card's
delay. Every `sound` is answered by exactly one `SoundEnded`, which comes when the item's last sample has left the card,
or one `SoundHeld`. Times are CLOCK_BOOTTIME in s. What sounds, and on which sample, is decided in `card.playout`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from agent.card.alsa import AlsaError, Pcm
from agent.card.lane import PERIOD_SAMPLES, RATE_HZ, Lane
from agent.card.playout import Playout
from agent.card.writer import BUFFER_SAMPLES, SILENCE_AHEAD_SAMPLES
from agent.messages.events import CardFailed, CardOpened, Event

_log = logging.getLogger(__name__)

TURN_S = 0.010
RETRY_S = 1.0
"""A card that is busy, or not plugged in, is looked for this often."""
STALL_TURNS = 300
"""3 s: a card that plays nothing for so many turns is taken for lost; PulseAudio may pause for 2 s. Counted in turns:
a time in which this process itself was stopped is not held against the card."""
CLOSE_TIMEOUT_S = 2.0


def _now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SoundCard:
    """One ALSA device, opened and closed on demand.

    Args:
        device: ALSA's name, such as `plughw:CARD=sndrpihifiberry`.
        post: takes each event; called on the card's thread.
        pcm: opens the device; tests give a simulator, whose time is not ours.
        turn_s: how often the open card is looked at.
        now_s: reads the clock by which the card plays.
    """

    def __init__(
        self,
        *,
        device: str,
        post: Callable[[Event], None],
        pcm: Callable[..., Pcm] = Pcm,
        turn_s: float = TURN_S,
        now_s: Callable[[], float] = _now_s,
    ) -> None:
        self._device = device
        self._post = post
        self._pcm_class = pcm
        self._turn_s = turn_s
        self._verbs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._playout = Playout(post=post, now_s=now_s)
        self._wanted = False
        self._running = True
        self._retry_at_s = 0.0
        self._cause = ""
        self.turns = 0
        self._at_work = False
        self._thread = threading.Thread(target=self._run, name="card", daemon=True)
        self._thread.start()

    @property
    def owes(self) -> bool:
        """Whether the thread has to come round: it does so every 10 ms while the card is open, every second before."""
        return self._wanted or self._at_work or not self._verbs.empty()

    # Verbs: any thread.

    def open(self) -> None:
        """Run silence: `CardOpened`, or `CardFailed` once a cause while it is tried again every second."""
        self._verbs.put(self._open_wanted)

    def close_card(self) -> None:
        """Stop at once and give the device back; what sounds ends incomplete, what is held stays."""
        self._verbs.put(self._close_wanted)

    def lane(self, token: int) -> Lane:
        """A fresh lane, pushed to by one thread; forgotten when its item has ended, or by `silence` or its `clear`."""
        lane = Lane(token=token, cleared=lambda token: self._verbs.put(partial(self._playout.forget, token)))
        self._verbs.put(partial(self._playout.add, lane))
        return lane

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
        """Let this lane sound: `SoundStarted`, at last `SoundEnded` or `SoundHeld`. Replaces what sounds.

        A fresh lane begins with its first sample; one that was held goes on with the next, faded in over 10 ms.

        Args:
            token: a lane that was asked for; unknown ones are ignored.
            gain_percent: linear amplitude, 0 to 100; at 100 the samples stay as they are.
            max_samples: cut here, faded over the last 10 ms; what is left out counts as well.
            at_mono_s: when the lane's first sample is to sound, however late its beginning: silence until then, or so
                much left out as it is late. From there on the card's drift is corrected. None: at once, and every
                sample as it is.
            until_mono_s: cut here as well, with a fade before it.
            paced: begun at once; from its first sample on the card's drift is corrected.
        """
        order = partial(self._playout.sound, token, gain_percent, max_samples, at_mono_s, until_mono_s, paced=paced)
        self._verbs.put(order)

    def set_gain(self, token: int, gain_percent: int) -> None:
        """Another gain for what sounds, over 10 ms. What the card already holds (600 ms) keeps the old one."""
        self._verbs.put(partial(self._playout.set_gain, token, gain_percent))

    def hold(self, token: int) -> None:
        """Silent over 10 ms, what has not sounded kept: `SoundHeld`, after which `sound` goes on.

        An item that has not begun, or would end within the fade, is answered by its `SoundEnded`, as is one held on
        top of three others. Unknown tokens are ignored.
        """
        self._verbs.put(partial(self._playout.hold, token))

    def silence(self, token: int) -> None:
        """Nothing more of this lane but a fade of 10 ms, not even what the card holds.

        `SoundEnded` follows if `sound` was called; for a held lane too, then with the loudness of nothing.
        """
        self._verbs.put(partial(self._playout.silence, token))

    def close(self) -> None:
        """End the thread; the device is closed first. Idempotent, waits at most 2 s."""
        self._verbs.put(self._stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_TIMEOUT_S)

    # The card's thread.

    def _run(self) -> None:
        while self._running:
            try:
                self._obey()
                self.turns += 1
                if self._playout.open:
                    self._turn()
                elif self._wanted and _now_s() >= self._retry_at_s:
                    self._open()
            except AlsaError as error:
                self._lost(error.strerror or str(error))

    def _obey(self) -> None:
        """Wait for a verb as long as the card allows, then perform all that wait. Raises AlsaError."""
        closed_s = max(0.0, self._retry_at_s - _now_s()) if self._wanted else None
        try:
            self._at_work = False
            verb = self._verbs.get(timeout=self._turn_s if self._playout.open else closed_s)
            self._at_work = True
            verb()
            while not self._verbs.empty():
                self._verbs.get_nowait()()
        except Empty:
            return

    def _turn(self) -> None:
        if self._playout.turn() > STALL_TURNS:
            self._lost(f"{self._device}: takes no samples any more")

    def _open_wanted(self) -> None:
        self._wanted = True
        self._retry_at_s = 0.0
        if self._playout.open:
            self._post(CardOpened())

    def _close_wanted(self) -> None:
        self._wanted = False
        self._cause = ""
        self._playout.close()

    def _stop(self) -> None:
        self._close_wanted()
        self._running = False

    # The device.

    def _open(self) -> None:
        """Raises AlsaError."""
        pcm = self._pcm_class(
            device=self._device,
            rate_hz=RATE_HZ,
            period_samples=PERIOD_SAMPLES,
            buffer_samples=BUFFER_SAMPLES,
            start_samples=SILENCE_AHEAD_SAMPLES,
        )
        self._playout.opened(pcm)
        self._playout.turn()
        self._cause = ""
        _log.info("sound card %s is open", self._device)
        self._post(CardOpened())

    def _lost(self, cause: str) -> None:
        """First what is the matter, then what ends for it."""
        self._retry_at_s = _now_s() + RETRY_S
        if cause != self._cause:
            self._cause = cause
            self._post(CardFailed(detail=cause))
        self._playout.close(lost=True)
