"""How loud something was, and how long: counted at the sound card."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Loudness:
    """What left the card: samples (48 kHz), their RMS and peak in dBFS (None for digital silence), underruns."""

    samples: int = 0
    rms_dbfs: float | None = None
    peak_dbfs: float | None = None
    underruns: int = 0


NO_SOUND: Final = Loudness()
