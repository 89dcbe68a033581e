"""The machine's witness: this process is stopped for a known time, as a machine that stands still would."""

import os
import subprocess
import time

import pytest

from rig.calm import Machine
from rig.sound import boottime_s

STOPPED_S = 0.5


def stop_this_process() -> None:
    script = f"kill -STOP {os.getpid()}; sleep {STOPPED_S}; kill -CONT {os.getpid()}"
    subprocess.run(["sh", "-c", script], check=True)


def test_a_standstill_is_taken_from_the_span_it_falls_into_and_from_no_other() -> None:
    with Machine() as machine:
        before_s = boottime_s()
        stop_this_process()
        after_s = boottime_s()
        time.sleep(0.1)
        end_s = boottime_s()
        stalled_s = machine.stalled_s(before_s, after_s)
        assert STOPPED_S - 0.05 <= machine.worst_s(before_s, after_s) <= stalled_s <= after_s - before_s
        assert machine.ours_s(before_s, after_s) == pytest.approx(after_s - before_s - stalled_s)
        assert machine.stalled_s(before_s, end_s) == pytest.approx(stalled_s + machine.stalled_s(after_s, end_s))
        assert machine.stalled_s(after_s, after_s) == 0.0


def test_processors_that_stand_still_together_count_once() -> None:
    with Machine() as machine:
        since_s = boottime_s()
        stop_this_process()
        until_s = boottime_s()
        assert machine.stalled_s(since_s, until_s) <= until_s - since_s
