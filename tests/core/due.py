"""When something pending must be looked at, at the latest: written down a second time, from protocol and records.

`node.next_deadline` finds these instants by the rules of `deadlines`; here they stand as promises with their figures:
one that is forgotten there is missed here.
"""

from collections.abc import Iterator

from agent.core import programme as prog
from agent.core.amplifier import AmplifierSettings, Mode
from agent.core.items import Item
from agent.core.policing import rules
from agent.core.stages import Attempt, Stage
from agent.core.state import State
from agent.messages.documents import SetSchedule
from agent.messages.local_time import local_minute
from agent.messages.sources import File, Relay
from agent.messages.timetable import occurrences

Due = tuple[str, float]
"""What, and when (monotonic)."""

FAULTY_REST_S = 10.0
STALL_S = 4.5
LANE_S = 3.8
LAST_WORD_S = 2.0
RELAY_CUT_S = 0.06
FETCH_S = 60.0
SLOWEST_BYTES_PER_S = 4_096
NEXT_SOURCE_S = 5.0
TURN_S = 60.0
DECODE_AHEAD_S = 3.0
PREPARE_S = 10.0
UNSTORED_EMERGENCY_S = 2.0
RETRY_S = 5.0
LOOK_AT_SLOTS_S = 3_600.0


def due_at_latest(state: State, at_s: float) -> list[Due]:
    """All that something waits for and that still lies ahead of this monotonic instant."""
    dues = [*_amplifiers(state), *_stages(state), *_items(state), *_turns(state), *_rules(state), *_slots(state, at_s)]
    if state.failed_commits:
        dues.append(("a transaction that failed", at_s + RETRY_S))
    return [(what, due_s) for what, due_s in dues if due_s > at_s]


def _amplifiers(state: State) -> Iterator[Due]:
    for zone, amplifier in state.amplifiers.items():
        settings: AmplifierSettings = state.settings.zones[zone]
        if amplifier.on_since_s is not None:
            yield f"longest time on of {zone}", amplifier.on_since_s + settings.max_on_s
        match amplifier.mode:
            case Mode.WARMING:
                yield f"warm-up of {zone}", amplifier.since_s + settings.warm_up_ms / 1_000
            case Mode.LINGER:
                yield f"end of lingering of {zone}", amplifier.since_s + settings.linger_ms / 1_000
            case Mode.FAULT:
                yield f"end of the fault of {zone}", amplifier.since_s + FAULTY_REST_S


def _stages(state: State) -> Iterator[Due]:
    for attempt in prog.attempts(state.programme):
        limit_s = _limit_s(attempt)
        if limit_s is not None:
            yield f"patience with {attempt.name}, which is {attempt.stage}", limit_s


def _limit_s(attempt: Attempt) -> float | None:
    match attempt.stage:
        case Stage.DECODING:
            return attempt.since_s + STALL_S
        case Stage.READY:
            return attempt.since_s + LANE_S
        case Stage.SOUNDING if attempt.starved_s is not None:
            return attempt.starved_s + STALL_S
        case Stage.SOUNDING:
            return max(attempt.since_s, attempt.moved_s, attempt.at_mono_s or 0.0) + STALL_S
        case Stage.HOLDING:
            return attempt.since_s + LAST_WORD_S
        case Stage.ENDING:
            return attempt.since_s + (LAST_WORD_S if attempt.relay_cut else RELAY_CUT_S)
        case Stage.FETCHING:
            return _fetched_s(attempt)
        case _:
            return None


def _fetched_s(attempt: Attempt) -> float | None:
    item = attempt.item
    if item.is_emergency and item.source + 1 < len(item.play.sources) and item.samples_left > 0:
        return attempt.since_s + NEXT_SOURCE_S
    match item.play.sources[item.source].only:
        case File(bytes=size):
            return attempt.since_s + FETCH_S + size / SLOWEST_BYTES_PER_S
        case Relay():
            return attempt.since_s + FETCH_S
        case _:
            return None


def _items(state: State) -> Iterator[Due]:
    offset_s = state.timekeeping.offset_s
    for item in prog.items(state.programme):
        if item.is_emergency and not item.durable:
            yield f"an answer of the disk for {item.play.item}", item.ordered_s + UNSTORED_EMERGENCY_S
        if offset_s is not None:
            yield from _of_item(state, item, offset_s)


def _of_item(state: State, item: Item, offset_s: float) -> Iterator[Due]:
    attempt = prog.find_attempt(state.programme, item.play.item)
    name, closes_s = item.play.item, item.not_after - offset_s
    if attempt is None:
        yield f"end of the window of {name}", closes_s + 0.001
        start_s = float("-inf") if item.start_s is None else item.start_s - offset_s - PREPARE_S
        yield f"the turn of {name}", max(item.not_before_s, start_s)
    elif attempt.stage is Stage.SOUNDING:
        yield f"the card's word that the window of {name} is over", closes_s + LAST_WORD_S
    elif attempt.stage is not Stage.ENDING and attempt.ending is None:
        yield f"end of the window of {name}", closes_s + 0.001
    if attempt is not None and attempt.stage is Stage.FETCHED and item.start_s is not None:
        yield f"to decode {name}", item.start_s - offset_s - DECODE_AHEAD_S


def _turns(state: State) -> Iterator[Due]:
    """Another emergency waits no longer than a minute for the one on the air."""
    programme = state.programme
    current = programme.current
    if current is None or not current.item.is_emergency:
        return
    for item in prog.items(programme):
        if item.is_emergency and item.play.item != current.name:
            since_s = max(current.began_s, item.ordered_s, item.off_air_s)
            yield f"end of the turn of {current.name}", since_s + TURN_S


def _rules(state: State) -> Iterator[Due]:
    """What is ordinary ends with its rule: quiet hours begin on a minute, a cap counts from nought at the latest."""
    current, offset_s = state.programme.current, state.timekeeping.offset_s
    if current is None or offset_s is None or current.item.is_emergency or current.stage is not Stage.SOUNDING:
        return
    began_s = max(current.since_s, current.at_mono_s or 0.0)
    present = rules(state)
    minute = local_minute(began_s + offset_s, state.settings.zone)
    midnight_s = began_s + offset_s - (began_s + offset_s + _ahead_s(state)) % 86_400
    for begin, _ in present.quiet_hours:
        if begin > minute:
            yield "quiet hours", midnight_s + begin * 60 - offset_s
    for what, minutes in (("session", present.max_session_min), ("day", present.max_minutes_per_day)):
        if minutes is not None and (what == "day" or current.item.play.kind == "normal"):
            yield f"minutes of the {what}", began_s + minutes * 60


def _ahead_s(state: State) -> float:
    """Of local time, which knows no summer time here."""
    ahead = state.settings.zone.utcoffset(None)
    assert ahead is not None
    return ahead.total_seconds()


def _slots(state: State, at_s: float) -> Iterator[Due]:
    offset_s = state.timekeeping.offset_s
    if offset_s is None:
        return
    for kept in state.documents.values():
        if kept.verified is not None and isinstance(kept.verified.command, SetSchedule):
            now_s = at_s + offset_s
            slots = kept.verified.command.slots
            from_s = max(now_s + 0.01, kept.since, state.timekeeping.mark_s or 0)
            for each in occurrences(slots, state.settings.zone, from_s, now_s + LOOK_AT_SLOTS_S):
                if (kept.verified.iss, each.item) not in state.schedule.done:  # the clock was set back
                    yield f"slot {each.item}", each.at_s - offset_s
