"""What a node that is to live for hours is given: the priority of its unit, and memory where a pole has memory."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from rig.sound import Daemon
from rig.village import Node, Station

MEMORY: Final = "/dev/shm"
PRIORITY: Final[tuple[str, ...]] = ("nice", "-n", "-10") if os.geteuid() == 0 else ()


@contextmanager
def in_memory() -> Iterator[dict[str, Any]]:
    """Settings of a node whose runtime folder and simulated relay are where no disk makes its loop wait, as /run is."""
    with tempfile.TemporaryDirectory(prefix="loa-run-", dir=MEMORY) as folder:
        yield {
            "storage": {"state": "state", "runtime": f"{folder}/runtime", "cache_max_mb": 1},
            "gpio": {"factory": "mock", "trace": f"{folder}/relay.log"},
            "heartbeat_s": 60,
        }


@contextmanager
def long_lived(station: Station, sound: Daemon, changes: Mapping[str, Any]) -> Iterator[Node]:
    """A node that runs; what kills it is told in its log."""
    environment = {"PYTHONFAULTHANDLER": "1"}
    with (
        in_memory() as settings,
        Node(station, sound, changes={**settings, **changes}, environment=environment, prefix=PRIORITY) as node,
    ):
        yield node
