"""`loactl time`: evidence of the time for nodes that have none, by answering their nonces (protocol section 6)."""

import signal
import time as clock
from collections.abc import Callable, Mapping
from contextlib import closing
from types import FrameType
from typing import Annotated, NoReturn

import typer

from control import addresses
from control.clockmaker import Clockmaker, require
from control.kernel_clock import is_synchronised
from control.problems import EXIT_FAILED, EXIT_REFUSED, InputError, WorldError
from control.sending import authority, co_signer, complain, connection, enrolled, signing_key, with_key
from control.settings import Settings

ROUND_S = 70.0
"""A round of serving: a heartbeat, and with it a nonce, comes each 60. What one round remembers the next forgets."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between two attempts to reach a broker that is away, the pause doubles."""


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
        print(f"listening for nodes that lack the time / nghe cụm loa chưa biết giờ: {wait:g} s", flush=True)
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
                require(believes_clock)
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
