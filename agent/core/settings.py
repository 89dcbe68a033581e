"""Volume and mute, set by command: they survive a restart, and the one that was issued last holds (protocol 4)."""

from dataclasses import replace
from typing import Final

from agent.core.answers import accept, refuse
from agent.core.attempts import set_gain
from agent.core.pending import Setting, SettingInForce
from agent.core.state import Turn, being_stored
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import SetMute, SetVolume, Stop
from agent.messages.reasons import Reason

MAX_AHEAD_S: Final = 300
"""How far a sender's clock may run ahead of trusted time (protocol section 3)."""


def set_volume(turn: Turn, event: ev.CommandVerified) -> None:
    """The volume of items that name none."""
    command = event.verified.command
    assert isinstance(command, SetVolume)
    _set(turn, event, "volume_percent", turn.state.volume, command.percent)


def set_mute(turn: Turn, event: ev.CommandVerified) -> None:
    """Silence for all but emergencies, or its end."""
    command = event.verified.command
    assert isinstance(command, SetMute)
    if command.muted and event.verified.iat >= _newest_iat(turn, "muted", turn.state.muted):  # silence acts first
        turn.state = replace(turn.state, muted=replace(turn.state.muted, value=1))
        set_gain(turn)
    _set(turn, event, "muted", turn.state.muted, int(command.muted))


def _set(turn: Turn, event: ev.CommandVerified, name: str, present: Setting, value: int) -> None:
    iat = event.verified.iat
    if iat < _newest_iat(turn, name, present):
        refuse(turn, event, Reason.SUPERSEDED, f"{name} was set by a command issued later")
        return
    accept(turn, event, do.KeepSetting(name, value, iat), then=SettingInForce(name, Setting(value, iat)))


def _newest_iat(turn: Turn, name: str, present: Setting) -> int:
    awaited = [each.setting.iat for each in being_stored(turn.state, SettingInForce) if each.name == name]
    return max((present.iat, *awaited))


def judge_dates(turn: Turn) -> None:
    """The time is known: what was obeyed without it, dated ahead, binds no longer than if it were dated now.

    A laptop that says 2028 must not keep a pole mute until then, nor a name from being heard.
    """
    trusted_s = turn.trusted_s
    if trusted_s is None:
        return
    latest_s = trusted_s + MAX_AHEAD_S
    for name, present in (("volume_percent", turn.state.volume), ("muted", turn.state.muted)):
        if present.iat > latest_s:
            setting = replace(present, iat=int(trusted_s))
            turn.warn(f"{name} was set by a command dated ahead: it counts as set now")
            turn.commit(do.KeepSetting(name, setting.value, setting.iat))
            _put(turn, name, setting)
    stops = {stop: exp for stop, exp in turn.state.stops.items() if exp <= latest_s + Stop.MAX_LIFETIME_S}
    if len(stops) != len(turn.state.stops):
        turn.warn(f"{len(turn.state.stops) - len(stops)} remembered stops were dated ahead, and are forgotten")
        turn.state = replace(turn.state, stops=stops)


def apply_setting(turn: Turn, name: str, setting: Setting) -> None:
    """A setting is on the disk and comes into force; one that was stored late, after a newer, does not."""
    present = turn.state.volume if name == "volume_percent" else turn.state.muted
    if setting.iat < present.iat:
        return
    _put(turn, name, setting)
    set_gain(turn)
    turn.log(f"{name} is now {setting.value}")
    judge_dates(turn)  # the time may have come while it was being stored


def _put(turn: Turn, name: str, setting: Setting) -> None:
    if name == "volume_percent":
        turn.state = replace(turn.state, volume=setting)
    else:
        turn.state = replace(turn.state, muted=setting)
