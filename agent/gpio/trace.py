"""The trace of a simulated board: each change of a line's level, so that it outlives the process as a relay does.

A line is `SECONDS ZONE gpioN LEVEL on|off`, seconds of CLOCK_BOOTTIME. Imports little: `let_go` is in a hurry.
"""

import os
import time

TAIL_BYTES = 4_096
"""How far back a board looks for the level it was left at: some 80 changes."""
_COLUMNS = 5


def levels_left(path: str) -> dict[int, bool]:
    """The last level of each line in the trace; a line that is not there is unknown. Raises OSError."""
    if not os.path.exists(path):  # noqa: PTH110 - pathlib takes longer than all the rest
        return {}
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        rows = [row.split() for row in file.read().decode("ascii", "replace").splitlines()]
    return {
        int(row[2].removeprefix("gpio")): row[3] == "1"
        for row in rows
        if len(row) == _COLUMNS and row[2].startswith("gpio") and row[2].removeprefix("gpio").isdecimal()
    }


def note(path: str, zone: str, gpio: int, *, level: bool, on: bool) -> None:
    """One change. Raises OSError."""
    at_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    with open(path, "a", encoding="ascii") as trace:  # noqa: PTH123 - as above
        trace.write(f"{at_s:.6f} {zone} gpio{gpio} {int(level)} {'on' if on else 'off'}\n")
