"""An emergency none of whose sources is to be had just now: they are asked again while its window is open.

4G drops out for seconds, a name server for minutes, and the water does not wait: one failure is no reason to be silent
for hours. All else fails at once: there are other bulletins.
"""

from dataclasses import replace
from typing import Final

from agent.core import stages
from agent.core.attempts import give_back
from agent.core.items import Item, Outcome, next_source
from agent.core.pauses import grown_s
from agent.core.stages import Attempt
from agent.core.state import Turn
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm

FIRST_PAUSE_S: Final = 5.0
"""4G that drops out is mostly back by then. Each pause is twice as long as the one before, up to `LONGEST_PAUSE_S`."""

LONGEST_PAUSE_S: Final = 60.0
"""A warning is no later than this after its source is back; fifty poles ask a server about once a second."""

ALARM: Final = "no_source"

_FOR_GOOD: Final = {
    Reason.NOT_ALLOWED,
    Reason.HASH_MISMATCH,
    Reason.UNSUPPORTED_FORMAT,
    Reason.UNDECODABLE,
    Reason.NO_VOICE,
}
"""What asking again does not change: it is not asked again in this sounding. Another size it may: a body that was cut
short has it, and the page of a 4G portal."""


def failed(attempt: Attempt, outcome: Outcome) -> Attempt:
    """The present source has failed, perhaps for good."""
    item = attempt.item
    dead = item.dead | {item.source} if outcome.reason in _FOR_GOOD else item.dead
    return replace(attempt, item=replace(item, dead=dead))


def is_worthwhile(attempt: Attempt) -> bool:
    """Whether it is asked for its sources again: an emergency that has one which may yet give something."""
    item = attempt.item
    return item.is_emergency and item.samples_left > 0 and stages.next_of(item, -1) is not None


def ask_again(turn: Turn, attempt: Attempt, outcome: Outcome) -> None:
    """Into the queue, behind other emergencies, until its sources are asked in order again."""
    item = attempt.item
    pause_s = _pause_s(item, turn.now.entropy)
    told = f"{outcome.reason}: {outcome.detail}"
    turn.warn(f"item {attempt.name}: no source is to be had, asked again in {pause_s:.0f} s: {told}")
    if not item.tries:
        turn.commit(turn.report(Alarm(ALARM, f"{attempt.name}, {told}"[:200], 1)))
    first = stages.next_of(item, -1)
    assert first is not None, "is_worthwhile is asked before"
    at_s = turn.now.mono_s
    waits = replace(next_source(item, first), tries=item.tries + 1, trouble=outcome)
    waits = replace(waits, not_before_s=at_s + pause_s, off_air_s=at_s)
    give_back(turn, replace(attempt, item=waits))


def _pause_s(item: Item, entropy: int) -> float:
    """Between half of it and all of it: poles that failed together do not ask together."""
    longest_s = grown_s(FIRST_PAUSE_S, item.tries, LONGEST_PAUSE_S)
    return longest_s * (1 + entropy / (1 << 128)) / 2
