"""One outcome per command, stored before it is acknowledged; replay, restart, settings and time."""

from dataclasses import replace

import pytest

from agent.core import node
from agent.core import programme as prog
from agent.core.admission import MAX_STOPS, RESERVED
from agent.core.answers import MAX_ANSWERED, MAX_REPORTED_REFUSALS
from agent.core.heartbeat import MAX_HEARTBEAT_BYTES, heartbeat
from agent.core.state import MAX_ACCEPTED, Accepted
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import decode, encode
from agent.messages.commands import ReportNow, SetMute, SetVolume, Time, VerifiedCommand
from agent.messages.condition import Condition
from agent.messages.memory import StoredAccepted, StoredStop
from agent.messages.reasons import Reason, Shown
from agent.messages.reports import CommandOutcome, Status
from agent.messages.trust import fingerprint
from agent.messages.words import Kind
from tests.core.pole import EVERYTHING, TRUST, Behaviour, Pole, claims_of, make_pole, play, stop
from tests.signing import CHAIR, DEFENCE, RETIRED, Key, document
from tests.signing import order as signed_order
from tests.signing import play as signed_play


def refused(pole: Pole, reason: Reason, *, reportable: bool, jti: str = "jti-refused-00001") -> None:
    delivery = ev.Delivery(1, 9_000)
    pole.tell(ev.CommandRefused(delivery, reason, "because", reportable, "commune" * reportable, jti * reportable))


def restored_with(*commands: VerifiedCommand, started_at: float | None = None) -> ev.Restored:
    items = tuple(ev.RestoredItem(each, int(each.iat), started_at) for each in commands)
    accepted = tuple(StoredAccepted(each.iss, each.jti, each.exp) for each in commands)
    early = StoredStop("early", "commune", ("play.normal", "stop"), 1_790_003_600)
    return ev.Restored(41, 3, accepted, (early,), items, ())


def test_a_copy_of_an_accepted_command_is_acknowledged_and_counted_and_nothing_else() -> None:
    pole = make_pole().start().connect()
    pole.order(play(), jti="jti-once-000000001")
    pole.run(20.0)
    before = len(pole.reports)
    pole.order(play(), jti="jti-once-000000001")
    pole.run(20.0)
    assert len(pole.acknowledged) == 2
    assert len(pole.reports) == before
    assert pole.state.refusals.counts == {"replayed": 1}
    assert len(pole.records) == 1


def test_the_same_jti_of_another_authority_is_another_command() -> None:
    pole = make_pole().start().connect()
    pole.order(SetVolume(50), jti="jti-shared-0000001", iss="a")
    pole.order(SetVolume(60), jti="jti-shared-0000001", iss="b")
    pole.run(1.0)
    assert pole.state.volume.value == 60


def test_replay_memory_survives_a_restart_until_exp() -> None:
    pole = make_pole().start().connect()
    verified = VerifiedCommand(
        "commune", "jti-old-0000000001", pole.wall_s, pole.wall_s + 60, play(), ("k1",), EVERYTHING, 100, b""
    )
    after = make_pole().start(restored_with(verified, started_at=1_789_999_999.0)).connect()
    after.order(play(), jti="jti-old-0000000001", life_s=60)
    after.run(1.0)
    assert after.state.refusals.counts == {"replayed": 1}
    after.run(120.0)
    after.order(SetVolume(5))
    assert ("commune", "jti-old-0000000001") in after.state.accepted, "for a day more: clocks are corrected"
    after.run(86_400.0)
    after.order(SetVolume(6))
    assert ("commune", "jti-old-0000000001") not in after.state.accepted


def test_an_item_of_which_nothing_is_left_after_a_power_cut_gets_its_record_and_waiting_ones_play() -> None:
    pole = make_pole(Behaviour(sound_length_s=4.0))
    wall_s = pole.wall_s
    waiting = VerifiedCommand("commune", "jti-w", wall_s, wall_s + 600, play("waiting"), ("k1",), EVERYTHING, 100, b"")
    sounding = VerifiedCommand("commune", "jti-s", wall_s, wall_s + 600, play("cut"), ("k1",), EVERYTHING, 100, b"")
    restored = ev.Restored(
        7, 0, (), (), (ev.RestoredItem(sounding, wall_s, wall_s - 5.0), ev.RestoredItem(waiting, wall_s, None)), ()
    )
    pole.start(restored)
    pole.run(20.0)
    assert [(record.item, record.result, record.reason) for record in pole.records] == [
        ("cut", "failed", Reason.RESTART),
        ("waiting", "played", None),
    ]


def test_nothing_ordered_over_the_network_sounds_before_the_clock_is_trusted() -> None:
    pole = make_pole(Behaviour(synchronised=False))
    wall_s = pole.wall_s
    kept = VerifiedCommand("commune", "jti-w", wall_s, wall_s + 600, play("kept"), ("k1",), EVERYTHING, 100, b"")
    pole.start(ev.Restored(7, 0, (), (), (ev.RestoredItem(kept, wall_s, None),), ())).connect()
    pole.order(play("new"))
    pole.run(60.0)
    assert (len(pole.state.unjudged), pole.relay()) == (1, [])
    pole.behaviour.synchronised = True
    pole.run(30.0)
    assert [record.item for record in pole.records] == ["kept"]


def test_what_is_not_proven_is_counted_and_never_reported() -> None:
    pole = make_pole().start().connect()
    pole.run(1.0)
    stored, reports = len(pole.of(do.Commit)), len(pole.reports)
    for _ in range(100):
        refused(pole, Reason.BAD_SIGNATURE, reportable=False)
    pole.run(1.0)
    assert (len(pole.of(do.Commit)), len(pole.reports)) == (stored, reports)
    assert pole.state.refusals.counts == {"bad_signature": 100}
    assert len(pole.acknowledged) == 100


def test_refusals_are_reported_once_a_jti_and_twenty_a_minute() -> None:
    pole = make_pole().start().connect()
    for number in range(50):
        refused(pole, Reason.EXPIRED, reportable=True, jti=f"jti-refused-{number:05d}")
        refused(pole, Reason.EXPIRED, reportable=True, jti=f"jti-refused-{number:05d}")
    pole.run(1.0)
    assert len([each for each in pole.reports if getattr(each, "outcome", "") == "refused"]) == MAX_REPORTED_REFUSALS
    assert len(pole.acknowledged) == 100
    pole.run(60.0)
    refused(pole, Reason.EXPIRED, reportable=True, jti="jti-refused-later")
    assert pole.outcome("jti-refused-later").reason is Reason.EXPIRED


def recorded(pole: Pole, count: int, over_s: int, key: Key = CHAIR) -> list[bytes]:
    """Genuine orders that were over so long ago."""
    exp = int(pole.world_s) - over_s
    command = signed_play(kind="emergency")
    return [signed_order(command, key, jti=f"recorded-{number:016d}", iat=exp - 60, exp=exp) for number in range(count)]


@pytest.mark.parametrize("key", [CHAIR, RETIRED], ids=["expired", "by a key that may nothing any more"])
def test_recorded_orders_that_were_over_long_ago_cost_no_write_however_many_there_are(key: Key) -> None:
    pole = make_pole(trust=document()).start().connect()
    pole.run(1.0)
    old = recorded(pole, MAX_ANSWERED + 50, 2 * 86_400, key)
    writes, reports = len(pole.of(do.Commit)), len(pole.reports)
    for number, envelope in enumerate((*old, *old)):
        pole.hear(envelope)
        pole.run(0.5 if number % 2 else 0.0)
    assert (len(pole.of(do.Commit)), len(pole.reports)) == (writes, reports)
    assert sum(pole.state.refusals.counts.values()) == len(pole.acknowledged) == 2 * len(old)
    again = pole.after_power_cut(60.0, wall_s=pole.world_s + 60.0, synchronised=True).connect()
    again.run(1.0)
    writes = len(again.of(do.Commit))
    again.hear(old[0])
    again.run(1.0)
    assert len(again.of(do.Commit)) == writes


def test_an_order_that_comes_hours_late_is_told_so() -> None:
    pole = make_pole().start().connect()
    pole.hear(recorded(pole, 1, 23 * 3_600)[0])
    assert reasons(pole) == {"recorded-0000000000000000": Reason.EXPIRED}


def test_an_order_that_was_obeyed_and_forgotten_has_no_second_outcome() -> None:
    pole = make_pole().start().connect()
    obeyed = flood(pole, life_s=60)
    pole.hear(obeyed)
    pole.run(2 * 86_400.0)
    pole.hear(signed(pole, {"type": "report_now"}, CHAIR, "makes-it-forget"))
    assert len(pole.state.accepted) == 1
    pole.hear(obeyed)
    pole.run(1.0)
    assert reasons(pole) == {"flood": None, "makes-it-forget": None}


def test_what_was_over_before_this_store_began_is_not_known_to_be_new() -> None:
    pole = make_pole().on_a_new_card().connect()
    pole.run(1.0)
    pole.hear(recorded(pole, 1, 3_600)[0])
    assert (reasons(pole), pole.state.refusals.counts) == ({}, {"expired": 1})


def test_a_refused_jti_is_not_used_up() -> None:
    pole = make_pole().start().connect()
    refused(pole, Reason.NOT_YET_VALID, reportable=True, jti="jti-early-00000001")
    pole.run(6.0)
    pole.order(play(), jti="jti-early-00000001")
    pole.run(20.0)
    assert [record.result for record in pole.records] == ["played"]


def test_a_command_that_cannot_be_stored_is_not_acknowledged_and_may_come_again() -> None:
    pole = make_pole(Behaviour(commits_fail=True)).start().connect()
    pole.order(play(), jti="jti-unstored-00001")
    pole.run(5.0)
    assert pole.acknowledged == []
    assert pole.relay() == []
    pole.behaviour.commits_fail = False
    pole.order(play(), jti="jti-unstored-00001")
    pole.run(30.0)
    assert "played" in [record.result for record in pole.records]


def test_a_record_that_cannot_be_stored_is_tried_until_it_is() -> None:
    pole = make_pole().start().connect()
    pole.order(play())
    pole.run(1.5)
    pole.behaviour.commits_fail = True
    pole.run(20.0)
    assert pole.records == []
    pole.behaviour.commits_fail = False
    pole.run(10.0)
    assert [record.result for record in pole.records] == ["played"]


def test_a_full_replay_table_refuses_and_forgets_nothing() -> None:
    pole = make_pole()
    table = tuple(StoredAccepted("commune", f"jti-{number:012d}", 1_790_009_000) for number in range(MAX_ACCEPTED))
    pole.start(ev.Restored(1, 0, table, (), (), ())).connect()
    jti = pole.order(play(), jti="jti-one-too-many-1")
    assert pole.outcome(jti).reason is Reason.REPLAY_TABLE_FULL
    assert len(pole.state.accepted) == MAX_ACCEPTED


def test_two_items_of_one_name_cannot_wait() -> None:
    pole = make_pole().start().connect()
    pole.order(play("same"))
    jti = pole.order(play("same"))
    assert pole.outcome(jti).reason is Reason.DUPLICATE_ITEM


def test_the_queue_is_bounded() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0)).start().connect()
    outcomes = [pole.order(play(f"item-{number}", max_duration_s=600)) for number in range(110)]
    assert [pole.outcome(jti).reason for jti in outcomes].count(None) == 101


def test_an_emergency_finds_room_in_a_full_queue_and_what_gave_way_has_its_record() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0)).start().connect()
    orders = [pole.order(play(f"item-{number}", max_duration_s=600)) for number in range(prog.MAX_WAITING + 1)]
    last = pole.state.programme.waiting[-1].play.item
    flood = pole.order(play("flood", kind=Kind.EMERGENCY))
    assert pole.outcome(flood).outcome == "accepted"
    assert [each.name for each in pole.state.programme.coming] == ["flood"]
    assert pole.state.programme.waiting[0].play.item == "item-0", "it is fetched later"
    assert len(pole.state.programme.waiting) == prog.MAX_WAITING
    assert [(each.item, each.result, each.reason) for each in pole.records] == [(last, "missed", Reason.QUEUE_FULL)]
    assert {pole.outcome(jti).outcome for jti in orders} == {"accepted"}


def test_a_queue_of_emergencies_is_bounded_too() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0)).start().connect()
    flood = [play(f"flood-{number}", kind=Kind.EMERGENCY) for number in range(prog.MAX_WAITING + prog.MAX_COMING + 1)]
    assert [pole.outcome(pole.order(each)).reason for each in flood].count(Reason.QUEUE_FULL) == 1


def remembered(pole: Pole, **authorities: int) -> dict[tuple[str, str], Accepted]:
    """A replay memory of so many live commands of each authority."""
    live = Accepted(pole.wall_s + 9_000)
    return {(iss, f"jti-{number:012d}"): live for iss, count in authorities.items() for number in range(count)}


def test_no_authority_takes_more_of_the_memory_than_it_leaves_free() -> None:
    """One stolen key, or two, leave room for whoever has not spoken yet."""
    pole = make_pole().start().connect()
    operator = EVERYTHING - {"play.emergency"}
    half = (MAX_ACCEPTED - RESERVED) // 2
    pole.state = replace(pole.state, accepted=remembered(pole, stolen=half - 1, district=half // 2 - 1))

    def told(iss: str) -> Reason | None:
        return pole.outcome(pole.order(SetVolume(50), iss=iss, may=operator)).reason

    assert [told("stolen"), told("stolen")] == [Reason.REPLAY_TABLE_FULL] * 2, "the district has taken some of it"
    assert [told("district"), told("commune")] == [None, None]
    pole.state = replace(pole.state, accepted=remembered(pole, stolen=half - 1))
    assert [told("stolen"), told("stolen"), told("commune")] == [None, Reason.REPLAY_TABLE_FULL, None]
    assert pole.outcome(pole.order(play("flood", kind=Kind.EMERGENCY), iss="stolen")).outcome == "accepted"


def test_a_share_that_is_full_of_what_is_over_is_emptied_first() -> None:
    pole = make_pole().start().connect()
    over = {("commune", f"jti-{number:012d}"): Accepted(pole.wall_s - 1) for number in range(MAX_ACCEPTED // 2)}
    pole.state = replace(pole.state, accepted=over)
    assert pole.outcome(pole.order(SetVolume(50))).outcome == "accepted"


def test_who_fills_the_memory_keeps_no_emergency_out_and_no_end_of_one() -> None:
    pole = make_pole().start().connect()
    operator = EVERYTHING - {"play.emergency"}
    pole.state = replace(pole.state, accepted=remembered(pole, commune=(MAX_ACCEPTED - RESERVED) // 2))
    assert pole.outcome(pole.order(play("notice"), may=operator)).reason is Reason.REPLAY_TABLE_FULL
    assert pole.outcome(pole.order(stop("notice"), may=operator)).reason is Reason.REPLAY_TABLE_FULL
    assert pole.outcome(pole.order(play("flood", kind=Kind.EMERGENCY))).outcome == "accepted"
    assert pole.outcome(pole.order(stop("flood"))).outcome == "accepted"


def test_who_fills_the_remembered_stops_leaves_room_for_those_of_emergencies() -> None:
    pole = make_pole().start().connect()
    operator = EVERYTHING - {"play.emergency"}
    jtis = [pole.order(stop(f"item-{number}"), may=operator) for number in range(MAX_STOPS - RESERVED + 1)]
    assert pole.outcome(jtis[-1]).reason is Reason.QUEUE_FULL
    pole.order(stop("flood"))
    assert pole.outcome(pole.order(play("flood", kind=Kind.EMERGENCY))).reason is Reason.STOPPED


# Stops that came first ------------------------------------------------------------------------------------------------

CLERK = Key("hd-clerk", CHAIR.authority, may=("play.normal", "stop"))
WITH_CLERK = document(CHAIR, DEFENCE, CLERK)


def signed(pole: Pole, command: dict[str, object], key: Key, jti: str, life_s: int = 3_600) -> bytes:
    iat = int(pole.world_s)
    return signed_order(command, key, jti=f"{jti:->20}", iat=iat, exp=iat + life_s)


def stop_of_the_flood(pole: Pole, key: Key = CHAIR, jti: str = "stop", life_s: int = 3_600) -> bytes:
    return signed(pole, {"type": "stop", "item": "flood", "reason": "a false alarm"}, key, jti, life_s)


def flood(pole: Pole, jti: str = "flood", life_s: int = 3_600) -> bytes:
    return signed(pole, signed_play(item="flood", kind="emergency"), CHAIR, jti, life_s)


def reasons(pole: Pole) -> dict[str, Reason | None]:
    """By `jti`; each has one outcome, or this fails."""
    told = [each for each in pole.reports if isinstance(each, CommandOutcome)]
    assert len({each.jti for each in told}) == len(told)
    return {each.jti.lstrip("-"): each.reason for each in told}


def test_a_later_stop_does_not_shorten_an_earlier_one() -> None:
    pole = make_pole().start().connect()
    pole.hear(stop_of_the_flood(pole, life_s=86_400))
    pole.hear(stop_of_the_flood(pole, jti="shorter", life_s=60))
    pole.run(120.0)
    pole.hear(flood(pole))
    assert reasons(pole)["flood"] is Reason.STOPPED


def test_nor_does_the_stop_of_a_lesser_key_of_its_authority_take_its_place() -> None:
    pole = make_pole(trust=WITH_CLERK).start().connect()
    pole.hear(stop_of_the_flood(pole))
    pole.hear(stop_of_the_flood(pole, CLERK, "clerk", 86_400))
    pole.run(1.0)
    again = pole.after_power_cut(60.0, wall_s=pole.world_s + 60.0, synchronised=True).connect()
    for name, each in (("before", pole), ("after", again)):
        each.hear(flood(each, name))
        assert reasons(each)[name] is Reason.STOPPED
    again.run(3_601.0)
    again.hear(flood(again, "later"))
    assert reasons(again)["later"] is None, "what may end less binds longer, and ends no more"


def test_nor_does_the_same_stop_sent_again_before_the_time_is_known() -> None:
    pole = make_pole().start().connect()
    pole.hear(stop_of_the_flood(pole))
    pole.run(1.0)
    again = pole.after_power_cut(60.0).connect()
    again.hear(stop_of_the_flood(again, jti="again"))
    again.hear(flood(again))
    again.learn_from_the_network()
    again.run(30.0)
    assert (reasons(again)["flood"], again.relay()) == (Reason.STOPPED, [])


def test_a_play_that_a_stop_has_refused_does_not_sound_when_it_is_sent_again_after_the_stop() -> None:
    """Whoever holds the broker keeps it, and sends it until the stop is over."""
    pole = make_pole().start().connect()
    pole.hear(stop_of_the_flood(pole, life_s=600))
    pole.run(60.0)
    late = flood(pole, life_s=86_400)
    pole.hear(late)
    pole.run(600.0)
    again = pole.after_power_cut(60.0, wall_s=pole.world_s + 60.0, synchronised=True).connect()
    for each in (pole, again):
        each.hear(late)
        each.run(60.0)
        assert (each.relay(), each.records) == ([], [])
        each.reports[:] = [one for one in each.reports if not isinstance(one, CommandOutcome)]


# Volume and mute ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("newer", "older"), [(SetMute(True), SetMute(False)), (SetVolume(40), SetVolume(99))])
@pytest.mark.parametrize("commit_s", [0.005, 1.0])
def test_the_newest_by_iat_holds_however_slow_the_disk(
    newer: SetMute | SetVolume, older: SetMute | SetVolume, commit_s: float
) -> None:
    pole = make_pole(Behaviour(commit_s=commit_s)).start().connect()
    pole.order(newer)
    late = pole.order(older, age_s=100)
    pole.run(5.0)
    assert pole.outcome(late).reason is Reason.SUPERSEDED
    setting, value = (
        (pole.state.muted, int(newer.muted)) if isinstance(newer, SetMute) else (pole.state.volume, newer.percent)
    )
    assert setting.value == value
    assert (value, setting.iat) in pole.stored.settings.values(), "after a restart as well"


def test_volume_comes_into_force_once_stored_and_an_older_one_is_superseded() -> None:
    pole = make_pole().start().connect()
    pole.order(SetVolume(40))
    assert pole.state.volume.value == 80
    pole.run(1.0)
    assert pole.state.volume.value == 40
    late = pole.order(SetVolume(99), age_s=10)
    assert pole.outcome(late).reason is Reason.SUPERSEDED
    kept = [
        write
        for _, effect in pole.of(do.Commit)
        if isinstance(effect, do.Commit)
        for write in effect.writes
        if isinstance(write, do.KeepSetting) and write.name == "volume_percent"
    ]
    assert kept == [do.KeepSetting("volume_percent", 40, 1_790_000_000)]


def test_settings_are_restored() -> None:
    settings = (("volume_percent", 33, 10), ("muted", 1, 20), ("floor", 1_790_000_500, 0))
    pole = make_pole(Behaviour(synchronised=False)).start(ev.Restored(1, 0, (), (), (), settings))
    assert (pole.state.volume.value, pole.state.muted.value) == (33, 1)
    assert pole.state.timekeeping.floor_s == 1_790_000_500


@pytest.mark.parametrize(
    ("kind", "own", "ceiling", "muted", "expected"),
    [
        (Kind.NORMAL, None, 100, False, 80),
        (Kind.NORMAL, 60, 100, False, 60),
        (Kind.NORMAL, 100, 90, False, 90),
        (Kind.PRIORITY, 100, 90, True, 0),
        (Kind.EMERGENCY, None, 100, True, 100),
        (Kind.EMERGENCY, 70, 100, True, 70),
        (Kind.EMERGENCY, None, 50, False, 50),
        (Kind.EMERGENCY, None, 0, False, 1),
    ],
)
def test_the_lowest_ceiling_holds_and_mute_spares_emergencies(
    kind: Kind, own: int | None, ceiling: int, muted: bool, expected: int
) -> None:
    pole = make_pole().start().connect()
    if muted:
        pole.order(SetMute(True))
    order = play(kind=kind)
    members = {name: getattr(order, name) for name in order.__struct_fields__}
    if own is not None:
        members["volume_percent"] = own
    pole.order(type(order)(**members), max_volume_percent=ceiling)
    pole.run(1.5)
    ((_, sound),) = pole.of(do.Sound)
    assert isinstance(sound, do.Sound)
    assert sound.gain_percent == expected


def test_a_mute_that_an_unmuting_on_its_way_to_the_disk_supersedes_does_not_act_first() -> None:
    pole = make_pole(Behaviour(commit_s=5.0)).start().connect()
    pole.run(20.0)
    pole.order(SetMute(False))
    refused_jti = pole.order(SetMute(True), age_s=60)
    assert (pole.state.muted.value, pole.outcome(refused_jti).reason) == (0, Reason.SUPERSEDED)


def test_muting_acts_before_it_is_stored_and_unmuting_after() -> None:
    pole = make_pole(Behaviour(sound_length_s=30.0)).start().connect()
    pole.order(play())
    pole.run(1.5)
    muted_s = pole.mono_s
    pole.order(SetMute(True))
    assert pole.of(do.SetGain) == [(muted_s, do.SetGain(1, 0))]
    pole.run(1.0)
    pole.order(SetMute(False))
    assert len(pole.of(do.SetGain)) == 1, "unmuting waits for the disk"
    pole.run(1.0)
    assert pole.of(do.SetGain)[-1][1] == do.SetGain(1, 80)


# Time ---------------------------------------------------------------------------------------------------------------


def published_nonce(pole: Pole) -> str:
    states = [effect for _, effect in pole.of(do.PublishState) if isinstance(effect, do.PublishState)]
    nonce = claims_of(states[-1].payload)["nonce"]
    assert isinstance(nonce, str)
    return nonce


def test_a_signed_answer_to_the_nonce_makes_the_clock_trusted_once() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    pole.wall_offset_s += 12_345.0  # our own wall clock is wrong; the sender's is not
    nonce = published_nonce(pole)
    jti = pole.order(Time(nonce))
    pole.run(1.0)
    assert pole.outcome(jti).outcome == "accepted"
    assert pole.state.timekeeping.evidence == "time command"
    again = pole.order(Time(nonce))
    assert pole.outcome(again).reason is Reason.SUPERSEDED


def test_a_stale_or_foreign_nonce_proves_nothing() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    nonce = published_nonce(pole)
    foreign = pole.order(Time("0" * 32))
    assert pole.outcome(foreign).reason is Reason.BAD_NONCE
    pole.run(59.0)
    pole.tell(ev.VitalsMeasured(None, 1.0, 0.0, 1))  # a heartbeat draws a new nonce
    pole.run(2.0)
    assert pole.outcome(pole.order(Time(nonce))).reason is Reason.BAD_NONCE
    assert node.clock_view(pole.state, pole.now)[0] is None


def test_a_step_of_the_wall_clock_without_evidence_is_ignored() -> None:
    pole = make_pole().start().connect()
    pole.run(10.0)
    pole.behaviour.synchronised = False
    pole.wall_offset_s += 10 * 365 * 86_400.0
    pole.run(10.0)
    trusted_s, _ = node.clock_view(pole.state, pole.now)
    assert trusted_s == pytest.approx(1_790_000_020.0)


# Reports ------------------------------------------------------------------------------------------------------------


def test_status_is_reported_at_start_every_six_hours_and_on_request() -> None:
    pole = make_pole().start().connect()
    pole.run(1.0)
    assert [isinstance(each, Status) for each in pole.reports] == [True]
    pole.run(6 * 3_600.0)
    assert [isinstance(each, Status) for each in pole.reports] == [True, True]
    jti = pole.order(ReportNow())
    asked = [each for each in pole.reports if isinstance(each, Status) and each.jti == jti]
    assert len(asked) == 1
    assert (asked[0].trust_version, asked[0].trust_sha256) == (1, fingerprint(TRUST))
    assert (asked[0].volume_percent, asked[0].muted, asked[0].playing, asked[0].waiting) == (80, False, None, 0)
    assert asked[0].clock.trusted


def test_reports_leave_in_order_and_are_removed_with_the_next_transaction() -> None:
    pole = make_pole().start(ev.Restored(41, 3, (), (), (), ())).connect()
    pole.run(0.1)
    reads = [effect for _, effect in pole.of(do.ReadOutbox)]
    assert reads[0] == do.ReadOutbox(0, 8)
    pole.tell(ev.OutboxRead(((38, b"a"), (39, b"b"), (40, b"c"))))
    assert [effect for _, effect in pole.of(do.PublishReport)] == [
        do.PublishReport(38, b"a"),
        do.PublishReport(39, b"b"),
        do.PublishReport(40, b"c"),
    ]
    for seq in (38, 39):
        pole.tell(ev.ReportDelivered(1, seq, heard=True))
    pole.tell(ev.ReportDelivered(1, 40, heard=False))
    pole.order(SetVolume(10))
    commit = pole.of(do.Commit)[-1][1]
    assert isinstance(commit, do.Commit)
    assert do.RemoveReports((38, 39)) in commit.writes
    pole.tell(ev.OutboxRead(()))
    published = len(pole.of(do.PublishReport))
    pole.run(61.0)
    pole.tell(ev.OutboxRead(((40, b"c"),)))
    assert pole.of(do.PublishReport)[published:][-1][1] == do.PublishReport(40, b"c")


def test_what_had_only_come_along_on_a_transaction_that_failed_comes_along_on_the_next() -> None:
    """Deletions and the floor are no command's: they are not given up with it."""
    pole = make_pole().start().connect()
    pole.run(0.1)
    (seq,) = pole.stored.outbox
    pole.tell(ev.OutboxRead(((seq, b"a"),)))
    pole.tell(ev.ReportDelivered(1, seq, heard=True))
    kept_s = pole.stored.settings["floor"][0]
    pole.run(2.0)
    pole.behaviour.commits_fail = True
    pole.order(SetVolume(10))
    pole.run(1.0)
    assert (pole.stored.outbox, pole.stored.settings["floor"][0]) == ([seq], kept_s)
    assert pole.state.timekeeping.kept_s == kept_s, "so that it is due in time"
    pole.behaviour.commits_fail = False
    pole.run(10.0)
    pole.connect()
    pole.tell(ev.OutboxRead(((seq, b"a"),)))
    assert len(pole.of(do.PublishReport)) == 1, "it was received: it is not sent again"
    pole.order(SetVolume(10))
    pole.run(1.0)
    assert seq not in pole.stored.outbox
    assert pole.stored.settings["floor"][0] > kept_s
    assert pole.state.outbox.waiting == len(pole.stored.outbox)


def test_a_lost_link_sends_again_what_was_in_flight() -> None:
    pole = make_pole().start(ev.Restored(41, 1, (), (), (), ())).connect()
    pole.run(0.1)
    pole.tell(ev.OutboxRead(((40, b"c"),)))
    pole.tell(ev.Disconnected(1, "gone"))
    pole.run(60.0)
    pole.connect()
    pole.tell(ev.OutboxRead(()))
    pole.tell(ev.OutboxRead(((40, b"c"),)))
    assert [effect for _, effect in pole.of(do.PublishReport)] == [do.PublishReport(40, b"c")] * 2


def test_the_will_carries_boot_and_link_and_state_follows_every_connection() -> None:
    pole = make_pole().start().connect()
    pole.tell(ev.Disconnected(1, "gone"))
    pole.run(120.0)
    pole.connect()
    connects = [effect for _, effect in pole.of(do.Connect) if isinstance(effect, do.Connect)]
    assert [(each.connection, claims_of(each.will)["online"], claims_of(each.will)["link"]) for each in connects] == [
        (1, False, 1),
        (2, False, 2),
    ]
    states = [claims_of(each.payload) for _, each in pole.of(do.PublishState) if isinstance(each, do.PublishState)]
    assert [(each["online"], each["link"], each["boot"]) for each in states] == [
        (True, 1, "0" * 32),
        (True, 2, "0" * 32),
    ]


def test_news_of_an_old_connection_changes_nothing() -> None:
    pole = make_pole().start().connect()
    pole.tell(ev.Disconnected(1, "gone"))
    pole.run(120.0)
    pole.connect()
    connection = pole.state.connection
    pole.tell(ev.Disconnected(1, "gone again"))
    assert pole.state.connection == connection


def test_a_heartbeat_fits_into_512_bytes_at_its_longest() -> None:
    pole = make_pole(Behaviour(synchronised=False)).start().connect()
    for reason in Reason:
        for _ in range(3):
            refused(pole, reason, reportable=False)
    pole.tell(ev.VitalsMeasured(cpu_c=71.25, rss_mb=1_234.5, load=12.25, disk_free_mb=123_456))
    pole.behaviour.synchronised = True
    pole.order(play("i" * 64))
    pole.run(0.2)
    assert len(encode(heartbeat(pole.state, pole.now))) > MAX_HEARTBEAT_BYTES, "so there is something to leave out"
    pole.tell(ev.VitalsMeasured(cpu_c=71.25, rss_mb=1_234.5, load=12.25, disk_free_mb=123_456))
    sent = [each.payload for _, each in pole.of(do.PublishHeartbeat) if isinstance(each, do.PublishHeartbeat)]
    assert all(len(payload) <= MAX_HEARTBEAT_BYTES for payload in sent)


def test_a_heartbeat_tells_every_reason_that_has_room() -> None:
    pole = make_pole().start().connect()
    told = [reason for reason in Reason if reason.shown is Shown.COUNTED]
    for reason in told:
        refused(pole, reason, reportable=False)
    pole.tell(ev.VitalsMeasured(cpu_c=41.5, rss_mb=50.5, load=0.25, disk_free_mb=12_345))
    (_, sent) = pole.of(do.PublishHeartbeat)[-1]
    assert isinstance(sent, do.PublishHeartbeat)
    assert claims_of(sent.payload)["refused"] == {reason.value: 1 for reason in told}


def test_a_thread_that_dies_ends_the_process_with_the_amplifier_off_first() -> None:
    pole = make_pole().start().connect()
    pole.order(play())
    pole.run(1.5)
    since = len(pole.history)
    pole.tell(ev.ThreadDied("card", "boom"))
    effects = [effect for _, effect in pole.history[since:]]
    assert effects[0] == do.SwitchRelay("main", on=False)
    assert do.Exit(70, "thread card died") in effects


def test_a_thread_that_hangs_ends_it_with_another_exit_code() -> None:
    pole = make_pole().start().connect()
    pole.order(play())
    pole.run(1.5)
    since = len(pole.history)
    pole.tell(ev.ThreadStuck("player", 12.0))
    effects = [effect for _, effect in pole.history[since:]]
    assert effects[0] == do.SwitchRelay("main", on=False)
    assert do.Exit(75, "thread player hangs") in effects


def test_a_signal_ends_in_order_silence_amplifier_farewell_exit() -> None:
    pole = make_pole().start().connect()
    pole.order(play())
    pole.run(1.5)
    since = len(pole.history)
    pole.tell(ev.StopRequested("SIGTERM"))
    kinds = [type(effect) for _, effect in pole.history[since:]]
    assert kinds[:2] == [do.KeepProgress, do.Log], "no crash: what sounds is not to blame"
    assert kinds[2:] == [do.Silence, do.SwitchRelay, do.Commit, do.PublishState, do.Exit]


def test_amp_off_on_the_node_stops_everything() -> None:
    pole = make_pole().start().connect()
    pole.order(play("a"))
    pole.order(play("b"))
    pole.run(1.5)
    pole.tell(ev.Asked(1, "amp-off"))
    assert pole.relay()[-1][1] is False
    pole.run(1.0)
    assert {record.item: record.result for record in pole.records} == {"a": "stopped", "b": "stopped"}
    pole.tell(ev.Asked(2, "status"))
    answer = pole.of(do.Answer)[-1][1]
    assert isinstance(answer, do.Answer)
    assert decode(answer.text, Condition).amplifiers == {"main": "off"}
