"""Copies, gaps and new stores, told by boot and seq."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.ledger import MAX_BOOTS, MAX_MISSING, Entry, Ledger, entered

A, B = "a" * 32, "b" * 32


def after(*reports: tuple[str, int, int]) -> tuple[Ledger, list[Entry]]:
    ledger, entries = Ledger(), []
    for boot, seq, iat in reports:
        ledger, entry = entered(ledger, boot=boot, seq=seq, iat=iat)
        entries.append(entry)
    return ledger, entries


def test_a_line_without_gap_loses_nothing_even_across_a_restart() -> None:
    ledger, entries = after((A, 7, 10), (A, 8, 11), (B, 9, 12))
    assert entries == [Entry.NEW] * 3
    assert ledger.lost == 0


def test_a_gap_is_loss_until_it_is_filled() -> None:
    ledger, entries = after((A, 1, 1), (A, 4, 2))
    assert ledger.lost == 2
    ledger, entry = entered(ledger, boot=A, seq=3, iat=1)
    assert (entry, ledger.missing) == (Entry.LATE, frozenset({2}))
    assert entries == [Entry.NEW, Entry.NEW]


@pytest.mark.parametrize("copy", [(A, 1, 1), (A, 2, 2)])
def test_a_copy_changes_nothing(copy: tuple[str, int, int]) -> None:
    before, _ = after((A, 1, 1), (A, 2, 2))
    ledger, entry = entered(before, boot=copy[0], seq=copy[1], iat=copy[2])
    assert entry is Entry.COPY
    assert ledger == before


def test_what_is_older_than_the_watch_is_late_and_no_loss() -> None:
    ledger, entries = after((A, 5, 5), (A, 4, 4), (A, 4, 4))
    assert entries == [Entry.NEW, Entry.LATE, Entry.COPY]
    assert ledger.lost == 0


def test_a_later_start_that_counts_from_below_has_another_store() -> None:
    ledger, entries = after((A, 50, 100), (B, 1, 200), (B, 2, 201))
    assert entries == [Entry.NEW, Entry.BEGUN_ANEW, Entry.NEW]
    assert (ledger.begun_anew, ledger.highest, ledger.lost) == (1, 2, 0)


def test_an_earlier_start_seen_late_is_no_new_store() -> None:
    ledger, entries = after((B, 50, 100), (A, 49, 90))
    assert entries == [Entry.NEW, Entry.LATE]
    assert ledger.begun_anew == 0


def test_a_wide_gap_is_counted_and_takes_no_memory() -> None:
    ledger, _ = after((A, 1, 1), (A, 1_000_000_002, 2), (A, 2_000_000_003, 3))
    assert ledger.lost == 2_000_000_000
    assert len(ledger.missing) == MAX_MISSING


def test_starts_remembered_are_bounded() -> None:
    ledger, _ = after(*((f"{number:032x}", number + 1, number) for number in range(100)))
    assert len(ledger.boots) == MAX_BOOTS


@settings(deadline=None, max_examples=40)
@given(st.permutations(list(range(1, 30))), st.data())
def test_whatever_the_order_each_report_counts_once(order: list[int], data: st.DataObject) -> None:
    copies = data.draw(st.lists(st.sampled_from(order)))
    ledger, entries = after(*((A, seq, seq) for seq in order), *((A, seq, seq) for seq in copies))
    assert ledger.lost == 0
    assert entries.count(Entry.COPY) == len(copies)
