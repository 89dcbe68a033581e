"""Two sound cards 100 ppm apart, half an hour later: simulated, since no sound server lets a clock run wrong."""

from collections.abc import Callable, Sequence

from bench.budget import Budgets
from rig.half_an_hour import lateness_each_minute_ms
from rig.simulated_pcm import SimulatedPcm

MINUTES = 30
PPM = 100.0
STEP_SAMPLES = 1_920
BUDGET_MS = 3.0


def run(lateness_ms: Callable[[SimulatedPcm, int], Sequence[float]] = lateness_each_minute_ms) -> None:
    """Print how far apart they are at the start, at worst and at the end, and where they would be uncorrected.

    Raises:
        MissedError: they were too far apart at worst.
    """
    budgets = Budgets()
    right, wrong = (lateness_ms(SimulatedPcm(ppm=ppm, step_samples=STEP_SAMPLES), MINUTES) for ppm in (0.0, PPM))
    apart_ms = [abs(ours - theirs) for ours, theirs in zip(right, wrong, strict=True)]
    uncorrected_ms = MINUTES * 60 * PPM / 1_000
    print(f"\nsound cards {PPM:.0f} ppm apart, {MINUTES} min of one item, simulated time (budget {BUDGET_MS} ms)")
    print(f"  apart at the start {apart_ms[0]:.2f} ms, at worst {max(apart_ms):.2f}, at the end {apart_ms[-1]:.2f}")
    print(f"  {uncorrected_ms:.0f} ms if nothing were corrected")
    print(f"  {budgets.hold('at worst', max(apart_ms), BUDGET_MS)}")
    budgets.settle()
