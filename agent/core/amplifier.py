"""The amplifier of one zone as one transition table (design section 5). What is not in the table is refused.

OFF -> WARMING (relay on, wait) -> ON (sound may start) -> LINGER (stay on between items, no chatter) -> OFF; FAULT from
anywhere. Durations are seconds of the monotonic clock; the relay itself is switched by whoever receives `Switch`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

FAULT_REST_S: Final = 10.0
"""How long a faulty relay is left alone before it may be tried again."""


class Mode(StrEnum):
    """Where the amplifier stands."""

    OFF = "off"
    WARMING = "warming"
    ON = "on"
    LINGER = "linger"
    FAULT = "fault"


class Cue(StrEnum):
    """What can happen to it: the first three are wishes, the others facts."""

    WANTED = "wanted"
    RELEASED = "released"
    CUT = "cut"
    WARMED_UP = "warmed up"
    LINGERED = "lingered"
    MAX_ON = "on for the maximum"
    FAILED = "relay failed"
    RESTED = "rested"


class Switch(StrEnum):
    """What the relay is told; KEEP tells it nothing."""

    ON = "on"
    OFF = "off"
    KEEP = "keep"


TABLE: Final[dict[tuple[Mode, Cue], tuple[Mode, Switch]]] = {
    (Mode.OFF, Cue.WANTED): (Mode.WARMING, Switch.ON),
    (Mode.WARMING, Cue.WARMED_UP): (Mode.ON, Switch.KEEP),
    (Mode.WARMING, Cue.RELEASED): (Mode.OFF, Switch.OFF),
    (Mode.ON, Cue.RELEASED): (Mode.LINGER, Switch.KEEP),
    (Mode.LINGER, Cue.WANTED): (Mode.ON, Switch.KEEP),
    (Mode.LINGER, Cue.LINGERED): (Mode.OFF, Switch.OFF),
    (Mode.WARMING, Cue.CUT): (Mode.OFF, Switch.OFF),
    (Mode.ON, Cue.CUT): (Mode.OFF, Switch.OFF),
    (Mode.LINGER, Cue.CUT): (Mode.OFF, Switch.OFF),
    (Mode.WARMING, Cue.MAX_ON): (Mode.OFF, Switch.OFF),
    (Mode.ON, Cue.MAX_ON): (Mode.OFF, Switch.OFF),
    (Mode.LINGER, Cue.MAX_ON): (Mode.OFF, Switch.OFF),
    (Mode.OFF, Cue.FAILED): (Mode.FAULT, Switch.OFF),
    (Mode.WARMING, Cue.FAILED): (Mode.FAULT, Switch.OFF),
    (Mode.ON, Cue.FAILED): (Mode.FAULT, Switch.OFF),
    (Mode.LINGER, Cue.FAILED): (Mode.FAULT, Switch.OFF),
    (Mode.FAULT, Cue.FAILED): (Mode.FAULT, Switch.KEEP),
    (Mode.FAULT, Cue.RESTED): (Mode.OFF, Switch.OFF),
}

ENERGISED: Final = frozenset({Mode.WARMING, Mode.ON, Mode.LINGER})
"""The modes in which the relay is closed."""


class IllegalCueError(ValueError):
    """This cue has no place in this mode; nothing was changed."""

    def __init__(self, mode: Mode, cue: Cue) -> None:
        super().__init__(f"amplifier is {mode}: it cannot take {cue!r}")


@dataclass(frozen=True, slots=True)
class AmplifierSettings:
    """What the technician wrote for this zone."""

    warm_up_ms: int = 800
    linger_ms: int = 3_000
    max_on_s: int = 3_600
    min_off_ms: int = 500


@dataclass(frozen=True, slots=True)
class Amplifier:
    """One zone's amplifier: `since_s` is when the mode began, `on_since_s` when the relay closed (None: it is open)."""

    mode: Mode = Mode.OFF
    since_s: float = float("-inf")
    on_since_s: float | None = None
    cycles: int = 0
    on_total_s: float = 0.0


def take(amplifier: Amplifier, cue: Cue, at_s: float) -> tuple[Amplifier, Switch]:
    """The amplifier after `cue`, and what to tell the relay.

    Raises:
        IllegalCueError: the table has no such line.
    """
    try:
        mode, switch = TABLE[amplifier.mode, cue]
    except KeyError:
        raise IllegalCueError(amplifier.mode, cue) from None
    if switch is Switch.ON:
        return Amplifier(mode, at_s, at_s, amplifier.cycles + 1, amplifier.on_total_s), switch
    if switch is Switch.OFF:
        on_s = 0.0 if amplifier.on_since_s is None else at_s - amplifier.on_since_s
        return Amplifier(mode, at_s, None, amplifier.cycles, amplifier.on_total_s + on_s), switch
    return replace(amplifier, mode=mode, since_s=at_s), switch


def takes(amplifier: Amplifier, cue: Cue) -> bool:
    """Whether the table has a line for this cue now."""
    return (amplifier.mode, cue) in TABLE


def is_resting(amplifier: Amplifier, settings: AmplifierSettings, at_s: float) -> bool:
    """Whether the minimum off time forbids switching on (and, in FAULT, always)."""
    if amplifier.mode is Mode.FAULT:
        return True
    return amplifier.mode is Mode.OFF and at_s < amplifier.since_s + settings.min_off_ms / 1_000


def _timers(amplifier: Amplifier, settings: AmplifierSettings) -> list[tuple[float, Cue]]:
    timers: list[tuple[float, Cue]] = []
    if amplifier.on_since_s is not None:
        timers.append((amplifier.on_since_s + settings.max_on_s, Cue.MAX_ON))
    if amplifier.mode is Mode.WARMING:
        timers.append((amplifier.since_s + settings.warm_up_ms / 1_000, Cue.WARMED_UP))
    elif amplifier.mode is Mode.LINGER:
        timers.append((amplifier.since_s + settings.linger_ms / 1_000, Cue.LINGERED))
    elif amplifier.mode is Mode.FAULT:
        timers.append((amplifier.since_s + FAULT_REST_S, Cue.RESTED))
    return timers


def due(amplifier: Amplifier, settings: AmplifierSettings, at_s: float) -> Cue | None:
    """The timer that has come, the maximum-on first: no other timer may delay it."""
    return next((cue for when, cue in _timers(amplifier, settings) if when <= at_s), None)


def deadline(amplifier: Amplifier, settings: AmplifierSettings, at_s: float) -> float | None:
    """When the next timer comes, the end of the minimum off time among them."""
    instants = [when for when, _ in _timers(amplifier, settings)]
    if amplifier.mode is Mode.OFF and is_resting(amplifier, settings, at_s):
        instants.append(amplifier.since_s + settings.min_off_ms / 1_000)
    return min(instants, default=None)


def energised_s(amplifier: Amplifier, at_s: float) -> float:
    """How long the relay has been closed in all, the present stretch included."""
    return amplifier.on_total_s + (0.0 if amplifier.on_since_s is None else at_s - amplifier.on_since_s)
