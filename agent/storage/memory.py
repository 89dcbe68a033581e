"""What a database holds, as the node takes it up at its start."""

import sqlite3

from agent.messages.memory import (
    Memory,
    StoredAccepted,
    StoredCommand,
    StoredDocument,
    StoredItem,
    StoredLedger,
    StoredSlot,
    StoredStop,
    StoredWanted,
)
from agent.storage.outbox import read_sums


def read_memory(database: sqlite3.Connection) -> Memory:
    """All of it but the outbox, which is read in portions."""
    run = database.execute
    (last_seq,) = run("SELECT value FROM counters WHERE name = 'last_seq'").fetchone()
    (outbox_count,) = run("SELECT count(*) FROM outbox").fetchone()
    items = run("SELECT envelope, accepted_at, started_at, round, round_at FROM items ORDER BY place, position")
    ledger = run("SELECT day, minutes_s, sessions, session_s, last_sound_s FROM ledger").fetchone()
    sums = run("SELECT sums FROM sums").fetchone()
    trust = run("SELECT envelope FROM trust ORDER BY version DESC LIMIT 1").fetchone()
    return Memory(
        next_seq=last_seq + 1,
        outbox_count=outbox_count,
        accepted=tuple(StoredAccepted(*row) for row in run("SELECT iss, jti, exp, iat FROM accepted")),
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
            for row in run("SELECT type, iss, version, iat, sha256, envelope, since FROM documents ORDER BY type, iss")
        ),
        slots=tuple(map(_slot, run("SELECT * FROM slots ORDER BY iss, item"))),
        ledger=StoredLedger(*ledger) if ledger else None,
        wanted=tuple(
            StoredWanted(sha256, uri, size, bool(pin))
            for sha256, uri, size, pin in run("SELECT sha256, uri, bytes, pin FROM wanted ORDER BY sha256, uri")
        ),
        sums=read_sums(sums),
    )


def _slot(row: tuple[str, str, int, int, str, bytes, float | None, int]) -> StoredSlot:
    iss, item, at_s, until_s, jti, slot, started_at, settled = row
    return StoredSlot(iss, item, at_s, until_s, jti, slot, started_at, bool(settled))
