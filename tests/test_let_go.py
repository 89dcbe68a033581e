"""The relay after SIGKILL: at rest within the time that a Zero 2 W has, in the order of levels that makes no click."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.gpio.claim import Claim, remember
from agent.gpio.let_go import after_the_service
from agent.gpio.lines import Line, Lines
from agent.gpio_amp import GpioAmplifiers
from tests.fake_lgpio import FakeLgpio
from tests.test_gpio_lines import board

__all__ = ["board"]

LINES = {"main": Line(17, active_high=True), "market": Line(27, active_high=False)}
STOP_POST = {"SERVICE_RESULT": "signal"}
AMP_OFF = ["amp-off", "--config", "/etc/loa/node.yaml"]


def claimed(folder: Path, claim: Claim) -> dict[str, str]:
    remember(folder, claim)
    return {**STOP_POST, "RUNTIME_DIRECTORY": str(folder)}


def test_lines_that_were_left_on_fall_and_stay_pulled_to_rest(tmp_path: Path, board: FakeLgpio) -> None:
    board.strict = False  # as Raspberry Pi's kernel: a dead process's line stays as it was
    relays = Lines(lines=LINES, factory="lgpio", chip=0)
    for relay in relays.relays.values():
        relay.on()
    board.kill()
    environment = claimed(tmp_path, Claim(LINES, "lgpio", 0, None))
    assert after_the_service(AMP_OFF, environment)
    assert (board.levels[17], board.levels[27]) == ([None, 0, 1, 0], [None, 1, 0, 1])
    assert (board.lines[17].bias, board.lines[27].bias) == ("down", "up")
    assert board.lines[17].claimed == board.lines[27].claimed == ""
    assert board.opened == set()


def test_the_simulated_relay_falls_too(tmp_path: Path) -> None:
    trace = tmp_path / "relay.log"
    trace.write_text("1.0 main gpio17 0 off\n2.0 main gpio17 1 on\n3.0 market gpio27 1 off\n")
    assert after_the_service(AMP_OFF, claimed(tmp_path, Claim(LINES, "mock", None, trace)))
    assert [line.split()[1:] for line in trace.read_text().splitlines()[3:]] == [["main", "gpio17", "0", "off"]]


@pytest.mark.parametrize("broken", ["busy", "missing", "spoilt", "unknown chip", "no lgpio"])
def test_what_it_cannot_do_is_left_to_the_whole_command(
    tmp_path: Path, board: FakeLgpio, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A killed process that is stuck in the kernel still holds its line: nobody else gets it."""
    environment = claimed(tmp_path, Claim(LINES, "lgpio", None if broken == "unknown chip" else 0, None))
    if broken == "busy":
        board.lines[17].busy = True
    elif broken == "missing":
        (tmp_path / "amplifier.json").unlink()
    elif broken == "spoilt":
        (tmp_path / "amplifier.json").write_text(json.dumps({"factory": "lgpio"}))
    elif broken == "no lgpio":
        monkeypatch.setitem(sys.modules, "lgpio", None)
    assert not after_the_service(AMP_OFF, environment)


def test_a_person_who_types_it_gets_the_whole_command(tmp_path: Path) -> None:
    environment = claimed(tmp_path, Claim(LINES, "mock", None, None))
    assert not after_the_service(AMP_OFF, {"RUNTIME_DIRECTORY": str(tmp_path)})
    assert not after_the_service(["status"], environment)
    assert not after_the_service(AMP_OFF, STOP_POST)


def test_the_chip_that_was_found_is_remembered(board: FakeLgpio) -> None:
    amplifiers = GpioAmplifiers(lines=LINES, factory="lgpio", chip=0, trace=None, post=lambda _: None)
    assert amplifiers.chip == 0
    amplifiers.close()
    simulated = GpioAmplifiers(lines=LINES, factory="mock", chip=None, trace=None, post=lambda _: None)
    assert simulated.chip is None
    simulated.close()


HASTE = """
import sys
from agent.entry import main
sys.argv = ["loa-agent", "amp-off", "--config", "/etc/loa/node.yaml"]
try:
    main()
finally:
    slow = {"gpiozero", "yaml", "msgspec", "argparse", "vlc", "paho", "pathlib", "agent.config", "agent.__main__"}
    print(sorted(slow & set(sys.modules)))
"""


def test_nothing_slow_is_imported_before_the_relay_falls(tmp_path: Path) -> None:
    trace = tmp_path / "relay.log"
    trace.write_text("2.0 main gpio17 1 on\n")
    environment = {**os.environ, **claimed(tmp_path, Claim(LINES, "mock", None, trace))}
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-S", "-c", HASTE],
        env={**environment, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "amplifier off\n[]\n", "")
    assert "main gpio17 0 off" in trace.read_text()
