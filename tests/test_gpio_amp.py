"""The amplifiers' relays on a simulated board: switching, the dead man's handle, closing, and `amp-off`."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from agent.gpio_amp import GpioAmplifiers, Line, amp_off
from agent.messages.events import Event, RelayFailed, ThreadDied
from tests.fake_lgpio import FakeLgpio

WIRING = {"main": Line(gpio=17, active_high=True), "square": Line(gpio=27, active_high=False)}
DEADLINE_S = 10.0


def levels(trace: Path) -> list[str]:
    """The trace without its instants."""
    return [row.split(" ", 1)[1] for row in trace.read_text("latin-1").splitlines()] if trace.exists() else []


def instants(trace: Path) -> list[float]:
    return [float(row.split(" ", 1)[0]) for row in trace.read_text("ascii").splitlines()]


class Bench:
    """Amplifiers on a simulated board with an inbox."""

    def __init__(self, trace: Path, dead_man_s: float) -> None:
        self.trace = trace
        self.inbox: SimpleQueue[Event] = SimpleQueue()
        self.amplifiers = GpioAmplifiers(
            lines=WIRING, factory="mock", chip=None, trace=trace, post=self.inbox.put, dead_man_s=dead_man_s
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "relay.trace", dead_man_s=60.0)
    yield made
    made.amplifiers.close()


@pytest.fixture
def nervous(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "relay.trace", dead_man_s=0.15)
    yield made
    made.amplifiers.close()


def test_each_zone_starts_inactive_and_switches_alone(bench: Bench) -> None:
    assert levels(bench.trace) == ["main gpio17 0 off", "square gpio27 1 off"]
    bench.amplifiers.switch("square", on=True)
    bench.amplifiers.switch("main", on=True)
    bench.amplifiers.switch("square", on=False)
    assert levels(bench.trace)[2:] == ["square gpio27 0 on", "main gpio17 1 on", "square gpio27 1 off"]
    assert bench.inbox.empty()


def test_the_trace_tells_the_time_since_boot(bench: Bench) -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    bench.amplifiers.switch("main", on=True)
    after_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s - 1e-6 <= instants(bench.trace)[-1] <= after_s + 1e-6


def test_switching_to_what_already_is_changes_no_level(bench: Bench) -> None:
    bench.amplifiers.switch("main", on=False)
    bench.amplifiers.switch("main", on=True)
    bench.amplifiers.switch("main", on=True)
    assert levels(bench.trace)[2:] == ["main gpio17 1 on"]


def test_close_switches_off_first_and_may_be_repeated(bench: Bench) -> None:
    bench.amplifiers.switch("main", on=True)
    bench.amplifiers.switch("square", on=True)
    bench.amplifiers.close()
    bench.amplifiers.close()
    assert levels(bench.trace)[4:] == ["main gpio17 0 off", "square gpio27 1 off"]
    assert "dead-man" not in {thread.name for thread in threading.enumerate()}


def test_after_close_nothing_switches_on(bench: Bench) -> None:
    bench.amplifiers.close()
    bench.amplifiers.switch("main", on=True)
    bench.amplifiers.switch("main", on=False)
    assert levels(bench.trace) == ["main gpio17 0 off", "square gpio27 1 off"]
    failed = bench.inbox.get_nowait()
    assert isinstance(failed, RelayFailed)
    assert failed.zone == "main"
    assert bench.inbox.empty()


def test_without_a_turn_of_the_loop_every_relay_falls_and_stays_off(nervous: Bench) -> None:
    nervous.amplifiers.switch("main", on=True)
    nervous.amplifiers.switch("square", on=True)
    died = nervous.inbox.get(timeout=DEADLINE_S)
    assert isinstance(died, ThreadDied)
    assert died.thread == "loop"
    fallen = ["main gpio17 0 off", "square gpio27 1 off"]
    assert levels(nervous.trace)[4:] == fallen
    on_s, off_s = instants(nervous.trace)[3:5]
    assert off_s - on_s >= 0.14  # not before its time; how late is the machine's business
    nervous.amplifiers.renew()
    nervous.amplifiers.switch("main", on=True)
    assert isinstance(nervous.inbox.get(timeout=DEADLINE_S), RelayFailed)
    assert levels(nervous.trace)[4:] == fallen
    assert nervous.inbox.empty()  # told once


def test_a_loop_that_turns_keeps_its_relay(tmp_path: Path) -> None:
    patient = Bench(tmp_path / "relay.trace", dead_man_s=1.5)  # a busy machine may well pause a test for half a second
    patient.amplifiers.switch("main", on=True)
    until_s = time.monotonic() + 2.0
    while time.monotonic() < until_s:
        with pytest.raises(Empty):
            patient.inbox.get(timeout=0.1)
        patient.amplifiers.renew()
    assert levels(patient.trace)[2:] == ["main gpio17 1 on"]
    patient.amplifiers.close()


def test_a_process_that_stood_still_is_not_a_loop_that_hangs(tmp_path: Path) -> None:
    """All its threads were stopped, so the last renewal is old; the loop gets its turn before it is judged."""
    stopped = Bench(tmp_path / "relay.trace", dead_man_s=2.0)
    stopped.amplifiers.switch("main", on=True)
    stopped.amplifiers._renewed_s -= 60.0
    stopped.amplifiers._wake.put(None)
    with pytest.raises(Empty):
        stopped.inbox.get(timeout=0.25)
    stopped.amplifiers.renew()
    with pytest.raises(Empty):
        stopped.inbox.get(timeout=0.25)
    assert levels(stopped.trace)[2:] == ["main gpio17 1 on"]
    stopped.amplifiers._renewed_s -= 60.0  # and now it does hang
    assert isinstance(stopped.inbox.get(timeout=DEADLINE_S), ThreadDied)
    assert levels(stopped.trace)[3:] == ["main gpio17 0 off"]
    stopped.amplifiers.close()


def test_an_idle_node_needs_no_renewal(nervous: Bench) -> None:
    nervous.amplifiers.switch("main", on=True)
    nervous.amplifiers.switch("main", on=False)
    with pytest.raises(Empty):
        nervous.inbox.get(timeout=0.5)
    nervous.amplifiers.switch("main", on=True)
    assert levels(nervous.trace)[-1] == "main gpio17 1 on"
    nervous.amplifiers.switch("main", on=False)


def test_a_line_that_cannot_be_written_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeLgpio()
    monkeypatch.setitem(sys.modules, "lgpio", board)
    sys.modules.pop("gpiozero.pins.lgpio", None)
    inbox: SimpleQueue[Event] = SimpleQueue()
    amplifiers = GpioAmplifiers(lines=WIRING, factory="lgpio", chip=0, trace=None, post=inbox.put)
    try:
        board.lines[17].broken = True
        amplifiers.switch("main", on=True)
        assert inbox.get_nowait() == RelayFailed("main", "could not be switched on: bad GPIO write")
        amplifiers.switch("main", on=False)
        assert inbox.get_nowait() == RelayFailed("main", "could not be switched off: bad GPIO write")
        amplifiers.switch("square", on=True)
        assert board.levels[27] == [None, 1, 0]
    finally:
        amplifiers.close()
        sys.modules.pop("gpiozero.pins.lgpio", None)
    assert board.levels[27] == [None, 1, 0, 1]


HOLD = """
import sys, time
from pathlib import Path
from agent.gpio_amp import GpioAmplifiers, Line
amplifiers = GpioAmplifiers(
    lines={"main": Line(17, active_high=True)}, factory="mock", chip=None, trace=Path(sys.argv[1]), post=print)
amplifiers.switch("main", on=True)
print("on", flush=True)
sys.stdin.read() if sys.argv[2] == "killed" else None
"""


def test_after_sigkill_the_simulated_relay_stays_on_until_amp_off(tmp_path: Path) -> None:
    trace = tmp_path / "relay.trace"
    holder = [sys.executable, "-c", HOLD, str(trace), "killed"]
    with subprocess.Popen(holder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        os.kill(process.pid, signal.SIGKILL)
    main = {"main": Line(gpio=17, active_high=True)}
    assert levels(trace) == ["main gpio17 0 off", "main gpio17 1 on"]
    amp_off(lines=main, factory="mock", chip=None, trace=trace)
    amp_off(lines=main, factory="mock", chip=None, trace=trace)
    assert levels(trace) == ["main gpio17 0 off", "main gpio17 1 on", "main gpio17 0 off"]


def test_a_foreign_or_torn_trace_is_no_obstacle(tmp_path: Path) -> None:
    trace = tmp_path / "relay.trace"
    trace.write_bytes(b"\xff\x00 not a row\n1.0 main gpioX 1 on\n12.5 main gpio17")
    amp_off(lines={"main": Line(gpio=17, active_high=True)}, factory="mock", chip=None, trace=trace)
    assert levels(trace)[-1].endswith("main gpio17 0 off")
