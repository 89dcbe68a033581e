"""Heard, not assumed: player and sound card together, and a recorder at the sink they play to.

A machine that stands still for longer than the card lasts puts gaps into sound that is in order, and loses nothing:
heads, tails and every sample between are judged all the same, the gaps (digital silence) taken out. A decoder that fell
behind is another matter: that try says nothing and is made again, a few times at most.
"""

import logging
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from agent.card.sounding import ramp
from agent.decoders import tones
from agent.messages.effects import MediaBuiltin, MediaFile
from agent.messages.events import (
    CardOpened,
    PlayerReady,
    SamplesDecoded,
    SoundEnded,
    SoundFlowed,
    SoundHeld,
    SoundStarted,
    SoundStarved,
)
from agent.messages.sources import BuiltinName
from agent.player import Player
from agent.sound_card import SoundCard
from rig.calm import Machine
from rig.heard import heard, rms_dbfs, sounding
from rig.sound import RATE_HZ, Daemon, Recorder, Samples, boottime_s
from tests.inbox import Inbox
from tests.sounds import Sounds

TRIES = 6
FOR_EVER = 10**9
SECONDS = 2.0
T = TypeVar("T")


class BusyError(Exception):
    """The decoder fell behind: this try says nothing."""


class Pole(logging.Handler):
    """What sounds, who listens, and what the player complains of."""

    def __init__(self, *, sound: Daemon, ears: Recorder) -> None:
        super().__init__(logging.WARNING)
        self.ears = ears
        self.inbox = Inbox()
        self.card = SoundCard(device=sound.device(), post=self.inbox.post)
        self.player = Player(open_lane=self.card.lane, post=self.inbox.post)
        self.token = 0
        self._behind = False
        logging.getLogger("agent.decoders.decoding").addHandler(self)
        self.inbox.skip_to(PlayerReady, timeout_s=110)

    def emit(self, record: logging.LogRecord) -> None:
        self._behind = self._behind or "fell behind" in record.getMessage()

    def close(self) -> None:
        logging.getLogger("agent.decoders.decoding").removeHandler(self)
        self.player.close()
        self.card.close()
        super().close()

    def open_card(self) -> None:
        """The card as it is after boot: nothing has sounded since it was opened."""
        self.card.close_card()
        self.card.open()
        self.inbox.skip_to(CardOpened)

    def decode(self, media: MediaFile | MediaBuiltin) -> int:
        self.token += 1
        self.player.decode(self.token, media)
        self.inbox.skip_to(SamplesDecoded)
        return self.token

    def ended(self, token: int) -> SoundEnded:
        ended = self.inbox.skip_to(SoundEnded)
        assert ended.token == token
        self.player.end(token)
        self.ears.listen(0.4)
        if self._behind:
            self._behind = False
            raise BusyError
        return ended

    def play(self, media: MediaFile | MediaBuiltin, *, gain_percent: int = 100, max_samples: int = FOR_EVER) -> Samples:
        """What the village hears from this order until 0.4 s after its end."""
        token = self.decode(media)
        since = max(0, self.ears.sample_at(boottime_s()) - RATE_HZ // 20)
        self.card.sound(token, gain_percent, max_samples)
        self.ended(token)
        return self.ears.samples(since)


@pytest.fixture(scope="module")
def pole(sound: Daemon) -> Iterator[Pole]:
    os.environ.update(sound.environment)
    with sound.recorder() as ears:
        pole = Pole(sound=sound, ears=ears)
        yield pole
        pole.close()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return Sounds(tmp_path_factory.mktemp("sounds"), SECONDS)


def quietly(attempt: Callable[[], T]) -> T:
    """The first of some tries during which the decoder kept up."""
    for _ in range(TRIES - 1):
        try:
            return attempt()
        except BusyError:
            continue
    return attempt()


def loud(samples: Samples) -> Samples:
    """Every sample that is not digital silence, in order: what the card was given, whenever it ran dry."""
    return np.extract(samples != 0, samples)


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2")


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
def test_head_and_tail_are_heard_also_of_the_first_item_after_start(pole: Pole, sounds: Sounds, kind: str) -> None:
    def first() -> Samples:
        pole.open_card()
        return again()

    def again() -> Samples:
        return pole.play(MediaFile(path=str(sounds.file(kind))))

    for recording in (quietly(first), quietly(again)):
        found = heard(sounds.sent, recording)
        assert found.head_lost_ms <= 10
        assert found.tail_lost_ms <= 10
        assert found.within_lost_ms <= (10 if found.gap_ms else 0)


def test_at_full_gain_the_sink_gets_every_sample_as_it_was(pole: Pole, sounds: Sounds) -> None:
    pole.open_card()
    recording = quietly(lambda: pole.play(MediaFile(path=str(sounds.file("wav")))))
    assert np.array_equal(loud(recording), loud(sounds.sent))


def test_half_gain_is_heard_6_db_down(pole: Pole, sounds: Sounds) -> None:
    pole.open_card()
    recording = quietly(lambda: pole.play(MediaFile(path=str(sounds.file("wav"))), gain_percent=50))
    assert heard(sounds.sent, recording).gain_db == pytest.approx(-6.02, abs=0.05)


def test_an_item_is_cut_where_it_was_ordered(pole: Pole, sounds: Sounds) -> None:
    pole.open_card()
    recording = quietly(lambda: pole.play(MediaFile(path=str(sounds.file("wav"))), max_samples=33_333))
    as_it_was, sounded = loud(sounds.sent[: 33_333 - 480]), loud(recording)
    assert np.array_equal(sounded[: len(as_it_was)], as_it_was)
    assert len(sounded) == pytest.approx(len(loud(sounds.sent[:33_333])), abs=20)  # the fade's last samples are zero


def test_silence_is_heard_within_100_ms(pole: Pole, machine: Machine) -> None:
    def stopped() -> float:
        token = pole.decode(MediaBuiltin(name=BuiltinName.TONE))
        since = len(pole.ears.samples())
        pole.card.sound(token, 100, FOR_EVER)
        pole.ears.wait_for_sound(since=since)
        pole.ears.listen(0.5)
        ordered_s = boottime_s()
        pole.card.silence(token)
        pole.ended(token)
        _, after_last = sounding(pole.ears.samples(since))[-1]
        return machine.ours_s(ordered_s, pole.ears.time_of(since + after_last))

    pole.open_card()
    assert quietly(stopped) < 0.1


FADE = RATE_HZ // 100
SEAM_SAMPLES = RATE_HZ // 50
"""20 ms: what the sound server had taken from the card's buffer when it was emptied, and does not tell of. A card of
one's own tells (tests/test_playout.py): there it is not one sample."""


def test_what_is_held_goes_on_where_it_was(pole: Pole, sounds: Sounds) -> None:
    """Before the fade out and after the fade in every sample is the source's, in its order, and none is missing."""
    sent = sounds.sent

    def held_once() -> tuple[Samples, Samples, int, int]:
        token = pole.decode(MediaFile(path=str(sounds.file("wav"))))
        since = max(0, pole.ears.sample_at(boottime_s()) - RATE_HZ // 20)
        pole.card.sound(token, 100, FOR_EVER)
        pole.ears.wait_for_sound(since=since)
        pole.ears.listen(0.4)
        pole.card.hold(token)
        held = pole.inbox.skip_to(SoundHeld).loudness.samples
        pole.ears.listen(0.6)
        between = len(pole.ears.samples())
        before = loud(pole.ears.samples(since))
        pole.card.sound(token, 100, FOR_EVER)
        rest = pole.ended(token).loudness.samples
        return before, loud(pole.ears.samples(between)), held, rest

    pole.open_card()
    before, after, held, rest = quietly(held_once)
    assert held + rest == len(sent)
    whole = loud(sent[: held - FADE])
    assert np.array_equal(before[: len(whole)], whole), "up to the fade as it was"
    fade = np.frombuffer(ramp(sent[held - FADE : held].tobytes(), 1.0, 0.0), "<i2")
    assert np.array_equal(before[-len(loud(fade)) :], loud(fade)), "then the fade"
    assert 0 <= len(before) - len(whole) - len(loud(fade)) <= SEAM_SAMPLES
    tail = loud(sent[held + FADE :])
    assert np.array_equal(after[-len(tail) :], tail), "after the fade in as it was, to its end"
    assert len(after) - len(tail) <= FADE


@pytest.mark.parametrize("ahead_s", [0.3, 1.0])
def test_a_start_on_an_instant_is_heard_on_it(pole: Pole, ahead_s: float) -> None:
    def difference() -> float:
        token = pole.decode(MediaBuiltin(name=BuiltinName.TONE))
        since = len(pole.ears.samples())
        at_s = boottime_s() + ahead_s
        pole.card.sound(token, 100, RATE_HZ // 2, at_s)
        onset = pole.ears.wait_for_sound(since=since)
        pole.ended(token)
        return pole.ears.time_of(onset) - at_s

    pole.open_card()
    pole.ears.listen(0.5)
    assert abs(quietly(difference)) < 0.02, "the recorder's times are right to about 15 ms"


def test_the_start_is_heard_when_the_card_says(pole: Pole) -> None:
    def difference() -> float:
        token = pole.decode(MediaBuiltin(name=BuiltinName.TONE))
        since = len(pole.ears.samples())
        pole.card.sound(token, 100, RATE_HZ)
        said_s = pole.inbox.skip_to(SoundStarted).at_mono_s
        onset = pole.ears.wait_for_sound(since=since)
        pole.ended(token)
        return pole.ears.time_of(onset) - said_s

    pole.open_card()
    assert abs(quietly(difference)) < 0.05


def test_chime_and_siren_are_heard(pole: Pole) -> None:
    pole.open_card()
    chime = quietly(lambda: pole.play(MediaBuiltin(name=BuiltinName.CHIME)))
    assert np.array_equal(loud(chime), loud(samples_of(tones.chime())))
    siren = loud(quietly(lambda: pole.play(MediaBuiltin(name=BuiltinName.SIREN), max_samples=3 * RATE_HZ)))
    cycle = samples_of(tones.siren_cycle())
    assert len(siren) == pytest.approx(len(loud(np.resize(cycle, 3 * RATE_HZ))), abs=60)
    assert rms_dbfs(siren) > -15


def test_starving_is_told_and_what_follows_is_heard(pole: Pole) -> None:
    pole.open_card()
    part = tones.tone_cycle()[: RATE_HZ // 2 * 2]
    pole.token += 1
    lane = pole.card.lane(pole.token)
    lane.push(part)
    since = len(pole.ears.samples())
    pole.card.sound(pole.token, 100, FOR_EVER)
    starved = pole.inbox.skip_to(SoundStarved)
    assert starved.token == pole.token
    assert starved.at_mono_s < boottime_s() + 0.3
    pole.ears.listen(0.5)
    lane.push(part)
    lane.end()
    pole.inbox.skip_to(SoundFlowed)
    assert pole.inbox.skip_to(SoundEnded).loudness.samples == RATE_HZ
    pole.ears.listen(0.4)
    assert len(sounding(pole.ears.samples(since))) >= 2


def test_ten_items_end_to_end_are_all_whole(pole: Pole, sounds: Sounds) -> None:
    pole.open_card()
    short = sounds.sent[: RATE_HZ // 5]

    def once() -> Samples:
        pole.token += 1
        lane = pole.card.lane(pole.token)
        lane.push(short.tobytes())
        lane.end()
        since = max(0, pole.ears.sample_at(boottime_s()) - RATE_HZ // 20)
        pole.card.sound(pole.token, 100, FOR_EVER)
        pole.ended(pole.token)
        return pole.ears.samples(since)

    for _ in range(10):
        found = heard(short, quietly(once))
        assert max(found.head_lost_ms, found.tail_lost_ms) <= 1
