"""What is known of every node, as a fold: `(fleet, sighting, now) -> fleet`. Pure; rendering is elsewhere.

Nodes lie in 256 small dictionaries by hash, so that one message copies some hundreds of entries at most, and with
50,000 nodes it costs little more than with ten.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from agent.messages.reports import Alarm, AnyReport, ClockSeen, CommandOutcome, Heartbeat, PlayRecord, State, Status
from control.ledger import Entry, Ledger, entered
from control.sightings import HeartbeatSeen, Proof, ReportSeen, Sighting, StateSeen, Unreadable

SHARDS = 256
MAX_NODES = 50_000
"""A province has 2,000; the rest is a hostile broker inventing names."""

MAX_WORD = 64
MAX_TOLD = 160
"""Characters kept of what nodes say: a hostile broker fills no memory with them."""


class KeyState(StrEnum):
    """How the key a node shows stands to the one that was enrolled by hand."""

    ENROLLED = "enrolled"
    UNKNOWN = "unknown"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of one node. None: nobody has said.

    `seen_at` (first of all), `heartbeat_at` and `status_at` (proven by the enrolled key) are by the watcher's monotonic
    clock.
    """

    name: str
    key: KeyState = KeyState.UNKNOWN
    public: str = ""
    online: bool | None = None
    boot: str = ""
    link: int = 0
    clock: bool | None = None
    evidence: str = ""
    amp: str = ""
    playing: str | None = None
    waiting: int | None = None
    volume: int | None = None
    muted: bool = False
    outbox: int | None = None
    faults: tuple[str, ...] = ()
    seen_at: float = 0.0
    heartbeat_at: float | None = None
    status_at: float | None = None
    key_ends: str = ""
    last_report: str = ""
    last_proof: Proof = Proof.KEY_UNKNOWN
    ledger: Ledger = field(default_factory=Ledger)
    forged: int = 0
    unreadable: int = 0
    alarm: str = ""
    rolled_back: str = ""


@dataclass(frozen=True, slots=True)
class Fleet:
    """All nodes seen. `enrolled`: `SITE/NODE` to public key; `untold`: sightings of nodes beyond the bound."""

    enrolled: Mapping[str, str] = field(default_factory=dict)
    shards: tuple[Mapping[str, Node], ...] = (MappingProxyType({}),) * SHARDS
    count: int = 0
    untold: int = 0

    def get(self, name: str) -> Node | None:
        """The node `SITE/NODE`, if it was seen."""
        return self.shards[_shard(name)].get(name)

    def __iter__(self) -> Iterator[Node]:
        for shard in self.shards:
            yield from shard.values()


def fold(fleet: Fleet, sighting: Sighting, now: float) -> Fleet:
    """The fleet after this sighting; `now` in seconds of any monotonic clock."""
    index = _shard(sighting.node)
    shard = fleet.shards[index]
    node = shard.get(sighting.node)
    if node is None:
        if fleet.count >= MAX_NODES:
            return replace(fleet, untold=fleet.untold + 1)
        node = Node(sighting.node, seen_at=now, public=fleet.enrolled.get(sighting.node, ""))
        fleet = replace(fleet, count=fleet.count + 1)
    changed = {**shard, sighting.node: _after(node, sighting, now, sighting.node in fleet.enrolled)}
    return replace(fleet, shards=(*fleet.shards[:index], changed, *fleet.shards[index + 1 :]))


def _shard(name: str) -> int:
    return zlib.crc32(name.encode()) % SHARDS


def _after(node: Node, sighting: Sighting, now: float, enrolled: bool) -> Node:
    if node.key is KeyState.UNKNOWN and enrolled:
        node = replace(node, key=KeyState.ENROLLED)
    match sighting:
        case HeartbeatSeen(heartbeat=heartbeat):
            return _after_heartbeat(node, heartbeat, now)
        case StateSeen(state=state):
            return _after_state(node, state)
        case ReportSeen():
            return _after_report(node, sighting, now)
        case Unreadable():
            return _after_unreadable(node, sighting)


def _after_heartbeat(node: Node, heartbeat: Heartbeat, now: float) -> Node:
    return replace(
        node,
        boot=heartbeat.boot,
        link=heartbeat.link,
        clock=heartbeat.clock,
        amp=heartbeat.amp[:MAX_WORD],
        playing=heartbeat.playing[:MAX_WORD] if heartbeat.playing else None,
        waiting=heartbeat.waiting,
        volume=heartbeat.volume,
        muted=heartbeat.muted,
        outbox=heartbeat.outbox,
        faults=heartbeat.faults if isinstance(heartbeat.faults, tuple) else (),
        heartbeat_at=now,
    )


def _after_state(node: Node, state: State) -> Node:
    if not state.online and node.online and (state.boot != node.boot or state.link < node.link):
        return node  # the last will of a connection that is not the newest
    node = replace(node, online=state.online, boot=state.boot, link=state.link)
    if state.online:
        node = replace(node, key_ends=state.key_ends[:MAX_TOLD] if isinstance(state.key_ends, str) else "")
    if isinstance(state.clock, ClockSeen):
        node = replace(node, clock=state.clock.trusted, evidence=state.clock.evidence[:MAX_WORD])
    if not isinstance(state.public, str):
        return node
    node = replace(node, rolled_back=state.rolled_back[:MAX_WORD] if isinstance(state.rolled_back, str) else "")
    if not node.public:
        return replace(node, public=state.public)
    # The first key holds: whoever shows another is an alarm, not an update.
    return node if state.public == node.public else replace(node, key=KeyState.CHANGED)


def _after_report(node: Node, sighting: ReportSeen, now: float) -> Node:
    claims = sighting.claims
    ledger, entry = entered(node.ledger, boot=claims.boot, seq=claims.seq, iat=claims.iat)
    if entry is Entry.COPY:
        return node
    report = claims.report
    node = replace(node, ledger=ledger, last_report=told(report), last_proof=sighting.proof)
    if isinstance(report, Status) and sighting.proof is Proof.VERIFIED:
        return replace(node, status_at=now)
    return replace(node, alarm=told(report)) if isinstance(report, Alarm) else node


def _after_unreadable(node: Node, sighting: Unreadable) -> Node:
    if sighting.proof is Proof.FORGED:
        return replace(node, forged=node.forged + 1)
    node = replace(node, unreadable=node.unreadable + 1)
    if not sighting.boot:
        return node
    ledger, _ = entered(node.ledger, boot=sighting.boot, seq=sighting.seq, iat=sighting.iat)
    return replace(node, ledger=ledger)


def told(report: AnyReport) -> str:
    """One report in a few words."""
    return _words(report)[:MAX_TOLD]


def _words(report: AnyReport) -> str:
    match report:
        case CommandOutcome():
            return report.outcome if report.reason is None else f"{report.outcome}: {report.reason}"
        case PlayRecord():
            why = f" ({report.reason})" if report.reason else ""
            return f"{report.result} {report.item} {report.played_s:.1f}/{report.requested_s} s{why}"
        case Status():
            return f"status: trust {report.trust_version}, {report.agent_version}"
        case Alarm():
            return f"alarm: {report.what} x{report.count}"
