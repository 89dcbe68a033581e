"""What an item replaces: what is not heard yet ends at once, what is goes on until its successor sounds.

Until then the village goes on hearing the old warning: one that cannot be fetched must not silence another.
"""

from dataclasses import replace

from agent.core import programme as prog
from agent.core.endings import drop
from agent.core.items import Item, Outcome
from agent.core.state import Turn
from agent.core.stops import may_end
from agent.messages.absent import UNSET
from agent.messages.reasons import Reason


def named_here(turn: Turn, item: Item) -> list[Item]:
    """What the order says it replaces, of what plays or waits."""
    names = () if item.play.replaces is UNSET else item.play.replaces
    found = (prog.find(turn.state.programme, name) for name in names if name != item.play.item)
    return [each for each in found if each is not None]


def with_replaced(turn: Turn, item: Item) -> Item:
    """The same, knowing what of that its keys may end."""
    verified = item.verified
    replaced = (each.play.item for each in named_here(turn, item) if may_end(verified.iss, verified.may, each))
    return replace(item, replaces=frozenset(replaced))


def end_unheard(turn: Turn, item: Item) -> list[str]:
    """It has been ordered: end what nobody hears yet. Returns what stays for good, which its keys may not end."""
    here = [each.play.item for each in named_here(turn, item)]
    for name in item.replaces:
        if not _is_heard(turn, name):
            drop(turn, name, _outcome(item))
    return [name for name in here if name not in item.replaces]


def take_place(turn: Turn, item: Item) -> None:
    """It sounds: the rest of what it replaces is over, wherever that is."""
    for name in item.replaces:
        drop(turn, name, _outcome(item))


def recall(turn: Turn) -> None:
    """After a start: an order that is found again replaces what it did, but nothing that was issued after it."""
    for item in prog.items(turn.state.programme):
        found = with_replaced(turn, item)
        older = frozenset(each.play.item for each in named_here(turn, item) if each.verified.iat <= item.verified.iat)
        known = replace(found, replaces=found.replaces & older)
        turn.state = replace(turn.state, programme=prog.change_item(turn.state.programme, known))


def _is_heard(turn: Turn, name: str) -> bool:
    """What is on the air; and a warning that has begun, whether it pauses, or another has its turn."""
    current = turn.state.programme.current
    item = prog.find(turn.state.programme, name)
    begun = item is not None and item.is_emergency and item.started_at is not None
    return begun or (current is not None and current.name == name)


def _outcome(item: Item) -> Outcome:
    return Outcome("stopped", Reason.REPLACED, f"by {item.play.item}")
