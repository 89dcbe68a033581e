"""After a crash or a power cut: what had begun goes on where it was (design invariant 8).

While the machine runs on, the process before has left its `Progress`. After a power cut there is the instant at which
the sounding began, on the disk: the item joins itself late, as a pole that was switched on late would.
"""

from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Final

from agent.core import programme as prog
from agent.core.endings import record, store_record
from agent.core.items import Item, Outcome, total
from agent.core.policing import ledger_now
from agent.core.policy import Ledger
from agent.core.stages import Attempt, Stage
from agent.core.state import State, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.loudness import NO_SOUND
from agent.messages.memory import StoredLedger
from agent.messages.progress import Begun, Progress
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord

MAX_FOUND: Final = 32
"""Of what the process before has told, how much waits for orders that come again: few are unacknowledged."""

MAX_CRASHES: Final = 2
"""What took the process down twice takes it down a third time, and everything else with it."""


# What the next process will find -----------------------------------------------------------------------------------


def hand_on(turn: Turn) -> None:
    """Tell how far all has come, where that has changed; before anything else of this turn, which may be the last."""
    progress = _progress(turn.state)
    if progress != turn.state.progress:
        turn.state = replace(turn.state, progress=progress)
        turn.effects.insert(0, do.KeepProgress(progress))


def _progress(state: State) -> Progress:
    running = [_begun(state, each.item, each) for each in prog.attempts(state.programme)]
    waiting = [_begun(state, item, None) for item in state.programme.waiting]
    begun = tuple(each for each in (*running, *waiting) if each.started_at is not None or each.crashes or each.at_risk)
    return Progress((*state.found.begun, *begun), (*state.found.over, *_records(state)), _ledger(state))


def _records(state: State) -> Iterator[PlayRecord]:
    """Those that are not known to be on the disk."""
    for each in (*(each for _, each in state.failed_commits), *state.pending.values()):
        for write in each.writes:
            if isinstance(write, do.AppendReport) and isinstance(write.claims.report, PlayRecord):
                yield write.claims.report


def _begun(state: State, item: Item, attempt: Attempt | None) -> Begun:
    on_air = attempt is not None and attempt.stage not in {Stage.HELD, Stage.HOLDING}
    so_far, so_far_used = (NO_SOUND, 0) if attempt is None else (attempt.so_far, attempt.so_far_used)
    on_s = 0.0 if attempt is None else attempt.so_far_on_s
    return Begun(
        item=item.play.item,
        iss=item.verified.iss,
        jti=item.verified.jti,
        round=item.round,
        source=item.source,
        used=item.used + so_far_used,
        from_s=item.from_s,
        live_samples=item.live_samples,
        heard=total((*item.heard, so_far)),
        amplifier_on_s=item.amplifier_on_s + on_s,
        first=attempt is not None or item.pre_empted,
        begun=item.begun,
        interrupted=item.interrupted or (on_air and item.started_at is not None),
        at_risk=on_air and not state.stopping,
        crashes=item.crashes,
        not_before_s=None if item.not_before_s == float("-inf") else item.not_before_s,
        start_s=item.start_s,
        started_at=item.started_at,
    )


def _ledger(state: State) -> StoredLedger | None:
    ledger = ledger_now(state)
    return StoredLedger(*astuple(ledger)) if ledger.day else None


# What was found ----------------------------------------------------------------------------------------------------


def ledger_of(event: ev.Restored) -> Ledger:
    """What the caps have counted: the disk knows it up to the last record, the process before up to its last second."""
    found = [each for each in (event.ledger, event.progress.ledger) if each is not None]
    latest = max(found, key=lambda each: (each.day, each.minutes_s, each.last_sound_s), default=None)
    return Ledger() if latest is None else Ledger(*astuple(latest))


def keep_the_rest(turn: Turn) -> None:
    """The store has been taken up: what else was told waits for its order, the newest of it."""
    found = turn.state.found
    turn.state = replace(turn.state, found=Progress(found.begun[-MAX_FOUND:], found.over[-MAX_FOUND:]))


def was_over(turn: Turn, item: Item) -> bool:
    """Whether the process before has told its record, which the disk did not have: it is stored now."""
    if not any(_is_of(each, item) for each in turn.state.found.over):
        return False
    take_up(turn, item)
    return True


def take_up(turn: Turn, item: Item, sounding_at: float | None = None) -> None:
    """An item into the programme: over, interrupted, or new. `sounding_at` is when its present sounding began."""
    over, begun = _take_found(turn, item)
    if over is not None:
        store_record(turn, item, over)
        return
    if begun is not None:
        item = _where_it_was(turn, item, begun)
    elif item.started_at is not None:
        item = replace(item, begun=True, interrupted=True, start_s=_start_s(item, sounding_at))
    if item.crashes >= MAX_CRASHES:
        detail = f"the agent crashed {item.crashes} times when it was on the air or about to be"
        record(turn, item, Outcome("failed", Reason.CRASH, detail))
    elif item.interrupted and item.play.resume is False and not item.is_emergency:
        record(turn, item, Outcome("failed", Reason.RESTART, "it was interrupted, and is not to resume"))
    else:
        turn.state = replace(turn.state, programme=prog.enqueue(turn.state.programme, item))
        if item.interrupted:
            turn.log(f"item {item.play.item}: interrupted, to be resumed")


def _take_found(turn: Turn, item: Item) -> tuple[PlayRecord | None, Begun | None]:
    """What the process before has told of this item, which is now told by this one."""
    found = turn.state.found
    over = tuple(each for each in found.over if _is_of(each, item))
    begun = tuple(each for each in found.begun if _is_of(each, item))
    if over or begun:
        begun_left = tuple(each for each in found.begun if each not in begun)
        over_left = tuple(each for each in found.over if each not in over)
        turn.state = replace(turn.state, found=Progress(begun_left, over_left))
    return next(iter(over), None), next(iter(begun), None)


def _is_of(told: PlayRecord | Begun, item: Item) -> bool:
    """Whether it tells of this item. A slot is the same under whichever version of its schedule."""
    same_order = item.slot_until is not None or told.jti == item.verified.jti
    return (told.item, told.iss) == (item.play.item, item.verified.iss) and same_order


def _where_it_was(turn: Turn, item: Item, begun: Begun) -> Item:
    """The process before has told it. Where others sound the same, it joins them where they are by now."""
    joins = begun.start_s is not None
    started_at = begun.started_at if item.started_at is None else item.started_at
    if item.started_at is None and started_at is not None:
        turn.commit(do.MarkStarted(item.play.item, started_at, begun.round, started_at))
    return replace(
        item,
        started_at=started_at,
        round=begun.round,
        source=min(begun.source, len(item.play.sources) - 1),
        used=0 if joins else begun.used,
        from_s=0.0 if joins else begun.from_s,
        live_samples=0 if joins else begun.live_samples,
        heard=(begun.heard,),
        amplifier_on_s=begun.amplifier_on_s,
        pre_empted=begun.first and started_at is not None,
        crashes=begun.crashes + begun.at_risk,
        begun=begun.begun,
        interrupted=begun.interrupted,
        not_before_s=float("-inf") if begun.not_before_s is None else begun.not_before_s,
        start_s=begun.start_s,
    )


def _start_s(item: Item, sounding_at: float | None) -> float | None:
    """Where the first sample of the interrupted sounding belonged: the common instant, if it was the first."""
    return item.start_s if item.round == 0 and item.start_s is not None else sounding_at
