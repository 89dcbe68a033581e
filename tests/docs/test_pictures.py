from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agent.core.amplifier import TABLE
from release.amplifier_states import PICTURE, picture

PICTURES = sorted(PICTURE.parent.glob("*.svg"))


def test_the_amplifiers_picture_is_drawn_from_its_table() -> None:
    assert PICTURE.read_text("utf-8") == picture(), "run: python -m release.amplifier_states"


def test_the_picture_names_every_cue_and_has_an_arrow_for_every_way() -> None:
    drawing = ET.fromstring(picture())
    words = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    ways = [path for path in drawing.iter() if path.get("class", "").startswith("way") and "Q" in path.get("d", "")]
    told = Counter(cue.value for _, cue in TABLE)
    assert Counter(word for word in words if word in told) == told
    assert len(ways) == len(
        {(mode, after, switch) for (mode, _), (after, switch) in TABLE.items() if mode is not after}
    )


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_says_what_it_shows_and_loads_nothing(path: Path) -> None:
    drawing = ET.parse(path).getroot()
    assert drawing.get("role") == "img"
    assert drawing.findtext("{http://www.w3.org/2000/svg}title")
    assert list(addresses(drawing)) == []


def addresses(drawing: ET.Element) -> Iterator[str]:
    for element in drawing.iter():
        yield from (value for name, value in element.items() if name.endswith("href"))
