import fcntl
import gc
import logging
import os
import random
import socket
import termios
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import vlc

from agent.card.lane import Lane
from agent.decoders import tones
from agent.decoders.decoding import Decoding
from agent.decoders.demuxers import HEAD_BYTES
from agent.messages.effects import MediaBuiltin, MediaFile, MediaPipe
from agent.messages.events import DecodingFailed, PlayerReady, SamplesDecoded
from agent.messages.reasons import Reason
from agent.messages.sources import BuiltinName
from agent.player import Player
from rig.heard import encode, heard
from rig.sound import RATE_HZ, Samples, wait_until
from tests.inbox import Inbox
from tests.sounds import FORMATS, Sounds, bodies_that_name

SECONDS = 3.0
"""More than libVLC wants to hold before it begins on a pipe that stays open."""


class Ends:
    """Lanes that are kept, and a thread's worth of taking from them."""

    def __init__(self) -> None:
        self.lanes: dict[int, Lane] = {}
        self.cleared: list[int] = []

    def open(self, token: int) -> Lane:
        lane = self.lanes[token] = Lane(token=token, cleared=self.cleared.append)
        return lane

    def all_of(self, token: int) -> Samples:
        """Take until the lane is exhausted."""
        lane, taken = self.lanes[token], bytearray()

        def emptied() -> bool:
            taken.extend(lane.take(48_000))
            return lane.exhausted()

        wait_until(emptied, what="the end of the lane", timeout_s=60)
        return np.frombuffer(bytes(taken), dtype="<i2")


class FellBehind(logging.Handler):
    """Hears the player say that libVLC dropped sound, because the machine stood still for seconds.

    Such a try says nothing about decoding and is made again.
    """

    TRIES = 8

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said = False
        logging.getLogger("agent.decoders.decoding").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._said = self._said or "fell behind" in record.getMessage()

    def again(self, attempt: Callable[[], Samples]) -> Samples:
        for _ in range(self.TRIES):
            self._said = False
            samples = attempt()
            if not self._said:
                return samples
        raise AssertionError(f"libVLC fell behind in {self.TRIES} tries of {self.TRIES}: no machine to test on")


class Deck:
    """A player with its inbox and lanes."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.ends = Ends()
        self.player = Player(open_lane=self.ends.open, post=self.inbox.post)
        self.behind = FellBehind()
        self._token = 0

    def decode(self, media: MediaFile | MediaPipe | MediaBuiltin, *, chime: bool = False, from_s: float = 0.0) -> int:
        self._token += 1
        self.player.decode(self._token, media, chime, from_s)
        return self._token

    def refusal(self, media: MediaFile | MediaPipe, *, from_s: float = 0.0) -> DecodingFailed:
        token = self.decode(media, from_s=from_s)
        failed = self.inbox.expect(DecodingFailed)
        assert failed.token == token
        self.player.end(token)
        return failed

    def _samples(
        self, media: MediaFile | MediaPipe | MediaBuiltin, *, chime: bool = False, from_s: float = 0.0
    ) -> Samples:
        token = self.decode(media, chime=chime, from_s=from_s)
        assert self.inbox.expect(SamplesDecoded).token == token
        samples = self.ends.all_of(token)
        self.player.end(token)
        wait_until(lambda: self.ends.lanes[token].gone, what="the end of the attempt", timeout_s=60)
        return samples

    def of_builtin(self, name: BuiltinName, *, chime: bool = False, from_s: float = 0.0) -> Samples:
        return self._samples(MediaBuiltin(name=name), chime=chime, from_s=from_s)

    def of_file(self, path: Path, *, chime: bool = False, from_s: float = 0.0) -> Samples:
        return self.behind.again(lambda: self._samples(MediaFile(path=str(path)), chime=chime, from_s=from_s))

    def of_pipe(self, content: bytes, *, chime: bool = False, from_s: float = 0.0) -> Samples:
        def once() -> Samples:
            with pipe(content) as media:
                return self._samples(media, chime=chime, from_s=from_s)

        return self.behind.again(once)


@pytest.fixture(scope="module")
def deck() -> Iterator[Deck]:
    deck = Deck()
    deck.inbox.expect(PlayerReady, timeout_s=110)
    yield deck
    deck.player.close()
    assert not list(deck.inbox.waiting())


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return Sounds(tmp_path_factory.mktemp("sounds"), SECONDS)


@contextmanager
def pipe(content: bytes, *, held_open: bool = False) -> Iterator[MediaPipe]:
    """A relay as fetch hands it over: a pipe, fed by a thread, whose writing end closes after the content."""
    reading, writing = os.pipe()
    done = threading.Event()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end:
            try:
                end.write(content)
                if held_open:
                    done.wait()
            except BrokenPipeError:
                pass  # the player has closed its end: that is its right

    thread = threading.Thread(target=feed)
    thread.start()
    yield MediaPipe(fd=reading, head=content[:HEAD_BYTES])
    done.set()
    thread.join(60)
    assert not thread.is_alive()


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_wav_is_decoded_bit_for_bit(deck: Deck, sounds: Sounds) -> None:
    assert np.array_equal(deck.of_file(sounds.file("wav")), sounds.sent)


def test_flac_is_decoded_bit_for_bit(deck: Deck, sounds: Sounds) -> None:
    assert np.array_equal(deck.of_file(sounds.file("flac")), sounds.sent)


@pytest.mark.parametrize("samples", [5_184, 14_400, 120_000, 119_999])
def test_the_last_block_of_a_flac_is_decoded_whatever_its_size(deck: Deck, tmp_path: Path, samples: int) -> None:
    sounds = Sounds(tmp_path, samples / RATE_HZ)
    assert np.array_equal(deck.of_file(sounds.file("flac")), sounds.sent)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_head_and_tail_are_decoded(deck: Deck, sounds: Sounds, kind: str) -> None:
    found = heard(sounds.sent, deck.of_file(sounds.file(kind)))
    assert found.head_lost_ms <= 10
    assert found.tail_lost_ms <= 10
    assert found.within_lost_ms == 0
    assert abs(found.gain_db) < 0.5


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_every_format_is_decoded_from_a_file(deck: Deck, sounds: Sounds, kind: str) -> None:
    found = heard(sounds.sent, deck.of_file(sounds.file(kind)))
    assert found.head_lost_ms < 120  # what libVLC drops of some: see the docs
    assert found.tail_lost_ms < 120


@pytest.mark.parametrize("kind", sorted(FORMATS.keys() - {"mp4"}))
def test_every_format_but_mp4_is_decoded_from_a_pipe(deck: Deck, sounds: Sounds, kind: str) -> None:
    found = heard(sounds.sent, deck.of_pipe(sounds.file(kind).read_bytes()))
    assert found.head_lost_ms < 120
    assert found.tail_lost_ms < 120


def test_mp4_from_a_pipe_is_refused_with_what_to_do_instead(deck: Deck, sounds: Sounds) -> None:
    with pipe(sounds.file("mp4").read_bytes()) as media:
        failed = deck.refusal(media)
        assert not is_open(media.fd)
    assert failed.reason is Reason.UNSUPPORTED_FORMAT
    assert "MP4" in failed.detail


def test_a_chained_ogg_goes_on_after_its_first_part(deck: Deck, sounds: Sounds) -> None:
    part = sounds.file("ogg").read_bytes()
    samples = deck.of_pipe(part + part)
    # libVLC drops one second where a part begins, whatever it is told; the end of the first is not the end.
    assert len(samples) > 2 * len(sounds.sent) - 1.3 * RATE_HZ


def test_a_name_in_vietnamese_is_a_name(deck: Deck, sounds: Sounds, tmp_path: Path) -> None:
    path = tmp_path / "Bản tin sáng, thôn 2 #1 ?.wav"
    path.write_bytes(sounds.file("wav").read_bytes())
    assert np.array_equal(deck.of_file(path), sounds.sent)


def test_stereo_at_another_rate_becomes_mono(deck: Deck, sounds: Sounds, tmp_path: Path) -> None:
    path = encode(sounds.file("wav"), tmp_path / "stereo.wav", "-af", "pan=stereo|c0=c0|c1=c0", "-ar", "44100")
    found = heard(sounds.sent, deck.of_file(path))
    assert max(found.head_lost_ms, found.tail_lost_ms) <= 10
    assert abs(found.gain_db) < 0.5


def test_a_file_that_breaks_off_gives_what_it_has(deck: Deck, sounds: Sounds, tmp_path: Path) -> None:
    content = sounds.file("mp3").read_bytes()
    path = tmp_path / "half.mp3"
    path.write_bytes(content[: len(content) // 2])
    samples = deck.of_file(path)
    assert 0.4 < len(samples) / len(sounds.sent) < 0.6


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp4", "ts"])
def test_garbage_behind_a_good_beginning_is_undecodable(deck: Deck, sounds: Sounds, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "garbage"
    begin = {"wav": 12, "flac": 4, "ogg": 4, "mp4": 12, "ts": 0}[kind]
    noise = random.Random(3).randbytes(188 * 20)
    if kind == "ts":
        noise = b"".join(b"G\x1f\xff" + noise[at : at + 185] for at in range(0, 185 * 20, 185))
    path.write_bytes(sounds.file(kind).read_bytes()[:begin] + noise)
    failed = deck.refusal(MediaFile(path=str(path)))
    assert failed.reason is Reason.UNDECODABLE
    assert deck.ends.cleared[-1] == failed.token


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3"])
def test_a_file_that_is_asked_for_what_lies_behind_its_end_says_how_long_it_is(
    deck: Deck, sounds: Sounds, kind: str
) -> None:
    """As long as it sounds, to the sample: whoever joins a repeated item late counts by it."""
    path = sounds.file(kind)
    failed = deck.refusal(MediaFile(path=str(path)), from_s=SECONDS + 5.0)
    assert failed.reason is Reason.UNDECODABLE
    assert failed.length_s == pytest.approx(len(deck.of_file(path)) / RATE_HZ, abs=0.001)


def test_one_that_does_not_say_it_to_the_sample_says_nothing(deck: Deck, sounds: Sounds, tmp_path: Path) -> None:
    plain = encode(sounds.file("wav"), tmp_path / "plain.mp3", "-b:a", "128k", "-write_xing", "0")
    assert deck.refusal(MediaFile(path=str(plain)), from_s=60.0).length_s is None
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(sounds.file("wav").read_bytes()[:12] + bytes(3_000))
    assert deck.refusal(MediaFile(path=str(garbage))).length_s is None


def test_noise_is_refused_before_libvlc_sees_it(deck: Deck, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(random.Random(3).randbytes(10_000))
    assert deck.refusal(MediaFile(path=str(path))).reason is Reason.UNSUPPORTED_FORMAT


def test_a_missing_file_is_named(deck: Deck, tmp_path: Path) -> None:
    failed = deck.refusal(MediaFile(path=str(tmp_path / "nothing")))
    assert (failed.reason, failed.detail) == (Reason.STORAGE, "cannot open the file: No such file or directory")


@pytest.mark.parametrize("way", ["file", "pipe"])
@pytest.mark.parametrize("name", sorted(bodies_that_name("")))
def test_no_content_makes_libvlc_connect(deck: Deck, tmp_path: Path, name: str, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        body = bodies_that_name(f"http://127.0.0.1:{listener.getsockname()[1]}")[name]
        if way == "pipe":
            with pipe(body) as media:
                failed = deck.refusal(media)
        else:
            path = tmp_path / "body"
            path.write_bytes(body)
            failed = deck.refusal(MediaFile(path=str(path)))
        assert failed.reason in {Reason.UNSUPPORTED_FORMAT, Reason.UNDECODABLE}
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_what_is_not_yet_due_stays_in_the_pipe(deck: Deck, tmp_path: Path) -> None:
    """libVLC by itself would take all there is, up to 16 MiB."""
    content = Sounds(tmp_path, 10.0).file("wav").read_bytes()
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    assert os.write(writing, content) == len(content)
    token = deck.decode(MediaPipe(fd=reading, head=content[:HEAD_BYTES]))
    deck.inbox.expect(SamplesDecoded)
    wait_until(lambda: deck.ends.lanes[token].available() > RATE_HZ, what="a second is decoded", timeout_s=60)
    left = array("i", [0])
    fcntl.ioctl(reading, termios.FIONREAD, left)
    os.close(writing)
    deck.player.end(token)
    wait_until(lambda: not is_open(reading), what="the pipe closed", timeout_s=60)
    assert left[0] > len(content) // 4


def test_of_what_has_ended_nothing_is_kept(deck: Deck, sounds: Sounds) -> None:
    for kind in ("wav", "mp3", "flac"):
        deck.of_file(sounds.file(kind))
    deck.of_pipe(sounds.file("mp3").read_bytes())
    wait_until(lambda: not decoders(), what="no decoder is left", timeout_s=60)


def decoders() -> int:
    """Of libVLC, and ours."""
    return sum(type(each) in {Decoding, vlc.Media, vlc.MediaPlayer} for each in gc.get_objects())


def test_a_pipe_that_stays_open_is_let_go_at_once(deck: Deck, sounds: Sounds) -> None:
    with pipe(sounds.file("mp3").read_bytes(), held_open=True) as media:
        token = deck.decode(media)
        deck.inbox.expect(SamplesDecoded)
        deck.player.end(token)
        wait_until(lambda: not is_open(media.fd), what="the pipe closed", timeout_s=60)
    assert deck.ends.lanes[token].gone


def test_what_has_ended_and_what_is_unknown_is_ended_in_silence(deck: Deck) -> None:
    deck.player.end(10**6)
    deck.player.end(-1)
    assert len(deck.of_builtin(BuiltinName.CHIME)) == len(tones.chime()) // 2


@pytest.mark.parametrize(
    ("name", "cycle"), [(BuiltinName.SIREN, tones.siren_cycle), (BuiltinName.TONE, tones.tone_cycle)]
)
def test_siren_and_tone_go_round_until_ended(deck: Deck, name: BuiltinName, cycle: tones.Synthesis) -> None:
    token = deck.decode(MediaBuiltin(name=name))
    deck.inbox.expect(SamplesDecoded)
    lane, taken = deck.ends.lanes[token], bytearray()
    wanted = cycle() * 2 + cycle()[:9_600]

    def enough() -> bool:
        taken.extend(lane.take(48_000))
        return len(taken) >= len(wanted)

    wait_until(enough, what="two rounds", timeout_s=60)
    assert bytes(taken[: len(wanted)]) == wanted
    assert (lane.dropped, lane.ended) == (0, False)
    deck.player.end(token)
    wait_until(lambda: lane.gone, what="the end")


def test_the_chime_comes_before_the_first_sample(deck: Deck, sounds: Sounds) -> None:
    chime = np.frombuffer(tones.chime(), "<i2")
    for samples in (
        deck.of_file(sounds.file("wav"), chime=True),
        deck.of_pipe(sounds.file("wav").read_bytes(), chime=True),
    ):
        assert np.array_equal(samples, np.concatenate([chime, sounds.sent]))
    assert np.array_equal(deck.of_builtin(BuiltinName.CHIME, chime=True), np.tile(chime, 2))


def test_a_refused_medium_has_no_chime_left_behind(deck: Deck, tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(b"fLaC" + bytes(5_000))
    token = deck.decode(MediaFile(path=str(path)), chime=True)
    deck.inbox.expect(DecodingFailed)
    assert deck.ends.lanes[token].available() == 0
    deck.player.end(token)


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("from_s", [0.5, 1.234_5])
def test_what_loses_nothing_begins_where_it_is_told(deck: Deck, sounds: Sounds, kind: str, from_s: float) -> None:
    samples = deck.of_file(sounds.file(kind), from_s=from_s)
    assert np.array_equal(samples, sounds.sent[round(from_s * RATE_HZ) :])


def test_a_wav_file_begins_where_it_is_told_every_time(deck: Deck, sounds: Sounds) -> None:
    """libVLC's own `:start-time` gave 50 ms too much once in some thirty starts."""
    instants = random.Random(3)
    starts_s = [round(instants.uniform(SECONDS - 1.0, SECONDS - 0.3), 6) for _ in range(30)]
    early = [
        from_s
        for from_s in starts_s
        if not np.array_equal(deck.of_file(sounds.file("wav"), from_s=from_s), sounds.sent[round(from_s * RATE_HZ) :])
    ]
    assert early == []


def test_a_flac_file_behind_whose_end_it_is_told_to_begin_has_no_sound(deck: Deck, sounds: Sounds) -> None:
    token = deck.decode(MediaFile(path=str(sounds.file("flac"))), from_s=SECONDS + 5.0)
    assert deck.inbox.expect(DecodingFailed).token == token
    deck.player.end(token)


def test_mp3_begins_a_little_before(deck: Deck, sounds: Sounds) -> None:
    samples = deck.of_file(sounds.file("mp3"), from_s=1.5)
    early_s = len(samples) / RATE_HZ - (SECONDS - 1.5)
    assert -0.05 < early_s < 0.2


@pytest.mark.parametrize("kind", ["mp4", "ogg", "aac"])
def test_a_format_in_which_libvlc_gets_lost_begins_at_its_beginning(deck: Deck, sounds: Sounds, kind: str) -> None:
    found = heard(sounds.sent, deck.of_file(sounds.file(kind), from_s=1.5))
    assert found.head_lost_ms < 120


@pytest.mark.parametrize("from_s", [0.25, 7.0, 3_600.1])
def test_a_cycle_begins_anywhere(deck: Deck, from_s: float) -> None:
    token = deck.decode(MediaBuiltin(name=BuiltinName.SIREN), from_s=from_s)
    deck.inbox.expect(SamplesDecoded)
    cycle = tones.siren_cycle()
    at = round(from_s * RATE_HZ) * 2 % len(cycle)
    assert deck.ends.lanes[token].take(4_800) == (cycle + cycle)[at : at + 9_600]
    deck.player.end(token)


def test_what_is_paused_loses_nothing_and_its_lane_does_not_overflow(
    deck: Deck, sounds: Sounds, tmp_path: Path
) -> None:
    long = Sounds(tmp_path, 12.0)

    def once() -> Samples:
        token = deck.decode(MediaFile(path=str(long.file("wav"))), chime=True)
        deck.player.pause(token)  # before its first samples: taken once they are there
        deck.inbox.expect(SamplesDecoded)
        lane = deck.ends.lanes[token]
        seen = [0]

        def still() -> bool:
            seen.append(lane.available())
            return len(seen) > 200 and seen[-200] == seen[-1]  # 1 s: it would have gone on

        wait_until(still, what="no more samples", timeout_s=60)
        assert not lane.ended
        deck.player.resume(token)
        samples = deck.ends.all_of(token)
        deck.player.end(token)
        assert lane.dropped == 0
        return samples[len(tones.chime()) // 2 :]

    assert np.array_equal(deck.behind.again(once), long.sent)


def test_a_cycle_that_is_paused_is_fed_no_more(deck: Deck) -> None:
    token = deck.decode(MediaBuiltin(name=BuiltinName.TONE))
    deck.inbox.expect(SamplesDecoded)
    lane = deck.ends.lanes[token]
    deck.player.pause(token)
    deck.of_builtin(BuiltinName.CHIME)  # its turn has come: the pause is obeyed
    while lane.available():
        lane.take(48_000)
    deck.of_builtin(BuiltinName.CHIME)
    assert lane.available() == 0
    deck.player.resume(token)
    wait_until(lambda: lane.available() > 0, what="more of it")
    deck.player.pause(10**6)
    deck.player.resume(10**6)
    deck.player.end(token)


def test_two_attempts_do_not_disturb_each_other(deck: Deck, sounds: Sounds) -> None:
    def both() -> Samples:
        tokens = [deck.decode(MediaFile(path=str(sounds.file(kind)))) for kind in ("wav", "flac")]
        assert {deck.inbox.expect(SamplesDecoded).token for _ in tokens} == set(tokens)
        samples = [deck.ends.all_of(token) for token in reversed(tokens)]
        for token in tokens:
            deck.player.end(token)
        wait_until(lambda: deck.ends.lanes[tokens[-1]].gone, what="the end of both", timeout_s=60)
        return np.concatenate(samples)

    assert np.array_equal(deck.behind.again(both), np.concatenate([sounds.sent, sounds.sent]))


def test_close_is_idempotent_and_releases_what_is_open(deck: Deck, sounds: Sounds) -> None:
    other = Deck()
    with pipe(sounds.file("mp3").read_bytes(), held_open=True) as media:
        other.inbox.expect(PlayerReady, timeout_s=110)
        other.decode(media)
        other.inbox.expect(SamplesDecoded)
        other.player.close()
        wait_until(lambda: not is_open(media.fd), what="the pipe closed", timeout_s=60)
    other.player.close()
    other.player.decode(1, MediaBuiltin(name=BuiltinName.TONE))
    assert not list(other.inbox.waiting())
