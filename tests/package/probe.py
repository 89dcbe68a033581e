"""Run in place of the agent, in its sandbox: says as JSON what it can do there."""

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Timex(ctypes.Structure):
    """The beginning of struct timex."""

    _fields_ = (("modes", ctypes.c_uint), ("room", ctypes.c_char * 512))


def attempt(act: Callable[[], object]) -> str:
    """`ok`, or the error's name."""
    try:
        act()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "ok"


def adjtimex(modes: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.adjtimex(ctypes.byref(Timex(modes))) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")


def step_child_back() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            os.setpriority(os.PRIO_PROCESS, child.pid, 10)
            Path(f"/proc/{child.pid}/oom_score_adj").write_text("900")
        finally:
            child.kill()


def make_namespace() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(0x40000000) < 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "unshare")


def main() -> None:
    told = {
        "ask the kernel for its clock": attempt(lambda: adjtimex(0)),
        "change the kernel's clock": attempt(lambda: adjtimex(0x4000)),
        "set the clock": attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
        "step a child back": attempt(step_child_back),
        "step forward": attempt(lambda: os.nice(-1)),
        "write state": attempt(lambda: Path("/var/lib/loa/probe").write_text("")),
        "write runtime": attempt(lambda: Path("probe").write_text("")),
        "write configuration": attempt(lambda: Path("/etc/loa/probe").write_text("")),
        "write the kept package": attempt(lambda: Path("/var/cache/loa/previous.deb").write_text("")),
        "write the program": attempt(lambda: Path("/usr/lib/loa/probe").write_text("")),
        "make a namespace": attempt(make_namespace),
        "look into homes": attempt(lambda: list(Path("/root").iterdir())),
        "boot id": attempt(lambda: Path("/proc/sys/kernel/random/boot_id").read_text()),
        "load": attempt(lambda: Path("/proc/loadavg").read_text()),
    }
    devices = sorted(each.name for each in Path("/dev").iterdir())
    sys.stdout.write(json.dumps({"told": told, "devices": devices, "umask": os.umask(0)}))


main()
