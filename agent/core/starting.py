"""From a source that is there to the first sample: decoded in time, the amplifier on, and the card told to sound it."""

from dataclasses import replace
from typing import Final

from agent.core import amplifier as amp
from agent.core import policing, replacing, stages, turns, windows
from agent.core.amplifier import Cue, Mode
from agent.core.attempts import set_attempt
from agent.core.endings import conclude, finish, nothing_left
from agent.core.items import Item, Outcome, may_sound
from agent.core.records import gain_percent
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.core.zones import cue, is_faulty, is_resting, needs_amplifier_s, usable, warm_up_s
from agent.messages import effects as do
from agent.messages.reasons import Reason

JOIN_LEAD_S: Final = 0.5
"""Time to decode before a late node joins at the right offset."""

LATE_S: Final = 1.0
"""So much is left out of the lane; more is sought in the file, which some formats do less exactly."""


def decode(turn: Turn) -> None:
    """What is fetched is decoded, what has a set start not long before it."""
    for attempt in (turn.state.programme.current, *turn.state.programme.coming):
        if attempt is not None and attempt.stage is Stage.FETCHED and attempt.media is not None:
            _decode_one(turn, attempt, attempt.media)


def _decode_one(turn: Turn, attempt: Attempt, media: stages.Media) -> None:
    start_s = turn.mono_of(attempt.item.start_s)
    if is_faulty(turn, attempt.item):
        conclude(turn, attempt, Outcome("failed", Reason.AMPLIFIER_FAULT, "the relay could not be switched lately"))
        return
    if any(is_resting(turn, zone) for zone in usable(turn, attempt.item)):
        return  # also what only comes: decoded, it would take the air from what waits for the relay as well
    if start_s is not None and turn.now.mono_s < start_s - turns.DECODE_AHEAD_S:
        return
    item, at_mono_s = _place(turn, attempt.item, start_s)
    if item.samples_left <= 0 and (item.is_endless or item.repeat.count == 1):
        told = f"{turn.now.mono_s - (start_s or 0):.0f} s after its start nothing of it is left"
        nothing_left(turn, replace(attempt, item=item), told, float(item.play.max_duration_s))
        return  # otherwise the decoder is asked how long it is, for the sounding that is due
    turn.do(do.Decode(attempt.token, media, item.begins_with_chime, item.position_s))
    decoding = stages.at_stage(attempt, Stage.DECODING, turn.now.mono_s)
    set_attempt(turn, replace(decoding, item=item, at_mono_s=at_mono_s))


def _place(turn: Turn, item: Item, start_s: float | None) -> tuple[Item, float | None]:
    """Where in the source it begins, and on which instant; a late node joins where the others are by then."""
    if start_s is None or item.used:
        return item, None
    if turn.now.mono_s <= start_s + LATE_S:
        return item, start_s
    at_s = max(turn.now.mono_s + warm_up_s(turn, item) + JOIN_LEAD_S, start_s + item.chime_s)
    return replace(item, from_s=at_s - start_s), None if item.is_live else at_s


def want(turn: Turn) -> None:
    """Switch the zones on of what is on the air, in time for it."""
    attempt = turn.state.programme.current
    if attempt is None or not turn.state.card_open or not may_sound(attempt.item, turn.now.mono_s):
        return
    since_s = needs_amplifier_s(turn, attempt)
    if attempt.stage in {Stage.SOUNDING, Stage.ENDING} or since_s is None or turn.now.mono_s < since_s:
        return
    for zone in usable(turn, attempt.item):
        if amp.takes(turn.state.amplifiers[zone], Cue.WANTED) and not is_resting(turn, zone):
            cue(turn, zone, Cue.WANTED)


def sound(turn: Turn) -> None:
    """What is ready sounds once its amplifiers are warm."""
    attempt = turn.state.programme.current
    if attempt is None or attempt.stage is not Stage.READY or not turn.state.card_open:
        return
    item = attempt.item
    if not may_sound(item, turn.now.mono_s):
        return
    if not all(turn.state.amplifiers[zone].mode is Mode.ON for zone in usable(turn, item)):
        return
    refusal = policing.refusal(turn, item)
    if refusal is not None:
        finish(turn, attempt, refusal)
        return
    gain = gain_percent(turn.state, item, policing.begins_s(turn, item))
    if attempt.kept:
        turn.do(do.ResumeDecoding(attempt.token))
    until_s = windows.closes_s(turn, item)
    paced = item.is_common and attempt.at_mono_s is None  # gone on with, or live: as the others do, by the clock
    turn.do(do.Sound(attempt.token, gain, item.samples_left, attempt.at_mono_s, until_s, paced))
    sounding = stages.at_stage(attempt, Stage.SOUNDING, turn.now.mono_s)
    set_attempt(turn, replace(stages.at_gain(sounding, gain), until_s=until_s, ends_s=None, watch=None))
    replacing.take_place(turn, item)
