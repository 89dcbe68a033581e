"""Whose turn it is on the air, and who takes it from whom.

`playout` marries the answer to amplifier, sound card and store. Only an emergency pre-empts, or what replaces an item;
what was pre-empted goes on where it was; emergencies take turns (protocol section 7).
"""

from collections.abc import Iterator
from typing import Final

from agent.core.items import Item
from agent.core.programme import Programme
from agent.core.stages import Attempt, Stage, is_slow

TURN_S: Final = 60.0
"""An emergency waits no longer than this for another one's sounding to end."""

PAUSE_S: Final = 60.0
"""A shorter pause between the soundings of an emergency is not filled with the ordinary programme."""

PREPARE_S: Final = 10.0
"""An item with a set start takes its turn so long before: its source is fetched, the card opened."""

FOLLOWS_S: Final = 0.1
"""What is set to start so soon after another has ended, or before, follows on its heels."""

DECODE_AHEAD_S: Final = 3.0
"""Before the set start: what a lane holds beside libVLC's lead."""


def next_up(programme: Programme, at_s: float, wall_s: float) -> Item | None:
    """Of what is neither on the air nor made ready, what has the next turn.

    Emergencies, then what was held, then the queue; but first whatever replaces what sounds or was held.
    """
    offset_s = wall_s - at_s
    held = [each.item for each in reversed(programme.aside) if each.stage is Stage.HELD]
    ready = [*held, *(item for item in programme.waiting if opens_s(item, offset_s) <= at_s)]
    emergencies = [item for item in ready if item.is_emergency]
    if emergencies:
        return min(emergencies, key=lambda item: (not _succeeds(programme, item), item.off_air_s))
    free = (item for item in ready if not is_kept_from(programme, item, at_s, offset_s))
    return min(free, key=lambda item: not _succeeds(programme, item), default=None)


def is_kept_from(programme: Programme, item: Item, at_s: float, offset_s: float) -> bool:
    """Whether an emergency keeps the air from it, in its pauses as well: from all ordinary items but its successor."""
    if item.is_emergency:
        return False
    return any(each.play.item not in item.replaces for each in _keeping(programme, at_s, offset_s))


def _keeping(programme: Programme, at_s: float, offset_s: float) -> Iterator[Item]:
    """Emergencies that pause for no longer than a moment, or are about to; or wait for their turn."""
    current = programme.current
    if current is not None and current.stage not in _UNHEARD and _pauses_shortly(current.item):
        yield current.item
    yield from (each.item for each in programme.aside if each.item.is_emergency and each.stage is Stage.HOLDING)
    waiting = (item for item in programme.waiting if item.is_emergency)
    yield from (item for item in waiting if opens_s(item, offset_s) <= at_s + PAUSE_S)


def _pauses_shortly(item: Item) -> bool:
    """Whether it is to sound again so soon that the pause before that is not filled."""
    prepared_s = 0.0 if item.start_s is None else PREPARE_S
    goes_on = item.is_emergency and item.round + 1 < item.repeat.count
    return goes_on and item.repeat.gap_s - prepared_s <= PAUSE_S


def _succeeds(programme: Programme, item: Item) -> bool:
    """Whether it replaces what is on the air, or was taken from it."""
    current = programme.current
    begun = {each.name for each in programme.aside} | ({current.name} if current is not None else set())
    return not begun.isdisjoint(item.replaces)


def opens_s(item: Item, offset_s: float) -> float:
    """The monotonic instant from which it may have a turn; `offset_s` is wall less monotonic time."""
    if item.elsewhere:
        return float("inf")
    if item.start_s is None:
        return item.not_before_s
    return max(item.not_before_s, item.start_s - PREPARE_S - offset_s)


_UNHEARD: Final = {Stage.FETCHING, Stage.FETCHED, Stage.DECODING}
"""What cannot sound yet has no right to its turn against an emergency that can."""


def takes_over(programme: Programme, item: Item, at_s: float) -> bool:
    """Whether it may take the air from what has it."""
    current = programme.current
    if current is None:
        return True
    if current.stage is Stage.ENDING:
        return False
    if current.name in item.replaces:
        return True
    if current.stage in _UNHEARD:
        return is_slow(current, at_s) or (item.is_emergency and not _keeps_turn(current, item))
    if not item.is_emergency:
        return False
    return not current.item.is_emergency or at_s >= turn_end_s(current, item)


def _keeps_turn(current: Attempt, item: Item) -> bool:
    """Whether it is this emergency's turn all the same: its source is there, and the other has had the air since.

    A relay that rests is no reason to go on with what has just sounded: it rests for both.
    """
    there = current.stage is Stage.DECODING or (current.stage is Stage.FETCHED and current.item.start_s is None)
    return there and current.item.is_emergency and item.off_air_s > current.item.off_air_s


def turn_end_s(current: Attempt, other: Item) -> float:
    """When an emergency on the air gives way to this other one, at the latest (monotonic)."""
    return max(current.began_s, other.ordered_s, other.off_air_s) + TURN_S
