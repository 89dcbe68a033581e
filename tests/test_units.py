"""The systemd unit: known keys only, and as little access as the node can live with."""

import configparser
import subprocess
from pathlib import Path

import pytest

from agent.commands.run import CLOSING_S
from agent.restarts import WAITS_S

SLOWEST_START_S = 12
"""Of a Zero 2 W with a busy SD card."""
AMP_OFF_S = 30
"""`amp-off` on a machine that is busy with other things: seen to take more than 10 s of an emulated one."""
UNIT = Path(__file__).parent.parent / "systemd/loa-agent.service"
MAX_EXPOSURE_TENTHS = 20
"""0 is walled in, 100 is naked. What is left: the network, two kinds of device, asking the kernel for the time,
and stepping back behind others (`setpriority`)."""


def installed(folder: Path, extra: str = "") -> Path:
    """The unit as it would be on a node whose program exists."""
    program = folder / "loa-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text().replace("/opt/loa/bin/loa-agent", str(program))
    unit = folder / "loa-agent.service"
    unit.write_text(text.replace("[Install]", f"{extra}\n[Install]"))
    return unit


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def verify(unit: Path) -> str:
    """What systemd has to say against the unit."""
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if unit.name in line)


def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    assert verify(installed(tmp_path)) == ""


@pytest.mark.parametrize(
    ("extra", "complaint"), [("WatchdogSecs=10", "Unknown key"), ("WatchdogSec=soon", "Failed to parse")]
)
def test_a_mistake_in_the_unit_would_be_seen(tmp_path: Path, extra: str, complaint: str) -> None:
    assert complaint in verify(installed(tmp_path, extra))


def test_the_sandbox_holds(tmp_path: Path) -> None:
    done = analyze(
        "security", "--offline=true", f"--threshold={MAX_EXPOSURE_TENTHS}", "--no-pager", installed(tmp_path)
    )
    assert done.returncode == 0, done.stdout


def test_the_kernel_may_be_asked_whether_its_clock_is_right(tmp_path: Path) -> None:
    # The filter is a list of which each line changes what the lines before it left: the order decides.
    said = analyze("security", "--offline=true", "--no-pager", installed(tmp_path)).stdout
    (line,) = [line for line in said.splitlines() if "SystemCallFilter=~@clock" in line]
    assert "adjtimex is allowed" in line
    assert "CapabilityBoundingSet=~CAP_SYS_TIME" in said


def test_a_wider_sandbox_would_be_seen(tmp_path: Path) -> None:
    unit = installed(tmp_path, "NoNewPrivileges=no\nProtectSystem=no\nSystemCallFilter=")
    assert (
        analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE_TENTHS}", "--no-pager", unit).returncode != 0
    )


def test_the_relay_falls_on_every_way_out_and_the_node_comes_back() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys are case-sensitive here
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    assert service["ExecStopPost"].split()[1] == "amp-off"
    assert service["ExecStart"].split()[0] == service["ExecStopPost"].split()[0]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert (service["WatchdogSec"], service["TimeoutAbortSec"]) == ("10", "2")
    assert (service["Restart"], service["RestartSec"]) == ("always", "1")
    assert max(WAITS_S) + SLOWEST_START_S < int(service["TimeoutStartSec"]), "it waits before it is ready"
    assert min(int(service["TimeoutStopSec"]), int(service["WatchdogSec"])) > CLOSING_S
    assert int(service["TimeoutStopSec"]) >= AMP_OFF_S, "it bounds amp-off as well"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert not {"After", "Wants", "Requires"} & set(unit["Unit"])  # no network, no clock, no card is waited for
