"""When the next connection is begun, and what is told of the last ones."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import connection as conn
from agent.core.connection import Connection
from agent.messages import events as ev
from agent.messages.codec import decode
from agent.messages.condition import Condition
from agent.messages.effects import Answer, Connect
from agent.messages.events import Disconnected, LinkFault
from agent.messages.reports import Alarm
from tests.core.pole import Pole, make_pole

ALL_BITS = (1 << 128) - 1
GONE = Disconnected(1, "gone")
TAKEN_OVER = Disconnected(1, "session taken over", LinkFault.TAKEN_OVER)


def after(ends: int, connection: Connection | None = None, *, entropy: int = ALL_BITS) -> Connection:
    """So many failures in a row, each attempt begun as soon as it may be."""
    connection = connection or Connection()
    for _ in range(ends):
        at_s = max(0.0, connection.retry_at_s or 0.0)
        connection = conn.lost(conn.begin(connection), GONE, at_s, entropy)
    return connection


def test_the_wait_doubles_to_two_seconds_and_a_half_and_stays_there() -> None:
    waits, connection = [], Connection()
    for _ in range(40):
        begun = conn.begin(connection)
        connection = conn.lost(begun, GONE, 100.0, ALL_BITS)
        waits.append(round((connection.retry_at_s or 0) - 100.0, 6))
    assert waits == [1.0, 2.0, *[2.5] * 38]


@given(entropy=st.integers(0, ALL_BITS), failures=st.integers(0, 10**6))
def test_it_is_drawn_from_nothing_to_the_ceiling(entropy: int, failures: int) -> None:
    connection = conn.lost(Connection(number=1, failures=failures), GONE, 50.0, entropy)
    assert connection.retry_at_s is not None
    assert 50.0 <= connection.retry_at_s <= 50.0 + conn.MAX_DELAY_S
    assert connection.retry_at_s == pytest.approx(
        50.0 + min(2.5, 2.0 ** min(failures, 16)) * entropy / (1 << 128), abs=1e-6
    )


def test_each_failure_wants_the_next_broker_most() -> None:
    assert [conn.broker_index(after(ends)) for ends in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(("up_s", "failures"), [(conn.STEADY_S - 0.1, 6), (conn.STEADY_S, 1)])
def test_only_a_connection_that_lasted_a_while_ends_the_back_off(up_s: float, failures: int) -> None:
    """A broker that takes the node in and throws it out again is one that fails."""
    up = conn.established(conn.begin(after(5)), 100.0)
    assert conn.lost(up, GONE, 100.0 + up_s, 0).failures == failures


def test_who_shares_its_name_with_another_leaves_it_the_air_for_a_while() -> None:
    up = conn.established(conn.begin(Connection()), 0.0)
    assert conn.lost(up, TAKEN_OVER, 100.0, ALL_BITS).retry_at_s == pytest.approx(130.0)


def test_what_somebody_has_to_see_to_is_told_once_an_hour_with_its_count() -> None:
    connection = Connection()
    for number in range(3):
        end = replace(TAKEN_OVER, detail=f"end {number}" * 100)
        connection = conn.lost(conn.established(connection, 0.0), end, float(number), 0)
    connection, alarms = conn.take_alarms(conn.established(connection, 3.0), 3.0)
    assert alarms == (Alarm("session_taken_over", ("end 2" * 100)[:200], 3),)
    assert conn.take_alarms(connection, 3.0 + conn.TELL_EVERY_S) == (connection, ()), "nothing has happened since"
    connection = conn.lost(connection, TAKEN_OVER, 4.0, 0)
    assert conn.take_alarms(connection, 3.0 + conn.TELL_EVERY_S - 1)[1] == ()
    connection = conn.lost(connection, Disconnected(9, "who are you?", LinkFault.NOT_AUTHORISED), 5.0, 0)
    connection, alarms = conn.take_alarms(connection, 6.0)
    assert alarms == (Alarm("not_authorised", "who are you?", 1),), "the two are told apart, each with its own hour"
    connection, alarms = conn.take_alarms(connection, 3.0 + conn.TELL_EVERY_S)
    assert alarms == (Alarm("session_taken_over", "session taken over", 1),)


def alarms_of(pole: Pole) -> list[str]:
    return [report.what for report in pole.reports if isinstance(report, Alarm)]


@pytest.mark.parametrize("fault", list(LinkFault))
def test_the_node_says_it_as_soon_as_anybody_hears_it(fault: LinkFault) -> None:
    pole = make_pole().start().connect()
    pole.tell(Disconnected(pole.state.connection.number, "as it was said", fault))
    pole.tell(ev.Asked(1, "status"))
    (answer,) = (effect for _, effect in pole.of(Answer) if isinstance(effect, Answer))
    told = decode(answer.text, Condition)
    assert (told.link_up, told.link, told.link_cause) == (False, 1, "as it was said")
    assert alarms_of(pole) == []
    pole.run(60.0)
    pole.tell(ev.Connected(pole.state.connection.number, "broker"))
    pole.run(1.0)
    assert alarms_of(pole) == [fault.value]
    assert len(pole.of(Connect)) == 2, "and it went on trying"
