"""Decoded samples on their way to the card, and the measures that all parts of the card share.

A `Lane` is shared by exactly two threads: its pusher (libVLC's, or the player's) and its taker (the card's writer).
A deque's `append` and `popleft` are atomic, each count has one writer, and the end is marked after the last push:
that is the whole of their agreement, no lock. No clock, no I/O here.
"""

from collections import deque
from collections.abc import Callable

RATE_HZ = 48_000
PERIOD_SAMPLES = 480
"""10 ms: one turn's worth, one fade."""
BYTES_A_SAMPLE = 2
LANE_MAX_SAMPLES = 6 * RATE_HZ
"""576 KB: 2 s of libVLC's lead, 2 s that it pushes after a pause, and a chime. More is a fault: dropped and counted."""


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
