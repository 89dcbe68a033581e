"""Who gets the air: what has the next turn is made ready, and takes it over once it can sound."""

from dataclasses import replace
from typing import Final

from agent.core import policing, stages, turns
from agent.core import programme as prog
from agent.core.attempts import give_back, open_source, put_back, want_card
from agent.core.endings import drop
from agent.core.items import Item, Outcome, may_sound
from agent.core.leaving import end_aside, give_way, let_end
from agent.core.records import zones_of
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.core.zones import energised_s, needs_amplifier_s, warm_up_s
from agent.messages.reasons import Reason

ON_ITS_HEELS_S: Final = 0.2
"""What follows another on its heels is given to the card so long before the other has ended. An emergency that comes
then waits for the rest of that."""


_UNHEARD: Final = {Stage.FETCHING, Stage.FETCHED, Stage.DECODING, Stage.READY}


def put_off(turn: Turn) -> None:
    """The clock was set back: what was made ready for an instant that is far ahead now keeps nobody from the air."""
    offset_s = turn.state.timekeeping.offset_s
    if offset_s is None:
        return
    for attempt in (turn.state.programme.current, *turn.state.programme.coming):
        if attempt is None or attempt.stage not in _UNHEARD or attempt.item.start_s is None:
            continue
        if turns.opens_s(attempt.item, offset_s) > turn.now.mono_s + policing.CLOCK_SET_S:
            turn.log(f"item {attempt.name}: waits for its start, which is ahead again")
            give_back(turn, attempt)


def choose(turn: Turn) -> None:
    """Let what has the next turn be made ready, if it may have the air soon, beside what is."""
    state, trusted_s = turn.state, turn.trusted_s
    if trusted_s is None or not state.player_ready or state.card_fault:
        return
    item = turns.next_up(state.programme, turn.now.mono_s, trusted_s)
    if item is None or not _comes_soon(turn, item) or not _make_room(turn, item):
        return
    refusal = policing.refusal(turn, item)
    if refusal is not None:
        drop(turn, item.play.item, refusal)
    else:
        _begin(turn, item)


def _comes_soon(turn: Turn, item: Item) -> bool:
    """Whether its time on the air is so near that it is made ready."""
    if _is_kept_from(turn, item):
        return False
    current = turn.state.programme.current
    if current is None or (item.is_emergency and current.stage is Stage.ENDING):
        return True
    if _follows(turn, item, stages.ends_by_s(current)):
        return True
    ahead_s = max(0.0, turns.DECODE_AHEAD_S - warm_up_s(turn, item)) if item.is_emergency else 0.0
    return turns.takes_over(turn.state.programme, item, turn.now.mono_s + ahead_s)


def _is_kept_from(turn: Turn, item: Item) -> bool:
    offset_s = turn.state.timekeeping.offset_s
    return offset_s is not None and turns.is_kept_from(turn.state.programme, item, turn.now.mono_s, offset_s)


def _follows(turn: Turn, item: Item, ends_s: float | None) -> bool:
    """Whether it is set to start when what sounds is over: a slot at the end of another's window."""
    start_s = turn.mono_of(item.start_s)
    return ends_s is not None and start_s is not None and ends_s <= start_s + turns.FOLLOWS_S


def _make_room(turn: Turn, item: Item) -> bool:
    """Whether it may be made ready beside what is: what is not there yet keeps no emergency waiting, others not long.

    What would only stand in the way of an emergency goes back into the queue.
    """
    for rival in turn.state.programme.coming:
        if not _makes_room(turn, rival, item):
            return False
        if item.is_emergency and not rival.item.is_emergency and rival.stage is not Stage.FETCHING:
            put_back(turn, rival)
    return len(turn.state.programme.coming) < prog.MAX_COMING or _give_up_slowest(turn, item)


def _makes_room(turn: Turn, rival: Attempt, item: Item) -> bool:
    if not item.is_emergency or item.play.item in rival.item.replaces:
        return stages.is_slow(rival, turn.now.mono_s)
    current = turn.state.programme.current
    replaces = current is not None and current.name in item.replaces
    return replaces or not rival.item.is_emergency or rival.stage is not Stage.READY


def _give_up_slowest(turn: Turn, item: Item) -> bool:
    """For an emergency what is fetched for longest goes back into the queue, the ordinary first, emergencies last."""
    at_s = turn.now.mono_s
    slow = [each for each in turn.state.programme.coming if stages.is_slow(each, at_s)]
    if not item.is_emergency or not slow:
        return False
    slowest = min(slow, key=lambda each: (each.item.is_emergency, each.since_s))
    put_back(turn, replace(slowest, item=replace(slowest.item, off_air_s=at_s)))
    return True


def _begin(turn: Turn, item: Item) -> None:
    programme = turn.state.programme
    kept = prog.find_attempt(programme, item.play.item)
    if kept is None:
        programme, attempt = prog.begin(programme, item, turn.now.mono_s)
    else:
        programme, attempt = prog.take_back(programme, kept, turn.now.mono_s)
    turn.state = replace(turn.state, programme=replace(programme, coming=(*programme.coming, attempt)))
    if kept is None:
        open_source(turn, attempt)
    else:
        want_card(turn)


def hand_over(turn: Turn) -> None:
    """What was made ready takes the air from what has it; where it is free, as soon as its source is there."""
    programme = turn.state.programme
    current = programme.current
    able = [each for each in programme.coming if _may_take(turn, each)]
    if not able:
        return
    attempt = min(able, key=lambda each: (each.stage is not Stage.READY, not each.item.is_emergency))
    began_s = turn.now.mono_s
    if current is not None:
        turn.log(f"item {attempt.name} takes the air from {current.name}")
        if current.ends_s is not None and _is_on_its_heels(turn, current, attempt):
            let_end(turn, current, current.ends_s)
        elif current.name in attempt.item.replaces:
            began_s = current.began_s  # it has the other's turn, of which others await the end
            end_aside(turn, current, Outcome("stopped", Reason.REPLACED, f"by {attempt.name}"))
        else:
            give_way(turn, current)
    fresh = replace(attempt, began_s=began_s, amplifier_base_s=energised_s(turn, attempt.item))
    turn.state = replace(turn.state, programme=replace(prog.remove(turn.state.programme, attempt), current=fresh))


def _may_take(turn: Turn, attempt: Attempt) -> bool:
    current = turn.state.programme.current
    if _is_kept_from(turn, attempt.item):
        return False
    if current is None:
        return attempt.stage is not Stage.FETCHING
    takes_over = turns.takes_over(turn.state.programme, attempt.item, turn.now.mono_s)
    return is_ready(turn, attempt) and (takes_over or _is_on_its_heels(turn, current, attempt))


def _is_on_its_heels(turn: Turn, current: Attempt, attempt: Attempt) -> bool:
    """What sounds is about to end, and this one is to be given to the card before that, or its head would be lost."""
    if current.ends_s is None or turn.now.mono_s < current.ends_s - ON_ITS_HEELS_S:
        return False
    same = set(zones_of(turn.state, current.item)) <= set(zones_of(turn.state, attempt.item))
    return same and current.stage is Stage.SOUNDING and _follows(turn, attempt.item, current.ends_s)


def is_ready(turn: Turn, attempt: Attempt) -> bool:
    """Whether it could sound at once, or on its instant."""
    since_s = needs_amplifier_s(turn, attempt)
    in_time = since_s is not None and turn.now.mono_s >= since_s
    return (
        in_time and attempt.stage is Stage.READY and turn.state.card_open and may_sound(attempt.item, turn.now.mono_s)
    )


def wait_again(turn: Turn) -> None:
    """What was made ready for a turn that another has goes back into the queue; what is fetched goes on."""
    for attempt in turn.state.programme.coming:
        if attempt.stage is not Stage.FETCHING and not _comes_soon(turn, attempt.item):
            put_back(turn, attempt)
