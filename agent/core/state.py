"""The node's whole state, and the turn that changes it. Frozen: a step makes a new one.

`Turn` is the scratch pad of one `step`: handlers replace `turn.state` and append effects; nothing of it outlives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from agent.core.amplifier import Amplifier, AmplifierSettings
from agent.core.connection import Connection
from agent.core.outbox import Outbox, appended, take_received
from agent.core.pending import Consequence, DocumentKey, KeptDocument, Pending, Setting
from agent.core.programme import Programme
from agent.core.refusals import Refusals, counted, take_alarm
from agent.core.timekeeping import Timekeeping, best_s, trusted_s
from agent.messages.effects import Acknowledge, AppendReport, Commit, Effect, KeepSetting, Log, RemoveReports, Write
from agent.messages.events import FROM_STORE, Delivery, MessageArrived, Now, VitalsMeasured
from agent.messages.reasons import Reason
from agent.messages.reports import AnyReport, ReportClaims
from agent.messages.trust import TrustDocument

MAX_ACCEPTED: Final = 20_000
"""Replay memory in commands: 24 h of one every five seconds; a full table refuses, it never forgets a live one."""

COMMIT_RETRY_S: Final = 5.0
"""A record that could not be stored is tried again this often."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the core needs of the configuration and of who we are."""

    node: str
    site: str
    boot: str
    version: str
    public: str
    zones: Mapping[str, AmplifierSettings]
    volume_percent: int
    emergency_volume_percent: int
    heartbeat_s: int


@dataclass(frozen=True, slots=True)
class Trust:
    """The trust document in force and its fingerprint.

    While the next one is being stored (`changing`), what the keys of this one refuse is `held`, to be judged again.
    """

    document: TrustDocument
    sha256: str
    changing: bool = False
    held: tuple[MessageArrived, ...] = ()


@dataclass(frozen=True, slots=True)
class RememberedStop:
    """A stop that came before its item; kept by (item, iss)."""

    may: frozenset[str]
    exp: int
    kids: tuple[str, ...] = ()
    """The keys that ordered it: where one is removed, it counts no longer."""


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A verified command that waits for the time, kept by (iss, jti), under a `number` that no other waits under.

    `emergency` names the emergency item that it is about, empty if none; `asked` once `security` judges it anew.
    """

    number: int
    emergency: str
    envelope: bytes
    asked: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that the node knows. Instants ending in `_s` are monotonic unless said otherwise."""

    settings: NodeSettings
    trust: Trust
    timekeeping: Timekeeping
    outbox: Outbox
    amplifiers: Mapping[str, Amplifier]
    volume: Setting
    muted: Setting
    programme: Programme = field(default_factory=Programme)
    connection: Connection = field(default_factory=Connection)
    accepted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    stops: Mapping[tuple[str, str], RememberedStop] = field(default_factory=dict)
    unjudged: Mapping[tuple[str, str], Unjudged] = field(default_factory=dict)
    """In the order of arrival."""
    documents: Mapping[DocumentKey, KeptDocument] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)
    pending: Mapping[int, Pending] = field(default_factory=dict)
    failed_commits: tuple[tuple[float, Pending], ...] = ()
    next_commit: int = 1
    card_wanted: bool = False
    card_open: bool = False
    card_fault: str = ""
    player_ready: bool = False
    restored: bool = False
    announced: bool = False
    started_s: float = 0.0
    heartbeat_due_s: float = float("inf")
    status_due_s: float = float("inf")
    vitals: VitalsMeasured | None = None


C = TypeVar("C", bound=Consequence)


def being_stored(state: State, sort: type[C]) -> tuple[C, ...]:
    """What will follow once the disk has it: whoever compares with what is in force must compare with this as well."""
    transactions = (*(each for _, each in state.failed_commits), *state.pending.values())
    return tuple(each.then for each in transactions if isinstance(each.then, sort))


@dataclass(slots=True)
class Turn:
    """One step in the making: the state so far and the effects in order."""

    state: State
    now: Now
    effects: list[Effect] = field(default_factory=list)

    def do(self, *effects: Effect) -> None:
        """Append effects, in order."""
        self.effects.extend(effects)

    def log(self, text: str) -> None:
        """One line, a state change."""
        self.do(Log("info", text))

    def warn(self, text: str) -> None:
        """One line, something a technician should look at."""
        self.do(Log("warning", text))

    @property
    def trusted_s(self) -> float | None:
        """Trusted Unix time, None while untrusted."""
        return trusted_s(self.state.timekeeping, self.now)

    @property
    def wall_s(self) -> float:
        """Unix time for stamps: trusted, else the floor."""
        return best_s(self.state.timekeeping, self.now)

    def acknowledge(self, delivery: Delivery) -> None:
        """The broker may forget it; what came from our own store was acknowledged when it was put there."""
        if delivery.connection != FROM_STORE:
            self.do(Acknowledge(delivery))

    def mark(self) -> tuple[Write, ...]:
        """What keeps the mark, if there is one, and how far was forgotten. No `iat` orders these: both may go back."""
        timekeeping = self.state.timekeeping
        forgotten = KeepSetting("forgotten", timekeeping.forgotten_s, 0)
        return (forgotten,) if timekeeping.mark_s is None else (KeepSetting("mark", timekeeping.mark_s, 0), forgotten)

    def report(self, report: AnyReport) -> Write:
        """Put a report into the outbox: the write that keeps it, numbered."""
        settings = self.state.settings
        claims = ReportClaims(
            iss=f"node:{settings.site}/{settings.node}",
            iat=int(self.wall_s),
            boot=settings.boot,
            seq=self.state.outbox.next_seq,
            clock_trusted=self.trusted_s is not None,
            report=report,
        )
        self.state = replace(self.state, outbox=appended(self.state.outbox))
        return AppendReport(claims)

    def commit(
        self,
        *writes: Write,
        delivery: Delivery | None = None,
        then: Consequence | None = None,
        again: bool = True,
        copies: tuple[Delivery, ...] = (),
    ) -> None:
        """Store all of this in one transaction; what can wait rides along: deletions, the floor, an alarm."""
        refusals, alarm = take_alarm(self.state.refusals, self.now.mono_s)
        if alarm is not None:
            self.state = replace(self.state, refusals=refusals)
            writes = (*writes, self.report(alarm))
        outbox, received = take_received(self.state.outbox)
        if received:
            writes = (*writes, RemoveReports(received))
        timekeeping = self.state.timekeeping
        if timekeeping.floor_s != timekeeping.kept_s:  # no `iat` orders these: the roots may lower it
            writes = (*writes, KeepSetting("floor", timekeeping.floor_s, 0))
            self.state = replace(self.state, timekeeping=replace(timekeeping, kept_s=timekeeping.floor_s))
        token = self.state.next_commit
        pending = Pending(writes, delivery, then, again, copies)
        self.state = replace(
            self.state, outbox=outbox, next_commit=token + 1, pending={**self.state.pending, token: pending}
        )
        self.do(Commit(token, writes))

    def count(self, reason: Reason) -> None:
        """One more of this reason, for the heartbeat."""
        self.state = replace(self.state, refusals=counted(self.state.refusals, reason))
