"""Whether the last upgrade was taken back: what the way back leaves for the agent to tell (ADR 34).

Read once at start, on the caller's thread. Written by root outside the agent's sandbox (packaging/trial).
"""

from pathlib import Path
from typing import Final

FAILED_VERSION: Final = Path("/var/cache/loa/rolled-back")
MAX_VERSION_CHARACTERS: Final = 40
"""A Debian version of ours has a dozen; `state` goes over a 4G line at every connection."""


def failed_version(file: Path = FAILED_VERSION) -> str:
    """The version that did not get ready, empty if there is none, or nobody to say so."""
    try:
        return file.read_text("ascii", "replace").strip()[:MAX_VERSION_CHARACTERS]
    except OSError:
        return ""
