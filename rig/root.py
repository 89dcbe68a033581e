"""Programs of the system that need root: mounts, disks, networks."""

import subprocess
from typing import Final

LET_GO_OF_DISKS: Final = "awk '$1 ~ \"^/dev/loop\" {print $2}' /proc/self/mounts | xargs -r umount --lazy"
"""For a shell in a new mount namespace, which has a copy of every mount: another test's disk would live on in it
once its power is cut, and come back broken."""


def run(*command: str, good: tuple[int, ...] = (0,)) -> str:
    """Run a program to its end; what it printed.

    Raises:
        OSError: its exit code is not among `good`; the message has what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise OSError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
