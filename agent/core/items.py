"""Items of the programme and attempts at their sources: what is known of each, and how patient we are with it.

An item goes through attempts, one at a time, each with a fresh token; news with a stale token changes nothing.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from agent.messages.absent import UNSET
from agent.messages.commands import Play, Repeat, VerifiedCommand
from agent.messages.effects import MediaBuiltin, MediaFile, MediaPipe
from agent.messages.loudness import NO_SOUND, Loudness
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.sources import CHIME_SAMPLES, Builtin, BuiltinName, File, Relay
from agent.messages.words import Kind

Media = MediaFile | MediaPipe | MediaBuiltin

SAMPLE_RATE: Final = 48_000

FIRST_SOUND_S: Final = 4.5
"""From the first byte to the first sample, from `Sound` to the card's word, and how much longer an item may be silent
than it sounded. Reported within 5 s."""

CARD_WAIT_S: Final = 4.5
"""How long an item that is ready waits for the sound card."""

LANE_WAIT_S: Final = 3.8
"""How long decoded sound may wait for disk or card before it is decoded anew: a lane holds 6 s, 2 of them lead."""

SILENCE_WAIT_S: Final = 0.06
"""How long a stop waits for the card to fall silent before it opens the relay all the same."""

LAST_WORD_WAIT_S: Final = 2.0
"""How long a silenced, held or ended item then waits to learn what had sounded."""

EMERGENCY_COMMIT_WAIT_S: Final = 2.0
"""A slow SD card delays an emergency no longer than this (design section 3)."""


SLOT_COMMIT_WAIT_S: Final = 10.0
"""Nor is a slot silenced by one that hangs: its schedule is on the disk already."""

FETCH_WAIT_S: Final = 60.0
"""Fetch ends by itself what does not come. Where it never answers at all, the disk hangs under it: beyond this and the
time that the slowest line takes, the next source has its turn."""
SLOWEST_BYTES_PER_S: Final = 4_096


class Stage(StrEnum):
    """How far an attempt at one source has come."""

    FETCHING = "fetching"
    FETCHED = "fetched"
    DECODING = "decoding"
    READY = "ready"
    SOUNDING = "sounding"
    HOLDING = "holding"
    """Asked to be silent and keep the rest; the card's word is awaited."""
    HELD = "held"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an item ended, as its play record will say it."""

    result: Literal["played", "stopped", "failed", "missed"]
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One order to play, or one slot of a schedule on its day (`slot`: the last second of its window, else None).

    Instants: `ordered_s`, `not_before_s` and `off_air_s` are monotonic, the others Unix seconds. `start_s` is where the
    present sounding's first sample belongs, None where it may begin at any time. `round` counts soundings that are
    over, `used` the samples of the present one that have sounded or were left out for being late, `live_samples` those
    of them from a relay, which a file after it does not leave out; `from_s` is how much of the present one, its chime
    included, was over when this node joined.
    """

    verified: VerifiedCommand
    play: Play
    due_at: int
    ordered_s: float
    durable: bool
    slot_until: int | None = None
    unstorable: bool = False
    """A slot that the disk has refused: it sounds all the same."""
    start_s: float | None = None
    started_at: float | None = None
    heard: tuple[Loudness, ...] = ()
    source: int = 0
    round: int = 0
    used: int = 0
    from_s: float = 0.0
    live_samples: int = 0
    not_before_s: float = float("-inf")
    off_air_s: float = float("-inf")
    """When it last left the air: emergencies take turns by it."""
    pre_empted: bool = False
    amplifier_on_s: float = 0.0
    replaces: frozenset[str] = frozenset()
    """Of `play.replaces` what its keys may end."""
    begun: bool = False
    """Of the present sounding something was heard here, and the store knows when."""
    interrupted: bool = False
    """The node went down while it sounded, and it has not sounded again since."""
    crashes: int = 0
    """How often this process's forerunners crashed when it was their turn to play it."""

    @property
    def not_after(self) -> int:
        """Nothing of the item sounds after this (default: the order's `exp`)."""
        if self.slot_until is not None:
            return self.slot_until
        return self.play.not_after if isinstance(self.play.not_after, int) else self.verified.exp

    @property
    def is_common(self) -> bool:
        """All nodes that it is for begin it together: a slot, or an order with a set start."""
        return self.slot_until is not None or isinstance(self.play.start_at, int)

    @property
    def was_interrupted(self) -> bool:
        """Another has had the air amid it, or between two of its soundings."""
        return self.off_air_s > float("-inf")

    @property
    def is_emergency(self) -> bool:
        """Of the kind that pre-empts."""
        return self.play.kind is Kind.EMERGENCY

    @property
    def samples_left(self) -> int:
        """How much of `max_duration_s`, which each sounding has anew, is not over yet; the chime comes on top."""
        late = round(self.from_s * SAMPLE_RATE)
        return self.play.max_duration_s * SAMPLE_RATE + self._common_chime_samples - late - self.used

    @property
    def begins_with_chime(self) -> bool:
        """The chime is heard before the first sounding, from its beginning."""
        return self.chime_samples > 0 and self.used == 0

    @property
    def chime_samples(self) -> int:
        """How much of the present sounding here is the chime before it; who joins late joins after it."""
        return self._common_chime_samples if self.from_s == 0 else 0

    @property
    def _common_chime_samples(self) -> int:
        """How much of the present sounding is chime on a pole that was there from its beginning."""
        return CHIME_SAMPLES if self.play.chime is True and self.round == 0 else 0

    @property
    def chime_s(self) -> float:
        """The same in seconds."""
        return self._common_chime_samples / SAMPLE_RATE

    @property
    def position_s(self) -> float:
        """Where in its source the present sounding goes on; what is live goes on by itself."""
        if self.is_live:
            return 0.0
        joined_s = max(0.0, self.from_s - self.chime_s)
        return joined_s + max(0, self.used - self.chime_samples - self.live_samples) / SAMPLE_RATE

    @property
    def repeat(self) -> Repeat:
        """How often it sounds in all."""
        return self.play.repeat if isinstance(self.play.repeat, Repeat) else Repeat(count=1, gap_s=0)

    @property
    def is_live(self) -> bool:
        """Whether its present source goes on without us: it is rejoined, never held."""
        return isinstance(self.play.sources[self.source].only, Relay)


@dataclass(frozen=True, slots=True)
class Watch:
    """Until when what sounds may go on under these rules (instant, which rule, its figures), and when they change.

    Found at `found_s` by a clock of this `offset_s`: of an earlier instant, or of another clock, it says nothing.
    """

    rules: Rules
    found_s: float
    offset_s: float
    cut: tuple[float, Reason, str] | None
    change_s: float | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An item and how far its present source has come.

    `since_s` is when the stage began, `began_s` when the item took its turn, `moved_s` when the card last said that it
    goes on, `starved_s` since when nothing is heard, `dry_s` how much silence is not yet made up for by sound; `broken`
    is set once the source gives no more bytes and what it gave is still heard; `ending` once the end is decided and
    only the card's last word is awaited; `amplifier_base_s` is what the amplifier had been on in all when the item came
    on the air. `at_mono_s` is when the lane's first sample belongs, None for now; `kept` where the lane goes on;
    `until_s` is when the card lets it end, so that nothing sounds after its window.
    `so_far` is what the card last said to have left it since `Sound`, how much of the lane was over by then, when that
    was (Unix seconds, None where not known), and how long the amplifier had been on for it.
    """

    item: Item
    token: int
    stage: Stage = Stage.FETCHING
    since_s: float = 0.0
    began_s: float = 0.0
    moved_s: float = 0.0
    starved_s: float | None = None
    dry_s: float = 0.0
    media: Media | None = None
    broken: Outcome | None = None
    ending: Outcome | None = None
    relay_cut: bool = False
    amplifier_base_s: float = 0.0
    at_mono_s: float | None = None
    until_s: float | None = None
    kept: bool = False
    gain_percent: int = 0
    watch: Watch | None = None
    so_far: Loudness = NO_SOUND
    so_far_used: int = 0
    so_far_at_s: float | None = None
    so_far_on_s: float = 0.0

    @property
    def name(self) -> str:
        """The item's name."""
        return self.item.play.item

    @property
    def is_endless(self) -> bool:
        """A sound of the node's own that goes on until it is closed."""
        only = self.item.play.sources[self.item.source].only
        return isinstance(only, Builtin) and only.name is not BuiltinName.CHIME


def at_stage(attempt: Attempt, stage: Stage, at_s: float) -> Attempt:
    """The attempt has come this far."""
    return replace(attempt, stage=stage, since_s=at_s)


def may_sound(item: Item, at_s: float) -> bool:
    """Persist, then act; but an emergency waits two seconds for the disk and no longer, a slot for its no or ten."""
    return item.durable or item.unstorable or at_s >= item.ordered_s + commit_wait_s(item)


def commit_wait_s(item: Item) -> float:
    """How long it waits for a disk that does not answer."""
    if item.is_emergency:
        return EMERGENCY_COMMIT_WAIT_S
    return float("inf") if item.slot_until is None else SLOT_COMMIT_WAIT_S


def fetch_wait_s(attempt: Attempt) -> float:
    """How long bytes may be on their way."""
    match attempt.item.play.sources[attempt.item.source].only:
        case File(bytes=size):
            return FETCH_WAIT_S + size / SLOWEST_BYTES_PER_S
        case Relay():
            return FETCH_WAIT_S
        case _:
            return float("inf")


def limit_s(attempt: Attempt) -> float | None:
    """When patience with this stage ends (monotonic); None where the stage has its limits elsewhere."""
    match attempt.stage:
        case Stage.DECODING:
            return attempt.since_s + FIRST_SOUND_S
        case Stage.READY:
            return attempt.since_s + LANE_WAIT_S
        case Stage.SOUNDING:
            if attempt.starved_s is None:
                return max(attempt.since_s, attempt.moved_s, attempt.at_mono_s or 0.0) + FIRST_SOUND_S
            return attempt.starved_s + FIRST_SOUND_S - attempt.dry_s
        case Stage.HOLDING:
            return attempt.since_s + LAST_WORD_WAIT_S
        case Stage.ENDING:
            return attempt.since_s + (LAST_WORD_WAIT_S if attempt.relay_cut else SILENCE_WAIT_S)
        case Stage.FETCHING:
            wait_s = fetch_wait_s(attempt)
            return None if wait_s == float("inf") else attempt.since_s + wait_s
        case Stage.FETCHED | Stage.HELD:
            return None


def has_next(attempt: Attempt) -> bool:
    """Another source could take over, and there is time left for it."""
    return attempt.item.source + 1 < len(attempt.item.play.sources) and attempt.item.samples_left > 0


def next_source(item: Item, source: int) -> Item:
    """Another source of the item has its turn; amid a sounding it is in step with no other node any more."""
    live_samples = max(0, item.used - item.chime_samples) if item.is_live else item.live_samples
    return replace(item, source=source, live_samples=live_samples, start_s=None if item.used else item.start_s)


def starving(attempt: Attempt, at_s: float) -> Attempt:
    """The village hears silence since `at_s`; the sound before it makes up for as much of earlier silence."""
    return attempt if attempt.starved_s is not None else replace(moving(attempt, at_s), starved_s=at_s)


def moving(attempt: Attempt, at_s: float) -> Attempt:
    """It has sounded until `at_s`, as the card says."""
    if attempt.starved_s is not None:
        return attempt
    return replace(attempt, moved_s=at_s, dry_s=max(0.0, attempt.dry_s - max(0.0, at_s - attempt.moved_s)))


def flowing(attempt: Attempt, at_s: float) -> Attempt:
    """It sounds again. A trickle of sound is no sound: what was missed is not forgotten at once."""
    if attempt.starved_s is None:
        return attempt
    return replace(attempt, starved_s=None, moved_s=at_s, dry_s=attempt.dry_s + max(0.0, at_s - attempt.starved_s))


def heard(attempt: Attempt, loudness: Loudness, used: int) -> Attempt:
    """So much of it has left the card, and so much of its lane is over."""
    item = attempt.item
    parts = (*item.heard, loudness) if loudness.samples or loudness.underruns else item.heard
    item = replace(item, heard=_few(parts), used=item.used + used)
    return replace(attempt, item=item, so_far=NO_SOUND, so_far_used=0, so_far_at_s=None, so_far_on_s=0.0)


def _few(parts: tuple[Loudness, ...]) -> tuple[Loudness, ...]:
    """A hundred repeats, each pre-empted, must not grow for ever: the whole says as much."""
    return parts if len(parts) <= MAX_PARTS else (total(parts),)


MAX_PARTS: Final = 16
"""Parts of one item kept apart."""


def total(parts: tuple[Loudness, ...]) -> Loudness:
    """The parts of one item as a whole: power averaged over all samples."""
    samples = sum(part.samples for part in parts)
    power = sum(part.samples * 10 ** (part.rms_dbfs / 10) for part in parts if part.rms_dbfs is not None)
    return Loudness(
        samples=samples,
        rms_dbfs=round(10 * math.log10(power / samples), 1) if samples and power else None,
        peak_dbfs=max((part.peak_dbfs for part in parts if part.peak_dbfs is not None), default=None),
        underruns=sum(part.underruns for part in parts),
    )


def replaced_by(play: Play) -> tuple[str, ...]:
    """The items that an order says it replaces."""
    return () if play.replaces is UNSET else tuple(play.replaces)
