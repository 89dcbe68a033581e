"""Clocks that are wrong, late, absent or lying: what sounds, what waits, and what the card remembers of the time."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.core import node
from agent.core.state import MAX_ACCEPTED, Accepted
from agent.core.timekeeping import FLOOR_KEPT_EVERY_S, MAX_NONCES
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome, Status
from tests.core.pole import Behaviour, Pole, claims_of, make_pole
from tests.signing import CHAIR, NOW, OPERATOR, ROOT, Key, document, order, play

YEAR_2099_S = datetime(2099, 1, 1, tzinfo=UTC).timestamp()
TEN_YEARS_S = 10 * 365 * 86_400.0
TWO_YEARS_S = 2 * 365 * 86_400
DAY = 86_400.0


def bulletin(pole: Pole, item: str = "tin", key: Key = OPERATOR, life_s: int = 3_600, kind: str = "normal") -> bytes:
    """An order made now, by the sender's clock, which is right."""
    now_s = int(pole.world_s)
    return order(play(item=item, kind=kind), key, jti=f"jti-of-{item:->20}", iat=now_s, exp=now_s + life_s)


def flood(pole: Pole, life_s: int = 3_600) -> bytes:
    return bulletin(pole, "flood", CHAIR, life_s, "emergency")


def time_told(pole: Pole, key: Key = CHAIR, ahead_s: int = 0, life_s: int = 60) -> bytes:
    """The time, by a sender whose clock is right (or ahead), to the nonce that the node published last."""
    states = [effect.payload for _, effect in pole.of(do.PublishState) if isinstance(effect, do.PublishState)]
    now_s = int(pole.world_s) + ahead_s
    command = {"type": "time", "nonce": claims_of(states[-1])["nonce"]}
    return order(command, key, jti=f"jti-of-time-{now_s}", iat=now_s, exp=now_s + life_s)


def jump(pole: Pole, by_s: float) -> None:
    """The wall clock is set, and the loop turns, as it does every few seconds."""
    pole.wall_offset_s += by_s
    pole.tell(ev.Tick())


def reasons(pole: Pole) -> list[Reason | None]:
    return [each.reason for each in pole.reports if isinstance(each, CommandOutcome)]


def trusted_s(pole: Pole) -> float | None:
    return node.clock_view(pole.state, pole.now)[0]


def sounded(pole: Pole) -> list[str]:
    return [each.item for each in pole.records if each.played_s]


def floors(pole: Pole) -> list[int]:
    """What was written of the floor, write by write."""
    commits = [effect for _, effect in pole.of(do.Commit) if isinstance(effect, do.Commit)]
    writes = [write for commit in commits for write in commit.writes]
    return [each.value for each in writes if isinstance(each, do.KeepSetting) and each.name == "floor"]


# At boot --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wall_s", [0.0, YEAR_2099_S], ids=["in 1970", "in 2099"])
def test_a_pole_that_boots_in_the_wrong_year_waits_and_then_plays_what_is_valid(wall_s: float) -> None:
    pole = make_pole().start().connect()
    pole.run(60.0)
    floor_s = pole.stored.settings["floor"][0]
    again = pole.after_power_cut(3_600.0, wall_s=wall_s).connect()
    again.hear(bulletin(again))
    again.run(1_200.0)  # the time server is late
    assert (trusted_s(again), again.relay(), reasons(again)) == (None, [], [])
    assert again.state.timekeeping.floor_s == floor_s
    again.learn_from_the_network()
    again.run(20.0)
    assert (sounded(again), reasons(again)) == (["tin"], [None])
    assert trusted_s(again) == pytest.approx(again.world_s)


def test_a_captured_order_that_the_pole_never_saw_does_not_sound_after_a_power_cycle() -> None:
    """Held back by whoever holds the broker, and delivered when only the floor says what time it is."""
    pole = make_pole().start().connect()
    held_back = flood(pole)
    again = pole.after_power_cut(2 * 86_400.0).connect()
    again.hear(held_back)
    again.run(7_200.0)
    assert again.relay() == []
    again.learn_from_the_network()
    again.run(60.0)
    again.hear(held_back)
    again.run(60.0)
    assert (again.relay(), again.records) == ([], [])
    assert set(reasons(again)) == {Reason.EXPIRED}


def test_an_emergency_that_expired_while_the_power_was_off_never_sounds() -> None:
    pole = make_pole().start().connect()
    pole.hear(flood(pole, life_s=600))
    pole.run(0.1)
    again = pole.after_power_cut(601.0).connect()
    again.run(30.0)
    again.hear(time_told(again))
    again.run(60.0)
    assert (again.relay(), [(each.item, each.result) for each in again.records]) == ([], [("flood", "missed")])


def test_an_emergency_still_valid_after_the_power_cut_sounds_once_the_time_is_told() -> None:
    pole = make_pole().start().connect()
    pole.hear(flood(pole, life_s=3_600))
    pole.run(0.1)
    again = pole.after_power_cut(60.0).connect()
    again.run(30.0)
    assert again.relay() == []
    again.hear(time_told(again))
    again.run(30.0)
    assert sounded(again) == ["flood"]


@pytest.mark.parametrize(("wall_s", "dates"), [(0.0, False), (NOW - 86_401.0, False), (YEAR_2099_S, True)])
def test_a_clock_that_is_surely_behind_is_not_asked_for_the_dates_of_certificates(wall_s: float, dates: bool) -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().after_power_cut(60.0, wall_s=wall_s)
    pole.run(5.0)
    assert [effect.dates for _, effect in pole.of(do.Connect) if isinstance(effect, do.Connect)] == [dates]


# While it plays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-3_600.0, TEN_YEARS_S])
def test_a_clock_that_jumps_without_evidence_while_a_bulletin_plays_changes_nothing(jump_s: float) -> None:
    pole = make_pole(Behaviour(sound_length_s=30.0)).start().connect()
    pole.hear(bulletin(pole))
    pole.run(10.0)
    pole.behaviour.synchronised = False
    jump(pole, jump_s)
    pole.hear(bulletin(pole, "next"))
    pole.run(70.0)
    assert [(each.item, each.result, each.played_s) for each in pole.records] == [
        ("tin", "played", 30.0),
        ("next", "played", 30.0),
    ]
    assert trusted_s(pole) == pytest.approx(pole.world_s)


def test_a_time_server_that_sets_the_clock_back_an_hour_cuts_nothing_off_and_lowers_no_floor() -> None:
    pole = make_pole(Behaviour(sound_length_s=30.0)).start().connect()
    pole.hear(bulletin(pole))
    pole.run(10.0)
    floor_s = pole.state.timekeeping.floor_s
    jump(pole, -3_600.0)
    pole.run(30.0)
    assert [(each.result, each.played_s) for each in pole.records] == [("played", 30.0)]
    assert trusted_s(pole) == pytest.approx(pole.world_s - 3_600.0)
    assert pole.state.timekeeping.floor_s == floor_s


def test_a_time_server_that_says_ten_years_on_ends_what_plays_and_the_roots_undo_it() -> None:
    """The node has to believe it: what it then refuses, it refuses only until the roots have spoken."""
    pole = make_pole(Behaviour(sound_length_s=30.0)).start().connect()
    pole.hear(bulletin(pole))
    pole.run(10.0)
    jump(pole, TEN_YEARS_S)
    pole.run(5.0)
    assert [(each.result, each.reason) for each in pole.records] == [("stopped", Reason.NOT_AFTER)]
    pole = pole.after_power_cut(60.0).connect()
    pole.hear(flood(pole))
    assert pole.state.refusals.counts == {"key_not_valid": 1}, "the floor lies beyond the key's end"
    pole.hear(time_told(pole, ROOT))
    pole.run(1.0)
    pole.hear(flood(pole))
    pole.run(60.0)
    assert sounded(pole) == ["tin", "flood"]
    assert pole.stored.settings["floor"][0] == pytest.approx(pole.world_s, abs=60)


# What is found at start -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", ["rtc", "kernel"])
def test_a_clock_that_was_kept_and_is_not_below_the_floor_is_believed(evidence: str) -> None:
    pole = make_pole().start().connect()
    pole.run(60.0)
    again = pole.after_power_cut(60.0)
    again.tell(ev.ClockFound(again.world_offset_s, evidence))
    assert trusted_s(again) == pytest.approx(again.world_s)
    again.connect()
    again.hear(bulletin(again))
    again.run(20.0)
    assert sounded(again) == ["tin"]
    assert again.state.timekeeping.evidence == evidence


@pytest.mark.parametrize("off_s", [-86_400.0 * 365, -3_600.0, float("nan"), float("inf"), float("-inf")])
def test_a_clock_below_the_floor_proves_nothing(off_s: float) -> None:
    """A chip whose battery is empty says 2000; a damaged file may say anything."""
    pole = make_pole().start().connect()
    pole.run(60.0)
    again = pole.after_power_cut(60.0)
    again.tell(ev.ClockFound(again.world_offset_s + off_s, "rtc"))
    assert (trusted_s(again), again.state.timekeeping.evidence) == (None, "none")


def test_fresh_evidence_is_not_replaced_by_what_was_kept() -> None:
    pole = make_pole().start()
    pole.tell(ev.ClockFound(pole.world_offset_s + 500.0, "rtc"))
    assert trusted_s(pole) == pytest.approx(pole.world_s)


def test_trusted_time_is_handed_on_to_the_next_process_when_it_is_new_and_when_it_moves() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    pole.run(60.0)
    assert pole.of(do.CarryClock) == []
    pole.learn_from_the_network()
    first = do.CarryClock(pole.world_offset_s, "kernel")
    pole.run(3_600.0)
    pole.wall_offset_s += 0.01
    pole.run(60.0)
    assert [effect for _, effect in pole.of(do.CarryClock)] == [first]
    pole.wall_offset_s += 2.0
    pole.run(60.0)
    assert [effect for _, effect in pole.of(do.CarryClock)] == [first, do.CarryClock(pole.wall_offset_s, "kernel")]


def test_the_word_of_a_configuration_is_said_to_be_one_and_does_not_outlive_it() -> None:
    """A technician who takes back `clock: {trust: always}` must not find the wrong time still believed."""
    pole = make_pole(Behaviour(vouched=True)).start().connect()
    pole.run(60.0)
    pole.wall_offset_s += 500.0
    pole.run(60.0)
    assert pole.of(do.CarryClock) == []
    (_, told) = pole.of(do.PublishState)[-1]
    assert isinstance(told, do.PublishState)
    seen = claims_of(told.payload)["clock"]
    assert isinstance(seen, dict)
    assert (seen["trusted"], seen["evidence"]) == (True, "configuration")


# The mark -------------------------------------------------------------------------------------------------------------


def test_a_new_card_does_not_replay_todays_emergency() -> None:
    pole = make_pole()
    before = flood(pole, life_s=86_400)
    pole.run(600.0)
    pole.on_a_new_card().connect()
    pole.hear(before)
    pole.run(20.0)
    assert (pole.relay(), reasons(pole)) == ([], [Reason.BEFORE_MEMORY])
    pole.hear(bulletin(pole))
    pole.run(20.0)
    assert sounded(pole) == ["tin"]


def test_the_mark_is_the_first_trusted_time_and_stays_over_restarts() -> None:
    pole = make_pole(Behaviour(synchronised=False)).on_a_new_card().connect()
    pole.run(600.0)
    assert "mark" not in pole.stored.settings
    pole.hear(bulletin(pole))
    pole.run(1.0)
    pole.learn_from_the_network()
    mark_s = int(pole.world_s)
    pole.run(60.0)
    assert (pole.stored.settings["mark"], reasons(pole)) == ((mark_s, 0), [Reason.BEFORE_MEMORY])
    again = pole.after_power_cut(600.0).connect()
    again.learn_from_the_network()
    again.run(60.0)
    assert again.stored.settings["mark"] == (mark_s, 0)
    told = [each.mark for each in again.reports if isinstance(each, Status)]
    assert told == [None, mark_s]


def test_what_undoes_harm_is_not_asked_for_the_mark_and_silence_is() -> None:
    """An old `stop` might end today's warning."""
    pole = make_pole(Behaviour(synchronised=False)).on_a_new_card().connect()
    time_before = time_told(pole)
    pole.run(10.0)
    pole.state = node.initial(pole.settings, pole.trust, pole.released_s, pole.now)
    pole.stored.settings["mark"] = (int(pole.world_s), 0)
    pole.start(pole.judge.restored(pole.stored.memory())).connect()
    pole.hear(order({"type": "stop", "item": "tin", "reason": "x"}, jti="jti-of-an-old-stop"))
    pole.hear(time_before)
    pole.run(1.0)
    assert reasons(pole) == [Reason.BEFORE_MEMORY, Reason.BAD_NONCE]


def test_the_roots_who_set_a_clock_back_do_not_bring_back_what_was_played() -> None:
    pole = make_pole(Behaviour(sound_length_s=1.0)).start().connect()
    emergency = flood(pole, life_s=86_400)
    pole.hear(emergency)
    pole.run(60.0)
    assert sounded(pole) == ["flood"]
    again = pole.after_power_cut().connect()
    again.hear(time_told(again, ahead_s=TWO_YEARS_S))
    again.run(5.0)
    ahead_s = int(again.world_s) + TWO_YEARS_S
    again.hear(order({"type": "report_now"}, CHAIR, jti="jti-that-makes-it-forget", iat=ahead_s, exp=ahead_s + 600))
    again.run(5.0)
    assert f"jti-of-{'flood':->20}" not in [jti for _, jti in again.state.accepted]
    again.hear(time_told(again, ROOT))
    again.run(5.0)
    assert trusted_s(again) == pytest.approx(again.world_s, abs=60.0)
    again.hear(emergency)
    again.run(60.0)
    assert (sounded(again), reasons(again)[-1]) == (["flood"], Reason.BEFORE_MEMORY)
    again.hear(bulletin(again, "a-new-one"))
    again.run(60.0)
    assert sounded(again) == ["flood", "a-new-one"]


def test_the_roots_own_time_is_remembered_though_it_is_long_before_what_was_forgotten() -> None:
    """It is stored by the transaction that forgets what is over: it must not go with it."""
    pole = make_pole().start().connect()
    pole.hear(flood(pole))
    jump(pole, TWO_YEARS_S)
    pole.hear(
        order({"type": "report_now"}, CHAIR, jti="jti-that-makes-it-forget", iat=pole.wall_s, exp=pole.wall_s + 9)
    )
    pole.run(60.0)
    assert pole.stored.settings["forgotten"][0] > NOW
    pole.behaviour.synchronised = False
    told = time_told(pole, ROOT)
    pole.hear(told)
    pole.run(1.0)
    assert ("root", f"jti-of-time-{int(pole.world_s) - 1}") in pole.stored.accepted


def test_a_mark_that_could_not_be_stored_at_first_does_not_come_back_after_the_roots_have_lowered_it() -> None:
    pole = make_pole()
    pole.wall_offset_s += YEAR_2099_S - pole.world_s
    pole.behaviour.commits_fail = True
    pole.on_a_new_card().connect()
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.behaviour.synchronised = False
    pole.hear(time_told(pole, ROOT))
    pole.run(1.0)
    assert pole.stored.settings["mark"][0] == NOW + 1
    pole.run(20.0)
    assert pole.stored.settings["mark"][0] == NOW + 1
    assert pole.stored.settings["floor"][0] < NOW + 60


def test_a_time_below_the_floor_is_known_to_be_wrong_and_brings_nothing_back() -> None:
    """A control server whose clock is slow by hours, and an emergency that this pole never saw."""
    pole = make_pole(Behaviour(sound_length_s=1.0)).start().connect()
    heard, unheard = flood(pole, life_s=3_600), bulletin(pole, "unheard", CHAIR, 3_600, "emergency")
    pole.hear(heard)
    pole.run(3 * 3_600.0)
    pole.hear(bulletin(pole, "later"))
    pole.run(60.0)
    again = pole.after_power_cut().connect()
    again.hear(time_told(again, ahead_s=-9_000, life_s=86_400))
    again.run(5.0)
    now_s = trusted_s(again)
    assert now_s is not None
    assert again.state.timekeeping.floor_s - 1 <= now_s <= again.world_s
    again.hear(heard)
    again.hear(unheard)
    again.run(60.0)
    assert sounded(again) == ["flood", "later"]


def test_a_time_server_that_goes_back_brings_nothing_back_that_was_forgotten() -> None:
    pole = make_pole(Behaviour(sound_length_s=1.0)).start().connect()
    heard = flood(pole, life_s=86_400)
    pole.hear(heard)
    pole.run(60.0)
    jump(pole, 2 * 86_400.0)
    pole.hear(
        order({"type": "report_now"}, CHAIR, jti="jti-that-makes-it-forget", iat=pole.wall_s, exp=pole.wall_s + 600)
    )
    pole.run(60.0)
    jump(pole, -2 * 86_400.0)
    pole.run(1.0)
    pole.hear(heard)
    pole.run(60.0)
    assert sounded(pole) == ["flood"]
    assert reasons(pole)[-1] is Reason.BEFORE_MEMORY
    pole.hear(bulletin(pole, "a-new-one"))
    pole.run(60.0)
    assert sounded(pole) == ["flood", "a-new-one"], "and the pole goes on"


def overheard(pole: Pole) -> bytes:
    """An emergency that sounds, is over, and is forgotten at the next order."""
    heard = flood(pole, life_s=600)
    pole.hear(heard)
    pole.run(DAY + 7_200.0)
    pole.hear(report_now(pole, "that-makes-it-forget"))
    pole.run(60.0)
    assert f"jti-of-{'flood':->20}" not in [jti for _, jti in pole.state.accepted]
    return heard


def report_now(pole: Pole, jti: str, by_s: float = 0.0) -> bytes:
    iat = int(pole.world_s + by_s)
    return order({"type": "report_now"}, CHAIR, jti=f"jti-{jti:->20}", iat=iat, exp=iat + 600)


@pytest.mark.parametrize("before_s", [200, 400, 86_400], ids=["valid at once", "valid in a while", "valid tomorrow"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_time_server_that_goes_back_to_before_an_order_was_issued_brings_it_not_back(
    before_s: int, restarts: bool
) -> None:
    pole = make_pole(Behaviour(sound_length_s=1.0)).start().connect()
    pole.run(5.0)
    issued_s = int(pole.world_s)
    heard = overheard(pole)
    if restarts:
        pole = pole.after_power_cut(60.0, wall_s=pole.world_s, synchronised=True).connect()
    jump(pole, issued_s - before_s - pole.wall_s)
    for _ in range(10):
        pole.hear(heard)
        pole.run(before_s / 10)
    pole.hear(heard)
    pole.run(60.0)
    assert sounded(pole) == ["flood"]
    assert pole.state.refusals.counts["before_memory"] >= 1
    pole.learn_from_the_network()
    pole.hear(bulletin(pole, "a-new-one"))
    pole.run(60.0)
    assert sounded(pole) == ["flood", "a-new-one"], "the time is right again, and the pole goes on"


def test_nor_does_one_that_goes_back_twice() -> None:
    pole = make_pole(Behaviour(sound_length_s=1.0)).start().connect()
    pole.run(5.0)
    issued_s = int(pole.world_s)
    heard = overheard(pole)
    for before_s in (2_000, 4_000, 200):
        jump(pole, issued_s - before_s - pole.wall_s)
        pole.run(60.0)
    pole.run(200.0)
    pole.hear(heard)
    pole.run(60.0)
    assert sounded(pole) == ["flood"]


def test_the_roots_undo_a_mark_from_orders_dated_ahead() -> None:
    """Whoever forges time servers and holds a key dates orders ten years ahead: nothing older would ever be obeyed."""
    keys = tuple(replace(each, valid_until=datetime(2099, 1, 1, tzinfo=UTC)) for each in (CHAIR, OPERATOR))
    pole = make_pole(Behaviour(sound_length_s=1.0), document(*keys)).start().connect()
    jump(pole, TEN_YEARS_S)
    pole.hear(report_now(pole, "dated-ahead", TEN_YEARS_S))
    pole.run(DAY + 7_200.0)
    pole.hear(report_now(pole, "that-makes-it-forget", TEN_YEARS_S))
    jump(pole, -TEN_YEARS_S)
    pole.hear(bulletin(pole))
    pole.run(60.0)
    assert (sounded(pole), reasons(pole)[-1]) == ([], Reason.BEFORE_MEMORY)
    pole.hear(time_told(pole, ROOT))
    pole.hear(bulletin(pole, "a-new-one"))
    pole.run(60.0)
    assert sounded(pole) == ["a-new-one"]
    again = pole.after_power_cut(60.0).connect()
    again.hear(time_told(again))
    again.hear(bulletin(again, "another"))
    again.run(60.0)
    assert sounded(again) == ["a-new-one", "another"]


def test_a_time_server_does_not_overrule_the_roots() -> None:
    pole = make_pole().start().connect()
    jump(pole, TWO_YEARS_S)
    pole.run(5.0)
    pole.hear(time_told(pole, ROOT))
    pole.run(5.0)
    assert trusted_s(pole) == pytest.approx(pole.world_s, abs=60.0)
    jump(pole, -TWO_YEARS_S)
    pole.run(5.0)
    assert trusted_s(pole) == pytest.approx(pole.world_s)
    assert pole.state.timekeeping.evidence == "kernel", "they agree"


def test_nor_does_it_after_a_restart_on_the_same_boot() -> None:
    """The next process hears of what the roots have said before it hears the kernel, whose word raises the floor."""
    pole = make_pole().start().connect()
    jump(pole, 30 * DAY)
    pole.run(5.0)
    pole.hear(time_told(pole, ROOT))
    pole.run(5.0)
    again = pole.after_crash().connect()
    again.run(5.0)
    assert trusted_s(again) == pytest.approx(again.world_s, abs=1.0)
    assert again.state.timekeeping.floor_s <= again.world_s
    again.hear(flood(again))
    again.run(20.0)
    assert sounded(again) == ["flood"]
    jump(again, -30 * DAY)
    assert again.state.timekeeping.evidence == "kernel", "they agree"


@pytest.mark.parametrize("synchronised", [False, True])
def test_a_time_that_was_handed_on_and_lies_below_the_stored_floor_proves_nothing(synchronised: bool) -> None:
    pole = make_pole().start().connect()
    pole.run(60.0)
    pole.carried = ev.ClockFound(pole.world_offset_s - 3_600.0, "time command")
    pole.behaviour.synchronised = synchronised
    again = pole.after_crash()
    assert trusted_s(again) == (pytest.approx(again.world_s) if synchronised else None)


def nonces_said(pole: Pole) -> list[object]:
    states = [effect.payload for _, effect in pole.of(do.PublishState) if isinstance(effect, do.PublishState)]
    return [claims_of(each)["nonce"] for each in states]


@pytest.mark.parametrize("ahead_s", [-30 * DAY, 365 * DAY])
def test_a_pole_whose_clock_is_wrong_says_a_nonce_to_the_roots_who_have_none(ahead_s: float) -> None:
    """The one it said last is older than a minute, and every other order is dated wrong for it."""
    pole = make_pole().start().connect()
    jump(pole, ahead_s)
    pole.run(300.0)
    since = len(nonces_said(pole))
    for number, key in enumerate((CHAIR, ROOT)):
        iat = int(pole.world_s)
        pole.hear(order({"type": "report_now"}, key, jti=f"jti-of-a-report-{number}", iat=iat, exp=iat + 600))
    assert len(nonces_said(pole)) == since
    now_s = int(pole.world_s)
    knock = order({"type": "time", "nonce": "0" * 32}, ROOT, jti="jti-of-a-knock-00", iat=now_s, exp=now_s + 120)
    pole.hear(knock)
    pole.run(1.0)
    assert reasons(pole)[-1] is Reason.BAD_NONCE
    assert len(nonces_said(pole)) == since + 1
    pole.hear(time_told(pole, ROOT))
    pole.run(1.0)
    assert trusted_s(pole) == pytest.approx(pole.world_s, abs=2.0)


def test_a_recorded_time_of_the_roots_draws_no_nonces() -> None:
    """Whoever has it could else keep the answer to an earlier one out."""
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    answer = time_told(pole)
    knock = order({"type": "time", "nonce": "0" * 32}, ROOT, jti="jti-of-a-knock-00", iat=NOW - 9_000, exp=NOW - 8_000)
    since = len(nonces_said(pole))
    for _ in range(MAX_NONCES + 1):
        pole.hear(knock)
        pole.run(0.1)
    assert len(nonces_said(pole)) == since + 1
    pole.hear(answer)
    pole.run(1.0)
    assert trusted_s(pole) is not None


def test_whoever_makes_a_pole_publish_nonces_does_not_keep_the_time_out() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    answer = time_told(pole)
    for number in range(30):
        now_s = int(pole.world_s)
        pole.hear(order({"type": "report_now"}, OPERATOR, jti=f"jti-of-report-{number:06}", iat=now_s, exp=now_s + 60))
        pole.run(1.0)
    pole.hear(answer)
    pole.run(1.0)
    assert trusted_s(pole) is not None


def test_a_full_memory_does_not_keep_out_the_time_by_which_it_empties() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    table = {("commune operator", f"jti-{number:012d}"): Accepted(NOW + 60) for number in range(MAX_ACCEPTED)}
    pole.state = replace(pole.state, accepted=table)
    pole.run(2 * 86_400.0)
    pole.hear(flood(pole))
    pole.tell(ev.VitalsMeasured(None, 1.0, 0.0, 1))
    now_s, nonce = int(pole.world_s), pole.state.timekeeping.nonce  # told in that heartbeat
    pole.hear(order({"type": "time", "nonce": nonce}, CHAIR, jti="jti-of-the-time-told", iat=now_s, exp=now_s + 60))
    pole.run(60.0)
    assert sounded(pole) == ["flood"]


def test_a_mark_from_a_clock_in_2099_is_lowered_by_the_roots_with_the_floor() -> None:
    pole = make_pole()
    pole.wall_offset_s += YEAR_2099_S - pole.world_s
    pole.on_a_new_card().connect()
    pole.run(1.0)
    assert pole.stored.settings["mark"][0] >= YEAR_2099_S
    pole.behaviour.synchronised = False
    pole.hear(time_told(pole, ROOT))
    pole.run(1.0)
    pole.hear(flood(pole))
    pole.run(20.0)
    assert sounded(pole) == ["flood"]
    again = pole.after_power_cut(60.0).connect()
    assert again.state.timekeeping.mark_s == NOW + 1


# The floor ------------------------------------------------------------------------------------------------------------


def test_an_idle_pole_stores_the_floor_once_an_hour_and_nothing_else() -> None:
    pole = make_pole().start()
    pole.run(1.0)
    since, already = len(pole.of(do.Commit)), len(floors(pole))
    pole.run(5 * 3_600.0)
    assert len(pole.of(do.Commit)) - since == len(floors(pole)) - already == 5
    kept = floors(pole)[already - 1 :]
    assert [after - before for before, after in itertools.pairwise(kept)] == [FLOOR_KEPT_EVERY_S] * 5


def test_every_transaction_carries_the_floor_so_that_a_busy_pole_writes_it_never_alone() -> None:
    pole = make_pole().start().connect()
    pole.run(1.0)
    since = len(pole.of(do.Commit))
    for number in range(12):
        pole.run(600.0)
        pole.hear(order({"type": "set_volume", "percent": number}, jti=f"jti-of-volume-{number:05d}",
                        iat=int(pole.world_s), exp=int(pole.world_s) + 60))  # fmt: skip
        pole.run(1.0)
        assert pole.stored.settings["floor"][0] == int(pole.world_s) - 1
    assert len(pole.of(do.Commit)) - since == 12


def test_the_floor_is_stored_at_exit() -> None:
    pole = make_pole().start().connect()
    pole.run(1_000.0)
    pole.tell(ev.StopRequested("SIGTERM"))
    assert pole.stored.settings["floor"][0] == int(pole.world_s)


def test_after_months_without_power_the_leap_is_stored_as_soon_as_the_time_is_known() -> None:
    pole = make_pole().start().connect()
    pole.run(1.0)
    again = pole.after_power_cut(100 * 86_400.0)
    again.learn_from_the_network()
    assert again.stored.settings["floor"][0] == int(again.world_s)


def test_no_order_dated_ahead_raises_the_floor() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    floor_s = pole.state.timekeeping.floor_s
    pole.hear(order(play(), iat=int(NOW + TEN_YEARS_S / 8), exp=int(NOW + TEN_YEARS_S / 8) + 60))
    stop = {"type": "stop", "item": "tin", "reason": "x"}
    pole.hear(order(stop, jti="jti-of-a-stop-ahead", iat=NOW + 86_400, exp=NOW + 86_460))
    pole.run(60.0)
    assert (reasons(pole), pole.state.timekeeping.floor_s) == ([None], floor_s)
