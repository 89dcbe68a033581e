"""The machine's health, from /proc and /sys alone.

Owner thread: the loop; a measurement is a few reads of files that the kernel makes up on the spot, 0.1 ms in all.
What the machine does not say is None, never a guess.
"""

import os
from pathlib import Path

from agent.messages.events import VitalsMeasured

MEGABYTE = 1_000_000
MEBIBYTE = 1_048_576
MILLIDEGREES = 1_000


class Vitals:
    """Processor temperature, our resident memory, load, and what is left of the disk with our state."""

    def __init__(self, *, disk: Path, root: Path = Path("/")) -> None:
        """`disk` is any path on the file system to watch; `root` is where proc/ and sys/ are."""
        self._disk = disk
        self._proc = root / "proc"
        self._thermometer = _thermometer(root / "sys/class/thermal")

    def measure(self) -> VitalsMeasured:
        """`rss_mb` is 0.0 and `load` 0.0 where /proc is hidden; `disk_free_mb` is 0 where the disk is gone."""
        return VitalsMeasured(
            cpu_c=self._cpu_c(), rss_mb=self._rss_mb(), load=self._load(), disk_free_mb=self._disk_free_mb()
        )

    def _cpu_c(self) -> float | None:
        if self._thermometer is None:
            return None
        reading = _first_line(self._thermometer)
        return int(reading) / MILLIDEGREES if reading.lstrip("-").isdecimal() else None

    def _rss_mb(self) -> float:
        columns = _first_line(self._proc / "self/statm").split()
        return round(int(columns[1]) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE, 1) if len(columns) > 1 else 0.0

    def _load(self) -> float:
        columns = _first_line(self._proc / "loadavg").split()
        return float(columns[0]) if columns else 0.0

    def _disk_free_mb(self) -> int:
        try:
            disk = os.statvfs(self._disk)
        except OSError:
            return 0
        return disk.f_bavail * disk.f_frsize // MEGABYTE


def _thermometer(zones: Path) -> Path | None:
    """The processor's thermal zone; machines with several name it, a Raspberry Pi has but one."""
    found = sorted(zones.glob("thermal_zone*"))
    named = [zone for zone in found if "cpu" in _first_line(zone / "type")]
    chosen = (named or found)[:1]
    return chosen[0] / "temp" if chosen else None


def _first_line(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").partition("\n")[0].strip()
    except OSError:
        return ""
