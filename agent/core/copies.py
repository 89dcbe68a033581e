"""A command that comes twice: one outcome, and no copy is acknowledged before the first is on the disk.

A broker delivers again what was not acknowledged when the connection broke. If the first delivery's transaction is
still under way then, acknowledging the copy would take the order from the broker while no disk has it.
"""

from dataclasses import replace

from agent.core.pending import Pending
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.events import Delivery
from agent.messages.reasons import Reason

Key = tuple[str, str]
"""`iss` and `jti`."""


def take_copy(turn: Turn, key: Key, delivery: Delivery) -> bool:
    """Whether the command was accepted before, or waits to be judged: the copy is acknowledged with the first."""
    if key not in turn.state.accepted and key not in turn.state.unjudged:
        return False
    turn.count(Reason.REPLAYED)
    state = turn.state
    pending = {token: _joined(each, key, delivery) for token, each in state.pending.items()}
    failed = tuple((at_s, _joined(each, key, delivery)) for at_s, each in state.failed_commits)
    if pending == state.pending and failed == state.failed_commits:
        turn.acknowledge(delivery)
    turn.state = replace(state, pending=pending, failed_commits=failed)
    return True


def acknowledge(turn: Turn, pending: Pending) -> None:
    """It is stored: the broker may forget it, and each copy of it."""
    for delivery in (pending.delivery, *pending.copies):
        if delivery is not None:
            turn.acknowledge(delivery)


def _joined(pending: Pending, key: Key, delivery: Delivery) -> Pending:
    for write in pending.writes:
        if isinstance(write, do.RememberCommand | do.KeepUnjudged) and (write.iss, write.jti) == key:
            return replace(pending, copies=(*pending.copies, delivery))
    return pending
