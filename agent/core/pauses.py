"""Pauses between tries that grow: for the line, a relay, the sources of an emergency. Pure."""

from typing import Final

_MOST_DOUBLINGS: Final = 16
"""From any first pause on that is beyond every longest one; a week of tries would be more than a float holds."""


def grown_s(first_s: float, failures: int, longest_s: float) -> float:
    """The pause after so many failures before the last one: twice as long each time, up to the longest (s)."""
    return min(first_s * 2.0 ** min(failures, _MOST_DOUBLINGS), longest_s)
