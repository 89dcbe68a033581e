"""The database file: its tables and how they came to be, opened, checked, and set aside where it cannot be read.

Thread: called while nobody else knows the file, before the thread `store` begins.
"""

import errno
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agent.messages.memory import Memory
from agent.storage.memory import read_memory
from agent.storage.migration import NoWayBackError, migrate
from agent.storage.second_copy import SecondCopy, fsync_folder

MAX_SET_ASIDE = 3
"""Unreadable databases kept for a technician: a card that fails again and again must not fill up with them."""
MAX_SUSPICIONS = 3
"""Lives that ended because damage was found in use, though a check of the whole found none."""
BUSY_WAIT_S = 1.0
"""Longest wait for a database that another process holds: a predecessor that is just ending."""
CACHE_KIB = 512
"""Page cache: the tables in use are small, and the node has 512 MB."""

MIGRATIONS = (
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
    """
    CREATE TABLE slots (iss TEXT, item TEXT, at_s INTEGER NOT NULL, until_s INTEGER NOT NULL, jti TEXT NOT NULL,
                        slot BLOB NOT NULL, started_at REAL, settled INTEGER NOT NULL, PRIMARY KEY (iss, item)) STRICT;
    CREATE TABLE ledger (one INTEGER PRIMARY KEY CHECK (one = 1), day TEXT NOT NULL, minutes_s REAL NOT NULL,
                         sessions INTEGER NOT NULL, session_s REAL NOT NULL, last_sound_s REAL NOT NULL) STRICT;
    ALTER TABLE items ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE items ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE items ADD COLUMN round_at REAL;
    """,
    """
    CREATE TABLE sums (one INTEGER PRIMARY KEY CHECK (one = 1), sums BLOB NOT NULL) STRICT;
    """,
    """
    ALTER TABLE accepted ADD COLUMN iat INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE stops RENAME TO stops_before;
    CREATE TABLE stops (item TEXT, iss TEXT, may TEXT, kids TEXT, exp INTEGER NOT NULL,
                        PRIMARY KEY (item, iss, may, kids)) WITHOUT ROWID, STRICT;
    INSERT INTO stops SELECT item, iss, may, kids, exp FROM stops_before;
    DROP TABLE stops_before;
    """,
    """
    ALTER TABLE documents ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE wanted (
        sha256 TEXT, uri TEXT, bytes INTEGER NOT NULL, pin INTEGER NOT NULL, PRIMARY KEY (sha256, uri)
    )
                         WITHOUT ROWID, STRICT;
    """,
)
"""Migration N leads from `user_version` N to N + 1. Released ones are never changed, only added to.

A store that was in use before marks were kept did not begin empty: its mark is 0, which refuses nothing."""

WAYS_BACK: Mapping[int, str] = {10: "ALTER TABLE documents DROP COLUMN since;", 11: "DROP TABLE wanted;"}
"""From version N to N - 1, for an older agent that finds the database: `FIRST_WAY_BACK` and all after it have one."""

FIRST_WAY_BACK = 10
"""No package had a lower version than 9: nobody goes back behind it."""

_GONE = "the store was gone"
_DISK_FAILS = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_DISK_SAYS_NO = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO)
_UNREADABLE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_log = logging.getLogger(__name__)


class _UnreadableError(Exception):
    """The file is no database, or a damaged one."""


class StoreError(OSError):
    """The database can be neither used nor set aside. The message names file and cause."""


def open_and_read(path: Path) -> tuple[sqlite3.Connection, Memory]:
    """The database, made or set aside and made anew where it must be, and what it holds.

    One that was lost begins with what the second copy has of it.

    Raises:
        StoreError: it comes from a newer version, and does not say how to undo what that one did.
        sqlite3.Error, OSError: it cannot be opened.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    missing = not path.exists()
    try:
        database, memory = _read_all(path)
        fault = _GONE if missing else ""
    except _UnreadableError as error:
        fault = f"the store could not be read ({error}): kept as {_set_aside(path).name}"
        trust_again(path)
        database, memory = _read_all(path)
    if not fault:
        return database, memory
    return _recover(path, database, memory, fault)


def read_only(path: Path, scratch: Path, why: BaseException) -> tuple[sqlite3.Connection, Memory]:
    """What can be read of a disk that takes nothing, from a copy in `scratch`, which nobody writes to.

    SQLite needs to write where it reads a log. What cannot be read is left out: a node without memory sounds too.

    Raises:
        StoreError, sqlite3.Error, OSError: as `open_and_read`.
    """
    folder = Path(tempfile.mkdtemp(prefix="store-", dir=scratch))
    for name in (path.name, f"{path.name}-wal", SecondCopy(path).file.name):
        with suppress(OSError):
            shutil.copy(path.with_name(name), folder)
    database, memory = open_and_read(folder / path.name)
    told = f"{memory.fault}; " if memory.fault else ""
    return database, replace(memory, fault=f"{told}the disk takes nothing: {path.parent}: {why}")


def takes_nothing(error: BaseException) -> bool:
    """Whether this is the disk's word: read-only, full, or failing. A new process would hear it again."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DISK_FAILS
    return isinstance(error, OSError) and error.errno in _DISK_SAYS_NO


def _recover(path: Path, database: sqlite3.Connection, memory: Memory, fault: str) -> tuple[sqlite3.Connection, Memory]:
    """What the second copy holds, in a database that begins empty. On a new card there is neither."""
    found = SecondCopy(path).put_back(database)
    if not found and fault == _GONE:
        return database, memory
    told = "trust, schedules, policies and the time floor come from their second copy" if found else "beginning empty"
    _log.error("%s: %s; %s", path, fault, told)
    return database, replace(read_memory(database), fault=f"{fault}; {told}")


def is_unreadable(error: BaseException) -> bool:
    """Whether SQLite says that the file is no database, or a damaged one."""
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNREADABLE


def suspect(path: Path) -> None:
    """SQLite has found damage while the database was in use: the next start looks through all of it.

    A disk that fails to read says the same, so nothing is set aside for one such word; for `MAX_SUSPICIONS` it is.
    """
    with suppress(OSError), _suspicion(path).open("ab") as file:
        file.write(b"!")


def trust_again(path: Path) -> None:
    """A life went by without such a word, or the database is another."""
    _suspicion(path).unlink(missing_ok=True)


def _suspicion(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def _suspicions(path: Path) -> int:
    try:
        return _suspicion(path).stat().st_size
    except FileNotFoundError:
        return 0


def _read_all(path: Path) -> tuple[sqlite3.Connection, Memory]:
    """Open, create or check the file, bring its tables up to date, read them.

    Raises:
        _UnreadableError: the file is no database, or a damaged one.
        sqlite3.Error, OSError: it cannot be opened.
    """
    suspicions = _suspicions(path)
    if suspicions >= MAX_SUSPICIONS:
        raise _UnreadableError(f"damage was found in it {suspicions} times while it was in use")
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    database = sqlite3.connect(path, timeout=BUSY_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        _set_up(database)
        _check(database, "integrity_check" if suspicions else "quick_check")
        migrate(database, MIGRATIONS, WAYS_BACK)
        memory = read_memory(database)
        fsync_folder(path.parent)
    except NoWayBackError as error:
        database.close()
        raise StoreError(str(error)) from None
    except BaseException as error:
        database.close()
        if is_unreadable(error):
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


def _check(database: sqlite3.Connection, how: str) -> None:
    (verdict,) = database.execute(f"PRAGMA {how}(1)").fetchone()
    if verdict != "ok":
        raise _UnreadableError(verdict)


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
    fsync_folder(path.parent)
    return _aside(path, number)


def _aside(path: Path, number: int, of: str = "") -> Path:
    return path.with_name(f"{path.name}{of}.corrupt.{number}")
