"""When to connect, which broker to want most, and how long to wait after a failure: full jitter, never giving up.

A commune that comes back from a power cut must not reconnect in step (field notes, paho 7): the delay is drawn evenly
between nothing and a ceiling that doubles to `MAX_DELAY_S`. What somebody has to see to is counted until it is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent.core.pauses import grown_s
from agent.messages.events import Disconnected, LinkFault
from agent.messages.reports import Alarm

FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 2.5
"""Half of the 5 s in which the link is to be up once the network is: the other half is for dialling, past a broker that
does not answer. A thousand nodes come back at 400 a second, which a broker bears."""
TAKEN_OVER_DELAY_S: Final = 30.0
"""Ceiling while another machine has our name: each of the two is heard for a while, and the broker left in peace."""
STEADY_S: Final = 10.0
"""A connection that ended sooner has cured nothing: back-off goes on where it was."""
MAX_HUNG: Final = 8
"""Connections in a life whose thread never came back: each leaves a thread and a socket behind."""
TELL_EVERY_S: Final = 3_600.0
"""At most one alarm an hour of each fault."""
MAX_DETAIL_CHARACTERS: Final = 200

_ENTROPY_SPAN: Final = 1 << 128


@dataclass(frozen=True, slots=True)
class Connection:
    """`number` counts the connections begun in this life; `retry_at_s` is set while waiting to begin the next."""

    number: int = 0
    up: bool = False
    failures: int = 0
    retry_at_s: float | None = float("-inf")
    up_s: float = float("-inf")
    """Since when it is up, or was last."""
    cause: str = ""
    """Why the last one ended."""
    hung: int = 0
    untold: Mapping[LinkFault, "Fault"] = field(default_factory=dict)
    told_s: Mapping[LinkFault, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """How often it happened since it was told last, and what was said the last time."""

    times: int
    detail: str


def begin(connection: Connection) -> Connection:
    """The next connection, begun now."""
    return replace(connection, number=connection.number + 1, retry_at_s=None)


def established(connection: Connection, at_s: float) -> Connection:
    """CONNACK and SUBACK have come."""
    return replace(connection, up=True, up_s=at_s)


def lost(connection: Connection, end: Disconnected, at_s: float, entropy: int) -> Connection:
    """It has ended or failed: wait a random part of a ceiling that doubles with each failure."""
    steady = connection.up and at_s - connection.up_s >= STEADY_S
    failures = 0 if steady else connection.failures
    ceiling_s = grown_s(FIRST_DELAY_S, failures, MAX_DELAY_S)
    untold = connection.untold
    if end.fault is not None:
        times = untold[end.fault].times if end.fault in untold else 0
        untold = {**untold, end.fault: Fault(times + 1, end.detail)}
    if end.fault is LinkFault.TAKEN_OVER:
        ceiling_s = TAKEN_OVER_DELAY_S
    return replace(
        connection,
        up=False,
        failures=failures + 1,
        retry_at_s=at_s + ceiling_s * (entropy / _ENTROPY_SPAN),
        cause=end.detail,
        untold=untold,
    )


def take_alarms(connection: Connection, at_s: float) -> tuple[Connection, tuple[Alarm, ...]]:
    """What somebody has to see to, now that he can be told."""
    due = [fault for fault in connection.untold if at_s - connection.told_s.get(fault, float("-inf")) >= TELL_EVERY_S]
    if not due:
        return connection, ()
    alarms = tuple(
        Alarm(fault.value, connection.untold[fault].detail[:MAX_DETAIL_CHARACTERS], connection.untold[fault].times)
        for fault in due
    )
    left = {fault: found for fault, found in connection.untold.items() if fault not in due}
    told_s = {**connection.told_s, **dict.fromkeys(due, at_s)}
    return replace(connection, untold=left, told_s=told_s), alarms


def broker_index(connection: Connection) -> int:
    """Each failure moves on to the next broker as the one wanted most; the link takes it modulo their count."""
    return connection.failures
