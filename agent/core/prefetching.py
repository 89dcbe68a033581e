"""Files brought before they are needed, one at a time, each after a random while: 50 poles must not ask at once."""

from dataclasses import replace
from typing import Final

from agent.core.state import State, Turn, Unfetched, Wanted
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reports import Alarm
from agent.messages.sources import File, Source

SPREAD_S: Final = 300.0
"""The downloads of one order are spread over so long: 50 poles behind one 4G cell ask 6 s apart."""

MAX_WANTED: Final = 512
"""Files that may wait: a week of schedules; the cache holds no more."""

RETRY_S: Final = 600.0
"""After a failure: 4G drops out for minutes."""

MAX_TRIES: Final = 4
"""Later the item's own order fetches it."""

TELL_EVERY_S: Final = 600.0
"""At most one alarm so often: where a server is away a whole timetable's files are not to be had."""

ALARM: Final = "not_prefetched"


def order(turn: Turn, files: tuple[File, ...], *, pin: bool) -> tuple[tuple[do.Write, ...], int]:
    """Bring these, as a command asks: what keeps the wish until they are here, and how many found no place."""
    taken, left = _want(turn, files, pin=pin, ordered=True)
    return tuple(do.KeepWanted(each.sha256, each.uri, each.bytes, pin) for each in taken), left


def restore(turn: Turn, event: ev.Restored) -> None:
    """What was ordered before this start, and is not here yet."""
    for each in event.wanted:
        _want(turn, (File(each.uri, each.sha256, each.bytes),), pin=each.pin, ordered=True)


def want(turn: Turn, files: tuple[File, ...]) -> None:
    """Bring what a schedule names. What finds no place is fetched when its slot is due."""
    _, left = _want(turn, files, pin=False, ordered=False)
    if left:
        turn.warn(f"{left} files of a schedule are not fetched ahead: {MAX_WANTED} wait already")
        _not_fetched(turn, left, f"{MAX_WANTED} files wait already: others are fetched when they are to sound")


def _want(turn: Turn, files: tuple[File, ...], *, pin: bool, ordered: bool) -> tuple[tuple[File, ...], int]:
    """Each after a random while; returns those that found a place, and how many did not.

    One file at two addresses is two wishes: the second may set the first right, and must not be able to spoil it.
    """
    wanted = turn.state.wanted
    known = {each.file for each in wanted if (each.pin or not pin) and (each.ordered or not ordered)}
    fresh = dict.fromkeys(file for file in files if file not in known)
    taken = tuple(fresh)[: max(0, MAX_WANTED - len(wanted))]
    dice = turn.now.entropy
    for file in taken:
        same = [each for each in wanted if each.file == file]
        wanted = tuple(each for each in wanted if each not in same)
        dice, share = divmod(dice * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407, 1 << 64)
        dice = dice ^ share
        due_s = turn.now.mono_s + SPREAD_S * share / (1 << 64)
        pinned, kept = pin or any(each.pin for each in same), ordered or any(each.ordered for each in same)
        wanted = (*wanted, Wanted(file, pinned, due_s, ordered=kept))
    turn.state = replace(turn.state, wanted=wanted)
    return taken, len(fresh) - len(taken)


def want_soon(turn: Turn, source: Source) -> None:
    """An emergency could not wait for this file: it is brought for the next sounding."""
    if not isinstance(source.only, File):
        return
    others = tuple(each for each in turn.state.wanted if each.file != source.only)
    same = [each for each in turn.state.wanted if each not in others]
    pin, ordered = any(each.pin for each in same), any(each.ordered for each in same)
    first = Wanted(source.only, pin, due_s=turn.now.mono_s, ordered=ordered)
    turn.state = replace(turn.state, wanted=(first, *others)[:MAX_WANTED])


def run_due(turn: Turn) -> None:
    """Ask for the next one, if its time has come and none is on its way; tell what was given up."""
    _tell(turn)
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
        _settle(turn, wanted)
    elif isinstance(event, ev.SourceFailed):
        told = f"{wanted.file.sha256[:16]}: {event.reason}: {event.detail}"
        turn.warn(f"not prefetched: {told}")
        if wanted.tries < MAX_TRIES:
            later = replace(wanted, tries=wanted.tries + 1, due_s=turn.now.mono_s + RETRY_S)
            turn.state = replace(turn.state, wanted=(*turn.state.wanted, later))
        else:
            _settle(turn, wanted)
            _not_fetched(turn, 1, f"{wanted.file.uri}, {told}")
    return True


def _settle(turn: Turn, wanted: Wanted) -> None:
    """It is here, or given up; unless it was ordered once more meanwhile, to be pinned."""
    again = any(each.ordered and each.file == wanted.file for each in turn.state.wanted)
    if wanted.ordered and not again:
        turn.commit(do.ForgetWanted(wanted.file.sha256, wanted.file.uri))


def _not_fetched(turn: Turn, count: int, detail: str) -> None:
    unfetched = turn.state.unfetched
    turn.state = replace(turn.state, unfetched=replace(unfetched, count=unfetched.count + count, detail=detail))


def _tell(turn: Turn) -> None:
    unfetched, due_s = turn.state.unfetched, _tell_s(turn.state)
    if due_s is not None and turn.now.mono_s >= due_s:
        turn.state = replace(turn.state, unfetched=Unfetched(told_s=turn.now.mono_s))
        turn.commit(turn.report(Alarm(ALARM, unfetched.detail[:200], unfetched.count)))


def _tell_s(state: State) -> float | None:
    return state.unfetched.told_s + TELL_EVERY_S if state.unfetched.count else None


def deadlines(state: State) -> tuple[float | None, ...]:
    """When the next is due, or to be told (monotonic)."""
    busy = state.prefetching is not None
    return _tell_s(state), None if busy else min((each.due_s for each in state.wanted), default=None)
