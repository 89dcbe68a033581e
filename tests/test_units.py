"""The systemd unit: known keys only, and as little access as the node can live with."""

import configparser
import fnmatch
import subprocess
from pathlib import Path

import pytest

from agent.commands.run import CLOSING_S
from agent.restarts import WAITS_S

SLOWEST_START_S = 12
"""Of a Zero 2 W with a busy SD card."""
AMP_OFF_S = 30
"""`amp-off` on a machine that is busy with other things: seen to take more than 10 s of an emulated one."""
UNITS = Path(__file__).parent.parent / "systemd"
UNIT = UNITS / "loa-agent.service"
FIRST_BOOT = UNITS / "loa-first-boot.service"
PROGRAMS = ("/usr/bin/loa-agent", "/usr/lib/loa/trial")
MAX_EXPOSURE_TENTHS = 15
"""0 is walled in, 100 is naked. What is left: the network, two kinds of device, asking the kernel for the time,
and stepping back behind others (`setpriority`). ADR 33 has the sum."""


def installed(folder: Path, extra: str = "", unit: Path = UNIT) -> Path:
    """The unit as it would be on a node whose programs exist."""
    text = unit.read_text()
    for path in PROGRAMS:
        program = folder / Path(path).name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        text = text.replace(f"{path} ", f"{program} ")
    copy = folder / unit.name
    copy.write_text(text.replace("[Service]", f"[Service]\n{extra}"))
    return copy


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def verify(unit: Path) -> str:
    """What systemd has to say against the unit."""
    done = analyze("verify", "--man=no", "--recursive-errors=no", unit)
    return "\n".join(line for line in (done.stdout + done.stderr).splitlines() if unit.name in line)


@pytest.mark.parametrize("unit", sorted(UNITS.glob("*.service")), ids=lambda unit: unit.stem)
def test_systemd_has_nothing_to_say_against_a_unit(tmp_path: Path, unit: Path) -> None:
    assert verify(installed(tmp_path, unit=unit)) == ""


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
    unit = installed(tmp_path)
    unit.write_text(unit.read_text().replace("[Install]", "NoNewPrivileges=no\nProtectSystem=no\n[Install]"))
    assert (
        analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE_TENTHS}", "--no-pager", unit).returncode != 0
    )


def read(path: Path) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys are case-sensitive here
    unit.read_string(path.read_text())
    return unit


def test_first_boot_comes_before_the_node_and_waits_for_no_network(tmp_path: Path) -> None:
    unit = read(FIRST_BOOT)
    assert unit["Unit"]["Before"] == "loa-agent.service"
    assert unit["Unit"]["After"] == "systemd-sysusers.service"
    assert "/boot/firmware" in unit["Unit"]["RequiresMountsFor"].split()
    assert unit["Service"]["Type"] == "oneshot"
    assert unit["Service"]["ExecStart"].split() == [read(UNIT)["Service"]["ExecStart"].split()[0], "first-boot"]
    assert "/etc" in unit["Service"]["ReadWritePaths"].split(), "a mount of its own could not be exchanged"
    assert int(unit["Service"]["TimeoutStartSec"]) < 300


def test_first_boot_has_no_more_rights_than_it_needs(tmp_path: Path) -> None:
    unit = installed(tmp_path, unit=FIRST_BOOT)
    done = analyze("security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("node.yaml", True),
        ("NODE.YAML", True),
        ("node.yaml.txt", True),
        ("trust.yml", True),
        ("node.key", True),
        ("node.key.used", True),
        ("ca.pem", True),
        ("loa-result.txt", False),
        ("photo.jpg", False),
    ],
)
def test_first_boot_begins_only_where_something_was_dropped(name: str, wanted: bool) -> None:
    patterns = [
        line.removeprefix("ConditionPathExistsGlob=|/boot/firmware/loa/")
        for line in FIRST_BOOT.read_text().splitlines()
        if line.startswith("Condition")
    ]
    assert any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) == wanted


def test_the_relay_falls_on_every_way_out_and_the_node_comes_back() -> None:
    unit = read(UNIT)
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


def test_the_node_waits_for_its_first_boot_and_needs_it_not() -> None:
    first_boot = read(UNITS / "loa-first-boot.service")
    assert first_boot["Unit"]["Before"] == UNIT.name
    assert int(first_boot["Service"]["TimeoutStartSec"]) <= 120
    # Of two words about one path the stricter holds: `full` would take back what ReadWritePaths=/etc gives.
    assert first_boot["Service"]["ProtectSystem"] == "yes"
    assert not {"Wants", "Requires", "RequiredBy", "BindsTo"} & {*first_boot["Unit"], *first_boot["Install"]}


def test_the_kernel_knows_of_sound_before_the_agent_is_given_its_devices() -> None:
    assert "char-alsa rw" in UNIT.read_text()
    loaded = (UNITS / "loa-agent.modules-load.conf").read_text().splitlines()
    assert [line for line in loaded if not line.startswith("#")] == ["snd"]


def test_the_machines_own_watchdog_is_set_to_what_a_pi_can_do() -> None:
    assert read(UNITS / "60-loa-watchdog.conf")["Manager"]["RuntimeWatchdogSec"] == "15s"


def test_an_upgrade_is_counted_as_root_and_never_holds_the_node_up() -> None:
    service = read(UNIT)["Service"]
    assert service["ExecStartPre"] == "-+/usr/lib/loa/trial start"
    assert service["ExecStartPost"] == "-+/usr/lib/loa/trial ready"
