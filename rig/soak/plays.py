"""Twenty thousand short items through one node, and what it holds afterwards.

Accelerated: an item of a pole's day lasts half an hour, one of these a tenth of a second, and the next waits already;
the amplifier needs no time to warm up. What that leaves out: long lanes (`rig.soak.relay`), and the hours between, in
which nothing happens (`bench idle`). What a node remembers against replays is kept for an hour after an order's end, as
many as 20,000 orders: at two orders a day on a pole that is nothing, here it fills again and again. So it is filled
once before the measuring begins, and what the node holds is compared at its highest.

Samples are taken after each batch, when all is over: the relay open, the card closed, the reports delivered.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rig.soak.findings import Findings
from rig.soak.resources import COUNTED, Resources
from rig.soak.tally import Tally
from rig.soak.wishes import Wish, Wishes
from rig.sound import Daemon
from rig.village import Node, Station, command_topic
from rig.web import WebServer

ZONE: Final = {"gpio": 17, "active": "high", "warm_up_ms": 0, "linger_ms": 20, "min_off_ms": 0}
WARM_BATCHES: Final = 5
FILL_AT_ONCE: Final = 250
"""Settings ordered at once: a quarter of what a broker keeps for a node."""
BATCH_WAIT_S: Final = 180.0
REST_WAIT_S: Final = 5.0
"""After a batch, until what it held is given back: half a second."""
EXPECTED: Final = (" refused: ", ": source 1 failed ")
"""Warnings that the orders ask for."""
TOLERATED: Final = 50
"""Of what went wrong: beyond it the run has shown enough."""

Said = Callable[[str], None]


@dataclass
class _Run:
    node: Node
    wishes: Wishes
    tally: Tally
    publish: Callable[[bytes], None]
    say: Said
    given: list[Wish] = field(default_factory=list)
    lines: int = 0

    def order(self, wishes: list[Wish]) -> None:
        """Give these orders and wait for all that comes of them."""
        for wish in wishes:
            self.publish(wish.envelope)
        self.tally.settle(wishes, BATCH_WAIT_S)
        self.given += wishes

    def batch(self, usual: Resources | None) -> Resources:
        """Play one, and what is held afterwards, once it is no more than usual."""
        since = len(self.node.log)
        self.order(self.wishes.batch())
        self.node.wait_for_line("amplifier main: off", since=since)
        deadline_s = time.monotonic() + REST_WAIT_S
        if not self.node.running:
            raise RuntimeError(f"the node has ended with {self.node.end()}: {self.node.log_text()[-6_000:]}")
        held = Resources.of(self.node.pid)
        while time.monotonic() < deadline_s and (usual is None or _more(held, usual)):
            self.tally.take(0.1)
            held = Resources.of(self.node.pid)
        return held


def _more(held: Resources, usual: Resources) -> bool:
    return any(getattr(held, name) > getattr(usual, name) for name in COUNTED)


def run(folder: Path, *, plays: int, fill: int, seed: int, say: Said) -> Findings:
    """Fill the memory against replays with `fill` settings, warm up, play, and count."""
    with ExitStack() as stack:
        sound = stack.enter_context(Daemon())
        station = stack.enter_context(Station(folder))
        web = stack.enter_context(WebServer({}))
        changes = {
            "amplifier": {"main": ZONE},
            "heartbeat_s": 60,
            "storage": {"state": "state", "runtime": "runtime", "cache_max_mb": 1},
        }
        node = stack.enter_context(Node(station, sound, changes=changes, environment={"PYTHONFAULTHANDLER": "1"}))
        tally = Tally(stack.enter_context(station.listen()))
        publish = stack.enter_context(station.broker.publisher(station.control, command_topic(node.name)))
        this = _Run(node, Wishes(station, web, folder, seed), tally, publish, say)
        ready = len(node.log)
        began_s = time.monotonic()
        while len(this.given) < fill:
            this.order(this.wishes.settings(min(FILL_AT_ONCE, fill - len(this.given))))
        say(
            f"{fill} settings in {time.monotonic() - began_s:.0f} s{'; ' if tally.wrong else ''}{tally.wrong[:3] or ''}"
        )
        warm, later = [this.batch(None)], []
        while len(warm) < WARM_BATCHES:
            warm.append(this.batch(warm[0]))
        say(f"warm: {warm[-1]}")
        items = 0
        began_s = time.monotonic()
        while items < plays and len(tally.wrong) <= TOLERATED:
            before = len(this.given)
            later.append(this.batch(warm[-1]))
            items += len({wish.item for wish in this.given[before:]} - {None})
            say(f"{items} items: {later[-1]}{'; ' if tally.wrong else ''}{tally.wrong[-1:] or ''}")
        took_s = time.monotonic() - began_s
        tally.take(1.0)  # a second outcome or record would come at once
        found = Findings(f"plays: {items} items in {took_s:.0f} s after the warm-up, seed {seed}")
        warnings = [line for _, line in node.log[ready:] if " WARNING " in line and not any(map(line.count, EXPECTED))]
    found.expect(items >= plays, f"items: {items} (at least {plays})")
    _count(found, this.given, tally)
    found.tell(f"underruns of the card: {tally.underruns}; other warnings: {len(warnings)}{warnings[:3] or ''}")
    found.expect_flat(warm, later)
    return found


def _count(found: Findings, given: list[Wish], tally: Tally) -> None:
    items = {wish.item for wish in given} - {None}
    jtis = {wish.jti for wish in given if wish.outcome is not None}
    unanswerable = {wish.jti for wish in given if wish.outcome is None}
    for what, wanted, counted in (("records", items, tally.records), ("outcomes", jtis, tally.outcomes)):
        missing = sum(each not in counted for each in wanted)
        twice = sum(number > 1 for number in counted.values())
        found.expect(not missing and not twice, f"{what} of {len(wanted)}: {missing} missing, {twice} twice (none)")
    answered = sum(jti in tally.outcomes for jti in unanswerable)
    found.expect(not answered, f"forged orders answered: {answered} of {len(unanswerable)} (none)")
    found.expect(not tally.wrong, f"other than expected: {len(tally.wrong)} (none){tally.wrong[:3] or ''}")
