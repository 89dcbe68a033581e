"""What the agent can do in its sandbox, by a probe in the agent's own unit; and what it cannot."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rig.container import Container
from tests.package import commune
from tests.package.conftest import Boot

PROBE = Path(__file__).with_name("probe.py")
DROPPED = (
    "Type",
    "ExecStart",
    "ExecStartPre",
    "ExecStartPost",
    "ExecStopPost",
    "WatchdogSec",
    "Restart",
    "NotifyAccess",
)
NO = "Operation not permitted"
READ_ONLY = "Read-only file system"


def probed(machine: Container) -> dict[str, Any]:
    """The unit as it was installed, but for the program."""
    unit = machine.read("/usr/lib/systemd/system/loa-agent.service")
    unit = re.sub(rf"^({'|'.join(DROPPED)})=.*\n|^ConditionPathExists=.*\n", "", unit, flags=re.MULTILINE)
    start = (
        "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 -I /opt/probe.py\nStandardOutput=truncate:/var/tmp/told\n"
    )
    machine.write("/etc/systemd/system/loa-probe.service", unit.replace("[Service]\n", start))
    machine.write("/opt/probe.py", PROBE.read_text("utf-8"))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "loa-probe")
    found = json.loads(machine.read("/var/tmp/told"))
    assert isinstance(found, dict)
    return found


@pytest.fixture
def machine(boot: Boot, with_packages: list[Path]) -> Container:
    machine = boot(with_packages)
    for path in ("/dev/gpiochip0", "/dev/gpiochip15", "/dev/mem"):
        machine.run("mknod", path, "c", "1", "3")  # null by another name: what counts is which are there
    return machine


def test_the_sandbox_gives_what_the_node_needs_and_nothing_else(machine: Container) -> None:
    found = probed(machine)
    assert found["told"] == {
        "ask the kernel for its clock": "ok",
        "change the kernel's clock": NO,
        "set the clock": NO,
        "step a child back": "ok",
        "step forward": NO,
        "write state": "ok",
        "write runtime": "ok",
        "write configuration": READ_ONLY,
        "write the kept package": READ_ONLY,
        "write the program": READ_ONLY,
        "make a namespace": NO,
        "look into homes": "Permission denied",
        "boot id": "ok",
        "load": "ok",
    }
    assert found["umask"] == 0o077
    assert {"snd", "gpiochip0", "gpiochip15", "null", "urandom"} <= set(found["devices"])
    assert {"mem", "console"} & set(found["devices"]) == set()


def test_the_process_has_the_groups_of_its_account_and_no_capability(pole: Container) -> None:
    status = pole.run("cat", f"/proc/{commune.main_pid(pole)}/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    groups = pole.run("getent", "group", "audio", "gpio", "loa")
    assert set(lines["Groups"].split()) == {line.split(":")[2] for line in groups.splitlines()}
    assert {int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
