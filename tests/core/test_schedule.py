"""Slots become items, each once: whatever the clock, the power and new versions do (protocol sections 4 and 7)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.core import begun, schedule
from agent.messages import effects as do
from agent.messages.commands import Play
from agent.messages.documents import MAX_SLOTS
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord
from agent.messages.rules import Rules, split
from agent.messages.words import Kind
from tests.core.pole import START_WALL_S, Behaviour, Pole, altered, make_pole, play, stop
from tests.core.test_documents import BOTH, CLERK, DISTRICT, hear
from tests.core.test_documents import schedule as set_schedule
from tests.signing import Key
from tests.signing import order as jws
from tests.test_set_trust import A, change, trust

HANOI = timezone(timedelta(hours=7))
NOW = datetime.fromtimestamp(START_WALL_S, HANOI)
"""21:13:20 on Monday, 21 September 2026."""
VOV = {"relay": {"uri": "https://radio.vov.example/live"}}
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def slot(at: str, name: str = "news", **changes: object) -> dict[str, object]:
    return {
        "id": name,
        "days": EVERY_DAY,
        "at": at,
        "kind": "normal",
        "title": "Bản tin",
        "sources": [{"file": {"uri": "https://files.example/a.mp3", "sha256": "a" * 64, "bytes": 1000}}],
        "max_duration_s": 600,
        "valid_from": "2026-09-01",
        "valid_until": "2026-12-31",
        **changes,
    }


def pole_with(*slots: object, sound_length_s: float = 300.0, rules: Rules | None = None) -> Pole:
    behaviour = Behaviour(sound_length_s=sound_length_s)
    pole = make_pole(behaviour, BOTH, rules or Rules(), heartbeat_s=3_600).start().connect()
    hear(pole, set_schedule(1, *slots), CLERK, jti="version-one-of-it")
    pole.run(1.0)
    return pole


def told(pole: Pole) -> list[tuple[str, str, Reason | None]]:
    return [(each.item, each.result, each.reason) for each in pole.records]


def reason_of(pole: Pole, jti: str) -> Reason | None:
    return pole.outcome(f"{jti}-0123456789ab").reason


def local(pole: Pole, mono_s: float) -> str:
    return datetime.fromtimestamp(mono_s + pole.wall_offset_s, HANOI).strftime("%a %H:%M:%S")


DAY = 86_400.0


class TestInTime:
    def test_a_slot_sounds_to_the_second_every_day_that_it_names(self) -> None:
        pole = pole_with(slot("05:00", days=["tue", "thu"]))
        pole.run(7 * DAY)
        assert [local(pole, each.at_s) for each in pole.heard] == ["Tue 05:00:00", "Thu 05:00:00"]
        assert told(pole) == [("news.20260922", "played", None), ("news.20260924", "played", None)]
        (first, _) = pole.records
        assert (first.iss, first.due_at) == ("commune clerk", int(datetime(2026, 9, 21, 22, 0, tzinfo=UTC).timestamp()))

    @pytest.mark.parametrize("start_offset_ms", [0, 40, -25])
    def test_a_slot_that_fills_its_window_has_been_played(self, start_offset_ms: int) -> None:
        """Its last sample and the end of its window are one instant; the card's word comes some milliseconds later."""
        pole = make_pole(Behaviour(sound_length_s=4_000.0), BOTH, heartbeat_s=3_600)
        pole.settings = replace(pole.settings, start_offset_ms=start_offset_ms)
        pole.__post_init__()
        pole.start().connect()
        hear(pole, set_schedule(1, slot("21:20", sources=[VOV], max_duration_s=60)), CLERK, jti="version-one-of-it")
        pole.run(600.0)
        assert told(pole) == [("news.20260921", "played", Reason.MAX_DURATION)]
        assert pole.records[0].played_s == pytest.approx(60.0)
        (_, on), (off_s, off) = pole.relay()
        assert (on, off) == (True, False)
        assert off_s - (pole.heard[0].at_s + 60.0) == pytest.approx(3.0, abs=0.01), "it lingers"

    @pytest.mark.parametrize("first", [VOV, {"builtin": {"name": "tone"}}], ids=["radio", "tone"])
    def test_a_slot_at_the_end_of_anothers_window_begins_on_its_instant_and_loses_nothing(
        self, first: dict[str, object]
    ) -> None:
        """05:00 the radio, 05:30 the commune."""
        pole = pole_with(slot("21:20", sources=[first], max_duration_s=60), slot("21:21", "own"), sound_length_s=300.0)
        pole.run(1_200.0)
        radio, own = pole.heard
        assert (local(pole, own.at_s), own.from_s, own.until_s) == ("Mon 21:21:00", 0.0, 300.0)
        assert own.at_s == pytest.approx(radio.at_s + 60.0)
        assert [on for _, on in pole.relay()] == [True, False]
        assert [each[1] for each in told(pole)] == ["played", "played"]
        assert [each.played_s for each in pole.records] == [60.0, 300.0]

    def test_what_ends_before_it_might_leaves_the_air_to_what_waits(self) -> None:
        """The first file has 20 s only: what is set for the end of its window keeps nobody else waiting."""
        pole = pole_with(slot("21:20", max_duration_s=60), slot("21:21", "own"), sound_length_s=20.0)
        pole.run(1_200.0)
        assert [(each.item, local(pole, each.at_s)) for each in pole.heard] == [
            ("news.20260921", "Mon 21:20:00"),
            ("own.20260921", "Mon 21:21:00"),
        ]

    @pytest.mark.parametrize("before_s", [0.5, 0.1])
    def test_an_emergency_between_them_is_heard_at_once_and_the_second_joined_late(self, before_s: float) -> None:
        pole = pole_with(slot("21:20", sources=[VOV], max_duration_s=60), slot("21:21", "own"), sound_length_s=300.0)
        pole.run(START_WALL_S + 460.0 - pole.world_s - before_s)
        ordered_s = pole.mono_s
        pole.order(play("flood", kind=Kind.EMERGENCY, max_duration_s=30))
        pole.run(1_200.0)
        assert [each.item.partition(".")[0] for each in pole.heard if each.until_s > each.from_s] == [
            "news",
            "flood",
            "own",
        ]
        flood, own = pole.heard[-2:]
        assert flood.at_s - ordered_s < 0.3
        assert own.from_s > 25.0

    def test_the_union_of_all_authorities_plays(self) -> None:
        pole = pole_with(slot("05:00"))
        hear(pole, set_schedule(1, slot("17:00", "culture")), DISTRICT, jti="second-schedule-x")
        pole.run(DAY)
        assert [each[0] for each in told(pole)] == ["news.20260922", "culture.20260922"]

    def test_overlapping_slots_queue_and_the_second_joins_at_its_offset(self) -> None:
        pole = pole_with(slot("05:00"), slot("05:02", "second"))
        pole.run(DAY)
        first, second = pole.heard
        assert local(pole, second.at_s) >= "Tue 05:05:00"
        begun = datetime.fromtimestamp(second.at_s + pole.wall_offset_s, HANOI)
        late_s = (begun - begun.replace(hour=5, minute=2, second=0, microsecond=0)).total_seconds()
        assert second.from_s == pytest.approx(late_s, abs=0.01)
        assert (first.until_s, second.until_s) == (300.0, 300.0)

    def test_a_priority_slot_goes_first_at_the_same_time(self) -> None:
        pole = pole_with(slot("05:00"), slot("05:00", "a-notice", kind="priority", max_duration_s=60))
        pole.run(DAY)
        assert [each.item for each in pole.heard] == ["a-notice.20260922", "news.20260922"]

    def test_across_midnight(self) -> None:
        pole = pole_with(slot("23:58"))
        pole.run(DAY)
        assert told(pole) == [("news.20260921", "played", None)]

    def test_it_goes_on_for_weeks_without_a_server(self) -> None:
        pole = pole_with(slot("05:00"), slot("17:00", "evening"))
        pole.run(21 * DAY)
        assert len(pole.heard) == 42
        assert len({each[0] for each in told(pole)}) == 42

    def test_nothing_is_due_before_the_schedule_was_issued(self) -> None:
        pole = pole_with(slot("21:10"))
        pole.run(600.0)
        assert pole.heard == []
        assert told(pole) == []

    def test_a_radio_that_an_emergency_interrupted_ends_with_its_window_and_has_been_played(self) -> None:
        pole = pole_with(slot("21:20", sources=[VOV]), sound_length_s=4_000.0)
        pole.run(500.0)
        pole.order(play("flood", kind=Kind.EMERGENCY, max_duration_s=60))
        pole.run(DAY / 24)
        assert told(pole)[-1] == ("news.20260921", "played", Reason.MAX_DURATION)
        last = pole.heard[-1]
        assert local(pole, last.at_s + last.until_s - last.from_s) == "Mon 21:30:00"

    def test_a_file_that_an_emergency_interrupted_is_stopped_by_its_window(self) -> None:
        pole = pole_with(slot("21:20", max_duration_s=310))
        pole.run(500.0)
        pole.order(play("flood", kind=Kind.EMERGENCY, max_duration_s=60))
        pole.run(DAY / 24)
        assert told(pole)[-1] == ("news.20260921", "stopped", Reason.NOT_AFTER)

    def test_an_emergency_interrupts_a_slot_which_goes_on_in_its_window(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(500.0)
        pole.order(play("flood", kind=Kind.EMERGENCY, max_duration_s=60))
        pole.run(DAY / 24)
        assert [each.item.partition(".")[0] for each in pole.heard] == ["news", "flood", "news"]
        assert told(pole)[-1] == ("news.20260921", "played", None)


class TestOnce:
    def test_a_power_cut_after_it_has_sounded_does_not_repeat_it(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.run(500.0)
        assert told(pole) == [("news.20260921", "played", None)]
        again = pole.after_power_cut(30.0, wall_s=pole.world_s + 30.0, synchronised=True)
        again.run(600.0)
        assert again.heard == []
        assert told(again) == [("news.20260921", "played", None)]

    def test_a_clock_that_is_set_back_does_not_repeat_it(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.run(500.0)
        pole.wall_offset_s -= 600
        pole.behaviour.synchronised = True
        pole.run(1_200.0)
        assert len(pole.heard) == 1

    def test_a_clock_that_leaps_ahead_by_weeks_and_back_does_not_repeat_it(self) -> None:
        pole = pole_with(slot("21:20"), slot("21:30", "second"), sound_length_s=60.0)
        pole.run(500.0)
        pole.wall_offset_s += 20 * DAY
        pole.run(10.0)
        pole.wall_offset_s -= 20 * DAY
        pole.run(1_200.0)
        assert [each.item for each in pole.heard] == ["news.20260921", "second.20260921"]
        again = pole.after_power_cut(30.0, wall_s=pole.world_s + 30.0, synchronised=True)
        again.run(60.0)
        assert again.heard == []

    def test_a_new_version_does_not_repeat_what_has_sounded_today(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.run(500.0)
        hear(pole, set_schedule(2, slot("21:30")), CLERK, jti="version-two-of-it")
        pole.run(DAY / 2)
        assert [each[0] for each in told(pole)] == ["news.20260921"]

    def new_version_of_a_clock_ahead(self) -> Pole:
        """At 21:17:40 the same slot of 21:20 comes in a version dated 21:21."""
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.run(260.0)
        ahead_s = pole.wall_s + 200
        order = set_schedule(2, slot("21:20"), slot("22:00", "more"))
        pole.hear(jws(order, CLERK, jti="version-two-of-it", iat=ahead_s, exp=ahead_s + 3_600))
        pole.run(1.0)
        assert pole.outcome("version-two-of-it").outcome == "accepted"
        return pole

    def test_a_new_version_of_a_clock_that_is_ahead_swallows_no_slot(self) -> None:
        pole = self.new_version_of_a_clock_ahead()
        pole.run(3_600.0)
        assert told(pole) == [("news.20260921", "played", None), ("more.20260921", "played", None)]

    @pytest.mark.parametrize("off_s", [5.0, 140.0, 200.0])
    def test_nor_does_it_over_a_restart(self, off_s: float) -> None:
        pole = self.new_version_of_a_clock_ahead()
        again = pole.after_power_cut(off_s, wall_s=pole.world_s + off_s, synchronised=True)
        again.run(3_600.0)
        assert [each[0] for each in told(again)] == ["news.20260921", "more.20260921"]

    def test_two_authorities_with_one_name_have_two_records(self) -> None:
        pole = pole_with(slot("21:20"))
        hear(pole, set_schedule(1, slot("21:20")), DISTRICT, jti="second-schedule-x")
        pole.run(DAY / 24)
        assert sorted(each[1:] for each in told(pole)) == sorted([("missed", Reason.DUPLICATE_ITEM), ("played", None)])

    def test_its_record_is_owed_when_it_was_interrupted_by_a_power_cut(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        assert pole.amplifier_on
        again = pole.after_power_cut(3_600.0, wall_s=pole.world_s + 3_600.0, synchronised=True)
        again.run(60.0)
        assert told(again) == [("news.20260921", "failed", Reason.RESTART)]


class TestDisk:
    def test_a_slot_that_the_disk_refuses_sounds_all_the_same_once(self) -> None:
        """Its schedule is on the disk: a card that has become read-only does not silence the station."""
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.behaviour.commits_fail = True
        pole.run(1_000.0)
        assert [each.item for each in pole.heard] == ["news.20260921"]
        pole.behaviour.commits_fail = False
        pole.run(60.0)
        assert told(pole) == [("news.20260921", "played", None)]
        assert pole.records[0].not_durable

    def test_nor_does_it_sound_again_after_a_crash(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.behaviour.commits_fail = True
        pole.run(600.0)
        again = pole.after_crash()
        again.behaviour.commits_fail = False
        again.run(7_200.0)
        assert again.heard == []
        assert told(again) == [("news.20260921", "played", None)]

    def test_it_goes_on_after_a_crash_though_the_disk_never_had_it(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=300.0)
        pole.behaviour.commits_fail = True
        pole.run(500.0)
        assert pole.amplifier_on
        again = pole.after_crash()
        again.behaviour.commits_fail = False
        again.run(7_200.0)
        assert again.heard[0].from_s > 50.0
        assert told(again) == [("news.20260921", "played", None)]


class TestLate:
    def test_after_a_power_cut_it_joins_where_the_other_poles_are(self) -> None:
        pole = pole_with(slot("21:20"))
        again = pole.after_power_cut(520.0, wall_s=pole.world_s + 520.0, synchronised=True)
        again.run(600.0)
        (heard,) = again.heard
        at_s = heard.at_s + again.wall_offset_s
        start_s = NOW.replace(hour=21, minute=20, second=0).timestamp()
        assert heard.from_s == pytest.approx(at_s - start_s, abs=0.01)
        assert told(again) == [("news.20260921", "played", None)]

    def test_after_its_window_it_is_missed_and_said_so(self) -> None:
        pole = pole_with(slot("21:20"), slot("05:00", "morning"))
        again = pole.after_power_cut(DAY, wall_s=pole.world_s + DAY, synchronised=True)
        again.run(60.0)
        assert told(again) == [
            ("news.20260921", "missed", Reason.NOT_AFTER),
            ("morning.20260922", "missed", Reason.NOT_AFTER),
        ]

    def test_without_the_time_nothing_sounds_and_all_is_told_once_it_is_known(self) -> None:
        pole = pole_with(slot("21:20"))
        again = pole.after_power_cut(60.0)
        again.run(1_800.0)
        assert again.heard == []
        again.learn_from_the_network()
        again.run(10.0)
        assert told(again) == [("news.20260921", "missed", Reason.NOT_AFTER)]

    def test_a_year_without_power_is_not_a_year_of_records(self) -> None:
        pole = pole_with(*(slot(f"{hour:02}:30", f"at-{hour}") for hour in range(24)), slot("21:20"))
        pole.behaviour.sound_length_s = 5.0
        off_s = 60 * DAY
        again = pole.after_power_cut(off_s, wall_s=pole.world_s + off_s, synchronised=True)
        again.run(10.0)
        missed = [each for each in again.records if each.result == "missed"]
        assert 150 < len(missed) <= schedule.MAX_MISSED

    def test_a_clock_that_leaps_ahead_and_back_blocks_nothing(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=60.0)
        pole.wall_offset_s += 10 * 365 * DAY
        pole.run(10.0)
        pole.wall_offset_s -= 10 * 365 * DAY
        pole.run(600.0)
        assert [each[0] for each in told(pole) if each[1] == "played"] == ["news.20260921"]


class TestEnds:
    def test_a_new_version_without_it_ends_it(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        assert pole.amplifier_on
        hear(pole, set_schedule(2), CLERK, jti="version-two-of-it")
        pole.run(5.0)
        assert told(pole) == [("news.20260921", "stopped", Reason.SUPERSEDED)]

    def test_after_a_crash_it_goes_on_where_it_was_though_its_schedule_is_another_version_by_then(self) -> None:
        pole = pole_with(slot("21:20"), sound_length_s=300.0)
        pole.run(450.0)
        hear(pole, set_schedule(2, slot("21:20"), slot("22:00", "more")), CLERK, jti="version-two-of-it")
        pole.run(10.0)
        again = pole.after_crash()
        again.run(600.0)
        assert again.heard[0].from_s > 50.0
        [record] = again.records
        assert (record.result, record.jti.startswith("version-two")) == ("played", True)
        assert record.played_s > 295.0, "what sounded before is counted"

    def test_a_new_version_that_still_has_it_lets_it_sound(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        hear(pole, set_schedule(2, slot("21:20"), slot("22:00", "more")), CLERK, jti="version-two-of-it")
        pole.run(1_000.0)
        assert told(pole) == [("news.20260921", "played", None)]
        assert len(pole.heard) == 1

    def test_a_slot_is_as_loud_as_its_key_may_be_today(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        pole.hear(change(trust(2, replace(CLERK, max_volume_percent=15), DISTRICT), A))
        pole.run(1.0)
        gains = [each.gain_percent for _, each in pole.of(do.SetGain) if isinstance(each, do.SetGain)]
        assert gains == [15]

    def test_a_removed_key_takes_its_schedule_with_it(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        pole.hear(change(trust(2, DISTRICT), A))
        pole.run(DAY)
        assert told(pole) == [("news.20260921", "stopped", Reason.REVOKED)]

    def test_a_slot_that_was_due_while_its_schedule_lost_its_keys_does_not_sound(self) -> None:
        """It was being stored when they were removed, and its slot was taken up before it was judged again."""
        pole = pole_with()
        pole.run(405.0)
        pole.behaviour.commit_s = 1.0
        pole.hear(change(trust(2, DISTRICT), A))
        hear(pole, set_schedule(2, slot("21:20")), CLERK, jti="version-two-of-it", wait_s=0.0)
        pole.run(600.0)
        assert told(pole) == [("news.20260921", "stopped", Reason.REVOKED)]
        assert pole.relay() == []

    def test_stop_ends_it_and_tomorrows_sounds(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.run(450.0)
        pole.order(stop("news.20260921"), iss="commune clerk")
        pole.run(DAY + 600)
        assert told(pole) == [("news.20260921", "stopped", Reason.STOPPED), ("news.20260922", "played", None)]

    def test_a_stop_before_its_time_is_remembered(self) -> None:
        pole = pole_with(slot("21:20"))
        pole.order(stop("news.20260921"), iss="commune clerk")
        pole.run(DAY / 24)
        assert told(pole) == [("news.20260921", "stopped", Reason.STOPPED)]
        assert pole.relay() == []


def many(at: str, name: str, count: int = MAX_SLOTS) -> list[dict[str, object]]:
    return [slot(at, f"{name}-{number}", max_duration_s=1) for number in range(count)]


class TestTooMany:
    """A stolen key that may make schedules sends one a minute, with new names that are due in the next."""

    def test_of_one_authority_so_many_begin_in_a_day_and_a_schedule_that_brings_more_is_refused(self) -> None:
        pole = pole_with()
        for version, at in enumerate(("21:15", "21:17", "21:19", "21:21"), start=2):
            hear(
                pole, set_schedule(version, *many(at, f"v{version}")), CLERK, jti=f"version-{version}-of-it", wait_s=120
            )
        assert [reason_of(pole, f"version-{version}-of-it") for version in range(2, 6)] == [
            None,
            None,
            Reason.QUEUE_FULL,
            Reason.QUEUE_FULL,
        ]
        assert len(pole.stored.slots) == len(pole.state.schedule.done) == begun.MAX_BEGUN_A_DAY
        hear(pole, set_schedule(9, slot("21:40")), DISTRICT, jti="second-schedule-x", wait_s=3_600)
        assert told(pole)[-1] == ("news.20260921", "played", None), "others are not touched by it"

    def test_tomorrow_it_has_as_many_again_and_a_schedule_for_then_is_taken_today(self) -> None:
        pole = pole_with()
        for version, at in enumerate(("21:15", "21:17"), start=2):
            hear(
                pole, set_schedule(version, *many(at, f"v{version}")), CLERK, jti=f"version-{version}-of-it", wait_s=120
            )
        hear(pole, set_schedule(4, slot("05:00")), CLERK, jti="version-for-tomorrow", wait_s=DAY)
        assert told(pole)[-1] == ("news.20260922", "played", None)

    def test_those_that_come_into_force_at_once_bring_no_more(self) -> None:
        """Each was judged before the ones ahead of it were on the disk."""
        pole = pole_with()
        pole.run(15.0)
        pole.behaviour.commit_s = 20.0
        for version in range(2, 6):
            listed = set_schedule(version, *many("21:14", f"v{version}"))
            hear(pole, listed, CLERK, jti=f"version-{version}-of-it")
        pole.run(600.0)
        assert [reason_of(pole, f"version-{version}-of-it") for version in range(2, 6)] == [None] * 4
        assert len(pole.state.schedule.done) == begun.MAX_BEGUN_A_DAY

    def test_once_the_key_is_removed_nothing_of_it_is_left_and_its_successor_has_the_whole_day(self) -> None:
        pole = pole_with()
        for version, at in enumerate(("21:15", "21:17"), start=2):
            hear(
                pole, set_schedule(version, *many(at, f"v{version}")), CLERK, jti=f"version-{version}-of-it", wait_s=120
            )
        successor = Key("hd-clerk-2", CLERK.authority, may=CLERK.may)
        pole.hear(change(trust(2, successor), A))
        pole.run(60.0)
        assert (dict(pole.state.schedule.done), pole.stored.slots) == ({}, {})
        iat = int(pole.world_s)
        hear(pole, set_schedule(9, *many("21:30", "new")), successor, jti="of-the-successor-key", iat=iat)
        assert pole.outcome("of-the-successor-key-0123456789ab").outcome == "accepted"


class TestPolicy:
    def test_a_relay_set_to_a_quarter_past_three_wakes_nobody(self) -> None:
        """Trung Lộc, 5 December 2025."""
        pole = pole_with(slot("03:15"), rules=Rules(quiet_hours=split(21 * 60, 4 * 60 + 45)))
        pole.run(DAY)
        assert told(pole) == [("news.20260922", "missed", Reason.POLICY_QUIET_HOURS)]
        assert pole.relay() == []

    def test_slots_one_after_the_other_are_one_session(self) -> None:
        """The third is asked about ten seconds before the second ends: its session is not forgotten meanwhile."""
        slots = [
            slot(at, name, sources=[VOV], max_duration_s=most_s)
            for at, name, most_s in (("05:00", "a", 115), ("05:02", "b", 1_675), ("05:30", "c", 300))
        ]
        pole = pole_with(*slots, sound_length_s=4_000.0, rules=Rules(max_sessions_per_day=1))
        pole.run(DAY)
        assert [each[1] for each in told(pole)] == ["played"] * 3

    def test_the_policy_of_another_authority_holds_as_well(self) -> None:
        pole = pole_with(slot("05:00"), slot("06:00", "second"))
        policy = {
            "type": "set_policy",
            "version": 1,
            "quiet_hours": ["22:00-05:30"],
            "days": EVERY_DAY,
            "max_session_min": 45,
            "max_sessions_per_day": 3,
            "max_minutes_per_day": 120,
            "volume_ceilings": {"normal": 40},
        }
        hear(pole, policy, DISTRICT, jti="policy-of-district")
        pole.run(DAY)
        assert told(pole) == [
            ("news.20260922", "missed", Reason.POLICY_QUIET_HOURS),
            ("second.20260922", "played", None),
        ]
        assert [each.gain_percent for _, each in pole.of(do.Sound) if isinstance(each, do.Sound)] == [40]


def test_files_of_a_schedule_are_fetched_before_their_time() -> None:
    pole = pole_with(slot("05:00"))
    pole.run(600.0)
    assert len(pole.of(do.Prefetch)) == 1


def test_a_slot_is_no_order_that_could_be_replayed() -> None:
    pole = pole_with(slot("21:20"))
    pole.run(450.0)
    refused = pole.order(altered(play("news.20260921"), kind=Kind.PRIORITY))
    assert pole.outcome(refused).reason is Reason.DUPLICATE_ITEM
    assert isinstance(play(), Play)
    assert all(isinstance(each, PlayRecord) for each in pole.records)
