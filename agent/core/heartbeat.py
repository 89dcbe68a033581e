"""What the node says of itself: `state`, `heartbeat` and the `status` report (protocol section 5).

`state` and `heartbeat` are hints for anybody; `status` is signed. A heartbeat stays within `MAX_HEARTBEAT_BYTES`.
"""

from dataclasses import replace
from typing import Final, Literal

from agent.core import timekeeping as tk
from agent.core.documents import seen
from agent.core.state import State as NodeState
from agent.core.state import Turn, disk_fault
from agent.messages.absent import UNSET
from agent.messages.codec import encode
from agent.messages.effects import KeepNames, MeasureVitals, PublishHeartbeat, PublishState
from agent.messages.events import Now, VitalsMeasured
from agent.messages.reports import ClockSeen, Heartbeat, State, Status
from agent.messages.trust import names_used

MAX_HEARTBEAT_BYTES: Final = 512

KEY_END_WARNING_S: Final = 60 * 86_400
"""`state` warns this long before a key's end."""


def will(state: NodeState, connection: int) -> bytes:
    """The last will of a connection about to be opened."""
    settings = state.settings
    return encode(State(settings.node, settings.site, online=False, boot=settings.boot, link=connection))


def clock_seen(state: NodeState) -> ClockSeen:
    """What the node says of its clock."""
    timekeeping = state.timekeeping
    return ClockSeen(timekeeping.offset_s is not None, timekeeping.evidence, timekeeping.floor_s)


def publish_state(turn: Turn, *, online: bool = True) -> None:
    """Say who and how we are, retained; with the nonce that a `time` command must answer."""
    state = turn.state
    settings = state.settings
    if not state.connection.up:
        return
    document = State(
        settings.node,
        settings.site,
        online=online,
        boot=settings.boot,
        link=state.connection.number,
        version=settings.version,
        public=settings.public,
        nonce=state.timekeeping.nonce or UNSET,
        clock=clock_seen(state),
        trust_version=state.trust.document.version,
        key_ends=key_ends(turn) or UNSET,
        rolled_back=settings.rolled_back or UNSET,
    )
    turn.do(PublishState(encode(document)))


def key_ends(turn: Turn) -> str:
    """The keys that may do something and end soon, or have ended: somebody must renew or retire them.

    The roots among them: `set_trust` asks no date of theirs, but a `time` does.
    """
    document = turn.state.trust.document
    used = [key for key in document.keys if key.may or key.kid in document.roots.kids]
    soon = [key.kid for key in used if key.valid_until.timestamp() - turn.wall_s < KEY_END_WARNING_S]
    return ", ".join(soon)[:200]


def status_report(turn: Turn, jti: str | None = None) -> Status:
    """What is in force, signed."""
    state = turn.state
    current = state.programme.current
    return Status(
        agent_version=state.settings.version,
        trust_version=state.trust.document.version,
        trust_sha256=state.trust.sha256,
        volume_percent=state.volume.value,
        muted=bool(state.muted.value),
        clock=clock_seen(state),
        playing=None if current is None else current.item.play.item,
        waiting=len(state.programme.waiting),
        jti=jti or UNSET,
        mark=state.timekeeping.mark_s,
        schedules=seen(state, "set_schedule"),
        policies=seen(state, "set_policy"),
    )


def tell_status(turn: Turn) -> None:
    """The `status` of every six hours; with it the names of the keys in force are kept, and their ends warned of."""
    names = tuple(names_used([turn.state.trust.document]).items())
    turn.commit(turn.report(status_report(turn)), KeepNames(names))
    if key_ends(turn):
        publish_state(turn)


def beat(turn: Turn) -> None:
    """The heartbeat is due: measure first, publish with the answer. While untrusted each carries a fresh nonce."""
    due_s = turn.now.mono_s + turn.state.settings.heartbeat_s
    turn.state = replace(turn.state, heartbeat_due_s=due_s)
    if turn.state.connection.up:
        turn.do(MeasureVitals())


def on_vitals(turn: Turn, event: VitalsMeasured) -> None:
    """Publish the heartbeat with what was measured."""
    turn.state = replace(turn.state, vitals=event)
    if not turn.state.connection.up:
        return
    if turn.trusted_s is None:
        turn.state = replace(turn.state, timekeeping=tk.draw_nonce(turn.state.timekeeping, turn.now))
    turn.do(PublishHeartbeat(_encoded(turn.state, turn.now)))


def _encoded(state: NodeState, now: Now) -> bytes:
    """Within the bound: the counters of the rarest reasons give way; `loa-agent status` tells them all."""
    encoded = encode(heartbeat(state, now))
    for reasons in range(len(state.refusals.counts) - 1, -1, -1):
        if len(encoded) <= MAX_HEARTBEAT_BYTES:
            break
        encoded = encode(heartbeat(state, now, reasons))
    return encoded


def heartbeat(state: NodeState, now: Now, reasons: int | None = None) -> Heartbeat:
    """The document, with the most frequent `reasons` (default all) of refusals; vitals only where they are known."""
    vitals = state.vitals
    current = state.programme.current
    refused = sorted(state.refusals.counts.items(), key=lambda each: -each[1])[:reasons]
    return Heartbeat(
        boot=state.settings.boot[:8],
        up_s=int(now.mono_s - state.started_s),
        link=state.connection.number,
        amp=_amplifiers(state),
        playing=None if current is None else current.item.play.item,
        waiting=len(state.programme.waiting),
        volume=state.volume.value,
        muted=bool(state.muted.value),
        clock=state.timekeeping.offset_s is not None,
        outbox=state.outbox.waiting,
        nonce=(state.timekeeping.nonce or UNSET) if state.timekeeping.offset_s is None else UNSET,
        refused=dict(refused) if refused else UNSET,
        cpu_c=UNSET if vitals is None or vitals.cpu_c is None else vitals.cpu_c,
        rss_mb=UNSET if vitals is None else vitals.rss_mb,
        load=UNSET if vitals is None else vitals.load,
        disk_free_mb=UNSET if vitals is None else vitals.disk_free_mb,
        faults=_faults(state, now) or UNSET,
    )


def _faults(state: NodeState, now: Now) -> tuple[Literal["disk", "card"], ...]:
    disk: tuple[Literal["disk", "card"], ...] = ("disk",) if disk_fault(state, now) else ()
    return (*disk, "card") if state.card_fault else disk


def _amplifiers(state: NodeState) -> str:
    """`off` where all are off, else the zones that are not: `main=on`."""
    said = [f"{zone}={amp.mode}" for zone, amp in state.amplifiers.items() if amp.mode.value != "off"]
    return ",".join(said)[:60] or "off"
