"""What `loa-agent status` is told: what plays and why not, the last outcomes and records, within a socket's buffer."""

from datetime import datetime

import pytest

from agent.console import MAX_ANSWER_BYTES
from agent.core.condition import MAX_PIECES
from agent.core.state import MAX_TOLD
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import decode
from agent.messages.commands import SetMute, SetVolume
from agent.messages.condition import Condition, Silence
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.words import Kind
from tests.core.pole import CHIME, FILE, RELAY, Behaviour, Pole, altered, make_pole, play
from tests.core.test_schedule import HANOI, pole_with, slot


def condition(pole: Pole) -> Condition:
    pole.tell(ev.Asked(1, "status"))
    answer = pole.of(do.Answer)[-1][1]
    assert isinstance(answer, do.Answer)
    return decode(answer.text, Condition)


def test_a_node_at_rest_says_that_nothing_is_ordered() -> None:
    found = condition(make_pole().start().connect())
    assert (found.programme, found.pieces, found.silence) == ((), 0, (Silence.NOTHING_ORDERED,))
    assert (found.link_up, found.link, found.ready) == (True, 1, True)
    assert (found.clock.trusted, found.at) == (True, int(found.at))
    assert (found.commands, found.sounded, found.refused, found.outbox) == ((), (), {}, 1)
    assert (found.node, found.site, found.timezone) == ("hd-03", "hoang-dao", "Asia/Ho_Chi_Minh")
    assert (found.forbidden, found.next_slot, found.card_fault, found.disk_fault) == ({}, None, "", "")


def test_what_sounds_is_first_and_nothing_is_to_be_explained() -> None:
    pole = make_pole().start().connect()
    pole.order(play("first", CHIME))
    pole.order(play("second", RELAY))
    pole.run(1.5)
    found = condition(pole)
    assert [(piece.item, piece.stage, piece.source) for piece in found.programme] == [
        ("first", "sounding", "builtin"),
        ("second", "waiting", "relay"),
    ]
    assert found.silence == ()
    assert found.amplifiers == {"main": "on"}


@pytest.mark.parametrize(
    ("behaviour", "silence"),
    [
        (Behaviour(fetch_s=None), (Silence.PREPARING,)),
        (Behaviour(card_s=None), (Silence.PREPARING,)),
        (Behaviour(synchronised=False), (Silence.CLOCK, Silence.NOTHING_ORDERED)),
    ],
)
def test_why_nothing_sounds(behaviour: Behaviour, silence: tuple[Silence, ...]) -> None:
    pole = make_pole(behaviour).start().connect()
    pole.order(play("a"))
    pole.run(0.5)
    found = condition(pole)
    assert found.silence == silence
    assert found.untimed == (Silence.CLOCK in silence)


def test_a_card_and_a_relay_that_fail_are_said() -> None:
    pole = make_pole(Behaviour(card_s=None)).start().connect()
    pole.order(play("a"))
    pole.run(0.5)
    pole.tell(ev.CardFailed("no such card"))
    found = condition(pole)
    assert (found.silence, found.card_fault) == ((Silence.CARD,), "no such card")
    pole.fail_the_relay()
    found = condition(pole)
    assert Silence.AMPLIFIER in found.silence
    assert found.amplifiers == {"main": "fault"}


def test_an_emergency_sounds_muted_or_not_and_needs_no_explanation() -> None:
    pole = make_pole().start().connect()
    pole.order(SetMute(True))
    pole.order(play("flood", CHIME, kind=Kind.EMERGENCY))
    pole.run(1.5)
    found = condition(pole)
    assert (found.programme[0].stage, found.silence, found.muted) == ("sounding", (), True)


def test_muted_is_said_also_while_something_plays_unheard() -> None:
    pole = make_pole().start().connect()
    pole.order(SetMute(True))
    pole.run(0.5)
    assert condition(pole).silence == (Silence.MUTED, Silence.NOTHING_ORDERED)
    pole.order(play("a"))
    pole.run(1.5)
    found = condition(pole)
    assert (found.programme[0].stage, found.silence) == ("sounding", (Silence.MUTED,))


def test_an_item_for_later_is_not_yet() -> None:
    pole = make_pole().start().connect()
    pole.order(altered(play("later"), start_at=pole.wall_s + 300))
    pole.run(0.5)
    found = condition(pole)
    assert (found.silence, found.programme[0].stage) == ((Silence.NOT_YET,), "waiting")


def test_the_rules_that_forbid_it_now_go_by_kind() -> None:
    pole = make_pole(rules=Rules(quiet_hours=((0, 1_440),))).start().connect()
    assert condition(pole).forbidden == {"normal": "policy_quiet_hours", "priority": "policy_quiet_hours"}
    untimed = make_pole(Behaviour(synchronised=False), rules=Rules(quiet_hours=((0, 1_440),))).start()
    assert condition(untimed).forbidden == {}


def test_the_next_slot_is_named() -> None:
    pole = pole_with(slot("22:00"))
    next_slot = condition(pole).next_slot
    assert next_slot is not None
    assert datetime.fromtimestamp(next_slot, HANOI).strftime("%H:%M:%S") == "22:00:00"


def test_the_last_ten_outcomes_are_remembered_each_once() -> None:
    pole = make_pole().start().connect()
    for number in range(MAX_TOLD + 2):
        pole.order(SetVolume(number))
    pole.run(1.0)
    told = condition(pole).commands
    assert len(told) == MAX_TOLD
    assert len({each.outcome.jti for each in told}) == MAX_TOLD
    assert {each.outcome.outcome for each in told} == {"accepted"}
    pole.order(altered(play("later"), start_at=pole.wall_s + 300))
    jti = pole.order(play("later"))
    last = condition(pole).commands[-1]
    assert (last.outcome.jti, last.outcome.outcome, last.outcome.reason) == (jti, "refused", Reason.DUPLICATE_ITEM)
    assert last.at == pole.wall_s


def test_a_command_that_could_not_be_stored_and_comes_again_is_told_once() -> None:
    pole = make_pole(Behaviour(commits_fail=True)).start().connect()
    pole.order(SetVolume(1))
    pole.run(1.0)
    pole.behaviour.commits_fail = False
    pole.connect()
    pole.run(1.0)
    assert len(condition(pole).commands) <= 1


def test_records_say_how_items_ended() -> None:
    pole = make_pole(Behaviour(fetch_fails={"https://files.example/a.mp3": Reason.HTTP_ERROR})).start().connect()
    pole.order(play("good", CHIME))
    pole.order(play("bad", FILE))
    pole.run(20.0)
    assert [(each.item, each.result, each.reason) for each in condition(pole).sounded] == [
        ("good", "played", None),
        ("bad", "failed", "http_error"),
    ]


def test_why_the_link_is_down_is_said() -> None:
    pole = make_pole().start().connect()
    pole.tell(ev.Disconnected(1, "mqtts://a.vn: the broker does not answer"))
    found = condition(pole)
    assert (found.link_up, found.link_cause) == (False, "mqtts://a.vn: the broker does not answer")


def test_a_full_node_s_answer_fits_the_socket() -> None:
    pole = make_pole().start().connect()
    for number in range(100):
        pole.order(altered(play(f"{'n' * 58}{number:06}"), title="ộ" * 200))
    pole.run(0.2)
    pole.tell(ev.Asked(1, "status"))
    answer = pole.of(do.Answer)[-1][1]
    assert isinstance(answer, do.Answer)
    assert len(answer.text) < MAX_ANSWER_BYTES
    found = decode(answer.text, Condition)
    assert (len(found.programme), found.pieces) == (MAX_PIECES, 100)
