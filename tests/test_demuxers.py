import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decoders.demuxers import HEAD_BYTES, begin_of, demuxer_for, id3_bytes, looks_like
from rig.heard import encode
from tests.sounds import FORMATS, Sounds, bodies_that_name

DEMUXERS = {
    "wav": "wav",
    "flac": "flac",
    "mp3": "es",
    "ogg": "ogg",
    "opus": "ogg",
    "aac": "aac",
    "ts": "ts",
    "mp4": "mp4",
}
KNOWN = set(DEMUXERS.values())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return Sounds(tmp_path_factory.mktemp("sounds"), 1.5)


def head_of(path: Path) -> bytes:
    return path.read_bytes()[:HEAD_BYTES]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_known_by_its_first_bytes(sounds: Sounds, kind: str) -> None:
    assert demuxer_for(head_of(sounds.file(kind))) == DEMUXERS[kind]


@pytest.mark.parametrize("skipped", [1, 100, 333, 1_500])
def test_the_half_frame_in_which_a_relay_joins_is_left_out(sounds: Sounds, skipped: int) -> None:
    whole = sounds.file("mp3").read_bytes()
    tag = id3_bytes(whole)
    head = whole[tag + skipped :][:HEAD_BYTES]
    begin = begin_of(head)
    assert 0 < begin < HEAD_BYTES // 2
    assert begin_of(head[begin:]) == 0
    assert tag + skipped + begin in packets_of(sounds.file("mp3"))


def packets_of(path: Path) -> set[int]:
    """Where the frames begin, as ffprobe finds them."""
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=pos", "-of", "csv=p=0", str(path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(line.strip(",")) for line in found.split()}


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "ogg", "aac", "ts", "mp4"])
def test_what_begins_at_its_beginning_is_left_whole(sounds: Sounds, kind: str) -> None:
    assert begin_of(head_of(sounds.file(kind))) == 0


@pytest.mark.parametrize("kind", ["mp3", "aac", "ts"])
@pytest.mark.parametrize("skipped", [1, 100, 333, 1_500])
def test_a_relay_may_join_in_the_middle_of_a_frame(sounds: Sounds, kind: str, skipped: int) -> None:
    content = sounds.file(kind).read_bytes()
    assert demuxer_for(content[skipped : skipped + HEAD_BYTES]) == DEMUXERS[kind]


def test_a_relay_may_join_anywhere(sounds: Sounds) -> None:
    """One join in 250 begins with a byte that begins JSON as well, one in 6,000 with what may be ADTS."""
    content = sounds.file("mp3").read_bytes()
    whole = content[id3_bytes(content) :]
    joins = range(1, len(whole) - HEAD_BYTES)
    assert any(whole[at] == ord("{") for at in joins)
    taken_wrongly = {at: demuxer_for(whole[at : at + HEAD_BYTES // 2]) for at in joins}
    assert {at: name for at, name in taken_wrongly.items() if name != "es"} == {}


@pytest.mark.parametrize(
    "half_a_frame", [b"{\x12\xc0\xaf", b'{"\x80', b"{ }\x01", b"\x1f\x8b\x01", b"\xff\xf1\x50\x80\x02\x1f\xfc"]
)
def test_half_a_frame_is_not_taken_for_what_begins_like_it(sounds: Sounds, half_a_frame: bytes) -> None:
    content = sounds.file("mp3").read_bytes()
    frames = content[min(packets_of(sounds.file("mp3"))) :]
    head = (half_a_frame + frames)[: HEAD_BYTES // 2]
    assert (demuxer_for(head), begin_of(head)) == ("es", len(half_a_frame))


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_short_head_suffices_where_it_begins_with_a_frame(sounds: Sounds, kind: str) -> None:
    content = sounds.file(kind).read_bytes()
    start = id3_bytes(content)
    assert demuxer_for(content[start : start + 512]) == DEMUXERS[kind]


@pytest.mark.parametrize(
    "options",
    [
        ("-b:a", "320k", "-ar", "44100"),
        ("-b:a", "8k", "-ar", "8000"),
        ("-b:a", "48k", "-ar", "22050"),
        ("-q:a", "5"),
        ("-b:a", "64k", "-write_xing", "0", "-id3v2_version", "0"),
    ],
)
def test_mp3_of_any_rate(sounds: Sounds, tmp_path: Path, options: tuple[str, ...]) -> None:
    assert demuxer_for(head_of(encode(sounds.file("wav"), tmp_path / "other.mp3", *options))) == "es"


def tagged(size: int, content: bytes) -> bytes:
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size) + content


def test_a_tag_is_looked_behind(sounds: Sounds) -> None:
    assert demuxer_for(tagged(500, head_of(sounds.file("mp3")))) == "es"
    assert demuxer_for(tagged(500, head_of(sounds.file("aac")))) == "aac"
    assert demuxer_for(tagged(500, b"<html>" + bytes(4_000))) is None
    assert demuxer_for(tagged(100_000, b"")[:HEAD_BYTES]) == "es"
    assert id3_bytes(tagged(100_000, b"")) == 100_010


@pytest.mark.parametrize("name", sorted(bodies_that_name("")))
def test_what_names_an_address_is_refused_and_named(name: str) -> None:
    body = bodies_that_name("http://127.0.0.1:9")[name]
    if name == "QuickTime reference as MP4":
        assert demuxer_for(body) == "mp4"  # its outside is MP4: libVLC opens no connection for it, see test_player
    else:
        assert demuxer_for(body) is None
        assert looks_like(body) != looks_like(b"\x01\x02")
    assert demuxer_for(b"\xef\xbb\xbf\r\n " + body) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "empty"),
        (b"\n <HTML><head>", "an HTML page"),
        (b"#EXTM3U\n", "an HLS or M3U playlist"),
        (b'{"error": 404}', "a JSON document"),
        (b'\r\n{\n  "t\xc3\xaan": 1}', "a JSON document"),
        (b"{}", "a JSON document"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
        (b"hello", "not any sound format this node knows"),
    ],
)
def test_what_is_refused_is_named(head: bytes, name: str) -> None:
    assert (demuxer_for(head), looks_like(head)) == (None, name)


@given(st.binary(max_size=600))
def test_any_bytes_are_answered(head: bytes) -> None:
    assert demuxer_for(head) in KNOWN | {None}


@given(st.sampled_from([b"", b"RIFF", b"ID3\x04\0\0\0\0\0\x05", b"\xff\xfb\x90", b"\xff\xf1", b"G"]), st.binary())
def test_bytes_that_begin_well_are_answered(begin: bytes, rest: bytes) -> None:
    assert demuxer_for(begin + rest) in KNOWN | {None}


def test_noise_is_not_taken_for_sound() -> None:
    noise = random.Random(7)
    taken = [demuxer_for(noise.randbytes(HEAD_BYTES)) for _ in range(100)]
    assert taken == [None] * 100
