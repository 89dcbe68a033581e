"""No memory left: the voice that takes it is killed, and the node goes on; a node that is killed resumes its item."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.messages.sources import Source, Speech
from rig.calm import Machine
from rig.memory import Memory
from rig.sound import Daemon, wait_until
from rig.village import Node, Station
from tests.faults.account import PLAYED, Account
from tests.speaking import NOTICE, fake_piper, piper_voice

LIMIT_BYTES = 160 * 1024 * 1024
"""A node takes 75 MB."""
GREEDY = "taken = []\nwhile True: taken.append(bytearray(1 << 22))"
RESUMED_S = 5.0
"""From ready to sound."""
LENGTH_S = 6


@pytest.fixture
def memory() -> Iterator[Memory]:
    with Memory(LIMIT_BYTES) as memory:
        yield memory


@pytest.fixture
def node(station: Station, sound: Daemon, tmp_path: Path) -> Iterator[Node]:
    speech = {"piper": str(fake_piper(tmp_path, GREEDY)), "voices": str(piper_voice(tmp_path / "voices"))}
    with Node(station, sound, changes={"speech": speech}) as node:
        yield node


def test_a_voice_that_takes_all_memory_is_killed_alone_and_another_speaks(
    node: Node, account: Account, memory: Memory
) -> None:
    memory.add(node.pid)
    pid = node.pid
    item = account.order(sources=(Source(speech=Speech(NOTICE, "vi")),), max_duration_s=1)
    node.wait_for_line("was killed (signal 9)")
    assert account.settled()[item] == PLAYED
    assert (node.pid, node.running) == (pid, True)


def test_a_node_that_is_killed_for_its_memory_comes_back_to_its_item(
    node: Node, account: Account, memory: Memory, machine: Machine
) -> None:
    item = account.order(max_duration_s=LENGTH_S)
    node.wait_for_line(f"item {item}: sounding")
    memory.add(node.pid)
    Path(f"/proc/{node.pid}/oom_score_adj").write_text("1000")  # the kernel's choice falls on the node
    with subprocess.Popen(["sh", "-c", "read go; exec tail /dev/zero"], stdin=subprocess.PIPE, text=True) as greedy:
        memory.add(greedy.pid)
        assert greedy.stdin is not None
        greedy.stdin.write("go\n")
        greedy.stdin.flush()
        wait_until(lambda: not node.running, what="the end of a node without memory")
        greedy.kill()
    assert node.end() == -signal.SIGKILL
    assert node.command("amp-off").returncode == 0
    assert not node.relay_on
    since = len(node.log)
    node.start()
    ready_s = node.wait_for_line("ready", since=since)
    wait_until(lambda: node.relay_on, what="relay on again")
    assert machine.ours_s(ready_s, node.switched()[-1].at_s) <= RESUMED_S
    assert account.settled()[item] == PLAYED
