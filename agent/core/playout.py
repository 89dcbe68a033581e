"""Play-out: the programme married to amplifier and sound card, as rules.

`advance` runs after every event until nothing changes any more. Each rule looks at the facts and does at most
one thing, so the order in which news arrives does not matter.
"""

from dataclasses import replace
from typing import Final

from agent.core import amplifier as amp
from agent.core import card, policing, windows
from agent.core import items as its
from agent.core import programme as prog
from agent.core.amplifier import Cue, Mode
from agent.core.attempts import (
    conclude,
    drop,
    end,
    end_aside,
    end_source,
    finish,
    give_way,
    held,
    nothing_left,
    open_source,
    put_back,
    set_attempt,
    set_gain,
    wait_undecoded,
    want_card,
)
from agent.core.items import Attempt, Item, Outcome, Stage
from agent.core.records import gain_percent, zones_of
from agent.core.resuming import MAX_CRASHES
from agent.core.state import Turn
from agent.core.zones import (
    cue,
    cut,
    energised_s,
    is_resting,
    needed_zones,
    needs_amplifier_s,
    warm_up_s,
)
from agent.messages import effects as do
from agent.messages.reasons import Reason

JOIN_LEAD_S: Final = 0.5
"""Time to decode before a late node joins at the right offset."""

LATE_S: Final = 1.0
"""So much is left out of the lane; more is sought in the file, which some formats do less exactly."""


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
        limit_s = its.limit_s(attempt)
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
            told = f"its bytes have not come within {its.fetch_wait_s(attempt):.0f} s: does the disk hang?"
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, told))
        case Stage.DECODING if isinstance(attempt.media, do.MediaFile):
            detail = f"no sample within {its.FIRST_SOUND_S} s"
            end_source(turn, attempt, Outcome("failed", Reason.UNDECODABLE, detail))
        case Stage.SOUNDING if attempt.starved_s is None:
            _give_up_card(turn, attempt)
        case Stage.SOUNDING:
            told = f"{its.FIRST_SOUND_S} s more silence than sound"
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, told))
        case _:
            end_source(turn, attempt, Outcome("failed", Reason.STALLED, f"no sound for {its.FIRST_SOUND_S} s"))


def _give_up_card(turn: Turn, attempt: Attempt) -> None:
    """It says nothing any more: close it, and look for it anew. An emergency has another try, but not for ever."""
    told, item = f"the card has not moved for {its.FIRST_SOUND_S} s", attempt.item
    if item.is_emergency and item.crashes + 1 < MAX_CRASHES:
        card.close_hanging(turn, told)
        card.lost(turn, replace(attempt, item=replace(item, crashes=item.crashes + 1)))
    else:
        end(turn, attempt, Outcome("failed", Reason.SOUND_CARD, told))
        card.close_hanging(turn, told)


# Whose turn it is ---------------------------------------------------------------------------------------------------


def _choose(turn: Turn) -> None:
    """Let what has the next turn begin: on the air where it is free, else beside what sounds, to take over."""
    state, trusted_s = turn.state, turn.trusted_s
    if trusted_s is None or not state.player_ready or state.card_fault:
        return
    item = prog.next_up(state.programme, turn.now.mono_s, trusted_s)
    if item is None:
        return
    current, coming = state.programme.current, state.programme.coming
    if coming is not None:
        if item.is_emergency and not coming.item.is_emergency and current is not None:
            put_back(turn, coming)
    elif current is None or _may_prepare(turn, current, item):
        refusal = policing.forbids(turn, item, trusted_s if item.start_s is None else max(trusted_s, item.start_s))
        if refusal is not None:
            begun = item.started_at is not None
            drop(turn, item.play.item, Outcome("stopped" if begun else "missed", *refusal))
        else:
            _begin(turn, item, on_air=current is None)


def _may_prepare(turn: Turn, current: Attempt, item: Item) -> bool:
    """Whether its time on the air comes so soon that it is made ready."""
    if item.is_emergency and current.stage is Stage.ENDING:
        return True
    ahead_s = prog.DECODE_AHEAD_S if item.is_emergency else 0.0
    return prog.takes_over(turn.state.programme, item, turn.now.mono_s + ahead_s)


def _begin(turn: Turn, item: Item, *, on_air: bool) -> None:
    programme = turn.state.programme
    kept = prog.find_attempt(programme, item.play.item)
    if kept is None:
        programme, attempt = prog.begin(programme, item, turn.now.mono_s)
    else:
        programme, attempt = prog.take_back(programme, kept, turn.now.mono_s)
    attempt = replace(attempt, amplifier_base_s=energised_s(turn, item))
    place = replace(programme, current=attempt) if on_air else replace(programme, coming=attempt)
    turn.state = replace(turn.state, programme=place)
    if kept is None:
        open_source(turn, attempt)
    else:
        want_card(turn)


def _hand_over(turn: Turn) -> None:
    """What was made ready takes the air: at once where it is free."""
    programme = turn.state.programme
    current, coming = programme.current, programme.coming
    if coming is None:
        return
    if current is not None:
        ready = coming.stage is Stage.READY and turn.state.card_open and its.may_sound(coming.item, turn.now.mono_s)
        if not ready or not prog.takes_over(programme, coming.item, turn.now.mono_s):
            return
        turn.log(f"item {coming.name} takes the air from {current.name}")
        if current.name in coming.item.replaces:
            end_aside(turn, current, Outcome("stopped", Reason.REPLACED, f"by {coming.name}"))
        else:
            give_way(turn, current)
    fresh = replace(coming, began_s=turn.now.mono_s, amplifier_base_s=energised_s(turn, coming.item))
    turn.state = replace(turn.state, programme=replace(turn.state.programme, current=fresh, coming=None))


# On its way to the card ---------------------------------------------------------------------------------------------


def _decode(turn: Turn) -> None:
    for attempt in (turn.state.programme.current, turn.state.programme.coming):
        if attempt is not None and attempt.stage is Stage.FETCHED and attempt.media is not None:
            _decode_one(turn, attempt, attempt.media)


def _decode_one(turn: Turn, attempt: Attempt, media: its.Media) -> None:
    zones = zones_of(turn.state, attempt.item)
    start_s = turn.mono_of(attempt.item.start_s)
    if any(turn.state.amplifiers[zone].mode is Mode.FAULT for zone in zones):
        finish(turn, attempt, Outcome("failed", Reason.AMPLIFIER_FAULT, "the relay could not be switched lately"))
        return
    if any(is_resting(turn, zone) for zone in zones) and turn.state.programme.current is attempt:
        return
    if start_s is not None and turn.now.mono_s < start_s - prog.DECODE_AHEAD_S:
        return
    item, at_mono_s = _place(turn, attempt.item, start_s)
    if item.samples_left <= 0:
        told = f"{turn.now.mono_s - (start_s or 0):.0f} s after its start nothing of it is left"
        nothing_left(turn, replace(attempt, item=item), told)
        return
    turn.do(do.Decode(attempt.token, media, item.begins_with_chime, item.position_s))
    decoding = its.at_stage(attempt, Stage.DECODING, turn.now.mono_s)
    set_attempt(turn, replace(decoding, item=item, at_mono_s=at_mono_s))


def _place(turn: Turn, item: Item, start_s: float | None) -> tuple[Item, float | None]:
    """Where in the source it begins, and on which instant; a late node joins where the others are by then."""
    if start_s is None or item.used:
        return item, None
    if turn.now.mono_s <= start_s + LATE_S:
        return item, start_s
    at_s = max(turn.now.mono_s + warm_up_s(turn, item) + JOIN_LEAD_S, start_s + item.chime_s)
    return replace(item, from_s=at_s - start_s), None if item.is_live else at_s


def _want(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None or not turn.state.card_open or not its.may_sound(attempt.item, turn.now.mono_s):
        return
    since_s = needs_amplifier_s(turn, attempt)
    if attempt.stage in {Stage.SOUNDING, Stage.ENDING} or since_s is None or turn.now.mono_s < since_s:
        return
    for zone in zones_of(turn.state, attempt.item):
        if amp.takes(turn.state.amplifiers[zone], Cue.WANTED) and not is_resting(turn, zone):
            cue(turn, zone, Cue.WANTED)


def _sound(turn: Turn) -> None:
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage is not Stage.READY or not turn.state.card_open:
        return
    item = attempt.item
    if not its.may_sound(item, turn.now.mono_s):
        return
    if not all(turn.state.amplifiers[zone].mode is Mode.ON for zone in zones_of(turn.state, item)):
        return
    gain = gain_percent(turn.state, item, turn.trusted_s)
    if attempt.kept:
        turn.do(do.ResumeDecoding(attempt.token))
    until_s = windows.closes_s(turn, item)
    turn.do(do.Sound(attempt.token, gain, item.samples_left, attempt.at_mono_s, until_s))
    sounding = its.at_stage(attempt, Stage.SOUNDING, turn.now.mono_s)
    set_attempt(turn, replace(sounding, gain_percent=gain, until_s=until_s, watch=None))


def _police(turn: Turn) -> None:
    """What sounds follows quiet hours, caps and ceilings as the hours pass."""
    attempt, trusted_s = turn.state.programme.current, turn.trusted_s
    if attempt is None or trusted_s is None or not policing.is_watched(attempt):
        return
    watch = policing.watch(turn, attempt)
    if watch is not attempt.watch:
        set_attempt(turn, replace(attempt, watch=watch))
        set_gain(turn)
    if watch.cut is not None and trusted_s >= watch.cut[0]:
        end(turn, replace(attempt, watch=watch), policing.outcome_of(watch.cut))


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
    _choose,
    _hand_over,
    _decode,
    _want,
    _sound,
    _police,
    _release,
    card.close,
)
