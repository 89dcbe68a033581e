"""Soundings of a repeated item on the clock that all nodes share: when the next one begins, and which is due by now."""

from dataclasses import replace
from typing import Final

from agent.core.items import SAMPLE_RATE, Item

COMMON_GAP_S: Final = 1.0
"""Least pause between soundings that began on a common instant: time to decode, so that all nodes are ready again."""


def following(item: Item) -> Item:
    """The item with its next sounding before it, which may begin at any time."""
    return replace(
        item,
        round=item.round + 1,
        source=0,
        used=0,
        live_samples=0,
        from_s=0.0,
        pre_empted=False,
        begun=False,
        interrupted=False,
        tries=0,
        dead=frozenset(),
        start_s=None,
        not_before_s=float("-inf"),
    )


def next_start_s(item: Item, gap_s: float) -> float | None:
    """Nodes that began together go on together: the next sounding is counted from the end of this one.

    That is the lane's, as all have it: what this node left out of it, or heard at its card's pace, makes no difference.
    """
    if item.start_s is None:
        return None
    return item.start_s + item.from_s + item.used / SAMPLE_RATE + max(gap_s, COMMON_GAP_S)


def due(item: Item, length_s: float, at_s: float) -> Item | None:
    """The item at the first sounding after the present one that is not over at that instant (Unix seconds).

    None if all are over. `length_s` is how long its source sounds, the chime of the first sounding left out.
    """
    length_s = min(length_s, float(item.play.max_duration_s))
    while item.start_s is not None and item.round + 1 < item.repeat.count:
        start_s = item.start_s + item.chime_s + length_s + max(item.repeat.gap_s, COMMON_GAP_S)
        item = replace(following(item), start_s=start_s)
        if at_s < start_s + length_s:
            return item
    return None
