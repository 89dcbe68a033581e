"""Sample by sample, on a simulated card whose time is counted in turns: nothing here waits for anything."""

import random
from array import array
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.card.lane import Lane
from agent.card.playout import HELD_MAX, Playout
from agent.card.sounding import ramp
from agent.messages.events import (
    End,
    Event,
    SoundAdvanced,
    SoundEnded,
    SoundEnding,
    SoundFlowed,
    SoundHeld,
    SoundStarted,
    SoundStarved,
)
from agent.messages.loudness import Loudness
from rig.half_an_hour import lateness_each_minute_ms
from rig.simulated_pcm import RATE_HZ, STEP_S, SimulatedPcm
from rig.sound import Samples

FOR_EVER = 10**12
FADE = 480


def noise(samples: int, seed: int = 1) -> bytes:
    """No sample is zero, and no stretch is like another."""
    rng = np.random.default_rng(seed)
    return bytes((rng.integers(1_000, 20_000, samples) * rng.choice((-1, 1), samples)).astype("<i2").tobytes())


class Desk:
    """A playout on a card that is open and silent, and what it has told."""

    def __init__(self, pcm: SimulatedPcm | None = None) -> None:
        self.pcm = pcm or SimulatedPcm()
        self.events: list[Event] = []
        self.endings: list[SoundEnding] = []
        self.advances: list[SoundAdvanced] = []
        self.playout = Playout(post=self._post, now_s=self.pcm.now_s)
        self.open()

    def open(self) -> None:
        size = {"period_samples": 480, "buffer_samples": 33_600, "start_samples": 960}
        self.playout.opened(self.pcm.open(device="simulated", rate_hz=RATE_HZ, **size))
        self.run(0.2)

    def _post(self, event: Event) -> None:
        if isinstance(event, SoundEnding):
            self.endings.append(event)
        elif isinstance(event, SoundAdvanced):
            self.advances.append(event)
        else:
            self.events.append(event)

    def run(self, seconds: float) -> None:
        until_s = self.pcm.now_s() + seconds - STEP_S / 2
        while self.pcm.now_s() < until_s:
            self.playout.turn()

    def lane(self, pcm: bytes, token: int = 1, *, ended: bool = True) -> Lane:
        lane = Lane(token=token, cleared=self.playout.forget)
        lane.push(pcm)
        if ended:
            lane.end()
        self.playout.add(lane)
        return lane

    def sound(
        self,
        token: int = 1,
        *,
        max_samples: int = FOR_EVER,
        at_s: float | None = None,
        until_s: float | None = None,
        paced: bool = False,
    ) -> None:
        self.playout.sound(token, 100, max_samples, at_s, until_s, paced=paced)

    def heard(self, since: int = 0) -> Samples:
        return np.frombuffer(bytes(self.pcm.sounded[2 * since :]), "<i2")

    def loud(self, since: int = 0) -> Samples:
        """All that is not digital silence."""
        heard = self.heard(since)
        return np.extract(heard != 0, heard)

    def told(self) -> list[Event]:
        """What was told since last asked."""
        told, self.events = self.events, []
        return told

    def lateness_samples(self, pcm: bytes, at_s: float, since: int = 0) -> set[int]:
        """How much later than its instant each sample sounded; one that is not as it was is a fault."""
        heard, sent = self.heard(), samples_of(pcm)
        found = set()
        for index in range(since, len(heard)):
            if heard[index]:
                due = round((self.pcm.time_of(index) - at_s) * RATE_HZ)
                near = [due + off for off in (0, 1, -1, 2, -2) if 0 <= due + off < len(sent)]
                match = [due - each for each in near if sent[each] == heard[index]]
                found.add(match[0] if match else 10**6)
        return found


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2")


def faded(pcm: bytes, before: float, after: float) -> Samples:
    return np.extract((it := samples_of(ramp(pcm, before, after))) != 0, it)


# On an instant -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [0.1, 0.543_21, 0.6, 1.0, 2.718_28])
@pytest.mark.parametrize("delay_samples", [0, 240, 1_777])
def test_the_first_sample_falls_on_its_instant(ahead_s: float, delay_samples: int) -> None:
    desk = Desk(SimulatedPcm(delay_samples=delay_samples))
    pcm = noise(20_000)
    desk.lane(pcm)
    at_s = desk.pcm.now_s() + ahead_s
    desk.sound(at_s=at_s)
    desk.run(ahead_s + 1.0)
    assert np.array_equal(desk.loud(), samples_of(pcm))
    first = int(np.flatnonzero(desk.heard())[0])
    assert abs(desk.pcm.time_of(first) - at_s) <= 0.51 / RATE_HZ
    started, ended = desk.told()
    assert isinstance(started, SoundStarted)
    assert started.at_mono_s == pytest.approx(at_s, abs=1 / RATE_HZ)
    assert ended == SoundEnded(token=1, end=End.COMPLETE, loudness=ended.loudness, used=len(pcm) // 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.010, 0.333_33, 0.9])
def test_what_is_late_is_left_out_and_the_rest_sounds_at_its_place(late_s: float) -> None:
    desk = Desk()
    pcm = noise(RATE_HZ)
    desk.lane(pcm)
    at_s = desk.pcm.now_s() - late_s
    desk.sound(at_s=at_s)
    desk.run(2.0)
    first = int(np.flatnonzero(desk.heard())[0])
    assert desk.lateness_samples(pcm, at_s, since=first + FADE) <= {0, 1, -1}
    assert desk.loud()[-1] == samples_of(pcm)[-1]
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.end is End.COMPLETE
    assert ended.loudness.samples == len(desk.heard()) - first - len(desk.heard()) + _after_last(desk)


def _after_last(desk: Desk) -> int:
    return int(np.flatnonzero(desk.heard())[-1]) + 1


def test_what_is_late_is_left_out_as_it_becomes_available() -> None:
    desk = Desk()
    pcm = noise(2 * RATE_HZ)
    lane = desk.lane(b"", ended=False)
    at_s = desk.pcm.now_s() - 0.5
    desk.sound(at_s=at_s)
    for start in range(0, len(pcm), 9_600):  # 100 ms each 20 ms: five times real time
        lane.push(pcm[start : start + 9_600])
        desk.run(0.02)
    lane.end()
    desk.run(3.0)
    first = int(np.flatnonzero(desk.heard())[0])
    assert desk.lateness_samples(pcm, at_s, since=first + FADE) <= {0, 1, -1}
    assert [type(event) for event in desk.told()] == [SoundStarted, SoundEnded]


@pytest.mark.parametrize("late_s", [-0.5, 0.0, 0.3])
def test_the_longest_duration_counts_from_the_instant(late_s: float) -> None:
    desk = Desk()
    desk.lane(noise(2 * RATE_HZ), ended=False)
    at_s = desk.pcm.now_s() - late_s
    desk.sound(at_s=at_s, max_samples=RATE_HZ)
    desk.run(3.0)
    assert desk.pcm.time_of(_after_last(desk)) == pytest.approx(at_s + 1.0, abs=3 / RATE_HZ)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert (ended.end, ended.used) == (End.LIMIT, RATE_HZ)
    heard = RATE_HZ - round(max(0.0, late_s) * RATE_HZ)
    assert ended.loudness.samples == pytest.approx(heard, abs=1_500), "what was left out did not sound"


@pytest.mark.parametrize("ppm", [-100, 100])
def test_an_item_on_an_instant_ends_at_its_limit_on_a_card_that_is_off(ppm: float) -> None:
    """To a sample of the clock: its card has played 700 samples fewer or more by then."""
    desk = Desk(SimulatedPcm(ppm=ppm))
    lane = desk.lane(noise(3 * RATE_HZ), ended=False)
    at_s, seconds = desk.pcm.now_s() + 0.5, 150
    desk.sound(at_s=at_s, max_samples=seconds * RATE_HZ)
    more = noise(RATE_HZ // 2)
    while not any(isinstance(event, SoundEnded) for event in desk.events):
        desk.run(0.4)
        if lane.available() < 3 * RATE_HZ:
            lane.push(more)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert (ended.end, ended.used) == (End.LIMIT, seconds * RATE_HZ)
    assert abs(ended.loudness.samples - seconds * RATE_HZ) > 300
    assert desk.pcm.time_of(_after_last(desk)) == pytest.approx(at_s + seconds, abs=0.001)


@pytest.mark.parametrize("ppm", [-100, 0, 100])
@pytest.mark.parametrize("late_s", [-0.4, 0.25])
def test_nothing_sounds_after_the_instant_until_which_it_may(ppm: float, late_s: float) -> None:
    desk = Desk(SimulatedPcm(ppm=ppm))
    pcm = array("h", [10_000] * (5 * RATE_HZ)).tobytes()
    desk.lane(pcm)
    at_s = desk.pcm.now_s() - late_s
    until_s = desk.pcm.now_s() + 3.123_45
    desk.sound(at_s=at_s, until_s=until_s)
    desk.run(4.0)
    assert desk.pcm.time_of(_after_last(desk)) == pytest.approx(until_s, abs=0.000_6)
    assert max(abs(desk.loud()[-20:])) < 10_000 / 20, "faded over the last 10 ms"
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.end is End.UNTIL
    assert ended.used == pytest.approx((until_s - at_s) * RATE_HZ, abs=50)


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_at_its_limit_and_at_that_instant_it_ends_at_its_limit(ppm: float) -> None:
    desk = Desk(SimulatedPcm(ppm=ppm))
    desk.lane(noise(5 * RATE_HZ))
    at_s = desk.pcm.now_s() + 0.4
    desk.sound(at_s=at_s, max_samples=3 * RATE_HZ, until_s=at_s + 3.0)
    desk.run(5.0)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.end is End.LIMIT


def test_a_source_that_ends_before_that_instant_is_complete() -> None:
    desk = Desk()
    desk.lane(noise(RATE_HZ))
    desk.sound(until_s=desk.pcm.now_s() + 3.0)
    desk.run(2.0)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert (ended.end, ended.used) == (End.COMPLETE, RATE_HZ)


@pytest.mark.parametrize("at_s", [None, 5.0])
def test_what_has_nothing_to_sound_ends_at_that_instant(at_s: float | None) -> None:
    """A stream that starves, and an item that waits for a later instant."""
    desk = Desk()
    now_s = desk.pcm.now_s()
    desk.lane(noise(RATE_HZ // 2) if at_s is None else noise(RATE_HZ), ended=False)
    desk.sound(at_s=at_s and now_s + at_s, until_s=now_s + 2.0)
    desk.run(1.9)
    assert not any(isinstance(event, SoundEnded) for event in desk.events)
    desk.run(0.2)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert (ended.end, ended.loudness.samples) == (End.UNTIL, RATE_HZ // 2 if at_s is None else 0)


def test_what_is_held_ends_at_that_instant_once_it_has_gone_on() -> None:
    desk = Desk()
    desk.lane(noise(5 * RATE_HZ))
    until_s = desk.pcm.now_s() + 2.0
    desk.sound(until_s=until_s)
    desk.run(1.0)
    desk.playout.hold(1)
    desk.run(0.5)
    desk.sound(until_s=until_s)
    desk.run(1.0)
    assert desk.pcm.time_of(_after_last(desk)) == pytest.approx(until_s, abs=0.000_6)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.end is End.UNTIL


@pytest.mark.parametrize("how", ["complete", "limit", "until"])
def test_the_end_is_told_while_the_card_still_holds_the_rest_and_another_follows_without_a_gap(how: str) -> None:
    desk = Desk()
    first, second = noise(2 * RATE_HZ if how == "complete" else 4 * RATE_HZ), noise(RATE_HZ, seed=2)
    desk.lane(first, 1)
    desk.lane(second, 2)
    at_s = desk.pcm.now_s() + 0.5
    ends_s = at_s + 2.0
    limit = 2 * RATE_HZ if how == "limit" else FOR_EVER
    desk.sound(1, at_s=at_s, max_samples=limit, until_s=ends_s if how == "until" else None)
    while not desk.endings:
        desk.run(0.01)
    [ending] = desk.endings
    assert ending.token == 1
    assert ending.at_mono_s == pytest.approx(ends_s, abs=0.000_1)
    assert 0.4 < ends_s - desk.pcm.now_s() < 0.63, "what the card holds"
    desk.run(0.3)
    desk.sound(2, at_s=ends_s)
    desk.run(2.0)
    heard = desk.heard()
    begin = int(np.flatnonzero(heard)[0])
    seam = begin + 2 * RATE_HZ
    assert np.array_equal(heard[begin : seam - FADE], samples_of(first)[: 2 * RATE_HZ - FADE])
    assert np.array_equal(heard[seam : seam + RATE_HZ], samples_of(second)), "the very next sample"
    assert [event.token for event in desk.told() if isinstance(event, SoundEnded)] == [1, 2]


def test_of_what_is_cut_no_end_is_told_before_it() -> None:
    desk = Desk()
    desk.lane(noise(4 * RATE_HZ), 1)
    desk.sound(1)
    desk.run(0.5)
    desk.playout.silence(1)
    desk.run(0.5)
    assert desk.endings == []


def test_what_is_late_is_used_up_and_did_not_sound() -> None:
    desk = Desk()
    desk.lane(noise(2 * RATE_HZ))
    desk.sound(at_s=desk.pcm.now_s() - 0.5)
    desk.run(3.0)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.used == 2 * RATE_HZ
    assert ended.loudness.samples == pytest.approx(1.5 * RATE_HZ, abs=1_500)


def test_what_is_later_than_it_is_long_ends_without_a_sound() -> None:
    desk = Desk()
    desk.lane(noise(4_800))
    desk.sound(at_s=desk.pcm.now_s() - 1.0)
    desk.run(0.1)
    assert desk.told() == [SoundEnded(token=1, end=End.COMPLETE, loudness=Loudness(), used=4_800)]
    assert not desk.loud().size


def test_an_item_that_waits_for_its_instant_can_be_silenced_without_a_blip() -> None:
    desk = Desk()
    desk.lane(noise(RATE_HZ))
    desk.sound(at_s=desk.pcm.now_s() + 0.3)
    desk.run(0.1)
    desk.playout.silence(1)
    desk.run(1.0)
    ended = desk.told()[-1]
    assert ended == SoundEnded(token=1, end=End.CUT, loudness=Loudness(), used=0)
    assert not desk.loud().size


def test_after_an_underrun_an_item_on_an_instant_is_soon_at_its_place_again() -> None:
    desk = Desk()
    pcm = noise(5 * RATE_HZ)
    desk.lane(pcm)
    at_s = desk.pcm.now_s() + 0.1
    desk.sound(at_s=at_s)
    desk.run(1.0)
    desk.pcm.stand_still(90)  # 600 ms are in the card
    desk.run(2.0)
    assert desk.lateness_samples(pcm, at_s, since=len(desk.heard()) - RATE_HZ // 2) <= {0, 1, -1}


def test_an_item_without_an_instant_is_never_corrected() -> None:
    desk = Desk(SimulatedPcm(ppm=300))
    lane = desk.lane(b"", ended=False)
    desk.sound()
    pcm = noise(RATE_HZ)
    for _ in range(90):
        lane.push(pcm)
        desk.run(1.0)
    lane.end()
    desk.run(2.0)
    assert np.array_equal(desk.loud(), np.tile(samples_of(pcm), 90))


@pytest.mark.parametrize("ppm", [-100, 100])
@pytest.mark.parametrize("held", [False, True])
def test_what_is_paced_keeps_to_the_clock_from_its_first_sample_on(ppm: float, held: bool) -> None:
    """What an emergency has interrupted has no common instant any more, and half an hour before it."""
    desk = Desk(SimulatedPcm(ppm=ppm))
    desk.run(70.0)  # the rate of the card is known
    lane = desk.lane(noise(2 * RATE_HZ), ended=False)
    if held:
        desk.sound()
        desk.run(1.0)
        desk.playout.hold(1)
        desk.run(1.0)
        desk.told()
    seconds, more = 150, noise(RATE_HZ // 2)
    desk.sound(max_samples=seconds * RATE_HZ, paced=True)
    while not any(isinstance(event, SoundEnded) for event in desk.events):
        desk.run(0.4)
        if lane.available() < 3 * RATE_HZ:
            lane.push(more)
    started, ended = (event for event in desk.told() if isinstance(event, SoundStarted | SoundEnded))
    assert isinstance(started, SoundStarted)
    assert isinstance(ended, SoundEnded)
    assert ended.used == seconds * RATE_HZ
    assert desk.pcm.time_of(_after_last(desk)) - started.at_mono_s == pytest.approx(seconds, abs=0.002)


# Hold ----------------------------------------------------------------------------------------------------------------


def assert_held_and_gone_on(heard: Samples, pcm: bytes, spans: list[int]) -> None:
    """The source, with a fade out at the end and a fade in at the beginning of each span but the outermost."""
    assert sum(spans) == len(pcm) // 2
    parts, at = [], 0
    for number, span in enumerate(spans):
        part = pcm[2 * at : 2 * (at + span)]
        first, last = number == 0, number == len(spans) - 1
        head = b"" if first else ramp(part[: 2 * FADE], 0.0, 1.0)
        tail = b"" if last else ramp(part[-2 * FADE :], 1.0, 0.0)
        parts.append(head + part[len(head) : len(part) - len(tail)] + tail)
        at += span
    wanted = samples_of(b"".join(parts))
    assert np.array_equal(heard, np.extract(wanted != 0, wanted))


@settings(max_examples=25, deadline=None)
@given(
    moments=st.lists(st.integers(4, 60), min_size=1, max_size=4),
    delay_samples=st.sampled_from([0, 240, 1_000]),
    jitter=st.integers(0, 300),
)
def test_what_is_held_goes_on_with_no_sample_lost_or_doubled(
    moments: list[int], delay_samples: int, jitter: int
) -> None:
    chance = random.Random(1)
    desk = Desk(SimulatedPcm(delay_samples=delay_samples, jitter=lambda: chance.randint(0, jitter)))
    pcm = noise(4 * RATE_HZ)
    desk.lane(pcm)
    spans = []
    for turns in moments:
        desk.sound()
        desk.run((turns + 4) * STEP_S)
        desk.playout.hold(1)
        desk.run(0.2)
        held = desk.told()[-1]
        assert isinstance(held, SoundHeld)
        assert held.used == held.loudness.samples
        spans.append(held.loudness.samples)
    desk.sound()
    desk.run(6.0)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    assert ended.end is End.COMPLETE
    assert_held_and_gone_on(desk.loud(), pcm, [*spans, ended.loudness.samples])


def test_a_hold_is_silent_within_20_ms_of_the_card() -> None:
    desk = Desk()
    desk.lane(noise(2 * RATE_HZ))
    desk.sound()
    desk.run(1.0)
    sounded = len(desk.heard())
    desk.playout.hold(1)
    desk.run(0.5)
    assert _after_last(desk) - sounded <= FADE + 480


def test_another_item_sounds_while_one_is_held() -> None:
    desk = Desk()
    normal, alarm = noise(RATE_HZ), noise(RATE_HZ // 2, seed=2)
    desk.lane(normal, 1)
    desk.lane(alarm, 2)
    desk.sound(1)
    desk.run(0.3)
    desk.playout.hold(1)
    desk.sound(2)  # at once: behind the fade
    desk.run(1.0)
    desk.sound(1)
    desk.run(2.0)
    told = desk.told()
    held = next(event for event in told if isinstance(event, SoundHeld))
    kinds = [(type(event).__name__, getattr(event, "token", 0)) for event in told]
    assert sorted(kinds[1:4]) == [("SoundEnded", 2), ("SoundHeld", 1), ("SoundStarted", 2)]
    assert kinds[4:] == [("SoundStarted", 1), ("SoundEnded", 1)]
    loud, count = desk.loud(), len(alarm) // 2
    zeros = sum(1 for it in array("h", ramp(normal[2 * (held.loudness.samples - FADE) :][: 2 * FADE], 1, 0)) if not it)
    begin = held.loudness.samples - zeros
    assert np.array_equal(loud[begin : begin + count], samples_of(alarm))
    rest = np.concatenate([loud[:begin], loud[begin + count :]])
    assert_held_and_gone_on(rest, normal, [held.loudness.samples, RATE_HZ - held.loudness.samples])


@pytest.mark.parametrize("gain_percent", [100, 0])
def test_it_is_told_for_how_long_a_source_has_given_zeros_whatever_the_gain(gain_percent: int) -> None:
    desk = Desk()
    lane = desk.lane(noise(2 * RATE_HZ) + bytes(2 * 3 * RATE_HZ) + noise(RATE_HZ // 2), ended=False)
    desk.playout.sound(1, gain_percent, FOR_EVER)
    desk.run(5.8)
    lane.push(bytes(2 * RATE_HZ))
    desk.run(1.0)
    silent_s = [event.silent_s for event in desk.advances]
    assert silent_s[:2] == [0.0, pytest.approx(0.0, abs=0.05)]
    assert silent_s[2:5] == [pytest.approx(each, abs=0.05) for each in (1.0, 2.0, 3.0)]
    assert 0.0 < silent_s[5] < 0.6, "counted anew after what came between"


def test_each_stretch_has_its_own_loudness() -> None:
    desk = Desk()
    desk.lane(array("h", [10_000] * RATE_HZ + [1_000] * RATE_HZ).tobytes())
    desk.sound()
    desk.run(1.5)
    desk.playout.hold(1)
    desk.run(0.2)
    desk.sound()
    desk.run(2.0)
    held, ended = (event for event in desk.told() if isinstance(event, SoundHeld | SoundEnded))
    assert held.loudness.samples + ended.loudness.samples == 2 * RATE_HZ
    assert (held.loudness.peak_dbfs, ended.loudness.peak_dbfs) == (-10.31, -30.31)


@pytest.mark.parametrize("before_s", [0.0, 0.02])
def test_an_item_that_has_not_begun_is_not_held(before_s: float) -> None:
    desk = Desk()
    desk.lane(noise(RATE_HZ))
    desk.sound(at_s=desk.pcm.now_s() + 0.4)
    desk.run(before_s)
    desk.playout.hold(1)
    desk.run(1.0)
    assert desk.told()[-1] == SoundEnded(token=1, end=End.CUT, loudness=Loudness(), used=0)
    assert not desk.loud().size


@pytest.mark.parametrize("ended", [True, False])
def test_an_item_that_ends_within_the_fade_ends(ended: bool) -> None:
    desk = Desk()
    pcm = noise(4_800 if ended else RATE_HZ)
    desk.lane(pcm, ended=ended)
    desk.sound(max_samples=4_800)
    while len(desk.loud()) < 4_400:
        desk.playout.turn()
    desk.playout.hold(1)
    desk.run(0.5)
    told = desk.told()[-1]
    assert isinstance(told, SoundEnded)
    assert (told.end, told.loudness.samples) == (End.COMPLETE if ended else End.LIMIT, 4_800)
    if ended:
        assert np.array_equal(desk.loud(), samples_of(pcm))


def test_what_takes_over_within_the_fade_leaves_an_item_that_ends_complete() -> None:
    """It has been heard whole: it must not be begun anew for the nothing that is left of it."""
    desk = Desk()
    desk.lane(noise(4_800))
    desk.lane(noise(960, seed=2), 2)
    desk.sound()
    desk.run(0.1)
    desk.playout.hold(1)
    desk.sound(2)
    desk.run(0.5)
    first = [event for event in desk.told() if isinstance(event, SoundHeld | SoundEnded) and event.token == 1]
    assert [(type(event), event.loudness.samples) for event in first] == [(SoundEnded, 4_800)]
    assert isinstance(first[0], SoundEnded)
    assert first[0].end is End.COMPLETE


def test_what_is_unknown_or_has_ended_is_not_held() -> None:
    desk = Desk()
    desk.playout.hold(7)
    desk.lane(noise(960))
    desk.playout.hold(1)  # not asked to sound
    desk.sound()
    desk.run(0.5)
    desk.playout.hold(1)
    assert [type(event) for event in desk.told()] == [SoundStarted, SoundEnded]


def test_no_more_are_held_than_allowed() -> None:
    desk = Desk()
    for token in range(HELD_MAX + 1):
        desk.lane(noise(RATE_HZ), token)
        desk.sound(token)
        desk.run(0.2)
        desk.playout.hold(token)
        desk.run(0.1)
    kinds = [type(event) for event in desk.told() if not isinstance(event, SoundStarted)]
    assert kinds == [SoundHeld] * HELD_MAX + [SoundEnded]


def test_a_held_lane_that_is_silenced_or_cleared_is_forgotten() -> None:
    desk = Desk()
    lanes = {token: desk.lane(noise(RATE_HZ), token) for token in (1, 2)}
    for token in lanes:
        desk.sound(token)
        desk.run(0.2)
        desk.playout.hold(token)
        desk.run(0.1)
    desk.told()
    desk.playout.silence(1)
    lanes[2].clear()
    assert desk.told() == [SoundEnded(token=1, end=End.CUT, loudness=Loudness(), used=0)]
    desk.sound(1)
    desk.sound(2)
    desk.run(0.5)
    assert desk.told() == []


def test_what_is_held_outlives_the_card() -> None:
    desk = Desk()
    pcm = noise(RATE_HZ)
    desk.lane(pcm)
    desk.sound()
    desk.run(0.3)
    desk.playout.hold(1)
    desk.run(0.2)
    desk.playout.close()
    desk.open()
    desk.sound()
    desk.run(2.0)
    held, ended = (event for event in desk.told() if isinstance(event, SoundHeld | SoundEnded))
    assert_held_and_gone_on(desk.loud(), pcm, [held.loudness.samples, ended.loudness.samples])


def test_a_lane_that_starves_is_held_with_what_comes_later() -> None:
    desk = Desk()
    pcm = noise(RATE_HZ)
    lane = desk.lane(pcm[:RATE_HZ], ended=False)
    desk.sound()
    desk.run(1.0)
    desk.playout.hold(1)
    desk.run(0.1)
    lane.push(pcm[RATE_HZ:])
    lane.end()
    desk.sound()
    desk.run(2.0)
    kinds = [type(event) for event in desk.told()]
    assert kinds[:3] == [SoundStarted, SoundStarved, SoundHeld]
    assert kinds[-1] is SoundEnded
    assert SoundFlowed not in kinds
    assert len(desk.loud()) == pytest.approx(RATE_HZ, abs=2)


# Silence -------------------------------------------------------------------------------------------------------------


def test_silence_fades_over_10_ms_and_counts_them() -> None:
    desk = Desk()
    pcm = noise(2 * RATE_HZ)
    lane = desk.lane(pcm)
    desk.sound()
    desk.run(0.5)
    lane.clear()  # the player may be quicker
    desk.playout.silence(1)
    desk.run(0.2)
    ended = desk.told()[-1]
    assert isinstance(ended, SoundEnded)
    count = ended.loudness.samples
    assert (ended.end, ended.used) == (End.CUT, count)
    whole = samples_of(pcm)[: count - FADE]
    assert np.array_equal(desk.loud(), np.concatenate([whole, faded(pcm[2 * (count - FADE) : 2 * count], 1.0, 0.0)]))


def test_a_tail_that_is_cut_with_its_successor_sounds_all_the_same() -> None:
    desk = Desk()
    first, second = noise(9_600), noise(RATE_HZ, seed=2)
    desk.lane(first, 1)
    desk.lane(second, 2)
    desk.sound(1)
    desk.run(0.05)
    desk.sound(2)
    desk.run(0.02)
    desk.playout.silence(2)
    desk.run(1.0)
    assert np.array_equal(desk.loud(), samples_of(first))
    ends = [(event.token, event.end) for event in desk.told() if isinstance(event, SoundEnded)]
    assert sorted(ends) == [(1, End.COMPLETE), (2, End.CUT)]


@pytest.mark.parametrize("before_s", [0.18, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("away", [Playout.hold, Playout.silence])
def test_nor_does_what_sounds_in_its_successors_place_cut_it(
    away: Callable[[Playout, int], None], before_s: float
) -> None:
    """An emergency within the 0.2 s in which a slot follows another: all three orders come in one turn."""
    desk = Desk()
    first, second, third = noise(2 * RATE_HZ), noise(RATE_HZ, seed=2), noise(RATE_HZ, seed=3)
    for token, pcm in enumerate((first, second, third), 1):
        desk.lane(pcm, token)
    at_s = desk.pcm.now_s() + 0.5
    desk.sound(1, at_s=at_s)
    desk.run(0.5 + 2.0 - 0.2)
    desk.sound(2, at_s=at_s + 2.0)
    desk.run(0.2 - before_s)
    away(desk.playout, 2)
    desk.sound(3)
    desk.run(1.5)
    assert np.array_equal(desk.loud(), np.concatenate([samples_of(first), samples_of(third)]))
    ends = [(event.token, event.end, event.used) for event in desk.told() if isinstance(event, SoundEnded)]
    whole = [(1, End.COMPLETE, 2 * RATE_HZ), (2, End.CUT, 0), (3, End.COMPLETE, RATE_HZ)]
    assert sorted(ends) == whole


# Drift ---------------------------------------------------------------------------------------------------------------

STEP_SAMPLES = 1_920
"""40 ms a turn: half an hour in fewer of them."""


@pytest.mark.parametrize(("ppm", "minutes"), [(-300, 12), (-100, 12), (100, 30), (300, 12)])
def test_after_half_an_hour_a_card_that_is_off_is_within_a_millisecond(ppm: float, minutes: int) -> None:
    late_ms = lateness_each_minute_ms(SimulatedPcm(ppm=ppm, step_samples=STEP_SAMPLES), minutes)
    assert abs(late_ms[0]) < abs(ppm) / 1_000 + 0.02  # of an unknown rate, the second from being placed to sounding
    assert max(map(abs, late_ms)) < 60 * abs(ppm) / 1_000 + 1.5  # what a minute without a line costs
    assert max(map(abs, late_ms[10:])) < 1.0


def test_a_card_that_only_jitters_is_not_corrected() -> None:
    chance = random.Random(1)
    late_ms = lateness_each_minute_ms(SimulatedPcm(jitter=lambda: chance.randint(0, 480)), 10)
    assert max(late_ms) - min(late_ms) < 0.01
    assert abs(late_ms[0]) < 1.0
