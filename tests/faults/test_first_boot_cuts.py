"""The power fails while a card is installed from: what was not synchronised is gone, and the folder is whole.

The boot partition is on the same disk, or on one of its own that keeps all that it was told: then whatever is taken
from it must be safe on the other. It is ext4 here, not FAT.
"""

import subprocess
from pathlib import Path

import pytest

from rig.boot_partition import Card, Lives
from rig.certificates import Authority
from rig.disk import Disk

EVERY = 4
"""Of some 70 changes of folders; a cut takes a second."""


@pytest.mark.parametrize("elsewhere", [False, True], ids=["one disk", "a disk of its own"])
def test_a_power_cut_at_any_change_leaves_the_folder_whole(tmp_path: Path, elsewhere: bool) -> None:
    authority = Authority(tmp_path / "pki")
    with Disk(tmp_path / "disk") as disk:
        card = Card(disk.folder, authority, tmp_path / "other" if elsewhere else None)
        card.clear()
        card.drop(card.node())
        assert card.switch_on().returncode == 0
        change = cuts = 0
        with Lives(card) as lives:
            while True:
                change += EVERY
                old, new = contents(card), as_bytes(card.node(groups=[f"thon-{change}"]))
                card.drop(new)
                subprocess.run(["sync", "-f", str(card.boot)], check=True)  # the laptop has ejected it properly
                if not lives.stand_still_at(change):
                    break
                disk.cut()
                lives.be_gone()
                disk.boot()
                cuts += 1
                assert contents(card) in (old, new), change
                assert card.switch_on().returncode == 0, card.result()
                assert contents(card) == new, change
                assert card.dropped() == [], change
    assert cuts > 50 // EVERY


def contents(card: Card) -> dict[str, bytes]:
    return {name: found for name, (found, _) in card.installed().items()}


def as_bytes(files: dict[str, str | bytes]) -> dict[str, bytes]:
    return {name: each if isinstance(each, bytes) else each.encode() for name, each in files.items()}
