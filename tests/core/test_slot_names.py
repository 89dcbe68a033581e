"""Orders that are called as another authority's slots: they keep none of them from sounding (ADR 42)."""

import pytest

from agent.messages.commands import Play
from agent.messages.reasons import Reason
from agent.messages.words import Kind
from tests.core.pole import Pole, altered, play
from tests.core.test_documents import CLERK, DISTRICT, hear
from tests.core.test_documents import schedule as set_schedule
from tests.core.test_schedule import pole_with, slot

DAY_S = 86_400.0
TOMORROWS = "news.20260922"


def ahead(pole: Pole, *, hours: float, name: str = TOMORROWS, kind: Kind = Kind.NORMAL) -> Play:
    """An order that waits under this name until then."""
    start_at = int(pole.wall_s + 3_600 * hours)
    return altered(play(name, kind=kind), start_at=start_at, not_after=start_at + 3_600)


def played(pole: Pole) -> set[tuple[str, str, str]]:
    return {(each.item, each.iss, each.result) for each in pole.records}


def test_no_order_is_called_as_another_authoritys_slot_on_its_day() -> None:
    pole = pole_with(slot("05:00"))
    jti = pole.order(ahead(pole, hours=23), iss="thief", may=frozenset({"play.normal"}))
    assert pole.outcome(jti).reason is Reason.DUPLICATE_ITEM
    assert CLERK.authority in str(pole.outcome(jti).detail)
    pole.run(DAY_S)
    assert (TOMORROWS, CLERK.authority, "played") in played(pole)


@pytest.mark.parametrize("hours", [23.0, 7.77])
def test_what_was_called_so_before_the_slot_was_known_gives_way_to_it(hours: float) -> None:
    """Also while it sounds: the slot begins at 05:00, 7.778 hours from now."""
    pole = pole_with()
    pole.order(ahead(pole, hours=hours), iss="thief", may=frozenset({"play.normal"}))
    hear(pole, set_schedule(2, slot("05:00")), CLERK, jti="version-two-of-it")
    pole.run(DAY_S)
    assert (TOMORROWS, CLERK.authority, "played") in played(pole)
    (record,) = [each for each in pole.records if each.iss == "thief"]
    assert (record.result, record.reason) == ("missed" if hours > 8 else "stopped", Reason.DUPLICATE_ITEM)


@pytest.mark.parametrize("name", ["news", "news.2026", "news.monday00", "other.20260922", "news.20260922.b"])
def test_other_names_are_free(name: str) -> None:
    pole = pole_with(slot("05:00"))
    assert pole.outcome(pole.order(altered(play(name), max_duration_s=5), iss="thief")).outcome == "accepted"


def test_an_emergency_may_be_called_anything() -> None:
    pole = pole_with(slot("05:00"))
    jti = pole.order(ahead(pole, hours=1, kind=Kind.EMERGENCY), iss=DISTRICT.authority)
    assert pole.outcome(jti).outcome == "accepted"


def test_whose_slot_it_is_may_order_it_by_hand() -> None:
    pole = pole_with(slot("05:00"))
    assert (
        pole.outcome(pole.order(altered(play(TOMORROWS), max_duration_s=5), iss=CLERK.authority)).outcome == "accepted"
    )
