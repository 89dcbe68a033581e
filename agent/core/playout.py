"""Play-out: the programme married to amplifier and sound card, as rules.

`advance` runs after every event until nothing changes any more. Each rule looks at the facts and does at most
one thing, so the order in which news arrives does not matter.
"""

from dataclasses import replace

from agent.core import amplifier as amp
from agent.core import programme as prog
from agent.core.amplifier import ENERGISED, Cue, Mode
from agent.core.attempts import (
    conclude,
    cue,
    cut,
    drop,
    end,
    end_source,
    finish,
    give_up_card,
    is_resting,
    open_source,
    set_attempt,
    wait_undecoded,
)
from agent.core.programme import Outcome, Stage
from agent.core.records import gain_percent, zones_of
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.reasons import Reason


def advance(turn: Turn) -> None:
    """Bring the world to what the state asks for."""
    rules = (_expire, _run_timers, _be_impatient, _begin, _decode, _want, _sound, _release, _close_card)
    changed = True
    while changed:
        changed = False
        for rule in rules:
            before = turn.state
            rule(turn)
            changed = changed or turn.state is not before


def _expire(turn: Turn) -> None:
    trusted_s = turn.trusted_s
    if trusted_s is None:
        return
    for item in turn.state.programme.waiting:
        if trusted_s > item.not_after:
            drop(turn, item.play.item, Outcome("missed", Reason.NOT_AFTER))
    current = turn.state.programme.current
    if current is not None and current.stage is not Stage.ENDING and trusted_s > current.item.not_after:
        begun = current.item.started_at is not None
        end(turn, current, Outcome("stopped" if begun else "missed", Reason.NOT_AFTER))


def _run_timers(turn: Turn) -> None:
    for zone, settings in turn.state.settings.zones.items():
        due = amp.due(turn.state.amplifiers[zone], settings, turn.now.mono_s)
        if due is None:
            continue
        cue(turn, zone, due)
        current = turn.state.programme.current
        if due is Cue.MAX_ON and current is not None and zone in _held_zones(turn):
            end(turn, current, Outcome("failed", Reason.AMPLIFIER_MAX_ON))


def _be_impatient(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None:
        return
    limit_s = prog.limit_s(attempt)
    if limit_s is None or turn.now.mono_s < limit_s:
        return
    match attempt.stage:
        case Stage.ENDING if not attempt.relay_cut:
            set_attempt(turn, replace(attempt, relay_cut=True))
            cut(turn, attempt.item)
        case Stage.ENDING:
            conclude(turn, attempt, attempt.ending or Outcome("failed", Reason.SOUND_CARD))
        case Stage.READY:
            wait_undecoded(turn, attempt)
        case Stage.DECODING if isinstance(attempt.media, do.MediaFile):
            detail = f"no sample within {prog.FIRST_SOUND_S} s"
            end_source(turn, attempt, Outcome("failed", Reason.UNDECODABLE, detail))
        case Stage.SOUNDING if attempt.starved_s is None:
            give_up_card(turn, attempt)
        case Stage.SOUNDING:
            told = f"{prog.FIRST_SOUND_S} s more silence than sound"
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, told))
        case _:
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, f"no sound for {prog.FIRST_SOUND_S} s"))


def _begin(turn: Turn) -> None:
    state = turn.state
    if state.programme.current is not None or not state.programme.waiting:
        return
    if turn.trusted_s is None or not state.player_ready:
        return
    first_zone = state.amplifiers[zones_of(state, state.programme.waiting[0])[0]]
    begun = prog.begin(state.programme, turn.now.mono_s, amp.energised_s(first_zone, turn.now.mono_s))
    turn.state = replace(state, programme=begun)
    open_source(turn)


def _decode(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage is not Stage.FETCHED or attempt.media is None:
        return
    zones = zones_of(turn.state, attempt.item)
    if any(turn.state.amplifiers[zone].mode is Mode.FAULT for zone in zones):
        finish(turn, attempt, Outcome("failed", Reason.AMPLIFIER_FAULT, "the relay could not be switched lately"))
    elif not any(is_resting(turn, zone) for zone in zones):
        turn.do(do.Decode(attempt.token, attempt.media))
        set_attempt(turn, prog.at_stage(attempt, Stage.DECODING, turn.now.mono_s))


def _want(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage is not Stage.READY:
        return
    if not turn.state.card_open or not prog.may_sound(attempt.item, turn.now.mono_s):
        return
    for zone in zones_of(turn.state, attempt.item):
        if amp.takes(turn.state.amplifiers[zone], Cue.WANTED) and not is_resting(turn, zone):
            cue(turn, zone, Cue.WANTED)


def _sound(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage is not Stage.READY or not turn.state.card_open:
        return
    zones = zones_of(turn.state, attempt.item)
    if not prog.may_sound(attempt.item, turn.now.mono_s):
        return
    if all(turn.state.amplifiers[zone].mode is Mode.ON for zone in zones):
        item = attempt.item
        turn.do(do.Sound(attempt.token, gain_percent(turn.state, item), item.samples_left))
        set_attempt(turn, prog.at_stage(attempt, Stage.SOUNDING, turn.now.mono_s))


def _release(turn: Turn) -> None:
    held = _held_zones(turn)
    for zone, amplifier in turn.state.amplifiers.items():
        if zone not in held and amp.takes(amplifier, Cue.RELEASED):
            cue(turn, zone, Cue.RELEASED)


def _close_card(turn: Turn) -> None:
    state = turn.state
    if not state.card_wanted or state.programme.current is not None:
        return
    if not any(amplifier.mode in ENERGISED for amplifier in state.amplifiers.values()):
        turn.do(do.CloseCard())
        turn.state = replace(state, card_wanted=False, card_open=False, card_fault="")


def _held_zones(turn: Turn) -> tuple[str, ...]:
    """The zones that the current attempt needs on, now or in a moment."""
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage not in {Stage.READY, Stage.SOUNDING, Stage.ENDING}:
        return ()
    return zones_of(turn.state, attempt.item)
