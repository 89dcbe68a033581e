"""A line between node and broker, without TLS, on which MQTT packets are seen, and held back from one of them on."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from rig.proxy import Direction, Proxy

_CONTINUED: Final = 0x80
"""Of a byte of a variable byte integer (MQTT 5, 1.5.5): more follow."""


class Sort(IntEnum):
    """Of control packets (MQTT 5, 2.1.2): those that are of interest; others are numbers."""

    PUBLISH = 3
    PUBACK = 4


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `body` is what follows the topic and its number; `of` what a PUBACK answers, if that was seen."""

    upwards: bool
    sort: int
    topic: str = ""
    number: int = 0
    body: bytes = b""
    of: "Packet | None" = None


class MqttLine(Proxy):
    """While open, `hold` looks at each packet, both ways; the first for which it holds is held back.

    So is all that follows it on that way, until whoever connected connects anew; `held` is set then.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.hold: Callable[[Packet], bool] | None = None
        self.held = threading.Event()
        self._read_so_far: dict[Direction, bytes] = {}
        self._holding: set[Direction] = set()
        self._sent: dict[tuple[bool, int], Packet] = {}

    def hold_back(self, hold: Callable[[Packet], bool]) -> None:
        """From now on hold back the first such packet."""
        self.held.clear()
        self.hold = hold

    def let_go(self) -> None:
        """Hold nothing back on connections to come."""
        self.hold = None

    def _take(self, direction: Direction, data: bytes) -> None:
        if not data:
            super()._take(direction, data)
            return
        buffered = self._read_so_far.pop(direction, b"") + data
        while direction not in self._holding and (length := _length(buffered)) is not None:
            packet, buffered = buffered[:length], buffered[length:]
            if self._holds(direction, packet):
                self._holding.add(direction)
                self.held.set()
            else:
                super()._take(direction, packet)
        self._read_so_far[direction] = buffered

    def _holds(self, direction: Direction, packet: bytes) -> bool:
        seen = self._parse(direction.upwards, packet)
        return self.hold is not None and self.hold(seen)

    def _parse(self, upwards: bool, packet: bytes) -> Packet:
        sort, body = packet[0] >> 4, packet[_head(packet) :]
        match sort:
            case Sort.PUBLISH:
                seen = _publish(upwards, packet[0], body)
                self._sent[upwards, seen.number] = seen
                return seen
            case Sort.PUBACK:
                number = int.from_bytes(body[:2], "big")
                return Packet(upwards, Sort.PUBACK, number=number, of=self._sent.get((not upwards, number)))
            case _:
                return Packet(upwards, sort)


def _publish(upwards: bool, first: int, body: bytes) -> Packet:
    ends = 2 + int.from_bytes(body[:2], "big")
    topic, rest = body[2:ends].decode(), body[ends:]
    if not first >> 1 & 3:  # QoS 0 has no number
        return Packet(upwards, Sort.PUBLISH, topic, body=rest)
    return Packet(upwards, Sort.PUBLISH, topic, int.from_bytes(rest[:2], "big"), rest[2:])


def _head(buffered: bytes) -> int:
    """How long the fixed header is: its first byte, and the length of the rest."""
    return 2 + next(place for place, byte in enumerate(buffered[1:]) if not byte & _CONTINUED)


def _length(buffered: bytes) -> int | None:
    """Of the first packet in here; None where it is not all there."""
    if not any(not byte & _CONTINUED for byte in buffered[1:5]):
        return None
    head = _head(buffered)
    rest = sum((byte & ~_CONTINUED) << 7 * place for place, byte in enumerate(buffered[1:head]))
    return head + rest if len(buffered) >= head + rest else None
