"""The machine's health, read from a made-up /proc and /sys, and from this machine's own."""

from pathlib import Path

from agent.messages.events import VitalsMeasured
from agent.vitals import Vitals


def machine(root: Path, *, zones: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/statm").write_text("50000 12800 3000 1 0 9000 0\n")
    (root / "proc/loadavg").write_text("0.42 0.30 0.20 1/200 1234\n")
    for number, (name, millidegrees) in enumerate(zones.items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{name}\n")
        (zone / "temp").write_text(f"{millidegrees}\n")
    return root


def test_what_a_raspberry_pi_says(tmp_path: Path) -> None:
    root = machine(tmp_path, zones={"cpu-thermal": "53692"})
    measured = Vitals(disk=tmp_path, root=root).measure()
    assert (measured.cpu_c, measured.rss_mb, measured.load) == (53.692, 50.0, 0.42)
    assert measured.disk_free_mb > 0


def test_the_processor_is_found_among_other_thermometers(tmp_path: Path) -> None:
    root = machine(tmp_path, zones={"acpitz": "20000", "cpu-thermal": "-4500"})
    assert Vitals(disk=tmp_path, root=root).measure().cpu_c == -4.5


def test_a_machine_that_says_nothing_is_not_guessed_at(tmp_path: Path) -> None:
    measured = Vitals(disk=tmp_path / "gone", root=tmp_path).measure()
    assert measured == VitalsMeasured(cpu_c=None, rss_mb=0.0, load=0.0, disk_free_mb=0)


def test_this_machine_answers(tmp_path: Path) -> None:
    measured = Vitals(disk=tmp_path).measure()
    assert measured.rss_mb > 1.0
    assert measured.load >= 0.0
