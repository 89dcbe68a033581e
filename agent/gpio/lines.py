"""Lines of a relay board, claimed without a click: on a Raspberry Pi by lgpio, or simulated.

The only module that knows gpiozero. Owner: whoever opened the `Lines`; a relay's `on` and `off` may be called from any
thread, since each is one write to the kernel. Invariants: the first thing that a line ever does is to be driven at its
inactive level, in the same system call that makes it an output; closing leaves it at that level, pulled towards it.
"""

import contextlib
import importlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Literal, Protocol, cast

from agent.gpio.trace import levels_left, note
from agent.messages.sentences import Sentence

# gpiozero has no types; this one name is where the untyped world ends.
gpiozero: Any = importlib.import_module("gpiozero")
mock: Any = importlib.import_module("gpiozero.pins.mock")

Factory = Literal["lgpio", "mock"]

FORTY_PIN_HEADER = 0xA02082
"""Board revision (Pi 3B) taken where the machine names none: every Pi since 2014 has the same 40-pin header."""
MAX_REMEMBERED_STATES = 64
"""gpiozero's mock pin remembers every change for ever: a node that runs on it must not grow."""


class GpioError(OSError):
    """The relay board's lines cannot be had. The text is one sentence that names the way out."""


@dataclass(frozen=True)
class Line:
    """One relay: its GPIO number (BCM) and whether the relay pulls in at high level."""

    gpio: int
    active_high: bool


class Relay(Protocol):
    """One claimed line."""

    def on(self) -> None:
        """Drive the active level."""

    def off(self) -> None:
        """Drive the inactive level."""

    def close(self) -> None:
        """Let go of the line."""


class Lines:
    """All relays of one board, by zone, inactive from the first instant."""

    def __init__(
        self, *, lines: Mapping[str, Line], factory: Factory, chip: int | None = None, trace: Path | None = None
    ) -> None:
        """Claim the lines.

        `chip` is the number of /dev/gpiochipN (None: ask the device tree); `trace` the file of the simulated board.

        Raises:
            GpioError: no such chip, no right to it, or a line that is no GPIO or in use.
        """
        self.relays: dict[str, Relay] = {}
        self._board = _simulated_board(lines, trace) if factory == "mock" else _quiet_board(chip)
        try:
            for zone, line in lines.items():
                self.relays[zone] = self._claim(line)
        except GpioError:
            self.close()
            raise

    @property
    def chip(self) -> int | None:
        """The number of the chip that was found; None on a simulated board."""
        found: int | None = getattr(self._board, "chip", None)
        return found

    def _claim(self, line: Line) -> Relay:
        try:
            device = gpiozero.OutputDevice(
                f"GPIO{line.gpio}", active_high=line.active_high, initial_value=False, pin_factory=self._board
            )
        except Exception as error:  # lgpio.error is no relative of anything
            told = Sentence(
                "{line} cannot be claimed: {error}; is it in use by another process?",
                line=f"GPIO{line.gpio}",
                error=error,
            )
            raise GpioError(told) from error
        return cast("Relay", device)

    def close(self) -> None:
        """Leave every line at its inactive level and let go of it; may be called again."""
        for relay in self.relays.values():
            with contextlib.suppress(Exception):  # one line that fails must not keep the others from being let go
                relay.close()
        self.relays.clear()
        self._board.close()


def _quiet_board(chip: int | None) -> Any:
    """Open the chip; see `_quiet_factory` for what is quiet about it."""
    try:
        return _quiet_factory(chip)(chip=chip)
    except ImportError as error:
        told = Sentence(
            "lgpio is not installed ({error}): apt install python3-lgpio, or set {mock}",
            error=error,
            mock="gpio: {factory: mock}",
        )
        raise GpioError(told) from error
    except gpiozero.PinUnknownPi as error:
        told = Sentence("the device tree names no Raspberry Pi: name the chip, as in {chip}", chip="gpio: {chip: 0}")
        raise GpioError(told) from error
    except Exception as error:  # lgpio.error is no relative of anything
        told = Sentence(
            "{device} cannot be opened ({error}): is this a Pi, and its user in group gpio?",
            device=f"/dev/gpiochip{0 if chip is None else chip}",
            error=error,
        )
        raise GpioError(told) from error


def _quiet_factory(chip: int | None) -> Any:
    """The lgpio factory of gpiozero, with pins that never pass through another state.

    Its own pin claims the line as an input with the pull taken away, then as an output at level 0, then writes the
    level that was asked for: an active-low relay pulls in for a moment, and a floating input may do anything.
    """
    stock = importlib.import_module("gpiozero.pins.lgpio")
    local = importlib.import_module("gpiozero.pins.local")
    lgpio = stock.lgpio

    class QuietPin(stock.LGPIOPin):  # type: ignore[name-defined, misc]  # its base is only known at run time
        """A line whose first and last driven level is the inactive one."""

        def __init__(self, factory: Any, info: Any) -> None:
            local.LocalPiPin.__init__(self, factory, info)  # past LGPIOPin's own, which makes the line a floating input
            self._pwm = self._bounce = self._callback = None
            self._edges = lgpio.BOTH_EDGES
            self._rest: bool | None = None

        def output_with_state(self, state: bool) -> None:
            """Direction, level and pull in one request; the kernel sets the level before the direction.

            The pull towards the inactive level outlives the request, so that a line let go falls to the safe side.
            """
            pull = lgpio.SET_PULL_UP if state else lgpio.SET_PULL_DOWN
            lgpio.gpio_claim_output(self._factory._handle, self._number, int(state), pull)  # noqa: SLF001 - no accessor
            self._rest = bool(state)

        def close(self) -> None:
            """Inactive, then free: gpiozero's own would make it an input without a pull."""
            if self._rest is None or self._factory._handle is None:  # noqa: SLF001 - as above
                return
            handle, rest, self._rest = self._factory._handle, self._rest, None  # noqa: SLF001 - as above
            try:
                lgpio.gpio_write(handle, self._number, int(rest))
            finally:
                lgpio.gpio_free(handle, self._number)

    class QuietFactory(stock.LGPIOFactory):  # type: ignore[name-defined, misc]  # its base is only known at run time
        """Takes a named chip at its word, also where the device tree names no Pi."""

        def __init__(self, chip: int | None) -> None:
            super().__init__(chip=chip)
            self.pin_class = QuietPin
            self.pins: dict[Any, Any] = {}  # this board's own: gpiozero's belong to the whole process
            self._reservations: defaultdict[Any, list[Any]] = defaultdict(list)
            # Garbage that is collected while gpiozero holds its lock takes it once more: with its own the loop hangs.
            self._res_lock = RLock()

        def _get_revision(self) -> int:
            try:
                return int(super()._get_revision())
            except gpiozero.PinUnknownPi:
                if chip is None:
                    raise
                return FORTY_PIN_HEADER

    return QuietFactory


class SimulatedPin(mock.MockPin):  # type: ignore[misc]  # gpiozero has no types
    """A mock pin that is claimed in one act, as the kernel does, and tells its board of every level."""

    def output_with_state(self, state: bool) -> None:
        """Direction and level at once."""
        self._function = "output"
        self._change_state(state)
        self._factory.saw(self._number, state)

    def _change_state(self, value: bool) -> bool:
        changed = bool(super()._change_state(value))
        if changed and self._function == "output":
            self._factory.saw(self._number, value)
        del self.states[:-MAX_REMEMBERED_STATES]
        return changed


class SimulatedBoard(mock.MockFactory):  # type: ignore[misc]  # gpiozero has no types
    """A relay board whose lines are written down, and so outlive the process as a real board's relays do."""

    def __init__(self, lines: Mapping[str, Line], trace: Path | None) -> None:
        super().__init__(revision=f"{FORTY_PIN_HEADER:x}", pin_class=SimulatedPin)
        self._zones = {line.gpio: (zone, line.active_high) for zone, line in lines.items()}
        self._trace = trace
        self._levels = {} if trace is None else levels_left(str(trace))

    def saw(self, gpio: int, level: bool) -> None:
        """Write the level down if it is another one than before."""
        if self._trace is None or self._levels.get(gpio) == level:
            return
        self._levels[gpio] = level
        zone, active_high = self._zones[gpio]
        note(str(self._trace), zone, gpio, level=level, on=level == active_high)


def _simulated_board(lines: Mapping[str, Line], trace: Path | None) -> Any:
    try:
        return SimulatedBoard(lines, trace)
    except OSError as error:
        told = Sentence(
            "the simulated board's trace {trace} cannot be read: {error}", trace=trace, error=error.strerror
        )
        raise GpioError(told) from error
