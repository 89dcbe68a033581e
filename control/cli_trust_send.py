"""`loactl trust send`: every signed version that a node lacks, in turn: one that was away takes 2, 3 and 4.

Which version a node has it says in its `state`: a hint, since the broker can write it. A false one costs a message that
the node refuses, or leaves a node behind, which its signed `status` shows; `--since` asks no hint.
"""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Annotated

import typer

from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome
from control import addresses
from control.cli_trust import FOLDER, history_of
from control.dispatch import Impostor, Session, answers
from control.options import CONNECTION, injecting, settings_of
from control.orders import Order
from control.plain import plain
from control.problems import EXIT_DONE, EXIT_FAILED, EXIT_REFUSED, InputError
from control.sending import complain, connection, enrolled, said
from control.settings import Settings
from control.sightings import StateSeen, seen
from control.trust_folder import History
from control.trust_signatures import Change

MAX_NODES = 5_000
"""Nodes served in one run: a hostile broker may invent more."""

MAX_NAMED = 8
"""Nodes named in one line."""

with_folder = injecting("settings", (FOLDER, *CONNECTION), settings_of)
"""A command with the folder of versions and a connection: gets `settings`."""


@dataclass
class Delivery:
    """One run. Owner: the main thread."""

    session: Session
    known: Mapping[str, str]
    wait_s: float
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)

    def send(self, change: Change, audience: tuple[str, ...]) -> None:
        """One version to these addresses, and what they answer. Who refuses is sent nothing more."""
        whom = ", ".join(audience) if len(audience) <= MAX_NAMED else f"{len(audience)} nodes / cụm loa"
        print(f"version / bản {change.document.version} -> {whom}")
        claims = change.claims
        order = Order(change.data, addresses.topics(audience), audience, claims.iss, claims.jti)
        for topic in self.session.send(order):
            complain(f"nobody listens on {topic}")
        silent = set(addresses.named_nodes(audience))
        for answer in answers(order, self.session, self.known, self.wait_s):
            if isinstance(answer, Impostor):
                complain(f"{answer.node}: a report that is not to be believed: {plain(answer.detail)}")
                continue
            print(said(answer))
            refused = answer.outcome.outcome == "refused" and not has_it(answer.outcome, change.document.version)
            (self.refused if refused else self.accepted).add(answer.node)
            silent.discard(answer.node)
        for node in sorted(silent):
            complain(f"{node}: no answer to version {change.document.version} within {self.wait_s:g} s")
        self.silent |= silent

    def exit_code(self) -> int:
        """0 if all that were asked have accepted."""
        if self.refused:
            return EXIT_REFUSED
        return EXIT_DONE if self.accepted and not self.silent else EXIT_FAILED


def has_it(outcome: CommandOutcome, version: int) -> bool:
    """Whether the node refuses because it has this version or a later one: `stale_version` tells which (protocol 4)."""
    if outcome.reason is not Reason.STALE_VERSION or not isinstance(outcome.detail, str):
        return False
    in_force = re.search(r"\b(\d{1,15}) is in force", outcome.detail)
    return in_force is not None and int(in_force[1]) >= version


@with_folder
def send(
    *,
    to: Annotated[
        list[str] | None, typer.Option(help="node:SITE/NODE (repeatable; default: every node of the site).")
    ] = None,
    since: Annotated[
        int | None, typer.Option(min=1, help="Send all that follows this version, whatever nodes say they have.")
    ] = None,
    look: Annotated[float, typer.Option(min=1, max=600, help="Seconds to hear which version nodes have.")] = 5.0,
    wait: Annotated[float, typer.Option(min=1, max=600, help="Seconds to wait for outcomes of each version.")] = 20.0,
    settings: Settings,
) -> None:
    """Send nodes the signed versions they lack, one after another. / Gửi cho loa các bản còn thiếu, lần lượt."""
    history = history_of(settings)
    settings = settings.overruled(site=history.last.site)
    nodes = _nodes(to, history)
    _require_versions(history, since)
    with closing(connection(settings)) as session:
        session.open()
        session.listen((history.last.site,), "state", "report")
        delivery = Delivery(session, enrolled(settings), wait)
        if since is not None:
            _send_since(since, nodes, history, delivery)
            raise typer.Exit(delivery.exit_code())
        raise typer.Exit(_send_missing(_versions(session, nodes, look), nodes, history, delivery))


def _nodes(to: list[str] | None, history: History) -> frozenset[str]:
    """The `SITE/NODE` that were named; none means all."""
    audience = addresses.require_audience(to) if to else ()
    nodes = addresses.named_nodes(audience)
    if len(nodes) != len(audience) or any(site != history.last.site for site in addresses.sites(audience)):
        raise InputError(
            f"trust is sent to single nodes of its site: --to node:{history.last.site}/NODE, or no --to at all"
        )
    return nodes


def _require_versions(history: History, since: int | None) -> None:
    first, last = history.documents[0].version, history.last.version
    if not history.changes:
        raise InputError(f"there is only version {first}, which reaches nodes by hand, as trust.yaml")
    if since is not None and not first <= since < last:
        raise InputError(f"--since {since}: this folder holds what follows versions {first} to {last - 1}")


def _send_since(since: int, nodes: frozenset[str], history: History, delivery: Delivery) -> None:
    for change in _after(since, history):
        left = tuple(f"node:{node}" for node in sorted(nodes - delivery.refused))
        if left or not nodes:
            delivery.send(change, left or (f"site:{history.last.site}",))


def _send_missing(has: Mapping[str, int], nodes: frozenset[str], history: History, delivery: Delivery) -> int:
    """Each version to those that lack it, lowest first."""
    last, first = history.last.version, history.documents[0].version
    strange = {node for node, version in has.items() if not first <= version <= last}
    unseen = nodes - has.keys()
    for node in sorted(unseen):
        complain(f"{node}: was not heard to say which version it has: try --since")
    for node in sorted(strange):
        complain(f"{node}: has version {has[node]}, and this folder holds {first} to {last}")
    behind = {node: version for node, version in has.items() if first <= version < last}
    for change in history.changes:
        lacking = sorted(node for node, version in behind.items() if version < change.document.version)
        if left := tuple(f"node:{node}" for node in lacking if node not in delivery.refused):
            delivery.send(change, left)
    if behind and (code := delivery.exit_code()):
        return code
    if not behind and has:
        print(f"nodes that have version / loa đã có bản {last}: {len(has) - len(strange)}")
    if not has and not nodes:
        complain("no node was heard: try --since, or a longer --look")
    return EXIT_FAILED if unseen or strange or not has else EXIT_DONE


def _after(version: int, history: History) -> list[Change]:
    return [change for change in history.changes if change.document.version > version]


def _versions(session: Session, nodes: frozenset[str], seconds: float) -> dict[str, int]:
    """Which version each node says it has; those that were named, or all of the site."""
    has: dict[str, int] = {}
    for message in session.received(seconds):
        match seen(message.topic, message.payload, {}):
            case StateSeen(node, state) if isinstance(state.trust_version, int) and len(has) < MAX_NODES:
                if not nodes or node in nodes:
                    has[node] = state.trust_version
        if nodes and nodes <= has.keys():
            break
    return has
