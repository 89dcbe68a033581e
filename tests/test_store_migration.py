"""The store follows its agent, forward and back: what an older agent knows outlives a newer one's visit."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.storage.database import FIRST_WAY_BACK, MIGRATIONS, WAYS_BACK
from agent.storage.migration import NoWayBackError, migrate

OLD = ("CREATE TABLE items (item TEXT NOT NULL) STRICT",)
NEW = (
    *OLD,
    "ALTER TABLE items ADD COLUMN round INTEGER NOT NULL DEFAULT 7",
    "CREATE TABLE notes (text TEXT) STRICT; INSERT INTO notes VALUES ('it''s new')",
)
WAYS = {2: "DELETE FROM items WHERE item = 'isn''t known'; ALTER TABLE items DROP COLUMN round", 3: "DROP TABLE notes"}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        yield database


def version(database: sqlite3.Connection) -> int:
    (found,) = database.execute("PRAGMA user_version").fetchone()
    assert isinstance(found, int)
    return found


def tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_schema ORDER BY name")]


def test_an_older_agent_finds_the_way_back_and_its_rows(database: sqlite3.Connection) -> None:
    migrate(database, OLD, {})
    database.execute("INSERT INTO items VALUES ('ban-tin')")
    migrate(database, NEW, WAYS)
    assert database.execute("SELECT item, round FROM items").fetchall() == [("ban-tin", 7)]
    database.execute("INSERT INTO items VALUES ('isn''t known', 1)")
    migrate(database, OLD, {})
    assert version(database) == 1
    assert database.execute("SELECT * FROM items").fetchall() == [("ban-tin",)]
    assert tables(database) == ["items", "ways_back"]


def test_back_and_forth_again(database: sqlite3.Connection) -> None:
    migrate(database, NEW, WAYS)
    for _ in range(3):
        migrate(database, OLD, {})
        migrate(database, NEW, WAYS)
    assert version(database) == 3
    assert tables(database) == ["items", "notes", "ways_back"]


def test_where_a_step_back_is_missing_nothing_happens(database: sqlite3.Connection) -> None:
    migrate(database, NEW, {3: WAYS[3]})
    with pytest.raises(NoWayBackError, match="its version 3 is newer than this agent's 1"):
        migrate(database, OLD, {})
    assert (version(database), tables(database)) == (3, ["items", "notes", "ways_back"])


def test_a_step_that_fails_leaves_what_was_before(database: sqlite3.Connection) -> None:
    migrate(database, NEW, {**WAYS, 2: "ALTER TABLE items DROP COLUMN round; DROP TABLE missing"})
    with pytest.raises(sqlite3.OperationalError, match="missing"):
        migrate(database, OLD, {})
    database.execute("ROLLBACK")
    assert version(database) == 2  # notes went in a step of its own
    assert database.execute("SELECT count(round) FROM items").fetchone() == (0,)


def test_every_migration_since_the_first_package_has_its_way_back() -> None:
    assert set(WAYS_BACK) == set(range(FIRST_WAY_BACK, len(MIGRATIONS) + 1))
