"""What outlives a power cut: replay memory, what waits, settings, trust, outbox; in one SQLite database.

Thread: `load` opens, checks and reads the database on the caller's thread and hands it to the thread `store`, which
alone owns it from then on (an SD card's fsync may take 5 s: nobody else shall wait for it). The verbs put an order into
its queue and never block.

Invariants:
- Every commit that waits becomes part of one transaction; `Committed(token)` is posted after its fsync, never before.
- Where that transaction fails, each commit is tried alone, in order: one that cannot be stored takes no other with it.
- Nothing is written unless somebody commits. The write-ahead log is copied back every thousand pages, and at `close`.
- A sequence number is never given twice, though the report that had it is long delivered and gone.
- What does not fit into the outbox is added up before it goes: `ReportsAddedUp`.
- A database that cannot be read is set aside, never deleted and never trusted; the store then begins with what the
  second copy holds. One that seems so while in use ends the process, and is looked through at the next start.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from agent.messages.effects import Write
from agent.messages.events import CommitFailed, Committed, Event, OutboxRead, ReportsAddedUp
from agent.messages.memory import Memory
from agent.storage.database import (
    StoreError,
    is_unreadable,
    open_and_read,
    read_only,
    suspect,
    takes_nothing,
    trust_again,
)
from agent.storage.ledger import NOT_STORABLE, Ledger
from agent.storage.outbox import Bounds
from agent.storage.second_copy import SecondCopy, is_lasting

__all__ = ["Bounds", "Store", "StoreError"]

CLOSE_WAIT_S = 6.0
"""Longest wait for what is queued at `close`: one slow fsync of an SD card, and below systemd's 10 s watchdog."""
PROBE_EVERY_S = 60.0
PROBE_BYTES = 256 * 1024
"""What a disk that took nothing must take before it is believed: a transaction and its log need less."""
_log = logging.getLogger(__name__)


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
    """The node's durable memory in the SQLite file `path`; answers go to `post`.

    From a disk that takes nothing it is read into `scratch` (None: refused); then every commit fails, until the disk
    takes something again: the process ends, and the next one has its memory.
    """

    def __init__(
        self,
        *,
        path: Path,
        post: Callable[[Event], None],
        scratch: Path | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._path = path
        self._scratch = scratch
        self._takes_nothing = ""
        self._probe_at_s = 0.0
        self._copy = SecondCopy(path)
        self._post = post
        self._bounds = bounds or Bounds()
        self._orders: SimpleQueue[_Commit | _ReadOutbox | _Close] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.turns = 0
        self._at_work = False

    @property
    def owes(self) -> bool:
        """Whether the thread has something to store or to read."""
        return self._at_work or not self._orders.empty()

    def load(self) -> Memory:
        """Open or create the database, return what it holds, and start the thread. Called once, before any other verb.

        Raises:
            StoreError: the file cannot be opened, is held by another process, or comes from a newer version.
        """
        assert self._thread is None, "load is called once"
        try:
            database, memory = self._open()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot use the store {self._path}: {error}") from error
        self._thread = threading.Thread(target=self._run, args=(database,), name="store", daemon=True)
        self._thread.start()
        return memory

    def _open(self) -> tuple[sqlite3.Connection, Memory]:
        try:
            return open_and_read(self._path)
        except (sqlite3.Error, OSError) as error:
            if self._scratch is None or not takes_nothing(error):
                raise
            database, memory = read_only(self._path, self._scratch, error)
        self._takes_nothing = memory.fault
        return database, memory

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

    # On the thread `store` -------------------------------------------------------------------------------------------

    def _run(self, database: sqlite3.Connection) -> None:
        with closing(database):
            try:
                self._serve_all(database)
            except sqlite3.Error as error:
                if is_unreadable(error):
                    suspect(self._path)
                raise

    def _serve_all(self, database: sqlite3.Connection) -> None:
        ledger = Ledger(database, self._bounds)
        if not self._takes_nothing:
            self._copy.keep(database)
        while self._serve(ledger, self._take_all()):
            self.turns += 1
        if not self._takes_nothing:
            trust_again(self._path)

    def _take_all(self) -> list[_Commit | _ReadOutbox | _Close]:
        """All orders that wait, at least one."""
        self._at_work = False
        orders = [self._orders.get()]
        self._at_work = True
        try:
            while True:
                orders.append(self._orders.get_nowait())
        except Empty:
            return orders

    def _serve(self, ledger: Ledger, orders: list[_Commit | _ReadOutbox | _Close]) -> bool:
        """Commits first, in one transaction, then reads (which may see more for it); False at the end."""
        self._store([order for order in orders if isinstance(order, _Commit)], ledger)
        for order in orders:
            if isinstance(order, _ReadOutbox):
                self._read(order, ledger)
        return not any(isinstance(order, _Close) for order in orders)

    def _store(self, commits: list[_Commit], ledger: Ledger) -> None:
        if self._takes_nothing:
            self._refuse(commits)
            return
        sums = ledger.outbox.sums
        try:
            gone = ledger.perform(write for commit in commits for write in commit.writes)
        except NOT_STORABLE as error:
            if is_unreadable(error):
                raise
            if len(commits) == 1:
                self._post(CommitFailed(commits[0].token, str(error)))
                return
            for commit in commits:
                self._store([commit], ledger)
            return
        if any(is_lasting(write) for commit in commits for write in commit.writes):
            self._copy.keep(ledger.database)
        if ledger.outbox.sums != sums:
            self._post(ReportsAddedUp(gone, ledger.outbox.sums))
        for commit in commits:
            self._post(Committed(commit.token))

    def _refuse(self, commits: list[_Commit]) -> None:
        if commits:
            self._probe()
        for commit in commits:
            self._post(CommitFailed(commit.token, self._takes_nothing))

    def _probe(self) -> None:
        """Raises StoreError: the disk takes something again."""
        now_s = time.monotonic()
        if now_s < self._probe_at_s:
            return
        self._probe_at_s = now_s + PROBE_EVERY_S
        probe = self._path.with_name("probe")
        try:
            with probe.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            return
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
        raise StoreError(f"{self._path.parent} takes something again: the agent begins anew with its memory")

    def _read(self, order: _ReadOutbox, ledger: Ledger) -> None:
        try:
            reports = ledger.outbox.read(order.after_seq, order.limit)
        except sqlite3.Error as error:
            if is_unreadable(error):
                raise
            _log.error("the outbox cannot be read: %s", error)
            reports = ()
        self._post(OutboxRead(reports))
