"""Sounds of the node's own on their way into a lane. Part of player, and on its thread."""

from agent.decoders.decoding import BYTES_A_SAMPLE, RATE_HZ, Lane

CYCLE_LEAD_SAMPLES = 2 * RATE_HZ
"""Siren and tone are kept 2 s ahead, as libVLC keeps what it decodes."""
CYCLE_CHUNK_BYTES = 9_600
"""100 ms: small enough to keep the lane near its lead."""


class Synthesis:
    """A sound of the node's own, once or for as long as it is wanted; no libVLC.

    Begins at sample `first`, of an endless one's cycle modulo its length.
    """

    def __init__(self, *, lane: Lane, pcm: bytes, endless: bool, first: int) -> None:
        self.lane = lane
        self.endless = endless
        self._pcm = pcm
        self._paused = False
        self._at = first * BYTES_A_SAMPLE % len(pcm) if endless else first * BYTES_A_SAMPLE

    def pause(self) -> None:
        """An endless one is fed no more; what is there once is in the lane already."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False

    @property
    def hungry(self) -> bool:
        """Whether it is to be fed again and again."""
        return self.endless and not self._paused

    def feed(self) -> None:
        """Fill the lane: up to its lead, or with all there is."""
        while self._at < len(self._pcm) and not (self.endless and self.lane.available() >= CYCLE_LEAD_SAMPLES):
            self.lane.push(self._pcm[self._at : self._at + CYCLE_CHUNK_BYTES])
            self._at += CYCLE_CHUNK_BYTES
            if self.endless and self._at >= len(self._pcm):
                self._at = 0
        if not self.endless:
            self.lane.end()

    def release(self) -> None:
        """Nothing to give back."""
