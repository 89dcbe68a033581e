"""Verified commands that wait for the time: stored, acknowledged, and judged once the clock is trusted (protocol 6).

Whoever recorded an order may play it back after a power cut, when only the floor says what time it is. So what makes
sound, or lasts, is kept as it came, and all checks are put to it again once its dates can be compared: one outcome.
"""

from dataclasses import replace
from typing import Final

from agent.core import programme as prog
from agent.core.answers import answer_refused, may_report, refuse
from agent.core.state import Turn, Unjudged
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play, Stop, VerifiedCommand, obeyed_without_clock
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome
from agent.messages.words import Kind

MAX_UNJUDGED: Final = 64
"""Commands that wait for the time (protocol section 6): 1 MiB of memory and card, 16 MiB if all are documents."""


def needs_time(turn: Turn, verified: VerifiedCommand) -> bool:
    """Whether it must wait: the clock is untrusted, and it is none of what is obeyed all the same."""
    if turn.trusted_s is not None:
        return False
    command = verified.command
    return not obeyed_without_clock(command) or (isinstance(command, Stop) and bool(_emergency_of(turn, command)))


def keep(turn: Turn, event: ev.CommandVerified) -> None:
    """Store it, then acknowledge it. Where too many wait, the oldest goes that is about no emergency.

    About an emergency is only what a key says that may raise one: a stolen laptop's stops must not push out the warning
    that they name.
    """
    verified = event.verified
    key = verified.iss, verified.jti
    if turn.state.refusals.answered.get(key) is Reason.CLOCK_UNTRUSTED:  # it was displaced, and is sent again
        turn.count(Reason.REPLAYED)
        turn.acknowledge(event.delivery)
        return
    emergency = _emergency_of(turn, verified.command) if "play.emergency" in verified.may else ""
    waiting = turn.state.unjudged
    if len(waiting) >= MAX_UNJUDGED:
        if not emergency and (all(each.emergency for each in waiting.values()) or not may_report(turn)):
            refuse(turn, event, Reason.CLOCK_UNTRUSTED, f"{MAX_UNJUDGED} commands wait for the time already")
            return
        _displace(turn, min(waiting, key=lambda key: (bool(waiting[key].emergency), waiting[key].number)))
    number = 1 + max((each.number for each in turn.state.unjudged.values()), default=0)
    play = verified.command if isinstance(verified.command, Play) else None
    kept = {**turn.state.unjudged, key: Unjudged(number, emergency, verified.envelope, play, verified.exp)}
    turn.state = replace(turn.state, unjudged=kept)
    turn.commit(do.KeepUnjudged(*key, emergency, verified.envelope), delivery=event.delivery, again=False)
    turn.log(f"command {verified.jti} waits until the time is known: {type(verified.command).__name__}")


def judge(turn: Turn) -> None:
    """The clock is trusted: put all checks to whatever waits, in the order in which it came, before anything newer."""
    due = [each for each in turn.state.unjudged.values() if not each.asked]
    if turn.trusted_s is None or not due:
        return
    asked = {key: replace(each, asked=True) for key, each in turn.state.unjudged.items()}
    turn.state = replace(turn.state, unjudged=asked)
    turn.log(f"the time is known: judging {len(due)} commands that waited for it")
    for each in due:
        delivery = ev.Delivery(ev.FROM_STORE, each.number)
        turn.do(do.JudgeAgain(ev.MessageArrived(delivery, "", each.envelope, False)))


def on_refused(turn: Turn, event: ev.CommandRefused) -> None:
    """Refused after it had waited. Its sender was proven when it came, so its one outcome is told in any case."""
    found = [key for key, each in turn.state.unjudged.items() if each.number == event.delivery.packet]
    for iss, jti in found:
        reason, detail = event.reason, event.detail
        if event.reason is Reason.UNKNOWN_KEY:
            reason, detail = Reason.REVOKED, f"its key was removed while it waited: {event.detail}"
        elif not event.reportable and event.reason is not Reason.KEY_NOT_VALID:
            reason, detail = Reason.STORAGE, f"the disk has altered it: {event.detail}"
        outcome = CommandOutcome(iss, jti, "refused", reason, detail[:200])
        answer_refused(turn, event.delivery, outcome, reason)


def plays(turn: Turn) -> tuple[tuple[str, Play, int], ...]:
    """What waits to be judged and would sound: whose it is (`iss`), the order, and its `exp`."""
    waiting = turn.state.unjudged.items()
    return tuple((iss, each.play, each.exp) for (iss, _), each in waiting if each.play is not None)


def _displace(turn: Turn, key: tuple[str, str]) -> None:
    number = turn.state.unjudged[key].number
    outcome = CommandOutcome(
        *key, "refused", Reason.CLOCK_UNTRUSTED, "displaced before the time was known; send `time`"
    )
    answer_refused(turn, ev.Delivery(ev.FROM_STORE, number), outcome, Reason.CLOCK_UNTRUSTED)


def _emergency_of(turn: Turn, command: object) -> str:
    """The emergency item that it orders, or would stop: here, or waiting for the time as well. Empty if none."""
    if isinstance(command, Play):
        return command.item if command.kind is Kind.EMERGENCY else ""
    if not isinstance(command, Stop) or not isinstance(command.item, str):
        return ""
    item = prog.find(turn.state.programme, command.item)
    here = item is not None and item.play.kind is Kind.EMERGENCY
    waits = any(each.emergency == command.item for each in turn.state.unjudged.values())
    return command.item if here or waits else ""
