"""The time as the kernel has it."""

import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from agent.clock import Clock
from agent.core import timekeeping as tk


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
    now = Clock(always_trusted=True).read()
    assert (now.synchronised, now.vouched, Clock(always_trusted=False).read().vouched) == (True, True, False)


def test_the_kernels_opinion_is_the_kernels() -> None:
    """Against util-linux or systemd there is nothing to compare with everywhere: a second process asks by itself."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_KERNEL], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
    assert Clock(always_trusted=False).read().synchronised is (asked == "synchronised")


@dataclass
class SteppedKernel:
    """As clock_settime(2) does it: the clock is set and its synchronisation forgotten in one call."""

    boot: float = 1_000.0
    wall: float = 1_790_000_000.0
    synchronised: bool = True
    asked: int = 0
    set_at_read: int = 0
    """At which reading of the wall, from the next on, it is set, just before; 0: at none."""

    def boot_s(self) -> float:
        return self.boot

    def wall_s(self) -> float:
        self.set_at_read -= 1
        if self.set_at_read == 0:
            self.set(86_400.0)
        return self.wall

    def is_synchronised(self) -> bool:
        self.asked += 1
        return self.synchronised

    def set(self, by_s: float) -> None:
        self.wall += by_s
        self.synchronised = False

    def goes_on(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds


def test_it_asks_the_kernel_once_a_second_while_nothing_is_set() -> None:
    kernel = SteppedKernel()
    clock = Clock(always_trusted=False, kernel=kernel)
    for _ in range(100):
        assert clock.read().synchronised
        kernel.goes_on(0.05)
    assert kernel.asked == 5


@pytest.mark.parametrize("by_s", [-0.2, 0.2, -3_600.0, 10 * 365 * 86_400.0])
def test_a_wall_clock_that_was_set_is_not_believed_for_the_rest_of_the_second(by_s: float) -> None:
    kernel = SteppedKernel()
    clock = Clock(always_trusted=False, kernel=kernel)
    clock.read()
    kernel.goes_on(0.01)
    kernel.set(by_s)
    now = clock.read()
    assert (now.wall_s, now.synchronised) == (kernel.wall, False)
    kernel.synchronised = True  # a time server has set it, and says so
    kernel.goes_on(1.0)
    assert clock.read().synchronised


@pytest.mark.parametrize("turn", range(1, 30))
def test_nor_where_it_is_set_while_it_is_read(turn: int) -> None:
    """Asked first and read afterwards, the kernel's word would be about a clock that is no more."""
    kernel = SteppedKernel(set_at_read=turn)
    clock = Clock(always_trusted=False, kernel=kernel)
    for _ in range(30):
        now = clock.read()
        assert not (now.synchronised and now.wall_s - now.mono_s > 1_790_000_000.0)
        kernel.goes_on(0.1)


def test_nor_does_the_node_believe_it() -> None:
    """With the core behind it: a step of ten years without evidence changes nothing."""
    kernel = SteppedKernel()
    clock = Clock(always_trusted=False, kernel=kernel)
    known = tk.observe(tk.Timekeeping(floor_s=1_789_000_000), clock.read())
    kernel.goes_on(0.2)
    kernel.set(10 * 365 * 86_400.0)
    for _ in range(20):
        now = clock.read()
        known = tk.observe(known, now)
        assert tk.trusted_s(known, now) == pytest.approx(1_790_000_000.0, abs=10.0)
        kernel.goes_on(0.2)


ASK_THE_KERNEL = """
import ctypes
words = (ctypes.c_long * 64)()
ctypes.CDLL(None).adjtimex(words)
status = ctypes.cast(ctypes.byref(words, 5 * ctypes.sizeof(ctypes.c_long)), ctypes.POINTER(ctypes.c_int))[0]
print("unsynchronised" if status & 0x40 else "synchronised")
"""
