"""How `run` begins after bad lives, and with which code it ends."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.run import _live
from agent.messages import events as ev
from agent.restarts import FILE_NAME
from tests.test_loop import Shell

ROOT = Path(__file__).parent.parent.parent


def run(folder: Path, config: str) -> "subprocess.CompletedProcess[str]":
    """`loa-agent run` as systemd would start it."""
    return subprocess.run(
        [sys.executable, "-m", "agent", "run", "--config", config],
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_file_that_is_wrong_is_not_looked_at_every_second(tmp_path: Path) -> None:
    """Nobody is near to mend it, and the journal is on the card."""
    said = [run(tmp_path, str(tmp_path / "node.yaml")) for _ in range(3)]
    assert [done.returncode for done in said] == [2, 2, 2]
    assert ["have ended badly: beginning in" in done.stderr for done in said] == [False, False, True]
    assert "2 lives in a row have ended badly: beginning in 2 s" in said[-1].stderr
    assert (tmp_path / FILE_NAME).exists()


def test_what_nobody_foresaw_ends_it_with_a_code_of_its_own_and_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shell = Shell()
    shell.inbox.put(ev.OutboxRead(reports=7))  # type: ignore[arg-type]
    assert _live(shell.loop) == 70
    assert shell.done[-1] == "all_off"
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.exc_info is not None


HANGING = """
import signal, time
from agent.process import end_within
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
end_within(0.3, 75)
time.sleep(600)
"""

NOW = """
import atexit, time
from agent.process import end_now
atexit.register(time.sleep, 600)
end_now(75)
"""


@pytest.mark.parametrize("text", [HANGING, NOW])
def test_whatever_hangs_at_the_end_it_ends_with_its_code(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 75
