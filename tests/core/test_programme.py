"""Who has the air, and what becomes of whoever had it: pre-emption, turns, repeats, common starts (protocol 7)."""

import itertools
from dataclasses import replace
from datetime import date

import pytest

from agent.core import programme as prog
from agent.core import turns
from agent.core.amplifier import AmplifierSettings
from agent.core.prefetching import MAX_WANTED
from agent.core.stages import FETCH_PATIENCE_S, Stage
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Order, Play, Prefetch, Repeat, SetMute
from agent.messages.documents import Day, SetSchedule, Slot
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm
from agent.messages.rules import Ceiling, Rules, split
from agent.messages.sources import CHIME_SAMPLES, Builtin, BuiltinName, File, Source
from agent.messages.words import Kind
from tests.core.pole import (
    FILE,
    OTHER_FILE,
    RELAY,
    START_WALL_S,
    Behaviour,
    Heard,
    Pole,
    altered,
    make_pole,
    play,
    stop,
)


def alarms(pole: Pole) -> list[Alarm]:
    return [each for each in pole.reports if isinstance(each, Alarm)]


INSTANT = AmplifierSettings(warm_up_ms=0)
LONG = 600.0


def pole_of(sound_length_s: float = LONG, **members: object) -> Pole:
    return make_pole(Behaviour(sound_length_s=sound_length_s, **members), main=INSTANT).start().connect()  # type: ignore[arg-type]


def emergency(name: str = "flood", *sources: object, **members: object) -> Play:
    return altered(play(name, *sources, kind=Kind.EMERGENCY, max_duration_s=600), **members)  # type: ignore[arg-type]


def stretches(pole: Pole) -> list[tuple[str, float, float]]:
    """Item and which seconds of its source, in the order of hearing."""
    return [(each.item, round(each.from_s, 2), round(each.until_s, 2)) for each in pole.heard]


def results(pole: Pole) -> dict[str, tuple[str, Reason | None]]:
    return {record.item: (record.result, record.reason) for record in pole.records}


class TestPreEmption:
    def test_an_emergency_sounds_at_once_and_the_programme_goes_on_where_it_was(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("news"))
        pole.run(10.0)
        ordered_s = pole.mono_s
        pole.order(emergency())
        pole.run(60.0)
        news, flood, rest = pole.heard
        assert [each.item for each in pole.heard] == ["news", "flood", "news"]
        assert flood.at_s - ordered_s < 0.1, "decoded while the news still sounded"
        assert rest.from_s == news.until_s, "no sample lost or doubled"
        assert rest.until_s == 20.0
        assert results(pole) == {"flood": ("played", None), "news": ("played", None)}
        (record,) = (each for each in pole.records if each.item == "news")
        assert record.played_s == pytest.approx(20.0)

    def test_priority_interrupts_nothing(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("news"))
        pole.run(5.0)
        pole.order(play("notice", kind=Kind.PRIORITY))
        pole.run(60.0)
        assert stretches(pole) == [("news", 0.0, 20.0), ("notice", 0.0, 20.0)]

    def test_the_programme_sounds_on_while_the_emergency_is_fetched(self) -> None:
        pole = pole_of(30.0)
        pole.order(play("news", OTHER_FILE))
        pole.run(5.0)
        pole.behaviour.fetch_s = 3.0
        pole.order(emergency())
        pole.run(2.0)
        assert pole.state.programme.current is not None
        assert pole.state.programme.current.name == "news"
        pole.run(90.0)
        assert [each.item for each in pole.heard] == ["news", "flood", "news"]
        assert pole.heard[1].at_s - pole.heard[0].at_s == pytest.approx(7.9, abs=0.3)

    def test_an_emergency_that_cannot_be_fetched_leaves_the_programme_alone(self) -> None:
        pole = pole_of(30.0, fetch_fails={"https://files.example/b.mp3": Reason.HTTP_ERROR})
        pole.order(play("news"))
        pole.run(5.0)
        pole.order(emergency("flood", OTHER_FILE))
        pole.run(60.0)
        assert stretches(pole) == [("news", 0.0, 30.0)]
        assert results(pole)["flood"] == ("failed", Reason.HTTP_ERROR)

    def test_a_relay_is_rejoined_live(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("radio", RELAY, max_duration_s=25))
        pole.run(10.0)
        pole.order(emergency())
        pole.run(60.0)
        assert [each.item for each in pole.heard] == ["radio", "flood", "radio"]
        assert len(pole.of(do.OpenStream)) == 2, "the stream went on without us"
        (record,) = (each for each in pole.records if each.item == "radio")
        assert record.played_s == pytest.approx(25.0, abs=0.1), "what had sounded counts"

    def test_resume_false_ends_what_was_pre_empted(self) -> None:
        pole = pole_of(20.0)
        pole.order(altered(play("news"), resume=False))
        pole.run(10.0)
        pole.order(emergency())
        pole.run(60.0)
        assert results(pole)["news"] == ("stopped", Reason.PRE_EMPTED)
        assert [each.item for each in pole.heard] == ["news", "flood"]

    def test_what_was_pre_empted_does_not_come_back_after_its_window(self) -> None:
        pole = pole_of(40.0)
        pole.order(altered(play("news"), not_after=pole.wall_s + 30))
        pole.run(10.0)
        pole.order(emergency())
        pole.run(120.0)
        assert [each.item for each in pole.heard] == ["news", "flood"]
        assert results(pole)["news"] == ("stopped", Reason.NOT_AFTER)

    def test_what_waits_comes_after_what_was_pre_empted(self) -> None:
        pole = pole_of(10.0)
        pole.order(play("news"))
        pole.order(play("notice", kind=Kind.PRIORITY))
        pole.run(5.0)
        pole.order(emergency())
        pole.run(60.0)
        assert [each.item for each in pole.heard] == ["news", "flood", "news", "notice"]

    def test_a_held_item_can_be_stopped(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("news"))
        pole.run(5.0)
        pole.order(emergency())
        pole.run(5.0)
        pole.order(stop("news"))
        pole.run(60.0)
        assert results(pole) == {"news": ("stopped", Reason.STOPPED), "flood": ("played", None)}
        assert [each.item for each in pole.heard] == ["news", "flood"], "the emergency is not touched"

    def test_an_emergency_in_another_zone_closes_the_one_that_it_does_not_name(self) -> None:
        street = AmplifierSettings(warm_up_ms=500)
        pole = make_pole(Behaviour(sound_length_s=20.0), hall=INSTANT, street=street).start().connect()
        pole.order(altered(play("news"), zones=("hall",)))
        pole.run(5.0)
        pole.order(emergency(zones=("street",)))
        pole.run(6.0)
        assert pole.state.amplifiers["hall"].mode.value in {"off", "linger"}
        assert pole.state.amplifiers["street"].mode.value == "on"
        pole.run(60.0)
        assert [each.item for each in pole.heard] == ["news", "flood", "news"]


class TestTurns:
    def test_a_second_emergency_begins_at_the_end_of_the_first_ones_sounding_and_then_they_take_turns(self) -> None:
        pole = pole_of(30.0)
        pole.order(emergency("flood", repeat=Repeat(3, 0)))
        pole.run(10.0)
        pole.order(emergency("dam", repeat=Repeat(2, 0)))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["flood", "dam", "flood", "dam", "flood"]
        assert all((each.from_s, each.until_s) == (0.0, 30.0) for each in pole.heard)

    def test_it_waits_no_longer_than_a_minute(self) -> None:
        pole = pole_of(200.0)
        pole.order(emergency("flood"))
        pole.run(30.0)
        ordered_s = pole.mono_s
        pole.order(emergency("dam"))
        pole.run(900.0)
        assert pole.heard[1].item == "dam"
        assert pole.heard[1].at_s - ordered_s == pytest.approx(60.0, abs=0.1)
        turns = [each.until_s - each.from_s for each in pole.heard[1:4]]
        assert turns == [pytest.approx(60.0, abs=0.2)] * 3
        heard = {name: sum(e.until_s - e.from_s for e in pole.heard if e.item == name) for name in ("flood", "dam")}
        assert heard == {"flood": pytest.approx(200.0, abs=0.1), "dam": pytest.approx(200.0, abs=0.1)}

    def test_three_take_turns_and_each_is_heard_whole(self) -> None:
        pole = pole_of(100.0)
        for name in ("flood", "dam", "storm", "fire"):
            pole.order(emergency(name))
        pole.run(1_200.0)
        heard = {name: sum(e.until_s - e.from_s for e in pole.heard if e.item == name) for name in results(pole)}
        assert heard == {name: pytest.approx(100.0, abs=0.2) for name in ("flood", "dam", "storm", "fire")}

    def test_nor_does_it_miss_its_turn_where_the_relay_rests_between_two_soundings(self) -> None:
        zone = AmplifierSettings(warm_up_ms=0, linger_ms=0, min_off_ms=2_000)
        pole = make_pole(Behaviour(sound_length_s=40.0), main=zone).start().connect()
        pole.order(emergency("flood", repeat=Repeat(2, 0)))
        pole.run(5.0)
        pole.order(emergency("dam"))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["flood", "dam", "flood"]

    def test_nor_where_the_one_before_it_rests_at_the_longest_time_on(self) -> None:
        zone = AmplifierSettings(warm_up_ms=0, max_on_s=60, min_off_ms=2_000)
        pole = make_pole(Behaviour(sound_length_s=200.0), main=zone).start().connect()
        pole.order(emergency("flood"))
        pole.run(50.0)
        pole.order(emergency("dam"))
        pole.run(900.0)
        assert [each.item for each in pole.heard[:3]] == ["flood", "dam", "flood"]
        assert pole.heard[1].at_s - pole.heard[0].at_s == pytest.approx(62.0, abs=0.2)

    def test_nor_where_it_needs_an_amplifier_that_is_cold(self) -> None:
        """It is decoded ahead of its turn, and its lane must not be full before the amplifier is warm."""
        street = AmplifierSettings(warm_up_ms=1_500)
        pole = make_pole(Behaviour(sound_length_s=200.0), hall=INSTANT, street=street).start().connect()
        pole.order(emergency("flood", zones=("hall",)))
        pole.run(1.0)
        pole.order(emergency("dam", zones=("street",)))
        pole.run(900.0)
        assert [each.item for each in pole.heard[:3]] == ["flood", "dam", "flood"]
        assert pole.heard[1].at_s - pole.heard[0].at_s == pytest.approx(62.5, abs=0.2)

    @pytest.mark.parametrize("more_s", [0.0, 1.3, 2.6])
    def test_the_node_looks_by_itself_when_a_turn_ends(self, more_s: float) -> None:
        """No news comes in these seconds."""
        pole = pole_of(200.0, advance_s=4)
        pole.order(emergency("flood"))
        pole.run(10.0 + more_s)
        ordered_s = pole.mono_s
        pole.order(emergency("dam"))
        pole.run(65.0)
        assert pole.on_card_since_s - ordered_s == pytest.approx(60.0, abs=0.1)

    def test_the_pause_between_soundings_is_not_filled_with_the_programme(self) -> None:
        pole = pole_of(10.0)
        pole.order(play("news"))
        pole.run(3.0)
        pole.order(emergency(repeat=Repeat(2, 20)))
        pole.run(120.0)
        assert [each.item for each in pole.heard] == ["news", "flood", "flood", "news"]
        assert pole.heard[2].at_s - pole.heard[1].at_s == pytest.approx(30.0, abs=0.2)

    def test_a_drill_that_is_set_for_later_does_not_silence_the_programme_until_then(self) -> None:
        pole = pole_of(10.0)
        start_s = pole.wall_s + 3_000
        pole.order(emergency("drill", start_at=start_s))
        pole.run(1.0)
        pole.order(play("news"))
        pole.run(3_100.0)
        news, drill = pole.heard
        assert (news.item, drill.item) == ("news", "drill")
        assert news.at_s < 1_002.0
        assert drill.at_s + pole.wall_offset_s == pytest.approx(start_s)

    @pytest.mark.parametrize("common", [False, True])
    def test_a_long_pause_is_filled_with_the_programme_a_short_one_is_not(self, common: bool) -> None:
        """Whether the soundings began on a common instant or not."""
        pole = pole_of(10.0)
        order = emergency(repeat=Repeat(2, 600))
        order = altered(order, start_at=pole.wall_s + 15) if common else order
        pole.order(order)
        pole.run(560.0)
        pole.order(play("late"))
        pole.run(20.0)
        assert [each.item for each in pole.heard] == ["flood"]
        pole.run(600.0)
        assert [each.item for each in pole.heard] == ["flood", "flood", "late"]
        pole = pole_of(10.0)
        pole.order(order)
        pole.run(30.0)
        pole.order(play("soon"))
        pole.run(800.0)
        assert [each.item for each in pole.heard] == ["flood", "soon", "flood"]

    def test_an_emergency_at_the_longest_time_on_rests_and_goes_on(self) -> None:
        zone = AmplifierSettings(warm_up_ms=0, max_on_s=60, min_off_ms=2_000)
        pole = make_pole(Behaviour(sound_length_s=100.0), main=zone).start().connect()
        pole.order(emergency())
        pole.run(200.0)
        first, second = pole.heard
        assert second.from_s == first.until_s
        assert second.until_s == 100.0
        assert [on for _, on in pole.relay()] == [True, False, True, False]
        assert pole.relay()[2][0] - pole.relay()[1][0] == pytest.approx(2.0)
        assert results(pole) == {"flood": ("played", None)}

    def test_nothing_else_sounds_while_it_rests(self) -> None:
        zone = AmplifierSettings(warm_up_ms=0, max_on_s=60, min_off_ms=5_000)
        pole = make_pole(Behaviour(sound_length_s=100.0), main=zone).start().connect()
        pole.order(emergency())
        pole.order(play("news", max_duration_s=10))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["flood", "flood", "news"]


BIG = "https://files.example/b.mp3"
BIG_FILE = Source(file=File(BIG, "b" * 64, 50_000_000))
SIREN = Source(builtin=Builtin(BuiltinName.SIREN))


class TestSlowSources:
    """What is not there yet has no right to its turn."""

    def begun(self, pole: Pole, item: str) -> float:
        return next(each.at_s for each in pole.heard if each.item == item)

    def test_an_emergency_does_not_wait_for_another_ones_file(self) -> None:
        pole = pole_of(60.0, fetch_slow={BIG: 1_800.0})
        pole.order(play("news", max_duration_s=4_000))
        pole.run(5.0)
        pole.order(emergency("flood", BIG_FILE))
        pole.run(5.0)
        ordered_s = pole.mono_s
        pole.order(emergency("dam", SIREN, max_duration_s=20))
        pole.run(2_000.0)
        assert self.begun(pole, "dam") - ordered_s < 0.1
        assert self.begun(pole, "flood") == pytest.approx(1_005.0 + 1_800.0, abs=0.1), "fetched on all the time"
        assert results(pole)["flood"] == ("played", None)

    def test_nor_on_a_pole_where_nothing_sounds(self) -> None:
        pole = pole_of(30.0, fetch_slow={BIG: 900.0})
        pole.order(emergency("flood", BIG_FILE))
        pole.run(5.0)
        ordered_s = pole.mono_s
        pole.order(emergency("dam", SIREN, max_duration_s=30))
        pole.run(10.0)
        assert pole.on_card_since_s - ordered_s < 0.1

    def test_the_programme_goes_on_while_an_emergency_is_fetched_and_gives_way_once_it_is_there(self) -> None:
        pole = pole_of(30.0, fetch_slow={BIG: 40.0})
        pole.order(emergency("flood", BIG_FILE))
        pole.order(play("news"))
        pole.order(play("notice"))
        pole.run(200.0)
        assert [each.item for each in pole.heard] == ["news", "notice", "flood", "notice"]
        assert self.begun(pole, "news") == pytest.approx(1_000.0 + FETCH_PATIENCE_S, abs=0.1)
        assert self.begun(pole, "flood") == pytest.approx(1_040.0, abs=0.1)
        assert {each[0] for each in results(pole).values()} == {"played"}

    def test_an_emergency_asks_its_next_source_after_some_seconds_and_its_file_is_there_the_next_time(self) -> None:
        pole = pole_of(60.0, fetch_slow={BIG: 30.0})
        pole.order(emergency("flood", BIG_FILE, SIREN, max_duration_s=60, repeat=Repeat(2, 0)))
        pole.run(300.0)
        siren, file = pole.heard
        assert siren.at_s == pytest.approx(1_000.0 + FETCH_PATIENCE_S, abs=0.1)
        assert file.at_s == pytest.approx(siren.at_s + 60.0, abs=0.1)
        assert pole.records[0].source.kind == "file"

    def test_an_ordinary_file_that_is_slow_keeps_nobody_waiting_for_long(self) -> None:
        pole = pole_of(20.0, fetch_slow={BIG: 100.0})
        pole.order(play("big", BIG_FILE))
        pole.order(play("news"))
        pole.run(60.0)
        assert self.begun(pole, "news") == pytest.approx(1_000.0 + FETCH_PATIENCE_S, abs=0.1)
        pole.run(100.0)
        assert self.begun(pole, "big") == pytest.approx(1_100.0, abs=0.1)

    def test_a_slot_sounds_on_its_minute_though_a_file_is_slow(self) -> None:
        pole = pole_of(20.0, fetch_slow={BIG: 7_200.0})
        pole.order(play("big", BIG_FILE), life_s=80_000)
        pole.run(60.0)
        start_s = pole.wall_s + 60
        pole.order(altered(play("slot"), start_at=start_s))
        pole.run(120.0)
        assert self.begun(pole, "slot") + pole.wall_offset_s == pytest.approx(start_s)

    def test_four_slow_emergencies_do_not_keep_a_fifth_waiting(self) -> None:
        pole = pole_of(20.0, fetch_slow={BIG: 600.0})
        for name in ("a", "b", "c", "d"):
            pole.order(emergency(name, BIG_FILE))
        pole.run(20.0)
        ordered_s = pole.mono_s
        pole.order(emergency("siren", SIREN, max_duration_s=20))
        pole.run(60.0)
        assert self.begun(pole, "siren") - ordered_s < FETCH_PATIENCE_S + 0.1
        pole.run(3_000.0)
        assert {each[0] for each in results(pole).values()} == {"played"}

    @pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.EMERGENCY])
    def test_where_a_source_fails_amid_an_item_no_emergency_waits_for_its_next(self, kind: Kind) -> None:
        pole = pole_of(20.0, fetch_slow={BIG: 60.0})
        pole.order(play("radio", RELAY, BIG_FILE, kind=kind, max_duration_s=600))
        pole.run(10.0)
        silence(pole)
        ordered_s = pole.mono_s
        pole.order(emergency("flood", SIREN, max_duration_s=10))
        pole.run(120.0)
        assert self.begun(pole, "flood") - ordered_s < 0.1
        assert [each.item for each in pole.heard] == ["radio", "flood", "radio"]

    def test_nor_does_what_waits_for_long(self) -> None:
        pole = pole_of(20.0, fetch_slow={BIG: 60.0})
        pole.order(play("radio", RELAY, BIG_FILE, max_duration_s=600))
        pole.order(play("news"))
        pole.run(10.0)
        failed_s = silence(pole)
        pole.run(120.0)
        assert self.begun(pole, "news") - failed_s == pytest.approx(FETCH_PATIENCE_S, abs=0.1)
        assert [each.item for each in pole.heard] == ["radio", "news", "radio"]


def silence(pole: Pole) -> float:
    """The source of what sounds gives nothing more, until it is given up; when that was."""
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SourceFailed(current.token, Reason.STALLED, "no bytes"))
    pole.tell(ev.SoundStarved(current.token, pole.mono_s))
    pole.run(0.02)
    return pole.mono_s


class TestReplaces:
    def test_the_old_warning_sounds_until_the_new_one_can(self) -> None:
        pole = pole_of(100.0)
        pole.order(emergency("flood-1"))
        pole.run(10.0)
        pole.behaviour.fetch_s = 2.0
        pole.order(emergency("flood-2", OTHER_FILE, replaces=("flood-1",)))
        pole.run(1.0)
        assert pole.state.programme.current is not None
        assert pole.state.programme.current.name == "flood-1"
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["flood-1", "flood-2"]
        assert results(pole) == {"flood-1": ("stopped", Reason.REPLACED), "flood-2": ("played", None)}

    def test_a_replacement_that_cannot_be_fetched_silences_nothing(self) -> None:
        pole = pole_of(100.0, fetch_fails={"https://files.example/b.mp3": Reason.NO_ANSWER})
        pole.order(emergency("flood-1"))
        pole.run(10.0)
        pole.order(emergency("flood-2", OTHER_FILE, replaces=("flood-1",)))
        pole.run(300.0)
        assert stretches(pole) == [("flood-1", 0.0, 100.0)]
        assert results(pole)["flood-1"] == ("played", None)

    def test_what_waits_is_replaced_at_once(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("now"))
        pole.order(play("old"))
        pole.run(1.0)
        pole.order(altered(play("new"), replaces=("old",)))
        assert results(pole) == {"old": ("stopped", Reason.REPLACED)}

    def test_a_normal_item_takes_the_place_of_the_one_it_replaces(self) -> None:
        pole = pole_of(60.0)
        pole.order(play("draft"))
        pole.run(10.0)
        pole.order(altered(play("final"), replaces=("draft",)))
        pole.run(100.0)
        assert [each.item for each in pole.heard] == ["draft", "final"]
        assert pole.heard[0].until_s == pytest.approx(10.0, abs=0.1)
        assert results(pole) == {"draft": ("stopped", Reason.REPLACED), "final": ("played", None)}

    def test_a_priority_item_that_waits_does_not_keep_what_is_replaced_on_the_air(self) -> None:
        pole = pole_of()
        pole.order(play("draft", max_duration_s=600))
        pole.run(5.0)
        pole.order(play("notice", kind=Kind.PRIORITY, max_duration_s=20))
        pole.order(altered(play("final", OTHER_FILE, max_duration_s=20), replaces=("draft",)))
        pole.run(100.0)
        assert stretches(pole)[0][2] == pytest.approx(5.0, abs=0.1)
        assert [each.item for each in pole.heard] == ["draft", "final", "notice"]
        assert results(pole)["draft"] == ("stopped", Reason.REPLACED)

    def test_another_emergency_that_waits_does_not_keep_a_false_alarm_on_the_air(self) -> None:
        pole = pole_of(100.0)
        pole.order(emergency("false", repeat=Repeat(3, 0)))
        pole.run(5.0)
        pole.order(emergency("dam", OTHER_FILE))
        pole.run(2.0)
        ordered_s = pole.mono_s - 2.0
        pole.order(emergency("correction", OTHER_FILE, replaces=("false",)))
        pole.run(1_000.0)
        assert [each.item for each in pole.heard][:3] == ["false", "correction", "dam"]
        assert stretches(pole)[0][2] == pytest.approx(7.0, abs=0.1)
        assert pole.heard[2].at_s - ordered_s == pytest.approx(60.0, abs=0.1), "the other waits no longer for that"
        assert results(pole) == {
            "false": ("stopped", Reason.REPLACED),
            "dam": ("played", None),
            "correction": ("played", None),
        }

    @pytest.mark.parametrize("when_s", [5.0, 15.0])
    def test_in_its_pause_and_while_another_has_its_turn_it_is_replaced_as_well(self, when_s: float) -> None:
        """Ordered while the old one sounds or pauses, the new one can sound only in its pause, 40 s later."""
        pole = pole_of(10.0, fetch_slow={BIG: 40.0})
        pole.order(emergency("old", repeat=Repeat(5, 20)))
        pole.run(when_s)
        pole.order(emergency("new", OTHER_FILE, replaces=("old",)))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["old", "old", "new"]
        assert results(pole)["old"] == ("stopped", Reason.REPLACED)

    def test_while_another_has_its_turn_the_old_one_is_replaced_too(self) -> None:
        pole = pole_of(100.0)
        pole.order(emergency("old"))
        pole.run(5.0)
        pole.order(emergency("dam", OTHER_FILE))
        pole.run(70.0)
        pole.order(emergency("new", replaces=("old",)))
        pole.run(300.0)
        assert "old" not in [each.item for each in pole.heard][1:]
        assert results(pole)["old"] == ("stopped", Reason.REPLACED)

    def test_a_warning_that_has_begun_goes_on_until_its_successor_sounds_also_from_its_pause(self) -> None:
        pole = pole_of(10.0, fetch_fails={BIG: Reason.NO_ANSWER})
        pole.order(emergency("old", repeat=Repeat(3, 20)))
        pole.run(15.0)
        pole.order(emergency("new", OTHER_FILE, replaces=("old",)))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["old"] * 3
        assert results(pole) == {"new": ("failed", Reason.NO_ANSWER), "old": ("played", None)}

    def test_one_that_nobody_has_heard_yet_ends_at_once(self) -> None:
        pole = pole_of(100.0, fetch_slow={BIG: 40.0})
        pole.order(emergency("old", OTHER_FILE))
        pole.run(5.0)
        pole.order(emergency("new", OTHER_FILE, replaces=("old",)))
        assert results(pole) == {"old": ("stopped", Reason.REPLACED)}

    def test_after_a_crash_the_new_one_still_replaces_the_old(self) -> None:
        pole = pole_of(100.0, fetch_slow={BIG: 20.0})
        pole.order(emergency("old", repeat=Repeat(2, 0)))
        pole.run(5.0)
        pole.order(emergency("new", OTHER_FILE, replaces=("old",)))
        pole.run(2.0)
        again = pole.after_crash().connect()
        again.run(500.0)
        assert [each.item for each in again.heard] == ["old", "new"]
        assert results(again) == {"old": ("stopped", Reason.REPLACED), "new": ("played", None)}

    def test_a_later_item_of_the_same_name_is_another(self) -> None:
        pole = pole_of(10.0, fetch_slow={BIG: 60.0})
        pole.order(emergency("old"))
        pole.run(5.0)
        pole.order(emergency("new", OTHER_FILE, replaces=("old",)))
        pole.run(10.0)
        pole.order(emergency("old", repeat=Repeat(5, 20)))
        pole.run(300.0)
        assert [(each.item, each.result) for each in pole.records] == [
            (each, "played") for each in ("old", "new", "old")
        ]

    def test_nothing_is_replaced_that_was_issued_after_it(self) -> None:
        pole = pole_of(100.0, fetch_slow={BIG: 20.0})
        pole.order(emergency("new", OTHER_FILE, replaces=("flood",)))
        pole.run(5.0)
        pole.order(emergency("flood"))
        pole.run(5.0)
        again = pole.after_crash().connect()
        again.run(500.0)
        assert results(again) == {"new": ("played", None), "flood": ("played", None)}

    def test_what_was_to_sound_next_sounds_after_an_emergency_before_what_it_replaces(self) -> None:
        pole = pole_of(20.0)
        pole.order(play("draft", max_duration_s=600))
        pole.run(5.0)
        pole.behaviour.decode_s = 3.0
        pole.order(altered(play("final"), replaces=("draft",)))
        pole.run(1.0)
        pole.order(emergency("flood"))
        pole.run(200.0)
        assert [each.item for each in pole.heard] == ["draft", "flood", "final"]

    def test_only_what_the_key_could_have_ordered_is_replaced_and_the_outcome_says_what_stayed(self) -> None:
        pole = pole_of(60.0)
        pole.order(emergency("flood"), iss="civil defence")
        pole.run(5.0)
        jti = pole.order(altered(play("song"), replaces=("flood", "unknown")), may=frozenset({"play.normal", "stop"}))
        assert pole.outcome(jti).detail == "stayed: flood"
        pole.run(200.0)
        assert [each.item for each in pole.heard] == ["flood", "song"]


class TestOrder:
    def test_the_operator_decides_and_later_ones_come_behind(self) -> None:
        pole = pole_of(20.0)
        for name in ("now", "a", "b", "c"):
            pole.order(play(name, kind=Kind.PRIORITY))
        pole.run(1.0)
        jti = pole.order(Order(("c", "a", "gone")))
        assert pole.outcome(jti).detail == "not waiting: gone"
        pole.order(play("d", kind=Kind.PRIORITY))
        pole.run(300.0)
        assert [each.item for each in pole.heard] == ["now", "c", "a", "b", "d"]

    def test_it_survives_a_power_cut(self) -> None:
        pole = pole_of(20.0)
        pole.order(Order(("x",)))
        writes = [each.writes for _, each in pole.of(do.Commit) if isinstance(each, do.Commit)]
        assert not any(isinstance(write, do.KeepOrder) for each in writes for write in each)
        for name in ("now", "a", "b"):
            pole.order(play(name, kind=Kind.PRIORITY))
        pole.run(1.0)
        pole.order(Order(("b",)))
        assert list(pole.stored.items) == ["b", "now", "a"]

    def test_none_of_them_waits(self) -> None:
        pole = pole_of()
        assert pole.outcome(pole.order(Order(("nobody",)))).reason is Reason.UNKNOWN_ITEM


class TestRepeat:
    def test_each_sounding_is_whole_and_there_is_one_record(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("notice"), repeat=Repeat(3, 10)))
        pole.run(100.0)
        assert stretches(pole) == [("notice", 0.0, 5.0)] * 3
        begun = [each.at_s for each in pole.heard]
        assert [b - a for a, b in itertools.pairwise(begun)] == [pytest.approx(15.0, abs=0.2)] * 2
        (record,) = pole.records
        assert record.played_s == pytest.approx(15.0)

    def test_others_sound_in_its_pauses(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("notice"), repeat=Repeat(2, 60)))
        pole.order(play("news"))
        pole.run(200.0)
        assert [each.item for each in pole.heard] == ["notice", "news", "notice"]

    def test_its_window_ends_it(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("notice"), repeat=Repeat(100, 10), not_after=pole.wall_s + 50))
        pole.run(200.0)
        assert len(pole.heard) == 4
        assert results(pole)["notice"] == ("stopped", Reason.NOT_AFTER)

    def test_an_emergency_whose_server_is_away_for_a_while_is_tried_again(self) -> None:
        pole = pole_of(5.0, fetch_fails={"https://files.example/a.mp3": Reason.NO_ANSWER})
        pole.order(emergency("flood", FILE, repeat=Repeat(4, 0)))
        pole.run(8.0)
        pole.behaviour.fetch_fails = {}
        pole.run(60.0)
        assert [each.item for each in pole.heard] == ["flood"] * 2
        assert results(pole)["flood"] == ("played", None)

    def test_the_chime_comes_before_the_first_alone_and_does_not_shorten_the_item(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("notice", max_duration_s=4), chime=True, repeat=Repeat(2, 5)))
        pole.run(60.0)
        decodes = [each for _, each in pole.of(do.Decode) if isinstance(each, do.Decode)]
        assert [each.chime for each in decodes] == [True, False]
        sounds = [each for _, each in pole.of(do.Sound) if isinstance(each, do.Sound)]
        assert [each.max_samples for each in sounds] == [4 * 48_000 + CHIME_SAMPLES, 4 * 48_000]


class TestCommonStart:
    def test_the_first_sample_falls_on_the_instant_with_the_amplifier_warm(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=20.0)).start().connect()
        pole.order(altered(play("news"), start_at=pole.wall_s + 60))
        pole.run(120.0)
        (heard,) = pole.heard
        assert heard.at_s + pole.wall_offset_s == pytest.approx(START_WALL_S + 60, abs=1.0)
        assert heard.at_s + pole.wall_offset_s == int(START_WALL_S) + 60
        assert heard.from_s == 0.0
        assert heard.at_s - pole.relay()[0][0] == pytest.approx(0.8 + 0.3, abs=0.01)
        ((decoded_s, _),) = pole.of(do.Decode)
        assert heard.at_s - decoded_s == pytest.approx(turns.DECODE_AHEAD_S, abs=0.01)

    def test_each_node_has_its_offset(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=5.0))
        pole.settings = replace(pole.settings, start_offset_ms=40)
        pole.__post_init__()
        pole.start().connect()
        pole.order(altered(play("news"), start_at=pole.wall_s + 30))
        pole.run(60.0)
        assert pole.heard[0].at_s + pole.wall_offset_s == pytest.approx(int(START_WALL_S) + 30.04)

    @pytest.mark.parametrize("late_s", [0.4, 2.0, 11.0])
    def test_a_late_node_joins_where_the_others_are(self, late_s: float) -> None:
        pole = pole_of(20.0)
        pole.run(late_s % 1)
        pole.order(altered(play("news"), start_at=int(START_WALL_S + late_s % 1 - late_s)))
        pole.run(60.0)
        (heard,) = pole.heard
        start_s = int(START_WALL_S + late_s % 1 - late_s)
        assert heard.from_s == pytest.approx(heard.at_s + pole.wall_offset_s - start_s, abs=0.001)
        assert heard.until_s == 20.0

    def heard_at(self, pole: Pole, start_s: int) -> list[tuple[float, float]]:
        """When each stretch begins, counted from the start, and where in its source."""
        return [(round(each.at_s + pole.wall_offset_s - start_s, 2), round(each.from_s, 2)) for each in pole.heard]

    @pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.EMERGENCY])
    @pytest.mark.parametrize("late_s", [25, 50, 80])
    def test_a_node_that_missed_soundings_joins_the_one_that_is_due(self, kind: Kind, late_s: int) -> None:
        """A file of 20 s, pauses of 5: the others begin at 0, 25, 50 and so on."""
        pole = pole_of(20.0)
        start_s = pole.wall_s - late_s
        pole.order(altered(play("news", kind=kind), start_at=start_s, repeat=Repeat(10, 5)))
        pole.run(400.0)
        first, *others = self.heard_at(pole, start_s)
        assert first[0] % 25 == pytest.approx(first[1], abs=0.01), "in step with the others"
        assert first[0] < late_s + 6.0
        begun = [at_s - at_s % 25 for at_s, _ in (first, *others)]
        assert begun == [25.0 * number for number in range(int(begun[0] // 25), 10)]
        assert all(from_s == 0.0 for _, from_s in others)
        assert results(pole) == {"news": ("played", None)}

    @pytest.mark.parametrize("sound_length_s", [20.0, LONG])
    def test_beyond_the_longest_duration_as_well(self, sound_length_s: float) -> None:
        """12 s of the file sound: the others begin at 0, 17, 34."""
        pole = pole_of(sound_length_s)
        start_s = pole.wall_s - 35
        pole.order(altered(play("news", max_duration_s=12), start_at=start_s, repeat=Repeat(4, 5)))
        pole.run(100.0)
        first, second = self.heard_at(pole, start_s)
        assert first[0] - 34.0 == pytest.approx(first[1], abs=0.01)
        assert second == (51.0, 0.0)

    @pytest.mark.parametrize("source", [RELAY, Source(builtin=Builtin(BuiltinName.TONE))], ids=["relay", "tone"])
    def test_and_where_the_source_has_no_end(self, source: Source) -> None:
        pole = pole_of(4_000.0)
        start_s = pole.wall_s - 35
        pole.order(altered(play("news", source, max_duration_s=12), start_at=start_s, repeat=Repeat(4, 5)))
        pole.run(100.0)
        _, second = self.heard_at(pole, start_s)
        assert second == (51.0, 0.0)

    def test_after_a_chime_too(self) -> None:
        """2 s of chime, then 20 s of file, a pause of 5: the second begins at 27."""
        pole = pole_of(20.0)
        start_s = pole.wall_s - 30
        pole.order(altered(play("news"), start_at=start_s, repeat=Repeat(3, 5), chime=True))
        pole.run(100.0)
        first, second = self.heard_at(pole, start_s)
        assert first[0] - 27.0 == pytest.approx(first[1], abs=0.01)
        assert second == (52.0, 0.0)

    def test_where_nobody_knows_how_long_a_file_is_the_next_sounding_is_heard_all_the_same(self) -> None:
        pole = pole_of(20.0, length_told=False)
        pole.order(altered(play("news", max_duration_s=60), start_at=pole.wall_s - 25, repeat=Repeat(3, 5)))
        pole.run(200.0)
        assert [each.from_s for each in pole.heard] == [0.0, 0.0]
        assert results(pole) == {"news": ("played", None)}

    @pytest.mark.parametrize("length_told", [False, True])
    @pytest.mark.parametrize("late_s", [25, 300])
    def test_an_emergency_that_is_over_everywhere_else_is_heard_whole(self, late_s: int, length_told: bool) -> None:
        pole = pole_of(20.0, length_told=length_told)
        pole.order(emergency("flood", start_at=pole.wall_s - late_s))
        pole.run(100.0)
        assert stretches(pole) == [("flood", 0.0, 20.0)]
        assert results(pole) == {"flood": ("played", None)}

    def test_after_all_its_repeats_once(self) -> None:
        pole = pole_of(20.0)
        pole.order(emergency("flood", start_at=pole.wall_s - 300, repeat=Repeat(5, 5)))
        pole.run(200.0)
        assert stretches(pole) == [("flood", 0.0, 20.0)]

    def test_what_was_heard_before_has_been_played_though_the_last_sounding_came_too_late(self) -> None:
        pole = pole_of(20.0)
        pole.order(altered(play("news"), start_at=pole.wall_s + 12, repeat=Repeat(2, 5)))
        pole.run(40.0)
        pole.order(emergency("flood", SIREN, repeat=Repeat(3, 0)))
        pole.run(120.0)
        assert [each.item for each in pole.heard] == ["news", "news", *["flood"] * 3, "news"]
        assert results(pole)["news"] == ("played", None), "interrupted amid a sounding it goes on"
        pole = pole_of(20.0)
        pole.order(altered(play("news"), start_at=pole.wall_s + 12, repeat=Repeat(2, 5)))
        pole.run(35.0)
        pole.order(emergency("flood", SIREN, repeat=Repeat(3, 0)))
        pole.run(120.0)
        assert [each.item for each in pole.heard] == ["news", *["flood"] * 3]
        assert results(pole)["news"] == ("played", Reason.TOO_LATE)

    def test_too_late_is_said(self) -> None:
        pole = pole_of(20.0)
        pole.order(altered(play("news", max_duration_s=15), start_at=pole.wall_s - 100))
        pole.run(30.0)
        assert results(pole) == {"news": ("missed", Reason.TOO_LATE)}

    @pytest.mark.parametrize("late_s", [0, 60])
    def test_a_relay_that_gives_nothing_to_a_late_node_has_a_next_source(self, late_s: int) -> None:
        """It has no end that one could be too late for."""
        pole = pole_of(LONG, decode_s=None)
        pole.order(altered(play("radio", RELAY, FILE, max_duration_s=300), start_at=pole.wall_s - late_s))
        pole.run(1.0)
        current = pole.state.programme.current
        assert current is not None
        pole.tell(ev.SourceFailed(current.token, Reason.STREAM_ENDED, "the server hung up"))
        pole.behaviour.decode_s = 0.01
        pole.tell(ev.DecodingFailed(current.token, Reason.UNDECODABLE, "no sound in it"))
        pole.run(400.0)
        assert results(pole) == {"radio": ("played", Reason.MAX_DURATION)}
        assert pole.records[0].source.kind == "file"

    def test_one_that_ends_before_a_sample_of_it_is_heard_has_not_been_played(self) -> None:
        pole = pole_of(0.5, decode_s=None)
        pole.run(0.9)
        pole.order(altered(play("radio", RELAY, max_duration_s=300), start_at=pole.wall_s))
        pole.run(0.05)
        [attempt] = prog.attempts(pole.state.programme)
        pole.tell(ev.SourceFailed(attempt.token, Reason.STREAM_ENDED, "the server hung up"))
        pole.tell(ev.SamplesDecoded(attempt.token))
        pole.run(10.0)
        assert results(pole) == {"radio": ("failed", Reason.STREAM_ENDED)}
        assert pole.heard[0].until_s == pole.heard[0].from_s

    def test_a_late_relay_is_joined_live(self) -> None:
        pole = pole_of(60.0)
        pole.order(altered(play("radio", RELAY), start_at=pole.wall_s - 10))
        pole.run(5.0)
        assert [each.at_mono_s for _, each in pole.of(do.Sound) if isinstance(each, do.Sound)] == [None]

    @pytest.mark.parametrize("late_s", [0.0, 1.5, 40.0])
    def test_after_a_chime_all_poles_are_at_one_word_however_late_they_came(self, late_s: float) -> None:
        """The media of all begins two seconds after the instant."""
        pole = pole_of(60.0)
        start_s = pole.wall_s - late_s
        pole.order(altered(play("news"), start_at=int(start_s), chime=True))
        pole.run(120.0)
        [heard] = pole.heard
        [decode] = [effect for _, effect in pole.of(do.Decode) if isinstance(effect, do.Decode)]
        in_media_s = heard.from_s - (2.0 if decode.chime else 0.0)
        assert heard.at_s + pole.wall_offset_s - int(start_s) - 2.0 == pytest.approx(in_media_s, abs=0.001)

    def test_a_relay_joined_late_ends_with_the_others(self) -> None:
        pole = pole_of(600.0)
        pole.order(altered(play("radio", RELAY, max_duration_s=60), start_at=pole.wall_s - 20))
        pole.run(120.0)
        [heard] = pole.heard
        end_s = heard.at_s + heard.until_s - heard.from_s + pole.wall_offset_s
        assert end_s == pytest.approx(int(START_WALL_S) + 40.0, abs=1.0)
        assert pole.records[0].reason is Reason.MAX_DURATION

    def test_an_emergency_with_a_set_start_lets_the_programme_sound_until_then(self) -> None:
        pole = pole_of(100.0)
        pole.order(play("news", max_duration_s=100))
        pole.run(1.0)
        start_s = pole.wall_s + 30
        pole.order(emergency("drill", start_at=start_s))
        pole.run(300.0)
        news, drill, _ = pole.heard
        assert drill.at_s + pole.wall_offset_s == pytest.approx(start_s)
        assert 0.0 < drill.at_s - (news.at_s + news.until_s) < 0.4

    @pytest.mark.parametrize("common", [False, True])
    def test_what_goes_on_after_an_emergency_keeps_to_the_clock_where_others_sound_the_same(self, common: bool) -> None:
        pole = pole_of(60.0)
        order = play("news")
        pole.order(altered(order, start_at=pole.wall_s + 12) if common else order)
        pole.run(30.0)
        pole.order(emergency("flood", SIREN, max_duration_s=5))
        pole.run(100.0)
        sounds = [each for _, each in pole.of(do.Sound) if isinstance(each, do.Sound)]
        assert [each.at_mono_s is not None for each in sounds] == [common, False, False]
        assert [each.paced for each in sounds] == [False, False, common]

    def test_an_emergency_before_the_start_lets_it_join_late(self) -> None:
        pole = pole_of(30.0)
        pole.order(altered(play("news"), start_at=pole.wall_s + 60))
        pole.run(59.0)
        pole.order(emergency())
        pole.run(120.0)
        flood, news = pole.heard
        assert (flood.item, news.item) == ("flood", "news")
        assert news.from_s == pytest.approx(news.at_s + pole.wall_offset_s - int(START_WALL_S) - 60, abs=0.001)

    def test_repeats_of_a_common_start_stay_common(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("news"), start_at=pole.wall_s + 20, repeat=Repeat(3, 0)))
        pole.run(60.0)
        begun = [each.at_s + pole.wall_offset_s - START_WALL_S for each in pole.heard]
        assert begun == [pytest.approx(20.0), pytest.approx(26.0), pytest.approx(32.0)]

    @pytest.mark.parametrize("source", [RELAY, FILE], ids=["relay", "file"])
    def test_a_late_node_plays_to_the_longest_duration_like_all_others(self, source: Source) -> None:
        """What it left out for being late counts, though it did not sound."""
        pole = pole_of(600.0)
        pole.run(0.4)
        pole.order(altered(play("news", source, max_duration_s=30), start_at=pole.wall_s))
        pole.run(60.0)
        assert results(pole) == {"news": ("played", Reason.MAX_DURATION)}
        assert pole.records[0].played_s < 29.6
        [heard] = pole.heard
        assert heard.at_s + heard.until_s - heard.from_s + pole.wall_offset_s == pytest.approx(START_WALL_S + 30.0)

    @pytest.mark.parametrize("sound_length_s", [20.0, 600.0])
    def test_repeats_stay_in_step_on_a_node_that_was_late(self, sound_length_s: float) -> None:
        pole = pole_of(sound_length_s)
        pole.run(0.4)
        start_s = pole.wall_s
        pole.order(altered(play("news", max_duration_s=30), start_at=start_s, repeat=Repeat(3, 5)))
        pole.run(200.0)
        begun = [each.at_s + pole.wall_offset_s - start_s for each in pole.heard]
        one_s = min(sound_length_s, 30.0) + 5.0
        assert begun[1:] == [pytest.approx(one_s), pytest.approx(2 * one_s)]
        assert results(pole)["news"][0] == "played"

    def test_a_start_after_its_own_end_is_refused(self) -> None:
        pole = pole_of()
        order = altered(play("news"), start_at=pole.wall_s + 100, not_after=pole.wall_s + 50)
        assert pole.outcome(pole.order(order)).reason is Reason.EXPIRED

    @pytest.mark.parametrize("stage", [Stage.FETCHING, Stage.FETCHED, Stage.DECODING, Stage.READY])
    def test_nor_where_the_clock_is_set_back_when_it_is_almost_there(self, stage: Stage) -> None:
        pole = pole_of(5.0)
        start_s = pole.wall_s + 60
        pole.order(altered(play("later"), start_at=start_s))
        if stage is Stage.FETCHING:
            pole.behaviour.fetch_s = None
        elif stage is Stage.DECODING:
            pole.behaviour.decode_s = None
        pole.run(55.0 if stage in {Stage.FETCHING, Stage.FETCHED} else 57.5)
        assert [each.stage for each in prog.attempts(pole.state.programme)] == [stage]
        pole.wall_offset_s -= 3_600.0
        pole.tell(ev.Tick())
        pole.behaviour.fetch_s, pole.behaviour.decode_s = 0.002, 0.01
        pole.order(play("news"))
        pole.run(3_700.0)
        assert [each.item for each in pole.heard] == ["news", "later"]
        assert pole.heard[0].at_s < 1_059.0
        assert pole.heard[1].at_s + pole.wall_offset_s == pytest.approx(start_s)

    def test_it_keeps_nobody_waiting_before_its_time(self) -> None:
        pole = pole_of(5.0)
        pole.order(altered(play("later", kind=Kind.PRIORITY), start_at=pole.wall_s + 60))
        pole.order(play("news"))
        pole.run(120.0)
        assert [each.item for each in pole.heard] == ["news", "later"]


class TestPolicy:
    """START_WALL_S is 21:13:20 in Hà Nội, a Monday."""

    QUIET = Rules(quiet_hours=split(21 * 60 + 20, 5 * 60))

    def started(self, rules: Rules, sound_length_s: float = LONG) -> Pole:
        return make_pole(Behaviour(sound_length_s=sound_length_s), rules=rules, main=INSTANT).start().connect()

    def test_quiet_hours_end_what_sounds_and_refuse_what_comes(self) -> None:
        pole = self.started(self.QUIET)
        pole.order(play("news", max_duration_s=3_600))
        pole.order(play("song", max_duration_s=3_600))
        pole.run(600.0)
        assert results(pole) == {
            "news": ("stopped", Reason.POLICY_QUIET_HOURS),
            "song": ("missed", Reason.POLICY_QUIET_HOURS),
        }
        assert pole.heard[0].until_s < 450
        late = pole.order(play("late"))
        assert pole.outcome(late).reason is Reason.POLICY_QUIET_HOURS
        assert "21:20-05:00" in str(pole.outcome(late).detail)

    @pytest.mark.parametrize("more_s", [0.0, 1.3, 2.6])
    def test_what_sounds_changes_its_volume_when_the_ceiling_does(self, more_s: float) -> None:
        """By itself, on the minute: no news comes in these seconds."""
        pole = self.started(Rules(ceilings=(Ceiling(Kind.NORMAL, 30, 21 * 60 + 15, 21 * 60 + 17),)))
        pole.behaviour.advance_s = 4
        pole.run(more_s)
        pole.order(play("news", max_duration_s=600))
        pole.run(300.0)
        gains = [(at_s, each.gain_percent) for at_s, each in pole.of(do.SetGain) if isinstance(each, do.SetGain)]
        assert [gain for _, gain in gains] == [30, 80]
        assert [at_s + pole.wall_offset_s - START_WALL_S for at_s, _ in gains] == [
            pytest.approx(100.0, abs=0.1),
            pytest.approx(220.0, abs=0.1),
        ]

    def test_a_clock_that_is_set_back_into_quiet_hours_ends_what_sounds(self) -> None:
        pole = self.started(Rules(quiet_hours=split(20 * 60, 21 * 60)))
        pole.order(play("news", max_duration_s=3_600))
        pole.run(10.0)
        pole.wall_offset_s -= 1_800.0  # 20:43:30, long before the end that was found for it
        pole.tell(ev.Tick())
        pole.run(1.0)
        assert results(pole) == {"news": ("stopped", Reason.POLICY_QUIET_HOURS)}

    def test_an_emergency_knows_no_quiet_hours(self) -> None:
        pole = self.started(Rules(quiet_hours=split(0, 0)), 10.0)
        pole.order(emergency())
        pole.run(30.0)
        assert results(pole) == {"flood": ("played", None)}

    def test_a_start_in_quiet_hours_is_refused_when_it_is_ordered(self) -> None:
        pole = self.started(self.QUIET)
        jti = pole.order(altered(play("news"), start_at=pole.wall_s + 1_200))
        assert pole.outcome(jti).reason is Reason.POLICY_QUIET_HOURS

    def test_a_session_has_its_length_and_emergencies_do_not_count(self) -> None:
        pole = self.started(Rules(max_session_min=2), 100.0)
        pole.order(emergency())
        pole.run(110.0)
        for name in ("a", "b"):
            pole.order(play(name, max_duration_s=100))
        pole.run(300.0)
        assert results(pole) == {
            "flood": ("played", None),
            "a": ("played", None),
            "b": ("stopped", Reason.POLICY_SESSION_MINUTES),
        }
        assert pole.heard[-1].until_s == pytest.approx(20.0, abs=0.3)

    def test_a_session_that_goes_on_is_no_new_one_while_it_sounds(self) -> None:
        pole = self.started(Rules(max_sessions_per_day=1), 4_000.0)
        pole.order(play("a", RELAY, max_duration_s=60))
        pole.order(play("b", RELAY, max_duration_s=1_800))
        pole.run(1_000.0)
        late = pole.order(play("c", RELAY, max_duration_s=60))
        assert pole.outcome(late).outcome == "accepted"
        pole.run(1_200.0)
        assert [each.result for each in pole.records] == ["played"] * 3

    def test_the_count_survives_a_restart(self) -> None:
        pole = self.started(Rules(max_minutes_per_day=1), 40.0)
        pole.order(play("a"))
        pole.run(60.0)
        again = pole.after_power_cut(60.0, wall_s=pole.wall_s + 60.0, synchronised=True)
        again.connect()
        again.order(play("b"), jti="jti-of-the-second-item")
        again.run(60.0)
        assert results(again)["b"] == ("stopped", Reason.POLICY_MINUTES)


class TestPrefetch:
    def test_files_come_one_at_a_time_after_a_random_while(self) -> None:
        pole = pole_of()
        pole.order(Prefetch((FILE, OTHER_FILE), pin=True), may=frozenset({"prefetch"}))
        pole.run(300.0)
        asked = [(when, each) for when, each in pole.of(do.Prefetch) if isinstance(each, do.Prefetch)]
        assert {each.file for _, each in asked} == {FILE.file, OTHER_FILE.file}
        assert all(each.pin for _, each in asked)
        assert len({when for when, _ in asked}) == 2

    def test_a_failure_is_tried_again_and_not_for_ever_and_then_told(self) -> None:
        pole = pole_of(fetch_fails={"https://files.example/a.mp3": Reason.HASH_MISMATCH})
        pole.order(Prefetch((FILE,)), may=frozenset({"prefetch"}))
        pole.run(10_000.0)
        assert len(pole.of(do.Prefetch)) == 4
        [alarm] = alarms(pole)
        assert (alarm.what, alarm.count) == ("not_prefetched", 1)
        assert "https://files.example/a.mp3" in alarm.detail
        assert "hash_mismatch" in alarm.detail
        assert pole.stored.wanted == {}, "given up"

    def test_many_are_told_in_few_alarms(self) -> None:
        files = tuple(Source(file=File("https://files.example/a.mp3", f"{number:064x}", 1_000)) for number in range(60))
        pole = pole_of(fetch_fails={"https://files.example/a.mp3": Reason.NO_ANSWER})
        for first in range(0, 60, 4):
            pole.order(Prefetch(files[first : first + 4]), may=frozenset({"prefetch"}))
        pole.run(20_000.0)
        told = alarms(pole)
        assert sum(each.count for each in told) == 60
        assert len(told) <= 3

    @pytest.mark.parametrize("pin", [False, True])
    def test_what_was_ordered_outlives_crash_and_power_cut_until_it_is_here(self, pin: bool) -> None:
        pole = pole_of()
        pole.order(Prefetch((FILE, OTHER_FILE), pin=pin), may=frozenset({"prefetch"}))
        pole.run(0.1)
        again = pole.after_crash().connect()
        assert again.of(do.Prefetch) == []
        once_more = again.after_power_cut(60.0).connect()
        once_more.run(301.0)
        asked = [each for _, each in once_more.of(do.Prefetch) if isinstance(each, do.Prefetch)]
        assert {each.file for each in asked} == {FILE.file, OTHER_FILE.file}
        assert [each.pin for each in asked] == [pin, pin]
        assert once_more.stored.wanted == {}
        last = once_more.after_crash()
        last.run(400.0)
        assert last.of(do.Prefetch) == []

    def test_a_second_order_that_pins_is_not_forgotten_with_the_first(self) -> None:
        pole = pole_of(fetch_slow={"https://files.example/a.mp3": 5.0})
        pole.order(Prefetch((FILE,)), may=frozenset({"prefetch"}))
        while not pole.of(do.Prefetch):
            pole.run(1.0)
        pole.order(Prefetch((FILE,), pin=True), may=frozenset({"prefetch"}))
        pole.run(6.0)
        assert len(pole.of(do.Prefetch)) == 1, "it is here, and the second not yet due"
        again = pole.after_crash()
        again.run(400.0)
        assert [each.pin for _, each in again.of(do.Prefetch) if isinstance(each, do.Prefetch)] == [True]

    @pytest.mark.parametrize("first", ["wrong", "right"])
    def test_one_file_at_two_addresses_is_brought_from_the_one_that_has_it(self, first: str) -> None:
        """The second order sets the first right; and nobody spoils what was ordered by ordering it from elsewhere."""
        right = Source(file=File("https://files.example/a.mp3", "a" * 64, 1_000))
        wrong = Source(file=File("https://files.exampel/a.mp3", "a" * 64, 1_000))
        pole = pole_of(fetch_fails={"https://files.exampel/a.mp3": Reason.NO_ANSWER})
        for source in (wrong, right) if first == "wrong" else (right, wrong):
            pole.order(Prefetch((source,), pin=True), may=frozenset({"prefetch"}))
        pole.run(10_000.0)
        asked = [each.file.uri for _, each in pole.of(do.Prefetch) if isinstance(each, do.Prefetch)]
        assert asked.count("https://files.example/a.mp3") == 1
        assert asked.count("https://files.exampel/a.mp3") == 4
        assert pole.stored.wanted == {}

    def test_files_of_a_schedule_that_find_no_place_are_told(self) -> None:
        pole = pole_of()
        for number in range(0, MAX_WANTED, 4):
            files = (Source(file=File("https://f.example/x", f"{number + each:064x}", 9)) for each in range(4))
            pole.order(Prefetch(tuple(files)), may=frozenset({"prefetch"}))
        slots = tuple(
            Slot(f"s{n}", tuple(Day), "05:00", Kind.NORMAL, "t", (source,), 60, date(2026, 1, 1), date(2028, 1, 1))
            for n, source in enumerate((FILE, OTHER_FILE))
        )
        pole.order(SetSchedule(1, slots), may=frozenset({"schedule", "play.normal"}))
        pole.run(1.0)
        [alarm] = alarms(pole)
        assert (alarm.what, alarm.count) == ("not_prefetched", 2)


@pytest.mark.parametrize(
    ("muted_from_s", "until_s", "reason"),
    [(58.0, None, None), (0.0, 58.0, None), (0.0, None, Reason.MUTED), (20.0, 40.0, None)],
)
def test_muted_is_what_nobody_could_hear_at_all(
    muted_from_s: float, until_s: float | None, reason: Reason | None
) -> None:
    pole = pole_of(60.0)
    if muted_from_s == 0.0:
        pole.order(SetMute(True))
        pole.run(1.0)
    pole.order(play("news"))
    if muted_from_s > 0.0:
        pole.run(muted_from_s)
        pole.order(SetMute(True))
    if until_s is not None:
        pole.run(until_s - muted_from_s)
        pole.order(SetMute(False))
    pole.run(70.0)
    assert results(pole) == {"news": ("played", reason)}


def test_heard_names_what_it_was() -> None:
    pole = pole_of(2.0)
    pole.order(play("news"))
    pole.run(5.0)
    assert pole.heard[0].at_s == pytest.approx(1000.03, abs=0.05)
    assert pole.heard == [Heard("news", 1, pole.heard[0].at_s, 0.0, 2.0)]
