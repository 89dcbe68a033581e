"""Files appear whole or not at all, and never in place of another unawares."""

import errno
import os
import stat
from pathlib import Path

import pytest

from control import files
from control.problems import InputError, WorldError


@pytest.mark.parametrize("links", [True, False], ids=["ext4", "FAT"])
def test_a_new_file_is_whole_and_its_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:

        def no_links(*_: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "a"
    files.write_new(path, b"first", mode=files.PRIVATE)
    with pytest.raises(InputError, match="exists already and is not overwritten"):
        files.write_new(path, b"second")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    with pytest.raises(InputError, match="exists already"):
        files.write_new(tmp_path / "a", b"x")
    assert not (tmp_path / "b").exists()


def test_what_is_meant_to_change_is_replaced(tmp_path: Path) -> None:
    for data in (b"first", b"second"):
        files.write_over(tmp_path / "a", data)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"second"]


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="cannot write"):
        files.write_new(tmp_path / "no" / "a", b"x")


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert files.read(tmp_path / "a", 5) == b"12345"
    with pytest.raises(InputError, match="larger than 4 bytes"):
        files.read(tmp_path / "a", 4)
    with pytest.raises(InputError, match="cannot read"):
        files.read(tmp_path / "b", 4)
