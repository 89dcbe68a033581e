"""Which trust document holds at start, with a real store between two lives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.messages.commands import VerifiedCommand
from agent.messages.effects import KeepItem, KeepNames, KeepTrust, Write
from agent.messages.events import CommandRefused, CommandVerified, Committed, Delivery, Event, MessageArrived
from agent.messages.memory import Memory
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, TrustError, names_used
from agent.security import TrustStore
from agent.store import Store
from agent.verification.judge import Judge, trust_in_force
from tests.signing import CHAIR, HERE, NOW, OPERATOR, SITE, STRANGER, order, play
from tests.test_set_trust import NEW, A, B, change, entry, trust, with_members

ONE, TWO = trust(1, OPERATOR), trust(2, CHAIR, roots=(NEW,))
EMPTY = Memory(1, 0, (), (), (), ())


def remembered(*writes: Write, folder: Path) -> Memory:
    """What the next life finds."""
    posted: SimpleQueue[Event] = SimpleQueue()
    first = Store(path=folder / "loa.db", post=posted.put)
    first.load()
    first.commit(1, writes)
    assert posted.get(timeout=60) == Committed(1)
    first.close()
    again = Store(path=folder / "loa.db", post=posted.put)
    try:
        return again.load()
    finally:
        again.close()


def kept(document: TrustDocument) -> KeepTrust:
    return KeepTrust(document.version, change(document, A, NEW))


def in_force(file: TrustDocument, memory: Memory) -> TrustStore:
    return trust_in_force(TrustStore(file, site=SITE), memory)


def test_an_empty_store_leaves_it_to_the_file() -> None:
    assert in_force(ONE, EMPTY).document == ONE


@pytest.mark.parametrize(
    ("in_file", "version"),
    [(ONE, 2), (trust(2, STRANGER), 2), (trust(3, STRANGER), 3)],
    ids=["an older file", "a file of the same version", "a newer file"],
)
def test_the_stored_document_holds_unless_the_file_is_newer(
    in_file: TrustDocument, version: int, tmp_path: Path
) -> None:
    memory = remembered(kept(TWO), KeepNames(tuple(names_used((ONE, TWO)).items())), folder=tmp_path)
    found = in_force(in_file, memory)
    assert found.document == (TWO if version == 2 else in_file)
    assert found.used[OPERATOR.kid] == OPERATOR.public, "a kid of the first document is remembered"


def test_a_kid_used_two_lives_ago_is_never_another_key(tmp_path: Path) -> None:
    memory = remembered(kept(TWO), KeepNames(tuple(names_used((ONE, TWO)).items())), folder=tmp_path)
    judge = Judge(in_force(ONE, memory), HERE)
    keys = (entry(OPERATOR, public=STRANGER), NEW.trusted())
    three = with_members(trust(3, roots=(NEW,)), keys=keys)
    found = judge.judge(MessageArrived(Delivery(1, 1), "t", change(three, NEW), False), None, NOW)
    assert isinstance(found, CommandRefused)
    assert (found.reason, found.message is not None) == (Reason.BAD_TRUST, True)


def test_a_file_that_begins_anew_under_new_names_holds_and_can_be_followed(tmp_path: Path) -> None:
    """All roots are lost, and every pole is visited."""
    memory = remembered(kept(TWO), KeepNames(tuple(names_used((ONE, TWO)).items())), folder=tmp_path)
    anew = trust(3, CHAIR, roots=(B,))
    for judge in (Judge(in_force(anew, memory), HERE), Judge(in_force(anew, EMPTY), HERE)):
        four = change(trust(4, OPERATOR, CHAIR, roots=(B,)), B)
        found = judge.judge(MessageArrived(Delivery(1, 1), "t", four, False), None, NOW)
        assert isinstance(found, CommandVerified), "on a pole with a history as on a new one"


@pytest.mark.parametrize("version", [3, 1], ids=["above the stored one", "on a store that holds none"])
def test_a_file_that_gives_a_known_name_to_another_key_is_refused_at_once(version: int, tmp_path: Path) -> None:
    """It would hold, and then no document could ever follow it here, though it could on other poles."""
    writes = (kept(TWO),) if version == 3 else ()
    memory = remembered(*writes, KeepNames(tuple(names_used((ONE, TWO)).items())), folder=tmp_path)
    file = with_members(trust(version, roots=(B,)), keys=(entry(OPERATOR, public=STRANGER), B.trusted()))
    with pytest.raises(TrustError, match="kid 'hd-operator' was once another key"):
        in_force(file, memory)


def test_a_file_of_unknown_roots_that_does_nothing_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = remembered(kept(TWO), KeepNames(tuple(names_used((ONE, TWO)).items())), folder=tmp_path)
    with caplog.at_level("WARNING"):
        assert in_force(ONE, memory).document == TWO
        assert caplog.text == ""
        assert in_force(trust(1, OPERATOR, roots=(B,)), memory).document == TWO
    assert f"roots never seen here ({B.kid}), but its version 1 is not above 2: it does nothing" in caplog.text


@pytest.mark.parametrize(
    "bend",
    [lambda _: b"", lambda envelope: envelope.replace(b"A", b"B", 1), lambda _: change(TWO, A)],
    ids=["empty", "one byte", "without its own roots"],
)
def test_a_stored_document_that_does_not_prove_itself_is_left_alone(bend: Callable[[bytes], bytes]) -> None:
    memory = replace(EMPTY, trust=bend(change(TWO, A, NEW)))
    assert in_force(ONE, memory).document == ONE


def test_orders_are_judged_again_by_the_document_that_holds(tmp_path: Path) -> None:
    by_operator, by_chair = order(play(item="a"), OPERATOR), order(play(item="b"), CHAIR)
    items = KeepItem("a", by_operator, NOW), KeepItem("b", by_chair, NOW)
    memory = remembered(*items, kept(TWO), folder=tmp_path)
    restored = Judge(in_force(ONE, memory), HERE).restored(memory)
    assert [(item.verified.envelope, bool(item.revoked)) for item in restored.items] == [
        (by_operator, True),
        (by_chair, False),
    ]
    assert restored.items[0].verified.may == frozenset()


def test_an_order_that_is_not_for_this_node_any_more_is_not_revoked(tmp_path: Path) -> None:
    memory = remembered(KeepItem("a", order(play(item="a"), OPERATOR), NOW), folder=tmp_path)
    renamed = replace(HERE, node="hd-04")
    (item,) = Judge(in_force(ONE, memory), renamed).restored(memory).items
    assert (item.revoked, item.elsewhere.partition(":")[0], item.verified.may) == ("", "wrong_audience", frozenset())


def test_taking_the_next_document_judges_orders_by_it() -> None:
    judge = Judge(TrustStore(ONE, site=SITE), HERE)
    envelope = order(play(), OPERATOR)
    taken = judge.take(TWO, ((("item", "tin-1"), envelope),))
    assert judge.document == TWO
    ((item, standing),) = taken.orders
    assert (item, standing.verified, standing.damaged) == (("item", "tin-1"), None, False)
    assert "unknown_key" in standing.detail
    stays = Judge(TrustStore(ONE, site=SITE), HERE).take(trust(2, OPERATOR), ((("item", "tin-1"), envelope),))
    assert isinstance(stays.orders[0][1].verified, VerifiedCommand)
