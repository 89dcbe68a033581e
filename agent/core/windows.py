"""When an item's window closes on this node, and how an item ends with it (protocol sections 4 and 7)."""

from typing import Final

from agent.core import programme as prog
from agent.core.items import Item, Outcome
from agent.core.policing import CLOCK_SET_S
from agent.core.stages import LAST_WORD_WAIT_S, Stage
from agent.core.state import Turn
from agent.messages.reasons import Reason

JUST_AFTER_S: Final = 0.001
"""What ends at an instant has ended a moment later."""


def closes_s(turn: Turn, item: Item) -> float | None:
    """The monotonic instant after which nothing of the item sounds here; None while the time is unknown.

    What all nodes begin on one instant they end on one, each by its own share.
    """
    if item.is_common:
        return turn.mono_of(item.not_after)
    offset_s = turn.state.timekeeping.offset_s
    return None if offset_s is None else item.not_after - offset_s


def expires_s(turn: Turn, item: Item) -> float | None:
    """The monotonic instant at which it is ended from here; None: not by the clock.

    What sounds the card itself ends as its window closes, if that is still when it was told: it has some time for its
    last word.
    """
    closing_s = closes_s(turn, item)
    attempt = prog.find_attempt(turn.state.programme, item.play.item)
    if closing_s is None or attempt is None:
        return None if closing_s is None else closing_s + JUST_AFTER_S
    if attempt.stage is Stage.ENDING or attempt.ending is not None:
        return None
    until_s = attempt.until_s if attempt.stage is Stage.SOUNDING else None
    told = until_s is not None and until_s < closing_s + CLOCK_SET_S
    return closing_s + (LAST_WORD_WAIT_S if told else JUST_AFTER_S)


def sounded_until(item: Item) -> Outcome:
    """It sounded until its window closed. A slot's window is as long as it is: so it has been played.

    Not so a file that was interrupted: some of it was not heard.
    """
    if item.slot_until is not None and (item.is_live or not item.was_interrupted):
        return Outcome("played", Reason.MAX_DURATION)
    return Outcome("stopped", Reason.NOT_AFTER)


def passed(turn: Turn, item: Item) -> Outcome:
    """Its window has closed, and it was not sounding."""
    if item.elsewhere:
        return Outcome("stopped" if item.started_at is not None else "missed", Reason.NOT_AFTER, item.elsewhere)
    if turn.state.card_fault:
        return Outcome("failed", Reason.SOUND_CARD, f"{turn.state.card_fault}, until its window had closed")
    if item.hindered:
        return Outcome("failed", Reason.AMPLIFIER_FAULT, "no relay could be switched until its window had closed")
    if item.interrupted:
        return Outcome("failed", Reason.RESTART, "the node went down while it sounded, until its window had closed")
    return Outcome("stopped" if item.started_at is not None else "missed", Reason.NOT_AFTER)
