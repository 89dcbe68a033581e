"""How the tables came to be, and how they go back where an older agent comes back (ADR 34).

Thread: called while nobody else knows the file. An older agent cannot know what a newer one will have made: so a newer
one leaves the way back of each of its migrations in the database itself, where the older one finds it.
"""

import sqlite3
from collections.abc import Mapping, Sequence

_WAYS_BACK = "CREATE TABLE IF NOT EXISTS ways_back (version INTEGER PRIMARY KEY, script TEXT NOT NULL) STRICT;"


class NoWayBackError(sqlite3.DatabaseError):
    """The database comes from a newer agent, and does not say how to undo what that one did."""


def migrate(database: sqlite3.Connection, migrations: Sequence[str], ways_back: Mapping[int, str]) -> None:
    """Bring the tables to version `len(migrations)`, forward or back; each step is one transaction.

    Migration N leads from `user_version` N to N + 1, and `ways_back[N + 1]` from there to N.

    Raises:
        NoWayBackError: the version is higher, and the way from it is not known. Nothing has happened.
    """
    (version,) = database.execute("PRAGMA user_version").fetchone()
    known = _known_ways_back(database) if version > len(migrations) else {}
    undone = range(version, len(migrations), -1)
    if not known.keys() >= set(undone):
        raise NoWayBackError(f"its version {version} is newer than this agent's {len(migrations)}")
    for number in undone:
        forgotten = f"DELETE FROM ways_back WHERE version = {number};"  # noqa: S608  a number of ours
        _step(database, f"{known[number]}; {forgotten}", number - 1)
    for number, script in enumerate(migrations[version:], start=version + 1):
        _step(database, f"{script}; {_kept(number, ways_back)}", number)


def _step(database: sqlite3.Connection, script: str, version: int) -> None:
    database.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT")


def _known_ways_back(database: sqlite3.Connection) -> dict[int, str]:
    (there,) = database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'ways_back'").fetchone()
    return dict(database.execute("SELECT version, script FROM ways_back")) if there else {}


def _kept(number: int, ways_back: Mapping[int, str]) -> str:
    if number not in ways_back:
        return ""
    quoted = ways_back[number].replace("'", "''")
    return f"{_WAYS_BACK} INSERT OR REPLACE INTO ways_back VALUES ({number}, '{quoted}');"  # noqa: S608  ours
