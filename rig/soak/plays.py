"""Twenty thousand short items through one node, and what it holds afterwards.

Accelerated: an item of a pole's day lasts half an hour, one of these a tenth of a second, and the next waits already;
the amplifier needs no time to warm up. What that leaves out: long lanes (`rig.soak.relay`), and the hours between, in
which nothing happens (`bench idle`). What a node remembers against replays is kept for a day after an order's end, as
many as 20,000 orders: at two orders a day on a pole that is nothing, here it fills again and again. So it is filled
once by settings and once by plays before the measuring begins: the second time, and never again in 15,000 plays, the
heap grew by 1.9 MB. What the node holds is compared at its highest.

Samples are taken after each batch, when all is over: the relay open, the card closed, the reports delivered.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rig.ear import Ear
from rig.soak.findings import Findings
from rig.soak.resources import COUNTED, Resources
from rig.soak.surroundings import long_lived
from rig.soak.tally import Tally
from rig.soak.wishes import Wish, Wishes
from rig.sound import Daemon
from rig.village import Node, Station, command_topic
from rig.web import WebServer

ZONE: Final = {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 20, "min_off_ms": 0}
FILL_AT_ONCE: Final = 250
"""Settings ordered at once: a quarter of what a broker keeps for a node."""
BATCH_WAIT_S: Final = 180.0
REST_WAIT_S: Final = 5.0
"""After a batch, until what it held is given back: half a second."""
TOLERATED: Final = 50
"""Of what went wrong: beyond it the run has shown enough."""
EXPECTED: Final = (" refused: ", ": source 1 failed ")
"""Warnings that the orders ask for."""

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Length:
    """How many items are counted; how many play before, and how many more orders are remembered before, by then.

    `plain` is how many of a batch's items are nothing but short files.
    """

    plays: int = 20_000
    warm: int = 9_000
    fill: int = 10_500
    plain: int = 62


@dataclass
class _Run:
    node: Node
    wishes: Wishes
    ear: Ear
    publish: Callable[[bytes], None]
    plain: int
    say: Said
    tally: Tally = field(default_factory=Tally)
    given: list[Wish] = field(default_factory=list)

    def fill(self, orders: int) -> list[Resources]:
        """Let so many orders be remembered; what is held from time to time."""
        held: list[Resources] = []
        until = len(self.given) + orders
        while len(self.given) < until and len(self.tally.wrong) <= TOLERATED:
            self._order(self.wishes.settings(min(FILL_AT_ONCE, until - len(self.given))))
            held.append(self._held())
        return held

    def play(self, items: int, usual: Resources | None = None) -> list[Resources]:
        """Batches, until so many items have played; what is held after each, once it is no more than usual."""
        held: list[Resources] = []
        played = 0
        while played < items and len(self.tally.wrong) <= TOLERATED:
            batch = self.wishes.batch(self.plain)
            since = len(self.node.log)
            self._order(batch)
            self.node.wait_for_line("amplifier main: off", since=since)
            held.append(self._at_rest(usual or (held[0] if held else None)))
            played += len(_items(batch))
            self.say(f"{played} items: {held[-1]}{'; ' if self.tally.wrong else ''}{self.tally.wrong[-1:] or ''}")
        return held

    def _order(self, wishes: list[Wish]) -> None:
        self.tally.expect(wishes)
        for wish in wishes:
            self.publish(wish.envelope)
        deadline_s = time.monotonic() + BATCH_WAIT_S
        while self.tally.waits and self.node.running and time.monotonic() < deadline_s:
            self.hear(0.05)
        self.tally.give_up()
        self.given += wishes

    def hear(self, timeout_s: float) -> None:
        """Count what has arrived, and keep nothing of it."""
        self.ear.take(timeout_s)
        for claims in self.ear.reports:
            self.tally.count(claims)
        for kept in (self.ear.reports, self.ear.envelopes, self.ear.heartbeats, self.ear.states):
            kept.clear()

    def _at_rest(self, usual: Resources | None) -> Resources:
        deadline_s = time.monotonic() + REST_WAIT_S
        held = self._held()
        while time.monotonic() < deadline_s and (usual is None or _more(held, usual)):
            self.hear(0.1)
            held = self._held()
        return held

    def _held(self) -> Resources:
        if not self.node.running:
            raise RuntimeError(f"the node has ended with {self.node.end()}: {self.node.log_text()[-6_000:]}")
        return Resources.of(self.node.pid)


def _more(held: Resources, usual: Resources) -> bool:
    return any(getattr(held, name) > getattr(usual, name) for name in COUNTED)


def _items(wishes: list[Wish]) -> set[str]:
    return {wish.item for wish in wishes if wish.item is not None}


def run(folder: Path, *, length: Length, seed: int, say: Said) -> Findings:
    """Play and remember until both are at their usual; then play on, and count."""
    with ExitStack() as stack:
        sound = stack.enter_context(Daemon())
        station = stack.enter_context(Station(folder))
        web = stack.enter_context(WebServer({}))
        node = stack.enter_context(long_lived(station, sound, {"amplifier": {"main": ZONE}}))
        ready = len(node.log)
        ear = stack.enter_context(station.listen())
        publish = stack.enter_context(station.broker.publisher(station.control, command_topic(node.name)))
        this = _Run(node, Wishes(station, web, folder, seed), ear, publish, length.plain, say)
        warm = this.fill(length.fill)
        warm += this.play(length.warm)
        say(f"warm: {warm[-1]} {this.tally.wrong[:3] or ''}")
        before, began_s = len(_items(this.given)), time.monotonic()
        later = this.play(length.plays, usual=warm[-1])
        took_s = time.monotonic() - began_s
        this.hear(1.0)  # a second outcome or record would come at once
        warnings = [line for _, line in node.log[ready:] if " WARNING " in line and not any(map(line.count, EXPECTED))]
    items = len(_items(this.given)) - before
    found = Findings(f"plays: {items} items in {took_s:.0f} s after the warm-up of {before}, seed {seed}")
    found.expect(items >= length.plays, f"items: {items} (at least {length.plays})")
    _count(found, this.given, this.tally)
    found.tell(f"underruns of the card: {this.tally.underruns}; other warnings: {len(warnings)} {warnings[:3] or ''}")
    if later:  # else too much had gone wrong before
        found.expect_flat(warm, later)
    return found


def _count(found: Findings, given: list[Wish], tally: Tally) -> None:
    items = _items(given)
    jtis = {wish.jti for wish in given if wish.outcome is not None}
    unanswerable = {wish.jti for wish in given if wish.outcome is None}
    for what, wanted, counted in (("records", items, tally.records), ("outcomes", jtis, tally.outcomes)):
        missing = sum(each not in counted for each in wanted)
        twice = sum(number > 1 for number in counted.values())
        found.expect(not missing and not twice, f"{what} of {len(wanted)}: {missing} missing, {twice} twice (none)")
    answered = sum(jti in tally.outcomes for jti in unanswerable)
    found.expect(not answered, f"forged orders answered: {answered} of {len(unanswerable)} (none)")
    found.expect(not tally.wrong, f"other than expected: {len(tally.wrong)} (none){tally.wrong[:3] or ''}")
