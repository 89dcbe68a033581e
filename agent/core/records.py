"""The play record: what was asked, and what really sounded (protocol section 5)."""

from agent.core.amplifier import energised_s
from agent.core.programme import SAMPLE_RATE, Attempt, Item, Outcome, total
from agent.core.state import State, Turn
from agent.messages.reports import PlayRecord, SourceNamed
from agent.messages.sources import Builtin, File, Relay, Source
from agent.messages.words import Kind


def zones_of(state: State, item: Item) -> tuple[str, ...]:
    """The zones that the item sounds in: those it names, else all."""
    return item.play.zones if isinstance(item.play.zones, tuple) else tuple(state.settings.zones)


def gain_percent(state: State, item: Item) -> int:
    """The volume of an item: the lowest of its own (else the node's) and its keys' ceilings; mute is for the others.

    An emergency takes its own volume, else the configured one, and neither mute nor the node's volume touches it; a
    ceiling never silences it (protocol section 7).
    """
    own = item.play.volume_percent
    ceiling = item.verified.max_volume_percent
    if item.play.kind is Kind.EMERGENCY:
        wanted = own if isinstance(own, int) else state.settings.emergency_volume_percent
        return max(1, min(wanted, ceiling))
    if state.muted.value:
        return 0
    return min(own if isinstance(own, int) else state.volume.value, ceiling)


def named(source: Source) -> SourceNamed:
    """A source as the record names it: a file by its hash, a relay by its host."""
    match source.only:
        case File(sha256=sha256):
            return SourceNamed("file", sha256=sha256)
        case Relay(uri=uri):
            return SourceNamed("relay", host=uri.partition("://")[2].partition("/")[0][:255])
        case Builtin(name=name):
            return SourceNamed("builtin", name=name.value)
        case _:
            return SourceNamed("speech")


def play_record(turn: Turn, item: Item, outcome: Outcome, attempt: Attempt | None) -> PlayRecord:
    """The record of an item that has ended: `attempt` is its last, None if it never had one."""
    loudness = total(item.heard)
    amplifier_on_s = 0.0
    if attempt is not None:
        first_zone = turn.state.amplifiers[zones_of(turn.state, item)[0]]
        amplifier_on_s = energised_s(first_zone, turn.now.mono_s) - attempt.amplifier_base_s
    return PlayRecord(
        item=item.play.item,
        iss=item.verified.iss,
        jti=item.verified.jti,
        kind=item.play.kind.value,
        title=item.play.title,
        source=named(item.play.sources[attempt.source if attempt is not None else 0]),
        due_at=item.due_at,
        started_at=item.started_at,
        ended_at=round(turn.wall_s, 3),
        requested_s=item.play.max_duration_s,
        played_s=round(loudness.samples / SAMPLE_RATE, 3),
        result=outcome.result,
        reason=outcome.reason,
        volume_percent=gain_percent(turn.state, item),
        amplifier_on_s=round(amplifier_on_s, 3),
        rms_dbfs=loudness.rms_dbfs,
        peak_dbfs=loudness.peak_dbfs,
        underruns=loudness.underruns,
        not_durable=not item.durable,
        **({"detail": outcome.detail[:200]} if outcome.detail else {}),
    )
