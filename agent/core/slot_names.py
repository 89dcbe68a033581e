"""Whose a slot's name is: who may order, and nothing else, keeps no other authority's slots from sounding.

A slot's item is its id and its date, such as `news.20260922`, and one name is one item here. Emergencies may be called
anything: who may raise one needs no such trick.
"""

from typing import Final, Literal

from agent.core import programme as prog
from agent.core.endings import drop
from agent.core.items import Item, Outcome
from agent.core.state import Turn
from agent.messages.documents import SetSchedule
from agent.messages.reasons import Reason

_DATE_DIGITS: Final = 8


def owner_of(turn: Turn, item: Item) -> str | None:
    """The other authority, if any, whose timetable in force calls one of its slots so on one of its days."""
    slot_id, _, date = item.play.item.rpartition(".")
    if item.is_emergency or len(date) != _DATE_DIGITS or not date.isdecimal():
        return None
    for (_, iss), kept in turn.state.documents.items():
        command = None if kept.verified is None else kept.verified.command
        slots = command.slots if isinstance(command, SetSchedule) and iss != item.verified.iss else ()
        if any(slot.id == slot_id for slot in slots):
            return iss
    return None


def claim(turn: Turn, slot: Item) -> bool:
    """End what another authority ordered under the name of this slot, which is due, before the slot was known here.

    False while that still fades away: the name is not free yet.
    """
    found = prog.find(turn.state.programme, slot.play.item)
    if found is None or found.is_emergency or found.slot_until is not None or found.verified.iss == slot.verified.iss:
        return True
    result: Literal["stopped", "missed"] = "missed" if found.started_at is None else "stopped"
    told = f"a slot of {slot.verified.iss!r} is called so"
    drop(turn, found.play.item, Outcome(result, Reason.DUPLICATE_ITEM, told))
    return prog.find(turn.state.programme, slot.play.item) is None
