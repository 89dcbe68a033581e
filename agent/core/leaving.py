"""Leaving the air for another: held, put back into the queue, or ended beside it."""

from dataclasses import replace

from agent.core import policing, stages
from agent.core import programme as prog
from agent.core.attempts import off_air, put_back, set_attempt
from agent.core.endings import finish, sounding_over
from agent.core.items import Outcome
from agent.core.stages import Attempt, Stage
from agent.core.state import Turn
from agent.messages import effects as do
from agent.messages.reasons import Reason


def give_way(turn: Turn, attempt: Attempt) -> None:
    """The air is another's: what sounds is held, what does not yet sound waits as if it had not begun."""
    attempt = off_air(turn, attempt)
    programme = replace(turn.state.programme, current=None)
    if attempt.item.begun and attempt.item.play.resume is False and not attempt.item.is_emergency:
        turn.state = replace(turn.state, programme=programme)
        end_aside(turn, attempt, Outcome("stopped", Reason.PRE_EMPTED))
    elif attempt.stage is Stage.FETCHING:
        turn.state = replace(turn.state, programme=replace(programme, coming=(*programme.coming, attempt)))
    elif attempt.stage is Stage.SOUNDING:
        turn.do(do.Hold(attempt.token), do.PauseDecoding(attempt.token))
        _move_aside(turn, stages.at_stage(attempt, Stage.HOLDING, turn.now.mono_s))
    else:
        put_back(turn, attempt)


def let_end(turn: Turn, attempt: Attempt, ends_s: float) -> None:
    """All of it is in the card: it ends by itself, beside what follows it, which the caps count after it."""
    booked = stages.sounded_by(attempt, ends_s)
    policing.book(turn, attempt.item, booked, ends_s)
    ending = stages.at_stage(off_air(turn, attempt), Stage.ENDING, ends_s)
    _move_aside(turn, replace(ending, relay_cut=True, booked=booked))


def end_aside(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """It ends, and does not keep the air until the card has said its last word of it."""
    if attempt.stage is not Stage.SOUNDING:
        finish(turn, attempt, outcome)
        return
    turn.do(do.Silence(attempt.token))
    ending = stages.at_stage(off_air(turn, attempt), Stage.ENDING, turn.now.mono_s)
    _move_aside(turn, replace(ending, ending=outcome, relay_cut=True))


def _move_aside(turn: Turn, attempt: Attempt) -> None:
    programme = prog.remove(turn.state.programme, attempt)
    turn.state = replace(turn.state, programme=replace(programme, aside=(*programme.aside, attempt)))


def held(turn: Turn, attempt: Attempt) -> None:
    """It is silent. A relay goes on without us, and of decoders only so many are kept."""
    attempt = replace(attempt, item=replace(attempt.item, start_s=None))
    set_attempt(turn, stages.at_stage(attempt, Stage.HELD, turn.now.mono_s))
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
