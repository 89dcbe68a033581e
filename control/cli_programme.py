"""`loactl order | prefetch`: the order of what waits, and files brought before they are needed."""

from typing import Annotated

import typer

from control import orders
from control.cli_orders import measured
from control.sending import Sender, sends, sends_lasting, wall_s
from control.sources import of_files


@sends
def order(
    items: Annotated[list[str], typer.Argument(help="Waiting priority items, the first to sound first.")],
    *,
    sender: Sender,
) -> None:
    """Put the waiting priority items into this order; those not named come after them, as they were."""
    sender.send(orders.command("order", items=items), now=wall_s())


@sends_lasting
def prefetch(
    files: Annotated[list[str], typer.Argument(help="Local files (each with --uri), or their http(s) addresses.")],
    *,
    uri: Annotated[list[str] | None, typer.Option(help="Where nodes fetch a local file from.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Keep them, whatever else wants their place.")] = False,
    sender: Sender,
) -> None:
    """Let nodes fetch files at leisure, so that a later play begins on its instant everywhere."""
    sources = of_files(files, uri or (), measured)
    sender.send(orders.command("prefetch", sources=sources, pin=pin or None), now=wall_s())
