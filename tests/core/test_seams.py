"""Where one item ends and another is set to begin (ADR 38): what comes within the 0.2 s in which both have the card."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from agent.core.items import SAMPLE_RATE
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play, Repeat
from agent.messages.loudness import Loudness
from agent.messages.reasons import Reason
from agent.messages.rules import Ceiling, Rules
from agent.messages.sources import Builtin, BuiltinName, Relay, Source
from agent.messages.words import Kind
from tests.core.pole import RELAY, Behaviour, Pole, altered, make_pole, play
from tests.core.test_documents import CLERK, hear, policy
from tests.core.test_schedule import VOV, pole_with, slot

SIREN = Source(builtin=Builtin(BuiltinName.SIREN))
OTHER_RELAY = Source(relay=Relay("https://b.vov.example/two"))
TONE = Source(builtin=Builtin(BuiltinName.TONE))
SLOT_S = datetime(2026, 9, 21, 22, 10, tzinfo=UTC).timestamp()
"""05:10 in Hanoi."""
WHOLE = (600.0, "played", Reason.MAX_DURATION)
ONLY_NORMAL = frozenset({"play.normal"})


def run_until(pole: Pole, wall_s: float) -> None:
    pole.run(wall_s - pole.world_s)


def warning(item: str = "dam", **changes: object) -> Play:
    """30 s of siren."""
    return altered(play(item, SIREN, kind=Kind.EMERGENCY, max_duration_s=30), **changes)


def heard(pole: Pole) -> list[tuple[str, float]]:
    """What was heard for how long, in order."""
    whole = [(each.item.partition(".")[0], round(each.until_s - each.from_s, 2)) for each in pole.heard]
    return [each for each in whole if each[1]]


def results(pole: Pole) -> dict[str, tuple[str, Reason | None]]:
    return {each.item.partition(".")[0]: (each.result, each.reason) for each in pole.records}


class TestRoundsOfAnEmergency:
    """A slot is set to begin as a sounding of a warning ends."""

    def pole(self, gap_s: int, count: int = 3) -> Pole:
        pole = pole_with(slot("05:10", sources=[VOV], max_duration_s=3_000), sound_length_s=4_000.0)
        run_until(pole, SLOT_S - 60.0)
        pole.order(warning(start_at=int(SLOT_S) - 30, repeat=Repeat(count, gap_s)), life_s=40_000)
        return pole

    def test_a_short_pause_is_not_filled_with_the_slot(self) -> None:
        pole = self.pole(5)
        run_until(pole, SLOT_S + 2_000.0)
        assert heard(pole)[:3] == [("dam", 30.0)] * 3
        begun = [each.at_s for each in pole.heard[:3]]
        assert [b - a for a, b in pairwise(begun)] == [pytest.approx(35.0)] * 2

    def test_a_long_one_is_from_the_slots_first_sample_on(self) -> None:
        pole = self.pole(300, count=2)
        run_until(pole, SLOT_S + 2_000.0)
        assert [each[0] for each in heard(pole)[:3]] == ["dam", "news", "dam"]
        dam, news, _ = pole.heard[:3]
        assert news.at_s - dam.at_s == pytest.approx(30.0)
        assert news.from_s == 0.0

    @pytest.mark.parametrize("before_s", [9.0, 5.0, 2.0, 1.0, 0.18, 0.1])
    def test_a_second_emergency_shortly_before_costs_the_first_none_of_them(self, before_s: float) -> None:
        pole = self.pole(5)
        run_until(pole, SLOT_S - before_s)
        pole.order(warning("flood"))
        run_until(pole, SLOT_S + 2_000.0)
        assert heard(pole)[:2] == [("dam", 30.0), ("flood", 30.0)]
        assert [each[0] for each in heard(pole)[2:]] == ["dam", "dam"], "its second round is joined late"
        assert results(pole)["dam"] == results(pole)["flood"] == ("played", Reason.MAX_DURATION)

    @pytest.mark.parametrize("before_s", [0.18, 0.15, 0.12])
    def test_nor_does_a_key_that_may_order_nothing_but_ordinary_items(self, before_s: float) -> None:
        pole = make_pole(Behaviour(sound_length_s=4_000.0), heartbeat_s=3_600).start().connect()
        begins_s = pole.wall_s + 20
        pole.order(warning(start_at=begins_s, repeat=Repeat(4, 30)), iss="civil defence")
        pole.run(25.0)
        tone = play("one", TONE, max_duration_s=5)
        pole.order(altered(tone, start_at=begins_s + 30), iss="thief", may=ONLY_NORMAL)
        run_until(pole, begins_s + 30 - before_s)
        pole.order(altered(play("two", TONE, max_duration_s=5), replaces=("one",)), iss="thief", may=ONLY_NORMAL)
        pole.run(1_000.0)
        assert heard(pole) == [("dam", 30.0)] * 4 + [("two", 5.0)]
        assert results(pole)["dam"] == ("played", Reason.MAX_DURATION)

    def test_what_is_there_by_the_time_of_the_pause_waits_in_the_queue_for_its_end(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=30.0, fetch_slow={"https://radio.vov.example/live": 40.0})).start()
        pole.order(play("news", RELAY, max_duration_s=30))
        pole.run(1.0)
        pole.order(warning(repeat=Repeat(3, 20)))
        pole.run(40.0)
        assert {each.play.item for each in pole.state.programme.waiting} == {"dam", "news"}
        assert pole.of(do.ClosePipe), "nobody reads it meanwhile"
        pole.run(400.0)
        assert heard(pole) == [("dam", 30.0)] * 3 + [("news", 30.0)]

    def test_the_all_clear_sounds_in_the_pause_of_what_it_replaces(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=30.0)).start()
        pole.order(warning(repeat=Repeat(3, 50)))
        pole.run(40.0)
        ordered_s = pole.mono_s
        pole.order(altered(play("all clear", kind=Kind.PRIORITY), replaces=("dam",)))
        pole.run(400.0)
        assert heard(pole) == [("dam", 30.0), ("all clear", 30.0)]
        assert pole.heard[1].at_s - ordered_s < 1.5
        assert results(pole)["dam"] == ("stopped", Reason.REPLACED)


class TestSlotsThatTouch:
    def pole(self) -> Pole:
        slots = (slot("05:00", "first", sources=[VOV]), slot("05:10", "second", sources=[VOV]))
        return pole_with(*slots, sound_length_s=4_000.0)

    @pytest.mark.parametrize("before_ms", range(10, 200, 10))
    def test_an_emergency_at_their_seam_leaves_the_first_played(self, before_ms: int) -> None:
        pole = self.pole()
        run_until(pole, SLOT_S - before_ms / 1_000)
        ordered_s = pole.mono_s
        pole.order(warning("flood"))
        pole.run(1_000.0)
        assert [each[0] for each in heard(pole)] == ["first", "flood", "second"]
        assert results(pole)["first"] == ("played", Reason.MAX_DURATION)
        assert heard(pole)[0] == ("first", 600.0)
        flood = next(each for each in pole.heard if each.item == "flood")
        assert flood.at_s - ordered_s < 0.3, "it waits for the rest"

    def test_what_the_card_gives_back_of_the_first_was_its_end(self) -> None:
        """Whatever it does with the last 0.2 s, the first has been played."""
        pole = self.pole()
        run_until(pole, SLOT_S - 0.1)
        (first,) = pole.state.programme.aside
        pole.tell(
            ev.SoundEnded(first.token, ev.End.CUT, Loudness(599 * SAMPLE_RATE, -20.0, -3.0, 0), 599 * SAMPLE_RATE)
        )
        pole.run(1_000.0)
        assert {each.result for each in pole.records} == {"played"}


class TestNextSources:
    """A source that fails as its item leaves the air."""

    @pytest.mark.parametrize("before_ms", range(0, 14, 2))
    @pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.PRIORITY])
    def test_what_is_held_as_its_stream_ends_goes_on_with_the_next(self, kind: Kind, before_ms: int) -> None:
        pole = make_pole(Behaviour(sound_length_s=10.0), heartbeat_s=3_600).start().connect()
        pole.order(play("radio", RELAY, OTHER_RELAY, kind=kind, max_duration_s=15))
        pole.run(5.0)
        self.hang_up(pole)
        pole.run(pole.on_card_since_s + 10.0 - pole.mono_s - before_ms / 1_000)
        pole.order(play("flood", TONE, kind=Kind.EMERGENCY, max_duration_s=5))
        pole.run(60.0)
        assert sum(each[1] for each in heard(pole) if each[0] == "radio") == pytest.approx(15.0, abs=0.02)
        assert results(pole) == dict.fromkeys(("radio", "flood"), ("played", Reason.MAX_DURATION))

    @pytest.mark.parametrize("kind", Kind)
    @pytest.mark.parametrize("early_s", [0.25, 0.15, 0.05])
    def test_no_source_is_opened_for_what_is_left_beside_the_slot_that_follows(
        self, early_s: float, kind: Kind
    ) -> None:
        pole = pole_with(slot("05:10", max_duration_s=60), sound_length_s=30.0 - early_s)
        run_until(pole, SLOT_S - 40.0)
        radio = play("radio", RELAY, OTHER_RELAY, kind=kind, max_duration_s=30)
        pole.order(altered(radio, start_at=int(SLOT_S) - 30))
        run_until(pole, SLOT_S - 0.7)
        self.hang_up(pole)
        pole.run(100.0)
        assert [each[0] for each in heard(pole)] == ["radio", "news"]
        assert results(pole)["radio"] == ("played", Reason.STREAM_ENDED)

    def hang_up(self, pole: Pole) -> None:
        """The server of what is on the air closes the stream; what it gave is heard."""
        assert pole.state.programme.current is not None
        pole.tell(ev.SourceFailed(pole.state.programme.current.token, Reason.STREAM_ENDED, "closed"))


class TestCaps:
    """What sounds is counted to its end before what follows on its heels is asked about."""

    def pole(self, rules: Rules, *at: str) -> Pole:
        slots = [slot(each, f"s{number}", sources=[VOV]) for number, each in enumerate(at)]
        return pole_with(*slots, sound_length_s=4_000.0, rules=rules)

    def told(self, pole: Pole) -> list[tuple[float, str, Reason | None]]:
        """An hour later, how each slot ended."""
        run_until(pole, SLOT_S + 3_600.0)
        told = {each.item: (each.played_s, each.result, each.reason) for each in pole.records}
        return [told[name] for name in sorted(told)]

    @pytest.mark.parametrize(
        ("rules", "second", "third"),
        [
            (Rules(max_session_min=12), (120.0, "stopped", Reason.POLICY_SESSION_MINUTES), WHOLE),
            (
                Rules(max_minutes_per_day=15),
                (300.0, "stopped", Reason.POLICY_MINUTES),
                (0.0, "missed", Reason.POLICY_MINUTES),
            ),
            (Rules(max_session_min=10), (0.0, "missed", Reason.POLICY_SESSION_MINUTES), WHOLE),
            (Rules(max_sessions_per_day=1), WHOLE, WHOLE),
        ],
    )
    def test_slots_that_touch_keep_them_together(self, rules: Rules, second: object, third: object) -> None:
        assert self.told(self.pole(rules, "05:00", "05:10", "05:20")) == [WHOLE, second, third]

    @pytest.mark.parametrize("off_ms", [-0.3, 0.0, 0.3])
    def test_after_a_pause_of_five_minutes_a_new_session_begins(self, off_ms: float) -> None:
        """The card's word of the end comes some milliseconds later; the instant in it is better than one."""
        pole = self.pole(Rules(max_session_min=15), "05:00", "05:15")
        run_until(pole, SLOT_S - 0.5)
        first = pole.state.programme.current
        assert first is not None
        assert first.ends_s is not None
        pole.tell(ev.SoundEnding(first.token, first.ends_s + off_ms / 1_000))
        assert self.told(pole) == [WHOLE, WHOLE]

    def test_and_after_one_of_four_it_goes_on(self) -> None:
        begun = Rules(max_sessions_per_day=1)
        assert self.told(self.pole(begun, "05:00", "05:15")) == [WHOLE, (0.0, "missed", Reason.POLICY_SESSIONS)]
        assert self.told(self.pole(begun, "05:00", "05:14")) == [WHOLE, WHOLE]

    def test_what_replaces_an_item_goes_on_with_its_session(self) -> None:
        pole = make_pole(Behaviour(sound_length_s=4_000.0), rules=Rules(max_session_min=8)).start().connect()
        pole.order(play("one", TONE, max_duration_s=600))
        pole.run(300.0)
        pole.order(altered(play("two", TONE, max_duration_s=600), replaces=("one",)))
        pole.run(1_000.0)
        assert results(pole) == {
            "one": ("stopped", Reason.REPLACED),
            "two": ("stopped", Reason.POLICY_SESSION_MINUTES),
        }
        assert sum(each.played_s for each in pole.records) == pytest.approx(480.0, abs=0.05)

    def test_what_a_policy_has_forbidden_since_it_was_made_ready_does_not_begin(self) -> None:
        pole = pole_with(slot("05:10", sources=[VOV]), sound_length_s=4_000.0)
        run_until(pole, SLOT_S - 5.0)
        command = policy(quiet_hours=["05:10-06:00"])
        hear(pole, command, CLERK, jti="policy-of-the-clerk", iat=pole.wall_s)
        run_until(pole, SLOT_S + 60.0)
        assert results(pole) == {"news": ("missed", Reason.POLICY_QUIET_HOURS)}
        assert pole.of(do.Sound) == []


class TestCeilings:
    @pytest.mark.parametrize(("ceiling", "gain"), [((310, 1_440), 30), ((0, 310), 80)])
    @pytest.mark.parametrize("before", [[], [slot("05:00", "first", sources=[VOV])]], ids=["silence", "another"])
    def test_a_ceiling_that_begins_or_ends_with_a_slot_holds_from_its_first_sample(
        self, ceiling: tuple[int, int], gain: int, before: list[dict[str, object]]
    ) -> None:
        """The card takes the sound at the gain of the order, up to 0.6 s ahead."""
        rules = Rules(ceilings=(Ceiling(Kind.NORMAL, 30, *ceiling),))
        pole = pole_with(*before, slot("05:10", sources=[VOV]), sound_length_s=4_000.0, rules=rules)
        run_until(pole, SLOT_S + 60.0)
        (_, last) = pole.of(do.Sound)[-1]
        assert isinstance(last, do.Sound)
        assert last.gain_percent == gain
        assert [
            each for _, each in pole.of(do.SetGain) if isinstance(each, do.SetGain) and each.token == last.token
        ] == []
