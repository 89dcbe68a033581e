"""Items of the programme: one order or slot each, and how much of it is over."""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent.messages.commands import Play, Repeat, VerifiedCommand
from agent.messages.loudness import Loudness
from agent.messages.reasons import Reason
from agent.messages.sources import CHIME_SAMPLES, Builtin, BuiltinName, Relay
from agent.messages.words import Kind

SAMPLE_RATE: Final = 48_000

EMERGENCY_COMMIT_WAIT_S: Final = 2.0
"""A slow SD card delays an emergency no longer than this (design section 3)."""

SLOT_COMMIT_WAIT_S: Final = 10.0
"""Nor is a slot silenced by one that hangs: its schedule is on the disk already."""


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
    """Of `play.replaces` what its keys may end, and has not ended since."""
    elsewhere: str = ""
    """Why it is not for this node any more, which may change back: until then it has no turn. Empty where it is."""
    begun: bool = False
    """Of the present sounding something was heard here, and the store knows when."""
    interrupted: bool = False
    """The node went down while it sounded, and it has not sounded again since."""
    loudest_percent: int = 0
    """The highest gain at which any of it sounded."""
    hindered: int = 0
    """How often in a row none of its zones' relays could be switched when it was to sound."""
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
    def lane_s(self) -> float:
        """How long its source is, where the present sounding has come to the source's end."""
        over_s = self.from_s + self.used / SAMPLE_RATE - self.chime_s
        return CHIME_SAMPLES / SAMPLE_RATE if self._is_chime else max(0.0, over_s)

    @property
    def _is_chime(self) -> bool:
        only = self.play.sources[self.source].only
        return isinstance(only, Builtin) and only.name is BuiltinName.CHIME

    @property
    def is_endless(self) -> bool:
        """Its source sounds for as long as it may: a relay, and the node's own siren and tone."""
        return self.is_live or (isinstance(self.play.sources[self.source].only, Builtin) and not self._is_chime)

    @property
    def repeat(self) -> Repeat:
        """How often it sounds in all."""
        return self.play.repeat if isinstance(self.play.repeat, Repeat) else Repeat(count=1, gap_s=0)

    @property
    def is_live(self) -> bool:
        """Whether its present source goes on without us: it is rejoined, never held."""
        return isinstance(self.play.sources[self.source].only, Relay)


def may_sound(item: Item, at_s: float) -> bool:
    """Persist, then act; but an emergency waits two seconds for the disk and no longer, a slot for its no or ten."""
    return item.durable or item.unstorable or at_s >= item.ordered_s + commit_wait_s(item)


def commit_wait_s(item: Item) -> float:
    """How long it waits for a disk that does not answer."""
    if item.is_emergency:
        return EMERGENCY_COMMIT_WAIT_S
    return float("inf") if item.slot_until is None else SLOT_COMMIT_WAIT_S


def next_source(item: Item, source: int) -> Item:
    """Another source of the item has its turn; amid a sounding it is in step with no other node any more."""
    live_samples = max(0, item.used - item.chime_samples) if item.is_live else item.live_samples
    return replace(item, source=source, live_samples=live_samples, start_s=None if item.used else item.start_s)


def heard(item: Item, loudness: Loudness, used: int) -> Item:
    """So much of it has left the card, and so much of its lane is over."""
    parts = (*item.heard, loudness) if loudness.samples or loudness.underruns else item.heard
    return replace(item, heard=_few(parts), used=item.used + used)


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
