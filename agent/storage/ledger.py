"""What is written, each word's SQL, in one transaction. Thread: `store`."""

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict

from agent.messages import codec
from agent.messages.effects import (
    AppendReport,
    EndDocument,
    ForgetCommands,
    ForgetItem,
    ForgetSlots,
    ForgetSlotsOf,
    ForgetSums,
    ForgetUnjudged,
    ForgetWanted,
    KeepDocument,
    KeepItem,
    KeepLedger,
    KeepNames,
    KeepOrder,
    KeepSetting,
    KeepSlot,
    KeepTrust,
    KeepUnjudged,
    KeepWanted,
    MarkStarted,
    RememberCommand,
    RememberStop,
    RemoveReports,
    SettleSlot,
    Write,
)
from agent.storage.outbox import Bounds, OutboxTable

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
    KeepDocument: (
        "INSERT OR REPLACE INTO documents VALUES (:type, :iss, :version, :iat, :sha256, :envelope, :since)",
    ),
    KeepWanted: (
        "INSERT OR IGNORE INTO wanted VALUES (:sha256, :uri, :bytes, :pin)",
        "UPDATE wanted SET pin = max(pin, :pin) WHERE sha256 = :sha256 AND uri = :uri",
    ),
    ForgetWanted: ("DELETE FROM wanted WHERE sha256 = :sha256 AND uri = :uri",),
    EndDocument: ("UPDATE documents SET envelope = NULL WHERE type = :type AND iss = :iss",),
}
"""Each write's SQL, its members as named parameters."""

_STOP = """
    INSERT INTO stops (item, iss, may, exp, kids) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET exp = max(exp, excluded.exp)
    """

NOT_STORABLE = (sqlite3.Error, ValueError, OverflowError)
"""What a word may do to SQLite: a disk that fails or is full, text that is no UTF-8, a number beyond 64 bits."""

_log = logging.getLogger(__name__)


class Ledger:
    """The tables, as the thread `store` writes them."""

    def __init__(self, database: sqlite3.Connection, bounds: Bounds) -> None:
        self.database = self._database = database
        self.outbox = OutboxTable(database, bounds)

    def perform(self, writes: Iterable[Write]) -> int:
        """One durable transaction; on an error nothing has happened.

        Returns:
            How many reports were added up to make room for it.

        Raises:
            sqlite3.Error, ValueError, OverflowError: see `NOT_STORABLE`.
        """
        writes = tuple(writes)
        if not writes:
            return 0
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for write in writes:
                self._write(write)
            gone = self.outbox.make_room()
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self.outbox.recount()
            raise
        if gone:
            _log.warning("the outbox is full: %d reports are added up, to be told in one", gone)
        return gone

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
                self.outbox.append(claims)
            case RemoveReports(seqs):
                self.outbox.remove(seqs)
            case ForgetSums(told):
                self.outbox.forget(told)
            case _:
                members = asdict(write)
                for statement in _STATEMENTS[type(write)]:
                    run(statement, members)
