"""What happened: past tense, frozen, made at the edge and put into the one inbox.

Every event that concerns one attempt at one source carries that attempt's `token`; every event of one connection its
`connection` number. An event with a stale number changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from agent.messages.commands import Play, VerifiedCommand
from agent.messages.loudness import Loudness
from agent.messages.memory import (
    StoredAccepted,
    StoredCommand,
    StoredDocument,
    StoredLedger,
    StoredSlot,
    StoredStop,
    StoredWanted,
)
from agent.messages.progress import NO_PROGRESS, Progress
from agent.messages.reasons import Reason
from agent.messages.sums import NO_SUMS, Sums


@dataclass(frozen=True, slots=True)
class Now:
    """The time as an argument, read once a turn by the loop.

    `mono_s` is CLOCK_BOOTTIME (durations, deadlines); `wall_s` is CLOCK_REALTIME (calendars, only if trusted);
    `synchronised` is what the kernel says of it (adjtimex), or the configuration where it has `vouched`; `entropy` is
    128 fresh random bits.
    """

    mono_s: float
    wall_s: float
    synchronised: bool
    entropy: int
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """Which MQTT message is to be acknowledged: the connection it came by and its packet identifier, 0 under QoS 0."""

    connection: int
    packet: int

    @property
    def is_unconfirmed(self) -> bool:
        """Whether it came under QoS 0: the broker waits for no word on it."""
        return self.packet == 0


FROM_STORE: Final = 0
"""The connection of what the node itself had kept; `packet` is the number it waits under. Real ones count from 1."""


OrderKey = tuple[Literal["item", "set_schedule", "set_policy"], str]
"""What was ordered earlier: an item by its name, a document by its authority."""


# Link ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A message on one of the command topics, not yet verified, not yet acknowledged."""

    delivery: Delivery
    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK with success; subscriptions are made."""

    connection: int
    broker: str


class LinkFault(StrEnum):
    """What no number of attempts mends, and somebody has to see to."""

    TAKEN_OVER = "session_taken_over"
    """Another machine is connected under this node's name."""
    NOT_AUTHORISED = "not_authorised"
    """The broker knows this node not, or does not let it in."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection has ended, or never came about. `detail` is one clear sentence."""

    connection: int
    detail: str
    fault: LinkFault | None = None


@dataclass(frozen=True, slots=True)
class ReportDelivered:
    """PUBACK for a report. `heard` is false where the broker said that nobody subscribes (reason code 0x10)."""

    connection: int
    seq: int
    heard: bool


# Security -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandVerified:
    """Checks 1 to 12 hold; replay and clock are the core's."""

    delivery: Delivery
    verified: VerifiedCommand


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """Some check failed. `reportable`: signature good, this node addressed, so `iss` and `jti` are believed."""

    delivery: Delivery
    reason: Reason
    detail: str
    reportable: bool
    iss: str
    jti: str
    exp: int | None = None
    """Until when it could have been accepted; None where no date is asked, or none can be read."""
    message: MessageArrived | None = None
    """What was refused: while a trust document is being stored it is kept, and judged again by that document."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What today's keys say of an order accepted earlier: verified anew, or None and why not.

    `damaged` if it is a known key's order no longer: the disk has altered it. `revoked` if its keys are not there any
    more, or may no longer order it; otherwise it is this node that has changed, and may change back.
    """

    verified: VerifiedCommand | None
    detail: str = ""
    damaged: bool = False
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class TrustTaken:
    """The trust document is in force; `orders` is what it says of those that were named."""

    orders: tuple[tuple[OrderKey, Standing], ...]


# Store --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RestoredCommand:
    """A command found waiting for the time at start. `play` is what it orders, None if it is another command.

    Not proven: a stop may name it, and what it is worth is asked once the time is known.
    """

    stored: StoredCommand
    play: Play | None
    exp: int


@dataclass(frozen=True, slots=True)
class RestoredDocument:
    """A schedule or policy found in the store at start, and what today's keys say of it; None if it had ended before.

    One that the disk has altered is not obeyed either, but it is not ended: nobody has revoked it.
    """

    stored: StoredDocument
    standing: Standing | None


@dataclass(frozen=True, slots=True)
class RestoredItem:
    """An accepted item found in the store at start; `started_at` is set if it had begun to sound.

    `round` is the sounding that last began, at `round_at` (Unix seconds).

    `revoked` says why its signatures no longer hold, `elsewhere` why it is not for this node any more, which may change
    back; then `verified` only tells what it was. Both are empty where it stands.
    """

    verified: VerifiedCommand
    accepted_at: int
    started_at: float | None
    revoked: str = ""
    round: int = 0
    round_at: float | None = None
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What the store held at start: the first event of a life. Absent settings are None."""

    next_seq: int
    outbox_count: int
    accepted: tuple[StoredAccepted, ...]
    stops: tuple[StoredStop, ...]
    items: tuple[RestoredItem, ...]
    settings: tuple[tuple[str, int, int], ...]
    """(name, value, iat): `volume_percent`, `muted`, `floor`, `mark`, `forgotten`, `forgotten_iat`."""
    unjudged: tuple[RestoredCommand, ...] = ()
    """Commands that wait for the time, in the order of arrival; they are judged anew before anybody believes them."""
    documents: tuple[RestoredDocument, ...] = ()
    slots: tuple[StoredSlot, ...] = ()
    ledger: StoredLedger | None = None
    wanted: tuple[StoredWanted, ...] = ()
    progress: Progress = NO_PROGRESS
    fault: str = ""
    """Of the disk, for an alarm."""
    sums: Sums = NO_SUMS


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction with this token is on the disk."""

    token: int


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The transaction could not be stored; nothing of it is durable."""

    token: int
    detail: str


@dataclass(frozen=True, slots=True)
class ReportsAddedUp:
    """What is to be told of reports that went undelivered is `sums` now; `reports` more of them have gone."""

    reports: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class OutboxRead:
    """The oldest reports still to be delivered: (seq, claims as JSON)."""

    reports: tuple[tuple[int, bytes], ...]


# Sources ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileReady:
    """The file is in the cache and its SHA-256 fits."""

    token: int
    path: str


@dataclass(frozen=True, slots=True)
class StreamReady:
    """A relay answers: `fd` reads from a pipe that carries its bytes, `head` are the first of them (also in it)."""

    token: int
    fd: int
    head: bytes


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """This source gives no (more) bytes."""

    token: int
    reason: Reason
    detail: str


# Player and sound card ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayerReady:
    """libVLC is loaded and warm: the next item sounds as fast as any later one."""


@dataclass(frozen=True, slots=True)
class SamplesDecoded:
    """The first samples of this attempt are in its lane: it could sound now."""

    token: int


@dataclass(frozen=True, slots=True)
class DecodingFailed:
    """The bytes are no sound that we take, or hold none from where it was to begin.

    `length_s` is how long the file sounds in all, where that is known to the sample.
    """

    token: int
    reason: Reason
    detail: str
    length_s: float | None = None


@dataclass(frozen=True, slots=True)
class CardOpened:
    """The card runs silence."""


@dataclass(frozen=True, slots=True)
class CardFailed:
    """The card is gone, busy or not there; the adapter goes on trying until told to close."""

    detail: str


@dataclass(frozen=True, slots=True)
class SoundStarted:
    """The first sample leaves the card at `at_mono_s` (CLOCK_BOOTTIME)."""

    token: int
    at_mono_s: float


@dataclass(frozen=True, slots=True)
class SoundAdvanced:
    """The card goes on playing this lane: said every second, so that a card that hangs is noticed.

    `loudness` is of all that has left the card since `Sound` was asked, `used` as in `SoundEnded`. `silent_s` is how
    long the source has given digital silence by now, whatever the gain.
    """

    token: int
    loudness: Loudness
    used: int
    silent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SoundEnding:
    """All of it is in the card, and its last sample leaves at about `at_mono_s`: another may be told to follow it."""

    token: int
    at_mono_s: float


@dataclass(frozen=True, slots=True)
class SoundStarved:
    """The lane is empty and not at its end: the village hears silence since `at_mono_s`."""

    token: int
    at_mono_s: float


@dataclass(frozen=True, slots=True)
class SoundFlowed:
    """Samples arrive again after starving."""

    token: int


class End(StrEnum):
    """Why a lane sounds no more."""

    COMPLETE = "complete"
    """All that the source had is over."""
    LIMIT = "limit"
    """As much of the lane is over as `Sound` allowed."""
    UNTIL = "until"
    """The instant has come after which nothing of it may sound; at the same moment as its limit it is `limit`."""
    CUT = "cut"
    """It was silenced or cleared, had not begun when it was to be held, or the card was lost."""


@dataclass(frozen=True, slots=True)
class SoundEnded:
    """The last sample has left the card, some 10 ms ago.

    `used` counts the samples of the lane that are over since `Sound`: those that sounded, and those left out because
    they were late or the card is slow. `loudness` is of what sounded: to a sample of the clock, not of the lane.
    """

    token: int
    end: End
    loudness: Loudness
    used: int


@dataclass(frozen=True, slots=True)
class SoundHeld:
    """It is silent, and may go on: what has left the card since its last `Sound`; `used` as in `SoundEnded`."""

    token: int
    loudness: Loudness
    used: int


# Machine ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClockFound:
    """Wall minus boot time (s) as something has kept it, and what first proved it.

    A clock chip, told of after `Restored`; or an earlier process of this boot, whose word the first state is made with.
    """

    offset_s: float
    evidence: str


@dataclass(frozen=True, slots=True)
class RelayFailed:
    """The line could not be switched."""

    zone: str
    detail: str


@dataclass(frozen=True, slots=True)
class VitalsMeasured:
    """The machine's health, for the heartbeat; None where the machine does not say."""

    cpu_c: float | None
    rss_mb: float
    load: float
    disk_free_mb: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody on this machine asks, through the agent's socket: `status` or `amp-off`."""

    token: int
    question: str


@dataclass(frozen=True, slots=True)
class ThreadDied:
    """A thread of ours ended unexpectedly: the process ends, amplifier first."""

    thread: str
    detail: str


@dataclass(frozen=True, slots=True)
class ThreadStuck:
    """A worker has been at one thing for so long that it will not come back."""

    thread: str
    for_s: float


@dataclass(frozen=True, slots=True)
class StopRequested:
    """SIGTERM or SIGINT."""

    signal: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline has come; nothing else happened."""


Event = (
    MessageArrived
    | Connected
    | Disconnected
    | ReportDelivered
    | CommandVerified
    | CommandRefused
    | TrustTaken
    | Restored
    | Committed
    | CommitFailed
    | ReportsAddedUp
    | OutboxRead
    | FileReady
    | StreamReady
    | SourceFailed
    | PlayerReady
    | SamplesDecoded
    | DecodingFailed
    | CardOpened
    | CardFailed
    | SoundStarted
    | SoundAdvanced
    | SoundEnding
    | SoundStarved
    | SoundFlowed
    | SoundEnded
    | SoundHeld
    | ClockFound
    | RelayFailed
    | VitalsMeasured
    | Asked
    | ThreadDied
    | ThreadStuck
    | StopRequested
    | Tick
)
