"""`loactl time`: evidence of the time for nodes that have none, by answering their nonces (protocol section 6)."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import typer

from agent.messages.commands import AnyCommand
from agent.messages.reports import ClockSeen, CommandOutcome
from control import addresses, orders
from control.dispatch import Answer, Session
from control.problems import EXIT_FAILED, EXIT_REFUSED, InputError
from control.sending import authority, complain, connection, enrolled, said, signing_key, wall_s, with_key
from control.settings import Settings
from control.sightings import HeartbeatSeen, Proof, ReportSeen, Sighting, StateSeen, seen

LIFETIME_S = 120
"""Twice the age a nonce may reach: a `time` that comes later is worth nothing."""

MAX_NODES = 5_000
"""Nodes answered in one run: a hostile broker may invent more."""


@dataclass(frozen=True, slots=True)
class Need:
    """A node without a clock: `nonce` is empty where it is not known to be fresh."""

    node: str
    nonce: str


def need_in(sighting: Sighting | None, *, retained: bool) -> Need | None:
    """Whether what was seen asks for the time. A retained nonce may be older than the minute in which it counts."""
    match sighting:
        case StateSeen(node, state) if state.online and isinstance(state.clock, ClockSeen) and not state.clock.trusted:
            return Need(node, state.nonce if isinstance(state.nonce, str) and not retained else "")
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
    asked: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    """`jti` of each `time` sent, to its node."""
    nonces: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        """Answer whoever asks, until time is up or all nodes that were named have accepted."""
        for message in self.session.received(seconds):
            sighting = seen(message.topic, message.payload, self.known)
            if (need := need_in(sighting, retained=message.retained)) is not None:
                self._answer(need)
            elif isinstance(sighting, ReportSeen):
                self._note(sighting)
            if self.nodes and self.nodes <= self.accepted:
                return

    def _answer(self, need: Need) -> None:
        if (self.nodes and need.node not in self.nodes) or len(self.asked) >= MAX_NODES or need.node in self.accepted:
            return
        if need.nonce and need.nonce not in self.nonces:
            self.nonces.add(need.nonce)
            self.asked.add(need.node)
            self.sent[self._send(need.node, "time", nonce=need.nonce)] = need.node
            print(f"{need.node}  told {datetime.fromtimestamp(wall_s(), UTC):%Y-%m-%d %H:%M:%S} UTC")
        elif not need.nonce and need.node not in self.asked:
            self.asked.add(need.node)
            self._send(need.node, "report_now")

    def _send(self, node: str, type: str, **members: object) -> str:
        word: AnyCommand = orders.command(type, **members)
        order = orders.order(
            word,
            iss=authority(self.settings),
            audience=(f"node:{node}",),
            signers=(signing_key(self.settings),),
            iat=wall_s(),
            lifetime_s=LIFETIME_S,
        )
        self.session.send(order)
        return order.jti

    def _note(self, report: ReportSeen) -> None:
        outcome = report.claims.report
        if isinstance(outcome, CommandOutcome) and self.sent.get(outcome.jti) == report.node:
            print(said(Answer(report.node, report.proof is Proof.VERIFIED, outcome)))
            (self.accepted if outcome.outcome == "accepted" else self.refused).add(report.node)


@with_key
def time(
    *,
    to: Annotated[
        list[str] | None, typer.Option(help="node:SITE/NODE (repeatable; default: every node of the site).")
    ] = None,
    wait: Annotated[float, typer.Option(min=1, max=3_600, help="Seconds to listen: a heartbeat comes each 60.")] = 70.0,
    settings: Settings,
) -> None:
    """Tell nodes whose clock has no evidence what the time is. This machine's clock must be right."""
    audience = addresses.require_audience(to) if to else (f"site:{_site(settings)}",)
    nodes = addresses.named_nodes(audience)
    if to and len(nodes) != len(audience):
        raise InputError("time is told to single nodes, each by its own nonce: --to node:SITE/NODE, or no --to at all")
    signing_key(settings)
    authority(settings)
    known = enrolled(settings)
    with closing(connection(settings)) as session:
        session.open()
        session.listen(addresses.sites(audience), "state", "heartbeat", "report")
        clockmaker = Clockmaker(session, settings, known, nodes)
        clockmaker.run(wait)
    raise typer.Exit(_exit_code(clockmaker))


def _exit_code(done: Clockmaker) -> int:
    if done.refused - done.accepted:
        return EXIT_REFUSED
    if not done.asked and not done.nodes:
        print("no node was seen that lacks the time")
        return 0
    silent = (done.nodes or done.asked) - done.accepted
    for node in sorted(silent):
        complain(f"{node}: " + ("no answer" if node in done.sent.values() else "no fresh nonce was seen"))
    return EXIT_FAILED if silent else 0


def _site(settings: Settings) -> str:
    if not settings.site:
        raise InputError("no site: give --site SITE or --to node:SITE/NODE")
    return addresses.require_name(settings.site, "site")
