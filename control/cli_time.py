"""`loactl time`: evidence of the time for nodes that have none, by answering their nonces (protocol section 6)."""

import signal
import time as clock
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated, NoReturn

import typer

from agent.messages.commands import AnyCommand
from agent.messages.reports import ClockSeen, CommandOutcome
from control import addresses, orders
from control.broker import Received
from control.dispatch import Answer, Session
from control.kernel_clock import is_synchronised
from control.keys import SigningKey
from control.problems import EXIT_FAILED, EXIT_REFUSED, InputError, WorldError
from control.sending import authority, co_signer, complain, connection, enrolled, said, signing_key, wall_s, with_key
from control.settings import Settings
from control.sightings import HeartbeatSeen, Proof, ReportSeen, Sighting, StateSeen, seen

LIFETIME_S = 120
"""Twice the age a nonce may reach: a `time` that comes later is worth nothing."""

MAX_NODES = 5_000
"""Nodes, and nonces, answered in one round: a hostile broker may invent more."""

ROUND_S = 70.0
"""A round of serving: a heartbeat, and with it a nonce, comes each 60. What one round remembers the next forgets."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two attempts to reach a broker that is away, the pause doubles."""


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
    sent_before: Mapping[str, str] = field(default_factory=dict)
    """The same of the round before: outcomes may be late."""
    nonces: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def run(self, seconds: float) -> None:
        """Answer whoever asks, until time is up or all nodes that were named have accepted."""
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
            _require(self.believes_clock)
            self.nonces.add(need.nonce)
            self.asked.add(need.node)
            self.sent[self._send(need.node, "time", nonce=need.nonce)] = need.node
            told = datetime.fromtimestamp(wall_s(), UTC)
            print(f"{need.node}  told {told:%Y-%m-%d %H:%M:%S} UTC", flush=True)
        elif not need.nonce and need.node not in self.asked:
            self.asked.add(need.node)
            self._send(need.node, "report_now")

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
        if self.sent.get(outcome.jti, self.sent_before.get(outcome.jti)) == report.node:
            print(said(Answer(report.node, report.proof is Proof.VERIFIED, outcome)), flush=True)
            (self.accepted if outcome.outcome == "accepted" else self.refused).add(report.node)


def _require(believes_clock: Callable[[], bool]) -> None:
    if not believes_clock():
        raise WorldError(NOT_SYNCHRONISED)


@with_key
def time(
    *,
    to: Annotated[
        list[str] | None, typer.Option(help="node:SITE/NODE (repeatable; default: every node of the site).")
    ] = None,
    wait: Annotated[float, typer.Option(min=1, max=3_600, help="Seconds to listen: a heartbeat comes each 60.")] = 70.0,
    serve: Annotated[bool, typer.Option("--serve", help="Go on answering, whoever asks, until told to stop.")] = False,
    trust_this_clock: Annotated[
        bool, typer.Option("--trust-this-clock", help="With --serve: also where no time server has set this clock.")
    ] = False,
    correct: Annotated[
        bool,
        typer.Option("--correct", help="Also nodes that believe a wrong time: signed by the roots, with --to."),
    ] = False,
    also_sign: Annotated[list[str] | None, typer.Option(help="KID=FILE, one more signature (repeatable).")] = None,
    settings: Settings,
) -> None:
    """Tell nodes whose clock has no evidence what the time is. This machine's clock must be right."""
    if correct and (serve or not to):
        raise InputError("--correct is for single nodes, once: --to node:SITE/NODE, and no --serve")
    if serve and also_sign:
        raise InputError("--serve signs alone: leave out --also-sign")
    audience = addresses.require_audience(to) if to else (f"site:{_site(settings)}",)
    nodes = addresses.named_nodes(audience)
    if to and len(nodes) != len(audience):
        raise InputError("time is told to single nodes, each by its own nonce: --to node:SITE/NODE, or no --to at all")
    if trust_this_clock and not serve:
        raise InputError("--trust-this-clock goes with --serve: whoever tells the time once has looked at the clock")
    signing_key(settings)
    authority(settings)
    known, sites = enrolled(settings), addresses.sites(audience)
    if serve:
        _serve_until_told(settings, known, nodes, sites, (lambda: True) if trust_this_clock else is_synchronised)
        return
    with closing(connection(settings)) as session:
        session.open()
        session.listen(sites, "state", "heartbeat", "report")
        clockmaker = Clockmaker(session, settings, known, nodes, tuple(map(co_signer, also_sign or ())), correct)
        clockmaker.run(wait)
    raise typer.Exit(_exit_code(clockmaker))


def _serve_until_told(
    settings: Settings,
    known: Mapping[str, str],
    nodes: frozenset[str],
    sites: tuple[str, ...],
    believes_clock: Callable[[], bool],
) -> None:
    """Answer until Ctrl-C or SIGTERM; a broker that is away, or a time server, is waited for again and again."""
    before = signal.signal(signal.SIGTERM, _end)
    pause_s = FIRST_PAUSE_S
    try:
        while True:
            began_s = clock.monotonic()
            try:
                _require(believes_clock)
                _serve(settings, known, nodes, sites, believes_clock)
            except WorldError as error:
                if clock.monotonic() - began_s > LONGEST_PAUSE_S:
                    pause_s = FIRST_PAUSE_S
                complain(f"{error}; again in {pause_s:.0f} s")
                clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _serve(
    settings: Settings,
    known: Mapping[str, str],
    nodes: frozenset[str],
    sites: tuple[str, ...],
    believes_clock: Callable[[], bool],
) -> NoReturn:
    """Rounds without end on one connection.

    Raises:
        WorldError: it is lost, or does not come about, or this machine's clock is believed no longer.
    """
    with closing(connection(settings)) as session:
        session.open()
        session.listen(sites, "state", "heartbeat", "report")
        print(f"answering whoever asks for the time in {', '.join(sites)}", flush=True)
        sent_before: Mapping[str, str] = {}
        while True:
            clockmaker = Clockmaker(
                session, settings, known, nodes, sent_before=sent_before, believes_clock=believes_clock
            )
            clockmaker.listen(ROUND_S)
            sent_before = clockmaker.sent


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


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
