"""A wall clock that can be set, for one process and what it starts: Debian's libfaketime. All else keeps its time.

Run as a program (`python -m rig.wall_clock COMMAND...`) it becomes COMMAND on a machine that no time server
has reached: the kernel refuses to say whether its clock is right, wherever this runs.
"""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

UNSYNCHRONISED: Final = (sys.executable, "-m", "rig.wall_clock")
"""Put before a command."""
_NUMBERS: Final = {"x86_64": (159, 305), "aarch64": (171, 266)}
"""Of adjtimex and clock_adjtime (asm/unistd.h)."""
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_SECCOMP_MODE_FILTER = 2
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
"""BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K (linux/bpf_common.h)."""
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0001
"""SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with EPERM."""


class WallClock:
    """What a process's wall clock shows, by its distance from the truth in s."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError: no libfaketime."""
        self._file = folder / "wall-clock"
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
        if library is None:
            raise FileNotFoundError("no libfaketime: apt install faketime")
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # its repair for an old glibc makes libVLC wait until 1970 is over
        }
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """From now on it is so much ahead, or behind where negative."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+d}\n")
        fresh.replace(self._file)


class _Program(ctypes.Structure):
    """struct sock_fprog (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _refuse_to_tell() -> None:
    numbers = _NUMBERS[platform.machine()]
    code = [(_LOAD, 0, 0, 0)]
    code += [(_JUMP_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    packed = b"".join(struct.pack("=HBBI", *each) for each in code)
    program = _Program(len(code), packed)
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value, pointer in ((_PR_SET_NO_NEW_PRIVS, 1, None), (_PR_SET_SECCOMP, 2, ctypes.byref(program))):
        if libc.prctl(option, value, pointer, 0, 0):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


if __name__ == "__main__":
    _refuse_to_tell()
    os.execvp(sys.argv[1], sys.argv[1:])
