"""Which relay lines the running agent claimed, written where a later process finds them.

`amp-off` has to open the relays of an agent that was killed, also when its configuration has been edited since or can
no longer be read: what was claimed is what may be on. Owner: whichever process calls; no thread.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.gpio.let_go import FILE_NAME
from agent.gpio.lines import Factory, Line

__all__ = ["FILE_NAME", "Claim", "recall", "remember"]


@dataclass(frozen=True, slots=True)
class Claim:
    """The arguments of `GpioAmplifiers` that say which lines and how."""

    lines: Mapping[str, Line]
    factory: Factory
    chip: int | None
    trace: Path | None


def remember(folder: Path, claim: Claim) -> None:
    """Write the claim into the runtime folder. Raises OSError."""
    document = {
        "lines": {zone: asdict(line) for zone, line in claim.lines.items()},
        "factory": claim.factory,
        "chip": claim.chip,
        "trace": None if claim.trace is None else str(claim.trace),
    }
    fresh = folder / f"{FILE_NAME}.new"
    fresh.write_text(json.dumps(document), "utf-8")
    fresh.replace(folder / FILE_NAME)


def recall(folder: Path) -> Claim | None:
    """The last claim; None where there is none, or none that can be read."""
    try:
        document = json.loads((folder / FILE_NAME).read_text("utf-8"))
        trace = document["trace"]
        return Claim(
            lines={str(zone): Line(**line) for zone, line in document["lines"].items()},
            factory=document["factory"],
            chip=document["chip"],
            trace=None if trace is None else Path(trace),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
