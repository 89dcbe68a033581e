"""A disk that is slow, or fails: nothing is acknowledged that is not stored, nothing is stored that is over."""

from agent.core.amplifier import AmplifierSettings
from agent.core.heartbeat import heartbeat
from agent.core.state import COMMIT_RETRY_S, DISK_CALM_S, disk_fault
from agent.messages import effects as do
from agent.messages.absent import UNSET
from agent.messages.commands import SetVolume
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome
from agent.messages.words import Kind
from tests.core.pole import FILE, OTHER_FILE, Behaviour, Pole, altered, make_pole, play, stop
from tests.signing import OPERATOR
from tests.signing import order as jws


def kept_items(pole: Pole, since: int = 0) -> list[str]:
    """KeepItem and ForgetItem, in the order in which they were given to the store."""
    commits = [effect for _, effect in pole.history[since:] if isinstance(effect, do.Commit)]
    writes = [write for commit in commits for write in commit.writes]
    return [type(write).__name__ for write in writes if isinstance(write, do.KeepItem | do.ForgetItem)]


def connects(pole: Pole) -> int:
    return sum(isinstance(effect, do.Connect) for _, effect in pole.history)


def test_a_copy_is_not_acknowledged_before_the_first_is_stored() -> None:
    pole = make_pole(Behaviour(commit_s=5.0)).start().connect()
    pole.order(SetVolume(40), jti="jti-twice-00000001")
    pole.run(1.0)
    pole.order(SetVolume(40), jti="jti-twice-00000001")
    pole.run(1.0)
    assert pole.acknowledged == []
    pole.run(5.0)
    assert len(pole.acknowledged) == 2
    assert pole.state.refusals.counts == {"replayed": 1}


def test_a_copy_of_an_emergency_that_could_not_be_stored_yet_waits_with_it() -> None:
    pole = make_pole(Behaviour(commits_fail=True, sound_length_s=60.0)).start().connect()
    pole.order(play(kind=Kind.EMERGENCY), jti="jti-flood-00000001")
    pole.run(3.0)
    pole.order(play(kind=Kind.EMERGENCY), jti="jti-flood-00000001")
    pole.run(1.0)
    assert pole.acknowledged == []
    pole.behaviour.commits_fail = False
    pole.run(10.0)
    assert len(pole.acknowledged) == 2


def test_an_item_that_is_over_is_not_stored_by_a_late_retry() -> None:
    """It would be found at the next start, and sound again."""
    pole = make_pole(Behaviour(commits_fail=True, sound_length_s=1.0)).start().connect()
    pole.order(play(kind=Kind.EMERGENCY))
    while not any(isinstance(effect, do.Sound) for _, effect in pole.history):
        pole.run(0.1)
    pole.behaviour.commits_fail = False
    since = len(pole.history)
    pole.run(60.0)
    assert len(pole.records) == 1
    assert kept_items(pole, since)[-1] == "ForgetItem"
    assert len(pole.acknowledged) == 1


def test_after_a_failed_command_the_broker_is_asked_again_by_a_new_connection() -> None:
    pole = make_pole(Behaviour(commits_fail=True)).start().connect()
    before = connects(pole)
    for number in range(8):
        pole.order(SetVolume(number), jti=f"jti-lost-0000000{number}")
    pole.run(30.0)
    assert pole.acknowledged == []
    assert connects(pole) > before
    assert pole.state.outbox.waiting == 1, "only the status that is tried again"
    assert not pole.state.accepted


def test_a_refusal_that_could_not_be_stored_is_answered_when_it_comes_again() -> None:
    pole = make_pole(Behaviour(commits_fail=True)).start().connect()
    pole.order(altered(play(), zones=("nowhere",)), jti="jti-zone-000000001")
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.connect()
    pole.order(altered(play(), zones=("nowhere",)), jti="jti-zone-000000001")
    pole.run(10.0)
    outcomes = [each for each in pole.reports if isinstance(each, CommandOutcome)]
    assert [(each.jti, each.reason) for each in outcomes] == [("jti-zone-000000001", Reason.UNKNOWN_ZONE)]


def test_stop_opens_the_relay_also_if_another_item_waits_whose_file_is_slow() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0), main=AmplifierSettings(200, 3_000, 3_600, 1_000)).start().connect()
    pole.order(play("first"))
    pole.run(5.0)
    pole.behaviour.fetch_s = 30.0
    pole.order(play("second", OTHER_FILE))
    pole.run(1.0)
    assert pole.amplifier_on
    pole.order(stop("first"))
    pole.run(0.1)
    assert not pole.amplifier_on
    pole.run(100.0)
    assert [record.result for record in pole.records] == ["stopped", "played"]


def test_stop_opens_the_relay_of_a_card_that_does_not_fall_silent_also_if_another_waits() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0, silence_s=None)).start().connect()
    pole.order(play("first"))
    pole.run(5.0)
    pole.order(play("second"))
    pole.order(stop("first"))
    pole.run(0.1)
    assert not pole.amplifier_on


def test_a_second_source_counts_the_amplifier_from_the_items_beginning() -> None:
    pole = make_pole(Behaviour(sound_length_s=5.0)).start().connect()
    pole.order(play("first"))
    pole.run(30.0)
    pole.behaviour.fetch_fails["https://files.example/a.mp3"] = Reason.HTTP_ERROR
    pole.order(play("second", FILE, OTHER_FILE))
    pole.run(30.0)
    first, second = pole.records
    assert abs(second.amplifier_on_s - first.amplifier_on_s) < 0.1


def test_a_play_that_could_not_be_stored_is_as_if_it_had_not_come() -> None:
    """It had a record, and another when the broker brought it again."""
    pole = make_pole(Behaviour(commits_fail=True, sound_length_s=1.0)).start().connect()
    pole.order(play(), jti="jti-news-000000001")
    pole.run(2.0)
    assert (pole.state.programme.waiting, pole.state.programme.current) == ((), None)
    pole.behaviour.commits_fail = False
    pole.run(30.0)
    assert pole.records == []
    pole.order(play(), jti="jti-news-000000001")
    pole.run(30.0)
    assert [(each.item, each.result) for each in pole.records] == [("item-1", "played")]


def test_what_was_stopped_before_it_was_stored_does_not_come_back_with_the_brokers_copy() -> None:
    pole = make_pole(Behaviour(commits_fail=True, commit_s=1.0)).start().connect()
    pole.order(play(), jti="jti-news-000000001")
    pole.behaviour.commits_fail = False
    pole.order(stop("item-1"))
    pole.run(1.0)
    pole.connect()
    pole.order(play(), jti="jti-news-000000001")
    pole.run(30.0)
    assert [(each.item, each.result) for each in pole.records] == [("item-1", "stopped")]
    assert pole.outcome("jti-news-000000001").outcome == "accepted"
    assert pole.of(do.Sound) == []


def test_its_record_alone_keeps_a_copy_from_sounding_after_a_power_cut() -> None:
    """Its own transaction had failed, and was not tried again before the power went."""
    pole = make_pole(Behaviour(commits_fail=True, commit_s=1.0)).start().connect()
    pole.order(play(), jti="jti-news-000000001")
    pole.behaviour.commits_fail = False
    pole.order(stop("item-1"))
    pole.run(2.0)
    again = pole.after_power_cut(wall_s=pole.world_s + 60.0, synchronised=True).connect()
    again.order(play(), jti="jti-news-000000001", age_s=90)
    again.run(30.0)
    assert [(each.item, each.result) for each in again.records] == [("item-1", "stopped")]


def test_the_commit_of_an_item_that_is_over_lets_no_other_of_its_name_sound() -> None:
    pole = make_pole(Behaviour(commit_s=3.0), main=AmplifierSettings(warm_up_ms=0)).start().connect()
    pole.order(play())
    pole.order(stop("item-1"))
    pole.run(1.0)
    pole.order(play())
    pole.run(2.5)
    assert pole.of(do.Sound) == [], "only the first of them is on the disk"
    pole.run(30.0)
    assert [each.result for each in pole.records] == ["stopped", "played"]


def test_a_command_that_was_judged_before_its_waiting_was_stored_has_one_outcome() -> None:
    pole = make_pole(Behaviour(synchronised=False, commits_fail=True, commit_s=1.0)).start().connect()
    command = jws({"type": "set_volume", "percent": 40}, OPERATOR, jti="jti-quiet-00000001")
    pole.hear(command)
    pole.behaviour.commits_fail = False
    pole.learn_from_the_network()
    pole.run(5.0)
    pole.connect()
    pole.hear(command)
    pole.run(10.0)
    assert pole.outcome("jti-quiet-00000001").outcome == "accepted"
    assert pole.state.volume.value == 40


def test_a_record_that_is_stored_late_does_not_forget_the_next_item_of_its_name() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play())
    pole.run(0.5)
    pole.behaviour.commits_fail = True
    pole.order(stop("item-1"))
    pole.behaviour.commits_fail = False
    pole.order(altered(play(), start_at=pole.wall_s + 100), jti="jti-second-000001")
    pole.run(20.0)
    assert [each.result for each in pole.records] == ["stopped"]
    assert list(pole.stored.items) == ["item-1"], "or it would be lost with the power"


def test_what_had_to_stay_for_an_order_that_came_to_nothing_is_forgotten_with_it() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play())
    pole.run(0.5)
    pole.behaviour.commits_fail = True
    pole.behaviour.commit_s = 1.0
    pole.order(stop("item-1"))
    pole.run(3.0)
    pole.behaviour.commit_s = 8.0
    pole.order(play(), jti="jti-second-000001")
    pole.behaviour.commits_fail = False
    pole.run(60.0)
    assert [each.result for each in pole.records] == ["stopped"]
    assert pole.stored.items == {}, "or it would sound after a restart"


def test_the_beginning_of_one_item_is_not_noted_for_the_next_of_its_name() -> None:
    pole = make_pole(Behaviour(sound_length_s=60.0)).start().connect()
    pole.order(play())
    pole.run(0.5)
    pole.behaviour.commits_fail = True
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.order(stop("item-1"))
    pole.run(0.1)
    pole.order(altered(play(), start_at=pole.wall_s + 100), jti="jti-second-000001")
    pole.run(20.0)
    assert pole.stored.items["item-1"].started_at is None


def test_on_a_full_disk_the_link_stays_up_for_emergencies() -> None:
    """Each connection brings the order that cannot be stored: connecting at once, the link would never be up."""
    pole = make_pole(Behaviour(commits_fail=True, network=True)).start()
    pole.run(1.0)
    for number in range(1, 21):
        pole.order(play("notice"), jti=f"jti-notice-{number:08d}")
        pole.run(30.0)
    assert connects(pole) <= 1 + 20 * 30.0 / DISK_CALM_S
    assert not any(isinstance(effect, do.Sound) for _, effect in pole.history)


def test_a_report_that_the_disk_refused_at_first_is_sent_though_later_ones_were_before_it() -> None:
    pole = make_pole(Behaviour(network=True)).start()
    pole.run(1.0)
    pole.behaviour.commits_fail = True
    pole.order(play("flood", kind=Kind.EMERGENCY))
    pole.run(4.0)
    refused = pole.state.outbox.next_seq - 1
    pole.behaviour.commits_fail = False
    pole.order(SetVolume(40))
    pole.run(0.5)
    assert pole.state.outbox.cursor > refused, "a later one was read"
    pole.run(30.0)
    published = [effect.seq for _, effect in pole.of(do.PublishReport) if isinstance(effect, do.PublishReport)]
    assert refused in published
    assert pole.state.outbox.waiting == 0


def test_a_heartbeat_says_for_how_long_the_disk_does_not_store() -> None:
    pole = make_pole(Behaviour(network=True)).start()
    pole.run(1.0)
    assert disk_fault(pole.state, pole.now) == ""
    pole.behaviour.commits_fail = True
    pole.order(play("flood", kind=Kind.EMERGENCY))
    pole.run(60.0)
    assert disk_fault(pole.state, pole.now) == "disk full"
    assert heartbeat(pole.state, pole.now).faults == ("disk",)
    warned = [each for _, each in pole.of(do.Log) if isinstance(each, do.Log) and each.text.startswith("not stored")]
    assert len(warned) == 1, "once"
    pole.behaviour.commits_fail = False
    pole.run(DISK_CALM_S + COMMIT_RETRY_S + 1.0)
    assert disk_fault(pole.state, pole.now) == ""
    assert heartbeat(pole.state, pole.now).faults is UNSET
