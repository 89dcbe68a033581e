"""When to connect, to which broker, and how long to wait after a failure: full jitter, never giving up.

A commune that comes back from a power cut must not reconnect in step (field notes, paho 7): the delay is drawn evenly
between nothing and a ceiling that doubles to `MAX_DELAY_S`.
"""

from dataclasses import dataclass, replace
from typing import Final

FIRST_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 4.5
"""A thousand nodes come back at 220 a second, which a broker bears; a flood warning waits 5 s at most."""

_ENTROPY_SPAN: Final = 1 << 128


@dataclass(frozen=True, slots=True)
class Connection:
    """`number` counts the connections begun in this life; `retry_at_s` is set while waiting to begin the next."""

    number: int = 0
    up: bool = False
    failures: int = 0
    retry_at_s: float | None = float("-inf")


def begin(connection: Connection) -> Connection:
    """The next connection, begun now."""
    return replace(connection, number=connection.number + 1, retry_at_s=None)


def established(connection: Connection) -> Connection:
    """CONNACK and SUBACK have come."""
    return replace(connection, up=True, failures=0)


def lost(connection: Connection, at_s: float, entropy: int) -> Connection:
    """It has ended or failed: wait a random part of a ceiling that doubles with each failure."""
    ceiling_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(connection.failures, 16))
    delay_s = ceiling_s * (entropy / _ENTROPY_SPAN)
    return replace(connection, up=False, failures=connection.failures + 1, retry_at_s=at_s + delay_s)


def broker_index(connection: Connection) -> int:
    """Each failure moves on to the next broker; the link takes it modulo their count."""
    return connection.failures
