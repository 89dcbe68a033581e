"""The parts of `make soak`, each for a moment: orders counted, a relay listened to, a fleet that comes back.

Memory is not judged here: it comes to rest after some thousand items, or some minutes of a relay.
"""

from pathlib import Path

from rig.soak import fleet, plays, relay
from rig.soak.findings import Findings
from rig.soak.plays import Length

SHORT = Length(plays=60, warm=30, fill=250, plain=20)


def missed_but_memory(found: Findings) -> list[str]:
    return [line for line in found.missed if "RSS" not in line]


def test_sixty_items_and_what_must_come_of_each(tmp_path: Path) -> None:
    found = plays.run(tmp_path, length=SHORT, seed=1, say=print)
    assert missed_but_memory(found) == []


def test_a_relay_of_twenty_seconds(tmp_path: Path) -> None:
    found = relay.run(tmp_path, seconds=15.0, warm_s=5.0, hls=False, say=print)
    assert missed_but_memory(found) == []


def test_a_hundred_nodes_whose_broker_is_restarted(tmp_path: Path) -> None:
    found = fleet.run(tmp_path, nodes=100, down_s=(0.0, 2.0), say=print)
    assert [each.missed for each in found] == [[], []]
