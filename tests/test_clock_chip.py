"""The clock chip as the kernel shows it, and what a missing or dead one is worth."""

import time
from pathlib import Path

import pytest

from agent.clock_chip import read_chip


def chips(folder: Path, text: str) -> Path:
    (folder / "rtc0").mkdir()
    (folder / "rtc0" / "since_epoch").write_text(text)
    return folder


def test_it_gives_the_offset_to_boot_time(tmp_path: Path) -> None:
    found = read_chip("rtc0", chips=chips(tmp_path, "1790000000\n"))
    assert found is not None
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert found.offset_s + now_s == pytest.approx(1_790_000_000.5, abs=30.0)
    assert found.offset_s + now_s >= 1_790_000_000.5
    assert found.evidence == "rtc"


@pytest.mark.parametrize("text", ["", "noon\n", "1.5\n"])
def test_nonsense_is_no_time(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert read_chip("rtc0", chips=chips(tmp_path, text)) is None
    assert "rtc0 tells no time" in caplog.text


def test_a_chip_that_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_chip("rtc1", chips=chips(tmp_path, "1790000000\n")) is None
    assert "rtc1 tells no time (" in caplog.text
    assert "is it fitted" in caplog.text
