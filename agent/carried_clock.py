"""Trusted time, handed from one process to the next of the same boot, through a file in the runtime folder.

The kernel forgets after 9 h without a time server that its clock was synchronised, and a signed `time` it never knew.
CLOCK_BOOTTIME runs on while the machine does, so the offset to it stays true until the next boot, told by the boot id.
Owner thread: the loop. The folder is memory (/run): a reboot empties it, and nothing wears.
"""

import json
import logging
from pathlib import Path
from typing import Final

from agent.messages.events import ClockFound

FILE_NAME: Final = "clock.json"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""proc(5): drawn anew at each boot."""
MAX_EVIDENCE_CHARACTERS: Final = 40

_log = logging.getLogger(__name__)


class CarriedClock:
    """The file `clock.json` in `folder`; whatever cannot be read or is of another boot is not there.

    Where the configuration vouches for the wall clock nothing is `kept`: that word may be taken back.
    """

    def __init__(self, *, folder: Path, kept: bool = True, boot_id: Path = BOOT_ID) -> None:
        self._kept = kept
        self._file = folder / FILE_NAME
        self._boot_id = boot_id

    def recall(self) -> ClockFound | None:
        """What an earlier process of this boot has kept; whether to believe it, the core decides by the floor."""
        try:
            document = json.loads(self._file.read_text("utf-8"))
            if document["boot"] != self._boot():
                return None
            return ClockFound(float(document["offset_s"]), str(document["evidence"])[:MAX_EVIDENCE_CHARACTERS])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def keep(self, offset_s: float, evidence: str) -> None:
        """Replace the file, whole or not at all. A disk that fails costs the next process its trust, not this one."""
        if not self._kept:
            return
        fresh = self._file.with_name(f"{FILE_NAME}.new")
        try:
            document = {"boot": self._boot(), "offset_s": offset_s, "evidence": evidence}
            fresh.write_text(json.dumps(document), "utf-8")
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("the time cannot be handed on to the next process: %s", error)

    def _boot(self) -> str:
        return self._boot_id.read_text("ascii").strip()
