"""What should sound: one item at a time and a queue (pre-emption comes with its own issue of work).

An item goes through attempts, one a source, each with a fresh token; news with a stale token changes nothing. Here are
only items and attempts; `playout` marries them to amplifier, sound card and store.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from agent.messages.commands import Play, VerifiedCommand
from agent.messages.effects import MediaBuiltin, MediaFile, MediaPipe
from agent.messages.events import Loudness
from agent.messages.reasons import Reason
from agent.messages.words import Kind

Media = MediaFile | MediaPipe | MediaBuiltin

SAMPLE_RATE: Final = 48_000

MAX_WAITING: Final = 100
"""Items that may wait: a day's bulletins many times over; each costs some 20 KiB."""

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
"""How long the record of a silenced item then waits to learn what had sounded."""

EMERGENCY_COMMIT_WAIT_S: Final = 2.0
"""A slow SD card delays an emergency no longer than this (design section 3)."""


class Stage(StrEnum):
    """How far an attempt at one source has come."""

    FETCHING = "fetching"
    FETCHED = "fetched"
    DECODING = "decoding"
    READY = "ready"
    SOUNDING = "sounding"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an item ended, as its play record will say it."""

    result: Literal["played", "stopped", "failed", "missed"]
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One accepted order to play. `ordered_s` is monotonic, `due_at` and `started_at` Unix seconds."""

    verified: VerifiedCommand
    play: Play
    due_at: int
    ordered_s: float
    durable: bool
    started_at: float | None = None
    heard: tuple[Loudness, ...] = ()

    @property
    def not_after(self) -> int:
        """Nothing of the item sounds after this (default: the order's `exp`)."""
        return self.play.not_after if isinstance(self.play.not_after, int) else self.verified.exp

    @property
    def samples_left(self) -> int:
        """How much of `max_duration_s` has not sounded yet."""
        return self.play.max_duration_s * SAMPLE_RATE - sum(part.samples for part in self.heard)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The item at hand and how far its present source has come.

    `since_s` is when the stage began, `began_s` when the item did, `moved_s` when the card last said that it goes on,
    `starved_s` since when nothing is heard, `dry_s` how much silence is not yet made up for by sound; `broken` is
    set once the source gives no more bytes and what it gave is still heard; `ending` once the end is decided and only
    the card's last word is awaited; `amplifier_base_s` is what the amplifier had been on in all when the item began.
    """

    item: Item
    token: int
    source: int = 0
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


@dataclass(frozen=True, slots=True)
class Programme:
    """What sounds or is about to, and what waits behind it."""

    current: Attempt | None = None
    waiting: tuple[Item, ...] = ()
    next_token: int = 1


_RANK: Final = {Kind.EMERGENCY: 0, Kind.PRIORITY: 1, Kind.NORMAL: 2}


def enqueue(programme: Programme, item: Item) -> Programme:
    """Behind everything of its kind, ahead of lesser kinds."""
    waiting = sorted((*programme.waiting, item), key=lambda each: _RANK[each.play.kind])
    return replace(programme, waiting=tuple(waiting))


def find(programme: Programme, name: str) -> Item | None:
    """The item of this name that plays or waits."""
    items = list(programme.waiting)
    if programme.current is not None:
        items.insert(0, programme.current.item)
    return next((item for item in items if item.play.item == name), None)


def names(programme: Programme) -> tuple[str, ...]:
    """All that plays or waits, in order."""
    current = () if programme.current is None else (programme.current.item.play.item,)
    return (*current, *(item.play.item for item in programme.waiting))


def without(programme: Programme, name: str) -> Programme:
    """The queue without this item; what sounds is not touched."""
    return replace(programme, waiting=tuple(item for item in programme.waiting if item.play.item != name))


def mark_durable(programme: Programme, name: str) -> Programme:
    """The order of this item is on the disk."""
    current = programme.current
    if current is not None and current.item.play.item == name:
        return replace(programme, current=replace(current, item=replace(current.item, durable=True)))
    waiting = tuple(replace(item, durable=True) if item.play.item == name else item for item in programme.waiting)
    return replace(programme, waiting=waiting)


def verified_anew(programme: Programme, name: str, verified: VerifiedCommand) -> Programme:
    """The item of this name under what its keys are worth today."""
    current = programme.current
    if current is not None and current.item.play.item == name:
        return replace(programme, current=replace(current, item=replace(current.item, verified=verified)))
    waiting = (replace(item, verified=verified) if item.play.item == name else item for item in programme.waiting)
    return replace(programme, waiting=tuple(waiting))


def begin(programme: Programme, at_s: float, amplifier_base_s: float) -> Programme:
    """Take the first of the queue; its first source comes next."""
    item, *rest = programme.waiting
    attempt = Attempt(
        item=item, token=programme.next_token, since_s=at_s, began_s=at_s, amplifier_base_s=amplifier_base_s
    )
    return replace(programme, current=attempt, waiting=tuple(rest), next_token=programme.next_token + 1)


def again(programme: Programme, attempt: Attempt, source: int, at_s: float) -> Programme:
    """A fresh attempt at one of the item's sources."""
    fresh = Attempt(
        item=attempt.item,
        token=programme.next_token,
        source=source,
        since_s=at_s,
        began_s=attempt.began_s,
        amplifier_base_s=attempt.amplifier_base_s,
    )
    return replace(programme, current=fresh, next_token=programme.next_token + 1)


def at_stage(attempt: Attempt, stage: Stage, at_s: float) -> Attempt:
    """The attempt has come this far."""
    return replace(attempt, stage=stage, since_s=at_s)


def may_sound(item: Item, at_s: float) -> bool:
    """Persist, then act; but an emergency waits two seconds for the disk and no longer."""
    late = item.play.kind is Kind.EMERGENCY and at_s >= item.ordered_s + EMERGENCY_COMMIT_WAIT_S
    return item.durable or late


def limit_s(attempt: Attempt) -> float | None:
    """When patience with this stage ends (monotonic); None where the stage has its limits elsewhere."""
    match attempt.stage:
        case Stage.DECODING:
            return attempt.since_s + FIRST_SOUND_S
        case Stage.READY:
            return attempt.since_s + LANE_WAIT_S
        case Stage.SOUNDING:
            if attempt.starved_s is None:
                return max(attempt.since_s, attempt.moved_s) + FIRST_SOUND_S
            return attempt.starved_s + FIRST_SOUND_S - attempt.dry_s
        case Stage.ENDING:
            return attempt.since_s + (LAST_WORD_WAIT_S if attempt.relay_cut else SILENCE_WAIT_S)
        case Stage.FETCHING | Stage.FETCHED:
            return None


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
