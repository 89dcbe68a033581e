"""How far the programme has come, as one process leaves it to the next of the same boot (design invariant 8).

Not believed more than it says: an item sounds because the store has its order, this tells only where it goes on.
"""

from typing import Final

import msgspec

from agent.messages.loudness import Loudness
from agent.messages.memory import StoredLedger
from agent.messages.reports import PlayRecord


class Begun(msgspec.Struct, frozen=True):
    """One order or slot that has begun: `round`, `source`, `used`, `from_s`, `live_samples`, `begun` as its item's.

    `interrupted` if it was on the air and had been heard, or was left so by the process before; `first` if it goes on
    before all that waits; `at_risk` if it was about to sound or sounded, so that a crash may have been its doing;
    `crashes` how many were before. `start_s` and `started_at` are Unix seconds, `not_before_s` is CLOCK_BOOTTIME.
    """

    item: str
    iss: str
    jti: str
    round: int
    source: int
    used: int
    from_s: float
    live_samples: int
    heard: Loudness
    amplifier_on_s: float
    first: bool
    begun: bool
    interrupted: bool
    at_risk: bool
    crashes: int
    not_before_s: float | None
    start_s: float | None
    started_at: float | None


class Progress(msgspec.Struct, frozen=True):
    """What has begun, what is over but perhaps not on the disk, and what the caps have counted."""

    begun: tuple[Begun, ...] = ()
    over: tuple[PlayRecord, ...] = ()
    ledger: StoredLedger | None = None


NO_PROGRESS: Final = Progress()
