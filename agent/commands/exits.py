"""How a command of `loa-agent` ends. A bug ends `run` with 70, what hangs with 75 (core.life)."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
REFUSED: Final = 3


class CommandError(Exception):
    """The command cannot do its work; one sentence says why, and names the way out. Exit code `FAILED`."""
