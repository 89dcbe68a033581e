"""Processes that share so much memory and no more: a cgroup, of either version. Needs root.

Where it is full the kernel kills one of them, by its own choice (`oom_score_adj`), as it does where the unit's
MemoryMax is reached or a small machine has no more.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.sound import wait_until

ROOT: Final = Path("/sys/fs/cgroup")


class Memory:
    """While open, `add` puts processes in; what they start is in it too."""

    def __init__(self, limit_bytes: int) -> None:
        first = (ROOT / "memory/cgroup.procs").exists()
        self._folder = (ROOT / "memory" if first else ROOT) / f"loa-rig-memory-{os.getpid()}"
        self._limit = (self._folder / ("memory.limit_in_bytes" if first else "memory.max"), str(limit_bytes))

    def __enter__(self) -> Self:
        """Raises OSError: this machine does not let us limit memory."""
        self._folder.mkdir()
        file, limit = self._limit
        if not file.exists():
            self._folder.rmdir()
            raise OSError(f"no {file}: the memory controller is not enabled in {self._folder.parent}")
        file.write_text(limit)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        procs = self._folder / "cgroup.procs"
        for pid in procs.read_text().split():
            (self._folder.parent / "cgroup.procs").write_text(pid)
        wait_until(lambda: not procs.read_text(), what="the end of what shared the memory")
        self._folder.rmdir()

    def add(self, pid: int) -> None:
        """This process, with all its threads, and what it starts from now on."""
        (self._folder / "cgroup.procs").write_text(str(pid))
