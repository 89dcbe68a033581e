"""Play-out: the programme married to amplifier and sound card, as rules.

`advance` runs after every event until nothing changes any more. Each rule looks at the facts and does at most
one thing, so the order in which news arrives does not matter.
"""

from dataclasses import replace
from typing import Final

from agent.core import amplifier as amp
from agent.core import card, policing, prefetching, stages, windows
from agent.core import programme as prog
from agent.core.air import choose, hand_over, put_off, wait_again
from agent.core.amplifier import Cue
from agent.core.attempts import set_attempt, set_gain
from agent.core.endings import conclude, drop, end, end_source, wait_undecoded
from agent.core.items import Outcome
from agent.core.leaving import give_way, held
from agent.core.resuming import MAX_CRASHES
from agent.core.stages import Attempt, Stage
from agent.core.starting import decode, sound, want
from agent.core.state import Turn
from agent.core.zones import cue, cut, needed_zones
from agent.messages import effects as do
from agent.messages.reasons import Reason


def advance(turn: Turn) -> None:
    """Bring the world to what the state asks for."""
    changed = True
    while changed:
        changed = False
        for rule in _RULES:
            before = turn.state
            rule(turn)
            changed = changed or turn.state is not before


def _expire(turn: Turn) -> None:
    for item in prog.items(turn.state.programme):
        expires_s = windows.expires_s(turn, item)
        if expires_s is not None and turn.now.mono_s >= expires_s:
            drop(turn, item.play.item, windows.passed(turn, item))


def _run_timers(turn: Turn) -> None:
    for zone, settings in turn.state.settings.zones.items():
        due = amp.due(turn.state.amplifiers[zone], settings, turn.now.mono_s)
        if due is None:
            continue
        held_for = needed_zones(turn)
        cue(turn, zone, due)
        current = turn.state.programme.current
        if due is Cue.MAX_ON and current is not None and zone in held_for:
            _rest(turn, current)


def _rest(turn: Turn, current: Attempt) -> None:
    """The amplifier's longest time on has come: an emergency goes on after the minimum off time, others are over."""
    if not current.item.is_emergency:
        end(turn, current, Outcome("failed", Reason.AMPLIFIER_MAX_ON))
    elif current.stage is Stage.SOUNDING:
        turn.warn(f"item {current.name} pauses: the amplifier has been on for the maximum")
        give_way(turn, current)


def _be_impatient(turn: Turn) -> None:
    for attempt in prog.attempts(turn.state.programme):
        limit_s = stages.limit_s(attempt)
        if limit_s is not None and turn.now.mono_s >= limit_s:
            _lose_patience(turn, attempt)
            return  # the others' turn comes in the next round, on the state as it is then


def _lose_patience(turn: Turn, attempt: Attempt) -> None:
    match attempt.stage:
        case Stage.ENDING if not attempt.relay_cut:
            set_attempt(turn, replace(attempt, relay_cut=True))
            cut(turn, attempt.item)
        case Stage.ENDING:
            conclude(turn, attempt, attempt.ending or Outcome("failed", Reason.SOUND_CARD))
        case Stage.HOLDING:
            held(turn, attempt)
        case Stage.READY:
            wait_undecoded(turn, attempt)
        case Stage.FETCHING:
            prefetching.want_soon(turn, attempt.item.play.sources[attempt.item.source])
            told = f"its bytes have not come within {stages.fetch_wait_s(attempt):.0f} s"
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, told))
        case Stage.DECODING if isinstance(attempt.media, do.MediaFile):
            detail = f"no sample within {stages.FIRST_SOUND_S} s"
            end_source(turn, attempt, Outcome("failed", Reason.UNDECODABLE, detail))
        case Stage.SOUNDING if attempt.starved_s is None:
            _give_up_card(turn, attempt)
        case Stage.SOUNDING:
            told = f"{stages.FIRST_SOUND_S} s more silence than sound"
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, told))
        case _:
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, f"no sound for {stages.FIRST_SOUND_S} s"))


def _give_up_card(turn: Turn, attempt: Attempt) -> None:
    """It says nothing any more: close it, and look for it anew. An emergency has another try, but not for ever."""
    told, item = f"the card has not moved for {stages.FIRST_SOUND_S} s", attempt.item
    if item.is_emergency and item.crashes + 1 < MAX_CRASHES:
        card.close_hanging(turn, told)
        card.lost(turn, replace(attempt, item=replace(item, crashes=item.crashes + 1)))
    else:
        end(turn, attempt, Outcome("failed", Reason.SOUND_CARD, told))
        card.close_hanging(turn, told)


def _police(turn: Turn) -> None:
    """What sounds follows quiet hours, caps and ceilings as the hours pass."""
    attempt = turn.state.programme.current
    if attempt is None or turn.trusted_s is None or not policing.is_watched(attempt):
        return
    watch = policing.watch(turn, attempt)
    if watch is not attempt.watch:
        set_attempt(turn, replace(attempt, watch=watch))
        set_gain(turn)
    outcome = policing.cut_now(turn, attempt, watch)
    if outcome is not None:
        end(turn, replace(attempt, watch=watch), outcome)


def _release(turn: Turn) -> None:
    needed = needed_zones(turn)
    for zone, amplifier in turn.state.amplifiers.items():
        if zone not in needed and amp.takes(amplifier, Cue.RELEASED):
            cue(turn, zone, Cue.RELEASED)


_RULES: Final = (
    _expire,
    _run_timers,
    _be_impatient,
    card.wait,
    put_off,
    choose,
    hand_over,
    wait_again,
    decode,
    want,
    sound,
    _police,
    _release,
    card.close,
)
