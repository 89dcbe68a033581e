"""Reports that no longer fitted into the outbox, added up: what is told of them once somebody listens."""

from dataclasses import dataclass, fields, replace
from typing import Final

from agent.messages.reports import CommandOutcome, PlayRecord, ReportClaims

_LATE_S: Final = 253_402_300_799.0
"""The end of the year 9999: JSON has no infinity."""


@dataclass(frozen=True, slots=True)
class Sums:
    """How many reports, of which kinds, and what the play records among them say. Instants are Unix seconds.

    `first_seq` and `last_seq` bound the numbers that are missing for it; from `from_s` to `until_s` the items ended.
    """

    played: int = 0
    stopped: int = 0
    failed: int = 0
    missed: int = 0
    played_s: float = 0.0
    amplifier_on_s: float = 0.0
    refusals: int = 0
    others: int = 0
    from_s: float = _LATE_S
    until_s: float = 0.0
    first_seq: int = 1 << 62
    last_seq: int = 0

    @property
    def records(self) -> int:
        """Play records."""
        return self.played + self.stopped + self.failed + self.missed

    @property
    def reports(self) -> int:
        """Of all kinds."""
        return self.records + self.refusals + self.others


NO_SUMS = Sums()
_LOWEST = ("from_s", "first_seq")
_HIGHEST = ("until_s", "last_seq")


def of_report(seq: int, claims: ReportClaims | None) -> Sums:
    """One report; None where the disk has altered it."""
    numbered = Sums(first_seq=seq, last_seq=seq)
    match claims and claims.report:
        case PlayRecord() as record:
            return replace(
                numbered,
                **{record.result: 1},
                played_s=record.played_s,
                amplifier_on_s=record.amplifier_on_s,
                from_s=record.ended_at,
                until_s=record.ended_at,
            )
        case CommandOutcome(outcome="refused"):
            return replace(numbered, refusals=1)
        case _:
            return replace(numbered, others=1)


def added(one: Sums, other: Sums) -> Sums:
    """Both."""
    return _joined(one, other, 1)


def without(one: Sums, told: Sums) -> Sums:
    """What is left of `one` when `told`, a part of it, has been told; its bounds stay, being bounds."""
    left = _joined(one, told, -1)
    return left if left.reports > 0 else NO_SUMS


def _joined(one: Sums, other: Sums, sign: int) -> Sums:
    values = {}
    for field in fields(Sums):
        mine, its = getattr(one, field.name), getattr(other, field.name)
        if field.name in _LOWEST:
            values[field.name] = min(mine, its)
        elif field.name in _HIGHEST:
            values[field.name] = max(mine, its)
        else:
            values[field.name] = mine + sign * its
    return Sums(**values)
