"""Whom a `stop` or a `replaces` can end, and whether one came before its item (protocol section 4)."""

from collections.abc import Iterator
from dataclasses import replace

from agent.core.items import Item
from agent.core.state import RememberedStop, Turn
from agent.messages import effects as do
from agent.messages.words import Kind


def may_end(iss: str, may: frozenset[str], item: Item) -> bool:
    """Whether a key could have ordered this item itself: else a stolen laptop silences the flood warning."""
    return may_end_kind(iss, may, item.play.kind, item.verified.iss)


def may_end_kind(iss: str, may: frozenset[str], kind: Kind, owner: str) -> bool:
    """The same of a play that waits for the time, and is no item yet."""
    return f"play.{kind}" in may and ("stop" in may or iss == owner)


def is_stopped(turn: Turn, item: Item) -> bool:
    """Whether a stop that is remembered names this item, by a key that may end it."""
    return any(True for _ in _that_end(turn, item))


def remember(turn: Turn, stop: RememberedStop, until_s: int) -> do.RememberStop:
    """It binds until then, or longer if it does already: what keeps the disk so."""
    until_s = max(until_s, turn.state.stops.get(stop, until_s))
    turn.state = replace(turn.state, stops={**turn.state.stops, stop: until_s})
    return do.RememberStop(stop.item, stop.iss, tuple(sorted(stop.may)), until_s, stop.kids)


def prolong(turn: Turn, item: Item) -> None:
    """The late play has come, and is refused: its copies are as long as they could be accepted."""
    short = [stop for stop in _that_end(turn, item) if turn.state.stops[stop] < item.verified.exp]
    if short:
        turn.commit(*(remember(turn, stop, item.verified.exp) for stop in short))


def _that_end(turn: Turn, item: Item) -> Iterator[RememberedStop]:
    for stop, until_s in turn.state.stops.items():
        if stop.item == item.play.item and until_s >= turn.wall_s and may_end(stop.iss, stop.may, item):
            yield stop
