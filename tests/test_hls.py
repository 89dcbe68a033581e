"""What a playlist says: which variant, which segments, what is refused; and that no segment comes twice or is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fetching import hls
from agent.fetching.attempt import SourceError
from agent.fetching.hls import MasterPlaylist, MediaPlaylist, Place, Segment, parse
from agent.messages.reasons import Reason


def media(*lines: str, target_s: int = 4) -> bytes:
    return "\n".join(["#EXTM3U", f"#EXT-X-TARGETDURATION:{target_s}", *lines, ""]).encode()


def window(first: int, count: int, *, target_s: int = 4, ended: bool = False) -> MediaPlaylist:
    segments = tuple(Segment(number, f"{number}.ts", float(target_s)) for number in range(first, first + count))
    return MediaPlaylist(target_s, segments, ended)


def test_a_live_window_is_read() -> None:
    told = media(
        "#EXT-X-VERSION:3",
        "#EXT-X-MEDIA-SEQUENCE:7",
        "#EXT-X-PROGRAM-DATE-TIME:the day before yesterday",
        "#EXT-X-CUE-OUT:rubbish=",
        "#EXTINF:4.000,title",
        "a.ts",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-GAP",
        "#EXTINF:3.5",
        "b.ts?x=1",
        "#EXTINF:4.0,",
    )
    assert parse(told) == MediaPlaylist(
        4, (Segment(7, "a.ts", 4.0), Segment(8, "b.ts?x=1", 3.5, gap=True)), ended=False
    )


def test_an_ended_playlist_and_a_mark_of_byte_order_are_read() -> None:
    told = b"\xef\xbb\xbf" + media("#EXTINF:4,", "a.ts", "#EXT-X-ENDLIST").replace(b"\n", b"\r\n")
    assert parse(told) == MediaPlaylist(4, (Segment(0, "a.ts", 4.0),), ended=True)


AUDIO = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="vi",'


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        (("#EXT-X-STREAM-INF:BANDWIDTH=9", "hi", "#EXT-X-STREAM-INF:BANDWIDTH=5", "lo"), "lo"),
        (
            (
                '#EXT-X-STREAM-INF:BANDWIDTH=5,CODECS="avc1.4d401e,mp4a.40.2"',
                "picture",
                '#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="mp4a.40.2"',
                "sound",
                '#EXT-X-STREAM-INF:BANDWIDTH=8,CODECS="mp4a.40.5"',
                "less-sound",
            ),
            "less-sound",
        ),
        (('#EXT-X-STREAM-INF:BANDWIDTH=5,CODECS="avc1.4d401e"', "mute", "#EXT-X-STREAM-INF:BANDWIDTH=9", "any"), "any"),
        (
            (
                AUDIO + 'URI="other"',
                AUDIO + 'DEFAULT=YES,URI="default"',
                '#EXT-X-STREAM-INF:BANDWIDTH=5,AUDIO="a",CODECS="avc1.4d401e,mp4a.40.2"',
                "picture",
            ),
            "default",
        ),
        ((AUDIO + "DEFAULT=YES", '#EXT-X-STREAM-INF:BANDWIDTH=5,AUDIO="a"', "within"), "within"),
        (("#EXT-X-STREAM-INF:CODECS=mp4a", "no-bandwidth"), "no-bandwidth"),
    ],
    ids=["least", "sound alone", "not mute", "rendition", "rendition within", "no bandwidth"],
)
def test_the_sound_alone_is_chosen_or_the_least(lines: tuple[str, ...], chosen: str) -> None:
    assert parse("\n".join(("#EXTM3U", *lines)).encode()) == MasterPlaylist(chosen)


SEGMENT = ("#EXTINF:4,", "a.ts")


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b"", "begin with #EXTM3U"),
        (b"#EXTM3U", "TARGETDURATION"),
        (b"#EXTM3U\n#EXTINF:-1,radio\nhttp://x/live.mp3", "TARGETDURATION"),
        (media(*SEGMENT, target_s=61), "target duration of 61 s"),
        (media(*SEGMENT, target_s=0), "target duration of 0 s"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:x", "cannot be read"),
        (b"#EXTM3U\n\xff\xfe", "cannot be read"),
        (media("#EXTINF:61,", "a.ts"), "a segment of 61 s"),
        (media("#EXTINF:-1,", "a.ts"), "a segment of -1 s"),
        (media("#EXTINF:nan,", "a.ts"), "a segment of nan s"),
        (media("#EXTINF:1e999,", "a.ts"), "a segment of inf s"),
        (media("#EXTINF:abc,", "a.ts"), "cannot be read"),
        (media("#EXT-X-BYTERANGE:5@0", *SEGMENT), "byte ranges"),
        (media("#EXT-X-BYTERANGE:5@0", "a.ts"), "cannot be read"),
        (media('#EXT-X-KEY:METHOD=AES-128,URI="k"', *SEGMENT), "encrypted (AES-128)"),
        (media('#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"', *SEGMENT), "encrypted (SAMPLE-AES)"),
        (media("#EXT-X-KEY:rubbish", *SEGMENT), "cannot be read"),
        (media('#EXT-X-MAP:URI="init.mp4"', *SEGMENT), "fragmented MP4"),
        (media("#EXT-X-I-FRAMES-ONLY", *SEGMENT), "pictures alone"),
        (media("#EXT-X-MEDIA-SEQUENCE:-1", *SEGMENT), "no media sequence number: -1"),
        (media("#EXT-X-MEDIA-SEQUENCE:9223372036854775807", *SEGMENT), "no media sequence"),
        (media("#EXT-X-MEDIA-SEQUENCE:" + "9" * 4_000, *SEGMENT), "no media sequence"),
        (media("#EXT-X-MEDIA-SEQUENCE:" + "9" * 4_500, *SEGMENT), "a line has more than"),
        (media(*SEGMENT * (hls.MAX_ENTRIES + 1)), f"more than {hls.MAX_ENTRIES} entries"),
        (media("#" * hls.MAX_PLAYLIST_BYTES), f"more than {hls.MAX_PLAYLIST_BYTES} bytes"),
        (media(*["#EXT-X-KEY:METHOD=NONE"] * (hls.MAX_ATTRIBUTE_LINES + 1)), "variants, renditions and keys"),
        (media("#EXT-X-STREAM-INF:BANDWIDTH=1", "a", *SEGMENT), "both variants and segments"),
        (b'#EXTM3U\n#EXT-X-STREAM-INF:CODECS="avc1"\na', "no variant has sound"),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "no variant has sound"),
        (b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=many\na", "cannot be read"),
    ],
)
def test_what_cannot_be_played_is_refused_with_its_reason(told: bytes, why: str) -> None:
    with pytest.raises(SourceError) as refused:
        parse(told)
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT
    assert why in refused.value.detail
    assert len(refused.value.detail) < 250


TAGS = sorted(hls._TAGS)
LINES = st.one_of(
    st.builds(str.__add__, st.sampled_from(TAGS), st.text(max_size=20)),
    st.builds("{}:{}".format, st.sampled_from(TAGS), st.text(alphabet="0123456789.,=\"'AUDIOMETHODNURI-", max_size=30)),
    st.text(max_size=30),
)


@given(st.lists(LINES, max_size=12))
def test_no_playlist_is_a_bug(lines: list[str]) -> None:
    try:
        found = parse("\n".join(("#EXTM3U", *lines)).encode())
    except SourceError as refused:
        assert refused.reason is Reason.UNSUPPORTED_FORMAT  # noqa: PT017  both ends are right
    else:
        assert isinstance(found, MasterPlaylist) or len(found.segments) <= len(lines)


# Which segments come next ---------------------------------------------------------------------------------------------


def numbers(place: Place, playlist: MediaPlaylist) -> list[int]:
    found = [segment.sequence for segment in place.coming(playlist)]
    for segment in place.coming(playlist):
        place.passed(segment)
    return found


@pytest.mark.parametrize(
    ("playlist", "first"),
    [
        (window(100, 10), 107),
        (window(100, 3), 100),
        (window(100, 2), 100),
        (window(100, 1), 100),
        (window(100, 10, ended=True), 100),
        (MediaPlaylist(10, tuple(Segment(n, "x", 2.0) for n in range(50)), ended=False), 35),
    ],
    ids=["three from the end", "just three", "less", "one", "ended", "by time, not by count"],
)
def test_a_live_stream_is_joined_three_target_durations_before_its_end(playlist: MediaPlaylist, first: int) -> None:
    assert numbers(Place(), playlist)[0] == first


def test_an_empty_playlist_is_waited_out() -> None:
    place = Place()
    assert numbers(place, window(0, 0)) == []
    assert numbers(place, window(5, 2)) == [5, 6]


def test_what_is_known_does_not_come_again_and_a_window_that_moved_on_is_followed() -> None:
    place = Place()
    assert numbers(place, window(10, 3)) == [10, 11, 12]
    assert numbers(place, window(10, 3)) == []
    assert numbers(place, window(11, 3)) == [13]
    assert numbers(place, window(20, 3)) == [20, 21, 22]


def test_an_older_copy_is_waited_out_and_a_server_that_counts_anew_is_joined() -> None:
    place = Place()
    assert numbers(place, window(100, 3)) == [100, 101, 102]
    assert numbers(place, window(98, 3)) == []
    assert numbers(place, window(101, 3)) == [103]
    assert numbers(place, window(0, 3)) == [0, 1, 2]
    assert numbers(place, window(1, 3)) == [3]


@given(st.integers(1, 12), st.lists(st.integers(0, 6), max_size=30))
def test_as_long_as_windows_overlap_nothing_is_lost_and_nothing_comes_twice(count: int, steps: list[int]) -> None:
    place, first, heard = Place(), 0, list[int]()
    lost = set[int]()
    for step in (0, *steps):
        if heard and first + step > heard[-1] + 1:
            lost |= set(range(heard[-1] + 1, first + step))
        first += step
        heard += numbers(place, window(first, count))
    assert heard == sorted(set(heard))
    assert set(range(heard[0], heard[-1] + 1)) - set(heard) == lost
