"""Answering the nonces of nodes that lack the time: one round of `loactl time` (protocol section 6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agent.messages.commands import AnyCommand
from agent.messages.reasons import Reason
from agent.messages.reports import ClockSeen, CommandOutcome
from control import orders
from control.broker import Received
from control.dispatch import Answer, Session
from control.keys import SigningKey
from control.problems import WorldError
from control.sending import authority, said, signing_key, wall_s
from control.settings import Settings
from control.sightings import HeartbeatSeen, Proof, ReportSeen, Sighting, StateSeen, seen

LIFETIME_S = 120
"""Twice the age a nonce may reach: a `time` that comes later is worth nothing."""

MAX_NODES = 5_000
"""Nodes, and nonces, answered in one round: a hostile broker may invent more."""

NOBODYS_NONCE = "0" * 32
"""No node has said it: a `time` that answers it is refused, and the node says a nonce. Whose clock is wrong takes no
other order of a sender whose clock is right."""

NOT_SYNCHRONISED = (
    "no time server has set this machine's clock lately (timedatectl says more): nobody is told the time until one "
    "has; --trust-this-clock vouches for it"
)


@dataclass(frozen=True, slots=True)
class Need:
    """A node without a clock: `nonce` is empty where it is not known to be fresh.

    `said_now` if it is the node's `state` of this moment: then it lacks the time whatever it said before.
    """

    node: str
    nonce: str
    said_now: bool = False


def need_in(sighting: Sighting | None, *, retained: bool, sure: bool = False) -> Need | None:
    """Whether what was seen asks for the time. A retained nonce may be older than the minute in which it counts.

    With `sure` also of a node that believes to know it: the roots correct what a time server, or a key, has said.
    """
    match sighting:
        case StateSeen(node, state) if sure and state.online:
            return Need(node, state.nonce if isinstance(state.nonce, str) and not retained else "", not retained)
        case StateSeen(node, state) if state.online and isinstance(state.clock, ClockSeen) and not state.clock.trusted:
            return Need(node, state.nonce if isinstance(state.nonce, str) and not retained else "", not retained)
        case HeartbeatSeen(node, heartbeat) if not heartbeat.clock:
            return Need(node, heartbeat.nonce if isinstance(heartbeat.nonce, str) and not retained else "")
    return None


@dataclass
class Clockmaker:
    """One round of answering. Owner: the main thread."""

    session: Session
    settings: Settings
    known: Mapping[str, str]
    nodes: frozenset[str]
    besides: tuple[SigningKey, ...] = ()
    """Keys that sign besides."""
    sure: bool = False
    """Whether also nodes are told that believe to know the time: they obey the roots."""
    believes_clock: Callable[[], bool] = lambda: True
    """Whether this machine's clock is to be believed at this moment: asked before each `time`."""
    asked: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    """`jti` of each `time` sent, to its node."""
    knocked: set[str] = field(default_factory=set)
    """`jti` of those that were sent to have a nonce said."""
    sent_before: Mapping[str, str] = field(default_factory=dict)
    """The same of the round before: outcomes may be late."""
    nonces: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        """Answer whoever asks, until time is up or all nodes that were named have accepted."""
        if self.sure:
            for node in sorted(self.nodes):
                self._knock(node)
        for message in self.session.received(seconds):
            self._take(message)
            if self.nodes and self.nodes <= self.accepted:
                return

    def listen(self, seconds: float) -> None:
        """Answer whoever asks, until time is up."""
        for message in self.session.received(seconds):
            self._take(message)

    def _take(self, message: Received) -> None:
        sighting = seen(message.topic, message.payload, self.known)
        if (need := need_in(sighting, retained=message.retained, sure=self.sure)) is not None:
            self._answer(need)
        elif isinstance(sighting, ReportSeen):
            self._note(sighting)

    def _answer(self, need: Need) -> None:
        if (self.nodes and need.node not in self.nodes) or len(self.nonces) >= MAX_NODES:
            return
        if need.node not in self.asked and len(self.asked) >= MAX_NODES:
            return
        if need.said_now:  # after its next power cut it asks again
            self.accepted.discard(need.node)
        elif need.node in self.accepted:
            return
        if need.nonce and need.nonce not in self.nonces:
            require(self.believes_clock)
            self.nonces.add(need.nonce)
            self.asked.add(need.node)
            self.sent[self._send(need.node, "time", nonce=need.nonce)] = need.node
            told = datetime.fromtimestamp(wall_s(), UTC)
            print(f"{need.node}  told {told:%Y-%m-%d %H:%M:%S} UTC", flush=True)
        elif not need.nonce and need.node not in self.asked:
            self.asked.add(need.node)
            self._send(need.node, "report_now")

    def _knock(self, node: str) -> None:
        self.asked.add(node)
        jti = self._send(node, "time", nonce=NOBODYS_NONCE)
        self.sent[jti] = node
        self.knocked.add(jti)

    def _send(self, node: str, type: str, **members: object) -> str:
        word: AnyCommand = orders.command(type, **members)
        order = orders.order(
            word,
            iss=authority(self.settings),
            audience=(f"node:{node}",),
            signers=(signing_key(self.settings), *self.besides),
            iat=wall_s(),
            lifetime_s=LIFETIME_S,
        )
        self.session.send(order)
        return order.jti

    def _note(self, report: ReportSeen) -> None:
        outcome = report.claims.report
        if not isinstance(outcome, CommandOutcome):
            return
        if outcome.jti in self.knocked and outcome.reason is Reason.BAD_NONCE:
            return
        if self.sent.get(outcome.jti, self.sent_before.get(outcome.jti)) == report.node:
            print(said(Answer(report.node, report.proof is Proof.VERIFIED, outcome)), flush=True)
            (self.accepted if outcome.outcome == "accepted" else self.refused).add(report.node)


def require(believes_clock: Callable[[], bool]) -> None:
    """Go on only while this machine's clock is to be believed.

    Raises:
        WorldError: it is not.
    """
    if not believes_clock():
        raise WorldError(NOT_SYNCHRONISED)
