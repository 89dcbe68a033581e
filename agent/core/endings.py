"""How an attempt, a sounding, an item ends: the next source, the next sounding, or its one record."""

from dataclasses import replace
from typing import Final

from agent.core import policing, retrying, rounds, stages, zones
from agent.core import programme as prog
from agent.core.amplifier import FAULT_REST_S
from agent.core.attempts import give_back, is_on_air, off_air, release, set_attempt, try_source
from agent.core.items import Item, Outcome
from agent.core.pauses import grown_s
from agent.core.records import play_record
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord

_NO_SOURCE_HELPS: Final = {Reason.AMPLIFIER_FAULT, Reason.AMPLIFIER_MAX_ON, Reason.SOUND_CARD}
"""Of these another source would die as well."""

RETRY_GAP_S: Final = 5
"""Least pause before an item that is to sound again does so after a failure: a dead server is not asked for ever."""

HINDERED_MAX_S: Final = 600.0
"""A relay that is broken for good is tried again and again, but less and less: others may sound meanwhile."""


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
        release(turn, attempt)
        turn.state = replace(turn.state, programme=prog.remove(turn.state.programme, attempt))
    programme = prog.without_replaced(prog.without(turn.state.programme, name), name)
    turn.state = replace(turn.state, programme=programme)
    turn.commit(do.ForgetItem(name))  # an earlier one of this name may not have been forgotten for its sake


def end(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """End the item for good: what sounds is silenced and its record waits for the card's last word."""
    if attempt.stage in {Stage.ENDING, Stage.HOLDING}:
        set_attempt(turn, replace(attempt, ending=outcome))
    elif attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        set_attempt(turn, replace(stages.at_stage(attempt, Stage.ENDING, turn.now.mono_s), ending=outcome))
    else:
        finish(turn, attempt, outcome)


def end_source(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """This source has failed: silence what sounds of it, then the next source, or the item's end."""
    if attempt.stage is Stage.SOUNDING:
        turn.do(do.Silence(attempt.token))
        ending = stages.at_stage(attempt, Stage.ENDING, turn.now.mono_s)
        set_attempt(turn, replace(ending, ending=outcome, relay_cut=True))
    else:
        conclude(turn, attempt, outcome)


def conclude(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """After a failure the next source, if there is one and time for it; otherwise this sounding is over, or waits."""
    fallback = outcome.result == "failed" and outcome.reason not in _NO_SOURCE_HELPS
    if outcome.reason is Reason.AMPLIFIER_FAULT and attempt.item.is_emergency:
        _wait_for_relay(turn, attempt)
    elif not fallback:
        finish(turn, attempt, outcome)
    else:
        _go_to_next_source(turn, retrying.failed(attempt, outcome), outcome)


def _go_to_next_source(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    following = stages.next_of(attempt.item, attempt.item.source)
    if following is not None and stages.has_next(attempt):
        turn.warn(f"item {attempt.name}: source {attempt.item.source + 1} failed ({outcome.reason}): {outcome.detail}")
        turn.do(do.Silence(attempt.token))
        release(turn, attempt)
        try_source(turn, attempt, following)
    elif retrying.is_worthwhile(attempt):
        retrying.ask_again(turn, attempt, outcome)
    else:
        sounding_over(turn, attempt, outcome)


def _wait_for_relay(turn: Turn, attempt: Attempt) -> None:
    """No relay of an emergency's can be switched: it goes on where it was once one can, while its window is open."""
    item = attempt.item
    rest_s = grown_s(FAULT_REST_S, item.hindered, HINDERED_MAX_S)
    turn.log(f"item {attempt.name}: waits {rest_s:.0f} s for an amplifier")
    waits = replace(item, hindered=item.hindered + 1, not_before_s=turn.now.mono_s + rest_s)
    give_back(turn, replace(attempt, item=waits))


def sounding_over(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """It sounds again where it is to, after its pause; otherwise the item is over."""
    item = attempt.item
    if item.round + 1 >= item.repeat.count:
        finish(turn, attempt, outcome)
        return
    gap_s = max(item.repeat.gap_s, RETRY_GAP_S if outcome.result == "failed" else 0)
    start_s = rounds.next_start_s(item, gap_s) if item.begun and outcome.result == "played" else None
    not_before_s = turn.now.mono_s + gap_s if start_s is None else float("-inf")
    _go_on(turn, attempt, replace(rounds.following(item), start_s=start_s, not_before_s=not_before_s))


def nothing_left(turn: Turn, attempt: Attempt, told: str, length_s: float | None) -> None:
    """At the offset where it could begin there is nothing more of it, which is so long if that is known.

    The others have gone on to a later sounding, where this node joins them. Where all are over an emergency begins
    anew, while its window is open: it was not heard by those it was for.
    """
    item = attempt.item
    due = None
    if item.is_common and length_s is not None:
        due = rounds.due(item, length_s, turn.wall_s + stages.SOON_S)
    if due is not None:
        _go_on(turn, attempt, due)
    elif item.is_emergency and not (item.is_live and item.interrupted):
        last = item.round if length_s is None or not item.is_common else item.repeat.count - 1
        release(turn, attempt)
        anew = replace(item, round=last, from_s=0.0, start_s=None, begun=False, interrupted=False)
        try_source(turn, replace(attempt, item=anew), item.source)
    elif item.interrupted:
        sounding_over(turn, attempt, Outcome("failed", Reason.RESTART, told))
    else:
        heard = item.started_at is not None
        sounding_over(turn, attempt, Outcome("played" if heard else "missed", Reason.TOO_LATE, told))


def _go_on(turn: Turn, attempt: Attempt, following: Item) -> None:
    """This sounding is over: the item waits for another."""
    release(turn, attempt)
    item = off_air(turn, attempt).item
    following = replace(following, amplifier_on_s=item.amplifier_on_s, off_air_s=item.off_air_s)
    turn.state = replace(turn.state, programme=prog.enqueue(prog.remove(turn.state.programme, attempt), following))
    turn.log(f"item {attempt.name}: sounding {following.round} of {item.repeat.count} is over")


def wait_undecoded(turn: Turn, attempt: Attempt) -> None:
    """Disk or card are slow: give the lane back before it overflows, and decode anew. What was held stays as it is."""
    waited_s = turn.now.mono_s - attempt.began_s
    hopeless = not turn.state.card_open and waited_s >= stages.CARD_WAIT_S and not attempt.item.is_emergency
    if is_on_air(turn, attempt) and hopeless:
        finish(turn, attempt, Outcome("failed", Reason.SOUND_CARD, "it does not open"))
    elif attempt.kept:
        set_attempt(turn, replace(attempt, since_s=turn.now.mono_s))
    else:
        release(turn, attempt)
        try_source(turn, attempt, attempt.item.source)


def finish(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """The item is over: its lane and source are given back, its record is stored."""
    release(turn, attempt)
    attempt = off_air(turn, attempt)
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
    turn.state = replace(turn.state, programme=prog.without_replaced(turn.state.programme, name))
    over = do.ForgetItem(name) if item.slot_until is None else do.SettleSlot(item.verified.iss, name, item.slot_until)
    orders = () if item.durable or item.slot_until is not None else (_remembered(item),)
    turn.commit(turn.report(told), over, *orders, *policing.kept(turn))
    reason = "" if told.reason is None else f" ({told.reason})"
    detail = f": {told.detail}" if isinstance(told.detail, str) else ""
    turn.log(f"item {name}: {told.result}{reason}{detail}")


def _remembered(item: Item) -> do.RememberCommand:
    """Its order is not on the disk, and perhaps never will be: a copy of it must not sound once more."""
    return do.RememberCommand(item.verified.iss, item.verified.jti, item.verified.exp, item.verified.iat)
