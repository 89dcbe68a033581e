"""What must not be lost with the database: who may speak, what is scheduled, how late it is; in a file beside it.

Thread: the database's. Its envelopes are verified again like those of the database; the rest is believed as far as the
database is. Written only where it changes: with trust, a schedule, a policy or the volume, and every six hours with the
floor.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass
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
        self._file = path.with_name(FILE_NAME)

    def read(self) -> Lasting | None:
        """What the file holds, None if it is not there or cannot be read."""
        try:
            if self._file.stat().st_size > MAX_FILE_BYTES:
                return None
            return codec.decode(self._file.read_bytes(), Lasting)
        except (OSError, codec.WordError) as error:
            if not isinstance(error, FileNotFoundError):
                _log.error("the second copy %s cannot be read: %s", self._file, error)
            return None

    def keep(self, database: sqlite3.Connection) -> None:
        """Make the file say what the database says, if it does not. A disk that fails costs the copy alone."""
        lasting = _read(database)
        if lasting == Lasting() or lasting == self.read():
            return
        fresh = self._file.with_name(f"{FILE_NAME}.new")
        try:
            with fresh.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(codec.encode(lasting))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("the second copy %s cannot be written: %s", self._file, error)

    def put_back(self, database: sqlite3.Connection) -> bool:
        """Fill a database that begins empty. Returns whether there was anything to put back."""
        lasting = self.read()
        if lasting is None:
            return False
        run = database.executemany
        database.execute("BEGIN IMMEDIATE")
        run("INSERT INTO trust VALUES (?, ?)", lasting.trust)
        run("INSERT INTO names VALUES (?, ?)", lasting.names)
        rows = ((each.type, each.iss, each.version, each.iat, each.sha256, each.envelope) for each in lasting.documents)
        run("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", rows)
        run("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", lasting.settings)
        database.execute("COMMIT")
        return True


def _read(database: sqlite3.Connection) -> Lasting:
    run = database.execute
    documents = run("SELECT type, iss, version, iat, sha256, envelope FROM documents ORDER BY type, iss")
    settings = run("SELECT name, value, iat FROM settings ORDER BY name")
    return Lasting(
        trust=tuple(run("SELECT version, envelope FROM trust ORDER BY version")),
        names=tuple(run("SELECT kid, public FROM names ORDER BY kid")),
        documents=tuple(StoredDocument(*row) for row in documents),
        settings=tuple(row for row in settings if row[0] not in _NOT_LASTING),
    )
