"""One order from the command line to the nodes: sign, publish, wait for outcomes, say so, exit accordingly."""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.messages.commands import Play
from agent.messages.reasons import Reason
from control import addresses, keys, orders
from control.broker import Broker, Inbox
from control.dispatch import Answer, Impostor, Session, answers
from control.instants import span_s
from control.keys import SigningKey
from control.options import CONNECTION, SIGNING, Command, flag, injecting, settings_of
from control.orders import Order
from control.plain import plain
from control.problems import EXIT_FAILED, EXIT_REFUSED, InputError
from control.settings import Settings, endpoint

SENDING = (
    flag(
        "to", Annotated[list[str], typer.Option(help="node:SITE/NODE, group:SITE/GROUP, site:SITE (repeatable).")], ()
    ),
    flag("expires", Annotated[str, typer.Option(help="How long nodes may accept the order.")], "10m"),
    flag("wait", Annotated[float, typer.Option(min=0, max=3_600, help="Seconds to wait for outcomes; 0: none.")], 0.0),
    flag("jti", Annotated[str, typer.Option(help="The order's own number (default: random).")], ""),
    flag("also_sign", Annotated[list[str], typer.Option(help="KID=FILE, one more signature (repeatable).")], ()),
)

OUTCOMES_WAIT_S = 20.0
"""How long outcomes are waited for where a command does so without being told."""

STALE = (
    "phiên bản cũ: bỏ dòng `version:` rồi gửi lại · stale_version: this authority has sent a newer one already; "
    "leave `version:` out, and send again"
)


@dataclass(frozen=True, slots=True)
class Sender:
    """How an order is signed, whom it is for, and how long we wait."""

    settings: Settings
    to: tuple[str, ...]
    lifetime_s: int
    wait_s: float
    jti: str
    also_sign: tuple[str, ...]

    def send(self, word: orders.Word, *, now: int) -> None:
        """Sign and publish; with `--wait` say what each node answers.

        Raises:
            InputError, WorldError: one sentence; nothing was sent after the first.
            typer.Exit: 3 if a node refused, 1 if none, or not every one named, answered.
        """
        order = self.order(word, now=now)
        if isinstance(word, Play):
            print(f"item: {word.item}")
        print(f"jti: {order.jti}")
        with closing(connection(self.settings)) as session:
            session.open()
            if self.wait_s:
                session.listen(addresses.sites(order.audience), "report")
            deaf = session.send(order)
            for topic in deaf:
                complain(f"nobody listens on {topic}")
            if len(deaf) == len(order.topics):
                raise typer.Exit(EXIT_FAILED)
            if self.wait_s:
                raise typer.Exit(_outcomes(order, session, self.settings, self.wait_s))

    def order(self, word: orders.Word, *, now: int) -> Order:
        """The signed order.

        Raises:
            InputError: key, authority, addresses or words are not right.
        """
        return orders.order(
            word,
            iss=authority(self.settings),
            audience=self.to,
            signers=(signing_key(self.settings), *map(co_signer, self.also_sign)),
            iat=now,
            lifetime_s=self.lifetime_s,
            jti=self.jti or None,
        )


def sender_of(
    *, to: Sequence[str], expires: str, wait: float, jti: str, also_sign: Sequence[str], **flags: object
) -> Sender:
    """The sender that the flags describe.

    Raises:
        InputError: one sentence.
    """
    settings = settings_of(**flags)  # type: ignore[arg-type]
    lifetime_s = span_s(expires, "--expires")
    return Sender(settings, addresses.require_audience(to), lifetime_s, wait, jti, tuple(also_sign))


def _sends(**defaults: object) -> Callable[[Command], Command]:
    flags = (one.replace(default=defaults.get(one.name, one.default)) for one in SENDING)
    return injecting("sender", (*flags, *SIGNING, *CONNECTION), sender_of)


sends = _sends()
"""A command that sends an order: gets `sender`."""

sends_and_waits = _sends(wait=OUTCOMES_WAIT_S)
"""The same where the outcome is what one asks for."""

sends_lasting = _sends(expires="7d", wait=OUTCOMES_WAIT_S)
"""For what nodes that are away now shall find when they come back (schedules, policies, files): a broker keeps their
session for a week. Outcomes are waited for."""

with_key = injecting("settings", (*SIGNING, *CONNECTION), settings_of)
"""A command that signs in its own way: gets `settings`."""


def signing_key(settings: Settings) -> SigningKey:
    """The key that signs.

    Raises:
        InputError: none given, others may read it, or none of ours.
    """
    if settings.signing_key is None:
        raise InputError("no key to sign with: give --signing-key FILE, or write `signing_key:` into the configuration")
    return keys.load(settings.signing_key, settings.kid or settings.signing_key.stem)


def authority(settings: Settings) -> str:
    """The authority in whose name we order.

    Raises:
        InputError: none given.
    """
    if not settings.authority:
        raise InputError(
            "no authority: give --authority TEXT as trust.yaml names it, or write `authority:` into the file"
        )
    return settings.authority


def connection(settings: Settings) -> Session:
    """A session that the broker forgets at its end."""
    inbox = Inbox()
    place = endpoint(settings)
    broker = Broker(
        host=place.host,
        port=place.port,
        tls=place.tls,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
        client_id=f"loactl-{secrets.token_hex(8)}",
        session_s=0,
        inbox=inbox,
    )
    return Session(broker, inbox)


def enrolled(settings: Settings) -> dict[str, str]:
    """`SITE/NODE` to public key, for the nodes of the settings' site."""
    if settings.nodes and not settings.site:
        raise InputError("keys of nodes are given, but not their site: give --site SITE")
    return {f"{settings.site}/{name}": public for name, public in settings.nodes.items()}


def complain(text: str) -> None:
    """One line on standard error."""
    typer.echo(f"loactl: {text}", err=True)


def said(answer: Answer) -> str:
    """One outcome as a line."""
    outcome = answer.outcome
    why = f": {outcome.reason}" if outcome.reason else ""
    detail = f" ({plain(outcome.detail)})" if isinstance(outcome.detail, str) else ""
    return (
        f"{answer.node}  {outcome.outcome}{why}{detail}{'' if answer.verified else '  [unverified: key not enrolled]'}"
    )


def _outcomes(order: Order, session: Session, settings: Settings, seconds: float) -> int:
    missing = set(addresses.named_nodes(order.audience))
    refused = answered = stale = False
    for answer in answers(order, session, enrolled(settings), seconds):
        if isinstance(answer, Impostor):
            complain(f"{answer.node}: a report that is not to be believed: {plain(answer.detail)}")
            continue
        print(said(answer))
        answered = True
        refused = refused or answer.outcome.outcome == "refused"
        stale = stale or answer.outcome.reason is Reason.STALE_VERSION
        missing.discard(answer.node)
    if stale:
        complain(STALE)
    for node in sorted(missing):
        complain(f"{node}: no answer within {seconds:g} s")
    if not answered and not missing:
        complain(f"no node answered within {seconds:g} s")
    if refused:
        return EXIT_REFUSED
    return 0 if answered and not missing else EXIT_FAILED


def co_signer(text: str) -> SigningKey:
    """The key of one `--also-sign KID=FILE`.

    Raises:
        InputError: it is not written so, or the file holds no key of ours.
    """
    kid, equals, path = text.partition("=")
    if not equals:
        raise InputError(f"--also-sign {text!r}: write KID=FILE")
    return keys.load(Path(path), kid)


def wall_s() -> int:
    """Now, as this machine believes it: what `iat` will say."""
    return int(time.time())
