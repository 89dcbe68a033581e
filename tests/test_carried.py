"""Trusted time between two processes of one boot: the real boot id, real files, and what damage does to them."""

import json
from pathlib import Path

import pytest

from agent.carried import BOOT_ID, CLOCK_FILE, PROGRESS_FILE, CarriedClock, CarriedProgress
from agent.messages.events import ClockFound
from agent.messages.loudness import Loudness
from agent.messages.memory import StoredLedger
from agent.messages.progress import NO_PROGRESS, Begun, Progress
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord, SourceNamed


def test_the_next_process_of_this_boot_finds_it(tmp_path: Path) -> None:
    assert CarriedClock(folder=tmp_path).recall() is None
    CarriedClock(folder=tmp_path).keep(1_790_000_000.123456, "time command")
    CarriedClock(folder=tmp_path).keep(1_790_000_001.123456, "kernel")
    assert CarriedClock(folder=tmp_path).recall() == ClockFound(1_790_000_001.123456, "kernel")
    assert [each.name for each in tmp_path.iterdir()] == [CLOCK_FILE]


def test_after_a_reboot_it_is_worth_nothing(tmp_path: Path) -> None:
    """Where the folder outlives the boot: a configuration may name any."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("0e1c-first\n")
    kept = CarriedClock(folder=tmp_path, boot_id=boot_id)
    kept.keep(1.0, "kernel")
    assert kept.recall() == ClockFound(1.0, "kernel")
    boot_id.write_text("0e1c-second\n")
    assert kept.recall() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "BOOT", "BOOT\n", "BOOT\n{", "BOOT\n[]", "BOOT\nnull", "BOOT\n{}",
     '{"offset_s": 1.0, "evidence": "kernel"}',
     'BOOT\n{"offset_s": "x", "evidence": "kernel"}', 'BOOT\n{"offset_s": null, "evidence": "kernel"}',
     'BOOT\n{"evidence": "kernel"}', 'other boot\n{"offset_s": 1.0, "evidence": "kernel"}',
     'BOOT\n{"offset_s": ' + "9" * 400 + ', "evidence": "kernel"}', 'BOOT\n{"begun": [{}]}', 'BOOT\n{"over": 7}'],
)  # fmt: skip
def test_a_damaged_file_is_no_file(tmp_path: Path, text: str) -> None:
    for name in (CLOCK_FILE, PROGRESS_FILE):
        (tmp_path / name).write_text(text.replace("BOOT", BOOT_ID.read_text().strip()))
    assert CarriedClock(folder=tmp_path).recall() is None
    assert CarriedProgress(folder=tmp_path).recall() == NO_PROGRESS


def test_the_file_says_of_which_boot_it_is(tmp_path: Path) -> None:
    CarriedClock(folder=tmp_path).keep(2.5, "kernel")
    boot, content = (tmp_path / CLOCK_FILE).read_text().splitlines()
    assert (boot, json.loads(content)) == (BOOT_ID.read_text().strip(), {"offset_s": 2.5, "evidence": "kernel"})


def test_a_folder_that_cannot_be_written_costs_the_next_process_its_trust_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CarriedClock(folder=tmp_path / "absent").keep(2.5, "kernel")
    assert "the time cannot be handed on" in caplog.text


BEGUN = Begun(
    item="news",
    iss="commune",
    jti="jti-0000000000000001",
    round=1,
    source=0,
    used=96_000,
    from_s=0.5,
    live_samples=0,
    heard=Loudness(96_000, -20.5, None, 1),
    amplifier_on_s=3.25,
    first=True,
    begun=True,
    interrupted=True,
    at_risk=True,
    crashes=1,
    not_before_s=None,
    start_s=1_790_000_000.0,
    started_at=1_790_000_000.021,
)
RECORD = PlayRecord(
    item="siren", iss="commune", jti="jti-0000000000000002", kind="emergency", title="Lũ", source=SourceNamed("file"),
    due_at=1, started_at=None, ended_at=2.5, requested_s=60, played_s=0.0, result="missed", reason=Reason.NOT_AFTER,
    volume_percent=80, amplifier_on_s=0.0, rms_dbfs=None, peak_dbfs=None,
)  # fmt: skip


def test_where_the_programme_was_is_found_by_the_next_process(tmp_path: Path) -> None:
    progress = Progress((BEGUN,), (RECORD,), StoredLedger("2026-09-21", 61.5, 1, 61.5, 1_790_000_000.5))
    assert CarriedProgress(folder=tmp_path).recall() == NO_PROGRESS
    CarriedProgress(folder=tmp_path).keep(NO_PROGRESS)
    CarriedProgress(folder=tmp_path).keep(progress)
    assert CarriedProgress(folder=tmp_path).recall() == progress
    assert [each.name for each in tmp_path.iterdir()] == [PROGRESS_FILE]


def test_what_is_too_long_to_be_ours_is_not_read(tmp_path: Path) -> None:
    CarriedProgress(folder=tmp_path).keep(Progress((BEGUN,)))
    with (tmp_path / PROGRESS_FILE).open("ab") as file:
        file.truncate(5 * 1024 * 1024)
    assert CarriedProgress(folder=tmp_path).recall() == NO_PROGRESS


def test_a_folder_that_fails_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is written every second."""
    folder = tmp_path / "runtime"
    carried = CarriedProgress(folder=folder)
    for _ in range(3):
        carried.keep(NO_PROGRESS)
    folder.mkdir()
    carried.keep(NO_PROGRESS)
    (folder / PROGRESS_FILE).unlink()
    folder.rmdir()
    carried.keep(NO_PROGRESS)
    told = [record for record in caplog.records if "cannot be handed on" in record.message]
    assert len(told) == 2
