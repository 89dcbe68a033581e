"""Between node, disk and server: connections, transactions, and reports on their way.

Persist, then acknowledge, then act (design invariant 3).
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from agent.core import connection as conn
from agent.core import documents, endings, trusting
from agent.core import outbox as box
from agent.core import programme as prog
from agent.core import refusals as ref
from agent.core import timekeeping as tk
from agent.core.copies import acknowledge
from agent.core.heartbeat import publish_state
from agent.core.items import Item
from agent.core.pending import DocumentInForce, ItemDurable, Pending, RestartDue, SettingInForce, TrustInForce
from agent.core.settings import apply_setting
from agent.core.state import COMMIT_RETRY_S, DISK_CALM_S, Turn, disk_fault
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reports import CommandOutcome, PlayRecord
from agent.messages.sums import NO_SUMS

MAX_RECEIVED: Final = 64
"""Delivered reports whose removal waits for a transaction; beyond this they get one of their own."""


def send_reports(turn: Turn) -> None:
    """Read the next reports from the store as far as the window allows."""
    due = box.resend_due(turn.state.outbox, turn.now.mono_s)
    if due is not turn.state.outbox:
        turn.state = replace(turn.state, outbox=due)
    if len(turn.state.outbox.received) >= MAX_RECEIVED:
        turn.commit()
    if turn.state.connection.up:
        _tell_sums(turn)
    outbox = turn.state.outbox
    if turn.state.connection.up and box.may_read(outbox):
        turn.do(do.ReadOutbox(outbox.cursor, box.WINDOW - len(outbox.in_flight)))
        turn.state = replace(turn.state, outbox=box.reading(outbox))


def _tell_sums(turn: Turn) -> None:
    """Somebody listens again: one report for all that found no room; it leaves the sums as it enters the outbox."""
    outbox, sums = box.take_sums(turn.state.outbox, turn.now.mono_s)
    if sums != NO_SUMS and not any(isinstance(write, do.ForgetSums) for write in _unstored(turn)):
        turn.state = replace(turn.state, outbox=outbox)
        turn.commit(turn.report(box.alarm_of(sums)), do.ForgetSums(sums), again=True)


def _unstored(turn: Turn) -> Iterator[do.Write]:
    """What is given to the store, and not known to be stored."""
    for each in (*turn.state.pending.values(), *(pending for _, pending in turn.state.failed_commits)):
        yield from each.writes


def on_added_up(turn: Turn, event: ev.ReportsAddedUp) -> None:
    """The outbox was full, or what was told of that is told."""
    turn.state = replace(turn.state, outbox=box.added_up(turn.state.outbox, event.reports, event.sums))


def on_connected(turn: Turn, event: ev.Connected) -> None:
    """The link is up: say who we are, and send what waits."""
    if event.connection != turn.state.connection.number:
        return
    connection, alarms = conn.take_alarms(conn.established(turn.state.connection, turn.now.mono_s), turn.now.mono_s)
    turn.state = replace(
        turn.state,
        connection=connection,
        outbox=box.restart(turn.state.outbox),
        timekeeping=tk.draw_nonce(turn.state.timekeeping, turn.now),
        heartbeat_due_s=turn.now.mono_s,
    )
    turn.log(f"link up: {event.broker}")
    publish_state(turn)
    if alarms:
        turn.commit(*(turn.report(alarm) for alarm in alarms))


def on_disconnected(turn: Turn, event: ev.Disconnected) -> None:
    """The link is down: wait a random while."""
    connection = turn.state.connection
    if event.connection != connection.number or connection.retry_at_s is not None:
        return
    lost = conn.lost(connection, event, turn.now.mono_s, turn.now.entropy)
    turn.state = replace(turn.state, connection=lost)
    wait_s = (lost.retry_at_s or turn.now.mono_s) - turn.now.mono_s
    turn.warn(f"link down: {event.detail}; next attempt in {wait_s:.1f} s")


def on_link_hangs(turn: Turn, told: str) -> None:
    """Its thread never comes back: leave it behind, and make another connection with another client."""
    connection = turn.state.connection
    turn.state = replace(turn.state, connection=replace(connection, hung=connection.hung + 1))
    on_disconnected(turn, ev.Disconnected(connection.number, f"{told}: left behind"))


def on_disk_hangs(turn: Turn, told: str) -> None:
    """What waits for the disk waits; what may sound without it does."""
    turn.state = replace(turn.state, disk_hangs=told)
    turn.do(do.Log("error", f"disk: {told}"))


def _disk_answers(turn: Turn) -> None:
    if turn.state.disk_hangs:
        turn.state = replace(turn.state, disk_hangs="")
        turn.warn("disk: it answers again")


def on_delivered(turn: Turn, event: ev.ReportDelivered) -> None:
    """The broker has a report."""
    if event.connection == turn.state.connection.number:
        outbox = box.delivered(turn.state.outbox, event.seq, heard=event.heard, at_s=turn.now.mono_s)
        turn.state = replace(turn.state, outbox=outbox)
        turn.log(f"report {event.seq} {'acknowledged' if event.heard else 'had no subscriber: again in a minute'}")


def on_outbox_read(turn: Turn, event: ev.OutboxRead) -> None:
    """Send what the store has read."""
    _disk_answers(turn)
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
    _disk_answers(turn)
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    told = [write.claims.seq for write in pending.writes if isinstance(write, do.AppendReport)]
    outbox = box.stored(turn.state.outbox, min(told)) if told else turn.state.outbox
    turn.state = replace(turn.state, pending=left, outbox=outbox)
    for write in pending.writes:
        if isinstance(write, do.AppendReport) and isinstance(write.claims.report, PlayRecord):
            turn.log(f"item {write.claims.report.item}: play record stored as report {write.claims.seq}")
    acknowledge(turn, pending)
    match pending.then:
        case ItemDurable(name, jti):
            turn.state = replace(turn.state, programme=prog.mark_durable(turn.state.programme, name, jti))
        case SettingInForce(name, setting):
            apply_setting(turn, name, setting)
        case TrustInForce(document):
            trusting.come_into_force(turn, document)
        case DocumentInForce():
            documents.come_into_force(turn, pending.then)
        case RestartDue(iss):
            turn.state = replace(turn.state, restart_due=iss)


def on_commit_failed(turn: Turn, event: ev.CommitFailed) -> None:
    """Records are tried again until they are stored. A command is as if it had not come: the broker brings it again.

    Not so an emergency, and not what is over by now, or was judged: its record is on its way, or its outcome.
    """
    _disk_answers(turn)
    pending = turn.state.pending.get(event.token)
    if pending is None:
        return
    left = {token: each for token, each in turn.state.pending.items() if token != event.token}
    if not disk_fault(turn.state, turn.now):  # once, though it is tried again every few seconds
        turn.warn(f"not stored: {event.detail}")
    turn.state = replace(turn.state, pending=left, disk_fault=event.detail, disk_failed_s=turn.now.mono_s)
    _sound_all_the_same(turn, pending)
    if pending.again or _is_owed(turn, pending):
        retry = (turn.now.mono_s + COMMIT_RETRY_S, pending)
        turn.state = replace(turn.state, failed_commits=(*turn.state.failed_commits, retry))
        return
    _forget(turn, pending)
    if isinstance(pending.then, ItemDurable):
        endings.withdraw(turn, pending.then.item)
    if isinstance(pending.then, TrustInForce):
        trusting.go_on_without(turn)
    if pending.delivery is not None:
        _ask_again(turn)


def _sound_all_the_same(turn: Turn, pending: Pending) -> None:
    """A slot was ordered with its schedule, which is on the disk: one that fails since then does not silence it."""
    then = pending.then
    item = prog.find_ordered(turn.state.programme, then.item, then.jti) if isinstance(then, ItemDurable) else None
    if item is not None and item.slot_until is not None:
        told = replace(item, unstorable=True)
        turn.state = replace(turn.state, programme=prog.change_item(turn.state.programme, told))


def retry_commits(turn: Turn) -> None:
    """Try failed transactions again when their time has come; an item that is over is not kept any more."""
    due = tuple(each for each in turn.state.failed_commits if turn.now.mono_s >= each[0])
    if not due:
        return
    left = tuple(each for each in turn.state.failed_commits if each not in due)
    turn.state = replace(turn.state, failed_commits=left)
    for _, pending in due:
        writes = tuple(_as_of_now(turn, write) for write in pending.writes if not _is_over(turn, write))
        turn.commit(*writes, delivery=pending.delivery, then=pending.then, copies=pending.copies)


def _as_of_now(turn: Turn, write: do.Write) -> do.Write:
    """What the node knows of the time has no `iat` to order it: written late, it is written as it is now."""
    timekeeping = turn.state.timekeeping
    match write:
        case do.KeepSetting("floor"):
            return replace(write, value=timekeeping.floor_s)
        case do.KeepSetting("forgotten"):
            return replace(write, value=timekeeping.forgotten_s)
        case do.KeepSetting("forgotten_iat"):
            return replace(write, value=timekeeping.forgotten_iat)
        case do.KeepSetting("mark") if timekeeping.mark_s is not None:
            return replace(write, value=timekeeping.mark_s)
        case _:
            return write


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
        case do.ForgetSlotsOf(iss):
            return turn.state.documents["set_schedule", iss].verified is not None
        case do.KeepSlot(_, name):
            return prog.find(turn.state.programme, name) is None
        case do.KeepUnjudged():
            return _is_judged(turn, write)
        case do.KeepItem(name) | do.MarkStarted(name) | do.ForgetItem(name):
            return _is_of_another(write, prog.find(turn.state.programme, name))
        case _:
            return False


def _is_of_another(write: do.KeepItem | do.MarkStarted | do.ForgetItem, item: Item | None) -> bool:
    """Whether the item that has this name by now, if one has, is not the one that was written about."""
    match write:
        case do.KeepItem(envelope=envelope):
            return item is None or envelope != item.verified.envelope
        case do.MarkStarted(started_at=started_at):
            return item is None or started_at != item.started_at
        case do.ForgetItem():
            return item is not None and item.slot_until is None


def _is_judged(turn: Turn, write: do.Write) -> bool:
    """Whether it waited for the time, and the time came before the disk had it."""
    return isinstance(write, do.KeepUnjudged) and (write.iss, write.jti) not in turn.state.unjudged


def _forget(turn: Turn, pending: Pending) -> None:
    """The command has not come, and nothing was answered to it."""
    state = turn.state
    kept = do.RememberCommand | do.KeepUnjudged
    remembered = {(write.iss, write.jti) for write in pending.writes if isinstance(write, kept)}
    reports = [write.claims.report for write in pending.writes if isinstance(write, do.AppendReport)]
    unanswered = {(each.iss, each.jti) for each in reports if isinstance(each, CommandOutcome)}
    answered = {key: reason for key, reason in state.refusals.answered.items() if key not in unanswered}
    turn.state = replace(
        state,
        accepted={key: exp for key, exp in state.accepted.items() if key not in remembered},
        unjudged={key: waiting for key, waiting in state.unjudged.items() if key not in remembered},
        refusals=replace(state.refusals, answered=answered),
        outbox=box.not_stored(state.outbox, len(reports)),
    )
    _take_back(turn, pending)


def _take_back(turn: Turn, pending: Pending) -> None:
    """What had only come along on it: the alarm's counts, deletions, the floor."""
    aboard, state = pending.aboard, turn.state
    if aboard is None:
        return
    kept_s = aboard.kept_s if any(_is_floor(write) for write in pending.writes) else state.timekeeping.kept_s
    turn.state = replace(
        state,
        refusals=ref.taken_back(state.refusals, aboard.unproven),
        outbox=box.not_removed(state.outbox, aboard.removed),
        timekeeping=replace(state.timekeeping, kept_s=kept_s),
    )


def _is_floor(write: do.Write) -> bool:
    return isinstance(write, do.KeepSetting) and write.name == "floor"


def _ask_again(turn: Turn) -> None:
    """MQTT brings a message again only on another connection (MQTT 5, 4.4): begin one, but not at once.

    A disk that is full stays so for a while, and an emergency must find the link up.
    """
    if turn.state.ask_again_s is None:
        turn.state = replace(turn.state, ask_again_s=turn.now.mono_s + DISK_CALM_S)


def ask_again(turn: Turn) -> None:
    """When the time for that has come."""
    due_s = turn.state.ask_again_s
    if due_s is None or turn.now.mono_s < due_s:
        return
    turn.state = replace(turn.state, ask_again_s=None)
    connection = turn.state.connection
    if connection.up:
        told = "a command could not be stored: connecting anew, so that the broker brings it again"
        end = ev.Disconnected(connection.number, told)
        turn.state = replace(turn.state, connection=conn.lost(connection, end, turn.now.mono_s, turn.now.entropy))
        turn.warn(told)


def _is_owed(turn: Turn, pending: Pending) -> bool:
    then = pending.then
    if not isinstance(then, ItemDurable):
        return any(_is_judged(turn, write) for write in pending.writes)
    item = prog.find_ordered(turn.state.programme, then.item, then.jti)
    return item is None or item.is_emergency
