"""Attempts: opening a source, leaving the air, ending, falling back to the next source, sounding again, and the record.

Every change of an attempt goes through here; `playout` decides when.
"""

from dataclasses import replace
from typing import Final

from agent.core import items as its
from agent.core import policing, zones
from agent.core import programme as prog
from agent.core.items import SAMPLE_RATE, Attempt, Item, Outcome, Stage
from agent.core.records import gain_percent, play_record
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord
from agent.messages.sources import Builtin, File, Relay, Speech

_NO_SOURCE_HELPS: Final = {Reason.AMPLIFIER_FAULT, Reason.AMPLIFIER_MAX_ON, Reason.SOUND_CARD}
"""Of these another source would die as well."""

RETRY_GAP_S: Final = 5
"""Least pause before an item that is to sound again does so after a failure: a dead server is not asked for ever."""

COMMON_GAP_S: Final = 1.0
"""Least pause between soundings that began on a common instant: time to decode, so that all nodes are ready again."""


def attempt_of(turn: Turn, token: int) -> Attempt | None:
    """The attempt that this news concerns; stale news changes nothing."""
    return next((each for each in prog.attempts(turn.state.programme) if each.token == token), None)


def set_attempt(turn: Turn, attempt: Attempt) -> None:
    """The attempt at this item is now this one."""
    turn.state = replace(turn.state, programme=prog.put(turn.state.programme, attempt))


def is_on_air(turn: Turn, attempt: Attempt) -> bool:
    """Whether it sounds, or is about to."""
    current = turn.state.programme.current
    return current is not None and current.token == attempt.token


# Sources ------------------------------------------------------------------------------------------------------------


def open_source(turn: Turn, attempt: Attempt) -> None:
    """Ask for the present source's bytes, and for the card, which takes its time."""
    want_card(turn)
    match attempt.item.play.sources[attempt.item.source].only:
        case File() as file:
            turn.do(do.FetchFile(attempt.token, file))
        case Relay() as relay:
            turn.do(do.OpenStream(attempt.token, relay))
        case Speech() as speech:
            turn.do(do.Speak(attempt.token, speech))
        case Builtin(name=name):
            fetched = its.at_stage(attempt, Stage.FETCHED, turn.now.mono_s)
            set_attempt(turn, replace(fetched, media=do.MediaBuiltin(name)))


def want_card(turn: Turn) -> None:
    """Let the card run silence."""
    if not turn.state.card_wanted:
        turn.do(do.OpenCard())
        turn.state = replace(turn.state, card_wanted=True)


def _release(turn: Turn, attempt: Attempt) -> None:
    if attempt.stage in {Stage.DECODING, Stage.READY, Stage.HOLDING, Stage.HELD}:
        turn.do(do.Silence(attempt.token))
    turn.do(do.EndDecoding(attempt.token), do.CancelFetch(attempt.token))
    if attempt.stage is Stage.FETCHED and isinstance(attempt.media, do.MediaPipe):
        turn.do(do.ClosePipe(attempt.media.fd))


def _try(turn: Turn, attempt: Attempt, source: int) -> None:
    programme, fresh = prog.again(turn.state.programme, attempt, source, turn.now.mono_s)
    turn.state = replace(turn.state, programme=programme)
    open_source(turn, fresh)


def wait_undecoded(turn: Turn, attempt: Attempt) -> None:
    """Disk or card are slow: give the lane back before it overflows, and decode anew. What was held stays as it is."""
    waited_s = turn.now.mono_s - attempt.began_s
    hopeless = not turn.state.card_open and waited_s >= its.CARD_WAIT_S and not attempt.item.is_emergency
    if is_on_air(turn, attempt) and hopeless:
        finish(turn, attempt, Outcome("failed", Reason.SOUND_CARD, "it does not open"))
    elif attempt.kept:
        set_attempt(turn, replace(attempt, since_s=turn.now.mono_s))
    else:
        _release(turn, attempt)
        _try(turn, attempt, attempt.item.source)


# Leaving the air ----------------------------------------------------------------------------------------------------


def give_way(turn: Turn, attempt: Attempt) -> None:
    """The air is another's: what sounds is held, what does not yet sound waits as if it had not begun."""
    attempt = _off_air(turn, attempt)
    if attempt.item.play.resume is False and not attempt.item.is_emergency:
        turn.state = replace(turn.state, programme=replace(turn.state.programme, current=None))
        end_aside(turn, attempt, Outcome("stopped", Reason.PRE_EMPTED))
    elif attempt.stage is Stage.SOUNDING:
        turn.do(do.Hold(attempt.token), do.PauseDecoding(attempt.token))
        _move_aside(turn, its.at_stage(attempt, Stage.HOLDING, turn.now.mono_s))
    else:
        put_back(turn, attempt)


def end_aside(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """It ends, and does not keep the air until the card has said its last word of it."""
    if attempt.stage is not Stage.SOUNDING:
        finish(turn, attempt, outcome)
        return
    turn.do(do.Silence(attempt.token))
    ending = its.at_stage(_off_air(turn, attempt), Stage.ENDING, turn.now.mono_s)
    _move_aside(turn, replace(ending, ending=outcome, relay_cut=True))


def _move_aside(turn: Turn, attempt: Attempt) -> None:
    programme = prog.remove(turn.state.programme, attempt)
    turn.state = replace(turn.state, programme=replace(programme, aside=(*programme.aside, attempt)))


def give_back(turn: Turn, attempt: Attempt) -> None:
    """Off the air, and into the queue."""
    put_back(turn, _off_air(turn, attempt))


def put_back(turn: Turn, attempt: Attempt) -> None:
    """Into the queue, ahead of its kind, its source given back: it will be begun anew where it was."""
    _release(turn, attempt)
    item = attempt.item
    start_s = None if item.used else item.start_s
    back = replace(item, pre_empted=True, start_s=start_s)
    turn.state = replace(turn.state, programme=prog.enqueue(prog.remove(turn.state.programme, attempt), back))


def held(turn: Turn, attempt: Attempt) -> None:
    """It is silent. A relay goes on without us, and of decoders only so many are kept."""
    attempt = replace(attempt, item=replace(attempt.item, start_s=None))
    set_attempt(turn, its.at_stage(attempt, Stage.HELD, turn.now.mono_s))
    if attempt.ending is not None:
        finish(turn, attempt, attempt.ending)
    elif attempt.item.samples_left <= 0:
        sounding_over(turn, attempt, Outcome("played", Reason.MAX_DURATION))
    elif attempt.item.is_live or attempt.broken is not None:
        put_back(turn, attempt)
    else:
        kept = [each for each in turn.state.programme.aside if each.stage is Stage.HELD]
        for each in kept[: len(kept) - prog.MAX_HELD]:
            put_back(turn, each)


def _off_air(turn: Turn, attempt: Attempt) -> Attempt:
    """The same with what the amplifier was on for it; off the air already, nothing changes."""
    if not is_on_air(turn, attempt):
        return attempt
    on_s = attempt.item.amplifier_on_s + zones.energised_s(turn, attempt.item) - attempt.amplifier_base_s
    item = replace(attempt.item, amplifier_on_s=on_s, off_air_s=turn.now.mono_s)
    return replace(attempt, item=item, amplifier_base_s=zones.energised_s(turn, item))


# The end ------------------------------------------------------------------------------------------------------------


def drop(turn: Turn, name: str, outcome: Outcome) -> None:
    """End the item of this name, whether it waits or sounds; silence first, the record follows."""
    attempt = prog.find_attempt(turn.state.programme, name)
    if attempt is not None:
        end(turn, attempt, outcome)
        return
    item = prog.find(turn.state.programme, name)
    if item is not None:
        turn.state = replace(turn.state, programme=prog.without(turn.state.programme, name))
        record(turn, item, outcome)


def withdraw(turn: Turn, name: str) -> None:
    """It is as if it had not been ordered: it has not sounded, and leaves no record."""
    attempt = prog.find_attempt(turn.state.programme, name)
    if attempt is not None:
        _release(turn, attempt)
        turn.state = replace(turn.state, programme=prog.remove(turn.state.programme, attempt))
    turn.state = replace(turn.state, programme=prog.without(turn.state.programme, name))
    turn.commit(do.ForgetItem(name))  # an earlier one of this name may not have been forgotten for its sake


def end(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """End the item for good: what sounds is silenced and its record waits for the card's last word."""
    if attempt.stage in {Stage.ENDING, Stage.HOLDING}:
        set_attempt(turn, replace(attempt, ending=outcome))
    elif attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        set_attempt(turn, replace(its.at_stage(attempt, Stage.ENDING, turn.now.mono_s), ending=outcome))
    else:
        finish(turn, attempt, outcome)


def end_source(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """This source has failed: silence what sounds of it, then the next source, or the item's end."""
    if attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        ending = its.at_stage(attempt, Stage.ENDING, turn.now.mono_s)
        set_attempt(turn, replace(ending, ending=outcome, relay_cut=True))
    else:
        conclude(turn, attempt, outcome)


def conclude(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """After a failure the next source, if there is one and time for it; otherwise this sounding is over."""
    fallback = outcome.result == "failed" and outcome.reason not in _NO_SOURCE_HELPS
    if not fallback:
        finish(turn, attempt, outcome)
    elif not its.has_next(attempt):
        sounding_over(turn, attempt, outcome)
    else:
        following = attempt.item.source + 1
        turn.warn(f"item {attempt.name}: source {following} failed ({outcome.reason}): {outcome.detail}")
        turn.do(do.Silence(attempt.token))
        _release(turn, attempt)
        _try(turn, attempt, following)


def sounding_over(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """It sounds again where it is to, after its pause; otherwise the item is over."""
    item = attempt.item
    if item.round + 1 >= item.repeat.count:
        finish(turn, attempt, outcome)
        return
    _release(turn, attempt)
    item = _off_air(turn, attempt).item
    gap_s = max(item.repeat.gap_s, RETRY_GAP_S if outcome.result == "failed" else 0)
    following = replace(
        item,
        round=item.round + 1,
        source=0,
        used=0,
        live_samples=0,
        from_s=0.0,
        pre_empted=False,
        begun=False,
        interrupted=False,
        start_s=_next_start_s(item, gap_s) if outcome.result == "played" else None,
        not_before_s=turn.now.mono_s + gap_s,
    )
    if following.start_s is not None:
        following = replace(following, not_before_s=float("-inf"))
    turn.state = replace(turn.state, programme=prog.enqueue(prog.remove(turn.state.programme, attempt), following))
    turn.log(f"item {attempt.name}: sounding {item.round + 1} of {item.repeat.count} is over")


def _next_start_s(item: Item, gap_s: float) -> float | None:
    """Nodes that began together go on together: the next sounding is counted from the end of this one.

    That is the lane's, as all have it: what this node left out of it, or heard at its card's pace, makes no difference.
    """
    if item.start_s is None:
        return None
    return item.start_s + item.from_s + item.used / SAMPLE_RATE + max(gap_s, COMMON_GAP_S)


def nothing_left(turn: Turn, attempt: Attempt, told: str) -> None:
    """At the offset where it could begin there is nothing more of it.

    An emergency that was cut short was not heard by those it was for: it begins anew, while its window is open.
    """
    item = attempt.item
    if not item.interrupted:
        finish(turn, attempt, Outcome("missed", Reason.TOO_LATE, told))
    elif not item.is_emergency or item.is_live:
        sounding_over(turn, attempt, Outcome("failed", Reason.RESTART, told))
    else:
        _release(turn, attempt)
        anew = replace(item, from_s=0.0, start_s=None, begun=False, interrupted=False)
        _try(turn, replace(attempt, item=anew), item.source)


def finish(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """The item is over: its lane and source are given back, its record is stored."""
    _release(turn, attempt)
    attempt = _off_air(turn, attempt)
    turn.state = replace(turn.state, programme=prog.remove(turn.state.programme, attempt))
    if outcome.result == "stopped" and outcome.reason is not Reason.NOT_AFTER:
        zones.cut(turn, attempt.item)
    record(turn, attempt.item, outcome)


def record(turn: Turn, item: Item, outcome: Outcome) -> None:
    """Store the one play record of this item, and forget its order in the same transaction."""
    store_record(turn, item, play_record(turn, item, outcome))


def store_record(turn: Turn, item: Item, told: PlayRecord) -> None:
    """The same with the record as it was told already."""
    name = item.play.item
    over = do.ForgetItem(name) if item.slot_until is None else do.SettleSlot(item.verified.iss, name, item.slot_until)
    orders = () if item.durable or item.slot_until is not None else (_remembered(item),)
    turn.commit(turn.report(told), over, *orders, *policing.kept(turn))
    reason = "" if told.reason is None else f" ({told.reason})"
    detail = f": {told.detail}" if isinstance(told.detail, str) else ""
    turn.log(f"item {name}: {told.result}{reason}{detail}")


def _remembered(item: Item) -> do.RememberCommand:
    """Its order is not on the disk, and perhaps never will be: a copy of it must not sound once more."""
    return do.RememberCommand(item.verified.iss, item.verified.jti, item.verified.exp, item.verified.iat)


def set_gain(turn: Turn) -> None:
    """Volume, mute or a ceiling has changed: the sounding item follows."""
    current = turn.state.programme.current
    if current is not None and current.stage is Stage.SOUNDING:
        gain = gain_percent(turn.state, current.item, turn.trusted_s)
        if gain != current.gain_percent:
            turn.do(do.SetGain(current.token, gain))
            set_attempt(turn, replace(current, gain_percent=gain))
