"""`node.step` under every event in any order: orders, failing disks, late and doubled answers, crashes, leaping clocks.

The invariants are `World`'s, checked after every step: nothing sounds that was not ordered, no relay is on for nothing,
what is due is taken up, and there is always a deadline. At the end the world becomes honest, and then every item that
was ordered or due has one record on the disk.
"""

import os
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.core.items import SAMPLE_RATE
from agent.messages import events as ev
from agent.messages.absent import UNSET, UnsetType
from agent.messages.commands import (
    ROOTS,
    AnyCommand,
    Order,
    Play,
    Prefetch,
    Repeat,
    ReportNow,
    SetMute,
    SetTrust,
    SetVolume,
    Stop,
    Time,
    VerifiedCommand,
)
from agent.messages.documents import Day, SetPolicy, SetSchedule, Slot
from agent.messages.reasons import Reason
from agent.messages.rules import NO_RULES, Rules
from agent.messages.sources import Builtin, BuiltinName, Source, Speech
from agent.messages.words import Kind
from tests.core.pole import CHIME, FILE, OTHER_FILE, RELAY
from tests.core.world import World, loudness
from tests.signing import Key
from tests.test_set_trust import trust

CLERK = Key("clerk", "commune clerk")
CHAIR = Key("chair", "commune chair")
DEFENCE = Key("defence", "civil defence")
OFFICERS = (CLERK, CHAIR, DEFENCE)
MAY = ("play.normal", "play.priority", "play.emergency", "stop", "schedule", "policy", "prefetch", "volume", "time")

SPEECH = Source(speech=Speech("Xin chào", "vi"))
TONE = Source(builtin=Builtin(BuiltinName.TONE))
SIREN = Source(builtin=Builtin(BuiltinName.SIREN))
SOURCES = st.lists(st.sampled_from((FILE, OTHER_FILE, RELAY, SPEECH, CHIME, TONE)), min_size=1, max_size=3)
ITEMS = st.sampled_from(("a", "b", "c", "flood"))
SPANS = st.sampled_from((0.0, 0.05, 0.7, 2.1, 5.0, 12.0, 70.0, 1_000.0))
"""Around the node's own patience: 60 ms to a minute."""
BROKEN = st.sampled_from((Reason.NO_ANSWER, Reason.STREAM_ENDED, Reason.STALLED, Reason.UNDECODABLE))
LOCAL = timedelta(hours=7)


def local_time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC) + LOCAL


T = TypeVar("T")


def perhaps(draw: st.DrawFn, *values: T) -> T | UnsetType:
    """One of these, or nothing, as often."""
    return draw(st.one_of(st.just(UNSET), st.sampled_from(values)))


@st.composite
def plays(draw: st.DrawFn, now_s: int) -> Play:
    kind = draw(st.sampled_from((Kind.NORMAL, Kind.PRIORITY, Kind.EMERGENCY)))
    sources = draw(SOURCES)
    if kind is Kind.EMERGENCY and draw(st.booleans()):
        sources = [SIREN, *sources]
    return Play(
        draw(ITEMS),
        kind,
        "title",
        tuple(sources),
        draw(st.sampled_from((2, 7, 30, 150))),
        start_at=perhaps(draw, now_s - 5, now_s + 4, now_s + 30),
        not_after=perhaps(draw, now_s + 3, now_s + 60, now_s + 1_000),
        repeat=perhaps(draw, Repeat(2, 0), Repeat(3, 20), Repeat(2, 70)),
        chime=perhaps(draw, True),
        replaces=perhaps(draw, ("a",), ("b", "flood")),
        zones=perhaps(draw, ("hall",), ("street",), ("nowhere",)),
        resume=perhaps(draw, False),
        volume_percent=perhaps(draw, 20, 100),
    )


@st.composite
def schedules(draw: st.DrawFn, now_s: int, version: int) -> SetSchedule:
    """Slots around now, so that they come due; names that authorities share."""
    slots = []
    for name in draw(st.lists(st.sampled_from(("news", "culture")), unique=True, max_size=2)):
        begins = local_time(now_s + 60 * draw(st.sampled_from((-1, 0, 1, 2, 60))))
        slots.append(
            Slot(
                name,
                tuple(Day),
                f"{begins:%H:%M}",
                draw(st.sampled_from((Kind.NORMAL, Kind.PRIORITY))),
                "title",
                tuple(draw(SOURCES)),
                draw(st.sampled_from((20, 90, 600))),
                date(2026, 1, 1),
                date(2046, 12, 31),
            )
        )
    return SetSchedule(draw(st.sampled_from((version, version, version, 1))), tuple(slots))


@st.composite
def policies(draw: st.DrawFn, now_s: int, version: int) -> SetPolicy:
    begins = local_time(now_s + draw(st.sampled_from((-120, 60, 120))))
    quiet = f"{begins:%H:%M}-{begins + timedelta(minutes=2):%H:%M}"
    return SetPolicy(
        version,
        draw(st.sampled_from(((), (quiet,)))),
        draw(st.sampled_from((tuple(Day), tuple(Day), tuple(Day), ()))),
        draw(st.sampled_from((1, 45, 45, 0))),
        draw(st.sampled_from((1, 9, 9, 0))),
        draw(st.sampled_from((1, 60, 60, 0))),
        draw(st.sampled_from(({}, {Kind.NORMAL: 30}))),
    )


def explored(max_examples: int, steps: int) -> settings:
    """The same examples on every machine; with LOA_EXPLORE=10 ten times as many, of which nobody has seen any yet.

    What fails is told as the calls that led there, and as `@reproduce_failure`.
    """
    times = int(os.environ.get("LOA_EXPLORE", "1"))
    return settings(
        max_examples=max_examples * times,
        stateful_step_count=steps,
        deadline=None,
        derandomize=times == 1,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


NEEDS: dict[type, str] = {
    Stop: "stop",
    Order: "play.priority",
    SetSchedule: "schedule",
    SetPolicy: "policy",
    Prefetch: "prefetch",
    SetVolume: "volume",
    SetMute: "volume",
    Time: "time",
    SetTrust: ROOTS,
}


class Node(RuleBasedStateMachine):
    """Drives one `World`."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = 0
        self.world: World

    @initialize(
        quiet=st.sampled_from(
            (NO_RULES, NO_RULES, Rules(quiet_hours=((0, 300), (1276, 1440))), Rules(max_session_min=1))
        ),
        length_s=st.sampled_from((1.0, 8.0, 40.0, 150.0)),
        honest=st.booleans(),
    )
    def begin(self, quiet: Rules, length_s: float, honest: bool) -> None:
        self.world = World(trust(1, *OFFICERS), quiet, length_s=length_s)
        if honest:
            self.world.run(5.0)

    # Orders ---------------------------------------------------------------------------------------------------------

    def order(self, data: st.DataObject, command: AnyCommand) -> None:
        """It arrives, dated now or a little off, with all that its type asks for and any other permissions."""
        world = self.world
        here = [key for key in OFFICERS if key.kid in {each.kid for each in world.trust.keys}]
        if not here:
            return
        key = data.draw(st.sampled_from(here))
        needs = f"play.{command.kind}" if isinstance(command, Play) else NEEDS.get(type(command), "")
        may = data.draw(st.sampled_from((frozenset(MAY), frozenset({"stop"}), frozenset()))) | {needs}
        if isinstance(command, SetSchedule):
            may |= {"play.normal", "play.priority"}
        self.orders += 1
        jti = f"jti-{self.orders:016d}"
        iat = world.time_s + data.draw(st.sampled_from((0, 0, 0, -30, 200)))
        life_s = data.draw(st.sampled_from((3_600, 3_600, 40)))
        ceiling = data.draw(st.sampled_from((100, 90, 40, 0)))
        verified = VerifiedCommand(
            key.authority, jti, iat, iat + life_s, command, (key.kid,), frozenset(may), ceiling, jti.encode()
        )
        world.arrive(verified, qos=data.draw(st.sampled_from((1, 1, 1, 0))))

    @rule(data=st.data())
    def play(self, data: st.DataObject) -> None:
        self.order(data, data.draw(plays(self.world.time_s)))

    @rule(data=st.data(), kind=st.sampled_from(Kind), seconds=SPANS)
    def broadcast(self, data: st.DataObject, kind: Kind, seconds: float) -> None:
        """An order without any finesse, and all goes well: so that there is mostly something to be disturbed."""
        self.order(data, Play(data.draw(ITEMS), kind, "title", (FILE,), 30))
        self.world.run(seconds)

    @rule(data=st.data(), item=st.none() | ITEMS)
    def stop(self, data: st.DataObject, item: str | None) -> None:
        self.order(data, Stop("operator", all=True) if item is None else Stop("operator", item=item))

    @rule(data=st.data(), items=st.lists(ITEMS, min_size=1, unique=True))
    def arrange(self, data: st.DataObject, items: list[str]) -> None:
        self.order(data, Order(tuple(items)))

    @rule(data=st.data())
    def set_schedule(self, data: st.DataObject) -> None:
        self.order(data, data.draw(schedules(self.world.time_s, self.orders + 1)))

    @rule(data=st.data())
    def set_policy(self, data: st.DataObject) -> None:
        self.order(data, data.draw(policies(self.world.time_s, self.orders + 1)))

    @rule(data=st.data(), value=st.integers(0, 2))
    def set_sound(self, data: st.DataObject, value: int) -> None:
        self.order(data, SetVolume(50) if value == 2 else SetMute(bool(value)))

    @rule(data=st.data(), which=st.booleans())
    def ask(self, data: st.DataObject, which: bool) -> None:
        self.order(data, ReportNow() if which else Prefetch((FILE, OTHER_FILE)))

    @rule(data=st.data(), right=st.booleans())
    def tell_time(self, data: st.DataObject, right: bool) -> None:
        nonce = self.world.state.timekeeping.nonce
        self.order(data, Time(nonce if right and nonce else "0" * 32))

    @rule(
        data=st.data(), ahead=st.sampled_from((1, 1, 2)), keys=st.sampled_from(((0, 1, 2), (0, 1, 2), (0, 1), (2,), ()))
    )
    def set_trust(self, data: st.DataObject, ahead: int, keys: tuple[int, ...]) -> None:
        version = self.world.state.trust.document.version + ahead
        self.order(data, SetTrust(trust(version, *(OFFICERS[each] for each in keys))))

    @precondition(lambda self: self.world.given)
    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        """What was heard before comes again: the broker's copy, or a recording."""
        self.world.arrive(data.draw(st.sampled_from([*self.world.given.values()])), qos=0)

    @precondition(lambda self: self.world.unacknowledged)
    @rule()
    def redeliver(self) -> None:
        for envelope in [*self.world.unacknowledged]:
            self.world.arrive(self.world.given[envelope])

    # The disk -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.commits)
    @rule(count=st.integers(1, 3), tell=st.booleans())
    def disk_writes(self, count: int, tell: bool) -> None:
        self.world.write(count)
        if tell:
            self.world.committed()

    @precondition(lambda self: self.world.commits)
    @rule(count=st.integers(1, 3))
    def disk_fails(self, count: int) -> None:
        self.world.committed()
        self.world.fail(count)

    @precondition(lambda self: self.world.written)
    @rule()
    def disk_speaks(self) -> None:
        self.world.committed()

    @precondition(lambda self: self.world.reading)
    @rule()
    def outbox_is_read(self) -> None:
        self.world.read_outbox()

    # Sources, card, relays ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.asked)
    @rule(data=st.data(), fails=st.booleans(), reason=BROKEN)
    def source_answers(self, data: st.DataObject, fails: bool, reason: Reason) -> None:
        token = data.draw(st.sampled_from([*self.world.asked]))
        if fails:
            del self.world.asked[token]
            self.world.tell(ev.SourceFailed(token, reason, "it failed"))
        else:
            self.world.fetched(token)

    @precondition(lambda self: self.world.decoding)
    @rule(fails=st.booleans())
    def decoder_answers(self, fails: bool) -> None:
        token = self.world.decoding.pop(0)
        if fails:
            self.world.tell(ev.DecodingFailed(token, Reason.UNDECODABLE, "noise"))
        else:
            self.world.tell(ev.SamplesDecoded(token))

    @precondition(lambda self: self.world.tokens)
    @rule(data=st.data(), which=st.integers(0, 4), reason=BROKEN)
    def stray_news_of_a_source(self, data: st.DataObject, which: int, reason: Reason) -> None:
        """Twice, late, or of what is long over."""
        token = data.draw(st.sampled_from(self.world.tokens))
        news: tuple[ev.Event, ...] = (
            ev.FileReady(token, "/cache/file"),
            ev.StreamReady(token, 98, b"ID3"),
            ev.SourceFailed(token, reason, "late"),
            ev.DecodingFailed(token, reason, "late"),
            ev.SamplesDecoded(token),
        )
        self.world.promises.muddle(token)
        self.world.tell(news[which])

    @precondition(lambda self: self.world.sounded)
    @rule(
        data=st.data(), which=st.integers(0, 4), seconds=st.sampled_from((0.0, 0.5, 8.0)), end=st.sampled_from(ev.End)
    )
    def stray_news_of_the_card(self, data: st.DataObject, which: int, seconds: float, end: ev.End) -> None:
        world, used = self.world, round(seconds * SAMPLE_RATE)
        token = data.draw(st.sampled_from(world.sounded))
        news: tuple[ev.Event, ...] = (
            ev.SoundAdvanced(token, loudness(seconds), used),
            ev.SoundStarved(token, world.mono_s),
            ev.SoundFlowed(token),
            ev.SoundEnded(token, end, loudness(seconds), used),
            ev.SoundHeld(token, loudness(seconds), used),
        )
        world.promises.muddle(token)
        world.tell(news[which])
        world.account.forget()

    @precondition(lambda self: self.world.card_asked)
    @rule(fails=st.booleans())
    def card_answers(self, fails: bool) -> None:
        world = self.world
        if fails:
            world.lose_card()
        else:
            world.card_open = True
            world.tell(ev.CardOpened())

    @precondition(lambda self: self.world.silenced or self.world.holding)
    @rule()
    def card_falls_silent(self) -> None:
        world = self.world
        if world.silenced:
            world.say_ended(next(iter(world.silenced)), world.silenced)
        else:
            world.say_held(next(iter(world.holding)))

    @rule(zone=st.sampled_from(("hall", "street")))
    def relay_fails(self, zone: str) -> None:
        self.world.tell(ev.RelayFailed(zone, "line busy"))

    # Link and machine -----------------------------------------------------------------------------------------------

    @rule(stale=st.booleans())
    def link_changes(self, stale: bool) -> None:
        world = self.world
        if stale:
            world.tell(ev.Connected(world.connection - 1, "old broker"))
            world.tell(ev.Disconnected(world.connection - 1, "old news"))
        elif world.connecting:
            world.connect()
        else:
            world.connected = False
            world.tell(ev.Disconnected(world.connection, "gone"))

    @precondition(lambda self: self.world.published)
    @rule(heard=st.booleans())
    def report_arrives(self, heard: bool) -> None:
        world = self.world
        world.tell(ev.ReportDelivered(world.connection, world.published.pop(0), heard))

    @rule(question=st.sampled_from(("status", "amp-off")))
    def somebody_asks(self, question: str) -> None:
        self.world.tell(ev.Asked(1, question))

    @rule(leap_s=st.sampled_from((-40_000_000, -90_000, -600, -70, -3, 3, 70, 600, 90_000, 40_000_000)))
    def wall_clock_leaps(self, leap_s: int) -> None:
        self.world.wall_offset_s += leap_s
        self.world.account.forget()
        self.world.tell(ev.Tick())

    @rule(synchronised=st.booleans())
    def kernel_says_of_its_clock(self, synchronised: bool) -> None:
        self.world.wall_offset_s = self.world.world_offset_s
        self.world.account.forget()
        self.world.synchronised = synchronised
        self.world.tell(ev.Tick())

    @rule(way=st.sampled_from(("power", "kill", "stop", "thread")), off_s=st.sampled_from((5.0, 300.0, 90_000.0)))
    def restart(self, way: str, off_s: float) -> None:
        world = self.world
        if way == "stop":
            world.tell(ev.StopRequested("SIGTERM"))
        elif way == "thread":
            world.tell(ev.ThreadDied("fetch", "bug"))
        assert world.exited == (way in {"stop", "thread"})
        world.crash(power=way == "power", off_s=off_s)

    # Time -----------------------------------------------------------------------------------------------------------

    @rule(seconds=SPANS)
    def nobody_answers_for(self, seconds: float) -> None:
        self.world.run(seconds, honest=False)

    @rule(seconds=SPANS, but_the_disk=st.booleans())
    def all_goes_well_for(self, seconds: float, but_the_disk: bool) -> None:
        self.world.disk_is_slow = but_the_disk
        self.world.run(seconds)

    @rule()
    def all_is_answered(self) -> None:
        for _ in range(200):
            if not self.world.answer():
                return

    @rule(late_s=st.sampled_from((0.3, 6.0, 100.0, 10_000.0)))
    def the_loop_stands_still(self, late_s: float) -> None:
        self.world.mono_s += late_s
        self.world.tell(ev.Tick())
        self.world.pass_deadlines()

    def teardown(self) -> None:
        if hasattr(self, "world") and self.world.whole:
            self.world.settle()
        super().teardown()


TestNode = Node.TestCase
TestNode.settings = explored(max_examples=80, steps=50)
