"""What becomes of a command: exactly one outcome, stored before it is acknowledged and acted upon (`answers`).

Orders that make silence (`stop`, muting) act first and are stored after. `set_trust` is decided in `trusting`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent.core import plays, settings, unjudged
from agent.core import programme as prog
from agent.core import timekeeping as tk
from agent.core.amplifier import Mode
from agent.core.answers import accept, forget_expired, refuse
from agent.core.copies import take_copy
from agent.core.documents import set_document
from agent.core.endings import drop
from agent.core.heartbeat import publish_state, status_report
from agent.core.items import Outcome
from agent.core.pending import RestartDue
from agent.core.state import MAX_ACCEPTED, RememberedStop, Turn, disk_fault
from agent.core.stops import may_end, may_end_kind, remember
from agent.core.trusting import set_trust
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import (
    ROOTS,
    Order,
    Play,
    Prefetch,
    ReportNow,
    Restart,
    SelfTest,
    SetMute,
    SetTrust,
    SetVolume,
    Stop,
    Time,
    VerifiedCommand,
)
from agent.messages.documents import SetPolicy, SetSchedule
from agent.messages.reasons import Reason
from agent.messages.words import Kind

MAX_STOPS: Final = 1_000
"""Stops remembered for items that have not come: a slot each, until their `exp`."""

RESERVED: Final = 200
"""Of the replay memory, and of the stops, so many only keys that may raise an emergency can take: a stolen laptop that
fills the rest must not keep a flood warning out, nor its end."""


def on_verified(turn: Turn, event: ev.CommandVerified) -> None:
    """A command whose signatures, dates and permissions hold: seen before, refused by circumstances, or accepted."""
    verified = event.verified
    key = verified.iss, verified.jti
    if event.delivery.connection == ev.FROM_STORE:
        if key not in turn.state.unjudged:  # it has its outcome
            return
    elif take_copy(turn, key, event.delivery):
        return
    signers = ", ".join(verified.kids)
    turn.log(f"command {verified.jti} received: {len(verified.envelope)} bytes, signed by {signers}")
    forget_expired(turn)
    dated = not isinstance(verified.command, SetTrust | Time)
    if dated and tk.is_forgotten(turn.state.timekeeping, verified.iat):
        refuse(turn, event, Reason.BEFORE_MEMORY, f"this node remembers since {turn.state.timekeeping.mark_s}")
        return
    if unjudged.needs_time(turn, verified):
        unjudged.keep(turn, event)
        return
    # A stolen key that fills the table must not keep out its own revocation, nor the time, by which the table empties:
    # version and nonce are their replay protection.
    if _is_memory_full(turn, verified):
        forget_expired(turn, after_s=0)
    if dated and _is_memory_full(turn, verified):
        own = _remembered_of(turn, verified.iss)
        told = f"{len(turn.state.accepted)} live commands are remembered already, {own} of this authority"
        refuse(turn, event, Reason.REPLAY_TABLE_FULL, told)
        return
    _OBEY[type(verified.command)](turn, event)


def _is_memory_full(turn: Turn, verified: VerifiedCommand) -> bool:
    """Whether this authority has its share of the replay memory: never more than it leaves free for all others.

    One stolen key so takes half of it, two three quarters: some is left for whoever has not spoken yet.
    """
    free = MAX_ACCEPTED - (0 if _is_about_emergencies(verified) else RESERVED) - len(turn.state.accepted)
    return _remembered_of(turn, verified.iss) >= free


def _remembered_of(turn: Turn, iss: str) -> int:
    return sum(iss == each for each, _ in turn.state.accepted)


def _is_about_emergencies(verified: VerifiedCommand) -> bool:
    """An emergency, or a stop by whoever may order one."""
    command = verified.command
    if isinstance(command, Play):
        return command.kind is Kind.EMERGENCY
    return isinstance(command, Stop) and "play.emergency" in verified.may


# Stop ---------------------------------------------------------------------------------------------------------------


def _stop(turn: Turn, event: ev.CommandVerified) -> None:
    stop = event.verified.command
    assert isinstance(stop, Stop)
    if isinstance(stop.item, str):
        _stop_one(turn, event, stop, stop.item)
    else:
        _stop_all(turn, event, stop)


def _stop_one(turn: Turn, event: ev.CommandVerified, stop: Stop, name: str) -> None:
    verified = event.verified
    item = prog.find(turn.state.programme, name)
    if item is None:
        _stop_unknown(turn, event, name)
    elif not may_end(verified.iss, verified.may, item):
        refuse(turn, event, Reason.NOT_PERMITTED, f"this key could not have ordered item {name}")
    else:
        drop(turn, name, Outcome("stopped", Reason.STOPPED, stop.reason))
        accept(turn, event)


def _stop_unknown(turn: Turn, event: ev.CommandVerified, name: str) -> None:
    """Remembered until the stop's own `exp`: the late `play` will be refused."""
    room = _room_for_stops(event.verified)
    if len(turn.state.stops) >= room:
        refuse(turn, event, Reason.QUEUE_FULL, f"{room} stops are remembered already")
        return
    accept(turn, event, _remember_stop(turn, event.verified, name), detail=f"item {name} is not here; remembered")


def _room_for_stops(verified: VerifiedCommand) -> int:
    return MAX_STOPS - (0 if _is_about_emergencies(verified) else RESERVED)


def _remember_stop(turn: Turn, verified: VerifiedCommand, name: str) -> do.RememberStop:
    """What waits under this name for the time may be ordered for longer than the stop lasts: so long it is remembered.

    Without the time no stop of an emergency is obeyed, not even before it comes.
    """
    exp = max(verified.exp, *(exp for _, play, exp in unjudged.plays(turn) if play.item == name), 0)
    may = verified.may if turn.trusted_s is not None else verified.may - {"play.emergency"}
    return remember(turn, RememberedStop(name, verified.iss, may, tuple(sorted(verified.kids))), exp)


def _stop_unjudged(turn: Turn, verified: VerifiedCommand) -> tuple[list[do.RememberStop], list[str]]:
    """Plays that wait for the time, as if each had been named: what was remembered, and the items that stay."""
    ended, stayed = [], []
    for owner, play, _ in unjudged.plays(turn):
        emergency_stays = turn.trusted_s is None and play.kind is Kind.EMERGENCY
        room = len(turn.state.stops) < _room_for_stops(verified)
        if room and not emergency_stays and may_end_kind(verified.iss, verified.may, play.kind, owner):
            ended.append(_remember_stop(turn, verified, play.item))
        else:
            stayed.append(play.item)
    return ended, stayed


def _stop_all(turn: Turn, event: ev.CommandVerified, stop: Stop) -> None:
    ended, stayed = _stop_unjudged(turn, event.verified)
    for name in prog.names(turn.state.programme)[::-1]:  # what waits first, so that nothing begins in between
        item = prog.find(turn.state.programme, name)
        assert item is not None
        emergency_stays = turn.trusted_s is None and item.play.kind is Kind.EMERGENCY
        if may_end(event.verified.iss, event.verified.may, item) and not emergency_stays:
            drop(turn, name, Outcome("stopped", Reason.STOPPED, stop.reason))
        else:
            stayed.append(name)
    accept(turn, event, *ended, detail=f"stayed: {', '.join(stayed)}"[:200] if stayed else "")


# Time and reports --------------------------------------------------------------------------------------------------


def _report_now(turn: Turn, event: ev.CommandVerified) -> None:
    accept(turn, event, turn.report(status_report(turn, event.verified.jti)))
    _say_a_nonce(turn)


def _say_a_nonce(turn: Turn) -> None:
    """To be answered by a `time`.

    Whose clock is wrong finds the date of every other order wrong: whoever tries to tell it the time hears one as well.
    """
    turn.state = replace(turn.state, timekeeping=tk.draw_nonce(turn.state.timekeeping, turn.now))
    publish_state(turn)


def _self_test(turn: Turn, event: ev.CommandVerified) -> None:
    """What can be told without a sound, in the outcome; nothing is switched: the amplifier is the programme's alone."""
    state = turn.state
    faulty = [zone for zone, amplifier in state.amplifiers.items() if amplifier.mode is Mode.FAULT]
    faults = (
        ("sound card", state.card_fault),
        ("amplifiers", ", ".join(faulty)),
        ("disk", disk_fault(state, turn.now)),
    )
    told = "; ".join(f"{name}: {fault}" for name, fault in faults if fault) or "no fault is known"
    status = turn.report(status_report(turn, event.verified.jti))
    accept(turn, event, status, detail=f"without a sound: {told}"[:200])


def _restart(turn: Turn, event: ev.CommandVerified) -> None:
    accept(turn, event, then=RestartDue(event.verified.iss))


def _time(turn: Turn, event: ev.CommandVerified) -> None:
    command = event.verified.command
    assert isinstance(command, Time)
    rooted = ROOTS in event.verified.may
    if turn.trusted_s is not None and not rooted:
        evidence = turn.state.timekeeping.evidence
        refuse(turn, event, Reason.SUPERSEDED, f"the time is known already ({evidence})")
        return
    if not tk.answers(turn.state.timekeeping, command.nonce, turn.now):
        told = f"the nonce was not published by this node in the last {tk.NONCE_LIFE_S:.0f} s"
        if refuse(turn, event, Reason.BAD_NONCE, told):
            _say_a_nonce(turn)
        return
    learnt = tk.learn(turn.state.timekeeping, event.verified.iat, turn.now, lowers_floor=rooted)
    turn.state = replace(turn.state, timekeeping=learnt)
    turn.log("clock trusted: time command")
    settings.judge_dates(turn)
    accept(turn, event, *turn.mark())
    publish_state(turn)


_OBEY: Final[dict[type, Callable[[Turn, ev.CommandVerified], None]]] = {
    Play: plays.play,
    Order: plays.order,
    Prefetch: plays.prefetch,
    Stop: _stop,
    SetVolume: settings.set_volume,
    SetMute: settings.set_mute,
    ReportNow: _report_now,
    SelfTest: _self_test,
    Restart: _restart,
    Time: _time,
    SetTrust: set_trust,
    SetSchedule: set_document,
    SetPolicy: set_document,
}
