"""A small honest simulator of the `lgpio` module and of the board behind it: what the relay's input sees, in order.

It keeps the rules of lgpio 0.2.2 and of the kernel's GPIO character device: a claim as output carries its level (0 if
none is named) and is ignored on a line that is an output already; a claim in the other direction frees the line first;
a pull is set before the direction; a freed line stays as it is (Raspberry Pi's kernel) or becomes an input (`strict`).
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Literal

Pull = Literal["floating", "up", "down"]


class GpioFault(Exception):  # noqa: N818 - it stands for lgpio.error
    """As lgpio.error: no relative of OSError."""


@dataclass
class SimulatedLine:
    """One line: who holds it, how it is driven, and what the board does to it when nobody drives."""

    board_pull: Pull = "floating"
    bias: Pull = "floating"
    direction: Literal["in", "out"] = "in"
    level: int = 0
    claimed: Literal["", "in", "out"] = ""
    busy: bool = False
    broken: bool = False

    @property
    def seen(self) -> int | None:
        """The level at the relay's input; None where nothing decides it."""
        if self.direction == "out":
            return self.level
        pull = self.bias if self.bias != "floating" else self.board_pull
        return {"floating": None, "up": 1, "down": 0}[pull]


class FakeLgpio(ModuleType):
    """Put it into `sys.modules["lgpio"]` before gpiozero's lgpio pins are imported."""

    RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3
    SET_PULL_UP, SET_PULL_DOWN, SET_PULL_NONE = 32, 64, 128
    error = GpioFault

    def __init__(self, *, board_pull: Pull = "floating", strict: bool = True) -> None:
        super().__init__("lgpio")
        self.lines = {gpio: SimulatedLine(board_pull=board_pull) for gpio in range(54)}
        self.strict = strict
        self.chips = {0}
        self.opened: set[int] = set()
        self.opened_ever = 0
        self.levels: dict[int, list[int | None]] = {gpio: [line.seen] for gpio, line in self.lines.items()}

    def _note(self, gpio: int) -> None:
        seen = self.lines[gpio].seen
        if self.levels[gpio][-1] != seen:
            self.levels[gpio].append(seen)

    def _claim(self, gpio: int, direction: Literal["in", "out"], level: int, flags: int) -> None:
        line = self.lines[gpio]
        if line.busy:
            raise GpioFault("GPIO busy")
        if line.claimed == direction:
            return
        if line.claimed:
            self._free(gpio)
        line.claimed = direction
        for flag, pull in ((self.SET_PULL_UP, "up"), (self.SET_PULL_DOWN, "down"), (self.SET_PULL_NONE, "floating")):
            if flags & flag:
                line.bias = pull  # type: ignore[assignment]  # the three words of Pull
                self._note(gpio)
        line.direction, line.level = direction, level
        self._note(gpio)

    def _free(self, gpio: int) -> None:
        line = self.lines[gpio]
        line.claimed = ""
        if self.strict:
            line.direction = "in"
        self._note(gpio)

    def kill(self) -> None:
        """What the kernel does when the process is gone; what that process still holds writes nothing any more."""
        for gpio, line in self.lines.items():
            if line.claimed:
                self._free(gpio)
        self.opened.clear()

    def gpiochip_open(self, gpiochip: int) -> int:
        if gpiochip not in self.chips:
            raise GpioFault("can not open gpiochip")
        self.opened_ever += 1
        self.opened.add(self.opened_ever)
        return self.opened_ever

    def gpiochip_close(self, handle: int) -> int:
        if handle in self.opened:
            self.kill()
        return 0

    def gpio_claim_input(self, handle: int, gpio: int, lFlags: int = 0) -> int:  # noqa: N803 - lgpio's name
        if handle not in self.opened:
            return 0
        self._claim(gpio, "in", 0, lFlags)
        return 0

    def gpio_claim_output(self, handle: int, gpio: int, level: int = 0, lFlags: int = 0) -> int:  # noqa: N803 - as above
        if handle not in self.opened:
            return 0
        self._claim(gpio, "out", int(bool(level)), lFlags)
        return 0

    def gpio_free(self, handle: int, gpio: int) -> int:
        if handle not in self.opened:
            return 0
        if not self.lines[gpio].claimed:
            raise GpioFault("GPIO not allocated")
        self._free(gpio)
        return 0

    def gpio_get_mode(self, handle: int, gpio: int) -> int:
        return 2 if self.lines[gpio].direction == "out" else 0

    def gpio_read(self, handle: int, gpio: int) -> int:
        return self.lines[gpio].seen or 0

    def gpio_write(self, handle: int, gpio: int, level: int) -> int:
        if handle not in self.opened:
            return 0
        line = self.lines[gpio]
        if line.broken:
            raise GpioFault("bad GPIO write")
        if line.claimed != "out":
            return self.gpio_claim_output(handle, gpio, level)
        line.level = int(bool(level))
        self._note(gpio)
        return 0
