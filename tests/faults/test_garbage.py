"""libVLC fed with what is no sound behind a right beginning: the node outlives it, in bounded time, and plays on.

Each format in a process of its own, since a decoder that crashes takes its process along: `rig.spoilt` says with which
seed. What crashes a node twice is given up (tests/faults/test_hangs.py).
"""

import json
import os
import subprocess
import sys

import pytest

from agent.loop import STUCK_S
from rig.sound import RATE_HZ
from tests.sounds import FORMATS, Sounds

SECONDS = 3.0
BODIES = 20
SEED = int(os.environ.get("SEED", "1"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    return Sounds(tmp_path_factory.mktemp("sounds"), SECONDS)


@pytest.mark.parametrize("kind", FORMATS)
def test_whatever_is_behind_the_first_bytes_the_player_plays_on(sounds: Sounds, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "rig.spoilt", str(sounds.file(kind)), str(SEED), str(BODIES)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3_000:]}"
    found = json.loads(done.stdout)
    assert found["slowest_s"] < STUCK_S, "the player came round, or the node would have ended for it"
    assert sum(found.get(name, 0) for name in ("heard", "refused", "silent")) == BODIES
    assert found["samples"] >= 0.97 * SECONDS * RATE_HZ, "a good file after all of them"
