"""What a process holds, from /proc, and whether it holds more after a long while (proc(5))."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

MOST_GROWTH_KIB: Final = 1_000_000 / 1_024
"""1 MB: the bound on what may be added after the warm-up."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Of one process at one moment. `files` are paths of any file system; pipes and the kernel's own are `others`."""

    at_s: float
    rss_kib: int
    anon_kib: int
    threads: int
    files: int
    sockets: int
    others: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Measured now.

        Raises:
            FileNotFoundError: there is no such process any more.
        """
        folder = Path(f"/proc/{pid}")
        status = dict(line.split(":", 1) for line in (folder / "status").read_text(encoding="ascii").splitlines())
        kinds = Counter(_kind(link) for link in (folder / "fd").iterdir())
        return cls(
            at_s=time.monotonic(),
            rss_kib=int(status["VmRSS"].split()[0]),
            anon_kib=int(status["RssAnon"].split()[0]),
            threads=int(status["Threads"]),
            files=kinds["files"],
            sockets=kinds["sockets"],
            others=kinds["others"],
        )

    def __str__(self) -> str:
        return (
            f"RSS {self.rss_kib / 1_024:.2f} MiB, anonymous {self.anon_kib / 1_024:.2f}; {self.threads} threads, "
            f"{self.files} files, {self.sockets} sockets, {self.others} other descriptors"
        )


def _kind(link: Path) -> str:
    try:
        target = str(link.readlink())
    except FileNotFoundError:  # closed since it was listed
        return "gone"
    if target.startswith("/"):
        return "files"
    return "sockets" if target.startswith("socket:") else "others"


COUNTED: Final = tuple(field.name for field in fields(Resources) if not field.name.endswith(("_s", "_kib")))


def growth_kib(warm: Sequence[Resources], later: Sequence[Resources], name: str) -> int:
    """How much more of this memory was held at worst, later than when it was warm: its highest over the highest."""
    return max(int(getattr(each, name)) for each in later) - max(int(getattr(each, name)) for each in warm)


def more(warm: Sequence[Resources], later: Sequence[Resources], name: str) -> int:
    """How many more of these were held, later than when it was warm."""
    return growth_kib(warm, later, name)
