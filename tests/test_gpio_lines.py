"""No click: the levels that a relay's input sees, from before the claim until after the process."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from agent.gpio.lines import GpioError, Line, Lines
from tests.fake_lgpio import FakeLgpio, Pull

ACTIVE_LOW = {"main": Line(gpio=17, active_high=False)}
ACTIVE_HIGH = {"main": Line(gpio=17, active_high=True)}
BOTH_KINDS = pytest.mark.parametrize("active_high", [True, False], ids=["active high", "active low"])


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLgpio]:
    fake = FakeLgpio()
    gpiozero, local = importlib.import_module("gpiozero"), importlib.import_module("gpiozero.pins.local")

    def no_pi() -> int:
        raise gpiozero.PinUnknownPi("unable to locate Pi revision")

    monkeypatch.setitem(sys.modules, "lgpio", fake)
    sys.modules.pop("gpiozero.pins.lgpio", None)
    monkeypatch.setattr(local, "get_pi_revision", no_pi)
    yield fake
    sys.modules.pop("gpiozero.pins.lgpio", None)  # it holds this test's simulator


def rewire(board: FakeLgpio, pull: Pull) -> None:
    """Another board on the header: its own resistors pull the relay's inputs."""
    for gpio, line in board.lines.items():
        line.board_pull = pull
        board.levels[gpio] = [line.seen]


@BOTH_KINDS
def test_the_first_driven_level_is_the_inactive_one(board: FakeLgpio, active_high: bool) -> None:
    off, on = int(not active_high), int(active_high)
    lines = Lines(lines={"main": Line(gpio=17, active_high=active_high)}, factory="lgpio", chip=0)
    assert board.levels[17] == [None, off]
    lines.relays["main"].on()
    lines.relays["main"].off()
    lines.close()
    assert board.levels[17] == [None, off, on, off]
    assert board.opened == set()


def test_gpiozeros_own_way_clicks_on_the_same_board(board: FakeLgpio) -> None:
    factory = importlib.import_module("gpiozero.pins.lgpio").LGPIOFactory(chip=0)
    factory._get_revision = lambda: 0xA02082
    device = importlib.import_module("gpiozero").OutputDevice(
        "GPIO17", active_high=False, initial_value=False, pin_factory=factory
    )
    assert board.levels[17] == [None, 0, 1]  # 0 is "on" for this board
    device.close()
    factory.close()
    assert board.levels[17] == [None, 0, 1, None]  # and it leaves the relay to the weather


@pytest.mark.parametrize("pull", ["up", "down"])
@BOTH_KINDS
def test_a_board_with_resistors_never_sees_more_than_its_rest_and_our_levels(
    board: FakeLgpio, pull: Pull, active_high: bool
) -> None:
    rewire(board, pull)
    off, on, rest = int(not active_high), int(active_high), int(pull == "up")
    lines = Lines(lines={"main": Line(gpio=17, active_high=active_high)}, factory="lgpio", chip=0)
    lines.relays["main"].on()
    lines.close()
    assert board.levels[17] == ([off, on, off] if rest == off else [on, off, on, off])


@BOTH_KINDS
def test_a_killed_process_lets_the_line_fall_to_the_safe_side(board: FakeLgpio, active_high: bool) -> None:
    lines = Lines(lines={"main": Line(gpio=17, active_high=active_high)}, factory="lgpio", chip=0)
    lines.relays["main"].on()
    board.kill()
    assert board.lines[17].seen == int(not active_high)


@BOTH_KINDS
def test_where_the_kernel_keeps_a_dead_process_level_the_next_claim_ends_it(
    board: FakeLgpio, active_high: bool
) -> None:
    board.strict = False
    off, on = int(not active_high), int(active_high)
    wiring = {"main": Line(gpio=17, active_high=active_high)}
    first = Lines(lines=wiring, factory="lgpio", chip=0)
    first.relays["main"].on()
    board.kill()
    assert board.lines[17].seen == on
    Lines(lines=wiring, factory="lgpio", chip=0).close()
    assert board.levels[17] == [None, off, on, off]


def test_closing_twice_is_closing_once(board: FakeLgpio) -> None:
    lines = Lines(lines=ACTIVE_HIGH, factory="lgpio", chip=0)
    lines.close()
    lines.close()
    assert board.levels[17] == [None, 0]


def test_a_machine_that_is_no_pi_is_told_to_name_its_chip(board: FakeLgpio) -> None:
    with pytest.raises(GpioError, match=r"name the chip, as in gpio: \{chip: 0\}"):
        Lines(lines=ACTIVE_HIGH, factory="lgpio", chip=None)


def test_an_absent_chip_is_named(board: FakeLgpio) -> None:
    with pytest.raises(GpioError, match=r"/dev/gpiochip4 cannot be opened \(can not open gpiochip\)"):
        Lines(lines=ACTIVE_HIGH, factory="lgpio", chip=4)


def test_a_missing_library_is_named(board: FakeLgpio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(GpioError, match="apt install python3-lgpio"):
        Lines(lines=ACTIVE_HIGH, factory="lgpio", chip=0)


def test_a_line_in_use_is_named_and_the_others_are_let_go_inactive(board: FakeLgpio) -> None:
    board.lines[27].busy = True
    wiring = {**ACTIVE_LOW, "square": Line(gpio=27, active_high=True)}
    with pytest.raises(GpioError, match="GPIO27 cannot be claimed: GPIO busy"):
        Lines(lines=wiring, factory="lgpio", chip=0)
    assert board.levels[17] == [None, 1]
    assert board.opened == set()


def test_a_number_that_is_no_gpio_is_named(board: FakeLgpio) -> None:
    with pytest.raises(GpioError, match="GPIO99 cannot be claimed"):
        Lines(lines={"main": Line(gpio=99, active_high=True)}, factory="lgpio", chip=0)


def test_garbage_that_is_collected_amid_a_reservation_hangs_nobody(board: FakeLgpio) -> None:
    """A device's `__del__` gives its pins back, on whichever thread collects it, also one that is reserving others."""
    lines = Lines(lines={"square": Line(gpio=27, active_high=True)}, factory="lgpio", chip=0)
    device: Any = lines.relays["square"]
    factory = device.pin.factory
    with factory._res_lock:
        assert factory._res_lock.acquire(timeout=1.0)
        factory._res_lock.release()
    lines.close()


def test_one_broken_line_does_not_keep_the_others_from_falling(board: FakeLgpio) -> None:
    lines = Lines(lines={**ACTIVE_LOW, "square": Line(gpio=27, active_high=True)}, factory="lgpio", chip=0)
    for relay in lines.relays.values():
        relay.on()
    board.lines[17].broken = True
    lines.close()
    assert board.levels[27] == [None, 0, 1, 0]
    assert board.levels[17] == [None, 1, 0, 1]  # freed, it falls to the pull that was set with the claim
