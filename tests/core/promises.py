"""What the protocol promises of each item, watched over a whole life: order, gain, repeats, places to go on from.

`World` tells of every step, effect and sound; what is broken is said at once. Nothing of the core is asked for what it
should have done: only for what plays, waits or is in force.
"""

from collections import Counter
from typing import TYPE_CHECKING

from agent.core import programme as prog
from agent.core.items import SAMPLE_RATE, Item
from agent.core.policing import rules
from agent.core.stages import Attempt, Stage
from agent.core.state import State
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play, VerifiedCommand
from agent.messages.local_time import local_minute
from agent.messages.reasons import Reason
from agent.messages.reports import PlayRecord
from agent.messages.words import Kind

if TYPE_CHECKING:
    from tests.core.world import World

Key = tuple[str, str]
Sounding = tuple[Key, int, int]
"""An item, which of its soundings, and from which source."""

PLACE_S = 0.001


def key_of(item: Item) -> Key:
    """Whose order it is, and which item."""
    return item.verified.iss, f"{item.verified.jti}/{item.play.item}"


def may_end(verified: VerifiedCommand, item: Item) -> bool:
    """Only what the key could have ordered itself (protocol 4)."""
    ordered = f"play.{item.play.kind}" in verified.may
    return ordered and ("stop" in verified.may or verified.iss == item.verified.iss)


def loudest_percent(state: State, item: Item, trusted_s: float) -> int:
    """How loud it sounds (protocol 7)."""
    own, ceiling = item.play.volume_percent, item.verified.max_volume_percent
    if item.is_emergency:
        return max(1, min(own if isinstance(own, int) else state.settings.emergency_volume_percent, ceiling))
    if state.muted.value:
        return 0
    minute = local_minute(trusted_s, state.settings.zone)
    for each in rules(state).ceilings:
        if each.kind is item.play.kind and each.from_minute <= minute < each.until_minute:
            ceiling = min(ceiling, each.percent)
    return min(own if isinstance(own, int) else state.volume.value, ceiling)


class Promises:
    """Watches one `World`."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.lives_again(power=True)

    def lives_again(self, *, power: bool) -> None:
        """A process begins; after a power cut nobody knows how far anything had come, else as far as it was told."""
        self.gains: dict[int, int] = {}
        self._replaces: dict[Key, set[Key]] = {}
        self._muddled: set[int] = set()
        self._sounded: Counter[Key] = Counter()
        self._places: dict[Sounding, float] = {}
        for each in () if power else self._world.progress.begun:
            if each.start_s is None and not each.live_samples:
                which = (each.iss, f"{each.jti}/{each.item}"), each.round, each.source
                self._places[which] = each.from_s + each.used / SAMPLE_RATE

    def muddle(self, token: int) -> None:
        """Its card or source tells lies: where it goes on is anybody's guess."""
        self._muddled.add(token)

    # Steps ----------------------------------------------------------------------------------------------------------

    def stepped(self, before: State, event: ev.Event, after: State) -> None:
        """The core has taken an event, and its effects are performed."""
        if isinstance(event, ev.Restored):
            return
        self._queue_goes_by_kind(before, after)
        self._note_replaced(before, event, after)
        self._what_is_replaced_is_over(after)
        self._no_emergency_stands_behind(after)
        self._gains_are_right(after)

    def _queue_goes_by_kind(self, before: State, after: State) -> None:
        """No bulletin is taken from the queue while a priority item waits that could sound as well."""
        begun = {each.name for each in after.programme.coming} - set(_names_at_work(before))
        queue = before.programme.waiting
        for item in queue:
            if item.play.item in begun and item.play.kind is Kind.NORMAL and not (item.pre_empted or item.replaces):
                for other in after.programme.waiting:
                    passed_over = other in queue and other.play.kind is Kind.PRIORITY and self._is_open(other)
                    assert not passed_over, f"{item.play.item} has its turn before {other.play.item}"

    def _is_open(self, item: Item) -> bool:
        trusted_s = self._world.trusted_s
        starts = trusted_s is not None and (item.start_s is None or item.start_s - 10.0 <= trusted_s)
        return starts and item.not_before_s <= self._world.mono_s

    def _note_replaced(self, before: State, event: ev.Event, after: State) -> None:
        verified = event.verified if isinstance(event, ev.CommandVerified) else None
        if (
            verified is None
            or not isinstance(verified.command, Play)
            or not isinstance(verified.command.replaces, tuple)
        ):
            return
        key = verified.iss, f"{verified.jti}/{verified.command.item}"
        if key in map(key_of, prog.items(before.programme)) or key not in map(key_of, prog.items(after.programme)):
            return
        named = [each for each in prog.items(before.programme) if each.play.item in verified.command.replaces]
        ended = {key_of(each) for each in named if may_end(verified, each)}
        self._replaces[key] = ended
        for each in named:
            unheard = each.started_at is None and not _has_air(before, each)
            if key_of(each) in ended and unheard:
                assert _is_over(after, key_of(each)), f"{each.play.item} is replaced, and waits on"

    def _what_is_replaced_is_over(self, state: State) -> None:
        """Once its successor sounds nothing of it is heard again."""
        for attempt in prog.attempts(state.programme):
            if attempt.stage is Stage.SOUNDING:
                for key in self._replaces.get(key_of(attempt.item), ()):
                    assert _is_over(state, key), f"{attempt.name} sounds, and {key[1]} is not over"

    def _no_emergency_stands_behind(self, state: State) -> None:
        """One that is decoded, stored and whose instant is not ahead has the air, whatever ordinary sounds."""
        programme, world = state.programme, self._world
        current = programme.current
        if current is None or current.item.is_emergency or current.stage is not Stage.SOUNDING:
            return
        for each in programme.coming:
            at_once = each.item.start_s is None and (each.item.durable or each.item.unstorable)
            able = each.stage is Stage.READY and state.card_open and world.trusted_s is not None
            ends = current.ends_s is not None
            assert not (each.item.is_emergency and at_once and able and not ends), (
                f"{each.name} waits for {current.name}"
            )

    def _gains_are_right(self, state: State) -> None:
        world, current = self._world, state.programme.current
        trusted_s = world.trusted_s
        if current is None or current.stage is not Stage.SOUNDING or trusted_s is None:
            return
        wanted = loudest_percent(state, current.item, trusted_s)
        assert self.gains.get(current.token) == wanted, (
            f"{current.name} at {self.gains.get(current.token)}, not {wanted}"
        )

    # Effects --------------------------------------------------------------------------------------------------------

    def decode(self, effect: do.Decode) -> None:
        """What goes on goes on where it was."""
        attempt = self._attempt(effect.token)
        if attempt is None or attempt.item.is_live or attempt.item.chime_s or attempt.token in self._muddled:
            return
        expected_s = self._places.get(_sounding(attempt))
        if expected_s is not None and attempt.item.start_s is None:
            assert effect.from_s >= expected_s - PLACE_S, f"{attempt.name} goes on at {effect.from_s}, not {expected_s}"

    def sound(self, effect: do.Sound) -> None:
        """Not before its instant, on it if that lies ahead, and not once more than was ordered."""
        self.gains[effect.token] = effect.gain_percent
        attempt = self._attempt(effect.token)
        if attempt is None:
            return
        item, world = attempt.item, self._world
        assert self._sounded[key_of(item)] < item.repeat.count, f"{attempt.name} sounds once too often"
        offset_s = world.state.timekeeping.offset_s
        if isinstance(item.play.start_at, int) and offset_s is not None and not item.started_at:
            start_s = item.play.start_at - offset_s
            at_s = world.mono_s + 0.02 if effect.at_mono_s is None else effect.at_mono_s
            assert at_s >= start_s - PLACE_S, f"{attempt.name} sounds {start_s - at_s} s before its start"

    def hold(self, token: int) -> None:
        """What is not to resume ends."""
        attempt = self._attempt(token)
        if attempt is not None and attempt.item.begun and not attempt.item.is_emergency:
            assert attempt.item.play.resume is not False, f"{attempt.name} is kept, and is not to resume"

    def record(self, record: PlayRecord) -> None:
        """What a record may say."""
        if record.reason is Reason.AMPLIFIER_MAX_ON:
            assert record.kind != Kind.EMERGENCY, "an emergency rests at the longest time on, and goes on"
        if record.reason is Reason.REPLACED:
            by = str(record.detail).removeprefix("by ")
            orders = (each.command for each in self._world.given.values() if isinstance(each.command, Play))
            named = (each.replaces for each in orders if each.item == by and isinstance(each.replaces, tuple))
            assert any(record.item in each for each in named), (
                f"{record.item} was replaced by {by}, which did not name it"
            )

    # What the card says ---------------------------------------------------------------------------------------------

    def fell_silent(self, event: ev.SoundEnded | ev.SoundHeld) -> None:
        """Before the core hears of it: so much of it is over."""
        attempt = self._attempt(event.token)
        if attempt is None or attempt.token in self._muddled:
            return
        which = _sounding(attempt)
        if attempt.item.used == 0:
            self._places[which] = attempt.item.from_s
        if which in self._places:
            self._places[which] += event.used / SAMPLE_RATE
        whole = isinstance(event, ev.SoundEnded) and event.end in {ev.End.COMPLETE, ev.End.LIMIT}
        if whole and event.loudness.samples and attempt.ending is None and attempt.broken is None:
            self._sounded[key_of(attempt.item)] += 1
            self._places.pop(which, None)

    def _attempt(self, token: int) -> Attempt | None:
        attempts = prog.attempts(self._world.state.programme)
        return next((each for each in attempts if each.token == token), None)


def _sounding(attempt: Attempt) -> Sounding:
    return key_of(attempt.item), attempt.item.round, attempt.item.source


def _names_at_work(state: State) -> list[str]:
    return [each.name for each in prog.attempts(state.programme)]


def _has_air(state: State, item: Item) -> bool:
    current = state.programme.current
    return current is not None and current.name == item.play.item


def _is_over(state: State, key: Key) -> bool:
    """Nothing of it waits, and what may still be in the programme has its end."""
    attempts = [each for each in prog.attempts(state.programme) if key_of(each.item) == key]
    waits = any(key_of(item) == key for item in state.programme.waiting)
    return not waits and all(each.ending is not None or each.stage is Stage.ENDING for each in attempts)
