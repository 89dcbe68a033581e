"""The node as one pure function: `step(state, event, now) -> (state, effects)`; and `next_deadline(state, now)`.

No input or output, no clock, no thread: the loop gives events and performs effects in order.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from agent.core import amplifier as amp
from agent.core import attempts, news
from agent.core import connection as conn
from agent.core import outbox as box
from agent.core import programme as prog
from agent.core import timekeeping as tk
from agent.core.admission import apply_setting, on_refused, on_verified
from agent.core.heartbeat import beat, describe, on_vitals, publish_state, status_report, will
from agent.core.playout import advance
from agent.core.programme import Item, Outcome, Stage
from agent.core.state import COMMIT_RETRY_S, NodeSettings, RememberedStop, Setting, State, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Kind, Play
from agent.messages.reasons import Reason

__all__ = ["NodeSettings", "State", "clock_view", "initial", "next_deadline", "relays_closed", "step"]

STATUS_EVERY_S: Final = 6 * 3_600.0
"""A `status` report this often: a withheld trust document becomes visible."""

CLOCK_LOOK_S: Final = 5.0
"""How often an untrusted clock is looked at again."""

MAX_RECEIVED: Final = 64
"""Delivered reports whose removal waits for a transaction; beyond this they get one of their own."""


def initial(settings: NodeSettings, floor_s: int, now: ev.Now) -> State:
    """The state before anything has happened: amplifiers off, nothing believed."""
    return State(
        settings=settings,
        timekeeping=tk.Timekeeping(floor_s=floor_s),
        outbox=box.Outbox(next_seq=1),
        amplifiers={zone: amp.Amplifier() for zone in settings.zones},
        volume=Setting(settings.volume_percent),
        muted=Setting(0),
        started_s=now.mono_s,
        heartbeat_due_s=now.mono_s + settings.heartbeat_s,
        status_due_s=float("inf"),
    )


def step(state: State, event: ev.Event, now: ev.Now) -> tuple[State, tuple[do.Effect, ...]]:
    """What the node becomes by this event, and what is to be done about it, in order."""
    turn = Turn(state, now)
    _observe_clock(turn)
    handler = _HANDLERS.get(type(event))
    if handler is not None:
        handler(turn, event)
    if turn.state.restored:
        _run_due(turn)
        advance(turn)
        _send_reports(turn)
    return turn.state, tuple(turn.effects)


def clock_view(state: State, now: ev.Now) -> tuple[float | None, int]:
    """(trusted Unix seconds or None, floor): what `security` needs to judge dates."""
    timekeeping = tk.observe(state.timekeeping, now)
    return tk.trusted_s(timekeeping, now), timekeeping.floor_s


def relays_closed(state: State) -> bool:
    """Whether any amplifier is on: then the loop turns more often, for the dead man's handle."""
    return any(amplifier.mode in amp.ENERGISED for amplifier in state.amplifiers.values())


def next_deadline(state: State, now: ev.Now) -> float | None:
    """The monotonic instant at which something is due without any event."""
    if not state.restored:
        return None
    instants: list[float | None] = [
        state.connection.retry_at_s,
        state.heartbeat_due_s,
        state.status_due_s,
        state.outbox.resend_at_s,
        *(retry_s for retry_s, _ in state.failed_commits),
        *(
            amp.deadline(amplifier, state.settings.zones[zone], now.mono_s)
            for zone, amplifier in state.amplifiers.items()
        ),
        *_programme_deadlines(state, now.mono_s),
    ]
    if state.timekeeping.offset_s is None:
        instants.append(now.mono_s + CLOCK_LOOK_S)
    return min((instant for instant in instants if instant is not None), default=None)


def _programme_deadlines(state: State, at_s: float) -> list[float | None]:
    instants: list[float | None] = []
    current = state.programme.current
    items = list(state.programme.waiting)
    if current is not None:
        instants.append(prog.limit_s(current))
        patience_s = current.item.ordered_s + prog.EMERGENCY_COMMIT_WAIT_S
        if not current.item.durable and at_s < patience_s:
            instants.append(patience_s)
        if current.stage is not Stage.ENDING:
            items.append(current.item)
    offset_s = state.timekeeping.offset_s
    if offset_s is not None:
        instants.extend(item.not_after - offset_s + 0.001 for item in items)
    return instants


# Every turn ---------------------------------------------------------------------------------------------------------


def _observe_clock(turn: Turn) -> None:
    was_trusted = turn.state.timekeeping.offset_s is not None
    turn.state = replace(turn.state, timekeeping=tk.observe(turn.state.timekeeping, turn.now))
    if not was_trusted and turn.trusted_s is not None and turn.state.restored:
        turn.log(f"clock trusted: {turn.state.timekeeping.evidence}")
        publish_state(turn)


def _run_due(turn: Turn) -> None:
    """Whatever is due by the clock alone."""
    at_s = turn.now.mono_s
    state = turn.state
    if state.connection.retry_at_s is not None and at_s >= state.connection.retry_at_s:
        begun = conn.begin(state.connection)
        turn.state = replace(turn.state, connection=begun)
        turn.do(do.Connect(begun.number, conn.broker_index(begun), will(turn.state, begun.number)))
    if at_s >= state.heartbeat_due_s:
        beat(turn)
    if at_s >= state.status_due_s:
        turn.state = replace(turn.state, status_due_s=at_s + STATUS_EVERY_S)
        turn.commit(turn.report(status_report(turn)), _floor(turn))
    due = tuple(pending for retry_s, pending in state.failed_commits if at_s >= retry_s)
    if due:
        left = tuple(each for each in turn.state.failed_commits if each[1] not in due)
        turn.state = replace(turn.state, failed_commits=left)
        for pending in due:
            turn.commit(*pending.writes, delivery=pending.delivery, item=pending.item)


def _send_reports(turn: Turn) -> None:
    turn.state = replace(turn.state, outbox=box.resend_due(turn.state.outbox, turn.now.mono_s))
    if len(turn.state.outbox.received) >= MAX_RECEIVED:
        turn.commit()
    outbox = turn.state.outbox
    if turn.state.connection.up and box.may_read(outbox):
        turn.do(do.ReadOutbox(outbox.cursor, box.WINDOW - len(outbox.in_flight)))
        turn.state = replace(turn.state, outbox=box.reading(outbox))


def _floor(turn: Turn) -> do.Write:
    floor_s = turn.state.timekeeping.floor_s
    return do.KeepSetting("floor", floor_s, floor_s)


# Events -------------------------------------------------------------------------------------------------------------


def _on_restored(turn: Turn, event: ev.Restored) -> None:
    """Take up what the store remembers: settings, replay memory, the queue. What was sounding has been interrupted."""
    settings = {name: Setting(value, iat) for name, value, iat in event.settings}
    state = turn.state
    floor_s = max(state.timekeeping.floor_s, settings.get("floor", Setting(0)).value)
    turn.state = replace(
        state,
        restored=True,
        timekeeping=replace(state.timekeeping, floor_s=floor_s),
        outbox=box.Outbox(next_seq=event.next_seq, waiting=event.outbox_count),
        volume=settings.get("volume_percent", state.volume),
        muted=settings.get("muted", state.muted),
        accepted={(iss, jti): exp for iss, jti, exp in event.accepted},
        stops={(item, iss): RememberedStop(frozenset(may), exp) for item, iss, may, exp in event.stops},
        status_due_s=turn.now.mono_s,
    )
    for restored in event.items:
        _take_up(turn, restored)
    _announce(turn)


def _take_up(turn: Turn, restored: ev.RestoredItem) -> None:
    play = restored.verified.command
    assert isinstance(play, Play)
    item = Item(
        restored.verified,
        play,
        due_at=restored.accepted_at,
        ordered_s=turn.now.mono_s,
        durable=True,
        started_at=restored.started_at,
    )
    if restored.started_at is not None:
        attempts.record(turn, item, Outcome("failed", Reason.RESTART, "the agent was restarted while it sounded"), None)
    else:
        turn.state = replace(turn.state, programme=prog.enqueue(turn.state.programme, item))


def _announce(turn: Turn) -> None:
    """Ready once the store has spoken and libVLC is warm; the link may come later: the node works alone."""
    if turn.state.restored and turn.state.player_ready and not turn.state.announced:
        turn.state = replace(turn.state, announced=True)
        turn.do(do.NotifyReady())
        turn.log("ready")


def _on_player_ready(turn: Turn, _: ev.PlayerReady) -> None:
    turn.state = replace(turn.state, player_ready=True)
    _announce(turn)


def _on_connected(turn: Turn, event: ev.Connected) -> None:
    if event.connection != turn.state.connection.number:
        return
    turn.state = replace(
        turn.state,
        connection=conn.established(turn.state.connection),
        outbox=box.restart(turn.state.outbox),
        timekeeping=tk.draw_nonce(turn.state.timekeeping, turn.now),
        heartbeat_due_s=turn.now.mono_s,
    )
    turn.log(f"link up: {event.broker}")
    publish_state(turn)


def _on_disconnected(turn: Turn, event: ev.Disconnected) -> None:
    connection = turn.state.connection
    if event.connection != connection.number or connection.retry_at_s is not None:
        return
    lost = conn.lost(connection, turn.now.mono_s, turn.now.entropy)
    turn.state = replace(turn.state, connection=lost)
    wait_s = (lost.retry_at_s or turn.now.mono_s) - turn.now.mono_s
    turn.warn(f"link down: {event.detail}; next attempt in {wait_s:.1f} s")


def _on_delivered(turn: Turn, event: ev.ReportDelivered) -> None:
    if event.connection == turn.state.connection.number:
        outbox = box.delivered(turn.state.outbox, event.seq, heard=event.heard, at_s=turn.now.mono_s)
        turn.state = replace(turn.state, outbox=outbox)


def _on_outbox_read(turn: Turn, event: ev.OutboxRead) -> None:
    outbox, send = box.read(turn.state.outbox, tuple(seq for seq, _ in event.reports))
    if not turn.state.connection.up:
        turn.state = replace(turn.state, outbox=replace(outbox, in_flight=frozenset()))
        return
    turn.state = replace(turn.state, outbox=outbox)
    for seq, claims in event.reports:
        if seq in send:
            turn.do(do.PublishReport(seq, claims))


def _on_committed(turn: Turn, event: ev.Committed) -> None:
    """It is on the disk: acknowledge, let the item sound, put the setting into force."""
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    turn.state = replace(turn.state, pending=left, outbox=box.stored(turn.state.outbox))
    if pending.delivery is not None:
        turn.do(do.Acknowledge(pending.delivery))
    if pending.item is not None:
        turn.state = replace(turn.state, programme=prog.mark_durable(turn.state.programme, pending.item))
    if pending.setting is not None:
        apply_setting(turn, *pending.setting)


def _on_commit_failed(turn: Turn, event: ev.CommitFailed) -> None:
    """Records are tried again until they are stored. A command is as if it had not come: the broker brings it again."""
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    turn.state = replace(turn.state, pending=left)
    turn.warn(f"not stored: {event.detail}")
    if pending.again or _is_emergency(turn, pending.item):
        retry = (turn.now.mono_s + COMMIT_RETRY_S, pending)
        turn.state = replace(turn.state, failed_commits=(*turn.state.failed_commits, retry))
        return
    forgotten = {(write.iss, write.jti) for write in pending.writes if isinstance(write, do.RememberCommand)}
    accepted = {key: exp for key, exp in turn.state.accepted.items() if key not in forgotten}
    turn.state = replace(turn.state, accepted=accepted)
    if pending.item is not None:
        attempts.drop(turn, pending.item, Outcome("failed", Reason.STORAGE, event.detail))


def _is_emergency(turn: Turn, name: str | None) -> bool:
    item = None if name is None else prog.find(turn.state.programme, name)
    return item is not None and item.play.kind is Kind.EMERGENCY


def _on_asked(turn: Turn, event: ev.Asked) -> None:
    if event.question == "status":
        turn.do(do.Answer(event.token, describe(turn.state, turn.now)))
        return
    for name in prog.names(turn.state.programme)[::-1]:
        attempts.drop(turn, name, Outcome("stopped", Reason.STOPPED, "amp-off on the node"))
    for zone, amplifier in turn.state.amplifiers.items():
        if amp.takes(amplifier, amp.Cue.CUT):
            attempts.cue(turn, zone, amp.Cue.CUT)
    turn.do(do.Answer(event.token, b"amplifier off\n"))


def _on_stop_requested(turn: Turn, event: ev.StopRequested) -> None:
    """Orderly end: silence, amplifiers off, the floor kept, the server told."""
    turn.log(f"stopping: {event.signal}")
    current = turn.state.programme.current
    if current is not None:
        turn.do(do.Silence(current.token))
    turn.do(*(do.SwitchRelay(zone, on=False) for zone in turn.state.settings.zones))
    turn.commit(_floor(turn))
    publish_state(turn, online=False)
    turn.do(do.Exit(0, event.signal))


def _on_thread_died(turn: Turn, event: ev.ThreadDied) -> None:
    """A bug: die whole, amplifier first; systemd starts us anew."""
    turn.do(*(do.SwitchRelay(zone, on=False) for zone in turn.state.settings.zones))
    turn.do(do.Log("error", f"thread {event.thread} died: {event.detail}"))
    turn.do(do.Exit(1, f"thread {event.thread} died"))


_HANDLERS: Final[dict[type, Callable[[Turn, Any], None]]] = {
    ev.Restored: _on_restored,
    ev.PlayerReady: _on_player_ready,
    ev.Connected: _on_connected,
    ev.Disconnected: _on_disconnected,
    ev.ReportDelivered: _on_delivered,
    ev.CommandVerified: on_verified,
    ev.CommandRefused: on_refused,
    ev.Committed: _on_committed,
    ev.CommitFailed: _on_commit_failed,
    ev.OutboxRead: _on_outbox_read,
    ev.FileReady: news.on_source,
    ev.StreamReady: news.on_source,
    ev.SourceFailed: news.on_failure,
    ev.SamplesDecoded: news.on_decoded,
    ev.DecodingFailed: news.on_failure,
    ev.CardOpened: news.on_card,
    ev.CardFailed: news.on_card,
    ev.SoundStarted: news.on_started,
    ev.SoundStarved: news.on_flow,
    ev.SoundFlowed: news.on_flow,
    ev.SoundEnded: news.on_ended,
    ev.RelayFailed: news.on_relay_failed,
    ev.VitalsMeasured: on_vitals,
    ev.Asked: _on_asked,
    ev.StopRequested: _on_stop_requested,
    ev.ThreadDied: _on_thread_died,
}
