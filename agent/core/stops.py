"""Whom a `stop` or a `replaces` can end, and whether one came before its item (protocol section 4)."""

from agent.core.items import Item
from agent.core.state import Turn
from agent.messages.words import Kind


def may_end(iss: str, may: frozenset[str], item: Item) -> bool:
    """Whether a key could have ordered this item itself: else a stolen laptop silences the flood warning."""
    return may_end_kind(iss, may, item.play.kind, item.verified.iss)


def may_end_kind(iss: str, may: frozenset[str], kind: Kind, owner: str) -> bool:
    """The same of a play that waits for the time, and is no item yet."""
    return f"play.{kind}" in may and ("stop" in may or iss == owner)


def is_stopped(turn: Turn, item: Item) -> bool:
    """Whether a stop that is remembered names this item, by a key that may end it."""
    stops = ((iss, stop) for (name, iss), stop in turn.state.stops.items() if name == item.play.item)
    return any(may_end(iss, stop.may, item) for iss, stop in stops)
