"""The watch: messages into the fleet, the fleet onto the screen. Owner: the main thread.

A report is acknowledged after it was folded and, as a line, written: the session is persistent, so what was not shown
comes again at the next watch.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty

from agent.messages.codec import encode
from control.broker import Broker, Connected, Disconnected, Inbox, Received, Subscribed
from control.fleet import Fleet, Node, fold
from control.problems import WorldError
from control.sightings import HeartbeatSeen, ReportSeen, Sighting, StateSeen, Unreadable, seen
from control.table import beat_age_s, trouble

SESSION_S = 7 * 24 * 3_600
"""As long as the nodes' own: a watch that was away for a week misses no report."""

REDRAW_S = 1.0
DRAW_SHARE = 20
"""A redraw that takes t is followed by 20 t without one: with 50,000 nodes the screen still takes 5 % of a core."""

SUBSCRIBE_TIMEOUT_S = 15.0
"""Patience with a broker that answers neither CONNECT nor SUBSCRIBE, where an end was asked for."""

FIGHT_S = 10.0
FIGHT_LOSSES = 3
"""So many connections in a row that end so soon: two watches take one session from each other, and each sees half of
the reports. Not every broker says so (mosquitto 2.0.11 closes the old one without a word)."""

BATCH = 500
"""Messages between two looks at the clock: a flood must not freeze the screen."""


@dataclass
class Watch:
    """The state of one watch."""

    broker: Broker
    inbox: Inbox
    sites: tuple[str, ...]
    fleet: Fleet
    line: str = "connecting"
    heard_since: float | None = None
    connected_at: float = -math.inf
    lost_soon: int = 0

    def run(self, *, seconds: float | None, told: Callable[[Sighting], None], drawn: Callable[["Watch"], None]) -> None:
        """Until `seconds` after the nodes can be heard (None: for ever).

        `told` hears every sighting, `drawn` is called once a second, less often where it is slow.

        Raises:
            WorldError: the broker refuses us, or another watch took our place.
        """
        self.broker.open()
        opened = time.monotonic()
        pause = self._draw(drawn)
        while (left := self._left(seconds, opened)) > 0:
            self._take(time.monotonic() + min(left, pause), told)
            pause = self._draw(drawn)
        if self.heard_since is None:
            raise WorldError(f"the broker did not let us hear the nodes within {SUBSCRIBE_TIMEOUT_S:.0f} s")

    def _draw(self, drawn: Callable[["Watch"], None]) -> float:
        """Seconds until the next time."""
        began = time.monotonic()
        drawn(self)
        return max(REDRAW_S, DRAW_SHARE * (time.monotonic() - began))

    def _left(self, seconds: float | None, opened: float) -> float:
        if seconds is None:
            return math.inf
        end = opened + SUBSCRIBE_TIMEOUT_S if self.heard_since is None else self.heard_since + seconds
        return end - time.monotonic()

    def _take(self, until: float, told: Callable[[Sighting], None]) -> None:
        while (left := until - time.monotonic()) > 0:
            try:
                self._turn(self.inbox.get(timeout=left), told)
                for _ in range(BATCH):
                    self._turn(self.inbox.get_nowait(), told)
            except Empty:
                continue

    def _turn(self, news: object, told: Callable[[Sighting], None]) -> None:
        match news:
            case Received(topic=topic, payload=payload, packet=packet):
                self._received(topic, payload, told)
                self.broker.acknowledge(packet)
            case Connected(resumed=resumed):
                self.connected_at = time.monotonic()
                self.line = "connected, session resumed" if resumed else "connected, new session"
                self.broker.subscribe([entry for site in self.sites for entry in _filters(site)])
            case Subscribed(refused=refused):
                if refused:
                    raise WorldError(f"the broker lets us not hear the nodes: {refused}")
                self.heard_since = self.heard_since or time.monotonic()
            case Disconnected(detail=detail, final=final):
                if final:
                    raise WorldError(detail)
                self._lost(detail)

    def _lost(self, detail: str) -> None:
        soon = time.monotonic() - self.connected_at < FIGHT_S
        self.lost_soon = self.lost_soon + 1 if soon else 0
        if self.lost_soon >= FIGHT_LOSSES:
            raise WorldError(
                f"the connection ended {FIGHT_LOSSES} times within {FIGHT_S:.0f} s of its beginning ({detail}): "
                "probably another loactl uses this session, choose another --as"
            )
        self.line = f"connection lost ({detail}), trying again"

    def _received(self, topic: str, payload: bytes, told: Callable[[Sighting], None]) -> None:
        sighting = seen(topic, payload, self.fleet.enrolled)
        if sighting is not None:
            self.fleet = fold(self.fleet, sighting, time.monotonic())
            told(sighting)


def _filters(site: str) -> tuple[tuple[str, int], ...]:
    nodes = f"loa/v1/{site}/node/+"
    return (f"{nodes}/report", 1), (f"{nodes}/state", 1), (f"{nodes}/heartbeat", 0)


def sighting_line(sighting: Sighting) -> str:
    """One sighting as a line of JSON."""
    members: dict[str, object] = {"node": sighting.node}
    match sighting:
        case StateSeen(state=state):
            members |= {"what": "state", "state": json.loads(encode(state))}
        case HeartbeatSeen(heartbeat=heartbeat):
            members |= {"what": "heartbeat", "heartbeat": json.loads(encode(heartbeat))}
        case ReportSeen(proof=proof, claims=claims):
            members |= {"what": "report", "proof": proof, "claims": json.loads(encode(claims))}
        case Unreadable():
            members |= {"what": "unreadable", "of": sighting.what, "proof": sighting.proof, "detail": sighting.detail}
    return json.dumps(members)


def node_line(node: Node, now: float) -> str:
    """One node of the table as a line of JSON."""
    return json.dumps(
        {
            "node": node.name,
            "key": node.key,
            "online": node.online,
            "clock_trusted": node.clock,
            "amp": node.amp or None,
            "playing": node.playing,
            "waiting": node.waiting,
            "volume": node.volume,
            "muted": node.muted,
            "outbox": node.outbox,
            "last_report": node.last_report or None,
            "last_report_proof": node.last_proof,
            "reports_lost": node.ledger.lost,
            "heartbeat_age_s": beat_age_s(node, now),
            "look_at": list(trouble(node, now)),
        }
    )
