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
from agent.messages.loudness import Loudness
from agent.messages.reasons import Reason

CLOCK_SET_S: Final = 1.0
"""A clock that is slewed moves by half a millisecond a second; one that has moved so far was set."""


def rules(state: State) -> Rules:
    """The strictest of the configuration and of every authority's policy in force."""
    signed = (
        kept.verified.command for key, kept in state.documents.items() if key[0] == "set_policy" and kept.verified
    )
    policies = tuple(rules_of(command) for command in signed if isinstance(command, SetPolicy))
    return strictest((state.settings.rules, *policies)) if policies else state.settings.rules


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
    """Until when what sounds now may go on, and when to ask again; anew where the rules have changed."""
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "nothing sounds before the time is known"
    present, zone = rules(turn.state), turn.state.settings.zone
    kept, offset_s = attempt.watch, trusted_s - turn.now.mono_s
    if kept is not None and kept.rules == present and _holds(kept, trusted_s, offset_s):
        return kept
    began_s = trusted_s - max(0.0, turn.now.mono_s - max(attempt.since_s, attempt.at_mono_s or 0.0))
    cut = cut_s(present, turn.state.ledger, attempt.item.play.kind, began_s, zone)
    return Watch(present, trusted_s, offset_s, cut, next_change_s(present, trusted_s, zone))


def _holds(watch: Watch, trusted_s: float, offset_s: float) -> bool:
    """Whether nothing but time has passed: a clock that was set may be in other hours, and has other ends."""
    unchanged = watch.found_s <= trusted_s and (watch.change_s is None or trusted_s < watch.change_s)
    return unchanged and abs(offset_s - watch.offset_s) < CLOCK_SET_S


def outcome_of(cut: tuple[float, Reason, str]) -> Outcome:
    """How an item ends that a rule cuts."""
    return Outcome("stopped", cut[1], cut[2])


def book(turn: Turn, item: Item, loudness: Loudness) -> None:
    """So much has sounded until now: the caps count it."""
    trusted_s = turn.trusted_s
    if trusted_s is None or not loudness.samples:
        return
    zone, began_s = turn.state.settings.zone, trusted_s - loudness.samples / SAMPLE_RATE
    ledger = charge(turn.state.ledger, item.play.kind, began_s, trusted_s, zone)
    turn.state = replace(turn.state, ledger=ledger)


def kept(turn: Turn) -> tuple[do.Write, ...]:
    """What keeps the ledger over a restart."""
    ledger = turn.state.ledger
    if not ledger.day:
        return ()
    return (do.KeepLedger(ledger.day, ledger.minutes_s, ledger.sessions, ledger.session_s, ledger.last_sound_s),)


def is_watched(attempt: Attempt) -> bool:
    """Whether the rules have a say in what it does now."""
    return attempt.stage is Stage.SOUNDING and not attempt.item.is_emergency
