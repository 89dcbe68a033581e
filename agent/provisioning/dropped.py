"""What a technician has put on the boot partition: read within bounds, and taken away once it is installed.

Called by one command, on its only thread. The partition is FAT, written by a laptop: names come in any case, nothing
has an owner, nothing is atomic, and what is unlinked can be read again until it is overwritten.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.messages.sentences import Sentence
from agent.provisioning.folders import sync

MAX_FILES: Final = 32
"""A node has five; a fleet's whole folder, dropped by mistake, is no node."""

MAX_FILE_BYTES: Final = 1024 * 1024
"""As for the certificates that node.yaml names."""

USED: Final = ".used"
"""Ends the name of a file that is installed and about to be overwritten; one that is found was left by a power cut."""

_TAKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.(?:yaml|pem|crt|key)", re.IGNORECASE)
_FIXED_NAMES: Final = ("node.yaml", "trust.yaml")
_NEARLY: Final = re.compile(r"(node|trust)\.(?:ya?ml\.txt|yml|txt)", re.IGNORECASE)
"""What Windows makes of the names where it hides their ends."""


@dataclass(slots=True)
class Dropped:
    """By the name that a file will have: what is in it, and where it lies. `wrong` keeps all of it from being taken."""

    files: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, Path] = field(default_factory=dict)
    wrong: list[Sentence] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.wrong)


def collect(folder: Path, result: str) -> Dropped:
    """Everything in `folder` that is meant for this node; `result` is our own file. Raises OSError: no such folder."""
    dropped = Dropped()
    for place in sorted(folder.iterdir()):
        name = place.name
        if name.startswith(".") or name == result or name.endswith(USED) or not _is_plain_file(place):
            continue
        if (nearly := _NEARLY.fullmatch(name)) is not None:
            meant = f"{nearly[1].lower()}.yaml"
            dropped.wrong.append(Sentence("{file}: rename it to {name}", file=name, name=meant))
        elif not _TAKEN.fullmatch(name):
            dropped.ignored.append(name)
        elif len(dropped.files) == MAX_FILES:
            told = Sentence("there are more than {limit} files: leave only those of this node", limit=MAX_FILES)
            dropped.wrong.append(told)
            break
        else:
            _take(dropped, name.lower() if name.lower() in _FIXED_NAMES else name, place)
    return dropped


def _is_plain_file(place: Path) -> bool:
    return stat.S_ISREG(place.lstat().st_mode)


def _take(dropped: Dropped, name: str, place: Path) -> None:
    dropped.places[name] = place
    try:
        with place.open("rb") as file:
            contents = dropped.files[name] = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        told = Sentence("{file}: cannot be read ({why}): copy it again", file=name, why=str(error.strerror))
        dropped.wrong.append(told)
        return
    if len(contents) > MAX_FILE_BYTES:
        dropped.wrong.append(Sentence("{file}: is larger than {limit} bytes", file=name, limit=MAX_FILE_BYTES))


def take_away(folder: Path, places: Mapping[str, Path]) -> None:
    """Overwrite and remove what is installed. Raises OSError.

    Renamed first: a power cut may leave a file of zeros, which must not be taken for somebody's mistake.
    """
    for place in places.values():
        place.rename(place.with_name(place.name + USED))
    sync(folder)
    wipe_used(folder)


def wipe_used(folder: Path) -> None:
    """Finish what a power cut has interrupted. Raises OSError."""
    for place in sorted(folder.glob(f"*{USED}")):
        if not _is_plain_file(place):
            continue
        with place.open("r+b", buffering=0) as file:
            file.write(bytes(min(place.stat().st_size, MAX_FILE_BYTES)))
            os.fsync(file.fileno())
        place.unlink()
    sync(folder)
