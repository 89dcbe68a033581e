"""The fleet as a table for a terminal. Pure: a fleet and the time in, a rich renderable out.

Trouble stands at the top, and no more rows are drawn than the terminal shows: 10,000 nodes cost a sort, not a page.
"""

import heapq
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from control.fleet import Fleet, KeyState, Node
from control.plain import plain
from control.sightings import Proof

HEARTBEAT_LATE_S = 180.0
"""Three heartbeats at the default of 60 s."""

NO_TROUBLE = 9
SERIOUS = 3
"""Up to this rank a node is counted as one to look at: offline and silent are the last of them."""

FRAME_ROWS = 6
"""Lines of the screen that the table's frame, its head and the summary take."""

_COLUMNS = (
    "node",
    "state",
    "clock",
    "amp",
    "playing",
    "wait",
    "vol",
    "outbox",
    "last report",
    "beat",
    "look at",
)
_RIGHT = frozenset({"wait", "vol", "outbox", "beat"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a person should look at a node: `rank` 0 is worst, 9 is none."""

    rank: int
    words: tuple[str, ...]


def trouble(node: Node, now: float) -> Trouble:
    """What is wrong with a node, worst first."""
    age = beat_age_s(node, now)
    silent = node.online is not False and age is not None and age > HEARTBEAT_LATE_S
    table: tuple[tuple[object, int, str], ...] = (
        (node.key is KeyState.CHANGED, 0, "KEY CHANGED"),
        (node.forged, 0, f"FORGED x{node.forged}"),
        (node.ledger.begun_anew, 1, f"store begun anew x{node.ledger.begun_anew}"),
        (node.ledger.lost, 1, f"{node.ledger.lost} reports lost"),
        (node.alarm, 2, plain(node.alarm)),
        (node.online is False, 3, "offline"),
        (silent, 3, "silent"),
        (node.key is KeyState.UNKNOWN, 4, "key not enrolled"),
        (node.clock is False, 5, "clock not trusted"),
        (node.unreadable, 6, f"{node.unreadable} unreadable"),
    )
    found = [(rank, words) for wrong, rank, words in table if wrong]
    return Trouble(found[0][0] if found else NO_TROUBLE, tuple(words for _, words in found))


def beat_age_s(node: Node, now: float) -> float | None:
    """Seconds since the last heartbeat, or None before the first."""
    return None if node.heartbeat_at is None else max(0.0, now - node.heartbeat_at)


def rendered(fleet: Fleet, now: float, *, wall: float, rows: int | None, line: str) -> RenderableType:
    """The table; at most `rows` nodes of it (None: all). `line` says how the connection stands."""
    nodes = heapq.nsmallest(
        fleet.count if rows is None else max(1, rows), fleet, key=lambda node: (trouble(node, now).rank, node.name)
    )
    table = Table(expand=False, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=name == "node")
    for node in nodes:
        table.add_row(*_cells(node, now))
    return Group(table, _summary(fleet, now, wall, len(nodes), line))


def _cells(node: Node, now: float) -> list[Text]:
    found = trouble(node, now)
    age = beat_age_s(node, now)
    volume = "-" if node.volume is None else f"{node.volume}%"
    return [
        Text(node.name, style="bold red" if found.rank <= 1 else "bold"),
        Text({True: "online", False: "offline", None: "-"}[node.online], style=_state_style(node)),
        Text({True: "trusted", False: "untrusted", None: "-"}[node.clock]),
        Text(plain(node.amp) or "-", style="green" if node.amp.lower() == "on" else ""),
        Text(plain(node.playing) if node.playing else "-"),
        Text(_number(node.waiting)),
        Text(f"{volume} muted" if node.muted else volume, style="yellow" if node.muted else ""),
        Text(_number(node.outbox)),
        Text(_last_report(node), style="" if node.last_proof is Proof.VERIFIED else "dim"),
        Text("-" if age is None else f"{age:.0f} s", style="yellow" if age and age > HEARTBEAT_LATE_S else ""),
        Text(", ".join(found.words), style="bold red" if found.rank <= 1 else "yellow"),
    ]


def _last_report(node: Node) -> str:
    if not node.last_report:
        return "-"
    return plain(node.last_report) if node.last_proof is Proof.VERIFIED else f"{plain(node.last_report)} (unverified)"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _state_style(node: Node) -> str:
    return {True: "green", False: "red", None: "dim"}[node.online]


def _summary(fleet: Fleet, now: float, wall: float, shown: int, line: str) -> Text:
    online = sum(node.online is True for node in fleet)
    worrying = sum(trouble(node, now).rank <= SERIOUS for node in fleet)
    hidden = f", {fleet.count - shown} more below" if fleet.count > shown else ""
    untold = f", {fleet.untold} messages of nodes beyond the bound" if fleet.untold else ""
    clock = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    counts = f"{fleet.count} nodes, {online} online, {worrying} to look at{hidden}{untold}"
    return Text(f"{clock}  {counts}  |  {plain(line)}", style="dim")
