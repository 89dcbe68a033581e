"""What becomes of a command: exactly one outcome, stored before it is acknowledged and acted upon (`answers`).

Orders that make silence (`stop`, muting) act first and are stored after. `set_trust` is decided in `trusting`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent.core import programme as prog
from agent.core import timekeeping as tk
from agent.core import unjudged
from agent.core.answers import accept, forget_expired, refuse
from agent.core.attempts import drop, set_gain
from agent.core.copies import take_copy
from agent.core.heartbeat import publish_state, status_report
from agent.core.programme import Item, Outcome
from agent.core.state import MAX_ACCEPTED, RememberedStop, Setting, Turn
from agent.core.trusting import set_trust
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.absent import UNSET
from agent.messages.commands import (
    ROOTS,
    Kind,
    Play,
    ReportNow,
    SetMute,
    SetTrust,
    SetVolume,
    Stop,
    Time,
)
from agent.messages.reasons import Reason

MAX_STOPS: Final = 1_000
"""Stops remembered for items that have not come: a slot each, until their `exp`."""


def on_verified(turn: Turn, event: ev.CommandVerified) -> None:
    """A command whose signatures, dates and permissions hold: seen before, refused by circumstances, or accepted."""
    verified = event.verified
    signers = ", ".join(verified.kids)
    turn.log(f"command {verified.jti} received: {len(verified.envelope)} bytes, signed by {signers}")
    forget_expired(turn)
    key = verified.iss, verified.jti
    if event.delivery.connection == ev.FROM_STORE:
        if key not in turn.state.unjudged:  # it has its outcome
            return
    elif take_copy(turn, key, event.delivery):
        return
    dated = not isinstance(verified.command, SetTrust | Time)
    if dated and tk.is_forgotten(turn.state.timekeeping, verified.iat):
        refuse(turn, event, Reason.BEFORE_MEMORY, f"this node remembers since {turn.state.timekeeping.mark_s}")
        return
    if unjudged.needs_time(turn, verified):
        unjudged.keep(turn, event)
        return
    # A stolen key that fills the table must not keep out its own revocation, which needs no such memory.
    if len(turn.state.accepted) >= MAX_ACCEPTED and not isinstance(verified.command, SetTrust):
        refuse(turn, event, Reason.REPLAY_TABLE_FULL, f"{MAX_ACCEPTED} live commands are remembered already")
        return
    _OBEY[type(verified.command)](turn, event)


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
    turn.state = replace(turn.state, programme=prog.enqueue(turn.state.programme, item))
    accept(turn, event, do.KeepItem(play.item, verified.envelope, item.due_at), item=play.item)


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
    if len(turn.state.programme.waiting) >= prog.MAX_WAITING:
        return Reason.QUEUE_FULL, f"{prog.MAX_WAITING} items wait already"
    return None


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
    if len(turn.state.stops) >= MAX_STOPS:
        refuse(turn, event, Reason.QUEUE_FULL, f"{MAX_STOPS} stops are remembered already")
        return
    verified = event.verified
    remembered = RememberedStop(verified.may, verified.exp)
    turn.state = replace(turn.state, stops={**turn.state.stops, (name, verified.iss): remembered})
    write = do.RememberStop(name, verified.iss, tuple(sorted(verified.may)), verified.exp)
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


# Settings, time, reports --------------------------------------------------------------------------------------------


def _set_volume(turn: Turn, event: ev.CommandVerified) -> None:
    command = event.verified.command
    assert isinstance(command, SetVolume)
    _set(turn, event, "volume_percent", turn.state.volume, command.percent)


def _set_mute(turn: Turn, event: ev.CommandVerified) -> None:
    command = event.verified.command
    assert isinstance(command, SetMute)
    if command.muted and event.verified.iat >= turn.state.muted.iat:  # what makes silence acts first
        turn.state = replace(turn.state, muted=replace(turn.state.muted, value=1))
        set_gain(turn)
    _set(turn, event, "muted", turn.state.muted, int(command.muted))


def _set(turn: Turn, event: ev.CommandVerified, name: str, present: Setting, value: int) -> None:
    iat = event.verified.iat
    if iat < present.iat:
        refuse(turn, event, Reason.SUPERSEDED, f"{name} was set by a command issued later")
        return
    accept(turn, event, do.KeepSetting(name, value, iat), setting=(name, Setting(value, iat)))


def apply_setting(turn: Turn, name: str, setting: Setting) -> None:
    """A setting is on the disk and comes into force."""
    if name == "volume_percent":
        turn.state = replace(turn.state, volume=setting)
    else:
        turn.state = replace(turn.state, muted=setting)
    set_gain(turn)
    turn.log(f"{name} is now {setting.value}")


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
    accept(turn, event, *turn.mark())
    publish_state(turn)


_OBEY: Final[dict[type, Callable[[Turn, ev.CommandVerified], None]]] = {
    Play: _play,
    Stop: _stop,
    SetVolume: _set_volume,
    SetMute: _set_mute,
    ReportNow: _report_now,
    Time: _time,
    SetTrust: set_trust,
}
