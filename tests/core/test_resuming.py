"""A crash, an orderly restart, a power cut amid the programme: what had begun goes on, once (design invariant 8)."""

import pytest

from agent.core.resuming import MAX_CRASHES
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Repeat
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.words import Kind
from tests.core.pole import RELAY, Behaviour, Pole, altered, make_pole, play, stop


def sounding(*, length_s: float = 20.0, for_s: float = 7.5, **changes: object) -> Pole:
    """A pole on which an item of that length has sounded for so long."""
    pole = make_pole(Behaviour(sound_length_s=length_s)).start().connect()
    pole.order(altered(play(), **changes))
    pole.run(for_s + 0.9)  # the amplifier warms up for 800 ms
    assert pole.amplifier_on
    return pole


def told(pole: Pole) -> list[tuple[str, str, Reason | None]]:
    return [(each.item, each.result, each.reason) for each in pole.records]


def begins(pole: Pole, item: str = "item-1") -> int:
    """How often the store was told that a sounding of it began."""
    writes = [write for _, commit in pole.of(do.Commit) if isinstance(commit, do.Commit) for write in commit.writes]
    return sum(isinstance(write, do.MarkStarted) and write.item == item for write in writes)


def decoded_from(pole: Pole) -> list[float]:
    return [effect.from_s for _, effect in pole.of(do.Decode) if isinstance(effect, do.Decode)]


class TestCrash:
    def test_a_file_goes_on_at_the_last_second_that_was_told(self) -> None:
        again = sounding().after_crash()
        again.run(60.0)
        assert decoded_from(again) == [7.0]
        [heard] = again.heard
        assert (heard.from_s, heard.until_s) == (7.0, 20.0)
        assert told(again) == [("item-1", "played", None)]

    def test_its_record_tells_of_both_parts(self) -> None:
        pole = sounding()
        began_s = pole.on_card_since_s + pole.wall_offset_s
        again = pole.after_crash()
        again.run(60.0)
        [record] = again.records
        assert record.started_at == pytest.approx(began_s, abs=0.001)
        assert record.played_s == 20.0
        assert record.amplifier_on_s > 20.0

    def test_it_sounds_within_five_seconds_of_being_ready(self) -> None:
        again = sounding().after_crash()
        ready_s = again.mono_s
        again.run(60.0)
        assert again.heard[0].at_s - ready_s < 5.0

    def test_a_relay_rejoins_for_what_is_left_of_its_time(self) -> None:
        again = sounding(length_s=600.0, sources=(RELAY,), max_duration_s=30).after_crash()
        again.run(90.0)
        assert told(again) == [("item-1", "played", Reason.MAX_DURATION)]
        assert again.records[0].played_s == 30.0

    def test_while_the_time_is_not_known_it_waits(self) -> None:
        pole = sounding()
        pole.behaviour.synchronised = False
        pole.carried = None  # what hands it on could not be written
        again = pole.after_crash()
        again.run(30.0)
        assert (again.heard, again.relay()) == ([], [])
        again.behaviour.synchronised = True
        again.run(30.0)
        assert told(again) == [("item-1", "played", None)]

    def test_what_waited_comes_after_it(self) -> None:
        pole = sounding()
        pole.order(play("next", kind=Kind.PRIORITY))
        pole.run(0.1)
        again = pole.after_crash()
        again.run(60.0)
        assert [each.item for each in again.heard] == ["item-1", "next"]

    def test_an_emergency_comes_before_it(self) -> None:
        pole = sounding()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(0.02)
        again = pole.after_crash()
        again.run(90.0)
        assert [each[0] for each in told(again)] == ["flood", "item-1"]
        assert again.heard[-1].until_s == 20.0

    def test_an_emergency_that_was_sounding_goes_on_and_then_what_it_had_interrupted(self) -> None:
        pole = sounding()
        pole.order(play("flood", kind=Kind.EMERGENCY))
        pole.run(5.5)
        again = pole.after_crash()
        again.run(90.0)
        assert again.heard[0].item == "flood"
        assert again.heard[0].from_s == pytest.approx(4.0, abs=1.1)
        assert told(again) == [("flood", "played", None), ("item-1", "played", None)]
        assert again.records[1].played_s == pytest.approx(20.0, abs=1.1)

    def test_it_can_be_stopped_before_it_goes_on(self) -> None:
        pole = sounding()
        pole.behaviour.synchronised = True
        again = pole.after_crash()
        again.order(stop("item-1"))
        again.run(60.0)
        assert told(again) == [("item-1", "stopped", Reason.STOPPED)]

    def test_a_second_crash_in_a_row_goes_on_where_the_first_had(self) -> None:
        """The place is kept while it waits to go on."""
        pole = sounding()
        pole.tell(ev.StopRequested("SIGTERM"))
        once = pole.after_crash()
        again = once.after_crash()
        again.run(60.0)
        assert decoded_from(again) == [7.0]

    def test_one_that_was_killed_in_its_first_second_and_again_while_it_waited_is_said_to_begin_once(self) -> None:
        """Nobody has heard it begin twice: it goes on from its beginning, which is all that is known of it."""
        pole = sounding(for_s=0.4)
        assert begins(pole) == 1
        waiting = pole.after_crash()
        waiting.order(play("alarm", kind=Kind.EMERGENCY))
        waiting.run(5.0)
        again = waiting.after_crash()
        again.run(60.0)
        assert begins(again) == 0
        assert ("item-1", "played", None) in told(again)

    def test_an_orderly_restart_is_an_interruption_too(self) -> None:
        pole = sounding(resume=False)
        pole.tell(ev.StopRequested("SIGTERM"))
        again = pole.after_crash()
        again.run(60.0)
        assert told(again) == [("item-1", "failed", Reason.RESTART)]

    def test_an_item_that_is_not_to_resume_has_its_record(self) -> None:
        again = sounding(resume=False).after_crash()
        again.run(60.0)
        assert told(again) == [("item-1", "failed", Reason.RESTART)]
        assert again.records[0].played_s == 7.0

    def test_an_emergency_resumes_whatever_it_says(self) -> None:
        again = sounding(resume=False, kind=Kind.EMERGENCY).after_crash()
        again.run(60.0)
        assert told(again) == [("item-1", "played", None)]

    def test_when_its_window_has_closed_its_record_says_that_it_was_cut_short(self) -> None:
        pole = sounding()
        again = pole.after_crash(4_000.0)
        again.run(60.0)
        assert told(again) == [("item-1", "failed", Reason.RESTART)]
        assert again.relay() == []

    def test_of_three_soundings_three_are_heard(self) -> None:
        pole = sounding(for_s=33.0, repeat=Repeat(count=3, gap_s=10))
        again = pole.after_crash()
        again.run(200.0)
        assert [(each.from_s, each.until_s) for each in again.heard] == [(2.0, 20.0), (0.0, 20.0)]
        assert told(again) == [("item-1", "played", None)]

    def test_the_pause_between_two_soundings_goes_on(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=20.0)).start().connect()
        pole.order(altered(play(), repeat=Repeat(count=2, gap_s=300)))
        pole.run(120.0)
        ended_s = pole.heard[0].at_s + 20.0
        again = pole.after_crash()
        again.run(400.0)
        [second] = again.heard
        assert second.at_s == pytest.approx(ended_s + 300.0, abs=1.5)

    def test_where_all_poles_sound_together_it_joins_them_where_they_are(self) -> None:
        """Seconds behind its neighbours it would be an echo until the end."""
        pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
        start_at = pole.wall_s + 20
        pole.order(altered(play(), start_at=start_at))
        pole.run(30.0)
        again = pole.after_crash(6.0)
        again.run(90.0)
        [heard] = again.heard
        assert heard.at_s + again.wall_offset_s - start_at == pytest.approx(heard.from_s, abs=0.001)

    @pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.PRIORITY])
    def test_what_the_caps_count_is_not_forgotten(self, kind: Kind) -> None:
        """Ten minutes in two halves, with a crash between them, are ten minutes; beside what the disk has counted."""
        rules = Rules(max_minutes_per_day=1)
        pole = make_pole(Behaviour(sound_length_s=600.0), rules=rules).start().connect()
        pole.order(play("first", max_duration_s=10))
        pole.order(play(kind=kind, max_duration_s=600))
        pole.run(41.0)
        again = pole.after_crash()
        again.run(300.0)
        assert told(again)[1:] == [("item-1", "stopped", Reason.POLICY_MINUTES)]
        assert again.records[1].played_s == pytest.approx(50.0, abs=2.5)


class TestTwoCrashes:
    @pytest.mark.parametrize("for_s", [0.0, 3.5])
    def test_what_was_on_the_air_at_both_is_not_tried_again(self, for_s: float) -> None:
        pole = sounding(for_s=for_s)
        for _ in range(MAX_CRASHES):
            pole = pole.after_crash()
            pole.run(for_s + 1.0)
        assert told(pole) == [("item-1", "failed", Reason.CRASH)]
        pole.run(60.0)
        assert not pole.amplifier_on

    def test_what_crashes_the_decoder_before_a_sample_is_blamed_as_well(self) -> None:
        pole = make_pole(Behaviour(decode_s=None)).start().connect()
        pole.order(play("bomb"))
        pole.run(1.0)
        pole.order(play("good"))
        pole.run(0.1)
        for _ in range(MAX_CRASHES):
            pole = pole.after_crash()
            pole.run(1.0)
        pole.behaviour.decode_s = 0.01
        pole.run(60.0)
        assert told(pole)[0] == ("bomb", "failed", Reason.CRASH)
        assert "good" not in [each.item for each in pole.records if each.reason is Reason.CRASH]

    def test_a_restart_that_was_asked_for_is_no_crash(self) -> None:
        pole = sounding(length_s=60.0)
        for _ in range(4):
            pole.tell(ev.StopRequested("SIGTERM"))
            pole = pole.after_crash()
            pole.run(5.0)
        pole.run(90.0)
        assert told(pole) == [("item-1", "played", None)]

    def test_what_waits_is_not_blamed(self) -> None:
        pole = sounding(length_s=60.0)
        pole.order(play("waits"))
        pole.run(0.5)
        for _ in range(MAX_CRASHES):
            pole = pole.after_crash()
            pole.run(3.0)
        pole.run(200.0)
        assert told(pole) == [("item-1", "failed", Reason.CRASH), ("waits", "played", None)]


class TestPowerCut:
    def after_cut(self, pole: Pole, off_s: float) -> Pole:
        again = pole.after_power_cut(off_s, wall_s=pole.world_s + off_s, synchronised=True)
        again.run(200.0)
        return again

    def test_the_place_is_counted_from_its_beginning(self) -> None:
        """Some ten seconds later it is where it would have been."""
        pole = sounding(length_s=60.0)
        again = self.after_cut(pole, 10.0)
        [heard] = again.heard
        assert heard.from_s == pytest.approx(7.5 + 10.0 + 1.3, abs=0.3)
        assert heard.until_s == 60.0
        assert told(again) == [("item-1", "played", None)]

    def test_nothing_being_left_its_record_says_that_it_was_cut_short(self) -> None:
        again = self.after_cut(sounding(), 60.0)
        assert told(again) == [("item-1", "failed", Reason.RESTART)]
        assert again.heard == []

    def test_an_emergency_is_heard_whole(self) -> None:
        """Those it was for have not heard it; its window is open."""
        again = self.after_cut(sounding(kind=Kind.EMERGENCY), 60.0)
        assert [(each.from_s, each.until_s) for each in again.heard] == [(0.0, 20.0)]
        assert told(again) == [("item-1", "played", None)]

    def test_a_relay_ends_when_it_would_have(self) -> None:
        again = self.after_cut(sounding(length_s=600.0, sources=(RELAY,), max_duration_s=60), 20.0)
        assert told(again) == [("item-1", "played", Reason.MAX_DURATION)]
        assert again.records[0].played_s == pytest.approx(60 - 7.5 - 20.0, abs=2.0)

    def test_the_sounding_that_it_was_at_is_known(self) -> None:
        again = self.after_cut(sounding(for_s=33.0, repeat=Repeat(count=3, gap_s=10)), 5.0)
        assert [each.until_s for each in again.heard] == [20.0, 20.0]
        assert again.heard[0].from_s == pytest.approx(3.0 + 5.0, abs=2.0)

    def test_a_sounding_that_was_joined_late_began_when_it_did_for_the_others(self) -> None:
        """So it is joined at their place a second time."""
        pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
        start_at = pole.wall_s - 70
        pole.order(altered(play(), start_at=start_at, repeat=Repeat(count=3, gap_s=5)))
        pole.run(10.0)
        again = self.after_cut(pole, 10.0)
        first = again.heard[0]
        assert first.at_s + again.wall_offset_s - (start_at + 65) == pytest.approx(first.from_s, abs=0.01)

    def test_an_item_is_not_blamed_for_it(self) -> None:
        pole = sounding(length_s=60.0)
        for _ in range(3):
            pole = pole.after_power_cut(2.0, wall_s=pole.world_s + 2.0, synchronised=True)
            pole.run(4.0)
        pole.run(90.0)
        assert told(pole) == [("item-1", "played", None)]


class TestRecords:
    def test_one_that_the_disk_refused_outlives_a_crash_as_it_was(self) -> None:
        pole = sounding(for_s=10.0)
        pole.behaviour.commits_fail = True
        pole.run(30.0)
        assert told(pole) == []
        ended_s = pole.heard[0].at_s + 20.0 + pole.wall_offset_s
        pole.behaviour.commits_fail = False
        again = pole.after_crash(100.0)
        again.run(60.0)
        assert told(again) == [("item-1", "played", None)]
        assert again.records[0].ended_at == pytest.approx(ended_s, abs=0.1)
        assert (again.heard, again.relay()) == ([], []), "it is not played again"

    def test_one_that_the_disk_has_is_not_given_twice(self) -> None:
        pole = sounding()
        pole.run(20.0)
        assert told(pole) == [("item-1", "played", None)]
        again = pole.after_crash()
        again.run(60.0)
        assert told(again) == [("item-1", "played", None)]

    def test_a_step_tells_the_next_process_before_it_does_anything_else(self) -> None:
        """The decoder may be what crashes."""
        pole = make_pole().start().connect()
        pole.order(play())
        pole.run(10.0)
        kinds = [type(effect) for _, effect in pole.history]
        assert kinds.index(do.KeepProgress) < kinds.index(do.FetchFile) < kinds.index(do.Decode)

    def test_nothing_is_written_where_nothing_plays(self) -> None:
        pole = make_pole().start().connect()
        pole.order(play())
        pole.run(60.0)
        since = len(pole.of(do.KeepProgress))
        pole.run(86_400.0)
        assert len(pole.of(do.KeepProgress)) == since

    def test_an_emergency_that_the_disk_never_had_is_not_begun_anew_with_each_crash(self) -> None:
        """The broker brings the order again: nobody had acknowledged it."""
        pole = make_pole(Behaviour(sound_length_s=20.0, commit_s=None)).start().connect()
        flood, jti = play("flood", kind=Kind.EMERGENCY), "jti-of-the-flood-01"
        pole.order(flood, jti=jti)
        pole.run(10.0)
        assert pole.amplifier_on
        pole.stored.items.clear()
        pole.stored.accepted.clear()
        again = pole.after_crash().connect()
        again.behaviour.commit_s = 0.005
        again.order(flood, jti=jti)
        again.run(60.0)
        assert again.heard[0].from_s == pytest.approx(7.0, abs=1.1)
        assert told(again) == [("flood", "played", None)]
