"""What must not be lost with the database: who may speak, what is scheduled, how late it is; in a file beside it.

Thread: the database's. Its envelopes are verified again like those of the database; the rest is believed as far as its
own SHA-256, in the first line, goes: a digit that a worn card has altered is a floor in the year 2099. Written only
where it changes: with trust, a schedule, a policy or the volume, and every six hours with the floor.
"""

import hashlib
import logging
import os
import sqlite3
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from agent.messages import codec
from agent.messages.effects import EndDocument, KeepDocument, KeepNames, KeepSetting, KeepTrust, Write
from agent.messages.memory import StoredDocument

FILE_NAME: Final = "lasting.json"
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
"""Two documents of 128 KiB for each of a few authorities are a tenth of this."""
_NOT_LASTING: Final = ("mark", "forgotten", "forgotten_iat")
"""They say how far the database remembers, and one that begins anew does not."""
_OFTEN: Final = ("floor", *_NOT_LASTING)
"""No reason to write by themselves: they ride on every transaction."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lasting:
    """What the file holds; `trust` is (version, envelope), `settings` (name, value, iat)."""

    trust: tuple[tuple[int, bytes], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    documents: tuple[StoredDocument, ...] = ()
    settings: tuple[tuple[str, int, int], ...] = ()


def is_lasting(write: Write) -> bool:
    """Whether the file has to be written anew after this."""
    if isinstance(write, KeepSetting):
        return write.name not in _OFTEN
    return isinstance(write, KeepTrust | KeepNames | KeepDocument | EndDocument)


class SecondCopy:
    """The file `lasting.json` beside the database `path`."""

    def __init__(self, path: Path) -> None:
        self.file = path.with_name(FILE_NAME)

    def read(self) -> Lasting | None:
        """What the file holds, None if it is not there or cannot be read."""
        try:
            if self.file.stat().st_size > MAX_FILE_BYTES:
                return None
            return codec.decode(_proven(self.file.read_bytes()), Lasting)
        except (OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.error("the second copy %s cannot be read: %s", self.file, error)
            return None

    def keep(self, database: sqlite3.Connection) -> None:
        """Make the file say what the database says, if it does not. A disk that fails costs the copy alone."""
        lasting = _read(database)
        if lasting == Lasting() or lasting == self.read():
            return
        fresh = self.file.with_name(f"{FILE_NAME}.new")
        try:
            with fresh.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                body = codec.encode(lasting)
                file.write(_sum_of(body) + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.file)
            fsync_folder(self.file.parent)
        except OSError as error:
            _log.warning("the second copy %s cannot be written: %s", self.file, error)

    def put_back(self, database: sqlite3.Connection) -> bool:
        """Fill a database that begins empty. Returns whether there was anything to put back."""
        lasting = self.read()
        if lasting is None:
            return False
        try:
            self._fill(database, lasting)
        except (sqlite3.IntegrityError, OverflowError) as error:
            _log.error("the second copy %s contradicts itself: %s", self.file, error)
            database.execute("ROLLBACK")
            return False
        return True

    @staticmethod
    def _fill(database: sqlite3.Connection, lasting: Lasting) -> None:
        run = database.executemany
        database.execute("BEGIN IMMEDIATE")
        run("INSERT INTO trust VALUES (?, ?)", lasting.trust)
        run("INSERT INTO names VALUES (?, ?)", lasting.names)
        run("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", map(astuple, lasting.documents))
        run("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", lasting.settings)
        database.execute("COMMIT")


def _proven(content: bytes) -> bytes:
    """What stands behind its own sum. Raises ValueError."""
    told, _, body = content.partition(b"\n")
    if told != _sum_of(body):
        raise ValueError("the disk has altered it")
    return body


def _sum_of(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def fsync_folder(folder: Path) -> None:
    """Let a name that was given or taken in it outlive a power cut. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(database: sqlite3.Connection) -> Lasting:
    run = database.execute
    documents = run("SELECT type, iss, version, iat, sha256, envelope, since FROM documents ORDER BY type, iss")
    settings = run("SELECT name, value, iat FROM settings ORDER BY name")
    return Lasting(
        trust=tuple(run("SELECT version, envelope FROM trust ORDER BY version")),
        names=tuple(run("SELECT kid, public FROM names ORDER BY kid")),
        documents=tuple(StoredDocument(*row) for row in documents),
        settings=tuple(row for row in settings if row[0] not in _NOT_LASTING),
    )
