"""Which reports of one node have come, by `boot` and `seq` (protocol section 5): copies, gaps, a new store. Pure.

`seq` goes up by one for the life of the node's store; `boot` changes with each start. A gap is loss until it is filled.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

MAX_MISSING = 1_000
"""Single numbers remembered as missing; a wider gap counts, but what fills it late is taken for a copy."""

MAX_BOOTS = 16
"""Starts remembered: reports of older ones are long delivered."""


class Entry(StrEnum):
    """What a report's numbers say."""

    NEW = "new"
    LATE = "late"
    COPY = "copy"
    BEGUN_ANEW = "begun_anew"


@dataclass(frozen=True, slots=True)
class Ledger:
    """`lowest` to `highest` have come, but for the `missing`; `lost_wide` more fell into gaps too wide to list.

    `early` came after `lowest`, though made before it; what else is older, an earlier watch has seen.
    """

    boots: tuple[str, ...] = ()
    lowest: int = 0
    highest: int = 0
    newest_iat: int = 0
    missing: frozenset[int] = frozenset()
    early: frozenset[int] = frozenset()
    lost_wide: int = 0
    begun_anew: int = 0

    @property
    def lost(self) -> int:
        """Reports that were made and have not come."""
        return len(self.missing) + self.lost_wide


def entered(ledger: Ledger, *, boot: str, seq: int, iat: int) -> tuple[Ledger, Entry]:
    """The ledger with this report in it, and what it was. A copy leaves the ledger as it is."""
    known = boot in ledger.boots
    if not ledger.boots or seq > ledger.highest:
        return _ahead(ledger, boot, seq, iat), Entry.NEW
    if not known and iat >= ledger.newest_iat:
        # A start we do not know, later than all others, counts from below: its store is not the one we knew.
        anew = Ledger((boot,), seq, seq, iat, begun_anew=ledger.begun_anew + 1)
        return anew, Entry.BEGUN_ANEW
    if seq in ledger.missing:
        return replace(ledger, missing=ledger.missing - {seq}), Entry.LATE
    if seq < ledger.lowest and seq not in ledger.early and len(ledger.early) < MAX_MISSING:
        return replace(ledger, early=ledger.early | {seq}), Entry.LATE
    return ledger, Entry.COPY


def _ahead(ledger: Ledger, boot: str, seq: int, iat: int) -> Ledger:
    first = not ledger.boots
    begin = seq if first else ledger.highest + 1
    listed = max(begin, seq - (MAX_MISSING - len(ledger.missing)))
    return replace(
        ledger,
        boots=ledger.boots if boot in ledger.boots else (*ledger.boots, boot)[-MAX_BOOTS:],
        lowest=seq if first else ledger.lowest,
        highest=seq,
        newest_iat=max(iat, ledger.newest_iat),
        missing=ledger.missing.union(range(listed, seq)) if listed < seq else ledger.missing,
        lost_wide=ledger.lost_wide + (listed - begin),
    )
