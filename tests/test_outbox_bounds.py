"""A full outbox, on real SQLite files: what found no room is added up before it goes, and nothing is counted twice."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.messages.effects import AppendReport, ForgetSums, RemoveReports, Write
from agent.messages.events import CommitFailed, Committed, Event, OutboxRead, ReportsAddedUp
from agent.messages.memory import Memory
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm, AnyReport, CommandOutcome, PlayRecord, ReportClaims, SourceNamed
from agent.messages.sums import NO_SUMS, Sums, added, of_report, without
from agent.storage.outbox import SPARED
from agent.store import Bounds, Store

Result = Literal["played", "stopped", "failed", "missed"]
FEW = Bounds(reports=20)


def record(
    played_s: float = 10.0, ended_at: float = 1_000.0, result: Result = "played", title: str = "t"
) -> PlayRecord:
    return PlayRecord(
        item="i", iss="commune", jti="j", kind="normal", title=title, source=SourceNamed("builtin"), due_at=1,
        started_at=None, ended_at=ended_at, requested_s=1, played_s=played_s, result=result, reason=None,
        volume_percent=1, amplifier_on_s=played_s + 1, rms_dbfs=None, peak_dbfs=None,
    )  # fmt: skip


ACCEPTED = CommandOutcome("commune", "jti", "accepted", None)
REFUSED = CommandOutcome("commune", "jti", "refused", Reason.QUEUE_FULL)
ALARM = Alarm("what", "", 1)


def claims(seq: int, report: AnyReport) -> ReportClaims:
    return ReportClaims(iss="node:a/b", iat=1, boot="0" * 32, seq=seq, clock_trusted=True, report=report)


class Opened:
    """A store, and all that it has said."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self.store = Store(path=path, post=self._inbox.put, bounds=bounds)
        self.memory: Memory = self.store.load()
        self.next_seq = self.memory.next_seq
        self.gone = 0
        self.sums = self.memory.sums

    def commit(self, *writes: Write) -> bool:
        self.store.commit(1, writes)
        while True:
            event = self._inbox.get(timeout=20)
            if isinstance(event, ReportsAddedUp):
                self.gone, self.sums = self.gone + event.reports, event.sums
            elif isinstance(event, Committed | CommitFailed):
                return isinstance(event, Committed)

    def append(self, *reports: AnyReport) -> None:
        for report in reports:
            assert self.commit(AppendReport(claims(self.next_seq, report)))
            self.next_seq += 1

    def outbox(self, after_seq: int = 0, limit: int = 1_000) -> list[int]:
        self.store.read_outbox(after_seq, limit)
        answer = self._inbox.get(timeout=20)
        assert isinstance(answer, OutboxRead)
        return [seq for seq, _ in answer.reports]


@contextlib.contextmanager
def opened(path: Path, bounds: Bounds = FEW) -> Iterator[Opened]:
    held = Opened(path, bounds)
    try:
        yield held
    finally:
        held.store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


def test_the_oldest_play_records_are_added_up_before_anything_else_goes(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(path) as held:
        held.append(
            ACCEPTED, record(10.0, 2_000.0), ACCEPTED, record(5.0, 1_000.0, "stopped"), record(0.0, 3_000.0, "missed")
        )
        held.append(*[ALARM] * 15)
        assert (held.gone, caplog.messages) == (0, [])
        held.append(record(2.0, 4_000.0, "failed"), ACCEPTED)
        assert held.outbox() == [1, 3, 5, *range(6, 23)]
        whole = Sums(played=1, stopped=1, played_s=15.0, amplifier_on_s=17.0, from_s=1_000.0, until_s=2_000.0)
        assert (held.gone, held.sums) == (2, replace(whole, first_seq=2, last_seq=4))
        assert "1 reports are added up" in caplog.text
    with opened(path) as held:
        assert (held.memory.sums, held.memory.outbox_count) == (replace(whole, first_seq=2, last_seq=4), 20)
        held.append(ALARM, ALARM)
        assert (held.sums.records, held.sums.others) == (4, 0), "also the newest record goes before an outcome"
        held.append(ALARM)
        assert (held.sums.records, held.sums.others) == (4, 1)
        assert held.outbox()[0] == 3, "then the oldest of all"


def test_refusals_have_a_share_of_their_own(path: Path) -> None:
    """Who may order little, and has it refused for ever, displaces no record of what sounded."""
    with opened(path) as held:
        held.append(record(), *[REFUSED] * 40, record(), ACCEPTED)
        assert len(held.outbox()) == 3 + FEW.refusals
        assert held.outbox()[0] == 1
        assert held.outbox()[-2:] == [42, 43]
        assert held.sums == Sums(refusals=40 - FEW.refusals, first_seq=2, last_seq=36)
        held.append(*[record()] * 20)
        assert held.sums.records > 0
        assert held.sums.refusals == 40 - FEW.refusals, "within their share they are kept like all others"


def test_bytes_are_bounded_too(path: Path) -> None:
    with opened(path, Bounds(reports=1_000, bytes=20_000)) as held:
        held.append(*[record(title="x" * 5_000)] * 3)
        assert held.gone == 0
        held.append(record(title="x" * 5_000))
        assert held.gone == held.sums.records == 4, "a portion goes at once, here all that there is"


def test_what_may_be_on_its_way_is_not_added_up(path: Path) -> None:
    with opened(path) as held:
        held.append(*[record()] * 20)
        assert held.outbox(limit=SPARED) == list(range(1, SPARED + 1))
        held.append(record())
        assert held.sums.last_seq == held.sums.first_seq == SPARED + 1
        assert held.outbox(limit=SPARED) == list(range(1, SPARED + 1))


def test_what_was_told_is_told_once(path: Path) -> None:
    with opened(path) as held:
        held.append(*[record(played_s=3.0)] * 22)
        told = held.sums
        held.append(record(played_s=4.0))
        assert held.commit(AppendReport(claims(held.next_seq, ALARM)), ForgetSums(told))
        assert (held.sums.records, held.sums.played_s) == (2, 6.0), "what came meanwhile is still to be told"
        assert held.commit(ForgetSums(held.sums))
        assert held.sums == NO_SUMS
    with opened(path) as held:
        assert held.memory.sums == NO_SUMS


def test_a_transaction_that_fails_adds_nothing_up(path: Path) -> None:
    with opened(path) as held:
        held.append(*[record()] * 20)
        assert not held.commit(AppendReport(claims(21, record())), AppendReport(claims(21, record())))
        assert (held.sums, held.gone, held.outbox()) == (NO_SUMS, 0, list(range(1, 21)))
        held.append(record())
        assert held.sums.records == 1


def test_what_the_disk_has_altered_is_counted_and_stops_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(path) as held:
        held.append(*[record()] * 20)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE outbox SET claims = x'ff00' WHERE seq = 1")
        database.execute("INSERT INTO sums VALUES (1, x'00')")
        database.commit()
    with opened(path) as held:
        held.append(*[ALARM] * 20)
        assert (held.sums.records, held.sums.others) == (19, 1)
        assert "cannot be read" in caplog.text


def test_ten_thousand_reports_are_kept_and_no_more(path: Path) -> None:
    with opened(path, Bounds()) as held:
        many = [AppendReport(claims(seq, record())) for seq in range(1, 10_001)]
        assert held.commit(*many)
        assert held.gone == 0
        assert held.commit(AppendReport(claims(10_001, record())))
        assert held.gone == Bounds().portion
        assert held.memory.sums == NO_SUMS
        assert len(held.outbox(limit=20_000)) == 10_001 - Bounds().portion


RECORDS = record(), record(7.5, 500.0, "stopped"), record(0.0, 9_000.0, "missed")
REPORTS = st.sampled_from([*RECORDS, ACCEPTED, REFUSED, ALARM])


def unbounded(sums: Sums) -> Sums:
    """What is counted, without its bounds."""
    return replace(sums, first_seq=0, last_seq=0, from_s=0.0, until_s=0.0)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.one_of(REPORTS, st.integers(1, 60), st.just("tell"), st.just("restart")), max_size=80))
def test_every_report_is_waiting_or_delivered_or_told_in_one(steps: list[AnyReport | int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bounds = Bounds(reports=12, bytes=3_500)
        held = stack.enter_context(opened(Path(folder) / "node.db", bounds))
        total, told, delivered = NO_SUMS, NO_SUMS, NO_SUMS
        given_out: dict[int, AnyReport] = {}
        for step in steps:
            if step == "restart":
                held.store.close()
                held = stack.enter_context(opened(Path(folder) / "node.db", bounds))
            elif step == "tell":
                told = added(told, held.sums)
                assert held.commit(ForgetSums(held.sums))
            elif isinstance(step, int):
                if step in held.outbox():
                    delivered = added(delivered, of_report(step, claims(step, given_out[step])))
                assert held.commit(RemoveReports((step,)))
            elif not isinstance(step, str):
                given_out[held.next_seq] = step
                total = added(total, of_report(held.next_seq, claims(held.next_seq, step)))
                held.append(step)
        waiting = NO_SUMS
        for seq in held.outbox():
            waiting = added(waiting, of_report(seq, claims(seq, given_out[seq])))
        accounted = added(added(added(waiting, delivered), told), held.sums)
        assert unbounded(accounted) == unbounded(total)
        assert len(held.outbox()) <= bounds.reports + SPARED


def test_sums_of_nothing_are_nothing() -> None:
    one = of_report(7, claims(7, record()))
    assert without(added(NO_SUMS, one), one) == NO_SUMS
    assert added(one, NO_SUMS) == one
