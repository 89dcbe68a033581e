"""What may take only so long while everybody answers: an emergency comes on the air, caps end what is ordinary.

Both are counted while `World` is honest, or by what it has really heard: a card that tells lies is no reason to wait.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.core import programme as prog
from agent.core.amplifier import Mode
from agent.core.items import Item
from agent.core.policing import rules
from agent.core.records import zones_of
from agent.core.stages import Stage
from agent.core.state import State
from agent.messages.local_time import instant_s, local_date, weekday
from agent.messages.words import Kind
from tests.core.promises import Key, key_of

if TYPE_CHECKING:
    from tests.core.world import World

TURN_S = 60.0
READY_S = 5.0
"""From the order to the first sample where all is answered: a relay's least time off, warm-up, the end of a sound."""
WARM_S = 5.0
"""Of each turn: a relay's least time off and its warm-up, when it begins, and once more at the longest time on."""
CAP_S = 1.0
SESSION_GAP_S = 300.0
DISK_S = 2.0


@dataclass
class Waits:
    """Since when each emergency could sound and does not, in one honest stretch, and how many others there were."""

    since: dict[Key, tuple[float, int]] = field(default_factory=dict)

    def look(self, world: "World") -> None:
        """Each waits as long as the others have their turns, and no longer.

        Of several others those that are held may sound twice before it: what is not there has no right to its turn.
        """
        emergencies = [each for each in prog.items(world.state.programme) if each.is_emergency]
        able = {key_of(each) for each in emergencies if _could_sound(world, each)}
        self.since = {key: since for key, since in self.since.items() if key in able}
        for key in able:
            since_s, others = self.since.get(key, (world.mono_s, 0))
            others = max(others, len(emergencies) - 1)
            self.since[key] = since_s, others
            waited_s = world.mono_s - since_s
            turns = others if others < 2 else 2 * others
            assert waited_s <= turns * (TURN_S + WARM_S) + READY_S, (
                f"{key[1]} waits for {waited_s} s beside {others} others"
            )


def _could_sound(world: "World", item: Item) -> bool:
    state, trusted_s = world.state, world.trusted_s
    if trusted_s is None or state.card_fault or not state.player_ready or item.hindered:
        return False
    stored = item.durable or world.mono_s >= item.ordered_s + DISK_S
    opens = item.start_s is None or item.start_s <= trusted_s
    faulty = any(state.amplifiers[zone].mode is Mode.FAULT for zone in zones_of(state, item))
    return stored and opens and item.not_before_s <= world.mono_s and not faulty and not _has_air(state, item)


def _has_air(state: State, item: Item) -> bool:
    current = state.programme.current
    at_work = {Stage.SOUNDING, Stage.ENDING}
    return current is not None and current.name == item.play.item and current.stage in at_work


@dataclass
class Account:
    """What was heard of the ordinary programme, of one day and one session: the caps have counted at least so much."""

    day: str = ""
    day_s: float = 0.0
    session_s: float = 0.0
    sessions: int = 0
    last_s: float = float("-inf")
    """Monotonic: when normal sound was heard last."""

    def forget(self) -> None:
        """The clock was set, or the process ended: what the node knows of this day, and whether a session goes on."""
        self.day, self.day_s, self.session_s, self.sessions, self.last_s = "", 0.0, 0.0, -1, float("-inf")

    def book(self, world: "World", kind: Kind, from_s: float, until_s: float) -> None:
        """So much has sounded (monotonic)."""
        if kind is Kind.EMERGENCY or until_s <= from_s or world.trusted_s is None:
            return
        zone = world.settings.zone
        day = local_date(world.trusted_s, zone)
        if str(day) != self.day:
            self.day_s, self.sessions = 0.0, min(self.sessions, 0)
            self.day = str(day)
        midnight_s = instant_s(day, 0, zone) - world.trusted_s + world.mono_s
        self.day_s += max(0.0, until_s - max(from_s, midnight_s))
        if kind is Kind.NORMAL:
            if from_s >= self.last_s + SESSION_GAP_S:
                self.sessions, self.session_s = self.sessions + 1, 0.0
            self.session_s, self.last_s = self.session_s + until_s - from_s, until_s

    def check(self, world: "World", item: Item, from_s: float) -> None:
        """An ordinary item sounds: since that instant, and on."""
        trusted_s, present = world.trusted_s, rules(world.state)
        assert trusted_s is not None
        assert weekday(local_date(trusted_s, world.settings.zone)) in present.days, "it sounds on a day without sound"
        booked = replace(self)
        booked.book(world, item.play.kind, from_s, world.mono_s)
        if present.max_minutes_per_day is not None:
            assert booked.day_s <= present.max_minutes_per_day * 60 + CAP_S, "more minutes than the day has"
            assert present.max_minutes_per_day > 0, "it sounds, and the day has no minutes"
        if item.play.kind is not Kind.NORMAL:
            return
        if present.max_session_min is not None:
            assert booked.session_s <= present.max_session_min * 60 + CAP_S, "a longer session than may be"
        if present.max_sessions_per_day is not None:
            assert booked.sessions <= present.max_sessions_per_day, "more sessions than the day has"
            assert present.max_sessions_per_day > 0, "it sounds, and the day has no sessions"
