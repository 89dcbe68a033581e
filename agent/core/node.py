"""The node as one pure function: `step(state, event, now) -> (state, effects)`; and `next_deadline(state, now)`.

No input or output, no clock, no thread: the loop gives events and performs effects in order.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from agent.core import amplifier as amp
from agent.core import card, deadlines, delivery, life, news, prefetching, resuming, schedule, trusting, unjudged
from agent.core import connection as conn
from agent.core import outbox as box
from agent.core import timekeeping as tk
from agent.core.admission import on_verified
from agent.core.heartbeat import beat, on_vitals, publish_state, tell_status, will
from agent.core.pending import Setting
from agent.core.playout import advance
from agent.core.settings import judge_dates
from agent.core.state import NodeSettings, State, Trust, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.trust import TrustDocument, fingerprint

__all__ = ["NodeSettings", "State", "clock_view", "initial", "next_deadline", "relays_closed", "step"]

STATUS_EVERY_S: Final = 6 * 3_600.0
"""A `status` report this often: a withheld trust document becomes visible."""

CLOCK_LOOK_S: Final = 5.0
"""How often an untrusted clock is looked at again."""


def initial(
    settings: NodeSettings, trust: TrustDocument, floor_s: int, now: ev.Now, carried: ev.ClockFound | None = None
) -> State:
    """The state before anything has happened: amplifiers off, nothing believed but the keys in `trust`.

    `carried` is the time as an earlier process of this boot has handed it on: before the kernel's word, which it may
    outrank.
    """
    return State(
        settings=settings,
        trust=Trust(trust, fingerprint(trust)),
        timekeeping=tk.carry_on(tk.Timekeeping(floor_s=floor_s), now, carried),
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
        _begin_memory_anew(turn)
        _carry_clock(turn)
        unjudged.judge(turn)
        _run_due(turn)
        advance(turn)
        card.tell(turn)
        delivery.send_reports(turn)
        resuming.hand_on(turn)
        life.restart_if_due(turn)
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
        state.ask_again_s,
        state.heartbeat_due_s,
        state.status_due_s,
        state.outbox.resend_at_s,
        tk.floor_due_s(state.timekeeping),
        *(retry_s for retry_s, _ in state.failed_commits),
        *(
            amp.deadline(amplifier, state.settings.zones[zone], now.mono_s)
            for zone, amplifier in state.amplifiers.items()
        ),
        *deadlines.of_programme(state, now),
    ]
    if state.timekeeping.offset_s is None:
        instants.append(now.mono_s + CLOCK_LOOK_S)
    return min((instant for instant in instants if instant is not None), default=None)


# Every turn ---------------------------------------------------------------------------------------------------------


def _observe_clock(turn: Turn) -> None:
    was_trusted = turn.state.timekeeping.offset_s is not None
    turn.state = replace(turn.state, timekeeping=tk.observe(turn.state.timekeeping, turn.now))
    if not was_trusted and turn.trusted_s is not None and turn.state.restored:
        turn.log(f"clock trusted: {turn.state.timekeeping.evidence}")
        judge_dates(turn)
        publish_state(turn)
    if turn.trusted_s is not None and turn.state.restored and turn.state.timekeeping.mark_s is None:
        timekeeping = replace(turn.state.timekeeping, mark_s=int(turn.trusted_s))
        turn.state = replace(turn.state, timekeeping=timekeeping)
        turn.log(f"the store began empty: orders issued before {timekeeping.mark_s} are refused")
        turn.commit(*turn.mark())
    if turn.state.restored:
        _begin_memory_anew(turn)


def _begin_memory_anew(turn: Turn) -> None:
    """The time was set back beyond what is remembered."""
    if tk.is_set_back(turn.state.timekeeping, turn.now):
        turn.state = replace(turn.state, timekeeping=tk.begin_anew(turn.state.timekeeping, turn.now))
        turn.warn(f"the time was set back: orders issued before {turn.state.timekeeping.mark_s} are refused")
        turn.commit(*turn.mark())


def _carry_clock(turn: Turn) -> None:
    timekeeping = turn.state.timekeeping
    if timekeeping.offset_s is not None and not tk.is_carried(timekeeping):
        turn.state = replace(turn.state, timekeeping=replace(timekeeping, carried_s=timekeeping.offset_s))
        turn.do(do.CarryClock(timekeeping.offset_s, timekeeping.evidence))


def _on_clock_found(turn: Turn, event: ev.ClockFound) -> None:
    found = tk.find(turn.state.timekeeping, turn.now, event.offset_s, event.evidence)
    if found is turn.state.timekeeping:
        turn.log(f"a clock that was kept ({event.evidence}) is not needed, or below the floor")
        return
    turn.state = replace(turn.state, timekeeping=found)
    turn.log(f"clock trusted: kept since {event.evidence}")
    judge_dates(turn)
    publish_state(turn)


def _run_due(turn: Turn) -> None:
    """Whatever is due by the clock alone."""
    at_s = turn.now.mono_s
    state = turn.state
    if state.connection.retry_at_s is not None and at_s >= state.connection.retry_at_s:
        begun = conn.begin(state.connection)
        turn.state = replace(turn.state, connection=begun)
        dates = not tk.is_wall_behind(turn.state.timekeeping, turn.now)
        turn.do(do.Connect(begun.number, conn.broker_index(begun), will(turn.state, begun.number), dates))
    if at_s >= state.heartbeat_due_s:
        beat(turn)
    if at_s >= state.status_due_s:
        turn.state = replace(turn.state, status_due_s=at_s + STATUS_EVERY_S)
        tell_status(turn)
    if tk.is_floor_due(turn.state.timekeeping):
        turn.commit()
    delivery.retry_commits(turn)
    delivery.ask_again(turn)
    schedule.run_due(turn)
    prefetching.run_due(turn)


# Events -------------------------------------------------------------------------------------------------------------


_HANDLERS: Final[dict[type, Callable[[Turn, Any], None]]] = {
    ev.Restored: life.on_restored,
    ev.PlayerReady: life.on_player_ready,
    ev.Connected: delivery.on_connected,
    ev.Disconnected: delivery.on_disconnected,
    ev.ReportDelivered: delivery.on_delivered,
    ev.CommandVerified: on_verified,
    ev.CommandRefused: trusting.on_refused,
    ev.TrustTaken: trusting.on_taken,
    ev.Committed: delivery.on_committed,
    ev.CommitFailed: delivery.on_commit_failed,
    ev.ReportsAddedUp: delivery.on_added_up,
    ev.OutboxRead: delivery.on_outbox_read,
    ev.FileReady: news.on_source,
    ev.StreamReady: news.on_source,
    ev.SourceFailed: news.on_failure,
    ev.SamplesDecoded: news.on_decoded,
    ev.DecodingFailed: news.on_failure,
    ev.CardOpened: card.on_card,
    ev.CardFailed: card.on_card,
    ev.SoundStarted: news.on_started,
    ev.SoundAdvanced: news.on_flow,
    ev.SoundStarved: news.on_flow,
    ev.SoundFlowed: news.on_flow,
    ev.SoundEnded: news.on_ended,
    ev.SoundEnding: news.on_ending,
    ev.SoundHeld: news.on_held,
    ev.ClockFound: _on_clock_found,
    ev.RelayFailed: news.on_relay_failed,
    ev.VitalsMeasured: on_vitals,
    ev.Asked: life.on_asked,
    ev.StopRequested: life.on_stop_requested,
    ev.ThreadDied: life.on_thread_died,
    ev.ThreadStuck: life.on_thread_stuck,
}
