"""Where an instant lies in a FLAC file: ffprobe, which reads every frame, is the other side."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from agent.decoders.flac import place_of

SECONDS = 40


def made(path: Path, *options: str, source: str = "anoisesrc=duration=40:amplitude=0.3:seed=7") -> Path:
    command = ("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(path))
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flac")


@pytest.fixture(scope="module", params=["noise", "stereo", "silence", "tagged"])
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    match request.param:
        case "noise":
            return made(folder / "noise.flac", "-ac", "1", "-ar", "48000")
        case "stereo":
            return made(folder / "stereo.flac", "-ac", "2", "-ar", "44100", "-frame_size", "1152")
        case "silence":
            return made(folder / "silence.flac", source="anullsrc=r=16000:cl=mono:d=40")
        case _:
            return made(folder / "tagged.flac", "-metadata", f"comment={'x' * 70_000}")


def frames(file: Path) -> list[tuple[int, float]]:
    """(offset, seconds) of each frame."""
    entries = ("-show_entries", "packet=pos,pts_time", "-of", "json")
    told = subprocess.run(["ffprobe", "-v", "error", *entries, str(file)], capture_output=True, check=True)
    return [(int(each["pos"]), float(each["pts_time"])) for each in json.loads(told.stdout)["packets"]]


@pytest.fixture
def fd(file: Path) -> Iterator[int]:
    fd = os.open(file, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_any_instant_is_in_the_frame_that_ffprobe_says(file: Path, fd: int) -> None:
    known = frames(file)
    random = Random(3)
    for from_s in (0.0, 0.001, SECONDS - 0.01, SECONDS + 10.0, *(random.uniform(0, SECONDS) for _ in range(200))):
        place = place_of(fd, 0, from_s)
        assert place is not None
        offset, at_s = max(each for each in known if each[1] <= from_s + 1e-6)
        assert place.cut_to == offset
        assert place.at_s == pytest.approx(at_s, abs=1e-4)
        assert place.cut_from == known[0][0]


def test_behind_a_tag_of_another_format(file: Path, tmp_path: Path) -> None:
    """ID3 before `fLaC`, as some editors write it."""
    tagged = tmp_path / "id3.flac"
    tagged.write_bytes(b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + file.read_bytes())
    fd, plain = os.open(tagged, os.O_RDONLY), os.open(file, os.O_RDONLY)
    try:
        here, there = place_of(fd, 138, 17.3), place_of(plain, 0, 17.3)
    finally:
        os.close(fd)
        os.close(plain)
    assert here is not None
    assert there is not None
    assert (here.cut_to - 138, here.at_s) == (there.cut_to, there.at_s)


@pytest.mark.parametrize("content", [b"", b"fLaC", b"fLaC" + bytes(40), b"fLaC\x80\x00\x00\x22" + bytes(34)])
def test_what_is_damaged_cannot_be_cut(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.flac").write_bytes(content)
    fd = os.open(tmp_path / "bad.flac", os.O_RDONLY)
    try:
        assert place_of(fd, 0, 5.0) is None
    finally:
        os.close(fd)


def test_noise_behind_a_good_beginning_gives_the_beginning(file: Path, tmp_path: Path) -> None:
    known = frames(file)
    bad = tmp_path / "noise.flac"
    bad.write_bytes(file.read_bytes()[: known[0][0]] + Random(1).randbytes(500_000))
    fd = os.open(bad, os.O_RDONLY)
    try:
        place = place_of(fd, 0, 20.0)
    finally:
        os.close(fd)
    assert place is not None
    assert place.cut_to >= place.cut_from
