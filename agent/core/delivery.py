"""Between node, disk and server: connections, transactions, and reports on their way.

Persist, then acknowledge, then act (design invariant 3).
"""

from dataclasses import replace
from typing import Final

from agent.core import attempts, documents, trusting
from agent.core import connection as conn
from agent.core import outbox as box
from agent.core import programme as prog
from agent.core import timekeeping as tk
from agent.core.copies import acknowledge
from agent.core.heartbeat import publish_state
from agent.core.pending import Consequence, DocumentInForce, ItemDurable, Pending, SettingInForce, TrustInForce
from agent.core.programme import Outcome
from agent.core.settings import apply_setting
from agent.core.state import COMMIT_RETRY_S, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome, PlayRecord
from agent.messages.words import Kind

MAX_RECEIVED: Final = 64
"""Delivered reports whose removal waits for a transaction; beyond this they get one of their own."""


def send_reports(turn: Turn) -> None:
    """Read the next reports from the store as far as the window allows."""
    turn.state = replace(turn.state, outbox=box.resend_due(turn.state.outbox, turn.now.mono_s))
    if len(turn.state.outbox.received) >= MAX_RECEIVED:
        turn.commit()
    outbox = turn.state.outbox
    if turn.state.connection.up and box.may_read(outbox):
        turn.do(do.ReadOutbox(outbox.cursor, box.WINDOW - len(outbox.in_flight)))
        turn.state = replace(turn.state, outbox=box.reading(outbox))


def on_connected(turn: Turn, event: ev.Connected) -> None:
    """The link is up: say who we are, and send what waits."""
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


def on_disconnected(turn: Turn, event: ev.Disconnected) -> None:
    """The link is down: wait a random while."""
    connection = turn.state.connection
    if event.connection != connection.number or connection.retry_at_s is not None:
        return
    lost = conn.lost(connection, turn.now.mono_s, turn.now.entropy)
    turn.state = replace(turn.state, connection=lost)
    wait_s = (lost.retry_at_s or turn.now.mono_s) - turn.now.mono_s
    turn.warn(f"link down: {event.detail}; next attempt in {wait_s:.1f} s")


def on_delivered(turn: Turn, event: ev.ReportDelivered) -> None:
    """The broker has a report."""
    if event.connection == turn.state.connection.number:
        outbox = box.delivered(turn.state.outbox, event.seq, heard=event.heard, at_s=turn.now.mono_s)
        turn.state = replace(turn.state, outbox=outbox)
        turn.log(f"report {event.seq} {'acknowledged' if event.heard else 'had no subscriber: again in a minute'}")


def on_outbox_read(turn: Turn, event: ev.OutboxRead) -> None:
    """Send what the store has read."""
    outbox, send = box.read(turn.state.outbox, tuple(seq for seq, _ in event.reports))
    if not turn.state.connection.up:
        turn.state = replace(turn.state, outbox=replace(outbox, in_flight=frozenset()))
        return
    turn.state = replace(turn.state, outbox=outbox)
    for seq, claims in event.reports:
        if seq in send:
            turn.do(do.PublishReport(seq, claims))


def on_committed(turn: Turn, event: ev.Committed) -> None:
    """It is on the disk: acknowledge, let the item sound, put what it sets into force."""
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    turn.state = replace(turn.state, pending=left, outbox=box.stored(turn.state.outbox))
    for write in pending.writes:
        if isinstance(write, do.AppendReport) and isinstance(write.claims.report, PlayRecord):
            turn.log(f"item {write.claims.report.item}: play record stored as report {write.claims.seq}")
    acknowledge(turn, pending)
    match pending.then:
        case ItemDurable(name):
            turn.state = replace(turn.state, programme=prog.mark_durable(turn.state.programme, name))
        case SettingInForce(name, setting):
            apply_setting(turn, name, setting)
        case TrustInForce(document):
            trusting.come_into_force(turn, document)
        case DocumentInForce(key, kept):
            documents.come_into_force(turn, key, kept)


def on_commit_failed(turn: Turn, event: ev.CommitFailed) -> None:
    """Records are tried again until they are stored. A command is as if it had not come: the broker brings it again."""
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    turn.state = replace(turn.state, pending=left)
    turn.warn(f"not stored: {event.detail}")
    if pending.again or _is_emergency(turn, pending.then):
        retry = (turn.now.mono_s + COMMIT_RETRY_S, pending)
        turn.state = replace(turn.state, failed_commits=(*turn.state.failed_commits, retry))
        return
    _forget(turn, pending)
    if isinstance(pending.then, ItemDurable):
        attempts.drop(turn, pending.then.item, Outcome("failed", Reason.STORAGE, event.detail))
    if isinstance(pending.then, TrustInForce):
        trusting.go_on_without(turn)
    if pending.delivery is not None:
        _ask_again(turn)


def retry_commits(turn: Turn) -> None:
    """Try failed transactions again when their time has come; an item that is over is not kept any more."""
    due = tuple(each for each in turn.state.failed_commits if turn.now.mono_s >= each[0])
    if not due:
        return
    left = tuple(each for each in turn.state.failed_commits if each not in due)
    turn.state = replace(turn.state, failed_commits=left)
    for _, pending in due:
        writes = tuple(write for write in pending.writes if not _is_over(turn, write))
        turn.commit(*writes, delivery=pending.delivery, then=pending.then, copies=pending.copies)


def _is_over(turn: Turn, write: do.Write) -> bool:
    """Whether this would keep what has ended, or has been replaced, since it could not be stored at first."""
    match write:
        case do.KeepSetting(name, _, iat):
            setting = {"volume_percent": turn.state.volume, "muted": turn.state.muted}.get(name)
            return setting is not None and iat < setting.iat
        case do.KeepDocument(sort, iss, version):
            kept = turn.state.documents.get((sort, iss))
            return kept is not None and version < kept.version
        case do.EndDocument(sort, iss):
            return turn.state.documents[sort, iss].verified is not None
        case do.KeepItem(name) | do.MarkStarted(name):
            item = prog.find(turn.state.programme, name)
            return item is None or (isinstance(write, do.KeepItem) and write.envelope != item.verified.envelope)
        case _:
            return False


def _forget(turn: Turn, pending: Pending) -> None:
    """The command has not come, and nothing was answered to it."""
    state = turn.state
    kept = do.RememberCommand | do.KeepUnjudged
    remembered = {(write.iss, write.jti) for write in pending.writes if isinstance(write, kept)}
    reports = [write.claims.report for write in pending.writes if isinstance(write, do.AppendReport)]
    unanswered = {(each.iss, each.jti) for each in reports if isinstance(each, CommandOutcome)}
    answered = tuple(key for key in state.refusals.answered if key not in unanswered)
    turn.state = replace(
        state,
        accepted={key: exp for key, exp in state.accepted.items() if key not in remembered},
        unjudged={key: waiting for key, waiting in state.unjudged.items() if key not in remembered},
        refusals=replace(state.refusals, answered=answered),
        outbox=box.not_stored(state.outbox, len(reports)),
    )


def _ask_again(turn: Turn) -> None:
    """MQTT brings a message again only on another connection (MQTT 5, 4.4): begin one, after a while."""
    if turn.state.connection.up:
        turn.state = replace(turn.state, connection=conn.lost(turn.state.connection, turn.now.mono_s, turn.now.entropy))
        turn.warn("a command could not be stored: connecting anew, so that the broker brings it again")


def _is_emergency(turn: Turn, then: Consequence | None) -> bool:
    item = prog.find(turn.state.programme, then.item) if isinstance(then, ItemDurable) else None
    return item is not None and item.play.kind is Kind.EMERGENCY
