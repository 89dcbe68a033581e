"""`make run`, as a newcomer sees it: one broadcast from order to receipt; and Ctrl-C leaves nothing running."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STEPS = (
    "published",
    "received",
    "verified and accepted",
    "relay on",
    "first sound heard",
    "finished",
    "relay off",
    "record stored",
    "record acknowledged",
)
WAIT_S = 200.0
MARK = "LOA_TEST_MARK"


@contextmanager
def demo(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demonstration in a session of its own, and the mark that all of its processes carry."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-m", "rig.demo", *arguments],
        env={**os.environ, MARK: mark, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            yield child, mark
        finally:
            for left in alive(mark):
                os.kill(left, signal.SIGKILL)


def alive(mark: str) -> list[int]:
    """The processes that carry the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def nobody_is_left(mark: str) -> bool:
    deadline_s = time.monotonic() + 10.0
    while alive(mark) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return not alive(mark)


@pytest.mark.timeout(240)
def test_one_broadcast_is_told_step_by_step_and_ends_with_0() -> None:
    with demo("--once") as (child, mark):
        said, _ = child.communicate(timeout=WAIT_S)
        assert child.returncode == 0, said
        told = [name.strip() for name in re.findall(r"^ +-?\d+ ms  (.{34})", said, re.MULTILINE)]
        assert set(STEPS) <= set(told), said
        at_ms = {name.strip(): int(ms) for ms, name in re.findall(r"^ +(-?\d+) ms  (.{34})", said, re.MULTILINE)}
        assert at_ms["verified and accepted"] <= at_ms["relay on"] < at_ms["first sound heard"] < at_ms["relay off"]
        assert "heard, recorded, acknowledged." in said
        assert nobody_is_left(mark)


@pytest.mark.timeout(240)
def test_ctrl_c_in_the_middle_leaves_nothing_running() -> None:
    with demo() as (child, mark):
        assert child.stdout is not None
        lines = iter(child.stdout.readline, "")
        assert any("verified and accepted" in line for line in lines)
        assert len(alive(mark)) > 3, "broker, sound, node and the demonstration itself"
        os.killpg(child.pid, signal.SIGINT)
        child.communicate(timeout=60.0)
        assert child.returncode == 0
        assert nobody_is_left(mark)
