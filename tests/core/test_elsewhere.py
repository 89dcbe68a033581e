"""What was ordered for this pole, which goes by another name or has left a group since: it waits, silent and known."""

import pytest

from agent.messages import events as ev
from agent.messages.commands import Play, Stop
from agent.messages.reasons import Reason
from tests.core.pole import Behaviour, Pole, altered, make_pole
from tests.core.pole import play as some_play
from tests.signing import NOW, order, play


def test_what_is_not_for_this_pole_any_more_waits_for_it_to_change_back_as_long_as_it_could_sound() -> None:
    """Somebody has written another name into node.yaml: his slip must not lose what was ordered."""
    pole = make_pole(Behaviour(sound_length_s=2.0)).start().connect()
    pole.hear(order(play(item="later", start_at=NOW + 1_200, not_after=NOW + 7_200), iat=NOW, exp=NOW + 3_600))
    pole.run(1.0)
    renamed = pole.after_power_cut(60.0, wall_s=pole.world_s + 60.0, synchronised=True, known_as="hd-04").connect()
    renamed.run(60.0)
    assert renamed.records == []
    again = renamed.after_power_cut(60.0, wall_s=renamed.world_s + 60.0, synchronised=True).connect()
    again.run(3_600.0)
    assert [(each.item, each.result) for each in again.records] == [("later", "played")]


def test_and_has_its_record_once_it_could_sound_no_more() -> None:
    pole = make_pole().start().connect()
    pole.hear(order(play(item="later", start_at=NOW + 1_200), iat=NOW, exp=NOW + 3_600))
    pole.run(1.0)
    renamed = pole.after_power_cut(7_200.0, wall_s=pole.world_s + 7_200.0, synchronised=True, known_as="hd-04")
    renamed.run(60.0)
    ((item, result, reason, detail),) = [(each.item, each.result, each.reason, each.detail) for each in renamed.records]
    assert (item, result, reason) == ("later", "missed", Reason.NOT_AFTER)
    assert str(detail).startswith("wrong_audience")
    assert renamed.stored.items == {}


def renamed_with_one_item_waiting() -> Pole:
    """It goes by another name since its last start; `later` would start in 20 minutes."""
    pole = make_pole(Behaviour(sound_length_s=2.0)).start().connect()
    pole.hear(order(play(item="later", start_at=NOW + 1_200, not_after=NOW + 7_200), iat=NOW, exp=NOW + 3_600))
    pole.run(1.0)
    renamed = pole.after_power_cut(60.0, wall_s=pole.world_s + 60.0, synchronised=True, known_as="hd-04").connect()
    renamed.run(1.0)
    return renamed


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Stop(reason="called off", item="later"), Reason.STOPPED),
        (Stop(reason="called off", all=True), Reason.STOPPED),
        (altered(some_play("right"), replaces=("later",)), Reason.REPLACED),
    ],
    ids=["stop", "stop all", "replaces"],
)
def test_what_waits_for_the_pole_to_change_back_is_ended_as_all_else_is(command: Stop | Play, reason: Reason) -> None:
    renamed = renamed_with_one_item_waiting()
    renamed.order(command)
    renamed.run(60.0)
    assert [(each.result, each.reason) for each in renamed.records if each.item == "later"] == [("stopped", reason)]
    again = renamed.after_power_cut(60.0, wall_s=renamed.world_s + 60.0, synchronised=True).connect()
    again.run(3_600.0)
    assert "later" not in {heard.item for heard in again.heard}
    assert len([each for each in again.records if each.item == "later"]) == 1


def test_its_name_is_taken_meanwhile() -> None:
    renamed = renamed_with_one_item_waiting()
    jti = renamed.order(some_play("later"))
    assert renamed.outcome(jti).reason is Reason.DUPLICATE_ITEM


def test_neither_its_turn_nor_a_new_trust_document_wakes_it_and_its_window_closes_without_a_restart() -> None:
    renamed = renamed_with_one_item_waiting()
    renamed.tell(ev.TrustTaken(((("item", "later"), ev.Standing(None, "wrong_audience: it is for another")),)))
    renamed.run(7_200.0)
    assert renamed.heard == []
    ((result, reason, detail),) = [(each.result, each.reason, str(each.detail)) for each in renamed.records]
    assert (result, reason, detail.partition(":")[0]) == ("missed", Reason.NOT_AFTER, "wrong_audience")


def test_a_key_that_has_left_ends_it() -> None:
    renamed = renamed_with_one_item_waiting()
    renamed.tell(ev.TrustTaken(((("item", "later"), ev.Standing(None, "its key has left", revoked=True)),)))
    renamed.run(1.0)
    assert [(each.result, each.reason) for each in renamed.records] == [("stopped", Reason.REVOKED)]
