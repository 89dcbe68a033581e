"""What is written, each word's SQL, in one transaction. Thread: `store`."""

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice

from agent.messages import codec
from agent.messages.effects import (
    AppendReport,
    EndDocument,
    ForgetCommands,
    ForgetItem,
    ForgetSlots,
    ForgetSlotsOf,
    ForgetUnjudged,
    KeepDocument,
    KeepItem,
    KeepLedger,
    KeepNames,
    KeepOrder,
    KeepSetting,
    KeepSlot,
    KeepTrust,
    KeepUnjudged,
    MarkStarted,
    RememberCommand,
    RememberStop,
    RemoveReports,
    SettleSlot,
    Write,
)
from agent.messages.reports import CommandOutcome

_STATEMENTS: dict[type[Write], tuple[str, ...]] = {
    RememberCommand: (
        "INSERT INTO accepted VALUES (:iss, :jti, :exp, :iat) ON CONFLICT DO UPDATE SET exp = max(exp, excluded.exp)",
    ),
    ForgetCommands: ("DELETE FROM accepted WHERE exp < :before", "DELETE FROM stops WHERE exp < :before"),
    KeepUnjudged: (
        "INSERT OR REPLACE INTO unjudged (iss, jti, emergency, envelope) VALUES (:iss, :jti, :emergency, :envelope)",
    ),
    ForgetUnjudged: ("DELETE FROM unjudged WHERE iss = :iss AND jti = :jti",),
    KeepItem: ("INSERT OR REPLACE INTO items (item, envelope, accepted_at) VALUES (:item, :envelope, :accepted_at)",),
    MarkStarted: (
        "UPDATE items SET started_at = :started_at, round = :round, round_at = :round_at WHERE item = :item",
        "UPDATE slots SET started_at = :started_at WHERE item = :item AND NOT settled",
    ),
    ForgetItem: ("DELETE FROM items WHERE item = :item",),
    SettleSlot: ("INSERT OR REPLACE INTO slots VALUES (:iss, :item, :until_s, :until_s, '', x'', NULL, TRUE)",),
    ForgetSlots: ("DELETE FROM slots WHERE until_s < :before",),
    ForgetSlotsOf: ("DELETE FROM slots WHERE iss = :iss AND settled",),
    KeepLedger: ("INSERT OR REPLACE INTO ledger VALUES (1, :day, :minutes_s, :sessions, :session_s, :last_sound_s)",),
    KeepSetting: ("INSERT OR REPLACE INTO settings VALUES (:name, :value, :iat)",),
    KeepTrust: (
        "DELETE FROM trust WHERE version < :version",
        "INSERT OR REPLACE INTO trust VALUES (:version, :envelope)",
    ),
    KeepDocument: ("INSERT OR REPLACE INTO documents VALUES (:type, :iss, :version, :iat, :sha256, :envelope)",),
    EndDocument: ("UPDATE documents SET envelope = NULL WHERE type = :type AND iss = :iss",),
}
"""Each write's SQL, its members as named parameters."""

_STOP = """
    INSERT INTO stops (item, iss, may, exp, kids) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET exp = max(exp, excluded.exp)
    """

_REFUSALS = """
    SELECT seq FROM outbox WHERE CASE WHEN json_valid(CAST(claims AS TEXT))
    THEN json_extract(CAST(claims AS TEXT), '$.report.outcome') = 'refused' END ORDER BY seq
    """

NOT_STORABLE = (sqlite3.Error, ValueError, OverflowError)
"""What a word may do to SQLite: a disk that fails or is full, text that is no UTF-8, a number beyond 64 bits."""

_log = logging.getLogger(__name__)


class Ledger:
    """The tables, as the thread `store` writes them.

    Counts the outbox by itself, and knows which reports in it are refusals: SQLite would scan it every time.
    """

    def __init__(self, database: sqlite3.Connection, max_outbox_reports: int) -> None:
        self.database = self._database = database
        self._max_outbox_reports = max_outbox_reports
        self._count_outbox()

    def _count_outbox(self) -> None:
        (self._outbox_count,) = self._database.execute("SELECT count(*) FROM outbox").fetchone()
        self._refusals = {seq: None for (seq,) in self._database.execute(_REFUSALS)}

    def perform(self, writes: Iterable[Write]) -> None:
        """One durable transaction; on an error nothing has happened.

        Raises:
            sqlite3.Error, ValueError, OverflowError: see `NOT_STORABLE`.
        """
        writes = tuple(writes)
        if not writes:
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for write in writes:
                self._write(write)
            self._make_room()
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._count_outbox()
            raise

    def outbox(self, after_seq: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        """Sequence numbers above `after_seq` and their claims, the oldest first."""
        query = "SELECT seq, claims FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"
        return tuple(self._database.execute(query, (after_seq, limit)))

    def _write(self, write: Write) -> None:
        run = self._database.execute
        match write:
            case RememberStop(item, iss, may, exp, kids):
                row = item, iss, " ".join(may), exp, " ".join(kids)
                run(_STOP, row)
            case KeepOrder(items):
                (lowest,) = run("SELECT min(place) FROM items").fetchone()
                places = (((lowest or 0) + place - len(items), item) for place, item in enumerate(items))
                self._database.executemany("UPDATE items SET place = ? WHERE item = ?", places)
            case KeepSlot(iss, item, at_s, until_s, jti, slot):
                due = iss, item, at_s, until_s, jti, codec.encode(slot)
                run("INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?, ?, ?, NULL, FALSE)", due)
            case KeepNames(names):
                self._database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", names)
            case AppendReport(claims):
                run("INSERT INTO outbox VALUES (?, ?)", (claims.seq, codec.encode(claims)))
                run("UPDATE counters SET value = max(value, ?) WHERE name = 'last_seq'", (claims.seq,))
                self._outbox_count += 1
                if isinstance(claims.report, CommandOutcome) and claims.report.outcome == "refused":
                    self._refusals[claims.seq] = None
            case RemoveReports(seqs):
                self._remove(seqs)
            case _:
                members = asdict(write)
                for statement in _STATEMENTS[type(write)]:
                    run(statement, members)

    def _make_room(self) -> None:
        excess = self._outbox_count - self._max_outbox_reports
        if excess <= 0:
            return
        refusals = tuple(islice(self._refusals, excess))
        self._remove(refusals)
        query = "SELECT seq FROM outbox ORDER BY seq LIMIT ?"
        others = tuple(seq for (seq,) in self._database.execute(query, (excess - len(refusals),)))
        self._remove(others)
        told = "the outbox is full: dropped undelivered are the oldest %d refusals and %d other reports"
        _log.warning(told, len(refusals), len(others))

    def _remove(self, seqs: tuple[int, ...]) -> None:
        for seq in seqs:
            self._outbox_count -= self._database.execute("DELETE FROM outbox WHERE seq = ?", (seq,)).rowcount
            self._refusals.pop(seq, None)
