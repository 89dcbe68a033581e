"""The rig's network leaves nothing behind, however it ends."""

import signal
import subprocess
import sys
from pathlib import Path

from rig.network import Network
from rig.sound import wait_until

KILLED = """
import os, signal, sys
from pathlib import Path
from rig.network import Network
with Network(Path(sys.argv[1])) as network:
    print(os.getpid(), network.pole.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def bound_over_etc() -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if " /etc/" in line]


def test_a_pole_has_a_network_and_a_resolver_of_its_own(tmp_path: Path) -> None:
    interfaces_before, mounts_before = interfaces(), bound_over_etc()
    with Network(tmp_path / "etc") as network:
        network.ask(network.station)
        seen = subprocess.run(
            [*network.pole.prefix, "cat", "/etc/resolv.conf"], capture_output=True, text=True, check=True
        )
        assert seen.stdout == f"nameserver {network.station}\n"
        assert len(interfaces() - interfaces_before) == 1
        assert bound_over_etc() == mounts_before
    assert interfaces() == interfaces_before


def test_a_process_that_is_killed_takes_its_network_with_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "etc")], capture_output=True, text=True, check=False
    )
    pid, holder = done.stdout.split()
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: f"loa{pid}" not in interfaces(), what="the end of the interface")
    wait_until(lambda: not Path("/proc", holder).exists(), what="the end of the namespace's process")
