"""The result beside what was dropped, for a person with a laptop: both languages, so that Notepad shows it.

Called by one command, on its only thread.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from agent.provisioning.folders import sync

FILE_NAME: Final = "loa-result.txt"
_FRESH: Final = ".loa-result.new"
_MARK: Final = b"\xef\xbb\xbf"
"""By this Notepad knows UTF-8."""


def write(folder: Path, lines: Iterable[str]) -> None:
    """Replace the result. Raises OSError: also where the partition takes nothing."""
    fresh = folder / _FRESH
    with fresh.open("wb") as file:
        file.write(_MARK + "".join(f"{line}\r\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(folder / FILE_NAME)
    sync(folder)
