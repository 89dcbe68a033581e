"""Where an instant lies in a WAV file: ffmpeg, which decodes the whole and what is left of it, is the other side."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decoders.excerpts import Excerpt
from agent.decoders.wav import Wav, wav_of
from rig.sound import Samples

SECONDS = 5
RATES_HZ = {"16 bits": 48_000, "24 bits, stereo": 44_100, "float": 16_000, "mu-law": 8_000, "tagged": 48_000}
OPTIONS: dict[str, tuple[str, ...]] = {
    "16 bits": (),
    "24 bits, stereo": ("-c:a", "pcm_s24le", "-ac", "2"),
    "float": ("-c:a", "pcm_f32le"),
    "mu-law": ("-c:a", "pcm_mulaw"),
    "tagged": ("-metadata", f"title={'x' * 3_001}", "-write_bext", "1"),
}


def made(path: Path, *options: str, rate_hz: int = 48_000) -> Path:
    source = f"anoisesrc=duration={SECONDS}:amplitude=0.3:seed=7:sample_rate={rate_hz}"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(path)], check=True)
    return path


def decoded(path: Path) -> Samples:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-"]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<i2")


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def read(path: Path) -> Wav:
    with opened(path) as fd:
        wav = wav_of(fd)
    assert wav is not None
    return wav


def rest_of(path: Path, wav: Wav, from_s: float) -> bytes:
    """All that libVLC would read of it, in pieces of odd sizes."""
    place = wav.place_of(from_s)
    with opened(path) as fd:
        excerpt = Excerpt(fd, place, *wav.patches(place))
        return b"".join(iter(lambda: excerpt.read(1_237), b""))


@pytest.mark.parametrize("kind", OPTIONS)
def test_what_is_left_from_any_instant_on_is_the_end_of_the_whole(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path / "a.wav", *OPTIONS[kind], rate_hz=RATES_HZ[kind])
    wav, whole, random = read(path), decoded(path), Random(3)
    assert wav.length_s == SECONDS
    for from_s in (0.0, 1 / 3, SECONDS - 1 / RATES_HZ[kind], *(random.uniform(0, SECONDS) for _ in range(10))):
        cut = tmp_path / "cut.wav"
        cut.write_bytes(rest_of(path, wav, from_s))
        assert np.array_equal(decoded(cut), whole[int(from_s * RATES_HZ[kind]) :]), from_s
        assert 0.0 <= from_s - wav.place_of(from_s).at_s < 1 / RATES_HZ[kind]
        assert read(cut).length_s == pytest.approx(SECONDS - wav.place_of(from_s).at_s)


def test_from_its_end_on_nothing_is_left(tmp_path: Path) -> None:
    path = made(tmp_path / "a.wav")
    wav = read(path)
    assert len(rest_of(path, wav, SECONDS + 10.0)) == wav.begin


def test_a_file_that_breaks_off_is_as_long_as_what_is_there(tmp_path: Path) -> None:
    path = made(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[: read(path).begin + 2 * 48_000])
    assert read(path).length_s == 1.0


def test_what_a_recorder_that_could_not_go_back_wrote_reaches_to_the_end(tmp_path: Path) -> None:
    path = made(tmp_path / "a.wav")
    content = path.read_bytes()
    for size in (0, 0xFFFF_FFFF):
        at = read(path).begin - 4
        streamed = tmp_path / "streamed.wav"
        streamed.write_bytes(content[:at] + size.to_bytes(4, "little") + content[at + 4 :])
        assert read(streamed).length_s == SECONDS


def test_what_packs_many_samples_into_a_block_is_left_to_libvlc(tmp_path: Path) -> None:
    with opened(made(tmp_path / "adpcm.wav", "-c:a", "adpcm_ima_wav")) as fd:
        assert wav_of(fd) is None


@given(content=st.binary(max_size=200), begin=st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEfmt "]))
def test_no_content_is_too_odd(tmp_path_factory: pytest.TempPathFactory, content: bytes, begin: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.wav"
    path.write_bytes(begin + content)
    with opened(path) as fd:
        wav = wav_of(fd)
    if wav is not None:
        assert 0 <= wav.begin <= wav.begin + wav.size <= len(begin + content)
        assert wav.length_s >= 0.0
