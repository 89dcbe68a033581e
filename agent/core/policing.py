"""The rules of node.yaml and of the authorities' policies, asked of what begins and of what sounds (protocol 4 and 7).

What the rules are and what they allow is `policy`'s; here are the node's own, its ledger, and when to ask again.
"""

from dataclasses import replace
from typing import Final

from agent.core.items import SAMPLE_RATE, Item, Outcome
from agent.core.policy import Ledger, Rules, charge, cut_s, next_change_s, rules_of, strictest, why_not
from agent.core.stages import Attempt, Stage, Watch
from agent.core.state import State, Turn
from agent.messages import effects as do
from agent.messages.documents import SetPolicy
from agent.messages.reasons import Reason

CLOCK_SET_S: Final = 1.0
"""A clock that is slewed moves by half a millisecond a second; one that has moved so far was set."""

FADE_S: Final = 0.01
"""Two ends that are nearer than this are one."""


def rules(state: State) -> Rules:
    """The strictest of the configuration and of every authority's policy in force."""
    signed = (
        kept.verified.command for key, kept in state.documents.items() if key[0] == "set_policy" and kept.verified
    )
    policies = tuple(rules_of(command) for command in signed if isinstance(command, SetPolicy))
    return strictest((state.settings.rules, *policies)) if policies else state.settings.rules


def begins_s(turn: Turn, item: Item) -> float | None:
    """The instant (Unix seconds) whose rules hold for what the card is given now: of its start, if that is to come."""
    trusted_s = turn.trusted_s
    return trusted_s if trusted_s is None or item.start_s is None else max(trusted_s, item.start_s)


def refusal(turn: Turn, item: Item) -> Outcome | None:
    """How an item ends that may not begin now, or go on; None: it may."""
    at_s = begins_s(turn, item)
    found = None if at_s is None else forbids(turn, item, at_s)
    begun = item.started_at is not None
    return None if found is None else Outcome("stopped" if begun else "missed", *found)


def forbids(turn: Turn, item: Item, at_s: float) -> tuple[Reason, str] | None:
    """The rule by which the item may not sound at that instant (Unix seconds), after what sounds now."""
    return why_not(rules(turn.state), ledger_now(turn.state), item.play.kind, at_s, turn.state.settings.zone)


def ledger_now(state: State) -> Ledger:
    """What the caps have counted, what sounds now included, as the card last told of it."""
    current = state.programme.current
    if current is None or not current.so_far.samples or current.so_far_at_s is None:
        return state.ledger
    from_s = current.so_far_at_s - current.so_far.samples / SAMPLE_RATE
    return charge(state.ledger, current.item.play.kind, from_s, current.so_far_at_s, state.settings.zone)


def watch(turn: Turn, attempt: Attempt) -> Watch:
    """Until when what sounds now may go on, and when to ask again; anew where the rules or the ledger have changed."""
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "nothing sounds before the time is known"
    present, zone = rules(turn.state), turn.state.settings.zone
    ledger, kept, offset_s = turn.state.ledger, attempt.watch, trusted_s - turn.now.mono_s
    known = kept is not None and kept.rules == present and kept.ledger == ledger
    if kept is not None and known and _holds(kept, trusted_s, offset_s):
        return kept
    began_s = _stamp(max(attempt.since_s, attempt.at_mono_s or 0.0) + offset_s)
    cut = cut_s(present, ledger, attempt.item.play.kind, began_s, zone)
    return Watch(present, ledger, trusted_s, offset_s, cut, next_change_s(present, trusted_s, zone))


def _holds(watch: Watch, trusted_s: float, offset_s: float) -> bool:
    """Whether nothing but time has passed: a clock that was set may be in other hours, and has other ends."""
    unchanged = watch.found_s <= trusted_s and (watch.change_s is None or trusted_s < watch.change_s)
    return unchanged and abs(offset_s - watch.offset_s) < CLOCK_SET_S


def cut_now(turn: Turn, attempt: Attempt, watch: Watch) -> Outcome | None:
    """How what sounds ends, if a rule cuts it now; what the card ends on that very instant has been played."""
    trusted_s = turn.trusted_s
    if watch.cut is None or trusted_s is None or trusted_s < watch.cut[0]:
        return None
    since_s = turn.now.mono_s - (trusted_s - watch.cut[0])
    over = attempt.ends_s is not None and attempt.ends_s <= since_s + FADE_S
    return None if over else Outcome("stopped", *watch.cut[1:])


def book(turn: Turn, item: Item, samples: int, until_mono_s: float) -> None:
    """So much has sounded, or is in the card, until that instant: the caps count it."""
    trusted_s = turn.trusted_s
    if trusted_s is None or samples <= 0:
        return
    until_s = _stamp(trusted_s + until_mono_s - turn.now.mono_s)
    began_s = until_s - samples / SAMPLE_RATE
    ledger = charge(turn.state.ledger, item.play.kind, began_s, until_s, turn.state.settings.zone)
    turn.state = replace(turn.state, ledger=ledger)


def _stamp(at_s: float) -> float:
    """In whole milliseconds, so that a pause that is five minutes long is not shorter for how a clock is counted."""
    return round(at_s, 3)


def kept(turn: Turn) -> tuple[do.Write, ...]:
    """What keeps the ledger over a restart."""
    ledger = turn.state.ledger
    if not ledger.day:
        return ()
    return (do.KeepLedger(ledger.day, ledger.minutes_s, ledger.sessions, ledger.session_s, ledger.last_sound_s),)


def is_watched(attempt: Attempt) -> bool:
    """Whether the rules have a say in what it does now."""
    return attempt.stage is Stage.SOUNDING and not attempt.item.is_emergency
