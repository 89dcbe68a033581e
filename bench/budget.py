"""Budgets (design section 8): what is measured is held against them, and a part that misses one has failed."""

import statistics
from collections.abc import Sequence


class UnsoundError(Exception):
    """The figures were printed, and are worth little: the sound had gaps, or did not come."""


class MissedError(UnsoundError):
    """The figures are good, and not good enough: a budget was missed."""


class Budgets:
    """Those of one part: each is told where it is looked at, and all that are missed fail the part at its end."""

    def __init__(self) -> None:
        self._missed: list[str] = []

    def hold(self, what: str, got: float, most: float, unit: str = "ms") -> str:
        """Whether it was held, in words to print."""
        told = f"{what} {got:.2f} {unit}, budget {most:g}: {'held' if got <= most else 'MISSED'}"
        if not got <= most:  # also what is no number
            self._missed.append(told)
        return told

    def settle(self) -> None:
        """Raises MissedError where one was missed."""
        if self._missed:
            raise MissedError("; ".join(self._missed))


def p95(values: Sequence[float]) -> float:
    """So much nineteen of twenty take at the most."""
    return sorted(values)[max(0, round(0.95 * len(values)) - 1)]


def p50_p95(values: Sequence[float]) -> str:
    """Both, in columns."""
    return f"{statistics.median(values):7.1f} {p95(values):7.1f}"
