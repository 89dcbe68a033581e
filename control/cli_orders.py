"""`loactl play | stop | volume | mute | report-now | self-test | restart`: one order each, by the same way."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from agent.messages.sources import BuiltinName
from agent.messages.words import Kind
from control import orders, recordings
from control.instants import instant_s, span_s
from control.problems import InputError
from control.sending import Sender, complain, sends, sends_and_waits, wall_s
from control.sources import in_order

ORDER_KEY = "loactl.order"

StartAt = Annotated[
    str,
    typer.Option(help="2026-05-01T05:00:00+07:00, +10m, or now (default: now for one node, +10s for several)."),
]


class OrderedCommand(TyperCommand):
    """Remembers in which order options were typed: sources are tried in that order."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note the options, then parse as ever."""
        _, _, typed = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[ORDER_KEY] = [parameter.name for parameter in typed]
        return super().parse_args(ctx, args)


@sends
def play(
    ctx: typer.Context,
    *,
    title: Annotated[str, typer.Option(help="What listeners and records call it.")],
    kind: Annotated[Kind, typer.Option(help="Kind of bulletin.")] = Kind.NORMAL,
    file: Annotated[list[str] | None, typer.Option(help="Local file (with --uri), or its http(s) address.")] = None,
    uri: Annotated[list[str] | None, typer.Option(help="Where nodes fetch the local --file from.")] = None,
    relay: Annotated[list[str] | None, typer.Option(help="A third party's stream.")] = None,
    builtin: Annotated[list[BuiltinName] | None, typer.Option(help="A sound that nodes make.")] = None,
    max_duration: Annotated[str, typer.Option(help="Longest sounding: 90s, 10m, 1h.")] = "10m",
    item: Annotated[str, typer.Option(help="The item's name (default: made from kind and time).")] = "",
    volume: Annotated[int | None, typer.Option(help="Percent.")] = None,
    start_at: StartAt = "",
    not_after: Annotated[str, typer.Option(help="Nothing of it sounds after this instant.")] = "",
    repeat: Annotated[int | None, typer.Option(help="Times it sounds, in all.")] = None,
    gap: Annotated[int, typer.Option(help="Seconds between repetitions.")] = 0,
    chime: Annotated[bool | None, typer.Option("--chime/--no-chime", help="Chime before it.")] = None,
    replaces: Annotated[list[str] | None, typer.Option(help="Item that it replaces (repeatable).")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="Zone (repeatable; default: all).")] = None,
    resume: Annotated[bool | None, typer.Option("--resume/--no-resume", help="After being pre-empted.")] = None,
    sender: Sender,
) -> None:
    """Put one item into the programme. Sources are tried in the order they are given."""
    now = wall_s()
    name = item or orders.new_item(kind, now)
    word = orders.command(
        "play",
        item=name,
        kind=kind,
        title=title,
        sources=in_order(
            ctx.meta[ORDER_KEY],
            files=file or (),
            uris=uri or (),
            relays=relay or (),
            builtins=builtin or (),
            measure=measured,
        ),
        max_duration_s=span_s(max_duration, "--max-duration"),
        volume_percent=volume,
        start_at=start_s(start_at, sender, kind, now),
        not_after=instant_s(not_after, "--not-after", now) if not_after else None,
        repeat=None if repeat is None else {"count": repeat, "gap_s": gap},
        chime=chime,
        replaces=replaces or None,
        zones=zone or None,
        resume=resume,
    )
    sender.send(word, now=now)


@sends
def stop(
    *,
    item: Annotated[str, typer.Option(help="The item to end.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Everything this key may end.")] = False,
    reason: Annotated[str, typer.Option(help="Why; it stands in the record.")],
    sender: Sender,
) -> None:
    """End one item, or all that this key may end."""
    if bool(item) == all:
        raise InputError("stop takes either --item ID or --all")
    sender.send(orders.command("stop", item=item or None, all=all or None, reason=reason), now=wall_s())


@sends
def volume(percent: Annotated[int, typer.Argument(help="0 to 100")], *, sender: Sender) -> None:
    """Set the volume of items that name none; it survives a restart."""
    sender.send(orders.command("set_volume", percent=percent), now=wall_s())


@sends
def mute(*, off: Annotated[bool, typer.Option("--off", help="Sound again.")] = False, sender: Sender) -> None:
    """Silence everything but emergencies; it survives a restart."""
    sender.send(orders.command("set_mute", muted=not off), now=wall_s())


@sends
def report_now(*, sender: Sender) -> None:
    """Ask nodes for a status report."""
    sender.send(orders.command("report_now"), now=wall_s())


@sends_and_waits
def self_test(*, sender: Sender) -> None:
    """Ask nodes what is faulty: sound card, relays, disk. Nothing sounds, no relay is switched."""
    sender.send(orders.command("self_test"), now=wall_s())


@sends
def restart(*, sender: Sender) -> None:
    """End the agent, which the system starts anew: not while an emergency sounds; what it interrupts goes on."""
    sender.send(orders.command("restart"), now=wall_s())


def start_s(text: str, sender: Sender, kind: Kind, now: int) -> int | None:
    """When all nodes begin; None: each as soon as it can."""
    if text == "now":
        return None
    return instant_s(text, "--start-at", now) if text else orders.common_start_s(sender.to, kind, now)


def measured(name: str) -> recordings.Recording:
    """A recording's hash and size; formats that lose their beginning are told."""
    recording = recordings.measured(name)
    if recording.format not in recordings.EXACT:
        complain(f"{name} is {recording.format}: up to 75 ms of its beginning may be lost; MP3 and FLAC lose nothing")
    return recording
