"""What outlives a power cut: replay memory, what waits, settings, trust, outbox; in one SQLite database.

Thread: `load` opens, checks and reads the database on the caller's thread and hands it to the thread `store`, which
alone owns it from then on (an SD card's fsync may take 5 s: nobody else shall wait for it). The verbs put an order into
its queue and never block.

Invariants:
- Every commit that waits becomes part of one transaction; `Committed(token)` is posted after its fsync, never before.
- Where that transaction fails, each commit is tried alone, in order: one that cannot be stored takes no other with it.
- Nothing is written unless somebody commits. The write-ahead log is copied back every thousand pages, and at `close`.
- A sequence number is never given twice, though the report that had it is long delivered and gone.
- A database that cannot be read is set aside, never deleted and never trusted; the store then begins empty.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from agent.messages import codec
from agent.messages.effects import (
    AppendReport,
    EndDocument,
    ForgetCommands,
    ForgetItem,
    ForgetUnjudged,
    KeepDocument,
    KeepItem,
    KeepNames,
    KeepSetting,
    KeepTrust,
    KeepUnjudged,
    MarkStarted,
    RememberCommand,
    RememberStop,
    RemoveReports,
    Write,
)
from agent.messages.events import (
    CommitFailed,
    Committed,
    Event,
    Memory,
    OutboxRead,
    StoredCommand,
    StoredDocument,
    StoredItem,
    StoredStop,
)

MAX_OUTBOX_REPORTS = 10_000
"""Reports kept while no server is reached: months, 10 MB. The oldest go first, which a gap in `seq` shows."""
MAX_SET_ASIDE = 3
"""Unreadable databases kept for a technician: a card that fails again and again must not fill up with them."""
CLOSE_WAIT_S = 6.0
"""Longest wait for what is queued at `close`: one slow fsync of an SD card, and below systemd's 10 s watchdog."""
BUSY_WAIT_S = 1.0
"""Longest wait for a database that another process holds: a predecessor that is just ending."""
CACHE_KIB = 512
"""Page cache: the tables in use are small, and the node has 512 MB."""

_MIGRATIONS = (
    """
    CREATE TABLE accepted (iss TEXT, jti TEXT, exp INTEGER NOT NULL, PRIMARY KEY (iss, jti)) WITHOUT ROWID, STRICT;
    CREATE TABLE stops (item TEXT, iss TEXT, may TEXT NOT NULL, exp INTEGER NOT NULL,
                        PRIMARY KEY (item, iss)) WITHOUT ROWID, STRICT;
    CREATE TABLE items (position INTEGER PRIMARY KEY, item TEXT NOT NULL UNIQUE, envelope BLOB NOT NULL,
                        accepted_at INTEGER NOT NULL, started_at REAL) STRICT;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL, iat INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE outbox (seq INTEGER PRIMARY KEY, claims BLOB NOT NULL) STRICT;
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO counters VALUES ('last_seq', 0);
    """,
    """
    CREATE TABLE trust (version INTEGER PRIMARY KEY, envelope BLOB NOT NULL) STRICT;
    CREATE TABLE names (kid TEXT PRIMARY KEY, public TEXT NOT NULL) WITHOUT ROWID, STRICT;
    """,
    """
    CREATE TABLE unjudged (position INTEGER PRIMARY KEY, iss TEXT NOT NULL, jti TEXT NOT NULL, emergency TEXT NOT NULL,
                           envelope BLOB NOT NULL, UNIQUE (iss, jti)) STRICT;
    INSERT INTO settings SELECT 'mark', 0, 0 FROM counters WHERE name = 'last_seq' AND value > 0;
    """,
    """
    CREATE TABLE documents (type TEXT, iss TEXT, version INTEGER NOT NULL, iat INTEGER NOT NULL, sha256 TEXT NOT NULL,
                            envelope BLOB, PRIMARY KEY (type, iss)) STRICT;
    ALTER TABLE stops ADD COLUMN kids TEXT NOT NULL DEFAULT '';
    """,
)
"""Migration N leads from `user_version` N to N + 1. Released ones are never changed, only added to.

A store that was in use before marks were kept did not begin empty: its mark is 0, which refuses nothing."""

_STATEMENTS: dict[type[Write], tuple[str, ...]] = {
    RememberCommand: (
        "INSERT INTO accepted VALUES (:iss, :jti, :exp) ON CONFLICT DO UPDATE SET exp = max(exp, excluded.exp)",
    ),
    ForgetCommands: ("DELETE FROM accepted WHERE exp < :before", "DELETE FROM stops WHERE exp < :before"),
    KeepUnjudged: (
        "INSERT OR REPLACE INTO unjudged (iss, jti, emergency, envelope) VALUES (:iss, :jti, :emergency, :envelope)",
    ),
    ForgetUnjudged: ("DELETE FROM unjudged WHERE iss = :iss AND jti = :jti",),
    KeepItem: ("INSERT OR REPLACE INTO items (item, envelope, accepted_at) VALUES (:item, :envelope, :accepted_at)",),
    MarkStarted: ("UPDATE items SET started_at = :started_at WHERE item = :item",),
    ForgetItem: ("DELETE FROM items WHERE item = :item",),
    KeepSetting: (
        """
        INSERT OR REPLACE INTO settings VALUES (:name, :value, :iat)
        """,
    ),
    KeepTrust: (
        "DELETE FROM trust WHERE version < :version",
        "INSERT OR REPLACE INTO trust VALUES (:version, :envelope)",
    ),
    KeepDocument: ("INSERT OR REPLACE INTO documents VALUES (:type, :iss, :version, :iat, :sha256, :envelope)",),
    EndDocument: ("UPDATE documents SET envelope = NULL WHERE type = :type AND iss = :iss",),
}
"""Each write's SQL, its members as named parameters. """

_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_STORABLE = (sqlite3.Error, ValueError, OverflowError)
"""What a word may do to SQLite: a disk that fails or is full, text that is no UTF-8, a number beyond 64 bits."""

_log = logging.getLogger(__name__)


class _UnreadableError(Exception):
    """The file is no database, or a damaged one."""


class StoreError(OSError):
    """The database can be neither used nor set aside. The message names file and cause."""


@dataclass(frozen=True, slots=True)
class _Commit:
    token: int
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class _ReadOutbox:
    after_seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class _Close:
    pass


class Store:
    """The node's durable memory in the SQLite file `path`; answers go to `post`."""

    def __init__(
        self, *, path: Path, post: Callable[[Event], None], max_outbox_reports: int = MAX_OUTBOX_REPORTS
    ) -> None:
        self._path = path
        self._post = post
        self._max_outbox_reports = max_outbox_reports
        self._orders: SimpleQueue[_Commit | _ReadOutbox | _Close] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def load(self) -> Memory:
        """Open or create the database, return what it holds, and start the thread. Called once, before any other verb.

        Raises:
            StoreError: the file cannot be opened, is held by another process, or comes from a newer version.
        """
        assert self._thread is None, "load is called once"
        try:
            database, memory = self._open_and_read()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot use the store {self._path}: {error}") from error
        self._thread = threading.Thread(target=self._run, args=(database,), name="store", daemon=True)
        self._thread.start()
        return memory

    def commit(self, token: int, writes: tuple[Write, ...]) -> None:
        """Store all writes or none; answered by `Committed(token)` or `CommitFailed(token)`."""
        self._orders.put(_Commit(token, writes))

    def read_outbox(self, after_seq: int, limit: int) -> None:
        """Answered by `OutboxRead`: at most `limit` reports with seq above `after_seq`, the oldest first."""
        self._orders.put(_ReadOutbox(after_seq, limit))

    def close(self) -> None:
        """Store what is queued and close the file; waits at most `CLOSE_WAIT_S`. Later verbs are not performed."""
        if self._thread is None:
            return
        self._orders.put(_Close())
        self._thread.join(CLOSE_WAIT_S)
        if self._thread.is_alive():
            _log.error("the store did not close within %.0f s: the disk does not answer", CLOSE_WAIT_S)

    # On the caller's thread ------------------------------------------------------------------------------------------

    def _open_and_read(self) -> tuple[sqlite3.Connection, Memory]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return _read_all(self._path)
        except _UnreadableError as error:
            aside = _set_aside(self._path)
            _log.error("the store %s cannot be read (%s): kept as %s, beginning empty", self._path, error, aside.name)
        return _read_all(self._path)

    # On the thread `store` -------------------------------------------------------------------------------------------

    def _run(self, database: sqlite3.Connection) -> None:
        with closing(database):
            ledger = _Ledger(database, self._max_outbox_reports)
            while self._serve(ledger, self._take_all()):
                pass

    def _take_all(self) -> list[_Commit | _ReadOutbox | _Close]:
        """All orders that wait, at least one."""
        orders = [self._orders.get()]
        try:
            while True:
                orders.append(self._orders.get_nowait())
        except Empty:
            return orders

    def _serve(self, ledger: "_Ledger", orders: list[_Commit | _ReadOutbox | _Close]) -> bool:
        """Commits first, in one transaction, then reads (which may see more for it); False at the end."""
        self._store([order for order in orders if isinstance(order, _Commit)], ledger)
        for order in orders:
            if isinstance(order, _ReadOutbox):
                self._read(order, ledger)
        return not any(isinstance(order, _Close) for order in orders)

    def _store(self, commits: list[_Commit], ledger: "_Ledger") -> None:
        try:
            ledger.perform(write for commit in commits for write in commit.writes)
        except _NOT_STORABLE as error:
            if len(commits) == 1:
                _log.error("commit %d failed: %s", commits[0].token, error)
                self._post(CommitFailed(commits[0].token, str(error)))
                return
            for commit in commits:
                self._store([commit], ledger)
            return
        for commit in commits:
            self._post(Committed(commit.token))

    def _read(self, order: _ReadOutbox, ledger: "_Ledger") -> None:
        try:
            reports = ledger.outbox(order.after_seq, order.limit)
        except sqlite3.Error as error:
            _log.error("the outbox cannot be read: %s", error)
            reports = ()
        self._post(OutboxRead(reports))


class _Ledger:
    """The tables, as the thread `store` writes them. Counts the outbox by itself: SQLite would scan it every time."""

    def __init__(self, database: sqlite3.Connection, max_outbox_reports: int) -> None:
        self._database = database
        self._max_outbox_reports = max_outbox_reports
        (self._outbox_count,) = database.execute("SELECT count(*) FROM outbox").fetchone()

    def perform(self, writes: Iterable[Write]) -> None:
        """One durable transaction; on an error nothing has happened.

        Raises:
            sqlite3.Error, ValueError, OverflowError: see `_NOT_STORABLE`.
        """
        writes = tuple(writes)
        if not writes:
            return
        count_before = self._outbox_count
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for write in writes:
                self._write(write)
            self._drop_oldest()
            self._database.execute("COMMIT")
        except BaseException:
            self._outbox_count = count_before
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def outbox(self, after_seq: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        query = "SELECT seq, claims FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?"
        return tuple(self._database.execute(query, (after_seq, limit)))

    def _write(self, write: Write) -> None:
        run = self._database.execute
        match write:
            case RememberStop(item, iss, may, exp, kids):
                row = item, iss, " ".join(may), exp, " ".join(kids)
                run("INSERT OR REPLACE INTO stops (item, iss, may, exp, kids) VALUES (?, ?, ?, ?, ?)", row)
            case KeepNames(names):
                self._database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", names)
            case AppendReport(claims):
                run("INSERT INTO outbox VALUES (?, ?)", (claims.seq, codec.encode(claims)))
                run("UPDATE counters SET value = max(value, ?) WHERE name = 'last_seq'", (claims.seq,))
                self._outbox_count += 1
            case RemoveReports(seqs):
                for seq in seqs:
                    self._outbox_count -= run("DELETE FROM outbox WHERE seq = ?", (seq,)).rowcount
            case _:
                members = asdict(write)
                for statement in _STATEMENTS[type(write)]:
                    run(statement, members)

    def _drop_oldest(self) -> None:
        excess = self._outbox_count - self._max_outbox_reports
        if excess > 0:
            _log.warning("the outbox is full: the %d oldest reports are dropped undelivered", excess)
            self._database.execute(
                "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT ?)", (excess,)
            )
            self._outbox_count -= excess


def _read_all(path: Path) -> tuple[sqlite3.Connection, Memory]:
    """Open, create or check the file, bring its tables up to date, read them.

    Raises:
        _UnreadableError: the file is no database, or a damaged one.
        sqlite3.Error, OSError: it cannot be opened.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    database = sqlite3.connect(path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        _set_up(database)
        _check(database)
        _migrate(database)
        memory = _read_memory(database)
        _fsync_folder(path.parent)
    except BaseException as error:
        database.close()
        if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorcode & 0xFF in _UNREADABLE:
            raise _UnreadableError(str(error)) from error
        raise
    return database, memory


def _set_up(database: sqlite3.Connection) -> None:
    # Held by one process, so no shared-memory file that the kernel would write back to the card by itself.
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def _check(database: sqlite3.Connection) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _UnreadableError(verdict)


def _migrate(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise StoreError(f"its version {version} is newer than this agent's {len(_MIGRATIONS)}")
    for number, script in enumerate(_MIGRATIONS[version:], start=version + 1):
        database.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")


def _read_memory(database: sqlite3.Connection) -> Memory:
    run = database.execute
    (last_seq,) = run("SELECT value FROM counters WHERE name = 'last_seq'").fetchone()
    (outbox_count,) = run("SELECT count(*) FROM outbox").fetchone()
    items = run("SELECT envelope, accepted_at, started_at FROM items ORDER BY position")
    trust = run("SELECT envelope FROM trust ORDER BY version DESC LIMIT 1").fetchone()
    return Memory(
        next_seq=last_seq + 1,
        outbox_count=outbox_count,
        accepted=tuple(run("SELECT iss, jti, exp FROM accepted")),
        stops=tuple(
            StoredStop(item, iss, tuple(may.split()), exp, tuple(kids.split()))
            for item, iss, may, exp, kids in run("SELECT item, iss, may, exp, kids FROM stops")
        ),
        items=tuple(StoredItem(*row) for row in items),
        settings=tuple(run("SELECT name, value, iat FROM settings")),
        trust=trust[0] if trust else None,
        names=tuple(run("SELECT kid, public FROM names ORDER BY kid")),
        unjudged=tuple(
            StoredCommand(*row) for row in run("SELECT iss, jti, emergency, envelope FROM unjudged ORDER BY position")
        ),
        documents=tuple(
            StoredDocument(*row)
            for row in run("SELECT type, iss, version, iat, sha256, envelope FROM documents ORDER BY type, iss")
        ),
    )


def _set_aside(path: Path) -> Path:
    """Rename the database and its log; numbered, since the clock may not be trusted. Returns the new path."""
    numbers = sorted(
        int(old.suffix[1:]) for old in path.parent.glob(f"{path.name}.corrupt.*") if old.suffix[1:].isdigit()
    )
    for number in numbers[: max(len(numbers) - MAX_SET_ASIDE + 1, 0)]:
        _aside(path, number).unlink()
        _aside(path, number, "-wal").unlink(missing_ok=True)
    number = max(numbers, default=0) + 1
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        log.rename(_aside(path, number, "-wal"))
    path.rename(_aside(path, number))
    _fsync_folder(path.parent)
    return _aside(path, number)


def _aside(path: Path, number: int, of: str = "") -> Path:
    return path.with_name(f"{path.name}{of}.corrupt.{number}")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
