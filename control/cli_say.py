"""`loactl say`: a text that the nodes speak themselves. An order like that of `play`, with one source."""

import sys
import unicodedata
from typing import Annotated

import typer

from agent.messages.words import Kind
from control import orders
from control.cli_orders import StartAt, start_s
from control.instants import instant_s, span_s
from control.sending import Sender, sends, wall_s

MAX_TITLE_CHARACTERS = 200
"""Protocol section 4."""
MAX_INPUT_CHARACTERS = 65_536
"""Read of standard input; the protocol's bound on a text is told with its own sentence."""


@sends
def say(
    text: Annotated[str, typer.Argument(help="What to say; - for standard input.")],
    *,
    language: Annotated[str, typer.Option(help="BCP 47: vi, vi-VN, en ...")] = "vi",
    voice: Annotated[str, typer.Option(help="A voice of the nodes, by name (default: their best one).")] = "",
    title: Annotated[str, typer.Option(help="What records call it (default: how the text begins).")] = "",
    kind: Annotated[Kind, typer.Option(help="Kind of bulletin.")] = Kind.NORMAL,
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
    """Let the nodes speak a text. Every line break becomes a space."""
    now = wall_s()
    words = in_one_line(sys.stdin.read(MAX_INPUT_CHARACTERS) if text == "-" else text)
    word = orders.command(
        "play",
        item=item or orders.new_item(kind, now),
        kind=kind,
        title=in_one_line(title) or beginning(words),
        sources=[{"speech": {"text": words, "language": language, **({"voice": voice} if voice else {})}}],
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


def in_one_line(text: str) -> str:
    """The text as the protocol wants it: composed Unicode, and no line breaks or tabs."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def beginning(words: str) -> str:
    """The first words that fit into a title."""
    if len(words) <= MAX_TITLE_CHARACTERS:
        return words
    head = words[: MAX_TITLE_CHARACTERS - 1]
    return f"{head.rpartition(' ')[0] or head}…"
