"""Files brought before they are needed, one at a time, each after a random while: 50 poles must not ask at once."""

from dataclasses import replace
from typing import Final

from agent.core.state import Turn, Wanted
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.sources import File, Source

SPREAD_S: Final = 300.0
"""The downloads of one order are spread over so long: 50 poles behind one 4G cell ask 6 s apart."""

MAX_WANTED: Final = 512
"""Files that may wait: a week of schedules; the cache holds no more."""

RETRY_S: Final = 600.0
"""After a failure: 4G drops out for minutes."""

MAX_TRIES: Final = 4
"""Later the item's own order fetches it."""


def want(turn: Turn, files: tuple[File, ...], *, pin: bool = False) -> int:
    """Bring these, each after a random while; returns how many found no place."""
    wanted = turn.state.wanted
    known = {each.file.sha256 for each in wanted if each.pin or not pin}
    fresh = {file.sha256: file for file in files if file.sha256 not in known}
    room = max(0, MAX_WANTED - len(wanted))
    dice = turn.now.entropy
    for file in list(fresh.values())[:room]:
        dice, share = divmod(dice * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407, 1 << 64)
        dice = dice ^ share
        due_s = turn.now.mono_s + SPREAD_S * share / (1 << 64)
        wanted = (*wanted, Wanted(file, pin, due_s))
    turn.state = replace(turn.state, wanted=wanted)
    return max(0, len(fresh) - room)


def want_soon(turn: Turn, source: Source) -> None:
    """An emergency could not wait for this file: it is brought for the next sounding."""
    if not isinstance(source.only, File):
        return
    others = tuple(each for each in turn.state.wanted if each.file.sha256 != source.only.sha256)
    pin = any(each.pin for each in turn.state.wanted if each not in others)
    first = Wanted(source.only, pin, due_s=turn.now.mono_s)
    turn.state = replace(turn.state, wanted=(first, *others)[:MAX_WANTED])


def run_due(turn: Turn) -> None:
    """Ask for the next one, if its time has come and none is on its way."""
    state = turn.state
    if state.prefetching is not None:
        return
    due = [each for each in state.wanted if turn.now.mono_s >= each.due_s]
    if not due:
        return
    first = min(due, key=lambda each: each.due_s)
    token = state.programme.next_token
    turn.state = replace(
        state,
        programme=replace(state.programme, next_token=token + 1),
        wanted=tuple(each for each in state.wanted if each is not first),
        prefetching=(token, first),
    )
    turn.do(do.Prefetch(token, first.file, first.pin))


def on_news(turn: Turn, event: ev.FileReady | ev.StreamReady | ev.SourceFailed | ev.DecodingFailed) -> bool:
    """The file is in the cache, or not to be had now: later again. False if the news is of something else."""
    if turn.state.prefetching is None or turn.state.prefetching[0] != event.token:
        return False
    wanted = turn.state.prefetching[1]
    turn.state = replace(turn.state, prefetching=None)
    if isinstance(event, ev.FileReady):
        turn.log(f"prefetched {wanted.file.sha256[:16]}{', pinned' if wanted.pin else ''}")
    elif isinstance(event, ev.SourceFailed):
        turn.warn(f"not prefetched: {wanted.file.sha256[:16]}: {event.reason}: {event.detail}")
        if wanted.tries < MAX_TRIES:
            later = replace(wanted, tries=wanted.tries + 1, due_s=turn.now.mono_s + RETRY_S)
            turn.state = replace(turn.state, wanted=(*turn.state.wanted, later))
    return True


def deadline_s(turn_wanted: tuple[Wanted, ...], *, busy: bool) -> float | None:
    """When the next is due (monotonic)."""
    return None if busy else min((each.due_s for each in turn_wanted), default=None)
