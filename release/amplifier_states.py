"""docs/pictures/amplifier.svg, drawn from the transition table: `python -m release.amplifier_states` writes it.

A test holds the picture to the table. Only places and bends are written down here; which arrows there are, what they
are called and what the relay is told comes from `agent.core.amplifier`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from agent.core.amplifier import ENERGISED, TABLE, Cue, Mode, Switch

PICTURE: Final = Path(__file__).parents[1] / "docs" / "pictures" / "amplifier.svg"

_WIDTH, _HEIGHT = 820, 640
_BOX_WIDTH, _BOX_HEIGHT = 150, 58
_PLACES: Final[Mapping[Mode, tuple[int, int]]] = {
    Mode.WARMING: (240, 90),
    Mode.ON: (600, 90),
    Mode.OFF: (240, 340),
    Mode.LINGER: (600, 340),
    Mode.FAULT: (420, 510),
}
_VIETNAMESE: Final[Mapping[Mode, str]] = {
    Mode.OFF: "tắt",
    Mode.WARMING: "bật, chờ ấm",
    Mode.ON: "bật, được phát",
    Mode.LINGER: "bật, chờ bản tin sau",
    Mode.FAULT: "rơ-le hỏng, tắt",
}
_ARROWS: Final[Mapping[tuple[Mode, Mode], tuple[int, int, int]]] = {
    (Mode.OFF, Mode.WARMING): (24, 176, 215),
    (Mode.WARMING, Mode.OFF): (24, 340, 200),
    (Mode.WARMING, Mode.ON): (24, 420, 46),
    (Mode.ON, Mode.LINGER): (24, 672, 215),
    (Mode.LINGER, Mode.ON): (24, 530, 215),
    (Mode.ON, Mode.OFF): (0, 470, 250),
    (Mode.LINGER, Mode.OFF): (0, 476, 376),
    (Mode.OFF, Mode.FAULT): (24, 440, 444),
    (Mode.FAULT, Mode.OFF): (24, 278, 460),
    (Mode.LINGER, Mode.FAULT): (24, 590, 460),
    (Mode.WARMING, Mode.FAULT): (-265, 112, 420),
    (Mode.ON, Mode.FAULT): (265, 730, 420),
    (Mode.FAULT, Mode.FAULT): (0, 420, 596),
}
"""How far each swings to its left, and the middle of its names: an arrow that has no place here has no picture."""
_CLASSES: Final[Mapping[Switch, str]] = {Switch.ON: "on", Switch.OFF: "off", Switch.KEEP: "keep"}

_HEAD: Final = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"
  role="img">
  <title>The amplifier's states: what leads from one to the next, and what the relay is told</title>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="14" markerHeight="14"
      markerUnits="userSpaceOnUse" orient="auto">
      <path d="M0 0 10 5 0 10z" fill="#456"/>
    </marker>
    <style>
      rect.box {{ fill: #f4f7fa; stroke: #456; stroke-width: 1.5; rx: 8px }}
      rect.energised {{ fill: #fff3d6; stroke: #b7791f; stroke-width: 2.5 }}
      path.way {{ fill: none; stroke: #789; stroke-width: 2; marker-end: url(#tip) }}
      path.on {{ stroke: #b7791f; stroke-width: 3 }}
      path.off {{ stroke: #246; stroke-width: 3 }}
      text {{ fill: #123; text-anchor: middle; font-size: 15px }}
      text.name {{ font-weight: bold }}
      text.small {{ font-size: 13px; fill: #345; paint-order: stroke; stroke: #fff; stroke-width: 4px }}
    </style>
  </defs>
  <rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>
"""
_LEGEND: Final = (
    ("on", "the relay closes · đóng rơ-le"),
    ("off", "the relay opens · ngắt rơ-le"),
    ("keep", "the relay stays · giữ nguyên"),
)


def picture() -> str:
    """The SVG."""
    cues: dict[tuple[Mode, Mode, Switch], list[Cue]] = defaultdict(list)
    for (mode, cue), (following, switch) in TABLE.items():
        cues[mode, following, switch].append(cue)
    arrows = "".join(_arrow(mode, following, switch, names) for (mode, following, switch), names in cues.items())
    return _HEAD + arrows + "".join(map(_box, Mode)) + "".join(_legend()) + "</svg>\n"


def _box(mode: Mode) -> str:
    x, y = _PLACES[mode]
    kind = "box energised" if mode in ENERGISED else "box"
    left, top = x - _BOX_WIDTH // 2, y - _BOX_HEIGHT // 2
    return (
        f'  <rect class="{kind}" x="{left}" y="{top}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}"/>\n'
        f'  <text class="name" x="{x}" y="{y - 5}">{mode.name}</text>\n'
        f'  <text class="small" x="{x}" y="{y + 17}">{_VIETNAMESE[mode]}</text>\n'
    )


def _arrow(mode: Mode, following: Mode, switch: Switch, cues: list[Cue]) -> str:
    """One arrow for all that leads the same way; its names stand in the middle of it."""
    if mode is following:
        return _loop(mode, switch, cues)
    (x1, y1), (x2, y2) = _PLACES[mode], _PLACES[following]
    bend_px, label_x, label_y = _ARROWS[mode, following]
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    bent_x = (x1 + x2) / 2 + (y2 - y1) / length * bend_px * 2
    bent_y = (y1 + y2) / 2 + (x1 - x2) / length * bend_px * 2
    start, end = _edge(x1, y1, bent_x, bent_y), _edge(x2, y2, bent_x, bent_y)
    way = f"M{start[0]:.0f} {start[1]:.0f}Q{bent_x:.0f} {bent_y:.0f} {end[0]:.0f} {end[1]:.0f}"
    return f'  <path class="way {_CLASSES[switch]}" d="{way}"/>\n' + _label(label_x, label_y, cues)


def _edge(x: float, y: float, towards_x: float, towards_y: float) -> tuple[float, float]:
    """Where a line from the middle of a box leaves it."""
    dx, dy = towards_x - x, towards_y - y
    reach = min(
        (_BOX_WIDTH / 2 + 3) / abs(dx) if dx else float("inf"),
        (_BOX_HEIGHT / 2 + 3) / abs(dy) if dy else float("inf"),
    )
    return x + dx * reach, y + dy * reach


def _loop(mode: Mode, switch: Switch, cues: list[Cue]) -> str:
    x, y = _PLACES[mode]
    _, label_x, label_y = _ARROWS[mode, mode]
    bottom = y + _BOX_HEIGHT // 2
    way = f"M{x - 16} {bottom}C{x - 40} {bottom + 48} {x + 40} {bottom + 48} {x + 16} {bottom}"
    return f'  <path class="way {_CLASSES[switch]}" d="{way}"/>\n' + _label(label_x, label_y, cues)


def _label(x: int, y: int, cues: list[Cue]) -> str:
    above = y - 8 * (len(cues) - 1) + 4
    return "".join(
        f'  <text class="small" x="{x}" y="{above + 16 * row}">{cue.value}</text>\n' for row, cue in enumerate(cues)
    )


def _legend() -> Iterator[str]:
    for row, (kind, told) in enumerate(_LEGEND):
        y = _HEIGHT - 66 + 22 * row
        yield f'  <path class="way {kind}" d="M20 {y}H70"/>\n'
        yield f'  <text class="small" x="80" y="{y + 4}" style="text-anchor:start">{told}</text>\n'


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
