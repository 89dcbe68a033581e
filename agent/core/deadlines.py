"""When the programme has something to do without any event: every rule of `playout` that waits for the clock."""

from agent.core import air, card, prefetching, stages, turns, windows
from agent.core import items as its
from agent.core import programme as prog
from agent.core.items import Item
from agent.core.stages import Attempt, Stage
from agent.core.state import State, Turn
from agent.core.zones import needs_amplifier_s, warm_up_s
from agent.messages.events import Now


def of_programme(state: State, now: Now) -> list[float | None]:
    """Monotonic instants; those of conditions that something else keeps waiting lie in the future or are left out."""
    turn = Turn(state, now)
    instants: list[float | None] = [stages.limit_s(each) for each in prog.attempts(state.programme)]
    instants += prefetching.deadlines(state)
    later: list[float | None] = [*card.deadlines(turn)]
    for attempt in prog.attempts(state.programme):
        later += _of_attempt(turn, attempt)
    for item in prog.items(state.programme):
        later += _of_item(turn, item)
    later += _turn_end(turn)
    offset_s = state.timekeeping.offset_s
    if offset_s is not None:
        instants.append(state.schedule.next_s - offset_s)
    return [*instants, *(each for each in later if each is not None and each > now.mono_s)]


def _of_attempt(turn: Turn, attempt: Attempt) -> list[float | None]:
    start_s = turn.mono_of(attempt.item.start_s)
    instants = [needs_amplifier_s(turn, attempt)]
    if attempt.stage is Stage.FETCHING:
        instants.append(attempt.since_s + stages.FETCH_PATIENCE_S)
    if start_s is not None and attempt.stage is Stage.FETCHED:
        instants.append(start_s - turns.DECODE_AHEAD_S)
    if attempt.ends_s is not None:
        instants.append(attempt.ends_s - air.ON_ITS_HEELS_S)
    if attempt.watch is not None:
        instants.append(_mono(turn, attempt.watch.change_s))
        instants.append(_mono(turn, attempt.watch.cut[0] if attempt.watch.cut else None))
    return instants


def _of_item(turn: Turn, item: Item) -> list[float | None]:
    instants: list[float | None] = [windows.expires_s(turn, item)]
    if not item.durable and its.commit_wait_s(item) < float("inf"):
        instants.append(item.ordered_s + its.commit_wait_s(item))
    offset_s = turn.state.timekeeping.offset_s
    if offset_s is not None:
        opens_s = turns.opens_s(item, offset_s)
        instants += [opens_s, opens_s - turns.PAUSE_S]
    return instants


def _mono(turn: Turn, wall_s: float | None) -> float | None:
    offset_s = turn.state.timekeeping.offset_s
    return None if wall_s is None or offset_s is None else wall_s - offset_s


def _turn_end(turn: Turn) -> list[float]:
    """When an emergency on the air gives way to another, and when that one is made ready."""
    programme = turn.state.programme
    current = programme.current
    if current is None or not current.item.is_emergency:
        return []
    instants: list[float] = []
    for item in prog.items(programme):
        if item.is_emergency and item.play.item != current.name:
            end_s = turns.turn_end_s(current, item)
            instants += [end_s, end_s - turns.DECODE_AHEAD_S + warm_up_s(turn, item)]
    return instants
