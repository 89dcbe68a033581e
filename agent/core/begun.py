"""Which slots were taken up, so that each sounds once a day; and how many of one authority that may be (protocol 4).

A stolen key that may make schedules could send one a minute, each with 500 new names that are due in the next: every
name is a row on the card for eight days, and a record. So an authority has so many a day, and no more; and those of a
schedule whose keys were removed are forgotten, since that schedule can never hold again (`documents`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from agent.core import timekeeping as tk
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.documents import MAX_SLOTS, Slot
from agent.messages.local_time import end_of_day_s
from agent.messages.timetable import occurrences

MAX_BEGUN_A_DAY: Final = 2 * MAX_SLOTS
"""Slots of one authority on one date: a whole timetable, and another that replaces it."""

SlotKey = tuple[str, str]
"""`iss` and item."""


def note(turn: Turn, until_s: Mapping[SlotKey, int]) -> None:
    """These are taken up, or over; with the end of each window (Unix seconds). All at once: the table may be long."""
    if until_s:
        schedule = turn.state.schedule
        turn.state = replace(turn.state, schedule=replace(schedule, done={**schedule.done, **until_s}))


def within_bounds(turn: Turn, due: Sequence[SlotKey]) -> frozenset[SlotKey]:
    """Those that may be taken up; the log says how many may not."""
    taken = Counter(map(_day, turn.state.schedule.done)) if due else Counter[SlotKey]()
    fit: set[SlotKey] = set()
    left = Counter[str]()
    for key in due:
        if taken[_day(key)] < MAX_BEGUN_A_DAY:
            taken[_day(key)] += 1
            fit.add(key)
        else:
            left[key[0]] += 1
    for iss, count in left.items():
        turn.warn(f"{count} slots of {iss!r} are left out: {MAX_BEGUN_A_DAY} of one day have begun already")
    return frozenset(fit)


def why_no_room(turn: Turn, iss: str, slots: Iterable[Slot]) -> str:
    """Why a schedule would bring too many slots today, in one sentence; empty where it would not."""
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "a schedule waits for the time"
    zone, done = turn.state.settings.zone, turn.state.schedule.done
    today = occurrences(slots, zone, trusted_s, end_of_day_s(trusted_s, zone))
    coming = [(iss, each.item) for each in today if (iss, each.item) not in done]
    if not coming:
        return ""
    begun = sum(_day(key) == _day(coming[0]) for key in done)
    if begun + len(coming) <= MAX_BEGUN_A_DAY:
        return ""
    told = f"{begun} slots of this authority have begun today, and {len(coming)} more would"
    return f"{told}: {MAX_BEGUN_A_DAY} at most, so send it tomorrow"


def forget_before(turn: Turn, cut_s: int) -> None:
    """What was over before that instant cannot be met again; if the time is set back, nobody knows what has sounded."""
    schedule = turn.state.schedule
    done = {key: until_s for key, until_s in schedule.done.items() if until_s >= cut_s}
    if len(done) == len(schedule.done):
        return
    timekeeping = tk.forget(turn.state.timekeeping, cut_s, 0)
    turn.state = replace(turn.state, schedule=replace(schedule, done=done), timekeeping=timekeeping)
    turn.commit(do.ForgetSlots(cut_s), *turn.mark())


def forget_of(turn: Turn, iss: str) -> do.ForgetSlotsOf:
    """The keys of its schedule were removed, and no later one of this authority reaches back: what keeps the disk so.

    A slot that is not settled keeps its row until its record is stored.
    """
    schedule = turn.state.schedule
    done = {key: until_s for key, until_s in schedule.done.items() if key[0] != iss}
    turn.state = replace(turn.state, schedule=replace(schedule, done=done))
    return do.ForgetSlotsOf(iss)


def _day(key: SlotKey) -> SlotKey:
    """Whose, and of which date: the end of a slot's item."""
    return key[0], key[1].rpartition(".")[2]
