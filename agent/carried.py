"""What one process hands to the next of the same boot, through files in the runtime folder: trusted time, and progress.

The kernel forgets after 9 h without a time server that its clock was synchronised, and a signed `time` it never knew.
CLOCK_BOOTTIME runs on while the machine does, so the offset to it stays true until the next boot, told by the boot id.
Owner thread: the loop. The folder is memory (/run): a reboot empties it, and nothing wears.
"""

import logging
from pathlib import Path
from typing import Final

from agent.messages import codec
from agent.messages.events import ClockFound
from agent.messages.progress import NO_PROGRESS, Progress

CLOCK_FILE: Final = "clock.json"
PROGRESS_FILE: Final = "progress.json"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""proc(5): drawn anew at each boot."""
MAX_EVIDENCE_CHARACTERS: Final = 40
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""A hundred items that have begun are a tenth of this; what is longer we have not written."""

_log = logging.getLogger(__name__)


class _BootFile:
    """A file whose first line says of which boot the rest is."""

    def __init__(self, file: Path, boot_id: Path) -> None:
        self._file = file
        self._boot_id = boot_id
        self._failing = False

    def read(self) -> bytes | None:
        """What an earlier process of this boot has written; None if it is not there, or of another boot."""
        try:
            if self._file.stat().st_size > MAX_FILE_BYTES:
                return None
            boot, _, rest = self._file.read_bytes().partition(b"\n")
            return rest if boot == self._boot() else None
        except OSError:
            return None

    def write(self, content: bytes) -> str:
        """Replace the file, whole or not at all. Returns what fails, once until it has worked again, else nothing."""
        fresh = self._file.with_name(f"{self._file.name}.new")
        try:
            fresh.write_bytes(self._boot() + b"\n" + content)
            fresh.replace(self._file)
        except OSError as error:
            failing, self._failing = self._failing, True
            return "" if failing else str(error)
        self._failing = False
        return ""

    def _boot(self) -> bytes:
        return self._boot_id.read_bytes().strip()


class CarriedClock:
    """Trusted time; whatever cannot be read is not there."""

    def __init__(self, *, folder: Path, boot_id: Path = BOOT_ID) -> None:
        self._file = _BootFile(folder / CLOCK_FILE, boot_id)

    def recall(self) -> ClockFound | None:
        """What was kept; whether to believe it, the core decides by the floor."""
        content = self._file.read()
        try:
            return None if content is None else codec.decode(content, ClockFound)
        except codec.WordError:
            return None

    def keep(self, offset_s: float, evidence: str) -> None:
        """Hand this on. A folder that fails costs the next process its trust, not this one."""
        failure = self._file.write(codec.encode(ClockFound(offset_s, evidence[:MAX_EVIDENCE_CHARACTERS])))
        if failure:
            _log.warning("the time cannot be handed on to the next process: %s", failure)


class CarriedProgress:
    """How far the programme has come: written once a second while something sounds, 0.1 ms each."""

    def __init__(self, *, folder: Path, boot_id: Path = BOOT_ID) -> None:
        self._file = _BootFile(folder / PROGRESS_FILE, boot_id)

    def recall(self) -> Progress:
        """What the process before had told last; nothing after a power cut."""
        content = self._file.read()
        try:
            return NO_PROGRESS if content is None else codec.decode(content, Progress)
        except codec.WordError as error:
            _log.warning("where the programme was cannot be read: %s", error)
            return NO_PROGRESS

    def keep(self, progress: Progress) -> None:
        """Hand this on. A folder that fails costs an interrupted item its place, no more."""
        failure = self._file.write(codec.encode(progress))
        if failure:
            _log.warning("where the programme is cannot be handed on to the next process: %s", failure)
