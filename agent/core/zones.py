"""The amplifiers of all zones: who needs them now, and the cues that reach the relays. Every switch is made here."""

from dataclasses import replace
from typing import Final

from agent.core import amplifier as amp
from agent.core.amplifier import Cue, Switch
from agent.core.items import Item
from agent.core.records import zones_of
from agent.core.stages import Attempt, Stage
from agent.core.state import State, Turn
from agent.messages import effects as do

WARM_MARGIN_S: Final = 0.3
"""An amplifier that must be warm on an instant is switched on so much earlier: the loop, the relay and the card."""


def cue(turn: Turn, zone: str, given: Cue) -> None:
    """Give a zone's amplifier its cue, and tell the relay what follows."""
    amplifier, switch = amp.take(turn.state.amplifiers[zone], given, turn.now.mono_s)
    turn.state = replace(turn.state, amplifiers={**turn.state.amplifiers, zone: amplifier})
    if switch is not Switch.KEEP:
        turn.do(do.SwitchRelay(zone, switch is Switch.ON))
    turn.log(f"amplifier {zone}: {amplifier.mode} ({given})")


def cut(turn: Turn, item: Item) -> None:
    """Open the relays of an item that was silenced, also if another waits: who orders silence hears it at once."""
    current = turn.state.programme.current
    needed = needed_zones(turn) if current is not None and current.name != item.play.item else ()
    _cut(turn, tuple(zone for zone in zones_of(turn.state, item) if zone not in needed))


def cut_all(turn: Turn) -> None:
    """Open every relay that is closed."""
    _cut(turn, tuple(turn.state.amplifiers))


def _cut(turn: Turn, zones: tuple[str, ...]) -> None:
    for zone in zones:
        if amp.takes(turn.state.amplifiers[zone], Cue.CUT):
            cue(turn, zone, Cue.CUT)


def is_energised(state: State, zone: str) -> bool:
    """Whether the zone's relay is closed."""
    return state.amplifiers[zone].mode in amp.ENERGISED


def is_resting(turn: Turn, zone: str) -> bool:
    """Whether the zone's minimum off time, or a fault, forbids wanting it."""
    return amp.is_resting(turn.state.amplifiers[zone], turn.state.settings.zones[zone], turn.now.mono_s)


def energised_s(turn: Turn, item: Item) -> float:
    """How long the item's first zone has been on in all."""
    return amp.energised_s(turn.state.amplifiers[zones_of(turn.state, item)[0]], turn.now.mono_s)


def usable(turn: Turn, item: Item) -> tuple[str, ...]:
    """The zones in which it sounds: those of an emergency whose relays can be switched, if there are any."""
    zones = zones_of(turn.state, item)
    if not item.is_emergency:
        return zones
    return tuple(zone for zone in zones if turn.state.amplifiers[zone].mode is not amp.Mode.FAULT) or zones


def is_faulty(turn: Turn, item: Item) -> bool:
    """Whether a relay that it needs could not be switched lately; of an emergency's one suffices."""
    return any(turn.state.amplifiers[zone].mode is amp.Mode.FAULT for zone in usable(turn, item))


def warm_up_s(turn: Turn, item: Item) -> float:
    """How long until all of the item's zones could sound."""
    zones = turn.state.settings.zones
    warm = {amp.Mode.ON, amp.Mode.LINGER}
    cold = (zone for zone in usable(turn, item) if turn.state.amplifiers[zone].mode not in warm)
    return max((zones[zone].warm_up_ms / 1_000 for zone in cold), default=0.0)


def needs_amplifier_s(turn: Turn, attempt: Attempt) -> float | None:
    """The monotonic instant from which this attempt wants its zones on; None: not yet known."""
    if attempt.stage is Stage.SOUNDING or (attempt.stage is Stage.ENDING and not attempt.relay_cut):
        return turn.now.mono_s
    if attempt.stage not in {Stage.FETCHED, Stage.DECODING, Stage.READY}:
        return None
    start_s = turn.mono_of(attempt.item.start_s)
    if start_s is None or attempt.kept:
        return turn.now.mono_s if attempt.stage is Stage.READY else None
    return start_s - warm_up_s(turn, attempt.item) - WARM_MARGIN_S


def needed_zones(turn: Turn) -> tuple[str, ...]:
    """The zones that what is on the air needs on, now."""
    attempt = turn.state.programme.current
    if attempt is None:
        return ()
    since_s = needs_amplifier_s(turn, attempt)
    return zones_of(turn.state, attempt.item) if since_s is not None and since_s <= turn.now.mono_s else ()
