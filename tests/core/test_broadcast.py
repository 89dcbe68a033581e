"""One broadcast after the other, through the whole core, with a moved clock."""

import pytest

from agent.core.amplifier import AmplifierSettings
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Stop
from agent.messages.reasons import Reason
from agent.messages.words import Kind
from tests.core.pole import (
    CHIME,
    FILE,
    OTHER_FILE,
    RELAY,
    Behaviour,
    Pole,
    altered,
    make_pole,
    play,
    stop,
)

ORDER_OF_ONE_BROADCAST = [
    do.OpenCard,
    do.FetchFile,
    do.Decode,
    do.SwitchRelay,
    do.Sound,
    do.SwitchRelay,
    do.CloseCard,
]


def relay_at(pole: Pole, index: int, *, on: bool) -> float:
    """When the relay was switched for the index-th time, and that it was switched this way."""
    when, switched_on = pole.relay()[index]
    assert switched_on is on
    return when


def test_one_broadcast_in_order() -> None:
    pole = make_pole().start().connect()
    jti = pole.order(play())
    pole.run(30.0)
    assert [type(effect) for _, effect in pole.of(*set(ORDER_OF_ONE_BROADCAST))] == ORDER_OF_ONE_BROADCAST
    (on_s, on), (off_s, off) = pole.relay()
    sound_s = pole.of(do.Sound)[0][0]
    assert (on, off) == (True, False)
    assert sound_s - on_s == pytest.approx(0.8)
    assert off_s - sound_s == pytest.approx(0.02 + 2.0 + pole.behaviour.told_s + 3.0)
    assert pole.outcome(jti).outcome == "accepted"
    (record,) = pole.records
    assert (record.result, record.reason, record.played_s, record.requested_s) == ("played", None, 2.0, 60)
    assert record.started_at == pytest.approx(1_790_000_000 + sound_s + 0.02 - 1_000.0, abs=0.001)
    assert record.amplifier_on_s == pytest.approx(2.82 + pole.behaviour.told_s)
    assert (record.rms_dbfs, record.peak_dbfs) == (-20.0, -3.0)


def test_nothing_is_acknowledged_or_amplified_before_it_is_stored() -> None:
    pole = make_pole(Behaviour(commit_s=None)).start().connect()
    pole.order(play())
    pole.run(3.0)
    assert pole.acknowledged == []
    assert pole.relay() == []
    assert pole.of(do.FetchFile), "preparing need not wait for the disk"


def test_an_emergency_waits_two_seconds_for_the_disk_and_says_so() -> None:
    pole = make_pole(Behaviour(commit_s=None)).start().connect()
    pole.order(play("flood", kind=Kind.EMERGENCY))
    pole.run(10.0)
    assert relay_at(pole, 0, on=True) == pytest.approx(1_002.0)
    assert [report.not_durable for report in pole.records] == [True]


def test_a_slow_disk_never_overflows_a_lane() -> None:
    pole = make_pole(Behaviour(commit_s=10.0)).start().connect()
    pole.order(play())
    pole.run(30.0)
    decodes = [when for when, _ in pole.of(do.Decode)]
    assert len(decodes) == 3
    assert pole.of(do.Sound)[0][0] - decodes[-1] < 4.0
    assert [record.result for record in pole.records] == ["played"]


def test_the_queue_plays_on_a_warm_amplifier() -> None:
    pole = make_pole().start().connect()
    for name in ("a", "b", "c"):
        pole.order(play(name))
    pole.run(60.0)
    assert [record.item for record in pole.records] == ["a", "b", "c"]
    assert [on for _, on in pole.relay()] == [True, False]


def test_kinds_queue_by_rank_and_then_by_arrival() -> None:
    pole = make_pole().start().connect()
    pole.order(play("playing"))
    pole.run(0.5)
    for name, kind in [("n", Kind.NORMAL), ("p1", Kind.PRIORITY), ("e", Kind.EMERGENCY), ("p2", Kind.PRIORITY)]:
        pole.order(play(name, kind=kind))
    pole.run(60.0)
    assert [record.item for record in pole.records] == ["e", "playing", "p1", "p2", "n"], "only the emergency pre-empts"


def test_stop_silences_first_and_opens_the_relay_within_100_ms() -> None:
    pole = make_pole().start().connect()
    pole.order(play())
    pole.run(1.5)
    stopped_s = pole.mono_s
    jti = pole.order(stop("item-1"))
    kinds = [type(effect) for when, effect in pole.history if when == stopped_s]
    assert kinds.index(do.Silence) < kinds.index(do.Commit)
    pole.run(1.0)
    assert relay_at(pole, -1, on=False) == pytest.approx(stopped_s + 0.01)
    (record,) = pole.records
    assert (record.result, record.reason, record.detail) == ("stopped", Reason.STOPPED, "operator")
    assert 0.5 < record.played_s < 0.8
    assert pole.outcome(jti).outcome == "accepted"


def test_stop_opens_the_relay_even_if_the_card_does_not_answer() -> None:
    pole = make_pole(Behaviour(silence_s=None)).start().connect()
    pole.order(play())
    pole.run(1.5)
    stopped_s = pole.mono_s
    pole.order(stop("item-1"))
    pole.run(5.0)
    assert relay_at(pole, -1, on=False) == pytest.approx(stopped_s + 0.06)
    assert [record.result for record in pole.records] == ["stopped"]


def test_stop_opens_the_relay_also_with_more_to_come_and_the_next_item_plays_whole() -> None:
    pole = make_pole().start().connect()
    pole.order(play("a"))
    pole.order(play("b"))
    pole.run(1.5)
    pole.order(stop("a"))
    pole.run(30.0)
    assert [(record.item, record.result) for record in pole.records] == [("a", "stopped"), ("b", "played")]
    assert [on for _, on in pole.relay()] == [True, False, True, False]


def test_stop_of_a_waiting_item_leaves_what_sounds() -> None:
    pole = make_pole().start().connect()
    pole.order(play("a"))
    pole.order(play("b"))
    pole.order(stop("b"))
    pole.run(30.0)
    assert [(record.item, record.result) for record in pole.records] == [("b", "stopped"), ("a", "played")]


def test_stop_all_names_what_it_may_not_end() -> None:
    pole = make_pole().start().connect()
    pole.order(play("notice"), iss="commune")
    pole.order(play("flood", kind=Kind.EMERGENCY), iss="civil defence")
    jti = pole.order(Stop(reason="quiet", all=True), iss="commune", may=frozenset({"play.normal", "stop"}))
    pole.run(30.0)
    assert pole.outcome(jti).detail == "stayed: flood"
    assert {record.item: record.result for record in pole.records} == {"notice": "stopped", "flood": "played"}


def test_a_stop_before_its_item_is_remembered() -> None:
    pole = make_pole().start().connect()
    early = pole.order(stop("late"))
    pole.run(1.0)
    late = pole.order(play("late"))
    pole.run(10.0)
    assert pole.outcome(early).outcome == "accepted"
    assert (pole.outcome(late).outcome, pole.outcome(late).reason) == ("refused", Reason.STOPPED)
    assert pole.relay() == []


def test_a_stolen_operators_key_cannot_stop_a_flood_warning_before_or_after() -> None:
    operator = frozenset({"play.normal", "stop"})
    pole = make_pole().start().connect()
    pole.order(stop("flood"), iss="commune", may=operator)
    pole.order(play("flood", kind=Kind.EMERGENCY), iss="civil defence")
    pole.run(1.0)
    jti = pole.order(stop("flood"), iss="commune", may=operator)
    pole.run(30.0)
    assert pole.outcome(jti).reason is Reason.NOT_PERMITTED
    assert [record.result for record in pole.records] == ["played"]


@pytest.mark.parametrize(
    "reason",
    [Reason.HTTP_ERROR, Reason.HASH_MISMATCH, Reason.STALLED, Reason.NO_ANSWER, Reason.NOT_ALLOWED],
)
def test_a_failing_source_is_reported_and_the_next_item_plays(reason: Reason) -> None:
    pole = make_pole(Behaviour(fetch_fails={"https://files.example/a.mp3": reason})).start().connect()
    pole.order(play("bad", FILE))
    pole.order(play("good", OTHER_FILE))
    pole.run(30.0)
    assert [(record.item, record.result, record.reason) for record in pole.records] == [
        ("bad", "failed", reason),
        ("good", "played", None),
    ]
    assert pole.relay()[-1][1] is False


def test_the_next_source_takes_over() -> None:
    pole = make_pole(Behaviour(fetch_fails={"https://files.example/a.mp3": Reason.HTTP_ERROR})).start().connect()
    pole.order(play("item-1", FILE, OTHER_FILE, CHIME))
    pole.run(30.0)
    (record,) = pole.records
    assert (record.result, record.source.sha256) == ("played", "b" * 64)


def test_a_source_that_never_gives_a_sample_is_given_up_within_five_seconds() -> None:
    for source, reason in ((FILE, Reason.UNDECODABLE), (RELAY, Reason.STALLED)):
        pole = make_pole(Behaviour(decode_s=None)).start().connect()
        began_s = pole.mono_s
        pole.order(play("dead", source))
        pole.run(5.0)
        assert [(record.result, record.reason) for record in pole.records] == [("failed", reason)]
        assert pole.relay() == []
        assert pole.mono_s - began_s <= 5.0


def test_silence_inside_a_relay_is_acted_on_within_five_seconds() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play("radio", RELAY))
    pole.run(10.0)
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SoundStarved(current.token, pole.mono_s))
    pole.run(1.0)
    pole.tell(ev.SoundFlowed(current.token))
    pole.run(10.0)
    assert pole.records == []
    pole.tell(ev.SoundStarved(current.token, pole.mono_s))
    pole.run(5.0)
    assert [(record.result, record.reason) for record in pole.records] == [("failed", Reason.STALLED)]
    pole.run(5.0)
    assert not pole.amplifier_on


def test_a_trickle_of_sound_is_no_sound() -> None:
    pole = make_pole(Behaviour(sound_length_s=3_600.0)).start().connect()
    pole.order(play("radio", RELAY, max_duration_s=3_600))
    pole.run(10.0)
    current = pole.state.programme.current
    assert current is not None
    since_s = pole.mono_s
    while not pole.records and pole.mono_s < since_s + 60.0:
        pole.tell(ev.SoundStarved(current.token, pole.mono_s))
        pole.run(3.9)
        pole.tell(ev.SoundFlowed(current.token))
        pole.run(0.1)
    assert [(record.result, record.reason) for record in pole.records] == [("failed", Reason.STALLED)]
    assert pole.mono_s <= since_s + 8.0
    pole.run(5.0)
    assert not pole.amplifier_on


def test_short_gaps_in_a_relay_that_mostly_sounds_are_borne() -> None:
    pole = make_pole(Behaviour(sound_length_s=300.0)).start().connect()
    pole.order(play("radio", RELAY, max_duration_s=300))
    pole.run(10.0)
    current = pole.state.programme.current
    assert current is not None
    for _ in range(20):
        pole.tell(ev.SoundStarved(current.token, pole.mono_s))
        pole.run(2.0)
        pole.tell(ev.SoundFlowed(current.token))
        pole.run(5.0)
    assert pole.records == []


def test_a_relay_is_cut_at_its_maximum_duration() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0)).start().connect()
    pole.order(play("radio", RELAY, max_duration_s=30))
    pole.run(60.0)
    (record,) = pole.records
    assert (record.result, record.reason, record.played_s) == ("played", Reason.MAX_DURATION, 30.0)


def test_a_relay_that_ends_plays_out_what_it_gave() -> None:
    pole = make_pole().start().connect()
    pole.order(play("radio", RELAY))
    pole.run(1.5)
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SourceFailed(current.token, Reason.STREAM_ENDED, "end of body"))
    pole.run(30.0)
    assert [(record.result, record.reason, record.played_s) for record in pole.records] == [
        ("played", Reason.STREAM_ENDED, 2.0)
    ]


@pytest.mark.parametrize("kind", [Kind.NORMAL, Kind.EMERGENCY])
def test_the_next_source_takes_over_from_a_relay_that_gives_digital_silence(kind: Kind) -> None:
    """The studio's line is dead, and the encoder goes on: nothing stalls, and the village hears nothing."""
    pole = make_pole(Behaviour(sound_length_s=600.0, silent_from_s={"https://radio.vov.example/live": 20.0}))
    pole.start().connect()
    pole.order(play("radio", RELAY, FILE, kind=kind, max_duration_s=120))
    pole.run(200.0)
    relay, file = pole.heard
    assert relay.until_s - relay.from_s <= 20.0 + 5.0
    assert file.from_s == 0.0
    (record,) = pole.records
    assert (record.result, record.reason, record.source.kind) == ("played", Reason.MAX_DURATION, "file")
    assert record.played_s == pytest.approx(120.0, abs=1.0)


def test_where_there_is_no_next_source_a_silent_relay_may_come_back() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0, silent_from_s={"https://radio.vov.example/live": 20.0}))
    pole.start().connect()
    pole.order(play("radio", RELAY, max_duration_s=120))
    pole.run(200.0)
    assert len(pole.heard) == 1
    assert [each.played_s for each in pole.records] == [120.0]


def test_a_file_is_as_silent_as_it_was_ordered() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play("news", FILE, OTHER_FILE))
    pole.run(10.0)
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SoundAdvanced(current.token, current.so_far, current.so_far_used, silent_s=30.0))
    pole.run(100.0)
    assert [each.source.sha256 for each in pole.records] == ["a" * 64]


def test_the_next_source_takes_over_from_a_relay_whose_server_hung_up() -> None:
    pole = make_pole().start().connect()
    pole.order(play("radio", RELAY, FILE, max_duration_s=3))
    pole.run(1.5)
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SourceFailed(current.token, Reason.STREAM_ENDED, "end of body"))
    pole.run(30.0)
    (record,) = pole.records
    assert (record.result, record.reason, record.played_s) == ("played", Reason.MAX_DURATION, 3.0)
    assert record.source.kind == "file"


def test_a_relay_that_stalls_is_heard_to_its_last_sample_and_then_fails() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play("radio", RELAY))
    pole.run(5.0)
    current = pole.state.programme.current
    assert current is not None
    pole.tell(ev.SourceFailed(current.token, Reason.STALLED, "no bytes for 4.5 s"))
    pole.run(1.0)
    assert pole.records == [], "the lane still holds sound"
    pole.tell(ev.SoundStarved(current.token, pole.mono_s))
    pole.run(0.1)
    assert [(record.result, record.reason) for record in pole.records] == [("failed", Reason.STALLED)]


def test_nothing_sounds_after_not_after() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(altered(play("a"), not_after=pole.wall_s + 10))
    pole.order(altered(play("b"), not_after=pole.wall_s + 10))
    pole.run(30.0)
    assert {(record.item, record.result, record.reason) for record in pole.records} == {
        ("a", "stopped", Reason.NOT_AFTER),
        ("b", "missed", Reason.NOT_AFTER),
    }
    [heard] = pole.heard
    assert heard.at_s + heard.until_s == pytest.approx(1_010.0)
    assert pole.relay()[-1][0] == pytest.approx(1_010.0 + 3.0, abs=0.1), "it lingers, since nobody has ordered silence"


def test_a_relay_that_cannot_be_switched_ends_the_item_and_recovers() -> None:
    pole = make_pole().start().connect()
    pole.order(play("a"))
    pole.run(0.5)
    pole.tell(ev.RelayFailed("main", "line busy"))
    pole.run(1.0)
    assert [(record.result, record.reason) for record in pole.records] == [("failed", Reason.AMPLIFIER_FAULT)]
    pole.run(15.0)
    pole.order(play("b"))
    pole.run(15.0)
    assert pole.records[-1].result == "played"


def test_the_amplifier_goes_off_at_its_maximum() -> None:
    pole = make_pole(Behaviour(sound_length_s=600.0), main=AmplifierSettings(max_on_s=20)).start().connect()
    pole.order(play("endless", max_duration_s=600))
    pole.run(60.0)
    (on_s, _), (off_s, _) = pole.relay()
    assert off_s - on_s == pytest.approx(20.0)
    assert [(record.result, record.reason) for record in pole.records] == [("failed", Reason.AMPLIFIER_MAX_ON)]


def test_zones_are_switched_as_the_order_names_them() -> None:
    pole = make_pole(None, hall=AmplifierSettings(), street=AmplifierSettings()).start().connect()
    pole.order(altered(play(), zones=("street",)))
    pole.run(30.0)
    assert {effect.zone for _, effect in pole.of(do.SwitchRelay) if isinstance(effect, do.SwitchRelay)} == {"street"}
    unknown = pole.order(altered(play("x"), zones=("cellar",)))
    assert pole.outcome(unknown).reason is Reason.UNKNOWN_ZONE
