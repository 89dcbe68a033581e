"""`loactl watch`: the fleet as it is, on the screen or as lines."""

import signal
import sys
import time
from contextlib import closing
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.live import Live

from control.addresses import require_name
from control.broker import Broker, Inbox
from control.fleet import Fleet
from control.options import session_name, with_settings
from control.problems import InputError
from control.sending import enrolled
from control.settings import Settings, endpoint
from control.table import FRAME_ROWS, WIDE, rendered
from control.watching import SESSION_S, Watch, node_line, sighting_line


@with_settings
def watch(
    *,
    once: Annotated[float | None, typer.Option(min=0.1, help="Listen this many seconds, print once, end.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Lines of JSON instead of the table.")] = False,
    name: Annotated[str, typer.Option("--as", help="Name of the session that the broker keeps for a week.")] = "",
    settings: Settings,
) -> None:
    """Show all nodes of the site, live. Ctrl-C ends."""
    if not settings.site:
        raise InputError("no site: give --site SITE, or write `site:` into the configuration file")
    site = require_name(settings.site, "site")
    inbox = Inbox()
    place = endpoint(settings)
    broker = Broker(
        host=place.host,
        port=place.port,
        tls=place.tls,
        ca=settings.ca,
        certificate=settings.certificate,
        key=settings.key,
        client_id=f"loactl-{'watch' if once is None else 'once'}-{site}-{session_name(name)}",
        session_s=SESSION_S,
        inbox=inbox,
    )
    before = signal.signal(signal.SIGTERM, _end)
    try:
        with closing(broker):
            _show(Watch(broker, inbox, (site,), Fleet(enrolled(settings))), once, json)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _show(watch: Watch, once: float | None, json: bool) -> None:
    try:
        if once is not None:
            watch.run(seconds=once, told=_nothing, drawn=_nothing)
            _print_once(watch, json)
        elif json:
            watch.run(seconds=None, told=lambda sighting: print(sighting_line(sighting), flush=True), drawn=_nothing)
        else:
            with Live(console=Console(), auto_refresh=False, screen=True) as live:
                watch.run(seconds=None, told=_nothing, drawn=lambda now: _draw(now, live))
    except KeyboardInterrupt:
        pass


def _print_once(watch: Watch, json: bool) -> None:
    now = time.monotonic()
    if json:
        for node in sorted(watch.fleet, key=lambda node: node.name):
            print(node_line(node, now))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=WIDE)  # a pipe has no width of its own
        wall = time.time()
        console.print(rendered(watch.fleet, now, wall=wall, rows=None, line=watch.line, width=console.width))


def _draw(watch: Watch, live: Live) -> None:
    width, height = live.console.size
    now, rows = time.monotonic(), height - FRAME_ROWS
    table = rendered(watch.fleet, now, wall=time.time(), rows=rows, line=watch.line, width=width)
    live.update(table, refresh=True)


def _nothing(_: object) -> None:
    return
