"""The outbox's table: reports until somebody has them, bounded by count and by bytes. Thread: `store`.

What does not fit is added up before it goes (ADR 0027), in the same transaction: first refusals beyond their share,
then the oldest play records, then the oldest of all. What was handed out last is spared: it may be on its way.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from agent.messages import codec
from agent.messages.reports import CommandOutcome, ReportClaims
from agent.messages.sums import NO_SUMS, Sums, added, of_report, without

SPARED = 8
"""Reports handed out last: the core has no more on their way at once."""

_REFUSALS = """
    SELECT seq FROM outbox WHERE CASE WHEN json_valid(CAST(claims AS TEXT))
    THEN json_extract(CAST(claims AS TEXT), '$.report.outcome') = 'refused' END ORDER BY seq
    """
_RECORDS = """
    SELECT seq, claims FROM outbox WHERE CASE WHEN json_valid(CAST(claims AS TEXT))
    THEN json_extract(CAST(claims AS TEXT), '$.report.type') = 'play_record' END ORDER BY seq LIMIT ?
    """
_ALL = "SELECT seq, claims FROM outbox ORDER BY seq LIMIT ?"
_AFTER = "SELECT seq, claims FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept while no server is reached."""

    reports: int = 10_000
    """A year of what a pole usually has to say."""
    bytes: int = 8 * 1024 * 1024
    """Of claims: 10,000 play records with long titles."""

    @property
    def refusals(self) -> int:
        """Their share: whoever may order little could have it refused 20 times a minute, until no record is left."""
        return self.reports // 4

    @property
    def portion(self) -> int:
        """How many go at once: looking for them costs more than taking them."""
        return max(1, self.reports // 128)


def read_sums(row: tuple[bytes] | None) -> Sums:
    """What was added up and not told; where the disk has altered it, nothing."""
    try:
        return NO_SUMS if row is None else codec.decode(row[0], Sums)
    except codec.WordError as error:
        _log.error("what was added up in the outbox cannot be read: %s", error)
        return NO_SUMS


class OutboxTable:
    """Counts by itself, and knows which reports are refusals: SQLite would scan the table every time."""

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self._run = database.execute
        self._bounds = bounds
        self._handed_out: deque[int] = deque(maxlen=SPARED)
        self.recount()

    def recount(self) -> None:
        """Know what the table holds: at the start, and after a transaction that failed."""
        count, size = self._run("SELECT count(*), total(length(claims)) FROM outbox").fetchone()
        self._count, self._bytes = int(count), int(size)
        self._refusals = {seq: None for (seq,) in self._run(_REFUSALS)}
        self.sums = read_sums(self._run("SELECT sums FROM sums").fetchone())

    def read(self, after_seq: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        """Sequence numbers above `after_seq` and their claims, the oldest first; they may be on their way now."""
        found = tuple(
            self._run("SELECT seq, claims FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after_seq, limit))
        )
        self._handed_out.extend(seq for seq, _ in found)
        return found

    def append(self, claims: ReportClaims) -> None:
        """One more."""
        encoded = codec.encode(claims)
        self._run("INSERT INTO outbox VALUES (?, ?)", (claims.seq, encoded))
        self._run("UPDATE counters SET value = max(value, ?) WHERE name = 'last_seq'", (claims.seq,))
        self._count += 1
        self._bytes += len(encoded)
        if isinstance(claims.report, CommandOutcome) and claims.report.outcome == "refused":
            self._refusals[claims.seq] = None

    def remove(self, seqs: Iterable[int]) -> None:
        """These are not needed any more; those that are not there are none."""
        for seq in seqs:
            for (size,) in self._run("DELETE FROM outbox WHERE seq = ? RETURNING length(claims)", (seq,)).fetchall():
                self._count -= 1
                self._bytes -= size
            self._refusals.pop(seq, None)

    def forget(self, told: Sums) -> None:
        """So much of the sums is in a report now."""
        self._keep(without(self.sums, told))

    def make_room(self) -> int:
        """Add up what does not fit; how many reports went."""
        before = self._count
        excess = len(self._refusals) - self._bounds.refusals
        if excess > 0:
            oldest = tuple(islice(self._refusals, excess + self._bounds.portion + SPARED))
            self._add_up(self._with_claims(oldest), excess + self._bounds.portion - 1)
        for query in (_RECORDS, _ALL):
            while self._is_full() and self._add_up(
                self._run(query, (self._bounds.portion + SPARED,)).fetchall(), self._bounds.portion
            ):
                pass
        return before - self._count

    def _is_full(self) -> bool:
        return self._count > self._bounds.reports or self._bytes > self._bounds.bytes

    def _with_claims(self, seqs: tuple[int, ...]) -> list[tuple[int, bytes]]:
        return [
            (seq, claims)
            for seq in seqs
            for (claims,) in self._run("SELECT claims FROM outbox WHERE seq = ?", (seq,)).fetchall()
        ]

    def _add_up(self, rows: list[tuple[int, bytes]], at_most: int) -> bool:
        """Whether there were any that may go."""
        going = [(seq, claims) for seq, claims in rows if seq not in self._handed_out][:at_most]
        sums = self.sums
        for seq, claims in going:
            sums = added(sums, of_report(seq, _read(claims)))
        if going:
            self._keep(sums)
            self.remove(seq for seq, _ in going)
        return bool(going)

    def _keep(self, sums: Sums) -> None:
        self.sums = sums
        if sums == NO_SUMS:
            self._run("DELETE FROM sums")
        else:
            self._run("INSERT OR REPLACE INTO sums VALUES (1, ?)", (codec.encode(sums),))


def _read(claims: bytes) -> ReportClaims | None:
    try:
        return codec.decode(claims, ReportClaims)
    except codec.WordError:
        return None
