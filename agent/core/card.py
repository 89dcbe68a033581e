"""The sound card as the programme sees it: not to be had, lost amid an item, there again.

While it fails nothing begins: sources are given back, relays are open, and the adapter looks for the card every second.
What waits goes on where it was. An emergency waits as long as its window is open, all else for a minute: a plug that
was pulled is in again by then, and nobody is left without an answer.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from agent.core import turns, zones
from agent.core.attempts import give_back, want_card
from agent.core.endings import drop
from agent.core.items import Item, Outcome
from agent.core.stages import Attempt, Stage
from agent.core.state import State, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm

PATIENCE_S: Final = 60.0
"""How long what is no emergency waits for the card."""

TELL_AFTER_S: Final = 4.5
"""A card that is there by then was late, as after a start, or loose for a moment: no alarm."""

TELL_EVERY_S: Final = 600.0
"""At most one alarm so often: a plug that is loose fails all day."""

ALARM: Final = "sound_card"

_NOT_YET_SOUNDING: Final = {Stage.FETCHING, Stage.FETCHED, Stage.DECODING, Stage.READY}


def on_card(turn: Turn, event: ev.CardOpened | ev.CardFailed) -> None:
    """The card runs silence, or is not to be had."""
    state = turn.state
    if isinstance(event, ev.CardOpened):
        if state.card_fault:
            turn.log("sound card: it is there")
        turn.state = replace(state, card_open=state.card_wanted, card_fault="", card_failed_s=None)
        return
    if not state.card_wanted:
        return  # it was closed meanwhile
    fail(turn, event.detail)
    turn.warn(f"sound card: {event.detail}")


def fail(turn: Turn, detail: str) -> None:
    """It gives no sound from here on: open the relays, so that its coming back is not amplified."""
    state = turn.state
    since_s = turn.now.mono_s if state.card_failed_s is None else state.card_failed_s
    turn.state = replace(
        state,
        card_open=False,
        card_fault=detail,
        card_failed_s=since_s,
        card_losses=state.card_losses + (state.card_failed_s is None),
    )
    zones.cut_all(turn)


def close_hanging(turn: Turn, detail: str) -> None:
    """It says nothing any more of what it plays: close it, and see whether it opens again."""
    fail(turn, detail)
    turn.do(do.CloseCard())
    turn.state = replace(turn.state, card_wanted=False)


def lost(turn: Turn, attempt: Attempt) -> None:
    """What sounded goes on where it was, once there is a card."""
    turn.log(f"item {attempt.name}: waits for the sound card")
    give_back(turn, attempt)


def wait(turn: Turn) -> None:
    """A rule of `playout`: while the card fails nothing is on its way to it, and nobody waits for ever."""
    state = turn.state
    if not state.card_fault:
        return
    want_card(turn)
    for attempt in (state.programme.current, *state.programme.coming):
        if attempt is not None and attempt.stage in _NOT_YET_SOUNDING:
            give_back(turn, attempt)
            return
    for item, until_s in _patience(turn.state, turn):
        if turn.now.mono_s >= until_s:
            drop(turn, item.play.item, Outcome("failed", Reason.SOUND_CARD, state.card_fault))
            return


def close(turn: Turn) -> None:
    """A rule of `playout`: without anything to play the card is closed; one that fails is looked for first."""
    state = turn.state
    idle = state.programme.current is None and not state.programme.coming
    if not idle or not state.card_wanted or not state.card_open:
        return
    if not any(zones.is_energised(state, zone) for zone in state.amplifiers):
        turn.do(do.CloseCard())
        turn.state = replace(state, card_wanted=False, card_open=False)


def tell(turn: Turn) -> None:
    """Say it, once it has lasted."""
    state, due_s = turn.state, _tell_s(turn.state)
    if due_s is not None and turn.now.mono_s >= due_s:
        turn.state = replace(state, card_losses=0, card_told_s=turn.now.mono_s)
        turn.commit(turn.report(Alarm(ALARM, state.card_fault[:200], state.card_losses)))


def deadlines(turn: Turn) -> Iterator[float | None]:
    """When one of the rules here has something to do without any event (monotonic)."""
    yield _tell_s(turn.state)
    if turn.state.card_fault:
        yield from (until_s for _, until_s in _patience(turn.state, turn))


def _tell_s(state: State) -> float | None:
    if state.card_failed_s is None or not state.card_losses:
        return None
    return max(state.card_failed_s + TELL_AFTER_S, state.card_told_s + TELL_EVERY_S)


def _patience(state: State, turn: Turn) -> Iterator[tuple[Item, float]]:
    """Of what waits and could sound now: until when it waits for the card."""
    offset_s = state.timekeeping.offset_s
    if offset_s is None or state.card_failed_s is None:
        return
    for item in state.programme.waiting:
        opens_s = turns.opens_s(item, offset_s)
        if not item.is_emergency and opens_s <= turn.now.mono_s:
            yield item, max(state.card_failed_s, item.ordered_s, opens_s) + PATIENCE_S
