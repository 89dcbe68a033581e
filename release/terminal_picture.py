"""A terminal's text as an SVG for the front page: `make run ONCE=1 | python -m release.terminal_picture FILE`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_COLUMNS = 118
_CHARACTER_PX, _LINE_PX, _MARGIN_PX = 7.6, 19, 18


def picture(lines: Sequence[str], title: str) -> str:
    """One line of text beneath the other, cut to the width of a screen."""
    width = round(_COLUMNS * _CHARACTER_PX) + 2 * _MARGIN_PX
    height = len(lines) * _LINE_PX + 2 * _MARGIN_PX
    rows = "".join(
        f'  <text x="{_MARGIN_PX}" y="{_MARGIN_PX + _LINE_PX * row - 5}" xml:space="preserve">{_shown(line)}</text>\n'
        for row, line in enumerate(lines, start=1)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"  <title>{escape(title)}</title>\n"
        f'  <style>text {{ font: 12.6px "DejaVu Sans Mono", Consolas, monospace; fill: #d6e2ea }}</style>\n'
        f'  <rect width="{width}" height="{height}" rx="10" fill="#14212b"/>\n{rows}</svg>\n'
    )


def _shown(line: str) -> str:
    return escape(line if len(line) <= _COLUMNS else f"{line[: _COLUMNS - 1]}…")


if __name__ == "__main__":
    told = [line.rstrip() for line in sys.stdin if not line.startswith(("setup:", "make"))]
    Path(sys.argv[1]).write_text(picture(told, "$ make run ONCE=1"), "utf-8")
