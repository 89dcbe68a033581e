"""Beginning and end: what the store remembers is taken up, and the amplifier is off however it ends."""

from dataclasses import replace
from typing import Final

from agent.core import attempts, begun, delivery, documents, endings, prefetching, replacing, resuming, schedule, zones
from agent.core import connection as conn
from agent.core import outbox as box
from agent.core import programme as prog
from agent.core import timekeeping as tk
from agent.core.answers import forget_stops_of_removed_keys
from agent.core.condition import describe
from agent.core.heartbeat import publish_state
from agent.core.items import Item, Outcome
from agent.core.pending import Setting
from agent.core.settings import judge_dates
from agent.core.state import Accepted, RememberedStop, Turn, Unjudged
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm

BUG: Final = 70
"""EX_SOFTWARE of sysexits.h: a thread ended by an exception."""

HANGS: Final = 75
"""EX_TEMPFAIL of sysexits.h: a thread came back no more."""


def on_restored(turn: Turn, event: ev.Restored) -> None:
    """Take up what the store remembers. What was sounding has been interrupted."""
    settings = {name: Setting(value, iat) for name, value, iat in event.settings}
    state = turn.state
    kept_s = settings.get("floor", Setting(0)).value
    mark = settings.get("mark")
    timekeeping = replace(
        tk.restored(state.timekeeping, turn.now, kept_s),
        mark_s=None if mark is None else mark.value,
        forgotten_s=settings.get("forgotten", Setting(0)).value,
        forgotten_iat=settings.get("forgotten_iat", Setting(0)).value,
    )
    turn.state = replace(
        state,
        restored=True,
        timekeeping=timekeeping,
        outbox=box.Outbox(next_seq=event.next_seq, waiting=event.outbox_count, sums=event.sums),
        volume=settings.get("volume_percent", state.volume),
        muted=settings.get("muted", state.muted),
        accepted={(each.iss, each.jti): Accepted(each.exp, each.iat) for each in event.accepted},
        stops={RememberedStop(each.item, each.iss, frozenset(each.may), each.kids): each.exp for each in event.stops},
        unjudged={
            (each.stored.iss, each.stored.jti): Unjudged(
                number, each.stored.emergency, each.stored.envelope, each.play, each.exp
            )
            for number, each in enumerate(event.unjudged)
        },
        ledger=resuming.ledger_of(event),
        found=event.progress,
        status_due_s=turn.now.mono_s,
    )
    if turn.trusted_s is not None:
        turn.log(f"clock trusted: {timekeeping.evidence}")
    forget_stops_of_removed_keys(turn)
    judge_dates(turn)
    for restored in event.items:
        _take_up(turn, restored)
    begun.note(turn, {(slot.iss, slot.item): slot.until_s for slot in event.slots})
    for found in event.documents:
        documents.take_up(turn, found)
    for slot in event.slots:
        if not slot.settled:
            schedule.take_up(turn, slot)
    prefetching.restore(turn, event)
    resuming.keep_the_rest(turn)
    replacing.recall(turn)
    if event.fault:
        turn.commit(turn.report(Alarm("store", event.fault[:200], 1)))
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
        start_s=play.start_at if isinstance(play.start_at, int) else None,
        started_at=restored.started_at,
        round=restored.round,
        elsewhere=restored.elsewhere,
    )
    if restored.revoked:
        endings.record(turn, item, Outcome("stopped", Reason.REVOKED, restored.revoked))
        return
    if item.elsewhere:  # a group left, or a slip in node.yaml: as documents do, it waits for this to change back
        turn.warn(f"item {play.item} does not sound while this lasts: {item.elsewhere}")
    resuming.take_up(turn, item, restored.round_at or restored.started_at)


def _announce(turn: Turn) -> None:
    """Ready once the store has spoken and libVLC is warm; the link may come later: the node works alone."""
    if turn.state.restored and turn.state.player_ready and not turn.state.announced:
        turn.state = replace(turn.state, announced=True)
        turn.do(do.NotifyReady())
        turn.log("ready")
        attempts.want_card(turn)  # one that is missing is to be known before it is needed


def on_player_ready(turn: Turn, _: ev.PlayerReady) -> None:
    """LibVLC is warm."""
    turn.state = replace(turn.state, player_ready=True)
    _announce(turn)


def on_asked(turn: Turn, event: ev.Asked) -> None:
    """Somebody on the pole asks, or wants silence."""
    if event.question == "status":
        turn.do(do.Answer(event.token, describe(turn)))
        return
    for name in prog.names(turn.state.programme)[::-1]:
        endings.drop(turn, name, Outcome("stopped", Reason.STOPPED, "amp-off on the node"))
    zones.cut_all(turn)
    turn.do(do.Answer(event.token, b"amplifier off\n"))


def on_stop_requested(turn: Turn, event: ev.StopRequested) -> None:
    """The service manager, or somebody at a terminal."""
    _stop(turn, event.signal)


def restart_if_due(turn: Turn) -> None:
    """As ordered, once no emergency sounds or waits: a stolen key must not keep interrupting a flood warning."""
    state = turn.state
    emergency = any(item.is_emergency and not item.elsewhere for item in prog.items(state.programme))
    if state.restart_due and not state.stopping and not emergency:
        _stop(turn, f"restart ordered by {state.restart_due!r}")


def _stop(turn: Turn, why: str) -> None:
    """Orderly end: silence, amplifiers off, the floor kept, the server told."""
    turn.log(f"stopping: {why}")
    turn.state = replace(turn.state, stopping=True)
    current = turn.state.programme.current
    if current is not None:
        turn.do(do.Silence(current.token))
    turn.do(*(do.SwitchRelay(zone, on=False) for zone in turn.state.settings.zones))
    if turn.state.restored:  # before that, what is in memory is not yet what the disk has
        turn.commit()
    publish_state(turn, online=False)
    turn.do(do.Exit(0, why))


def on_thread_died(turn: Turn, event: ev.ThreadDied) -> None:
    """A bug: die whole, amplifier first; systemd starts us anew."""
    turn.do(*(do.SwitchRelay(zone, on=False) for zone in turn.state.settings.zones))
    turn.do(do.Log("error", f"thread {event.thread} died: {event.detail}"))
    turn.do(do.Exit(BUG, f"thread {event.thread} died"))


def on_thread_stuck(turn: Turn, event: ev.ThreadStuck) -> None:
    """What hangs in a library or a driver comes back with the next process only; a connection, with the next one.

    A disk that hangs would hang the next process too, before it has begun: this one can still sound (ADR 0026).
    """
    told = f"thread {event.thread} hangs since {event.for_s:.0f} s"
    if event.thread == "store":
        delivery.on_disk_hangs(turn, f"it has not answered for {event.for_s:.0f} s")
    elif event.thread == "link" and turn.state.connection.hung + 1 < conn.MAX_HUNG:
        delivery.on_link_hangs(turn, told)
    else:
        turn.do(*(do.SwitchRelay(zone, on=False) for zone in turn.state.settings.zones))
        turn.do(do.Log("error", told))
        turn.do(do.Exit(HANGS, f"thread {event.thread} hangs"))
