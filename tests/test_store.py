"""The store, on real SQLite files: what is committed stays, through kill -9, damage and a full outbox."""

import contextlib
import hashlib
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.messages import codec
from agent.messages.documents import Day, Slot
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
from agent.messages.events import CommitFailed, Committed, Event, OutboxRead
from agent.messages.memory import (
    DocumentType,
    Memory,
    StoredAccepted,
    StoredCommand,
    StoredDocument,
    StoredItem,
    StoredStop,
    StoredWanted,
)
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm, AnyReport, CommandOutcome, ReportClaims
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.sums import NO_SUMS
from agent.messages.words import Kind
from agent.storage.database import MAX_SET_ASIDE, MIGRATIONS
from agent.store import Bounds, Store, StoreError
from tests.stored import Model

EMPTY = Memory(next_seq=1, outbox_count=0, accepted=(), stops=(), items=(), settings=())


def report(seq: int, what: str = "test", told: AnyReport | None = None) -> ReportClaims:
    told = told or Alarm(what=what, detail="", count=1)
    return ReportClaims(iss="node:hoang-dao/hd-03", iat=1, boot="0" * 32, seq=seq, clock_trusted=True, report=told)


def outcome(seq: int, said: Literal["accepted", "refused"]) -> AppendReport:
    reason = Reason.QUEUE_FULL if said == "refused" else None
    return AppendReport(report(seq, told=CommandOutcome("commune", f"jti-{seq:016}", said, reason)))


class Opened:
    """A store with its inbox, as the loop would hold it."""

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        self.inbox: SimpleQueue[Event] = SimpleQueue()
        self.store = Store(path=path, post=self.inbox.put, bounds=bounds)
        self.memory = self.store.load()

    def commit(self, token: int, *writes: Write) -> Event:
        self.store.commit(token, writes)
        return self.inbox.get(timeout=20)

    def outbox(self, after_seq: int = 0, limit: int = 1_000) -> list[int]:
        self.store.read_outbox(after_seq, limit)
        answer = self.inbox.get(timeout=20)
        assert isinstance(answer, OutboxRead)
        return [seq for seq, _ in answer.reports]


@contextlib.contextmanager
def opened(path: Path, bounds: Bounds | None = None) -> Iterator[Opened]:
    held = Opened(path, bounds)
    try:
        yield held
    finally:
        held.store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "node.db"


def test_a_new_store_is_empty_and_closed_to_others(path: Path) -> None:
    with opened(path) as held:
        assert held.memory == EMPTY
        assert held.commit(1, KeepSetting("muted", 1, 10)) == Committed(1)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"node.db": 0o600, "node.db-wal": 0o600, "lasting.json": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_everything_that_was_committed_is_there_again(path: Path) -> None:
    with opened(path) as held:
        held.commit(
            1,
            RememberCommand("UBND", "jti-0000000000001", 500, 400),
            RememberStop("late", "UBND", ("play.normal", "stop"), 600, ("operator",)),
            KeepDocument("set_policy", "UBND", 7, 100, "ab" * 32, b"a policy", 95),
            KeepDocument("set_schedule", "UBND", 3, 90, "cd" * 32, b"a schedule", 90),
            EndDocument("set_schedule", "UBND"),
            KeepWanted("ab" * 32, "https://files.example/a.mp3", 1_000, pin=False),
            KeepWanted("ab" * 32, "https://files.example/a.mp3", 1_000, pin=True),
            KeepWanted("ab" * 32, "https://files.example/a.mp3", 1_000, pin=False),
            KeepWanted("cd" * 32, "https://files.example/b.mp3", 1_000, pin=False),
            KeepWanted("ab" * 32, "https://files.example/wrong.mp3", 1_000, pin=True),
            ForgetWanted("ab" * 32, "https://files.example/wrong.mp3"),
            ForgetWanted("cd" * 32, "https://files.example/b.mp3"),
            KeepItem("first", b"envelope 1", 100),
            KeepItem("second", b"envelope 2", 101),
            MarkStarted("first", 102.5, 1, 160.25),
            KeepSetting("volume_percent", 70, 100),
            KeepTrust(2, b"set_trust 2"),
            KeepNames((("root", "R"), ("operator", "O"))),
            AppendReport(report(1)),
        )
    with opened(path) as held:
        assert held.memory == Memory(
            next_seq=2,
            outbox_count=1,
            accepted=(StoredAccepted("UBND", "jti-0000000000001", 500, 400),),
            stops=(StoredStop("late", "UBND", ("play.normal", "stop"), 600, ("operator",)),),
            items=(StoredItem(b"envelope 1", 100, 102.5, 1, 160.25), StoredItem(b"envelope 2", 101, None)),
            settings=(("volume_percent", 70, 100),),
            trust=b"set_trust 2",
            names=(("operator", "O"), ("root", "R")),
            documents=(
                StoredDocument("set_policy", "UBND", 7, 100, "ab" * 32, b"a policy", 95),
                StoredDocument("set_schedule", "UBND", 3, 90, "cd" * 32, None, 90),
            ),
            wanted=(StoredWanted("ab" * 32, "https://files.example/a.mp3", 1_000, pin=True),),
        )


def test_the_last_trust_document_is_kept_and_a_name_stays_what_it_was(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, KeepTrust(2, b"two"), KeepNames((("a", "A"),)))
        held.commit(2, KeepTrust(3, b"three"), KeepNames((("a", "another"), ("b", "B"))))
    with opened(path) as held:
        assert (held.memory.trust, held.memory.names) == (b"three", (("a", "A"), ("b", "B")))


def test_a_store_of_the_first_version_gains_the_trust_tables(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"{MIGRATIONS[0]}; INSERT INTO accepted VALUES ('UBND', 'jti', 9); PRAGMA user_version=1"
        )
    with opened(path) as held:
        accepted = (StoredAccepted("UBND", "jti", 9),)
        assert (held.memory.accepted, held.memory.trust, held.memory.names) == (accepted, None, ())
        assert held.memory.unjudged == ()
        assert held.commit(1, KeepTrust(2, b"two")) == Committed(1)


def test_stops_of_before_they_stood_beside_each_other_are_kept(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("".join(MIGRATIONS[:6]) + "PRAGMA user_version=6")
        database.execute("INSERT INTO stops VALUES ('late', 'UBND', 'play.normal stop', 600, 'operator')")
        database.commit()
    with opened(path) as held:
        assert held.memory.stops == (StoredStop("late", "UBND", ("play.normal", "stop"), 600, ("operator",)),)


def test_of_two_stops_alike_the_longer_is_kept_and_others_stand_beside_it(path: Path) -> None:
    stops = [
        RememberStop("late", "UBND", ("stop",), 600, ("operator",)),
        RememberStop("late", "UBND", ("stop",), 60, ("operator",)),
        RememberStop("late", "UBND", (), 60, ("operator",)),
        RememberStop("late", "UBND", ("stop",), 60, ("chair",)),
    ]
    with opened(path) as held:
        held.commit(1, *stops)
    with opened(path) as held:
        assert sorted((each.exp, each.may, each.kids) for each in held.memory.stops) == [
            (60, (), ("operator",)),
            (60, ("stop",), ("chair",)),
            (600, ("stop",), ("operator",)),
        ]


@pytest.mark.parametrize(("used", "settings"), [(True, (("mark", 0, 0),)), (False, ())])
def test_a_store_of_before_there_were_marks_began_empty_only_if_it_was_never_used(
    path: Path, used: bool, settings: tuple[tuple[str, int, int], ...]
) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(f"{MIGRATIONS[0]}; {MIGRATIONS[1]}; PRAGMA user_version=2")
        database.execute("UPDATE counters SET value = ?", (7 * used,))
        database.commit()
    with opened(path) as held:
        assert held.memory.settings == settings


def test_commands_that_wait_are_read_in_the_order_in_which_they_came(path: Path) -> None:
    came = [
        KeepUnjudged("UBND", jti, emergency, jti.encode()) for jti, emergency in (("b", ""), ("c", "lũ"), ("a", ""))
    ]
    with opened(path) as held:
        held.commit(1, *came)
        held.commit(2, ForgetUnjudged("UBND", "b"), ForgetUnjudged("phường", "a"))
    with opened(path) as held:
        assert held.memory.unjudged == (
            StoredCommand("UBND", "c", "lũ", b"c"),
            StoredCommand("UBND", "a", "", b"a"),
        )


def test_what_expired_is_forgotten_and_what_ends_just_then_is_not(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, *(RememberCommand("UBND", f"jti{exp}", exp, 1) for exp in (98, 99, 100, 101)))
        held.commit(
            2, RememberStop("a", "UBND", (), 99, ()), RememberStop("b", "UBND", (), 100, ()), ForgetCommands(100)
        )
    with opened(path) as held:
        assert [each.exp for each in held.memory.accepted] == [100, 101]
        assert held.memory.stops == (StoredStop("b", "UBND", (), 100),)


@pytest.mark.parametrize("iat", [99, 100, 101])
def test_a_setting_replaces_the_one_kept_for_which_holds_is_not_decided_here(path: Path, iat: int) -> None:
    with opened(path) as held:
        held.commit(1, KeepSetting("volume_percent", 70, 100))
        assert held.commit(2, KeepSetting("volume_percent", 30, iat)) == Committed(2)
    with opened(path) as held:
        assert held.memory.settings == (("volume_percent", 30, iat),)


def test_a_sequence_number_is_never_given_twice_though_its_report_is_gone(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, AppendReport(report(1)), AppendReport(report(2)))
        held.commit(2, RemoveReports((1, 2)))
        assert held.outbox() == []
    with opened(path) as held:
        assert (held.memory.next_seq, held.memory.outbox_count) == (3, 0)


def test_the_outbox_is_read_from_the_oldest_in_portions(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, *(AppendReport(report(seq)) for seq in range(1, 6)))
        assert held.outbox(0, 2) == [1, 2]
        assert held.outbox(2, 2) == [3, 4]
        assert held.outbox(5, 2) == []
        held.store.read_outbox(4, 9)
        assert held.inbox.get(timeout=20) == OutboxRead(((5, codec.encode(report(5))),))


@pytest.mark.parametrize(
    "bad",
    [
        AppendReport(report(1)),  # a number that is taken
        AppendReport(report(3, what="\ud800")),  # text that is no UTF-8
        RememberCommand("UBND", "jti", 2**64, 1),  # more than SQLite's integers hold
    ],
    ids=["taken", "surrogate", "overflow"],
)
def test_one_commit_that_fails_takes_no_other_with_it_and_leaves_nothing(path: Path, bad: Write) -> None:
    with opened(path) as held:
        held.commit(1, AppendReport(report(1)))
        held.store.commit(2, (KeepSetting("muted", 1, 5),))
        held.store.commit(3, (KeepSetting("floor", 9, 5), bad))
        held.store.commit(4, (AppendReport(report(2)),))
        answers = [held.inbox.get(timeout=20) for _ in range(3)]
        assert Committed(2) in answers
        assert Committed(4) in answers
        assert [answer.token for answer in answers if isinstance(answer, CommitFailed)] == [3]
        assert held.outbox() == [1, 2]
    with opened(path) as held:
        assert held.memory.settings == (("muted", 1, 5),)
        assert (held.memory.next_seq, held.memory.outbox_count) == (3, 2)


def test_commits_that_wait_share_one_transaction(path: Path) -> None:
    """The write-ahead log grows by each transaction's pages: fifty that waited need few, fifty answered singly many."""
    with opened(path) as held:
        log = path.with_name("node.db-wal")
        before = log.stat().st_size
        held.store.commit(0, tuple(KeepItem(f"long{n}", bytes(4_000), n) for n in range(400)))  # keeps the thread busy
        for token in range(1, 51):
            held.store.commit(token, (RememberCommand("UBND", f"jti{token}", token, 1),))
        assert [held.inbox.get(timeout=20) for _ in range(51)] == [Committed(token) for token in range(51)]
        together = log.stat().st_size - before
        for token in range(51, 101):
            assert held.commit(token, RememberCommand("UBND", f"jti{token}", token, 1)) == Committed(token)
        singly = log.stat().st_size - before - together
    assert together < 400 * 5_000 + 20 * 4_120
    assert singly >= 50 * 4_120


def test_an_empty_commit_is_answered(path: Path) -> None:
    with opened(path) as held:
        assert held.commit(7) == Committed(7)


def test_close_stores_what_is_queued_and_is_idempotent(path: Path) -> None:
    held = Opened(path)
    for token in range(1, 21):
        held.store.commit(token, (AppendReport(report(token)),))
    held.store.close()
    held.store.close()
    assert [held.inbox.get_nowait() for _ in range(20)] == [Committed(token) for token in range(1, 21)]
    assert [each.name for each in path.parent.iterdir()] == ["node.db"]
    with opened(path) as again:
        assert again.memory.outbox_count == 20


def test_a_store_that_was_never_loaded_closes(path: Path) -> None:
    Store(path=path, post=lambda _: None).close()
    assert not path.exists()


def test_a_second_process_cannot_take_the_store(path: Path) -> None:
    with opened(path), pytest.raises(StoreError, match=r"node\.db: database is locked"):
        Opened(path)


def test_a_store_of_a_newer_agent_is_left_alone(path: Path) -> None:
    Opened(path).store.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="99 is newer than this agent's"):
        Opened(path)
    assert [each.name for each in path.parent.iterdir()] == ["node.db"]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match=r"state/node\.db"):
        Opened(tmp_path / "state" / "node.db")


def torn_head(file: Path) -> None:
    file.write_bytes(b"\0" * 512 + file.read_bytes()[512:])


def torn_middle(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:4_096] + b"\xff" * (len(whole) - 4_096))


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5_000])


def not_a_database(file: Path) -> None:
    file.write_text("node: hd-03\n" * 1_000)


@pytest.mark.parametrize("damage", [torn_head, torn_middle, truncated, not_a_database])
def test_a_damaged_database_is_set_aside_and_the_node_begins_empty(
    path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as held:
        held.commit(1, *(KeepItem(f"item{n}", bytes(3_000), n) for n in range(20)))
    damage(path)
    damaged = path.read_bytes()
    with opened(path) as held:
        assert replace(held.memory, fault="") == EMPTY
        assert "kept as node.db.corrupt.1; beginning empty" in held.memory.fault
        assert held.commit(2, AppendReport(report(1))) == Committed(2)
    assert path.with_name("node.db.corrupt.1").read_bytes() == damaged
    assert "kept as node.db.corrupt.1; beginning empty" in caplog.text


LASTING = (
    KeepTrust(2, b"trust envelope"),
    KeepNames((("clerk", "public"),)),
    KeepDocument("set_schedule", "commune", 3, 100, "s" * 64, b"schedule envelope", 95),
    KeepDocument("set_policy", "district", 1, 90, "p" * 64, b"policy envelope", 90),
    EndDocument("set_policy", "district"),
    KeepSetting("volume_percent", 70, 90),
    KeepSetting("floor", 1_790_000_000, 0),
    KeepSetting("mark", 1_780_000_000, 0),
)


@pytest.mark.parametrize("damage", [torn_head, torn_middle, truncated, not_a_database, Path.unlink])
def test_who_may_speak_and_what_is_scheduled_outlive_the_database(
    path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The mark does not: it is how far the database remembers, and the new one remembers nothing."""
    with opened(path) as held:
        held.commit(1, *(KeepItem(f"item{n}", bytes(3_000), n) for n in range(20)))
        held.commit(2, *LASTING)
        whole = held.memory
    with opened(path) as held:
        whole = held.memory
    damage(path)
    with opened(path) as held:
        memory = held.memory
        assert (memory.trust, memory.names, memory.documents) == (whole.trust, whole.names, whole.documents)
        assert memory.settings == (("floor", 1_790_000_000, 0), ("volume_percent", 70, 90))
        assert (memory.items, memory.accepted) == ((), ())
        assert memory.fault.endswith("come from their second copy")
        assert memory.fault in caplog.text
    with opened(path) as held:
        assert replace(held.memory, fault="") == replace(memory, fault="")
        assert held.memory.fault == "", "said once"


@pytest.mark.parametrize("spoil", [torn_head, truncated, not_a_database])
def test_a_second_copy_that_is_damaged_as_well_is_none(path: Path, spoil: Callable[[Path], None]) -> None:
    with opened(path) as held:
        held.commit(1, *LASTING, KeepDocument("set_policy", "commune", 1, 90, "p" * 64, bytes(9_000), 90))
    not_a_database(path)
    spoil(path.with_name("lasting.json"))
    with opened(path) as held:
        assert replace(held.memory, fault="") == EMPTY


@pytest.mark.parametrize(
    ("what", "instead"),
    [(b"1790000000", b"9790000000"), (b'"clerk"', b'"clark"'), (b'"volume_percent"', b'"volume_parcent"')],
)
def test_a_second_copy_of_which_one_letter_is_altered_is_none(path: Path, what: bytes, instead: bytes) -> None:
    """It would be read all the same: a floor far ahead refuses every order."""
    with opened(path) as held:
        held.commit(1, *LASTING)
    with opened(path):  # the floor rides along where the file is written for another reason
        pass
    not_a_database(path)
    copy = path.with_name("lasting.json")
    assert what in copy.read_bytes()
    copy.write_bytes(copy.read_bytes().replace(what, instead))
    with opened(path) as held:
        assert replace(held.memory, fault="") == EMPTY
        assert "beginning empty" in held.memory.fault


def test_a_second_copy_that_contradicts_itself_is_none_and_keeps_nobody_from_beginning(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, *LASTING)
    not_a_database(path)
    copy = path.with_name("lasting.json")
    body = copy.read_bytes().partition(b"\n")[2].replace(b'[["clerk"', b'[["clerk","other"],["clerk"')
    copy.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with opened(path) as held:
        assert replace(held.memory, fault="") == EMPTY
        assert held.commit(2, *LASTING) == Committed(2)


def test_a_database_that_turns_out_damaged_in_use_is_set_aside_at_the_next_start(path: Path) -> None:
    """The thread dies, and the process with it: half a memory is worse than none."""
    died: list[str] = []
    threading.excepthook, hook = lambda args: died.append(str(args.exc_value)), threading.excepthook
    try:
        with opened(path) as held:
            held.commit(1, *LASTING, *(KeepItem(f"item{n}", bytes(3_000), n) for n in range(200)))
            held.store.close()
            with opened(path) as again:
                torn_middle(path)
                for n in range(50):
                    again.store.commit(n, (KeepItem(f"item{n}", bytes(9_000), n), ForgetItem(f"item{199 - n}")))
                again.store.close()
    finally:
        threading.excepthook = hook
    assert died == ["database disk image is malformed"]
    assert path.with_name("node.db.suspect").read_bytes() == b"!"
    with opened(path) as held:
        assert held.memory.fault.endswith("come from their second copy")
    assert not path.with_name("node.db.suspect").exists()


def test_a_disk_that_could_not_be_read_for_a_while_costs_no_memory(path: Path) -> None:
    """SQLite says "malformed" of a read that failed as well; three times it is believed."""
    with opened(path) as held:
        held.commit(1, *LASTING)
    suspicion = path.with_name("node.db.suspect")
    for times in (1, 2):
        suspicion.write_bytes(b"!" * times)
        with opened(path) as held:
            assert held.memory.fault == ""
        assert not suspicion.exists(), "a life in which all went well"
    suspicion.write_bytes(b"!!!")
    with opened(path) as held:
        assert "damage was found in it 3 times" in held.memory.fault


def test_the_second_copy_is_written_where_it_changes_and_only_there(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, *LASTING)
        copy = path.with_name("lasting.json")
        written = copy.stat().st_mtime_ns
        held.commit(2, KeepItem("item", b"envelope", 1), KeepSetting("floor", 1_790_000_100, 0))
        assert copy.stat().st_mtime_ns == written
        held.commit(3, KeepSetting("volume_percent", 60, 95))
        assert copy.stat().st_mtime_ns > written


def test_only_a_few_damaged_databases_are_kept(path: Path) -> None:
    path.parent.mkdir(parents=True)
    for number in range(1, MAX_SET_ASIDE + 3):
        path.write_text(f"no database {number} " * 100)
        Opened(path).store.close()
    kept = sorted(each.name for each in path.parent.glob("*.corrupt.*"))
    assert kept == ["node.db.corrupt.3", "node.db.corrupt.4", "node.db.corrupt.5"]


def written_bytes() -> int:
    """By this process, to any file or device."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line.split(":")[1] for line in lines if line.startswith("write_bytes")))


def test_reading_and_waiting_write_nothing(path: Path) -> None:
    with opened(path) as held:
        held.commit(1, AppendReport(report(1)))
        files = {each: (each.stat().st_mtime_ns, each.stat().st_size) for each in path.parent.iterdir()}
        before = written_bytes()
        for _ in range(200):
            assert held.outbox() == [1]
        held.commit(2)
        assert written_bytes() == before
        assert {each: (each.stat().st_mtime_ns, each.stat().st_size) for each in path.parent.iterdir()} == files


# Random writes against a model, and reopening without having closed ---------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c"])
SMALL = st.integers(0, 20)


KIDS = st.lists(st.sampled_from(["hd-root", "k.1"]), max_size=2).map(tuple)
DOCUMENTS: st.SearchStrategy[DocumentType] = st.sampled_from(["set_schedule", "set_policy"])
NEWS = Slot(
    "news",
    (Day.MON,),
    "05:00",
    Kind.NORMAL,
    "Bản tin",
    (Source(builtin=Builtin(BuiltinName.CHIME)),),
    60,
    date(2026, 1, 1),
    date(2026, 12, 31),
)
WRITES: st.SearchStrategy[Write | None] = st.one_of(
    st.builds(RememberCommand, NAMES, NAMES, SMALL, SMALL),
    st.builds(RememberStop, NAMES, NAMES, st.sampled_from([(), ("stop",), ("play.normal", "stop")]), SMALL, KIDS),
    st.builds(KeepDocument, DOCUMENTS, NAMES, SMALL, SMALL, NAMES, st.binary(max_size=4), SMALL),
    st.builds(EndDocument, DOCUMENTS, NAMES),
    st.builds(ForgetCommands, SMALL),
    st.builds(KeepItem, NAMES, st.binary(max_size=4), SMALL),
    st.builds(MarkStarted, NAMES, st.floats(0, 1e10), st.integers(0, 99), st.floats(0, 1e10)),
    st.builds(ForgetItem, NAMES),
    st.builds(KeepOrder, st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple)),
    st.builds(KeepSlot, NAMES, NAMES, SMALL, SMALL, NAMES, st.just(NEWS)),
    st.builds(SettleSlot, NAMES, NAMES, SMALL),
    st.builds(ForgetSlots, SMALL),
    st.builds(ForgetSlotsOf, NAMES),
    st.builds(KeepLedger, NAMES, st.floats(0, 1e5), SMALL, st.floats(0, 1e5), st.floats(0, 1e10)),
    st.builds(KeepSetting, NAMES, SMALL, SMALL),
    st.builds(KeepTrust, SMALL, st.binary(max_size=4)),
    st.builds(KeepNames, st.dictionaries(NAMES, NAMES, max_size=3).map(lambda names: tuple(names.items()))),
    st.builds(KeepUnjudged, NAMES, NAMES, st.sampled_from(["", "flood"]), st.binary(max_size=4)),
    st.builds(ForgetUnjudged, NAMES, NAMES),
    st.builds(KeepWanted, NAMES, NAMES, SMALL, st.booleans()),
    st.builds(ForgetWanted, NAMES, NAMES),
    st.just(ForgetSums(NO_SUMS)),
    st.builds(RemoveReports, st.lists(SMALL, max_size=3).map(tuple)),
    st.none(),  # stands for the next report
)
COMMITS = st.lists(st.lists(WRITES, max_size=5), max_size=8)


def as_it_is_on_the_disk(path: Path) -> Memory:
    """What a start after a power cut at this moment would find: the files copied while the store is still open."""
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.iterdir():
            (Path(folder) / file.name).write_bytes(file.read_bytes())
        survivor = Opened(Path(folder) / path.name)
        survivor.store.close()
        return survivor.memory


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(commits=COMMITS)
def test_any_writes_leave_what_a_model_says_also_without_close(commits: list[list[Write | None]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "node.db") as held:
        for token, drawn in enumerate(commits):
            writes: list[Write] = []
            for write in drawn:
                writes.append(AppendReport(report(model.last_seq + 1)) if write is None else write)
                model.write(writes[-1])
            assert held.commit(token, *writes) == Committed(token)
        assert held.outbox() == model.outbox
        assert as_it_is_on_the_disk(Path(folder) / "node.db") == model.memory()


# kill -9 --------------------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from queue import SimpleQueue
from agent.messages.effects import AppendReport, RememberCommand
from agent.messages.events import Committed
from agent.messages.reports import Alarm, ReportClaims
from agent.store import Store

inbox = SimpleQueue()
store = Store(path=Path(sys.argv[1]), post=inbox.put)
seq = store.load().next_seq
waiting = 0
while True:
    while waiting < 8:
        alarm = Alarm(what="test", detail="x" * 200, count=1)
        claims = ReportClaims(iss="node:a/b", iat=1, boot="0" * 32, seq=seq, clock_trusted=True, report=alarm)
        store.commit(seq, (RememberCommand("UBND", f"jti{seq}", seq, 1), AppendReport(claims)))
        seq, waiting = seq + 1, waiting + 1
    answer = inbox.get()
    assert isinstance(answer, Committed), answer
    waiting -= 1
    print(answer.token, flush=True)
"""


def test_whatever_was_called_committed_is_found_after_kill_9(path: Path) -> None:
    promised = 0
    for lines in (1, 40, 173):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        with child.stdout:
            for _ in range(lines):
                promised = int(child.stdout.readline())
            child.kill()
            promised = max([promised, *(int(line) for line in child.stdout if line.endswith("\n"))])
            child.wait(20)
        with opened(path) as held:
            seqs = held.outbox(limit=10_000)
            assert seqs == list(range(1, held.memory.next_seq))
            assert len(seqs) >= promised
            assert [each.jti for each in held.memory.accepted] == sorted(f"jti{seq}" for seq in seqs)
