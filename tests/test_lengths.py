"""How long an MP3 says it is: what ffmpeg was given to encode is the other side; and heads that say nothing."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decoders.lengths import length_s

SECONDS = 2.345


def made(path: Path, *options: str) -> Path:
    source = f"sine=frequency=440:sample_rate=48000:duration={SECONDS}"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(path)], check=True)
    return path


def said(path: Path, demuxer: str = "es", told_ms: int = 0) -> float | None:
    fd = os.open(path, os.O_RDONLY)
    try:
        return length_s(fd, demuxer, told_ms)
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "options",
    [
        ("-b:a", "96k"),
        ("-q:a", "4"),
        ("-ac", "2", "-b:a", "128k"),
        ("-ar", "44100"),
        ("-ar", "22050"),
        ("-ar", "16000", "-ac", "2"),
        ("-ar", "11025"),
        ("-metadata", f"title={'x' * 3_000}"),
    ],
    ids=" ".join,
)
def test_what_its_encoder_wrote_says_how_long_it_sounds(tmp_path: Path, options: tuple[str, ...]) -> None:
    assert said(made(tmp_path / "a.mp3", *options)) == pytest.approx(SECONDS, abs=0.000_1)


def test_without_that_nothing_is_said(tmp_path: Path) -> None:
    assert said(made(tmp_path / "plain.mp3", "-write_xing", "0")) is None
    whole = made(tmp_path / "a.mp3").read_bytes()
    for name, content in {
        "short": whole[:100],
        "empty": b"",
        "another encoder": whole.replace(b"Lavc", b"Some").replace(b"Lavf", b"Some").replace(b"LAME", b"Some"),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert said(path) is None, name


def test_of_flac_libvlc_is_believed_of_wav_its_header_and_of_nothing_else(tmp_path: Path) -> None:
    path = made(tmp_path / "a.wav")
    assert (said(path, "wav", 7_300), said(path, "flac", 7_300)) == (SECONDS, 7.3)
    assert [said(path, kind, 7_300) for kind in ("ogg", "mp4", "ts", "aac")] == [None] * 4
    assert said(path, "flac", -1) is None


@given(head=st.binary(max_size=300), begin=st.sampled_from((b"\xff\xfb\x90\x00", b"\xff\xf3\x40\xc0", b"")))
def test_no_bytes_make_it_fail(tmp_path_factory: pytest.TempPathFactory, head: bytes, begin: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(begin + head)
    found = said(path)
    assert found is None or found > 0
