import errno
import math
import threading
from array import array
from collections.abc import Iterator
from itertools import pairwise

import pytest

from agent.card.alsa import Pcm
from agent.card.lane import LANE_MAX_SAMPLES, Lane
from agent.card.writer import PROGRAMME_AHEAD_SAMPLES
from agent.messages.events import CardFailed, CardOpened, End, SoundEnded, SoundFlowed, SoundStarted, SoundStarved
from agent.sound_card import SoundCard
from rig.simulated_pcm import SimulatedPcm
from rig.sound import wait_until
from tests.inbox import Inbox

FOR_EVER = 10**9


def tone(samples: int, peak: int = 20_000) -> bytes:
    """No sample of it is zero, so that it is found again in silence."""
    wave = (round(peak * math.sin((i + 0.5) * math.pi / 37)) for i in range(samples))
    return array("h", [value or 1 for value in wave]).tobytes()


def fill(lane: Lane, pcm: bytes, chunk_bytes: int = 2_306) -> None:
    for start in range(0, len(pcm), chunk_bytes):
        lane.push(pcm[start : start + chunk_bytes])


def without_silence(pcm: bytes) -> bytes:
    return array("h", [sample for sample in array("h", pcm) if sample]).tobytes()


class Bench:
    """A card on a simulator, and its inbox."""

    def __init__(self) -> None:
        self.pcm = SimulatedPcm()
        self.inbox = Inbox()
        self.card = SoundCard(
            device="simulated", post=self.inbox.post, pcm=self.pcm.open, turn_s=0.001, now_s=self.pcm.now_s
        )

    def opened(self) -> None:
        self.card.open()
        self.inbox.expect(CardOpened)

    def play(self, pcm: bytes, *, gain_percent: int = 100, max_samples: int = FOR_EVER, ended: bool = True) -> Lane:
        lane = self.card.lane(1)
        fill(lane, pcm)
        if ended:
            lane.end()
        self.card.sound(1, gain_percent, max_samples)
        self.inbox.expect(SoundStarted)
        return lane

    def play_and_hold(self, token: int = 1) -> bytes:
        """1 s that is held 200 ms after the start, until the test has said what it wants."""
        pcm = tone(48_000)
        lane = self.card.lane(token)
        fill(lane, pcm)
        self.pcm.hold_after(9_600)
        self.card.sound(token, 100, FOR_EVER)
        self.inbox.expect(SoundStarted)
        self.pcm.wait_held()
        self.lane = lane
        return pcm

    def heard(self) -> bytes:
        return without_silence(bytes(self.pcm.sounded))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.card.close()
    assert bench.pcm.opened == bench.pcm.closed


@pytest.mark.parametrize("chunk_bytes", [2, 7, 960, 2_306, 100_000])
def test_full_gain_leaves_every_sample_as_it_is(bench: Bench, chunk_bytes: int) -> None:
    bench.opened()
    pcm = tone(24_001)
    lane = bench.card.lane(1)
    fill(lane, pcm, chunk_bytes)
    lane.end()
    bench.card.sound(1, 100, FOR_EVER)
    bench.inbox.expect(SoundStarted)
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples, ended.loudness.underruns) == (End.COMPLETE, 24_001, 0)
    assert bench.heard() == pcm


def test_an_item_ends_when_its_last_sample_has_left_the_card(bench: Bench) -> None:
    bench.opened()
    pcm = tone(9_600)
    bench.play(pcm)
    bench.inbox.expect(SoundEnded)
    assert bench.heard() == pcm


def test_half_gain_is_6_db_down(bench: Bench) -> None:
    bench.opened()
    bench.play(tone(24_000), gain_percent=50)
    loudness = bench.inbox.expect(SoundEnded).loudness
    assert loudness.peak_dbfs == pytest.approx(20 * math.log10(10_000 / 32_768), abs=0.02)
    assert loudness.rms_dbfs == pytest.approx(20 * math.log10(10_000 / 32_768 / math.sqrt(2)), abs=0.02)


def test_digital_silence_has_no_level(bench: Bench) -> None:
    bench.opened()
    bench.play(bytes(9_600))
    loudness = bench.inbox.expect(SoundEnded).loudness
    assert (loudness.samples, loudness.rms_dbfs, loudness.peak_dbfs) == (4_800, None, None)


def test_gain_changes_without_a_step(bench: Bench) -> None:
    bench.opened()
    lane = bench.play(array("h", [20_000] * 9_600).tobytes(), ended=False)
    bench.card.set_gain(1, 25)
    bench.inbox.expect(SoundStarved)
    fill(lane, array("h", [20_000] * 9_600).tobytes())
    lane.end()
    bench.inbox.expect(SoundFlowed)
    bench.inbox.expect(SoundEnded)
    heard = array("h", bench.heard())
    assert (heard[0], heard[-1], len(heard)) == (20_000, 5_000, 19_200)
    assert max(abs(a - b) for a, b in pairwise(heard)) <= 15_000 / 480 + 1


@pytest.mark.parametrize("max_samples", [1, 479, 480, 481, 959, 960, 961, 10_000])
def test_a_cut_falls_on_its_sample_and_fades(bench: Bench, max_samples: int) -> None:
    bench.opened()
    bench.play(array("h", [20_000] * 24_000).tobytes(), max_samples=max_samples)
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples, ended.used) == (End.LIMIT, max_samples, max_samples)
    heard = array("h", bench.pcm.sounded)
    loud = [index for index, sample in enumerate(heard) if sample]
    assert len(loud) in {max_samples, max_samples - 1}  # the fade's last sample is zero
    assert max_samples == 1 or heard[loud[-1]] <= 20_000 / min(480, max_samples) + 1


def test_a_source_just_as_long_as_allowed_is_complete_and_not_faded(bench: Bench) -> None:
    bench.opened()
    pcm = tone(4_321)
    bench.play(pcm, max_samples=4_321)
    assert bench.inbox.expect(SoundEnded).end is End.COMPLETE
    assert bench.heard() == pcm


def test_an_empty_lane_is_reported_once_and_flows_again(bench: Bench) -> None:
    bench.opened()
    lane = bench.play(tone(5_000), ended=False)
    assert bench.inbox.expect(SoundStarved).token == 1
    fill(lane, tone(5_000))
    lane.end()
    assert bench.inbox.expect(SoundFlowed) == SoundFlowed(token=1)
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples) == (End.COMPLETE, 10_000)
    assert bench.heard() == tone(5_000) * 2


def test_while_it_plays_it_says_that_it_goes_on_and_no_longer_once_the_card_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.card.playout.ADVANCE_EVERY_S", 0.0)
    bench.opened()
    bench.play_and_hold()
    assert bench.inbox.advanced, "up to there it went on"
    assert {each.token for each in bench.inbox.advanced} == {1}
    bench.pcm.stuck = True
    bench.pcm.release()
    turns = bench.pcm.looks
    wait_until(lambda: bench.pcm.looks > turns + 3, what="the last that had moved")
    bench.inbox.advanced.clear()
    wait_until(lambda: bench.pcm.looks > turns + 50, what="turns of a card that stands still")
    assert bench.inbox.advanced == []


def test_the_first_sample_is_waited_for(bench: Bench) -> None:
    bench.opened()
    lane = bench.card.lane(1)
    bench.card.sound(1, 100, FOR_EVER)
    silent = len(bench.pcm.sounded)
    wait_until(lambda: len(bench.pcm.sounded) > silent + 9_600, what="turns of silence")
    assert not list(bench.inbox.waiting())
    fill(lane, tone(960))
    lane.end()
    bench.inbox.expect(SoundStarted)
    assert bench.inbox.expect(SoundEnded).loudness.samples == 960


def test_an_empty_source_ends_without_a_start(bench: Bench) -> None:
    bench.opened()
    lane = bench.card.lane(1)
    lane.end()
    bench.card.sound(1, 100, FOR_EVER)
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples) == (End.COMPLETE, 0)


def test_silence_empties_the_card_and_counts_what_sounded(bench: Bench) -> None:
    bench.opened()
    pcm = bench.play_and_hold()
    bench.card.silence(1)
    bench.pcm.release()
    ended = bench.inbox.expect(SoundEnded)
    assert ended.end is End.CUT
    silent = len(bench.pcm.sounded)
    wait_until(lambda: len(bench.pcm.sounded) > silent + 19_200, what="200 ms of silence")
    heard = bench.heard()
    whole = len(heard) - 2 * 480
    assert heard[:whole] == pcm[:whole]
    assert max(array("h", heard[-20:])) < 20_000 / 20  # faded over the last 10 ms
    # The simulated converter holds 5 ms behind its buffer, which no drop takes back.
    assert ended.loudness.samples == pytest.approx(len(heard) // 2, abs=bench.pcm.extra_delay)


def test_a_lane_that_never_sounded_is_forgotten_in_silence(bench: Bench) -> None:
    bench.opened()
    fill(bench.card.lane(1), tone(960))
    bench.card.silence(1)
    bench.card.sound(1, 100, FOR_EVER)
    bench.card.silence(2)
    bench.card.set_gain(3, 10)
    bench.card.open()
    bench.inbox.expect(CardOpened)


def test_what_was_cleared_does_not_sound(bench: Bench) -> None:
    bench.opened()
    bench.play_and_hold()
    bench.lane.clear()
    bench.pcm.release()
    ended = bench.inbox.expect(SoundEnded)
    assert ended.end is End.CUT
    assert ended.loudness.samples < 9_600 + PROGRAMME_AHEAD_SAMPLES + 960


def test_a_full_lane_drops_and_counts(caplog: pytest.LogCaptureFixture, bench: Bench) -> None:
    bench.opened()
    lane = bench.card.lane(1)
    fill(lane, bytes(LANE_MAX_SAMPLES * 2), 9_600)
    lane.push(bytes(9_600))
    assert lane.dropped == 4_800
    lane.end()
    bench.card.sound(1, 100, 960)
    bench.inbox.skip_to(SoundEnded)
    assert "4800 samples lost" in caplog.text


def test_an_underrun_is_counted_and_nothing_is_lost(bench: Bench) -> None:
    bench.opened()
    pcm = bench.play_and_hold()
    bench.lane.end()
    bench.pcm.faults.put(errno.EPIPE)
    bench.pcm.release()
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples, ended.loudness.underruns) == (End.COMPLETE, 48_000, 1)
    assert bench.heard() == pcm


def test_a_machine_too_slow_to_fill_a_card_that_has_started_again_loses_neither_the_card_nor_a_sample(
    bench: Bench,
) -> None:
    bench.opened()
    pcm = bench.play_and_hold()
    bench.lane.end()
    bench.pcm.faults.put(errno.EPIPE)
    bench.pcm.late_writes = 5
    bench.pcm.release()
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples) == (End.COMPLETE, 48_000)
    assert bench.heard() == pcm
    assert (bench.pcm.late_writes, bench.pcm.opened) == (0, 1)


def test_a_card_that_is_dry_for_ever_is_lost(bench: Bench) -> None:
    bench.opened()
    bench.play_and_hold()
    bench.pcm.faults.put(errno.EPIPE)
    bench.pcm.late_writes = FOR_EVER
    bench.pcm.release()
    assert "no samples" in bench.inbox.skip_to(CardFailed).detail
    assert bench.inbox.expect(SoundEnded).end is End.CUT


def test_an_underrun_in_silence_is_nobodys(bench: Bench) -> None:
    bench.opened()
    bench.pcm.faults.put(errno.EPIPE)
    wait_until(bench.pcm.faults.empty, what="the underrun")
    bench.play(tone(9_600))
    assert bench.inbox.expect(SoundEnded).loudness.underruns == 0


@pytest.mark.parametrize("number", [errno.ENODEV, errno.EIO, errno.EBADFD])
def test_a_lost_card_ends_the_item_and_is_opened_again(bench: Bench, number: int) -> None:
    bench.opened()
    bench.play_and_hold()
    bench.pcm.faults.put(number)
    bench.pcm.release()
    assert bench.inbox.expect(CardFailed).detail
    ended = bench.inbox.expect(SoundEnded)
    assert ended.end is End.CUT
    assert ended.loudness.samples <= len(bench.heard()) // 2, "what the card held is gone with it"
    bench.inbox.expect(CardOpened)
    bench.play(tone(9_600))
    assert bench.inbox.expect(SoundEnded).end is End.COMPLETE


def test_a_card_that_stands_still_is_lost(bench: Bench) -> None:
    bench.opened()
    bench.play_and_hold()
    bench.pcm.stuck = True
    bench.pcm.release()
    assert "no samples" in bench.inbox.expect(CardFailed).detail
    assert bench.inbox.expect(SoundEnded).end is End.CUT


def test_a_missing_card_is_named_once_and_waited_for(bench: Bench) -> None:
    bench.pcm.refuse_with = errno.EBUSY
    bench.card.open()
    assert "refused" in bench.inbox.expect(CardFailed).detail
    bench.pcm.refuse_with = errno.ENODEV
    bench.inbox.expect(CardFailed)  # another cause, a second later
    bench.pcm.refuse_with = 0
    bench.inbox.expect(CardOpened)


def test_the_same_cause_is_named_once(bench: Bench) -> None:
    bench.pcm.refuse_with = errno.EBUSY
    bench.card.open()
    bench.inbox.expect(CardFailed)
    bench.card.open()  # tries at once
    wait_until(lambda: bench.pcm.refused == 2, what="the second attempt")
    bench.pcm.refuse_with = 0
    bench.card.open()
    bench.inbox.expect(CardOpened)


def test_sound_without_a_card_ends_at_once(bench: Bench) -> None:
    lane = bench.card.lane(1)
    fill(lane, tone(960))
    bench.card.sound(1, 100, FOR_EVER)
    ended = bench.inbox.expect(SoundEnded)
    assert (ended.end, ended.loudness.samples) == (End.CUT, 0)


def test_close_card_ends_what_sounds_and_gives_the_device_back(bench: Bench) -> None:
    bench.opened()
    bench.play_and_hold()
    bench.card.close_card()
    bench.pcm.release()
    assert bench.inbox.expect(SoundEnded).end is End.CUT
    wait_until(lambda: bench.pcm.closed == 1, what="the device given back")
    bench.opened()
    bench.play(tone(960))
    assert bench.inbox.expect(SoundEnded).end is End.COMPLETE


def test_a_new_item_replaces_what_sounds(bench: Bench) -> None:
    bench.opened()
    bench.play_and_hold()
    lane = bench.card.lane(2)
    fill(lane, tone(960, peak=100))
    lane.end()
    bench.card.sound(2, 100, FOR_EVER)
    bench.pcm.release()
    bench.inbox.expect(SoundStarted)  # it stands in the card already, behind the fade of the first
    first, second = bench.inbox.expect(SoundEnded), bench.inbox.expect(SoundEnded)
    assert (first.token, first.end) == (1, End.CUT)
    assert (second.token, second.end, second.loudness.samples) == (2, End.COMPLETE, 960)


def test_an_item_may_follow_while_the_tail_of_the_last_is_in_the_card(bench: Bench) -> None:
    bench.opened()
    first, second = bench.card.lane(1), bench.card.lane(2)
    for lane in (first, second):
        fill(lane, tone(960))
        lane.end()
    bench.pcm.hold_after(480)
    bench.pcm.wait_held()
    bench.card.sound(1, 100, FOR_EVER)
    bench.pcm.release()
    bench.pcm.hold_after(960)  # the first is all written, and not all of it has sounded
    bench.pcm.wait_held()
    bench.card.sound(2, 100, FOR_EVER)
    bench.pcm.release()
    assert [event.token for event in (bench.inbox.skip_to(SoundEnded), bench.inbox.skip_to(SoundEnded))] == [1, 2]
    assert bench.heard() == tone(960) * 2


def test_the_start_is_in_the_near_future(bench: Bench) -> None:
    bench.opened()
    lane = bench.card.lane(1)
    fill(lane, tone(960))
    asked_s = bench.pcm.now_s()
    bench.card.sound(1, 100, FOR_EVER)
    started = bench.inbox.expect(SoundStarted)
    assert asked_s < started.at_mono_s < bench.pcm.now_s() + 0.1


def test_close_is_idempotent_and_ends_the_thread() -> None:
    bench = Bench()
    bench.opened()
    bench.card.close()
    bench.card.close()
    bench.card.open()
    assert bench.pcm.closed == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "card"]


def test_a_device_that_is_not_there_is_named_and_what_to_look_at() -> None:
    inbox = Inbox()
    card = SoundCard(device="plughw:CARD=nosuchcard", post=inbox.post)
    card.open()
    assert inbox.expect(CardFailed).detail.startswith("plughw:CARD=nosuchcard: there is no such card")
    card.close()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EBUSY, "hw:USB: another program holds the card"),
        (errno.ENODEV, "hw:USB: there is no such card any more"),
        (errno.EIO, "hw:USB: snd_pcm_open: Input/output error"),
    ],
)
def test_why_a_card_is_not_to_be_had_is_said_in_a_technicians_words(number: int, told: str) -> None:
    pcm = Pcm.__new__(Pcm)
    pcm._device = "hw:USB"
    error = pcm._error("snd_pcm_open", -number)
    assert (error.errno, str(error.strerror).startswith(told)) == (number, True)
