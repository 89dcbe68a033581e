"""What to do: imperative, frozen, decided by the core and performed by the loop, each by one call of one adapter."""

from dataclasses import dataclass
from typing import Final, Literal

from agent.messages.documents import Slot
from agent.messages.events import Delivery, MessageArrived, OrderKey
from agent.messages.memory import DocumentType
from agent.messages.progress import Progress
from agent.messages.reports import ReportClaims
from agent.messages.sources import BuiltinName, File, Relay, Speech
from agent.messages.sums import Sums
from agent.messages.trust import TrustDocument

# Link ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """Open connection number `connection` to broker `broker_index` (modulo their count), with this last will.

    Without `dates` the broker's certificate is not asked for its dates: the wall clock is surely wrong.
    """

    connection: int
    broker_index: int
    will: bytes
    dates: bool


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Send the PUBACK."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class PublishState:
    """Retained, QoS 1."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PublishHeartbeat:
    """QoS 0, dropped where there is no link."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class PublishReport:
    """Sign `claims` (JSON) with the node's key and publish at QoS 1."""

    seq: int
    claims: bytes


# Security -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakeTrust:
    """Judge by this document from here on; answered by `TrustTaken` with its verdict on `orders` (which, envelope).

    Of the document in force it asks the verdict alone.
    """

    document: TrustDocument
    orders: tuple[tuple[OrderKey, bytes], ...]


@dataclass(frozen=True, slots=True)
class JudgeAgain:
    """Keys or clock were not such that this message could be judged, and now are: it comes before any other."""

    message: MessageArrived


# Store --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RememberCommand:
    """Add to the replay memory until `exp`; `iat` 0 where no date is asked."""

    iss: str
    jti: str
    exp: int
    iat: int


@dataclass(frozen=True, slots=True)
class ForgetCommands:
    """Drop what expired before `before` (trusted time) from replay memory and remembered stops."""

    before: int


@dataclass(frozen=True, slots=True)
class RememberStop:
    """A stop whose item has not come yet, with what its keys may: judged when the item comes."""

    item: str
    iss: str
    may: tuple[str, ...]
    exp: int
    kids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeepUnjudged:
    """A verified command that waits for the time, as it came; `emergency` names the emergency item it is about."""

    iss: str
    jti: str
    emergency: str
    envelope: bytes


@dataclass(frozen=True, slots=True)
class ForgetUnjudged:
    """It has been judged, or displaced; its outcome is in the same transaction."""

    iss: str
    jti: str


@dataclass(frozen=True, slots=True)
class KeepItem:
    """An accepted item: its envelope, checked again at the next start."""

    item: str
    envelope: bytes
    accepted_at: int


@dataclass(frozen=True, slots=True)
class MarkStarted:
    """The first sample of item or slot sounded at `started_at`; sounding `round` began at `round_at` (Unix seconds)."""

    item: str
    started_at: float
    round: int
    round_at: float


@dataclass(frozen=True, slots=True)
class ForgetItem:
    """The item has ended; its record is in the same transaction."""

    item: str


@dataclass(frozen=True, slots=True)
class KeepOrder:
    """These items come in this order, ahead of all that wait besides."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeepSlot:
    """A slot of an authority's schedule is due, on this day, between two instants (Unix seconds)."""

    iss: str
    item: str
    at_s: int
    until_s: int
    jti: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class SettleSlot:
    """It is over, its record is in the same transaction; it is known until the day is past."""

    iss: str
    item: str
    until_s: int


@dataclass(frozen=True, slots=True)
class ForgetSlots:
    """Those whose windows ended before `before` (Unix seconds) cannot be due again."""

    before: int


@dataclass(frozen=True, slots=True)
class ForgetSlotsOf:
    """Those of an authority that are settled: no schedule of its can name them again."""

    iss: str


@dataclass(frozen=True, slots=True)
class KeepLedger:
    """What has sounded on the local date `day`, and in the last session: times in seconds, the last instant Unix."""

    day: str
    minutes_s: float
    sessions: int
    session_s: float
    last_sound_s: float


@dataclass(frozen=True, slots=True)
class KeepSetting:
    """`volume_percent`, `muted`, `floor`, `mark`, `forgotten` or `forgotten_iat`, and the `iat` that set it."""

    name: str
    value: int
    iat: int


@dataclass(frozen=True, slots=True)
class KeepTrust:
    """The `set_trust` in force from now on, as it came; an older one is no longer needed."""

    version: int
    envelope: bytes


@dataclass(frozen=True, slots=True)
class KeepNames:
    """(kid, public) of keys in force: no kid is ever another key. What a kid first meant stays."""

    names: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class KeepDocument:
    """An authority's schedule or policy as it came, instead of the one before; checked again at the next start.

    `version`, `iat` and `sha256` outlive it: they say what may follow. `since` (Unix seconds) is when it was accepted,
    or issued if that was before.
    """

    type: DocumentType
    iss: str
    version: int
    iat: int
    sha256: str
    envelope: bytes
    since: int


@dataclass(frozen=True, slots=True)
class EndDocument:
    """Its keys no longer count: the document goes, its version stays known."""

    type: DocumentType
    iss: str


@dataclass(frozen=True, slots=True)
class KeepWanted:
    """A file that was ordered to be fetched ahead: until it is here, or given up."""

    sha256: str
    uri: str
    bytes: int
    pin: bool


@dataclass(frozen=True, slots=True)
class ForgetWanted:
    """It is in the cache, or was given up at this address."""

    sha256: str
    uri: str


@dataclass(frozen=True, slots=True)
class AppendReport:
    """Put a report into the outbox."""

    claims: ReportClaims


@dataclass(frozen=True, slots=True)
class RemoveReports:
    """These have been delivered."""

    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ForgetSums:
    """So much of what was added up for want of room is in a report now."""

    told: Sums


Write = (
    RememberCommand
    | ForgetCommands
    | RememberStop
    | KeepUnjudged
    | ForgetUnjudged
    | KeepItem
    | MarkStarted
    | ForgetItem
    | KeepOrder
    | KeepSlot
    | SettleSlot
    | ForgetSlots
    | ForgetSlotsOf
    | KeepLedger
    | KeepSetting
    | KeepTrust
    | KeepNames
    | KeepDocument
    | EndDocument
    | KeepWanted
    | ForgetWanted
    | AppendReport
    | RemoveReports
    | ForgetSums
)


@dataclass(frozen=True, slots=True)
class Commit:
    """All writes in one durable transaction; answered by `Committed(token)` or `CommitFailed(token)`."""

    token: int
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class ReadOutbox:
    """Answered by `OutboxRead`: at most `limit` reports with seq above `after_seq`."""

    after_seq: int
    limit: int


# Sources ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchFile:
    """Answered by `FileReady` or `SourceFailed`."""

    token: int
    file: File


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Answered by `StreamReady` or `SourceFailed`; the latter also later, when the stream breaks."""

    token: int
    relay: Relay


@dataclass(frozen=True, slots=True)
class Speak:
    """Make sound of a text; answered by `FileReady` or `SourceFailed`."""

    token: int
    speech: Speech


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Bring a file into the cache when nothing else is fetched; `pin` keeps it from eviction for good.

    Answered by `FileReady` or `SourceFailed`, with a token that no attempt has.
    """

    token: int
    file: File
    pin: bool


@dataclass(frozen=True, slots=True)
class CancelFetch:
    """The attempt is over: close socket and pipe. Unknown tokens are ignored."""

    token: int


# Player and sound card ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A verified file."""

    path: str


@dataclass(frozen=True, slots=True)
class MediaPipe:
    """A pipe's reading end, owned by the player from here on; `head` tells the demuxer."""

    fd: int
    head: bytes


@dataclass(frozen=True, slots=True)
class MediaBuiltin:
    """Sound that the node makes by itself: siren and tone go on until closed."""

    name: BuiltinName


CHIME_SAMPLES: Final = 96_000
"""2 s at 48 kHz: by so much a lane with a chime begins before its media."""


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode into a fresh lane; answered by `SamplesDecoded` or `DecodingFailed`.

    `chime` puts the chime before it; `from_s` skips so much of a file's beginning, as far as its format allows: WAV and
    FLAC to the sample, MP3 up to 0.15 s too early, all others (MP4, Ogg, AAC, TS, every pipe) begin at 0.
    """

    token: int
    media: MediaFile | MediaPipe | MediaBuiltin
    chime: bool = False
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PauseDecoding:
    """The lane holds enough: decode no more of this until `ResumeDecoding`. Unknown tokens are ignored."""

    token: int


@dataclass(frozen=True, slots=True)
class ResumeDecoding:
    """Go on where `PauseDecoding` stopped."""

    token: int


@dataclass(frozen=True, slots=True)
class ClosePipe:
    """A pipe that came too late: nobody will read it."""

    fd: int


@dataclass(frozen=True, slots=True)
class EndDecoding:
    """Release the attempt's player. Unknown tokens are ignored."""

    token: int


@dataclass(frozen=True, slots=True)
class OpenCard:
    """Run silence; answered by `CardOpened`, or `CardFailed` (once a cause) while it is tried again."""


@dataclass(frozen=True, slots=True)
class CloseCard:
    """Only after the relay has opened: the DAC's pop is never amplified."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Let this attempt's lane sound, at most `max_samples`; answered by `SoundStarted`, later `SoundEnded`.

    With `at_mono_s` (CLOCK_BOOTTIME) the lane's first sample belongs to that instant: silence until then, or so much of
    the lane left out as it is late; from there on the card's drift against the clock is corrected. A lane that was held
    goes on with the sample after the last one heard. Nothing of it sounds after `until_mono_s`. What is `paced` begins
    at once, or as soon as it can, and keeps to the clock from there on.
    """

    token: int
    gain_percent: int
    max_samples: int
    at_mono_s: float | None = None
    until_mono_s: float | None = None
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Be silent over 10 ms and keep the rest of the lane, what the card holds included; answered by `SoundHeld`.

    A lane that has not begun to sound, or has all sounded, is answered by `SoundEnded` where `Sound` was asked for it.
    """

    token: int


@dataclass(frozen=True, slots=True)
class SetGain:
    """Change the sounding lane's volume, over 10 ms."""

    token: int
    gain_percent: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing more of this attempt, not even what the card holds; answered by `SoundEnded` if it had begun."""

    token: int


# Machine ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SwitchRelay:
    """Answered only where it fails: `RelayFailed`."""

    zone: str
    on: bool


@dataclass(frozen=True, slots=True)
class CarryClock:
    """Hand trusted time on to the next process of this boot: wall minus boot time (s), and what proved it."""

    offset_s: float
    evidence: str


@dataclass(frozen=True, slots=True)
class KeepProgress:
    """Hand on how far the programme has come to the next process of this boot, should this one end."""

    progress: Progress


@dataclass(frozen=True, slots=True)
class MeasureVitals:
    """Answered by `VitalsMeasured`."""


@dataclass(frozen=True, slots=True)
class NotifyReady:
    """Tell systemd that the node is ready, and what it does."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to `Asked`."""

    token: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """One line a state change; no secrets."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Leave the loop: amplifiers off, adapters closed in reverse order, then this exit code."""

    code: int
    why: str


Effect = (
    Connect
    | Acknowledge
    | PublishState
    | PublishHeartbeat
    | PublishReport
    | TakeTrust
    | JudgeAgain
    | Commit
    | ReadOutbox
    | FetchFile
    | OpenStream
    | Speak
    | Prefetch
    | CancelFetch
    | Decode
    | PauseDecoding
    | ResumeDecoding
    | ClosePipe
    | EndDecoding
    | OpenCard
    | CloseCard
    | Sound
    | Hold
    | SetGain
    | Silence
    | SwitchRelay
    | CarryClock
    | KeepProgress
    | MeasureVitals
    | NotifyReady
    | Answer
    | Log
    | Exit
)
