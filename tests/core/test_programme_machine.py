"""`node.step` where all goes well: whatever is ordered, in any order, sounds as the protocol promises (`promises`).

`test_machine` disturbs the node at every step, and so seldom comes to the end of anything. Here everybody answers, and
what is drawn is the programme: kinds, repeats, what replaces what, set starts, rules, volumes, long stretches of it.
"""

from datetime import timedelta, timezone
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.messages.commands import AnyCommand, Order, Play, Repeat, SetMute, SetVolume, Stop, VerifiedCommand
from agent.messages.documents import Day, SetPolicy
from agent.messages.local_time import local_minute
from agent.messages.rules import NO_RULES, Ceiling, Rules
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from tests.core.pole import FILE, OTHER_FILE, RELAY, altered, play
from tests.core.test_machine import LOCAL, MAY, explored, local_time
from tests.core.world import START_WALL_S, World
from tests.signing import Key
from tests.test_set_trust import trust

OFFICER = Key("chair", "commune chair")
ITEMS = ("a", "b", "c", "d")
TONE = Source(builtin=Builtin(BuiltinName.TONE))
SPANS = st.sampled_from((0.3, 5.0, 20.0, 70.0, 130.0))
ALL_DAYS = tuple(Day)
BEGINS = local_minute(START_WALL_S, timezone(LOCAL))


EVENING = Rules(ceilings=(Ceiling(Kind.NORMAL, 30, BEGINS + 2, BEGINS + 4), Ceiling(Kind.PRIORITY, 60)))
"""All bulletins are quieter for two minutes, soon after the beginning."""


@st.composite
def orders(draw: st.DrawFn, now_s: int, kind: Kind) -> Play:
    """Mostly plain, now and then with one finesse."""
    name = draw(st.sampled_from(ITEMS))
    source = draw(st.sampled_from((FILE, FILE, OTHER_FILE, RELAY, TONE)))
    plain = play(name, source, kind=kind, max_duration_s=draw(st.sampled_from((10, 40, 150, 150))))
    others = st.lists(st.sampled_from([each for each in ITEMS if each != name]), min_size=1, max_size=2, unique=True)
    finesses: tuple[dict[str, object], ...] = (
        {},
        {"start_at": now_s + draw(st.sampled_from((1, 4, 15, 40)))},
        {"not_after": now_s + draw(st.sampled_from((20, 100)))},
        {"repeat": draw(st.sampled_from((Repeat(2, 0), Repeat(3, 20), Repeat(2, 70))))},
        {"replaces": tuple(draw(others))},
        {"resume": False},
        {"volume_percent": draw(st.sampled_from((20, 100)))},
        {"zones": draw(st.sampled_from((("hall",), ("street",))))},
    )
    return altered(plain, **draw(st.sampled_from(finesses)))


@st.composite
def policies(draw: st.DrawFn, now_s: float, version: int) -> SetPolicy:
    """One rule, that today's programme meets."""
    begins = local_time(now_s + 120)
    quiet = f"{begins:%H:%M}-{begins + timedelta(minutes=2):%H:%M}"
    members: dict[str, object] = draw(
        st.sampled_from(
            (
                {},
                {"quiet_hours": (quiet,)},
                {"days": tuple(day for day in Day if day is not Day.MON)},
                {"max_session_min": 1},
                {"max_sessions_per_day": 1},
                {"max_sessions_per_day": 0},
                {"max_minutes_per_day": 1},
                {"max_minutes_per_day": 0},
                {"volume_ceilings": {Kind.NORMAL: 30, Kind.PRIORITY: 60}},
            )
        )
    )
    plain = SetPolicy(version, (), ALL_DAYS, 45, 9, 60, {})
    return SetPolicy(**{**{name: getattr(plain, name) for name in plain.__struct_fields__}, **members})


class Programme(RuleBasedStateMachine):
    """One officer who may order everything, and a `World` that does as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = count(1)
        self.world: World

    @initialize(
        rules=st.sampled_from((NO_RULES, NO_RULES, Rules(max_session_min=1), Rules(max_minutes_per_day=2), EVENING)),
        length_s=st.sampled_from((8.0, 40.0, 150.0, 150.0)),
    )
    def begin(self, rules: Rules, length_s: float) -> None:
        self.world = World(trust(1, OFFICER), rules, length_s=length_s)
        self.world.run(5.0)

    def order(self, command: AnyCommand, ceiling_percent: int = 90) -> None:
        """It arrives in time, and nobody minds."""
        jti = f"jti-{next(self.numbers):016d}"
        iat = self.world.time_s
        may = frozenset(MAY)
        verified = VerifiedCommand(
            OFFICER.authority, jti, iat, iat + 3_600, command, (OFFICER.kid,), may, ceiling_percent, jti.encode()
        )
        self.world.arrive(verified)

    @rule(data=st.data(), kind=st.sampled_from(Kind), seconds=SPANS, ceiling=st.sampled_from((100, 90, 40, 0)))
    def play_one(self, data: st.DataObject, kind: Kind, seconds: float, ceiling: int) -> None:
        self.order(data.draw(orders(self.world.time_s, kind)), ceiling)
        self.world.run(seconds)

    @rule(data=st.data(), kinds=st.lists(st.sampled_from(Kind), min_size=2, max_size=3), seconds=SPANS)
    def play_several(self, data: st.DataObject, kinds: list[Kind], seconds: float) -> None:
        for kind in kinds:
            self.order(data.draw(orders(self.world.time_s, kind)))
        self.world.run(seconds)

    @rule(data=st.data(), kind=st.sampled_from((Kind.NORMAL, Kind.PRIORITY)), seconds=SPANS)
    def interrupt(self, data: st.DataObject, kind: Kind, seconds: float) -> None:
        """A bulletin, and an emergency amid it."""
        self.order(data.draw(orders(self.world.time_s, kind)))
        self.world.run(5.0)
        self.order(data.draw(orders(self.world.time_s, Kind.EMERGENCY)))
        self.world.run(seconds)

    @rule(data=st.data(), names=st.permutations(ITEMS), replaces=st.booleans())
    def alarm_twice(self, data: st.DataObject, names: list[str], replaces: bool) -> None:
        """Two warnings that last, and perhaps a third in place of the first, while the second has its turn."""
        first, second, third, _ = names
        for name in (first, second):
            self.order(play(name, data.draw(st.sampled_from((FILE, TONE))), kind=Kind.EMERGENCY, max_duration_s=150))
            self.world.run(10.0)
        self.world.run(70.0)
        if replaces:
            self.order(altered(play(third, OTHER_FILE, kind=Kind.EMERGENCY), replaces=(first,)))
            self.world.run(70.0)

    @rule(item=st.sampled_from(ITEMS))
    def stop(self, item: str) -> None:
        self.order(Stop("operator", item=item))

    @rule(items=st.permutations(ITEMS))
    def arrange(self, items: list[str]) -> None:
        self.order(Order(tuple(items)))

    @rule(muted=st.booleans(), percent=st.sampled_from((50, 80)))
    def set_sound(self, muted: bool, percent: int) -> None:
        self.order(SetMute(muted))
        self.order(SetVolume(percent))
        self.world.run(0.3)

    @rule(data=st.data())
    def set_policy(self, data: st.DataObject) -> None:
        self.order(data.draw(policies(self.world.trusted_s or 0.0, next(self.numbers))))
        self.world.run(0.3)

    @rule(seconds=SPANS)
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @precondition(lambda self: self.world.on_card)
    @rule(seconds=SPANS)
    def crash(self, seconds: float) -> None:
        self.world.crash(power=False)
        self.world.run(seconds)

    def teardown(self) -> None:
        if hasattr(self, "world") and self.world.whole:
            self.world.settle()
        super().teardown()


TestProgramme = Programme.TestCase
TestProgramme.settings = explored(max_examples=60, steps=20)
