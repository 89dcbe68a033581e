"""Orders given to a node, and what became of each: one outcome, one record, one beginning."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from control.orders import Order
from rig.ear import Ear
from rig.sound import PATIENCE_S
from rig.village import Station

TONE = Source(builtin=Builtin(BuiltinName.TONE))
PREVIOUS = itertools.count()


@dataclass(frozen=True)
class Fate:
    """All outcomes of an order, all results of its item's records, and how often it began to sound."""

    outcomes: tuple[str, ...] = ("accepted",)
    results: tuple[str, ...] = ("played",)
    begun: int = 1


PLAYED = Fate()
REFUSED = Fate(outcomes=("refused",), results=(), begun=0)


class Logging(Protocol):
    """A node, or a pole: whoever has a log."""

    @property
    def log(self) -> list[tuple[float, str]]:
        """Lines, each with its time."""


@dataclass
class Account:
    """Of one node."""

    station: Station
    node: Logging
    ear: Ear
    orders: dict[str, Order] = field(default_factory=dict)
    """By item."""

    def sign(self, kind: Kind = Kind.NORMAL, **wanted: Any) -> str:
        """An order that is not sent yet, by default of a tone of 1 s; `wanted` are members of `play`. The item."""
        members = {"sources": (TONE,), "max_duration_s": 1, **wanted}
        play = Play(f"account-{next(PREVIOUS)}", kind, "title", **members)
        key = self.station.defence if kind is Kind.EMERGENCY else self.station.operator
        self.orders[play.item] = self.station.sign(play, key=key)
        return play.item

    def order(self, kind: Kind = Kind.NORMAL, **wanted: Any) -> str:
        """Give an order; the item."""
        item = self.sign(kind, **wanted)
        self.send(item)
        return item

    def send(self, item: str) -> None:
        """Once, or once more."""
        self.station.send(self.orders[item])

    def wait_told(self, items: Collection[str], timeout_s: float = PATIENCE_S) -> None:
        """Until the server has the outcome of each, and the record where it was accepted. Raises TimeoutError."""
        for item in items:
            if self.ear.outcome(self.orders[item].jti, timeout_s)["outcome"] == "accepted":
                self.ear.record(item, timeout_s)

    def fate(self, item: str) -> Fate:
        """What has been heard of it so far."""
        jti = self.orders[item].jti
        lines = [line for _, line in self.node.log if line.endswith(f"item {item}: sounding")]
        return Fate(
            outcomes=tuple(each["outcome"] for each in self.ear.of("command_outcome") if each["jti"] == jti),
            results=tuple(each["result"] for each in self.ear.of("play_record") if each["item"] == item),
            begun=len(lines),
        )

    def settled(self) -> dict[str, Fate]:
        """What became of each, once the server has been told of all, and of an order given after them.

        Reports are sent in order: whatever was told twice has been heard by then.
        """
        given = tuple(self.orders)
        self.wait_told(given)
        self.wait_told([self.order(Kind.EMERGENCY)])
        return {item: self.fate(item) for item in given}
