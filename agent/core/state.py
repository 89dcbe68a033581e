"""The node's whole state, and the turn that changes it. Frozen: a step makes a new one.

`Turn` is the scratch pad of one `step`: handlers replace `turn.state` and append effects; nothing of it outlives it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta, timezone, tzinfo
from typing import Final, TypeVar

from agent.core.amplifier import Amplifier, AmplifierSettings
from agent.core.connection import Connection
from agent.core.outbox import Outbox, appended, take_received
from agent.core.pending import Aboard, Consequence, DocumentKey, KeptDocument, Pending, Setting
from agent.core.policy import NO_RULES, Ledger, Rules
from agent.core.programme import Programme
from agent.core.refusals import Refusals, counted, take_alarm
from agent.core.timekeeping import Timekeeping, best_s, trusted_s
from agent.messages.commands import Play
from agent.messages.condition import Sounded, Told
from agent.messages.effects import Acknowledge, AppendReport, Commit, Effect, KeepSetting, Log, RemoveReports, Write
from agent.messages.events import FROM_STORE, Delivery, MessageArrived, Now, VitalsMeasured
from agent.messages.progress import NO_PROGRESS, Progress
from agent.messages.reasons import Reason
from agent.messages.reports import AnyReport, CommandOutcome, PlayRecord, ReportClaims
from agent.messages.sources import File
from agent.messages.trust import TrustDocument

MAX_ACCEPTED: Final = 20_000
"""Replay memory in commands: 24 h of one every five seconds; a full table refuses, it never forgets a live one."""

MAX_TOLD: Final = 10
"""Outcomes, and records, that whoever asks on this machine is told: a morning's."""

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
    zone: tzinfo = timezone(timedelta(hours=7), "Asia/Ho_Chi_Minh")
    """Of schedules and policies."""
    rules: Rules = NO_RULES
    """The configuration's own policy."""
    start_offset_ms: int = 0
    """How much later than the common instant this node starts: sound takes 3 ms a metre to the next pole."""
    rolled_back: str = ""
    """The version of the agent that did not get ready, if the last upgrade was taken back."""


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
class Accepted:
    """A command in the replay memory: its dates, `exp` perhaps later than it said; `iat` 0 where no date is asked."""

    exp: int
    iat: int = 0


@dataclass(frozen=True, slots=True)
class RememberedStop:
    """A stop that came before its item: which, whose, and what its keys could end.

    Stops of other keys, or that could end other things, stand beside it: one never takes another's place.
    """

    item: str
    iss: str
    may: frozenset[str]
    kids: tuple[str, ...] = ()
    """The keys that ordered it: where one is removed, it counts no longer."""


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A verified command that waits for the time, kept by (iss, jti), under a `number` that no other waits under.

    `emergency` names the emergency item that it is about, empty if none; `play` is what it orders, if it orders a play,
    and `exp` its end; `asked` once `security` judges it anew.
    """

    number: int
    emergency: str
    envelope: bytes
    play: Play | None = None
    exp: int = 0
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be brought ahead of its use, from `due_s` (monotonic) on; `ordered` by a command, kept on the disk."""

    file: File
    pin: bool
    due_s: float
    tries: int = 1
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Unfetched:
    """Files not brought ahead since that was told last, at `told_s` (monotonic), and why the last one was not."""

    count: int = 0
    detail: str = ""
    told_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How far the timetables have been taken up. Instants are Unix seconds.

    `done` is until when each slot's window lasts that was taken up, by (iss, item); `looked` up to which instant each
    version was, by (iss, version); `next_s` when to look again, `looked_s` when we last did; at `slot_s` the next slot
    begins.
    """

    done: Mapping[tuple[str, str], int] = field(default_factory=dict)
    looked: Mapping[tuple[str, int], float] = field(default_factory=dict)
    looked_s: float = float("-inf")
    next_s: float = float("-inf")
    slot_s: int | None = None


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
    accepted: Mapping[tuple[str, str], Accepted] = field(default_factory=dict)
    stops: Mapping[RememberedStop, int] = field(default_factory=dict)
    """Until when each binds (Unix seconds)."""
    unjudged: Mapping[tuple[str, str], Unjudged] = field(default_factory=dict)
    """In the order of arrival."""
    documents: Mapping[DocumentKey, KeptDocument] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    ledger: Ledger = field(default_factory=Ledger)
    wanted: tuple[Wanted, ...] = ()
    unfetched: Unfetched = field(default_factory=Unfetched)
    prefetching: tuple[int, Wanted] | None = None
    """The token of the file that is on its way."""
    refusals: Refusals = field(default_factory=Refusals)
    pending: Mapping[int, Pending] = field(default_factory=dict)
    failed_commits: tuple[tuple[float, Pending], ...] = ()
    next_commit: int = 1
    progress: Progress = NO_PROGRESS
    """As it was last handed on."""
    found: Progress = NO_PROGRESS
    """What the process before has handed on, and no order has come for: one that the disk did not have comes again."""
    stopping: bool = False
    restart_due: str = ""
    """Who has ordered a restart that is still to come."""
    disk_fault: str = ""
    disk_failed_s: float = float("-inf")
    """Why, and when, the disk last refused a transaction (`disk_fault`)."""
    disk_hangs: str = ""
    """That the store has not answered for long, while that lasts."""
    ask_again_s: float | None = None
    """When to connect anew, for a command that could not be stored."""
    card_wanted: bool = False
    card_open: bool = False
    card_fault: str = ""
    """Why the card is not to be had, empty while it is, or is not wanted."""
    card_failed_s: float | None = None
    """Since when; `card_losses` counts such times since they were told last, at `card_told_s`."""
    card_losses: int = 0
    card_told_s: float = float("-inf")
    player_ready: bool = False
    restored: bool = False
    announced: bool = False
    started_s: float = 0.0
    heartbeat_due_s: float = float("inf")
    status_due_s: float = float("inf")
    vitals: VitalsMeasured | None = None
    told: tuple[Told, ...] = ()
    """What was last said of commands, and below of items: for whoever asks on this machine."""
    sounded: tuple[Sounded, ...] = ()


DISK_CALM_S: Final = 3 * COMMIT_RETRY_S
"""A disk that is full takes what is small and refuses what is not: only after so long is it as good as new."""


def disk_fault(state: State, now: Now) -> str:
    """Why the disk does not store, empty while it does."""
    if state.disk_hangs:
        return state.disk_hangs
    fails = state.failed_commits or now.mono_s < state.disk_failed_s + DISK_CALM_S
    return state.disk_fault if fails else ""


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

    @property
    def start_offset_s(self) -> float:
        """This node's share of a common start."""
        return self.state.settings.start_offset_ms / 1_000

    def mono_of(self, wall_s: float | None) -> float | None:
        """The monotonic instant at which this node starts what starts at that Unix time; None while it is unknown."""
        offset_s = self.state.timekeeping.offset_s
        return None if wall_s is None or offset_s is None else wall_s - offset_s + self.start_offset_s

    def acknowledge(self, delivery: Delivery) -> None:
        """The broker may forget it; what came from our own store was acknowledged when it was put there."""
        if delivery.connection != FROM_STORE:
            self.do(Acknowledge(delivery))

    def mark(self) -> tuple[Write, ...]:
        """What keeps the mark, if there is one, and what was forgotten. No `iat` orders these: all may go back."""
        mark_s = self.state.timekeeping.mark_s
        return (*(() if mark_s is None else (KeepSetting("mark", mark_s, 0),)), *self.forgotten())

    def forgotten(self) -> tuple[Write, ...]:
        """What keeps how far accepted commands are forgotten."""
        timekeeping = self.state.timekeeping
        return (
            KeepSetting("forgotten", timekeeping.forgotten_s, 0),
            KeepSetting("forgotten_iat", timekeeping.forgotten_iat, 0),
        )

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
        self._remember(claims)
        return AppendReport(claims)

    def _remember(self, claims: ReportClaims) -> None:
        """The last of each sort; one that could not be stored and comes again is told once."""
        match claims.report:
            case CommandOutcome(iss=iss, jti=jti) as outcome:
                others = (each for each in self.state.told if (each.outcome.iss, each.outcome.jti) != (iss, jti))
                self.state = replace(self.state, told=(*others, Told(claims.iat, outcome))[-MAX_TOLD:])
            case PlayRecord() as record:
                detail = record.detail if isinstance(record.detail, str) else ""
                sounded = Sounded(claims.iat, record.item, record.result, record.reason, detail, record.played_s)
                self.state = replace(self.state, sounded=(*self.state.sounded, sounded)[-MAX_TOLD:])

    def commit(
        self,
        *writes: Write,
        delivery: Delivery | None = None,
        then: Consequence | None = None,
        again: bool = True,
        copies: tuple[Delivery, ...] = (),
    ) -> None:
        """Store all of this in one transaction; what can wait rides along: deletions, the floor, an alarm."""
        unproven = self.state.refusals.unproven
        refusals, alarm = take_alarm(self.state.refusals, self.now.mono_s)
        if alarm is not None:
            self.state = replace(self.state, refusals=refusals)
            writes = (*writes, self.report(alarm))
        outbox, received = take_received(self.state.outbox)
        if received:
            writes = (*writes, RemoveReports(received))
        timekeeping = self.state.timekeeping
        aboard = Aboard(timekeeping.kept_s, received, unproven if alarm is not None else {})
        if timekeeping.floor_s != timekeeping.kept_s:  # no `iat` orders these: the roots may lower it
            writes = (*writes, KeepSetting("floor", timekeeping.floor_s, 0))
            self.state = replace(self.state, timekeeping=replace(timekeeping, kept_s=timekeeping.floor_s))
        token = self.state.next_commit
        pending = Pending(writes, delivery, then, again, copies, aboard)
        self.state = replace(
            self.state, outbox=outbox, next_commit=token + 1, pending={**self.state.pending, token: pending}
        )
        self.do(Commit(token, writes))

    def count(self, reason: Reason) -> None:
        """One more of this reason, for the heartbeat."""
        self.state = replace(self.state, refusals=counted(self.state.refusals, reason))
