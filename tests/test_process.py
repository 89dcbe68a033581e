"""Dying threads and callbacks are told to the loop, whatever becomes of their last words."""

import os
import subprocess
import sys

import pytest

DYING = """
import sys, threading
from queue import SimpleQueue
from agent.process import post_deaths
inbox = SimpleQueue()
post_deaths(inbox.put)
class Broken:
    def __del__(self):
        raise ValueError("nobody hears this")
def die():
    {how}
threading.Thread(target=die, name="store").start()
print(inbox.get(timeout=30))
"""


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("1 / 0", "ThreadDied(thread='store', detail='ZeroDivisionError: division by zero')"),
        ("sys.stderr.close(); 1 / 0", "ThreadDied(thread='store', detail='ZeroDivisionError: division by zero')"),
        ("Broken()", "ThreadDied(thread='callback', detail='ValueError: nobody hears this')"),
    ],
    ids=["thread", "no log at all", "callback"],
)
def test_a_death_is_told_also_where_nobody_reads_the_log(how: str, told: str) -> None:
    """As while journald is started again, or where there is no memory left to format a traceback."""
    nobody_reads, written = os.pipe()
    os.close(nobody_reads)
    try:
        command = [sys.executable, "-c", DYING.format(how=how)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=written, text=True, timeout=90, check=False)
    finally:
        os.close(written)
    assert done.stdout.strip() == told
