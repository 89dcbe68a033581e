"""One outcome for each command, stored before it is acknowledged; and how long an answered command is remembered.

`admission` and `trusting` decide; here what they decided is put on record.
"""

from dataclasses import replace
from typing import Final

from agent.core import timekeeping as tk
from agent.core.copies import take_copy
from agent.core.pending import Consequence
from agent.core.state import Accepted, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.absent import UNSET
from agent.messages.commands import SetTrust
from agent.messages.events import FROM_STORE, Delivery
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome

MAX_REPORTED_REFUSALS: Final = 20
"""Refusals reported in a minute (protocol section 5); the rest is only counted."""

ALLOWANCE_S: Final = 60.0

MAX_ANSWERED: Final = 2_048
"""Refused commands remembered so that each gets one outcome."""


def on_refused(turn: Turn, event: ev.CommandRefused) -> None:
    """Security has refused it: counted; reported only where sender and addressee are proven, and it is surely new.

    Whoever has recorded orders for years may send them again, one after the other and without end: each report is a
    write. One that was over long ago may have had its outcome, and been forgotten.
    """
    if event.reportable and take_copy(turn, (event.iss, event.jti), event.delivery):
        return
    old = event.exp is not None and tk.may_be_known(turn.state.timekeeping, event.exp, turn.now)
    if not event.reportable or old:
        turn.count(event.reason)
        turn.acknowledge(event.delivery)
        return
    outcome = CommandOutcome(event.iss, event.jti, "refused", event.reason, event.detail)
    answer_refused(turn, event.delivery, outcome, event.reason)


def answer_refused(turn: Turn, delivery: Delivery, outcome: CommandOutcome, reason: Reason) -> bool:
    """Refuse with one outcome report, within the minute's allowance; the `jti` is not used up.

    A command that waited for the time was acknowledged then: its outcome is owed, whatever the allowance.

    Returns:
        Whether it is told: not where it was before, nor beyond the allowance.
    """
    turn.count(reason)
    iss, jti = outcome.iss, outcome.jti
    if (iss, jti) in turn.state.unjudged:
        _note_answer(turn, (iss, jti), reason)
        turn.warn(f"command {jti} of {iss!r} refused, having waited: {reason}: {outcome.detail or ''}")
        turn.commit(turn.report(outcome), *_settle(turn, (iss, jti)))
        return True
    if (iss, jti) in turn.state.refusals.answered or not may_report(turn):
        turn.acknowledge(delivery)
        return False
    _note_answer(turn, (iss, jti), reason)
    turn.warn(f"command {jti} of {iss!r} refused: {reason}: {outcome.detail or ''}")
    turn.commit(turn.report(outcome), delivery=delivery, again=False)
    return True


def may_report(turn: Turn) -> bool:
    """Whether the minute's allowance of refusals is not used up."""
    refusals = turn.state.refusals
    return turn.now.mono_s - refusals.minute_s >= ALLOWANCE_S or refusals.reported < MAX_REPORTED_REFUSALS


def _note_answer(turn: Turn, key: tuple[str, str], reason: Reason) -> None:
    refusals = turn.state.refusals
    if turn.now.mono_s - refusals.minute_s >= ALLOWANCE_S:
        refusals = replace(refusals, minute_s=turn.now.mono_s, reported=0)
    known = tuple(refusals.answered)[1 - MAX_ANSWERED :]
    answered = {each: refusals.answered[each] for each in known} | {key: reason}
    turn.state = replace(turn.state, refusals=replace(refusals, reported=refusals.reported + 1, answered=answered))


def forget_expired(turn: Turn, after_s: int = tk.FORGOTTEN_AFTER_S) -> None:
    """Remembered stops last until their `exp` has passed by trusted time, replay memory somewhat longer."""
    trusted_s = turn.trusted_s
    if trusted_s is None:
        return
    state, cut_s = turn.state, int(trusted_s) - after_s
    over = [each.iat for each in state.accepted.values() if each.exp < cut_s]
    if over:
        accepted = {key: each for key, each in state.accepted.items() if each.exp >= cut_s}
        state = replace(state, accepted=accepted, timekeeping=tk.forget(state.timekeeping, cut_s, max(over)))
    if any(exp < trusted_s for exp in state.stops.values()):
        state = replace(state, stops={stop: exp for stop, exp in state.stops.items() if exp >= trusted_s})
    turn.state = state


def forget_stops_of_removed_keys(turn: Turn) -> None:
    """A key that is removed ends nothing any more."""
    known = {key.kid for key in turn.state.trust.document.keys}
    stops = {stop: exp for stop, exp in turn.state.stops.items() if known.issuperset(stop.kids)}
    if len(stops) != len(turn.state.stops):
        turn.warn(f"{len(turn.state.stops) - len(stops)} remembered stops are forgotten: their keys were removed")
        turn.state = replace(turn.state, stops=stops)


def _forgetting(turn: Turn) -> tuple[do.Write, ...]:
    """What the disk may forget as well, and that it has."""
    forgotten_s = turn.state.timekeeping.forgotten_s
    return (do.ForgetCommands(forgotten_s), *turn.forgotten()) if forgotten_s else ()


def accept(
    turn: Turn,
    event: ev.CommandVerified,
    *writes: do.Write,
    then: Consequence | None = None,
    remember_until: int = 0,
    detail: str = "",
) -> None:
    """Remember the command and its outcome in one transaction; the PUBACK follows it.

    It is remembered until its `exp`, or longer if `remember_until` (Unix seconds) says so. The broker brings again what
    could not be stored; what had waited for the time it no longer has, so that is tried until it is stored.
    """
    verified = event.verified
    exp = max(verified.exp, remember_until)
    iat = 0 if isinstance(verified.command, SetTrust) else verified.iat
    known = {**turn.state.accepted, (verified.iss, verified.jti): Accepted(exp, iat)}
    turn.state = replace(turn.state, accepted=known)
    outcome = CommandOutcome(verified.iss, verified.jti, "accepted", None, detail or UNSET)
    turn.commit(
        *_forgetting(turn),
        do.RememberCommand(
            verified.iss, verified.jti, exp, iat
        ),  # last: the roots' `time` may be long before what is forgotten
        *writes,
        *_settle(turn, (verified.iss, verified.jti)),
        turn.report(outcome),
        delivery=event.delivery,
        then=then,
        again=event.delivery.connection == FROM_STORE,
    )
    turn.log(f"command {verified.jti} verified and accepted: {type(verified.command).__name__} of {verified.iss!r}")


def _settle(turn: Turn, key: tuple[str, str]) -> tuple[do.Write, ...]:
    """It waits for the time no longer, if it did: what is to be stored with its outcome."""
    if key not in turn.state.unjudged:
        return ()
    left = {each: waiting for each, waiting in turn.state.unjudged.items() if each != key}
    turn.state = replace(turn.state, unjudged=left)
    return (do.ForgetUnjudged(*key),)


def refuse(turn: Turn, event: ev.CommandVerified, reason: Reason, detail: str) -> bool:
    """Circumstances forbid what the signatures would allow. Returns whether that is told."""
    outcome = CommandOutcome(event.verified.iss, event.verified.jti, "refused", reason, detail)
    return answer_refused(turn, event.delivery, outcome, reason)
