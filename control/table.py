"""The fleet as a table for a terminal. Pure: a fleet and the time in, a rich renderable out.

Trouble stands at the top, and no more rows are drawn than the terminal shows: 10,000 nodes cost a sort, not a page.
"""

import heapq
from collections.abc import Callable
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

STATUS_LATE_S = 6 * 3_600 + 1_800
"""A node tells its status, signed, every six hours: half an hour more, and somebody keeps its news from us."""

NO_TROUBLE = 9
SERIOUS = 3
"""Up to this rank a node is counted as one to look at: offline and silent are the last of them."""

FRAME_ROWS = 7
"""Lines of the screen that the table's frame, its head and the summary take."""

WIDE = 150
"""Columns of a screen that shows all of the table; a narrower one shows what is to be looked at, whole."""
VERY_WIDE = 200
"""Of one that shows long names whole."""

_COLUMNS = {
    "node": "cụm loa",
    "state": "mạng",
    "clock": "giờ",
    "amp": "âm ly",
    "playing": "đang phát",
    "wait": "chờ",
    "vol": "âm lượng",
    "outbox": "chưa gửi",
    "last report": "báo cáo cuối",
    "beat": "nhịp",
    "look at": "cần xem",
}
"""The head in English and Vietnamese."""
_RIGHT = frozenset({"wait", "vol", "outbox", "beat"})
_NARROW = ("node", "state", "amp", "playing", "look at")
_CUT = {"playing": 20, "last report": 24}
"""Characters of what may be long: a row is a line, but for what is to be looked at."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that may be wrong with a node: how bad, whether it is so, and how it is told."""

    rank: int
    shows: Callable[[Node, float], object]
    tell: Callable[[Node], str]


def _is_silent(node: Node, now: float) -> bool:
    return node.online is not False and node.heartbeat_at is not None and now - node.heartbeat_at > HEARTBEAT_LATE_S


def _is_frozen(node: Node, now: float) -> bool:
    """Its hints come, its proofs do not."""
    since = node.seen_at if node.status_at is None else node.status_at
    return node.key is KeyState.ENROLLED and node.online is not False and now - since > STATUS_LATE_S


SIGNS = (
    Sign(0, lambda node, _: node.key is KeyState.CHANGED, lambda _: "KEY CHANGED"),
    Sign(0, lambda node, _: node.forged, lambda node: f"FORGED x{node.forged}"),
    Sign(1, lambda node, _: node.ledger.begun_anew, lambda node: f"store begun anew x{node.ledger.begun_anew}"),
    Sign(1, lambda node, _: node.ledger.lost, lambda node: f"{node.ledger.lost} reports lost"),
    Sign(2, lambda node, _: node.alarm, lambda node: plain(node.alarm)),
    Sign(2, lambda node, _: node.faults, lambda node: " and ".join(f"{fault} fails" for fault in node.faults)),
    Sign(2, _is_frozen, lambda _: "no signed status"),
    Sign(2, lambda node, _: node.rolled_back, lambda node: f"{plain(node.rolled_back)} taken back"),
    Sign(3, lambda node, _: node.online is False, lambda _: "offline"),
    Sign(3, _is_silent, lambda _: "silent"),
    Sign(4, lambda node, _: node.key is KeyState.UNKNOWN, lambda _: "key not enrolled"),
    Sign(5, lambda node, _: node.clock is False, lambda _: "clock not trusted"),
    Sign(6, lambda node, _: node.key_ends, lambda node: f"keys end soon: {plain(node.key_ends)}"),
    Sign(6, lambda node, _: node.unreadable, lambda node: f"{node.unreadable} unreadable"),
)
"""All signs of trouble, worst first."""


def rank(node: Node, now: float) -> int:
    """How urgently a person should look: 0 is worst, 9 not at all. Asked of every node at every redraw."""
    return next((sign.rank for sign in SIGNS if sign.shows(node, now)), NO_TROUBLE)


def trouble(node: Node, now: float) -> tuple[str, ...]:
    """What is wrong with a node, worst first."""
    return tuple(sign.tell(node) for sign in SIGNS if sign.shows(node, now))


def beat_age_s(node: Node, now: float) -> float | None:
    """Seconds since the last heartbeat, or None before the first."""
    return None if node.heartbeat_at is None else max(0.0, now - node.heartbeat_at)


def rendered(
    fleet: Fleet, now: float, *, wall: float, rows: int | None, line: str, width: int = WIDE
) -> RenderableType:
    """The table; at most `rows` nodes of it (None: all), for a screen so wide. `line`: how the connection stands."""
    ranked = [(rank(node, now), node.name, node) for node in fleet]
    shown = heapq.nsmallest(len(ranked) if rows is None else max(1, rows), ranked)
    table = Table(expand=False, pad_edge=False)
    names = tuple(_COLUMNS) if width >= WIDE else _NARROW
    for name in names:
        table.add_column(
            f"{name}\n{_COLUMNS[name]}",
            justify="right" if name in _RIGHT else "left",
            no_wrap=name != "look at",
            max_width=_CUT.get(name) if width < VERY_WIDE else None,
        )
    for urgency, _, node in shown:
        cells = dict(zip(_COLUMNS, _cells(node, now, serious=urgency <= 1), strict=True))
        table.add_row(*(cells[name] for name in names))
    worrying = sum(urgency <= SERIOUS for urgency, _, _ in ranked)
    return Group(table, _summary(fleet, wall=wall, worrying=worrying, shown=len(shown), line=line))


def _cells(node: Node, now: float, *, serious: bool) -> list[Text]:
    age = beat_age_s(node, now)
    volume = "-" if node.volume is None else f"{node.volume}%"
    return [
        Text(node.name, style="bold red" if serious else "bold"),
        Text({True: "online", False: "offline", None: "-"}[node.online], style=_state_style(node)),
        Text({True: "trusted", False: "untrusted", None: "-"}[node.clock]),
        Text(plain(node.amp) or "-", style="green" if node.amp.lower() == "on" else ""),
        Text(plain(node.playing) if node.playing else "-"),
        Text(_number(node.waiting)),
        Text(f"{volume} muted" if node.muted else volume, style="yellow" if node.muted else ""),
        Text(_number(node.outbox)),
        Text(_last_report(node), style="" if node.last_proof is Proof.VERIFIED else "dim"),
        Text("-" if age is None else f"{age:.0f} s", style="yellow" if age and age > HEARTBEAT_LATE_S else ""),
        Text(", ".join(trouble(node, now)), style="bold red" if serious else "yellow"),
    ]


def _last_report(node: Node) -> str:
    if not node.last_report:
        return "-"
    return plain(node.last_report) if node.last_proof is Proof.VERIFIED else f"{plain(node.last_report)} (unverified)"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _state_style(node: Node) -> str:
    return {True: "green", False: "red", None: "dim"}[node.online]


def _summary(fleet: Fleet, *, wall: float, worrying: int, shown: int, line: str) -> Text:
    online = sum(node.online is True for node in fleet)
    hidden = f", {fleet.count - shown} more below" if fleet.count > shown else ""
    untold = f", {fleet.untold} messages of nodes beyond the bound" if fleet.untold else ""
    clock = datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    counts = f"{fleet.count} nodes, {online} online, {worrying} to look at{hidden}{untold}"
    return Text(f"{clock}  {counts}  |  {plain(line)}", style="dim")
