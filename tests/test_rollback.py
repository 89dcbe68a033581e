"""An upgrade that was taken back is told, by whoever came back."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.messages import effects as do
from agent.rollback import failed_version
from tests.core.pole import Pole, claims_of, make_pole


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"0.2.0~rc1\n", "0.2.0~rc1"),
        (b"9" * 500, "9" * 40),
        (b"", ""),
        (b"0.2.0\xff", "0.2.0\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_version_that_failed_is_read(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "rolled-back"
    file.write_bytes(content)
    assert failed_version(file) == told


def test_where_nobody_says_so_none_has_failed(tmp_path: Path) -> None:
    assert failed_version(tmp_path / "rolled-back") == ""
    assert failed_version(tmp_path) == ""


@pytest.mark.parametrize("failed", ["0.2.0", ""])
def test_state_tells_it(failed: str) -> None:
    pole = Pole(replace(make_pole().settings, rolled_back=failed)).start().connect()
    published = [each.payload for _, each in pole.of(do.PublishState) if isinstance(each, do.PublishState)]
    assert published
    assert {claims_of(payload).get("rolled_back") for payload in published} == {failed or None}
