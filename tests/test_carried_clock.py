"""Trusted time between two processes of one boot: the real boot id, real files, and what damage does to them."""

import json
from pathlib import Path

import pytest

from agent.carried_clock import BOOT_ID, FILE_NAME, CarriedClock
from agent.messages.events import ClockFound


def test_the_next_process_of_this_boot_finds_it(tmp_path: Path) -> None:
    assert CarriedClock(folder=tmp_path).recall() is None
    CarriedClock(folder=tmp_path).keep(1_790_000_000.123456, "time command")
    CarriedClock(folder=tmp_path).keep(1_790_000_001.123456, "kernel")
    assert CarriedClock(folder=tmp_path).recall() == ClockFound(1_790_000_001.123456, "kernel")
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


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
    ["", "{", "[]", "null", "{}", '{"offset_s": 1.0, "evidence": "kernel"}', '{"boot": "BOOT", "offset_s": "x"}',
     '{"boot": "BOOT", "offset_s": null, "evidence": "kernel"}', '{"boot": "BOOT", "evidence": "kernel"}',
     '{"boot": "BOOT", "offset_s": ' + "9" * 400 + ', "evidence": "kernel"}'],
)  # fmt: skip
def test_a_damaged_file_is_no_file(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text.replace("BOOT", BOOT_ID.read_text().strip()))
    assert CarriedClock(folder=tmp_path).recall() is None


def test_the_file_says_of_which_boot_it_is(tmp_path: Path) -> None:
    CarriedClock(folder=tmp_path).keep(2.5, "kernel")
    document = json.loads((tmp_path / FILE_NAME).read_text())
    assert document == {"boot": BOOT_ID.read_text().strip(), "offset_s": 2.5, "evidence": "kernel"}


def test_a_folder_that_cannot_be_written_costs_the_next_process_its_trust_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CarriedClock(folder=tmp_path / "absent").keep(2.5, "kernel")
    assert "the time cannot be handed on" in caplog.text


def test_the_word_of_a_configuration_does_not_outlive_it(tmp_path: Path) -> None:
    """A technician who takes back `clock: {trust: always}` must not find the wrong time still believed."""
    CarriedClock(folder=tmp_path).keep(2.5, "kernel")
    CarriedClock(folder=tmp_path, kept=False).keep(9_999.0, "kernel")
    assert CarriedClock(folder=tmp_path).recall() == ClockFound(2.5, "kernel")
