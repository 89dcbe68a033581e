"""The time as the kernel has it."""

import subprocess
import sys
import time

from agent.clock import Clock


def test_boot_time_and_wall_time_are_the_kernels() -> None:
    before_s, wall_before_s = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    now = Clock(always_trusted=False).read()
    after_s, wall_after_s = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    assert before_s <= now.mono_s <= after_s
    assert wall_before_s <= now.wall_s <= wall_after_s


def test_entropy_is_128_fresh_bits() -> None:
    clock = Clock(always_trusted=False)
    drawn = {clock.read().entropy for _ in range(64)}
    assert len(drawn) == 64
    assert max(drawn).bit_length() > 120
    assert max(drawn) < 2**128


def test_the_configuration_may_vouch_for_the_clock() -> None:
    assert Clock(always_trusted=True).read().synchronised is True


def test_the_kernels_opinion_is_the_kernels() -> None:
    """Against util-linux or systemd there is nothing to compare with everywhere: a second process asks by itself."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_KERNEL], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
    assert Clock(always_trusted=False).read().synchronised is (asked == "synchronised")


ASK_THE_KERNEL = """
import ctypes
words = (ctypes.c_long * 64)()
ctypes.CDLL(None).adjtimex(words)
status = ctypes.cast(ctypes.byref(words, 5 * ctypes.sizeof(ctypes.c_long)), ctypes.POINTER(ctypes.c_int))[0]
print("unsynchronised" if status & 0x40 else "synchronised")
"""
