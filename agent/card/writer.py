"""The open device as a place to write at: position, what is queued, and when a sample written now will sound.

Belongs to the card's thread. Positions count the samples written since the card was opened, less those that were
thrown away before they sounded. Times are CLOCK_BOOTTIME in s.
"""

from collections.abc import Callable

from agent.card.alsa import Pcm, UnderrunError
from agent.card.drift import CardClock
from agent.card.lane import BYTES_A_SAMPLE, PERIOD_SAMPLES, RATE_HZ

BUFFER_SAMPLES = 33_600
"""700 ms: what the card holds at most. One that cannot hold so much is used with what it has."""
SILENCE_AHEAD_SAMPLES = 960
"""20 ms: the wait for the first sample of an item. A card that runs dry on it is given 10 ms more each time."""
SILENCE_AHEAD_MAX_SAMPLES = 4_800
"""100 ms: a card that needs more has another fault."""
PROGRAMME_AHEAD_SAMPLES = 28_800
"""600 ms: longer than this process, or the machine below it, stands still on a bad day."""


class Writer:
    """One device from `open` to `close`.

    Args:
        pcm: the device, just opened.
        now_s: reads the clock.
        clock: what is known of the card's own; begun anew.
    """

    def __init__(self, pcm: Pcm, now_s: Callable[[], float], clock: CardClock) -> None:
        self._pcm = pcm
        self._now_s = now_s
        self.clock = clock
        self.clock.restart()
        self.silence_ahead = SILENCE_AHEAD_SAMPLES
        self.programme_ahead = min(PROGRAMME_AHEAD_SAMPLES, pcm.buffer_samples - PERIOD_SAMPLES)
        self.written = 0
        self.queued = 0
        self.position = 0
        """What has sounded, at the least."""
        self.still_turns = 0
        """Looks in a row at which nothing had moved."""
        self.looked_s = now_s()
        self._unwritten = b""
        self._edge_s = self.looked_s

    @property
    def edge_s(self) -> float:
        """When a sample written next will sound, by the newest look."""
        return self._edge_s

    @property
    def sounds_at_s(self) -> float:
        """When a sample written next will sound, by the best that is known of the card's clock."""
        late_s = self.lateness_s(0.0)
        return self._edge_s if late_s is None else late_s

    def lateness_s(self, at_s: float, *, line: bool = False) -> float | None:
        """How much later than `at_s` a sample written next will sound; negative if earlier.

        Args:
            at_s: the instant it belongs to.
            line: by a minute's line or not at all (None).
        """
        origin_s = self.clock.line_s(self.looked_s) if line else self.clock.origin_s(self.looked_s)
        return None if origin_s is None else origin_s + self.written / RATE_HZ - at_s

    def look(self) -> None:
        """Read where the card is. Raises UnderrunError, AlsaError."""
        self.queued, delay = self._pcm.look()
        self.looked_s = self._now_s()
        delay = max(delay, self.queued)  # a plug-in that has just begun says 0
        self._edge_s = self.looked_s + delay / RATE_HZ
        position = self.written - delay
        self.still_turns = 0 if position > self.position else self.still_turns + 1
        self.position = max(self.position, position)
        if self.still_turns == 0:
            self.clock.observe(self.looked_s, self._edge_s - self.written / RATE_HZ)

    def put(self, samples: bytes) -> None:
        """What `flush` writes next; only where it has said that there is nothing left."""
        self._unwritten = samples

    def flush(self) -> bool:
        """Write what was put. False while the card has no room for the rest of it. Raises UnderrunError, AlsaError."""
        if self._unwritten:
            taken = self._pcm.write(self._unwritten)
            self._unwritten = self._unwritten[taken * BYTES_A_SAMPLE :]
            self.written += taken
            self.queued += taken
            self._edge_s += taken / RATE_HZ
        return not self._unwritten

    def recover(self, *, in_silence: bool) -> None:
        """After an underrun: all that was written has sounded.

        Raises:
            AlsaError: it was none. A card behind PulseAudio that is gone says so at first; what it held is lost.
        """
        self._restart()
        self.position = self.written
        if in_silence:
            self.silence_ahead = min(self.silence_ahead + PERIOD_SAMPLES, SILENCE_AHEAD_MAX_SAMPLES)

    def cut(self) -> None:
        """Throw away what has not sounded; `position` and `written` are where that begins. Raises AlsaError.

        What has left the buffer for the converter sounds all the same.
        """
        self._drop()
        self.written, self._unwritten = self.position, b""
        self._restart()

    def close(self, *, lost: bool) -> None:
        """Stop at once and give the device back. Raises AlsaError if it was gone; it is closed all the same.

        One that is `lost` is asked nothing more: what was last known to have sounded stands, and what it held is gone.
        """
        try:
            if not lost:
                self._drop()
        finally:
            self._pcm.close()

    def _drop(self) -> None:
        try:
            self.look()
            self.position = max(self.position, self.written - self.queued)
        except UnderrunError:
            self.position = self.written
        self._pcm.drop()

    def _restart(self) -> None:
        self._pcm.prepare()
        self.queued = 0
        self.looked_s = self._edge_s = self._now_s()
        self.clock.restart()
