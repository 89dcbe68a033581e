"""Sources that are slow or cannot be had: nothing lesser stands in an emergency's way, and it is tried again."""

import itertools

import pytest

from agent.core.retrying import FIRST_PAUSE_S, LONGEST_PAUSE_S
from agent.core.stages import FETCH_PATIENCE_S
from agent.fetch import MAX_AT_ONCE
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Repeat
from agent.messages.condition import Silence
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm
from agent.messages.sources import Builtin, BuiltinName, File, Source, Speech
from agent.messages.words import Kind
from tests.core.pole import FILE, OTHER_FILE, RELAY, Behaviour, Pole, altered, make_pole, play, stop
from tests.core.test_condition import condition

SLOW = tuple(Source(file=File(f"https://slow.example/{n}.mp3", f"{n}" * 64, 400_000_000)) for n in range(6))
TEXTS = tuple(Source(speech=Speech(f"thông báo {n}", "vi")) for n in range(6))


SIREN = Source(builtin=Builtin(BuiltinName.SIREN))
A, B = "https://files.example/a.mp3", "https://files.example/b.mp3"
EVER_S = 4_000.0
"""Longer than an order's window is open."""


def pole_of(**behaviour: object) -> Pole:
    behave = Behaviour(**{"sound_length_s": 30.0, **behaviour})  # type: ignore[arg-type]
    return make_pole(behave, heartbeat_s=3_600).start().connect()


def asked(pole: Pole) -> list[bool]:
    """Of what is asked of fetch or speech, and not given back, whether it is urgent."""
    found: dict[int, bool] = {}
    for _, effect in pole.history:
        match effect:
            case do.FetchFile(token=token) | do.OpenStream(token=token) | do.Speak(token=token):
                found[token] = effect.urgent
            case do.CancelFetch(token=token):
                found.pop(token, None)
    return list(found.values())


class TestTheLine:
    @pytest.mark.parametrize("sources", [SLOW, TEXTS])
    def test_what_an_emergency_needs_is_not_shared_with_lesser_sources(self, sources: tuple[Source, ...]) -> None:
        slow = {"speech": 600.0} | {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(sound_length_s=9_000.0, fetch_slow=slow)
        for number in (1, 2):
            pole.order(play(f"n{number}", sources[number]), life_s=80_000)
            pole.run(6.0)
        pole.order(play("vov", RELAY, max_duration_s=7_200), life_s=80_000)
        pole.run(60.0)
        assert asked(pole) == [False] * 3
        pole.order(play("flood", sources[5], kind=Kind.EMERGENCY))
        pole.run(0.0)
        assert asked(pole) == [False, True], "the relay on the air goes on"

    def test_it_is_shared_once_the_emergency_is_slow_and_not_while_it_asks_its_next_source(self) -> None:
        slow = {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(fetch_slow=slow)
        pole.order(play("flood", SLOW[0], SLOW[1], kind=Kind.EMERGENCY))
        pole.order(play("notice", SLOW[2]))
        pole.run(FETCH_PATIENCE_S - 0.1)
        assert asked(pole) == [True]
        pole.run(0.2)
        assert asked(pole) == [True]
        pole.run(FETCH_PATIENCE_S)
        assert asked(pole) == [True, False]

    def test_what_gave_way_is_fetched_on_and_sounds(self) -> None:
        pole = pole_of(fetch_slow={"https://files.example/a.mp3": 20.0, "https://radio.vov.example/live": 3.0})
        pole.order(play("notice", FILE))
        pole.run(10.0)
        pole.order(play("flood", RELAY, kind=Kind.EMERGENCY, max_duration_s=20))
        pole.run(100.0)
        assert [each.item for each in pole.heard] == ["flood", "notice"]
        assert pole.heard[1].at_s == pytest.approx(pole.heard[0].at_s + 20.0 + 10.0, abs=1.0), "half of it was here"

    def test_an_ordinary_item_makes_room_before_an_emergency_does(self) -> None:
        slow = {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(fetch_slow=slow)
        for number in range(2):
            pole.order(play(f"e{number}", SLOW[number], kind=Kind.EMERGENCY), life_s=80_000)
            pole.run(FETCH_PATIENCE_S + 1.0)
        pole.order(play("notice", SLOW[2]), life_s=80_000)
        pole.run(1.0)
        assert asked(pole) == [True, True, False]
        pole.order(play("e2", SLOW[3], kind=Kind.EMERGENCY), life_s=80_000)
        pole.run(0.0)
        assert asked(pole) == [True, True, True]
        assert [each.name for each in pole.state.programme.coming] == ["e0", "e1", "e2"]

    def test_no_more_is_asked_for_than_there_are_threads(self) -> None:
        slow = {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(sound_length_s=9_000.0, fetch_slow=slow)
        pole.order(play("vov", RELAY, kind=Kind.EMERGENCY, max_duration_s=7_200), life_s=80_000)
        pole.run(1.0)
        for number, source in enumerate(SLOW):
            pole.order(play(f"n{number}", source), life_s=80_000)
            pole.order(play(f"e{number}", source, kind=Kind.EMERGENCY), life_s=80_000)
            pole.run(7.0)
            assert asked(pole).count(True) <= MAX_AT_ONCE
            assert asked(pole).count(False) <= MAX_AT_ONCE


class TestAskingAgain:
    def away(self, *uris: str, reason: Reason = Reason.NO_ANSWER, **behaviour: object) -> Pole:
        return pole_of(fetch_fails=dict.fromkeys(uris or (A,), reason), **behaviour)

    def come_back(self, pole: Pole) -> float:
        pole.behaviour.fetch_fails = {}
        return pole.mono_s

    def tries(self, pole: Pole, uri: str = A) -> list[float]:
        """When a file was asked for."""
        return [when for when, it in pole.history if isinstance(it, do.FetchFile) and it.file.uri == uri]

    def results(self, pole: Pole) -> dict[str, tuple[str, Reason | None]]:
        assert len({record.item for record in pole.records}) == len(pole.records), "one record each"
        return {record.item: (record.result, record.reason) for record in pole.records}

    @pytest.mark.parametrize("away_s", [1.0, 20.0, 600.0, 3_000.0])
    def test_an_emergency_whose_source_is_away_is_heard_soon_after_it_is_back(self, away_s: float) -> None:
        pole = self.away()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(away_s)
        assert pole.records == []
        back_s = self.come_back(pole)
        pole.run(LONGEST_PAUSE_S + 40.0)
        assert [each.item for each in pole.heard] == ["flood"]
        assert pole.heard[0].at_s - back_s <= min(LONGEST_PAUSE_S, 2 * away_s + FIRST_PAUSE_S) + 1.0
        assert self.results(pole) == {"flood": ("played", None)}

    @pytest.mark.parametrize(("entropy", "share"), [(0, 0.5), ((1 << 128) - 1_000, 1.0)])
    def test_its_pauses_grow_to_a_bound_and_no_two_poles_keep_the_same(self, entropy: int, share: float) -> None:
        pole = self.away()
        pole._entropy = itertools.cycle([entropy])  # type: ignore[assignment]
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(600.0)
        asked_s = self.tries(pole)
        pauses = [later - earlier for earlier, later in itertools.pairwise(asked_s)]
        expected = [share * min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S) for number in range(len(pauses))]
        assert pauses == pytest.approx(expected, abs=0.01)
        assert len(pauses) < 600.0 / (share * LONGEST_PAUSE_S) + 4

    def test_two_days_without_its_server_are_survived(self) -> None:
        """Some 3,900 tries: an unbounded power of two is more than a float holds after 1,024."""
        pole = self.away()
        until_s = int(pole.wall_s + 2 * 86_400)
        pole.order(altered(play("flood", kind=Kind.EMERGENCY), not_after=until_s + 3_600), life_s=86_400)
        pole.run(2 * 86_400.0)
        assert len(self.tries(pole)) > 1_100
        self.come_back(pole)
        pole.run(LONGEST_PAUSE_S + 40.0)
        assert self.results(pole) == {"flood": ("played", None)}

    def test_when_its_window_closes_there_is_one_record_that_says_why(self) -> None:
        pole = self.away()
        pole.order(altered(play("flood", kind=Kind.EMERGENCY), not_after=pole.wall_s + 300))
        pole.run(299.0)
        assert pole.records == []
        pole.run(EVER_S)
        (record,) = pole.records
        assert (record.result, record.reason) == ("failed", Reason.NO_ANSWER)
        assert record.ended_at == pytest.approx(pole.wall_s - pole.mono_s + 1_300.0, abs=1.0)
        told = f"asked for {len(self.tries(pole))} times until its window had closed; {A} failed"
        assert record.detail == told
        assert max(self.tries(pole)) < 1_300.0

    def test_all_else_sounds_meanwhile(self) -> None:
        """Also while it is asked again, and where it would pause for less than is filled between two soundings."""
        pole = self.away(sound_length_s=20.0)
        pole.order(play("flood", kind=Kind.EMERGENCY))
        for number in range(4):
            pole.order(play(f"news-{number}", OTHER_FILE))
        pole.order(play("dam", SIREN, kind=Kind.EMERGENCY, max_duration_s=20))
        pole.run(110.0)
        assert [each.item for each in pole.heard] == ["dam", *(f"news-{number}" for number in range(4))]
        self.come_back(pole)
        pole.run(100.0)
        assert pole.heard[-1].item == "flood"
        assert {each for each, _ in self.results(pole).values()} == {"played"}

    def test_a_stop_ends_it(self) -> None:
        pole = self.away()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(20.0)
        pole.order(stop("flood"))
        pole.run(EVER_S)
        assert self.results(pole) == {"flood": ("stopped", Reason.STOPPED)}
        assert max(self.tries(pole)) <= 1_020.0

    def test_what_replaces_it_takes_its_place(self) -> None:
        pole = self.away()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(20.0)
        pole.order(altered(play("flood-2", OTHER_FILE, kind=Kind.EMERGENCY), replaces=("flood",)))
        pole.run(EVER_S)
        assert [each.item for each in pole.heard] == ["flood-2"]
        assert self.results(pole) == {"flood": ("stopped", Reason.REPLACED), "flood-2": ("played", None)}

    def test_an_emergency_that_is_to_be_had_waits_for_none_that_is_not(self) -> None:
        """As many of those as keep all that is made ready at once busy for ever."""
        pole = self.away(fetch_s=4.5, fetch_slow={B: 0.0})
        for number in range(60):
            pole.order(play(f"away-{number}", kind=Kind.EMERGENCY))
        pole.run(100.0)
        ordered_s = pole.mono_s
        pole.order(play("dam", OTHER_FILE, kind=Kind.EMERGENCY))
        pole.run(40.0)
        assert [each.item for each in pole.heard] == ["dam"]
        assert pole.heard[0].at_s - ordered_s < FETCH_PATIENCE_S + 1.0

    @pytest.mark.parametrize(
        "reason",
        [
            Reason.NOT_ALLOWED,
            Reason.HASH_MISMATCH,
            Reason.UNSUPPORTED_FORMAT,
            Reason.UNDECODABLE,
            Reason.NO_VOICE,
        ],
    )
    def test_what_can_never_work_is_recorded_at_once(self, reason: Reason) -> None:
        pole = self.away(reason=reason)
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(1.0)
        assert self.results(pole) == {"flood": ("failed", reason)}

    def test_nor_is_it_asked_again_beside_another_that_may(self) -> None:
        pole = self.away(A)
        pole.behaviour.fetch_fails[B] = Reason.HASH_MISMATCH
        pole.order(play("flood", OTHER_FILE, FILE, OTHER_FILE, kind=Kind.EMERGENCY))
        pole.run(100.0)
        assert (len(self.tries(pole, B)), len(self.tries(pole, A)) > 3) == (2, True)
        self.come_back(pole)
        pole.run(100.0)
        assert self.results(pole) == {"flood": ("played", None)}
        assert pole.records[0].source.sha256 == "a" * 64

    def test_with_its_next_sounding_everything_is_asked_again(self) -> None:
        fails = {A: Reason.NO_ANSWER, B: Reason.HASH_MISMATCH}
        pole = pole_of(fetch_fails=dict(fails))
        order = play("flood", FILE, OTHER_FILE, kind=Kind.EMERGENCY)
        pole.order(altered(order, repeat=Repeat(2, 60)))
        pole.run(300.0)
        assert len(self.tries(pole, B)) == 1
        back_s = self.come_back(pole)
        pole.run(100.0)
        assert [each.at_s - back_s < LONGEST_PAUSE_S for each in pole.heard] == [True]
        pole.behaviour.fetch_fails = fails
        pole.run(60.0)
        assert len(self.tries(pole, B)) == 2
        again_s = [when for when in self.tries(pole) if when > pole.heard[0].at_s]
        assert again_s[1] - again_s[0] <= FIRST_PAUSE_S

    def test_one_that_was_heard_since_has_not_failed_when_its_window_closes(self) -> None:
        pole = self.away()
        order = altered(play("flood", kind=Kind.EMERGENCY), repeat=Repeat(2, 1_000), not_after=pole.wall_s + 600)
        pole.order(order)
        pole.run(20.0)
        self.come_back(pole)
        pole.run(EVER_S)
        assert self.results(pole) == {"flood": ("stopped", Reason.NOT_AFTER)}

    def test_an_ordinary_item_is_not(self) -> None:
        pole = self.away()
        pole.order(play("news", kind=Kind.PRIORITY))
        pole.run(1.0)
        assert self.results(pole) == {"news": ("failed", Reason.NO_ANSWER)}

    def test_what_breaks_off_amid_a_sounding_goes_on_where_it_was(self) -> None:
        pole = pole_of(sound_length_s=60.0)
        pole.order(play("flood", RELAY, kind=Kind.EMERGENCY, max_duration_s=30))
        pole.run(10.0)
        current = pole.state.programme.current
        assert current is not None
        pole.tell(ev.SourceFailed(current.token, Reason.STALLED, "no bytes"))
        pole.tell(ev.SoundStarved(current.token, pole.mono_s))
        pole.run(60.0)
        assert [each.item for each in pole.heard] == ["flood"] * 2
        assert self.results(pole) == {"flood": ("played", Reason.MAX_DURATION)}
        assert pole.records[0].played_s == pytest.approx(30.0, abs=0.1)

    def test_it_outlives_a_crash_and_a_power_cut(self) -> None:
        pole = self.away()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(100.0)
        pole = pole.after_crash()
        pole.run(100.0)
        assert pole.records == []
        pole = pole.after_power_cut(synchronised=True, wall_s=pole.world_s + 60.0)
        self.come_back(pole)
        pole.run(LONGEST_PAUSE_S)
        assert self.results(pole) == {"flood": ("played", None)}

    def test_it_is_told_while_it_lasts(self) -> None:
        """By one alarm, a line for each try, and on the machine itself."""
        pole = self.away()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(200.0)
        assert [each for each in pole.reports if isinstance(each, Alarm)] == [
            Alarm("no_source", f"flood, no_answer: {A} failed", 1)
        ]
        lines = [it.text for _, it in pole.history if isinstance(it, do.Log) and "no source is to be had" in it.text]
        assert len(lines) == len(self.tries(pole))
        found = condition(pole)
        assert ([each.stage for each in found.programme], found.silence) == (["unreachable"], (Silence.SOURCE,))
        self.come_back(pole)
        pole.run(LONGEST_PAUSE_S)
        assert Silence.SOURCE not in condition(pole).silence
        assert sum(isinstance(each, Alarm) for each in pole.reports) == 1
