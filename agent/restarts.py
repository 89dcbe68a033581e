"""How often the agent has ended badly of late, and how long the next one waits for it: in a file under /run.

systemd's own growing delay (RestartSteps, from 254 on; Debian 12 has 252) never becomes short again: after a few bad
minutes in spring an emergency that is interrupted in autumn would wait as long. Here a quiet while begins the count
anew, and so does a reboot. Owner: the main thread, before the loop and after it.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE_NAME: Final = "restarts.json"
WAITS_S: Final = (0.0, 0.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""By how many lives in a row have ended badly, beside the unit's RestartSec: the first is followed at once, so that
what it interrupted goes on. The longest and a slow start stay below the unit's TimeoutStartSec (60 s)."""
CALM_S: Final = 600.0
"""A life so long is a good one, however it ended."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Past:
    """`bad` lives in a row, the last of which began at `began_s` (CLOCK_BOOTTIME)."""

    bad: int = 0
    began_s: float = 0.0


class Restarts:
    """Kept in `folder`; without one (no systemd) nothing is counted and nobody waits."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / FILE_NAME

    def begin(self, now_s: float) -> tuple[int, float]:
        """A life begins, to be taken for a bad one until it says otherwise.

        Returns:
            How many in a row before it ended badly, and how long it has to wait, in s.
        """
        if self._file is None:
            return 0, 0.0
        past = _read(self._file)
        bad = past.bad if 0.0 <= now_s - past.began_s < CALM_S else 0
        wait_s = WAITS_S[min(bad, len(WAITS_S) - 1)]
        self._keep(_Past(bad + 1, now_s + wait_s))
        return bad, wait_s

    def end_well(self) -> None:
        """This life was told to end."""
        if self._file is not None:
            self._keep(_Past())

    def _keep(self, past: _Past) -> None:
        assert self._file is not None, "who has none keeps nothing"
        fresh = self._file.with_name(f"{FILE_NAME}.new")
        try:
            fresh.write_text(json.dumps([past.bad, past.began_s]), "ascii")
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("how often the agent has restarted cannot be kept: %s", error)


def _read(file: Path) -> _Past:
    try:
        bad, began_s = json.loads(file.read_text("ascii"))
        return _Past(int(bad), float(began_s))
    except (OSError, ValueError, TypeError, OverflowError):
        return _Past()
