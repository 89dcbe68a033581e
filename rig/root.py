"""Programs of the system that need root: mounts, disks, networks."""

import subprocess


def run(*command: str, good: tuple[int, ...] = (0,)) -> str:
    """Run a program to its end; what it printed.

    Raises:
        OSError: its exit code is not among `good`; the message has what it said.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        raise OSError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
