"""The time that a chip with its own battery has kept while the power was cut (rtc(4)), read once at start.

Owner thread: the loop. The kernel shows the chip as a file, which cannot be read where the driver knows that
the battery has failed; whether to believe what it says, the core decides by the floor.
"""

import logging
import time
from pathlib import Path
from typing import Final

from agent.messages.events import ClockFound

CHIPS: Final = Path("/sys/class/rtc")
HALF_S: Final = 0.5
"""The chip tells whole seconds: on average half of one has passed."""
EVIDENCE: Final = "rtc"

_log = logging.getLogger(__name__)


def read_chip(name: str, *, chips: Path = CHIPS) -> ClockFound | None:
    """What the chip `name` (`rtc0`) says; None, and a line in the log, if it says nothing."""
    try:
        since_epoch_s = int((chips / name / "since_epoch").read_text("ascii"))
    except (OSError, ValueError) as error:
        _log.warning("clock.rtc: %s tells no time (%s): is it fitted, and its battery good?", name, error)
        return None
    return ClockFound(since_epoch_s + HALF_S - time.clock_gettime(time.CLOCK_BOOTTIME), EVIDENCE)
