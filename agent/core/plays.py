"""Orders for the programme: `play` with what it replaces, the `order` of what waits, and `prefetch` (protocol 4)."""

from dataclasses import replace

from agent.core import policing, prefetching, replacing, resuming, slot_names
from agent.core import programme as prog
from agent.core.answers import accept, refuse
from agent.core.endings import drop
from agent.core.items import Item, Outcome
from agent.core.pending import ItemDurable
from agent.core.state import Turn
from agent.core.stops import is_stopped, prolong
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Order, Play, Prefetch, VerifiedCommand
from agent.messages.reasons import Reason
from agent.messages.sources import File
from agent.messages.words import Kind


def play(turn: Turn, event: ev.CommandVerified) -> None:
    """One item into the programme, unless circumstances forbid it."""
    item = make_item(turn, event.verified, event.verified.command)
    refusal = _why_not(turn, item)
    if refusal is not None:
        if refusal[0] is Reason.STOPPED:
            prolong(turn, item)
        refuse(turn, event, *refusal)
        return
    stayed = replacing.end_unheard(turn, item)
    _make_room(turn, item)
    detail = f"stayed: {', '.join(stayed)}"[:200] if stayed else ""
    keep = do.KeepItem(item.play.item, event.verified.envelope, item.due_at)
    accept(turn, event, keep, then=ItemDurable(item.play.item, event.verified.jti), detail=detail)
    resuming.take_up(turn, item)


def make_item(turn: Turn, verified: VerifiedCommand, command: object) -> Item:
    """What a verified `play` asks for, as an item that has just been ordered."""
    assert isinstance(command, Play)
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "a play that needs the time waits for it"
    start_s = command.start_at if isinstance(command.start_at, int) else None
    item = Item(
        verified,
        command,
        due_at=int(trusted_s) if start_s is None else start_s,
        ordered_s=turn.now.mono_s,
        durable=False,
        start_s=start_s,
    )
    return replacing.with_replaced(turn, item)


def _why_not(turn: Turn, item: Item) -> tuple[Reason, str] | None:
    order = item.play
    unknown = [zone for zone in order.zones if zone not in turn.state.settings.zones] if order.zones else []
    if unknown:
        return Reason.UNKNOWN_ZONE, f"no zone {', '.join(unknown)} here; zones: {', '.join(turn.state.settings.zones)}"
    if prog.find(turn.state.programme, order.item) is not None:
        return Reason.DUPLICATE_ITEM, f"item {order.item} waits or plays already"
    owner = slot_names.owner_of(turn, item)
    if owner is not None:
        return Reason.DUPLICATE_ITEM, f"slots of {owner[:60]!r} are called so: give the item another name"
    if is_stopped(turn, item):
        return Reason.STOPPED, f"item {order.item} was stopped before it came"
    if turn.wall_s > item.not_after:
        return Reason.EXPIRED, "not_after has passed"
    if item.start_s is not None and item.start_s >= item.not_after:
        return Reason.EXPIRED, f"it would start at {int(item.start_s)}, after its not_after, {item.not_after}"
    refusal = policing.forbids(turn, item, max(turn.wall_s, item.due_at))
    if refusal is not None:
        return refusal
    if len(turn.state.programme.waiting) >= prog.MAX_WAITING and _displaced_by(turn, item) is None:
        return Reason.QUEUE_FULL, f"{prog.MAX_WAITING} items wait already"
    return None


def _displaced_by(turn: Turn, item: Item) -> Item | None:
    """The last in a full queue, if it may give way: an emergency finds room whatever else was ordered."""
    last = turn.state.programme.waiting[-1]
    return last if item.is_emergency and not last.is_emergency else None


def _make_room(turn: Turn, item: Item) -> None:
    if len(turn.state.programme.waiting) < prog.MAX_WAITING:
        return
    displaced = _displaced_by(turn, item)
    if displaced is not None:
        told = f"displaced by emergency {item.play.item}: {prog.MAX_WAITING} items waited"
        drop(turn, displaced.play.item, Outcome("missed", Reason.QUEUE_FULL, told))


# Order and prefetch -------------------------------------------------------------------------------------------------


def order(turn: Turn, event: ev.CommandVerified) -> None:
    """The operator decides which priority item goes first (Circular 39/2020)."""
    command = event.verified.command
    assert isinstance(command, Order)
    waiting = [item.play.item for item in turn.state.programme.waiting if item.play.kind is Kind.PRIORITY]
    found = tuple(name for name in command.items if name in waiting)
    if not found:
        told = ", ".join(waiting)[:120] or "none"
        refuse(turn, event, Reason.UNKNOWN_ITEM, f"none of these waits as a priority item; waiting: {told}")
        return
    turn.state = replace(turn.state, programme=prog.arrange(turn.state.programme, found))
    others = [name for name in command.items if name not in found]
    detail = f"not waiting: {', '.join(others)}"[:200] if others else ""
    accept(turn, event, do.KeepOrder(found), detail=detail)


def prefetch(turn: Turn, event: ev.CommandVerified) -> None:
    """Files for later orders, at leisure."""
    command = event.verified.command
    assert isinstance(command, Prefetch)
    files = tuple(source.only for source in command.sources if isinstance(source.only, File))
    kept, left = prefetching.order(turn, files, pin=command.pin is True)
    if left == len(files):
        refuse(turn, event, Reason.QUEUE_FULL, f"{prefetching.MAX_WANTED} files wait to be fetched already")
    else:
        accept(turn, event, *kept, detail=f"no room for {left} of {len(files)} files" if left else "")
