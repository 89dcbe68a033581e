"""Who gets the air: what has the next turn is made ready, and takes it over once it can sound."""

from dataclasses import replace

from agent.core import policing, turns
from agent.core import programme as prog
from agent.core.attempts import open_source, put_back, want_card
from agent.core.endings import drop
from agent.core.items import Item, Outcome, may_sound
from agent.core.leaving import end_aside, give_way
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.core.zones import energised_s
from agent.messages.reasons import Reason


def choose(turn: Turn) -> None:
    """Let what has the next turn begin: on the air where it is free, else beside what sounds, to take over."""
    state, trusted_s = turn.state, turn.trusted_s
    if trusted_s is None or not state.player_ready or state.card_fault:
        return
    item = turns.next_up(state.programme, turn.now.mono_s, trusted_s)
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
    ahead_s = turns.DECODE_AHEAD_S if item.is_emergency else 0.0
    return turns.takes_over(turn.state.programme, item, turn.now.mono_s + ahead_s)


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


def hand_over(turn: Turn) -> None:
    """What was made ready takes the air: at once where it is free."""
    programme = turn.state.programme
    current, coming = programme.current, programme.coming
    if coming is None:
        return
    if current is not None:
        ready = coming.stage is Stage.READY and turn.state.card_open and may_sound(coming.item, turn.now.mono_s)
        if not ready or not turns.takes_over(programme, coming.item, turn.now.mono_s):
            return
        turn.log(f"item {coming.name} takes the air from {current.name}")
        if current.name in coming.item.replaces:
            end_aside(turn, current, Outcome("stopped", Reason.REPLACED, f"by {coming.name}"))
        else:
            give_way(turn, current)
    fresh = replace(coming, began_s=turn.now.mono_s, amplifier_base_s=energised_s(turn, coming.item))
    turn.state = replace(turn.state, programme=replace(turn.state.programme, current=fresh, coming=None))
