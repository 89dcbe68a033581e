"""The coming days of schedules as a table for a terminal, in Vietnamese and English. Pure: a forecast in, text out."""

from collections.abc import Sequence
from datetime import tzinfo
from urllib.parse import urlsplit

from rich.table import Table
from rich.text import Text

from agent.messages.local_time import local_time
from agent.messages.sources import Builtin, File, Relay, Source
from agent.messages.words import Kind
from control.forecast import Planned
from control.plain import plain

_DAYS = ("T2·Mon", "T3·Tue", "T4·Wed", "T5·Thu", "T6·Fri", "T7·Sat", "CN·Sun")
_KINDS = {Kind.NORMAL: "thường · normal", Kind.PRIORITY: "ưu tiên · priority"}
_SHOWN_CHARACTERS = 24
"""Of a spoken text: enough to know it again."""


def table(found: Sequence[Planned], zone: tzinfo, *, with_origin: bool) -> Table:
    """One row a broadcast; `!` marks those that a warning is about."""
    made = Table(expand=False, pad_edge=False)
    columns = ["Giờ · time", "Tên · title", "Loại · kind", "Dài · length", "Nguồn · source"]
    for name in (*columns, *(["Tệp · file"] if with_origin else []), "!"):
        made.add_column(name, justify="right" if name.startswith("Dài") else "left", no_wrap=name.startswith("Giờ"))
    for one in found:
        slot = one.occurrence.slot
        cells = [
            when(one.occurrence.at_s, zone),
            plain(slot.title),
            _KINDS[slot.kind],
            length(slot.max_duration_s),
            source(slot.sources),
            *([plain(one.origin)] if with_origin else []),
            "!" if one.warnings else "",
        ]
        made.add_row(*(Text(cell, style="yellow" if one.warnings else "") for cell in cells))
    return made


def warnings(found: Sequence[Planned], zone: tzinfo) -> list[str]:
    """One line for each thing that is wrong."""
    return [
        f"{when(one.occurrence.at_s, zone)} {plain(one.occurrence.slot.title)}: {plain(told)}"
        for one in found
        for told in one.warnings
    ]


def when(at_s: float, zone: tzinfo) -> str:
    """Day of the week, day, month and hour on the wall."""
    wall = local_time(at_s, zone)
    return f"{_DAYS[wall.weekday()]} {wall:%d/%m %H:%M}"


def length(seconds: int) -> str:
    """Hours, minutes and seconds as short as can be: 1h30m, 45m, 90s."""
    if seconds < 60 or seconds % 60:  # noqa: PLR2004  a minute
        return f"{seconds // 60}m{seconds % 60:02}s" if seconds > 60 else f"{seconds}s"  # noqa: PLR2004
    hours, minutes = divmod(seconds // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")


def source(sources: Sequence[Source]) -> str:
    """The first source in a few words, and how many stand behind it."""
    more = f" +{len(sources) - 1}" if len(sources) > 1 else ""
    return plain(_one(sources[0])) + more


def _one(first: Source) -> str:
    match first.only:
        case File(uri=uri):
            return urlsplit(uri).path.rpartition("/")[2] or uri
        case Relay(uri=uri):
            return urlsplit(uri).hostname or uri
        case Builtin(name=name):
            return str(name)
        case speech:
            text = speech.text
            return f"“{text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + '…'}”"
