"""How a command of `loa-agent` ends (docs/endings.md)."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
REFUSED: Final = 3
BUG: Final = 70
"""EX_SOFTWARE of sysexits.h: `run` met an exception that nobody foresaw. What hangs ends it with 75 (core.life)."""


class CommandError(Exception):
    """The command cannot do its work; one sentence says why, and names the way out. Exit code `FAILED`."""
