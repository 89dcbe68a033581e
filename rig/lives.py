"""A node that dies again and again amid its work, and what must be true of all that it was told (design invariant 3).

Orders are sent at random moments of random lives; each life ends by SIGKILL or by a power cut. Afterwards every order
has exactly one outcome, every item exactly one record, no item was begun twice, and all orders sent once more are
replays.
"""

import itertools
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.carried import CLOCK_FILE, PROGRESS_FILE
from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from control.orders import Order
from rig.disk import Disk
from rig.ear import Ear
from rig.village import Node, Station

TONE: Final = Source(builtin=Builtin(BuiltinName.TONE))
LONGEST_LIFE_S: Final = 2.5
SETTLED_S: Final = 60.0
PLAYED_S: Final = 2.0
"""How long the last life has for all that is still to be played and told: so long, and so long for each order."""
PREVIOUS_LIVES = itertools.count()


@dataclass
class Found:
    """What went wrong: all of it empty on a good node."""

    without_outcome: list[str] = field(default_factory=list)
    without_record: list[str] = field(default_factory=list)
    outcomes_twice: list[str] = field(default_factory=list)
    records_twice: list[str] = field(default_factory=list)
    begun_twice: list[str] = field(default_factory=list)
    replays_accepted: int = 0
    relay_left_on: int = 0
    stores_set_aside: int = 0


@dataclass
class Lives:
    """The lives of one node, and the orders given in them."""

    station: Station
    node: Node
    ear: Ear
    seed: int
    orders: dict[str, Order] = field(default_factory=dict)
    """By item."""
    lives: int = 0
    relay_left_on: int = 0
    power_failed: bool = False
    emergencies: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._campaign = f"{next(PREVIOUS_LIVES)}x{self.seed}"

    def _be_known(self) -> None:
        """Broker and node have met: before that the broker keeps no order for it."""
        self.node.start()
        self.node.end()

    def killed(self, times: int) -> None:
        """So many lives that end by SIGKILL; what the unit does afterwards (`amp-off`) is done."""
        self._be_known()
        for _ in range(times):
            self._live()
            self.node.end(signal.SIGKILL)
            self.node.command("amp-off")
            self.relay_left_on += self.node.relay_on

    def cut_off(self, times: int, disk: Disk, runtime: Path) -> None:
        """So many lives that end by a power cut: what was not on the disk is gone, and memory with it."""
        self.power_failed = True
        self._be_known()
        for _ in range(times):
            self._live()
            self.node.freeze()
            disk.cut()
            self.node.end(signal.SIGKILL)
            disk.boot()
            for name in (PROGRESS_FILE, CLOCK_FILE):
                (runtime / name).unlink(missing_ok=True)

    def _live(self) -> None:
        """Start; give orders; be wherever it is when the time has come, perhaps not even ready."""
        self.lives += 1
        self.node.start(wait=False)
        end_s = time.monotonic() + self._random.uniform(0.05, LONGEST_LIFE_S)
        for _ in range(self._random.choice((0, 0, 1, 1, 2))):
            self._wait_until(min(end_s, time.monotonic() + self._random.uniform(0.0, 0.8)))
            self._order()
        self._wait_until(end_s)

    def _wait_until(self, end_s: float) -> None:
        while time.monotonic() < end_s:
            self.ear.take(min(0.05, max(0.0, end_s - time.monotonic())))

    def _order(self) -> None:
        kind = self._random.choice((Kind.NORMAL, Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY))
        item = f"lives-{self._campaign}-{len(self.orders)}"
        key = self.station.defence if kind is Kind.EMERGENCY else self.station.operator
        order = self.station.sign(Play(item, kind, "title", (TONE,), 1), key=key, lifetime_s=6 * 3_600)
        self.station.send(order)
        self.orders[item] = order
        if kind is Kind.EMERGENCY:
            self.emergencies.add(item)

    def settle(self) -> Found:
        """A last life, in which nothing goes wrong; then all orders once more. What was found."""
        self.node.start()
        wanted = set(self.orders)
        with suppress(TimeoutError):  # told below, by name
            self.ear.wait(lambda: wanted <= self._settled(), what="all records", timeout_s=self._patience_s)
        replays = self._replays_accepted()
        jtis = {order.jti: item for item, order in self.orders.items()}
        outcomes = Counter(jtis[each["jti"]] for each in self.ear.of("command_outcome") if each["jti"] in jtis)
        records = self._recorded()
        begun = Counter(line.split("item ")[1].split(":")[0] for line in self._lines_of_begun())
        return Found(
            without_outcome=sorted(wanted - outcomes.keys()),
            without_record=sorted(wanted - self._settled()),
            outcomes_twice=_twice(outcomes),
            records_twice=_twice(records),
            begun_twice=[item for item in _twice(begun) if not self._may_begin_anew(item)],
            replays_accepted=replays,
            relay_left_on=self.relay_left_on + self._left_on_at_last(),
            stores_set_aside=len(list((self.node.folder / "state").rglob("*.corrupt.*"))),
        )

    @property
    def _patience_s(self) -> float:
        return SETTLED_S + PLAYED_S * len(self.orders)

    def _recorded(self) -> Counter[str]:
        return Counter(each["item"] for each in self.ear.of("play_record") if each["item"] in self.orders)

    def _settled(self) -> set[str]:
        """The items that have their record, or whose order was refused: a hundred may wait, no more."""
        refused = {each["jti"] for each in self.ear.of("command_outcome") if each["outcome"] == "refused"}
        return {item for item, order in self.orders.items() if order.jti in refused} | self._recorded().keys()

    def _lines_of_begun(self, since: int = 0) -> list[str]:
        return [line for _, line in self.node.log[since:] if "item lives" in line and line.endswith(": sounding")]

    def _replays_accepted(self) -> int:
        """All orders once more; how many of them led to anything but being counted as replayed."""
        before = len(self.ear.of("command_outcome"))
        since = len(self.node.log)
        for order in self.orders.values():
            self.station.send(order)
        marker = Play(f"marker-{self._campaign}", Kind.EMERGENCY, "title", (TONE,), 1)
        self.station.send(self.station.sign(marker, key=self.station.defence))
        self.ear.record(marker.item)
        accepted = len(self.ear.of("command_outcome")) - before - 1
        return accepted + len(self._lines_of_begun(since))

    def _may_begin_anew(self, item: str) -> bool:
        """An emergency that a power cut took away is heard whole (ADR 0024)."""
        return self.power_failed and item in self.emergencies

    def _left_on_at_last(self) -> int:
        deadline = time.monotonic() + 10.0
        while self.node.relay_on and time.monotonic() < deadline:
            self.ear.take(0.1)
        return int(self.node.relay_on)


def _twice(counts: Counter[str]) -> list[str]:
    return sorted(name for name, count in counts.items() if count > 1)
