"""What is due by the authorities' timetables: slots made into items of the programme, each once (protocol 4 and 7).

The union of all schedules in force plays. A slot's item is its name and date, so whatever the clock does, and whichever
version of the schedule says it, it sounds once a day. What began while the node was off, or did not know the time,
plays late within its window, at the offset where the other poles are; after it, its record says `missed`. Nothing is
looked for that began before the mark (`timekeeping`): whether it has sounded is not known.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from agent.core import begun, policing, prefetching, resuming, slot_names, turns
from agent.core import programme as prog
from agent.core.endings import drop, record
from agent.core.items import Item, Outcome
from agent.core.pending import DocumentKey, ItemDurable, KeptDocument
from agent.core.state import Turn
from agent.core.stops import is_stopped
from agent.messages import effects as do
from agent.messages.absent import UNSET
from agent.messages.codec import WordError, decode
from agent.messages.commands import Play, VerifiedCommand
from agent.messages.documents import SetSchedule, Slot
from agent.messages.memory import StoredSlot
from agent.messages.reasons import Reason
from agent.messages.sources import File
from agent.messages.timetable import Occurrence, next_at_s, occurrences

LOOK_BACK_S: Final = 7 * 86_400
"""How far back a node that was off says what it missed: longer, and nobody reads it."""

MAX_MISSED: Final = 200
"""Records of one look back; beyond, the log alone says how many: an outbox must hold other news as well."""

LOOK_AHEAD_S: Final = 86_400.0
"""The next slot is looked for so far ahead; at the latest then again."""

LOOK_SOON_S: Final = 0.1
"""Longer than a fade."""

FORGET_AFTER_S: Final = LOOK_BACK_S + 86_400
"""Slots that are over are remembered until no look back can meet them."""


@dataclass(frozen=True, slots=True)
class _Due:
    occurrence: Occurrence
    verified: VerifiedCommand

    @property
    def key(self) -> begun.SlotKey:
        return self.verified.iss, self.occurrence.item


def run_due(turn: Turn) -> None:
    """Take up what begins within `PREPARE_S`, or has begun since we last looked."""
    trusted_s = turn.trusted_s
    if trusted_s is None:
        return
    schedule = turn.state.schedule
    set_back = trusted_s < schedule.looked_s
    if not set_back and trusted_s < schedule.next_s:
        return
    if set_back:
        turn.state = replace(turn.state, schedule=replace(schedule, looked={}))
    due_now = _due(turn, trusted_s)
    found = [due for due in due_now if due.occurrence.until_s <= trusted_s or slot_names.claim(turn, _item(turn, due))]
    fit = begun.within_bounds(turn, [due.key for due in found])
    begun.note(turn, {due.key: due.occurrence.until_s for due in found if due.key in fit})
    missed: list[Item] = []
    for due in (each for each in found if each.key in fit):
        item = _item(turn, due)
        if resuming.was_over(turn, item):
            continue
        if due.occurrence.until_s <= trusted_s:
            missed.append(item)
        else:
            _take(turn, item, due.occurrence)
    _miss(turn, missed)
    _look_again(turn, trusted_s)
    _look_soon(turn, [due for due in due_now if due not in found], trusted_s)


def _schedules(turn: Turn) -> Iterable[tuple[DocumentKey, KeptDocument, tuple[Slot, ...]]]:
    for key, kept in turn.state.documents.items():
        if kept.verified is not None and isinstance(kept.verified.command, SetSchedule):
            yield key, kept, kept.verified.command.slots


def _due(turn: Turn, trusted_s: float) -> list[_Due]:
    zone = turn.state.settings.zone
    schedule = turn.state.schedule
    until_s = _horizon_s(trusted_s)
    found: list[_Due] = []
    looked = dict(schedule.looked)
    for key, kept, slots in _schedules(turn):
        assert kept.verified is not None, "_schedules gives those that are in force"
        seen_s = max(looked.get((key[1], kept.version), trusted_s - LOOK_BACK_S), turn.state.timekeeping.mark_s or 0)
        looked[key[1], kept.version] = until_s
        found += [
            _Due(occurrence, kept.verified)
            for occurrence in occurrences(slots, zone, max(seen_s, kept.since), until_s)
            if (key[1], occurrence.item) not in schedule.done
        ]
    turn.state = replace(turn.state, schedule=replace(schedule, looked=looked))
    return sorted(found, key=lambda due: (due.occurrence.at_s, due.occurrence.item))


def _horizon_s(trusted_s: float) -> int:
    """The first whole second that is not yet taken up: slots begin on whole seconds."""
    return int(trusted_s + turns.PREPARE_S) + 1


def _item(turn: Turn, due: _Due) -> Item:
    return slot_item(due.verified, due.occurrence.slot, due.occurrence, turn.now.mono_s)


def slot_item(verified: VerifiedCommand, slot: Slot, when: Occurrence | StoredSlot, at_s: float) -> Item:
    """A slot on its day, as an item of the programme."""
    play = Play(
        item=when.item,
        kind=slot.kind,
        title=slot.title,
        sources=slot.sources,
        max_duration_s=slot.max_duration_s,
        volume_percent=slot.volume_percent if isinstance(slot.volume_percent, int) else UNSET,
    )
    return Item(
        verified,
        play,
        due_at=when.at_s,
        ordered_s=at_s,
        durable=False,
        slot_until=when.until_s,
        start_s=float(when.at_s),
    )


def _take(turn: Turn, item: Item, occurrence: Occurrence) -> None:
    """Into the programme; on the disk first, so that it is never due twice."""
    iss, name = item.verified.iss, item.play.item
    write = do.KeepSlot(iss, name, occurrence.at_s, occurrence.until_s, item.verified.jti, occurrence.slot)
    refusal = _why_not(turn, item)
    if refusal is not None:
        record(turn, item, refusal)
        return
    turn.commit(write, then=ItemDurable(name, item.verified.jti))
    turn.log(f"item {name} is due: slot of {iss!r}")
    resuming.take_up(turn, item)


def _why_not(turn: Turn, item: Item) -> Outcome | None:
    name = item.play.item
    if prog.find(turn.state.programme, name) is not None:
        return Outcome("missed", Reason.DUPLICATE_ITEM, "an item of this name waits or plays")
    if is_stopped(turn, item):
        return Outcome("stopped", Reason.STOPPED, "it was stopped before its time")
    if len(turn.state.programme.waiting) >= prog.MAX_WAITING:
        return Outcome("missed", Reason.QUEUE_FULL, f"{prog.MAX_WAITING} items wait already")
    unknown = [zone for zone in (item.play.zones or ()) if zone not in turn.state.settings.zones]
    if unknown:
        return Outcome("failed", Reason.UNKNOWN_ZONE, f"no zone {', '.join(unknown)} here")
    refusal = policing.forbids(turn, item, max(turn.wall_s, item.due_at))
    return Outcome("missed", *refusal) if refusal is not None else None


def _miss(turn: Turn, items: list[Item]) -> None:
    """Their windows are over: one record each, of the last ones where there are very many."""
    told = items[-MAX_MISSED:]
    if len(told) < len(items):
        turn.warn(f"{len(items) - len(told)} slots more were missed, before {told[0].play.item}")
    for item in told:
        record(turn, item, Outcome("missed", Reason.NOT_AFTER, "its window passed while the node was off or untimed"))


def _look_again(turn: Turn, trusted_s: float) -> None:
    """When to look next; what is long over is forgotten."""
    zone = turn.state.settings.zone
    after_s = _horizon_s(trusted_s) - 1
    following = [next_at_s(slots, zone, after_s, LOOK_AHEAD_S) for _, _, slots in _schedules(turn)]
    slot_s = min((each for each in following if each is not None), default=None)
    soonest_s = after_s + LOOK_AHEAD_S if slot_s is None else slot_s
    begun.forget_before(turn, int(trusted_s) - FORGET_AFTER_S)
    next_s = float(soonest_s) - turns.PREPARE_S
    schedule = replace(turn.state.schedule, looked_s=trusted_s, next_s=next_s, slot_s=slot_s)
    turn.state = replace(turn.state, schedule=schedule)


def _look_soon(turn: Turn, left: list[_Due], trusted_s: float) -> None:
    """These were due, and their names are about to be free."""
    schedule = turn.state.schedule
    looked = dict(schedule.looked)
    for due in left:
        key = due.verified.iss, turn.state.documents["set_schedule", due.verified.iss].version
        looked[key] = min(looked[key], due.occurrence.at_s)
    next_s = min(schedule.next_s, trusted_s + LOOK_SOON_S) if left else schedule.next_s
    turn.state = replace(turn.state, schedule=replace(schedule, looked=looked, next_s=next_s))


# Documents come and go ----------------------------------------------------------------------------------------------


def changed(turn: Turn, iss: str) -> None:
    """An authority's schedule is another one, or none: look anew; what it no longer holds ends; files are fetched."""
    schedule = turn.state.schedule
    kept = turn.state.documents.get(("set_schedule", iss))
    version = None if kept is None else kept.version
    looked = {key: seen for key, seen in schedule.looked.items() if key[0] != iss or key[1] == version}
    turn.state = replace(turn.state, schedule=replace(schedule, looked=looked, next_s=float("-inf")))
    verified = None if kept is None else kept.verified
    slots = verified.command.slots if verified is not None and isinstance(verified.command, SetSchedule) else ()
    if verified is None:
        _end_what_is_gone(turn, iss, (), Outcome("stopped", Reason.REVOKED, "its schedule has ended"))
    else:
        _end_what_is_gone(turn, iss, slots, Outcome("stopped", Reason.SUPERSEDED, "its schedule no longer has it"))
    files = (source.only for slot in slots for source in slot.sources)
    prefetching.want(turn, tuple(each for each in files if isinstance(each, File)))


def _end_what_is_gone(turn: Turn, iss: str, slots: tuple[Slot, ...], gone: Outcome) -> None:
    zone = turn.state.settings.zone
    for item in prog.items(turn.state.programme)[::-1]:
        if item.slot_until is None or item.verified.iss != iss:
            continue
        held = (each.item == item.play.item for each in occurrences(slots, zone, item.due_at, item.due_at + 1))
        if not any(held):
            drop(turn, item.play.item, gone)


def take_up(turn: Turn, stored: StoredSlot) -> None:
    """A slot that the store remembers and that is not settled: interrupted, or still to be played."""
    try:
        slot = decode(stored.slot, Slot)
    except WordError:
        turn.warn(f"slot {stored.item} of {stored.iss!r}: the disk has altered it")
        return
    kept = turn.state.documents.get(("set_schedule", stored.iss))
    verified = None if kept is None else kept.verified
    if verified is None or not isinstance(verified.command, SetSchedule) or slot not in verified.command.slots:
        unknown = VerifiedCommand(stored.iss, stored.jti, 0, 0, SetSchedule(1, ()), (), frozenset(), 100, b"")
        told = "its schedule is not in force any more"
        record(turn, slot_item(unknown, slot, stored, turn.now.mono_s), Outcome("stopped", Reason.SUPERSEDED, told))
        return
    item = replace(slot_item(verified, slot, stored, turn.now.mono_s), durable=True, started_at=stored.started_at)
    resuming.take_up(turn, item, stored.started_at)
