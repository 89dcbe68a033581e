"""What `loa-agent status` is told (`messages.condition`): what plays, why not, and what was last said of commands."""

from collections.abc import Iterator
from typing import Final

from agent.core import policing
from agent.core import programme as prog
from agent.core.amplifier import Mode
from agent.core.documents import seen
from agent.core.heartbeat import clock_seen, key_ends
from agent.core.items import Item
from agent.core.policy import why_not
from agent.core.stages import Stage
from agent.core.state import Turn, disk_fault
from agent.messages.codec import encode
from agent.messages.condition import Condition, Piece, Silence
from agent.messages.reports import DocumentSeen
from agent.messages.words import Kind

MAX_PIECES: Final = 20
"""Of a queue of 100 the first are of interest, and the answer stays within what a socket takes at once."""


def describe(turn: Turn) -> bytes:
    """The answer, as JSON."""
    state = turn.state
    trust = state.trust.document
    whole = Condition(
        node=state.settings.node,
        site=state.settings.site,
        version=state.settings.version,
        rolled_back=state.settings.rolled_back,
        public=state.settings.public,
        timezone=str(state.settings.zone),
        at=int(turn.wall_s),
        up_s=int(turn.now.mono_s - state.started_s),
        ready=state.announced,
        link_up=state.connection.up,
        link=state.connection.number,
        link_cause=state.connection.cause,
        clock=clock_seen(state),
        trust=DocumentSeen("root", trust.version, state.trust.sha256),
        key_ends=key_ends(turn),
        schedules=seen(state, "set_schedule"),
        policies=seen(state, "set_policy"),
        amplifiers={zone: amplifier.mode.value for zone, amplifier in state.amplifiers.items()},
        programme=tuple(_pieces(turn))[:MAX_PIECES],
        pieces=len(prog.items(state.programme)),
        silence=tuple(_silence(turn)),
        forbidden=_forbidden(turn),
        next_slot=state.schedule.slot_s,
        volume_percent=state.volume.value,
        muted=bool(state.muted.value),
        card_fault=state.card_fault,
        disk_fault=disk_fault(state, turn.now),
        untimed=len(state.unjudged),
        outbox=state.outbox.waiting,
        refused={str(reason): count for reason, count in state.refusals.counts.items()},
        commands=state.told,
        sounded=state.sounded,
    )
    return encode(whole)


def _pieces(turn: Turn) -> Iterator[Piece]:
    programme = turn.state.programme
    for attempt in prog.attempts(programme):
        yield _piece(attempt.item, attempt.stage.value)
    for item in programme.waiting:
        yield _piece(item, "elsewhere" if item.elsewhere else "waiting")


def _piece(item: Item, stage: str) -> Piece:
    source = item.play.sources[min(item.source, len(item.play.sources) - 1)]
    sort = type(source.only).__name__.lower()
    return Piece(item.play.item, item.play.kind.value, item.play.title, item.verified.iss, stage, sort, item.due_at)


def _silence(turn: Turn) -> Iterator[Silence]:
    """Nothing, where something sounds."""
    state = turn.state
    current = state.programme.current
    if current is not None and current.stage is Stage.SOUNDING:
        if state.muted.value and not current.item.is_emergency:
            yield Silence.MUTED
        return
    if turn.trusted_s is None:
        yield Silence.CLOCK
    if state.muted.value:
        yield Silence.MUTED
    if state.card_fault:
        yield Silence.CARD
    if any(amplifier.mode is Mode.FAULT for amplifier in state.amplifiers.values()):
        yield Silence.AMPLIFIER
    if not (state.card_fault and prog.items(state.programme)):  # then what waits, waits for the card
        yield _what_is_next(turn)


def _what_is_next(turn: Turn) -> Silence:
    programme, now_s = turn.state.programme, turn.wall_s
    starts = (attempt.item.start_s for attempt in prog.attempts(programme))
    if any(start_s is None or start_s <= now_s for start_s in starts):
        return Silence.PREPARING
    return Silence.NOT_YET if prog.items(programme) else Silence.NOTHING_ORDERED


def _forbidden(turn: Turn) -> dict[str, str]:
    """By kind, the rule by which it may not sound now; emergencies are exempt."""
    trusted_s = turn.trusted_s
    if trusted_s is None:
        return {}
    state, rules = turn.state, policing.rules(turn.state)
    found = {
        kind: why_not(rules, state.ledger, kind, trusted_s, state.settings.zone)
        for kind in (Kind.NORMAL, Kind.PRIORITY)
    }
    return {kind.value: refusal[0].value for kind, refusal in found.items() if refusal is not None}
