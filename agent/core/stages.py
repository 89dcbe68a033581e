"""Attempts at an item's sources: how far each has come, and how patient we are with it.

An item goes through attempts, one at a time, each with a fresh token; news with a stale token changes nothing.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from agent.core import items as its
from agent.core.items import Item, Outcome
from agent.core.policy import Ledger
from agent.messages.effects import MediaBuiltin, MediaFile, MediaPipe
from agent.messages.loudness import NO_SOUND, Loudness
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.sources import File, Relay

Media = MediaFile | MediaPipe | MediaBuiltin

FIRST_SOUND_S: Final = 4.5
"""From the first byte to the first sample, from `Sound` to the card's word, and how much longer an item may be silent
than it sounded. Reported within 5 s."""

SILENT_S: Final = 4.0
"""How long a relay may give digital silence where another source is there; told once a second, acted on within 5 s."""

CARD_WAIT_S: Final = 4.5
"""How long an item that is ready waits for the sound card."""

FETCH_PATIENCE_S: Final = 5.0
"""How long an item that is fetched keeps others waiting: then they may sound before it, and it is fetched on. An
emergency keeps no emergency waiting, and after so long asks its next source, if it has one."""

LANE_WAIT_S: Final = 3.8
"""How long decoded sound may wait for disk or card before it is decoded anew: a lane holds 6 s, 2 of them lead."""

SILENCE_WAIT_S: Final = 0.06
"""How long a stop waits for the card to fall silent before it opens the relay all the same."""

LAST_WORD_WAIT_S: Final = 2.0
"""How long a silenced, held or ended item then waits to learn what had sounded."""

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
class Watch:
    """Until when what sounds may go on under these rules (instant, which rule, its figures), and when they change.

    Found at `found_s` by a clock of this `offset_s`, after what the `ledger` counts: of an earlier instant, another
    clock, or after more, it says nothing.
    """

    rules: Rules
    ledger: Ledger
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
    `until_s` is when the card lets it end, so that nothing sounds after its window, and `ends_s` when its last sample
    leaves the card, once that is known.
    `so_far` is what the card last said to have left it since `Sound`, how much of the lane was over by then, when that
    was (Unix seconds, None where not known), and how long the amplifier had been on for it. The caps have counted
    `booked` samples of it before it has ended.
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
    ends_s: float | None = None
    kept: bool = False
    gain_percent: int = 0
    watch: Watch | None = None
    so_far: Loudness = NO_SOUND
    so_far_used: int = 0
    so_far_at_s: float | None = None
    so_far_on_s: float = 0.0
    booked: int = 0

    @property
    def name(self) -> str:
        """The item's name."""
        return self.item.play.item


def at_stage(attempt: Attempt, stage: Stage, at_s: float) -> Attempt:
    """The attempt has come this far."""
    return replace(attempt, stage=stage, since_s=at_s)


def fetch_wait_s(attempt: Attempt) -> float:
    """How long bytes may be on their way. An emergency asks its next source before that of a slow one is here."""
    if attempt.item.is_emergency and has_next(attempt):
        return FETCH_PATIENCE_S
    match attempt.item.play.sources[attempt.item.source].only:
        case File(bytes=size):
            return FETCH_WAIT_S + size / SLOWEST_BYTES_PER_S
        case Relay():
            return FETCH_WAIT_S
        case _:
            return float("inf")


def at_gain(attempt: Attempt, gain_percent: int) -> Attempt:
    """It sounds at this gain."""
    item = replace(attempt.item, loudest_percent=max(attempt.item.loudest_percent, gain_percent))
    return replace(attempt, item=item, gain_percent=gain_percent)


def is_slow(attempt: Attempt, at_s: float) -> bool:
    """Whether its source has been awaited for so long that nobody else waits for it any more."""
    return attempt.stage is Stage.FETCHING and at_s >= attempt.since_s + FETCH_PATIENCE_S


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


def ends_by_s(attempt: Attempt) -> float | None:
    """When what sounds is over at the latest (monotonic); it may end before."""
    if attempt.stage is not Stage.SOUNDING:
        return None
    limit_s = max(attempt.since_s, attempt.at_mono_s or 0.0) + attempt.item.samples_left / its.SAMPLE_RATE
    return limit_s if attempt.until_s is None else min(limit_s, attempt.until_s)


def is_silent(attempt: Attempt, silent_s: float) -> bool:
    """Whether a relay has given nothing but zeros for so long that another source has its turn (ADR 39).

    Where there is no other it stays on: the studio may come back.
    """
    sounding = attempt.stage is Stage.SOUNDING and attempt.item.is_live
    return sounding and silent_s >= SILENT_S and has_next(attempt)


def has_next(attempt: Attempt) -> bool:
    """Another source could take over, and there is time left for it."""
    return attempt.item.source + 1 < len(attempt.item.play.sources) and attempt.item.samples_left > 0


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


def sounded_by(attempt: Attempt, at_s: float) -> int:
    """How many samples will have left the card by then, since `Sound`, if none is missing."""
    return attempt.so_far.samples + max(0, round((at_s - attempt.moved_s) * its.SAMPLE_RATE))


def heard(attempt: Attempt, loudness: Loudness, used: int) -> Attempt:
    """So much of it has left the card, and so much of its lane is over."""
    item = its.heard(attempt.item, loudness, used)
    return replace(attempt, item=item, so_far=NO_SOUND, so_far_used=0, so_far_at_s=None, so_far_on_s=0.0, booked=0)
