"""The play record: what was asked, and what really sounded (protocol section 5)."""

from agent.core.items import SAMPLE_RATE, Item, Outcome, total
from agent.core.policing import rules
from agent.core.policy import ceiling_percent
from agent.core.state import State, Turn
from agent.messages.reports import PlayRecord, SourceNamed
from agent.messages.sources import Builtin, File, Relay, Source


def zones_of(state: State, item: Item) -> tuple[str, ...]:
    """The zones that the item sounds in: those it names, else all."""
    return item.play.zones if isinstance(item.play.zones, tuple) else tuple(state.settings.zones)


def gain_percent(state: State, item: Item, trusted_s: float | None) -> int:
    """The volume of an item: the lowest of its own (else the node's) and the ceilings of keys and policy, or mute.

    An emergency takes its own volume, else the configured one, and neither mute nor policy nor the node's volume
    touches it; a ceiling never silences it (protocol section 7).
    """
    own = item.play.volume_percent
    ceiling = item.verified.max_volume_percent
    if item.is_emergency:
        wanted = own if isinstance(own, int) else state.settings.emergency_volume_percent
        return max(1, min(wanted, ceiling))
    if state.muted.value:
        return 0
    if trusted_s is not None:
        ceiling = min(ceiling, ceiling_percent(rules(state), item.play.kind, trusted_s, state.settings.zone))
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


def play_record(turn: Turn, item: Item, outcome: Outcome) -> PlayRecord:
    """The record of an item that has ended."""
    loudness = total(item.heard)
    return PlayRecord(
        item=item.play.item,
        iss=item.verified.iss,
        jti=item.verified.jti,
        kind=item.play.kind.value,
        title=item.play.title,
        source=named(item.play.sources[item.source]),
        due_at=item.due_at,
        started_at=item.started_at,
        ended_at=round(turn.wall_s, 3),
        requested_s=item.play.max_duration_s,
        played_s=round(loudness.samples / SAMPLE_RATE, 3),
        result=outcome.result,
        reason=outcome.reason,
        volume_percent=gain_percent(turn.state, item, turn.trusted_s),
        amplifier_on_s=round(item.amplifier_on_s, 3),
        rms_dbfs=loudness.rms_dbfs,
        peak_dbfs=loudness.peak_dbfs,
        underruns=loudness.underruns,
        not_durable=not item.durable,
        **({"detail": outcome.detail[:200]} if outcome.detail else {}),
    )
