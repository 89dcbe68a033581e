"""What should sound: one item on the air, some that come, some held, and a queue. Whose turn it is, `turns` says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from agent.core.items import Item, next_source
from agent.core.stages import Attempt, Stage, at_stage
from agent.messages.commands import VerifiedCommand
from agent.messages.words import Kind

MAX_WAITING: Final = 100
"""Items that may wait: a day's bulletins many times over; each costs some 20 KiB."""

MAX_COMING: Final = 3
"""Made ready at once: `fetch` has a thread for each, of emergencies and of all else, and one for what sounds."""

MAX_HELD: Final = 2
"""Decoders kept silent, each with 6 s of sound; a third is begun anew where it was."""


@dataclass(frozen=True, slots=True)
class Programme:
    """What sounds or is about to (`current`), what is made ready to take the air (`coming`), and what waits.

    `aside` is off the air but not over: held, to go on later (the last held last), or ending.
    """

    current: Attempt | None = None
    coming: tuple[Attempt, ...] = ()
    aside: tuple[Attempt, ...] = ()
    waiting: tuple[Item, ...] = ()
    next_token: int = 1


_RANK: Final = {Kind.EMERGENCY: 0, Kind.PRIORITY: 1, Kind.NORMAL: 2}


def attempts(programme: Programme) -> Iterator[Attempt]:
    """All attempts, the one on the air first."""
    return (each for each in (programme.current, *programme.coming, *programme.aside) if each is not None)


def items(programme: Programme) -> tuple[Item, ...]:
    """All that plays, is held or waits, in order."""
    return (*(each.item for each in attempts(programme)), *programme.waiting)


def find(programme: Programme, name: str) -> Item | None:
    """The item of this name that plays or waits."""
    return next((item for item in items(programme) if item.play.item == name), None)


def find_attempt(programme: Programme, name: str) -> Attempt | None:
    """The attempt of the item of this name."""
    return next((each for each in attempts(programme) if each.name == name), None)


def names(programme: Programme) -> tuple[str, ...]:
    """All that plays or waits, in order."""
    return tuple(item.play.item for item in items(programme))


# The queue ----------------------------------------------------------------------------------------------------------


def enqueue(programme: Programme, item: Item) -> Programme:
    """Behind everything of its kind, ahead of lesser kinds; what was pre-empted is ahead of all of them."""
    waiting = sorted((*programme.waiting, item), key=lambda each: (not each.pre_empted, _RANK[each.play.kind]))
    return replace(programme, waiting=tuple(waiting))


def arrange(programme: Programme, wanted: tuple[str, ...]) -> Programme:
    """The waiting priority items in this order, those that it does not name behind them as they were."""
    places = {name: place for place, name in enumerate(wanted)}
    priority = [item for item in programme.waiting if _is_arranged(item)]
    arranged = iter(sorted(priority, key=lambda item: places.get(item.play.item, len(places))))
    waiting = (next(arranged) if _is_arranged(item) else item for item in programme.waiting)
    return replace(programme, waiting=tuple(waiting))


def _is_arranged(item: Item) -> bool:
    return item.play.kind is Kind.PRIORITY and not item.pre_empted


def without(programme: Programme, name: str) -> Programme:
    """The queue without this item; what sounds is not touched."""
    return replace(programme, waiting=tuple(item for item in programme.waiting if item.play.item != name))


def change_item(programme: Programme, item: Item) -> Programme:
    """The item of this name is now this, wherever it is."""
    name = item.play.item
    attempt = find_attempt(programme, name)
    if attempt is not None:
        return put(programme, replace(attempt, item=item))
    waiting = (item if each.play.item == name else each for each in programme.waiting)
    return replace(programme, waiting=tuple(waiting))


def without_replaced(programme: Programme, name: str) -> Programme:
    """The item of this name is over: a later one of that name is another, which nobody replaces yet."""
    for item in items(programme):
        if name in item.replaces:
            programme = change_item(programme, replace(item, replaces=item.replaces - {name}))
    return programme


def find_ordered(programme: Programme, name: str, jti: str) -> Item | None:
    """The item of this name, if it is this order's."""
    item = find(programme, name)
    return item if item is not None and item.verified.jti == jti else None


def mark_durable(programme: Programme, name: str, jti: str) -> Programme:
    """The order of this item is on the disk."""
    item = find_ordered(programme, name, jti)
    return programme if item is None else change_item(programme, replace(item, durable=True))


def verified_anew(programme: Programme, name: str, verified: VerifiedCommand) -> Programme:
    """The item of this name under what its keys are worth today."""
    item = find(programme, name)
    return programme if item is None else change_item(programme, replace(item, verified=verified))


# Attempts -----------------------------------------------------------------------------------------------------------


def put(programme: Programme, attempt: Attempt) -> Programme:
    """The attempt at this item is now this one, wherever it is."""
    current = programme.current
    return replace(
        programme,
        current=attempt if current is not None and current.name == attempt.name else current,
        coming=tuple(attempt if each.name == attempt.name else each for each in programme.coming),
        aside=tuple(attempt if each.name == attempt.name else each for each in programme.aside),
    )


def remove(programme: Programme, attempt: Attempt) -> Programme:
    """There is no attempt at this item any more."""
    current = programme.current
    return replace(
        programme,
        current=None if current is not None and current.name == attempt.name else current,
        coming=tuple(each for each in programme.coming if each.name != attempt.name),
        aside=tuple(each for each in programme.aside if each.name != attempt.name),
    )


def begin(programme: Programme, item: Item, at_s: float) -> tuple[Programme, Attempt]:
    """A fresh attempt at the item's present source, in nobody's place yet; the queue no longer has it."""
    attempt = Attempt(item=item, token=programme.next_token, since_s=at_s, began_s=at_s)
    programme = without(programme, item.play.item)
    return replace(programme, next_token=programme.next_token + 1), attempt


def take_back(programme: Programme, attempt: Attempt, at_s: float) -> tuple[Programme, Attempt]:
    """A held one is to go on: its lane is as good as just decoded."""
    fresh = replace(at_stage(attempt, Stage.READY, at_s), kept=True, at_mono_s=None, began_s=at_s)
    return remove(programme, attempt), fresh


def again(programme: Programme, attempt: Attempt, source: int, at_s: float) -> tuple[Programme, Attempt]:
    """A fresh attempt at one of the item's sources, in the place of the last."""
    fresh = Attempt(
        item=next_source(attempt.item, source),
        token=programme.next_token,
        since_s=at_s,
        began_s=attempt.began_s,
        amplifier_base_s=attempt.amplifier_base_s,
    )
    return put(replace(programme, next_token=programme.next_token + 1), fresh), fresh
