"""What every machine under systemd-nspawn needs: cgroups of its own, its first process, a way in. Needs root."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from rig.sound import wait_until

END_WAIT_S: Final = 120.0
HIERARCHIES: Final = tuple(
    path
    for path in (Path("/sys/fs/cgroup", name) for name in ("", "systemd", "unified"))
    if (path / "cgroup.procs").exists()
)
"""The unified hierarchy, or the two that systemd uses where there are several."""
KEPT_FROM_COMMANDS: Final = "-sys_time,-sys_module,-sys_boot,-sys_rawio"
"""A program entered from outside has this machine's rights: it shall not set its clock."""
ENVIRONMENT: Final = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb")


class Cgroups:
    """Where one machine's processes are: two machines in one place would share systemd's own groups."""

    def __init__(self, name: str) -> None:
        self._places = [root / name for root in HIERARCHIES]

    def around(self, *command: str) -> list[str]:
        """The same command, which begins in them. They are made."""
        for place in self._places:
            place.mkdir(exist_ok=True)
        enter = 'for at in $0; do echo $$ >"$at/cgroup.procs"; done; exec "$@"'
        return ["sh", "-c", enter, " ".join(map(str, self._places)), *command]

    def remove(self) -> None:
        """Wait for the end of the last process, and take them away. Raises TimeoutError."""
        wait_until(self._gone, what="the end of the machine's processes", timeout_s=END_WAIT_S)

    def _gone(self) -> bool:
        for place in self._places:
            for folder, _, _ in os.walk(place, topdown=False):
                with suppress(OSError):  # a process is left in it
                    Path(folder).rmdir()
        return not any(place.exists() for place in self._places)


def first_process(pid: int) -> int:
    """The machine's systemd, below this process, as this machine numbers it; 0 while there is none."""
    with suppress(OSError):  # who comes before it comes and goes
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
            if found := first_process(int(child)):
                return found
    return 0


def inside(first: int, *command: str) -> list[str]:
    """The same command, run by root in the machine of this first process."""
    enter = ["nsenter", f"--target={first}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]
    prepare = ["env", "--chdir=/", "-i", *ENVIRONMENT]
    return ["setpriv", f"--bounding-set={KEPT_FROM_COMMANDS}", "--", *enter, "--", *prepare, *command]
