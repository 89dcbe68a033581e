"""What becomes of a command: exactly one outcome, stored before it is acknowledged and acted upon (`answers`).

Orders that make silence (`stop`, muting) act first and are stored after. `set_trust` is decided in `trusting`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent.core import programme as prog
from agent.core import settings, unjudged
from agent.core import timekeeping as tk
from agent.core.answers import accept, forget_expired, refuse
from agent.core.attempts import drop
from agent.core.copies import take_copy
from agent.core.documents import set_document
from agent.core.heartbeat import publish_state, status_report
from agent.core.pending import ItemDurable
from agent.core.programme import Item, Outcome
from agent.core.state import MAX_ACCEPTED, RememberedStop, Turn
from agent.core.trusting import set_trust
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.absent import UNSET
from agent.messages.commands import ROOTS, Play, ReportNow, SetMute, SetTrust, SetVolume, Stop, Time, VerifiedCommand
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
    room = MAX_ACCEPTED - (0 if _is_about_emergencies(verified) else RESERVED)
    if len(turn.state.accepted) >= room:
        forget_expired(turn, after_s=0)
    if len(turn.state.accepted) >= room and dated:
        refuse(turn, event, Reason.REPLAY_TABLE_FULL, f"{room} live commands are remembered already")
        return
    _OBEY[type(verified.command)](turn, event)


def _is_about_emergencies(verified: VerifiedCommand) -> bool:
    """An emergency, or a stop by whoever may order one."""
    command = verified.command
    if isinstance(command, Play):
        return command.kind is Kind.EMERGENCY
    return isinstance(command, Stop) and "play.emergency" in verified.may


# Play ---------------------------------------------------------------------------------------------------------------


def _play(turn: Turn, event: ev.CommandVerified) -> None:
    verified = event.verified
    play = verified.command
    assert isinstance(play, Play)
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "a play that needs the time waits for it"
    item = Item(verified, play, due_at=int(trusted_s), ordered_s=turn.now.mono_s, durable=False)
    refusal = _why_not_play(turn, item, trusted_s)
    if refusal is not None:
        refuse(turn, event, *refusal)
        return
    _make_room(turn, item)
    turn.state = replace(turn.state, programme=prog.enqueue(turn.state.programme, item))
    accept(turn, event, do.KeepItem(play.item, verified.envelope, item.due_at), then=ItemDurable(play.item))


def _why_not_play(turn: Turn, item: Item, trusted_s: float) -> tuple[Reason, str] | None:
    play = item.play
    unsupported = _unsupported(play)
    if unsupported:
        return Reason.NOT_SUPPORTED, f"{unsupported} is not supported by this version"
    unknown = [zone for zone in play.zones if zone not in turn.state.settings.zones] if play.zones else []
    if unknown:
        return Reason.UNKNOWN_ZONE, f"no zone {', '.join(unknown)} here; zones: {', '.join(turn.state.settings.zones)}"
    if prog.find(turn.state.programme, play.item) is not None:
        return Reason.DUPLICATE_ITEM, f"item {play.item} waits or plays already"
    stops = [(iss, stop) for (name, iss), stop in turn.state.stops.items() if name == play.item]
    if any(may_end(iss, stop.may, item) for iss, stop in stops):
        return Reason.STOPPED, f"item {play.item} was stopped before it came"
    if trusted_s > item.not_after:
        return Reason.EXPIRED, "not_after has passed"
    if len(turn.state.programme.waiting) >= prog.MAX_WAITING and _displaced_by(turn, item) is None:
        return Reason.QUEUE_FULL, f"{prog.MAX_WAITING} items wait already"
    return None


def _displaced_by(turn: Turn, item: Item) -> Item | None:
    """The last in a full queue, if it may give way: an emergency finds room whatever else was ordered."""
    last = turn.state.programme.waiting[-1]
    return last if item.play.kind is Kind.EMERGENCY and last.play.kind is not Kind.EMERGENCY else None


def _make_room(turn: Turn, item: Item) -> None:
    if len(turn.state.programme.waiting) < prog.MAX_WAITING:
        return
    displaced = _displaced_by(turn, item)
    if displaced is not None:
        told = f"displaced by emergency {item.play.item}: {prog.MAX_WAITING} items waited"
        drop(turn, displaced.play.item, Outcome("missed", Reason.QUEUE_FULL, told))


def _unsupported(play: Play) -> str:
    """The member that this version cannot honour, or nothing: ignoring one would be a lie."""
    if play.start_at is not UNSET:
        return "start_at"
    if play.repeat and play.repeat.count > 1:
        return "repeat"
    if play.chime:
        return "chime"
    if play.replaces:
        return "replaces"
    return "speech" if any(source.speech is not UNSET for source in play.sources) else ""


# Stop ---------------------------------------------------------------------------------------------------------------


def may_end(iss: str, may: frozenset[str], item: Item) -> bool:
    """Whether a key could have ordered this item itself: else a stolen laptop silences the flood warning."""
    return f"play.{item.play.kind}" in may and ("stop" in may or iss == item.verified.iss)


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
    verified = event.verified
    room = MAX_STOPS - (0 if _is_about_emergencies(verified) else RESERVED)
    if len(turn.state.stops) >= room:
        refuse(turn, event, Reason.QUEUE_FULL, f"{room} stops are remembered already")
        return
    # Without the time no stop of an emergency is obeyed, not even before it comes.
    may = verified.may if turn.trusted_s is not None else verified.may - {"play.emergency"}
    remembered = RememberedStop(may, verified.exp, verified.kids)
    turn.state = replace(turn.state, stops={**turn.state.stops, (name, verified.iss): remembered})
    write = do.RememberStop(name, verified.iss, tuple(sorted(may)), verified.exp, verified.kids)
    accept(turn, event, write, detail=f"item {name} is not here; remembered")


def _stop_all(turn: Turn, event: ev.CommandVerified, stop: Stop) -> None:
    stayed = []
    for name in prog.names(turn.state.programme)[::-1]:  # what waits first, so that nothing begins in between
        item = prog.find(turn.state.programme, name)
        assert item is not None
        emergency_stays = turn.trusted_s is None and item.play.kind is Kind.EMERGENCY
        if may_end(event.verified.iss, event.verified.may, item) and not emergency_stays:
            drop(turn, name, Outcome("stopped", Reason.STOPPED, stop.reason))
        else:
            stayed.append(name)
    accept(turn, event, detail=f"stayed: {', '.join(stayed)}"[:200] if stayed else "")


# Time and reports --------------------------------------------------------------------------------------------------


def _report_now(turn: Turn, event: ev.CommandVerified) -> None:
    turn.state = replace(turn.state, timekeeping=tk.draw_nonce(turn.state.timekeeping, turn.now))
    accept(turn, event, turn.report(status_report(turn, event.verified.jti)))
    publish_state(turn)


def _time(turn: Turn, event: ev.CommandVerified) -> None:
    command = event.verified.command
    assert isinstance(command, Time)
    rooted = ROOTS in event.verified.may
    if turn.trusted_s is not None and not rooted:
        evidence = turn.state.timekeeping.evidence
        refuse(turn, event, Reason.SUPERSEDED, f"the time is known already ({evidence})")
        return
    if not tk.answers(turn.state.timekeeping, command.nonce, turn.now):
        refuse(
            turn,
            event,
            Reason.BAD_NONCE,
            f"the nonce was not published by this node in the last {tk.NONCE_LIFE_S:.0f} s",
        )
        return
    learnt = tk.learn(turn.state.timekeeping, event.verified.iat, turn.now, lowers_floor=rooted)
    turn.state = replace(turn.state, timekeeping=learnt)
    turn.log("clock trusted: time command")
    settings.judge_dates(turn)
    accept(turn, event, *turn.mark())
    publish_state(turn)


_OBEY: Final[dict[type, Callable[[Turn, ev.CommandVerified], None]]] = {
    Play: _play,
    Stop: _stop,
    SetVolume: settings.set_volume,
    SetMute: settings.set_mute,
    ReportNow: _report_now,
    Time: _time,
    SetTrust: set_trust,
    SetSchedule: set_document,
    SetPolicy: set_document,
}
