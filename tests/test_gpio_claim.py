"""What amp-off finds of the lines that an agent claimed."""

from pathlib import Path

import pytest

from agent.gpio.claim import FILE_NAME, Claim, recall, remember
from agent.gpio.lines import Line

CLAIM = Claim(
    lines={"main": Line(17, active_high=True), "market": Line(27, active_high=False)},
    factory="mock",
    chip=4,
    trace=Path("relay.log"),
)


@pytest.mark.parametrize("claim", [CLAIM, Claim(lines={}, factory="lgpio", chip=None, trace=None)])
def test_what_was_claimed_is_recalled(tmp_path: Path, claim: Claim) -> None:
    remember(tmp_path, CLAIM)
    remember(tmp_path, claim)
    assert recall(tmp_path) == claim


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"lines": {"a": {"gpio": 1}}, "factory": "mock"}', "\x00"])
def test_what_cannot_be_read_is_no_claim(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert recall(tmp_path) is None


def test_nothing_is_no_claim(tmp_path: Path) -> None:
    assert recall(tmp_path / "gone") is None
