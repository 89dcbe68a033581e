"""A simulated pole around the pure core: honest adapters, a moved clock, and a history of all that was done.

Answers to effects are scheduled as events; `run(seconds)` moves the clock from instant to instant. Whoever wants a slow
disk, a missing card or a dead source says so in `Behaviour`.
"""

import heapq
import itertools
import json
import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.core import node
from agent.core import programme as prog
from agent.core.air import ON_ITS_HEELS_S
from agent.core.amplifier import ENERGISED, AmplifierSettings
from agent.core.items import SAMPLE_RATE
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import AnyCommand, Play, Stop, VerifiedCommand
from agent.messages.loudness import Loudness
from agent.messages.progress import NO_PROGRESS
from agent.messages.reasons import Reason
from agent.messages.reports import AnyReport, CommandOutcome, PlayRecord
from agent.messages.rules import NO_RULES, Rules
from agent.messages.sources import Builtin, BuiltinName, File, Relay, Source
from agent.messages.trust import TrustDocument
from agent.messages.words import Kind
from agent.security import TrustStore
from agent.verification.authority import Addressee
from agent.verification.judge import Judge, trust_in_force
from tests.signing import CHAIR, DEFENCE, OPERATOR, document
from tests.stored import Model

START_WALL_S = 1_790_000_000.0
EVERYTHING = frozenset({"play.normal", "play.priority", "play.emergency", "stop", "volume", "time"})

CHIME = Source(builtin=Builtin(BuiltinName.CHIME))
FILE = Source(file=File("https://files.example/a.mp3", "a" * 64, 1_000))
OTHER_FILE = Source(file=File("https://files.example/b.mp3", "b" * 64, 1_000))
RELAY = Source(relay=Relay("https://radio.vov.example/live"))
TRUST = document(OPERATOR, CHAIR, DEFENCE)
TIMEOUT_S = 120.0
"""Of a connection into a dead network."""

BOOTED_S = 20.0
"""Boot time when the agent starts after a power cut."""


E = TypeVar("E", bound=ev.SoundAdvanced | ev.SoundEnded | ev.SoundHeld)


@dataclass
class Behaviour:
    """How the world around the core behaves; None: never answers."""

    commit_s: float | None = 0.005
    commits_fail: bool = False
    fetch_s: float | None = 0.002
    fetch_slow: dict[str, float] = field(default_factory=dict)
    """How long these take instead, in all: what was given up half-way goes on where it was."""
    fetch_fails: dict[str, Reason] = field(default_factory=dict)
    decode_s: float | None = 0.01
    card_s: float | None = 0.02
    silent_from_s: dict[str, float] = field(default_factory=dict)
    """From where on a relay, by its address, gives digital silence."""
    sound_length_s: float = 2.0
    length_told: bool = True
    """The player says how long a file is, asked for what lies behind its end."""
    card_lead_s: float = 0.02
    silence_s: float | None = 0.01
    told_s: float = 0.005
    """How much later than the last sample the card says that it has ended: it looks every 10 ms."""
    broken: dict[str, int] = field(default_factory=dict)
    """How often these zones' relays cannot be switched on from now on."""
    card_hangs: bool = False
    """It begins to sound, and is never heard of again."""
    advance_s: int = 1
    """How often the card says that it goes on."""
    network: bool | None = None
    """Whether connections come about, and reports are received; None: only as the test says."""
    synchronised: bool = True
    vouched: bool = False
    """Whether it is the configuration that says so."""


@dataclass(frozen=True)
class Heard:
    """A stretch of sound as the village hears it: seconds of the lane, of attempt `token`."""

    item: str
    token: int
    at_s: float
    from_s: float
    until_s: float


@dataclass
class _Sounding:
    """From `at_s` on, `length_s` of it, then `end`; `late_s` of the lane were left out, `lane_s` are over by then."""

    at_s: float
    length_s: float
    end: ev.End
    late_s: float
    lane_s: float
    loudest_percent: int
    all_sounded: bool = False

    def used(self, heard_s: float) -> int:
        return round((self.late_s + heard_s) * SAMPLE_RATE)


@dataclass
class Pole:
    """One node and its surroundings."""

    settings: node.NodeSettings
    behaviour: Behaviour = field(default_factory=Behaviour)
    trust: TrustDocument = TRUST
    mono_s: float = 1_000.0
    history: list[tuple[float, do.Effect]] = field(default_factory=list)
    reports: list[AnyReport] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    stored: Model = field(default_factory=Model)
    given: dict[bytes, VerifiedCommand] = field(default_factory=dict)
    """What `order` has verified, by its envelope."""
    released_s: int = int(START_WALL_S) - 86_400
    """When the software was made."""
    carried: ev.ClockFound | None = None
    """The time as the process before has handed it on; then as this one does."""

    def __post_init__(self) -> None:
        self._serial = itertools.count()
        self._entropy = itertools.count(1 << 127, 1 << 100)
        self._future: list[tuple[float, int, ev.Event]] = []
        self._sounding: dict[int, _Sounding] = {}
        self._held: dict[int, float] = {}
        self.heard: list[Heard] = []
        self._skipped: dict[int, float] = {}
        self.progress = NO_PROGRESS
        self._bringing: dict[int, tuple[str, float]] = {}
        self._brought_s: dict[str, float] = {}
        self._silent_from_s: dict[int, float] = {}
        self._connection = 0
        self.wall_offset_s = self.world_offset_s = START_WALL_S - self.mono_s
        self.state = node.initial(self.settings, self.trust, self.released_s, self.now, self.carried)
        self.judge = Judge(
            TrustStore(self.trust, site=self.settings.site), Addressee("hoang-dao", "hd-03", frozenset())
        )
        self._first: deque[ev.Event] = deque()

    @property
    def now(self) -> ev.Now:
        behave, wall_s = self.behaviour, self.mono_s + self.wall_offset_s
        return ev.Now(self.mono_s, wall_s, behave.synchronised, next(self._entropy) % (1 << 128), behave.vouched)

    @property
    def wall_s(self) -> int:
        return int(self.mono_s + self.wall_offset_s)

    @property
    def world_s(self) -> float:
        """The time as everybody else has it, whatever this pole's wall clock says."""
        return self.mono_s + self.world_offset_s

    def start(self, restored: ev.Restored | None = None) -> "Pole":
        """Restore (by default a store long in use, and empty but for that) and warm the player."""
        if restored is None:
            self.stored.settings["mark"] = (0, 0)
            restored = self.judge.restored(self.stored.memory())
        self.tell(restored)
        self.tell(ev.PlayerReady())
        return self

    def on_a_new_card(self) -> "Pole":
        """Start with a store that nobody has used."""
        return self.start(self.judge.restored(self.stored.memory()))

    def after_power_cut(
        self, off_s: float = 60.0, *, wall_s: float = 0.0, synchronised: bool = False, known_as: str = "hd-03"
    ) -> "Pole":
        """The same pole `off_s` later, with what its store holds; its wall clock begins at `wall_s` (1970: no chip)."""
        again = Pole(
            self.settings,
            replace(self.behaviour, synchronised=synchronised),
            trust_in_force(TrustStore(self.trust, site=self.settings.site), self.stored.memory()).document,
            mono_s=BOOTED_S,
            reports=self.reports,
            stored=self.stored,
            given=self.given,
            released_s=self.released_s,
        )
        again.world_offset_s = self.world_s + off_s - BOOTED_S
        again.wall_offset_s = wall_s - BOOTED_S
        again.judge = Judge(
            TrustStore(again.trust, site=self.settings.site), Addressee("hoang-dao", known_as, frozenset())
        )
        return again.start(again.restored())

    def restored(self) -> ev.Restored:
        """What the store holds; `order` verifies commands by its word alone, and they are believed again."""
        memory = self.stored.memory()
        restored = self.judge.restored(
            replace(memory, items=tuple(i for i in memory.items if i.envelope not in self.given))
        )
        items = (
            ev.RestoredItem(self.given[i.envelope], i.accepted_at, i.started_at, "", i.round, i.round_at)
            for i in memory.items
            if i.envelope in self.given
        )
        return replace(restored, items=(*restored.items, *items))

    def after_crash(self, off_s: float = 2.0) -> "Pole":
        """The next process on the same machine: it finds the store, and what this one has handed on."""
        again = Pole(
            self.settings,
            self.behaviour,
            trust_in_force(TrustStore(self.trust, site=self.settings.site), self.stored.memory()).document,
            mono_s=self.mono_s + off_s,
            reports=self.reports,
            stored=self.stored,
            given=self.given,
            released_s=self.released_s,
            carried=self.carried,
        )
        again.world_offset_s, again.wall_offset_s = self.world_offset_s, self.wall_offset_s
        return again.start(replace(again.restored(), progress=self.progress))

    def connect(self) -> "Pole":
        """The link comes up."""
        self.run(0.0)
        self.tell(ev.Connected(self.state.connection.number, "broker"))
        return self

    def tell(self, event: ev.Event) -> None:
        """Give one event now and let its effects be performed."""
        before = self.state
        self.state, effects = node.step(self.state, event, self.now)
        assert self.state is not None, before
        for effect in effects:
            self.history.append((self.mono_s, effect))
            self._perform(effect)
        if self._first:
            self._happen(self._first.popleft())

    def learn_from_the_network(self) -> None:
        """NTP has come: the kernel sets its clock, and says so."""
        self.wall_offset_s = self.world_offset_s
        self.behaviour.synchronised = True
        self.tell(ev.Tick())

    def lose_the_link(self) -> None:
        """The connection breaks."""
        self.tell(ev.Disconnected(self._connection, "gone"))

    def lose_the_card(self) -> None:
        """It is gone: whatever sounds is over, and its news is what had sounded."""
        for token in list(self._sounding):
            heard_s = self._stop(token)
            assert heard_s is not None
            used = self._sounding[token].used(heard_s)
            self._happen(ev.SoundEnded(token, ev.End.CUT, self._loudness(heard_s), used))

    def fail_the_relay(self) -> None:
        """No line can be switched any more, for now."""
        for zone in self.settings.zones:
            self.tell(ev.RelayFailed(zone, "line busy"))

    def hear(self, envelope: bytes, *, qos: int = 1) -> None:
        """A real envelope arrives, and is judged by real signatures."""
        packet = (next(self._serial) + 1) * qos
        self._happen(ev.MessageArrived(ev.Delivery(self._connection, packet), "topic", envelope, False))

    def run(self, seconds: float) -> None:
        """Move the clock, stopping wherever something happens or is due."""
        until_s = self.mono_s + seconds
        turns_in_place = 0
        while True:
            deadline_s = node.next_deadline(self.state, self.now)
            instants = [self._future[0][0]] if self._future else []
            instants += [] if deadline_s is None else [max(deadline_s, self.mono_s)]
            due_s = min(instants, default=until_s)
            if not instants or due_s > until_s:
                break
            turns_in_place = turns_in_place + 1 if due_s == self.mono_s else 0
            assert turns_in_place < 1_000, f"something is due for ever at {self.mono_s}"
            self.mono_s = max(self.mono_s, due_s)
            if self._future and self._future[0][0] <= self.mono_s:
                self._happen(heapq.heappop(self._future)[2])
            else:
                self.tell(ev.Tick())
        self.mono_s = until_s

    def order(
        self,
        command: AnyCommand,
        *,
        iss: str = "commune",
        may: frozenset[str] = EVERYTHING,
        jti: str | None = None,
        age_s: int = 0,
        life_s: int = 3_600,
        max_volume_percent: int = 100,
    ) -> str:
        """A verified command arrives; returns its jti."""
        number = next(self._serial)
        jti = jti or f"jti-{number:016d}"
        iat = self.wall_s - age_s
        verified = VerifiedCommand(
            iss, jti, iat, iat + life_s, command, ("k1",), may, max_volume_percent, f"envelope {jti}".encode()
        )
        self.given[verified.envelope] = verified
        self.tell(ev.CommandVerified(ev.Delivery(self._connection, number + 1), verified))
        return jti

    # What can be asked afterwards

    @property
    def records(self) -> list[PlayRecord]:
        return [report for report in self.reports if isinstance(report, PlayRecord)]

    def outcome(self, jti: str) -> CommandOutcome:
        """The one outcome of this command."""
        found = [each for each in self.reports if isinstance(each, CommandOutcome) and each.jti == jti]
        assert len(found) == 1, found
        return found[0]

    def of(self, *kinds: type) -> list[tuple[float, do.Effect]]:
        """The history of some kinds of effects."""
        return [(when, effect) for when, effect in self.history if isinstance(effect, kinds)]

    def relay(self) -> list[tuple[float, bool]]:
        """When the relay was told what."""
        return [(when, effect.on) for when, effect in self.history if isinstance(effect, do.SwitchRelay)]

    @property
    def amplifier_on(self) -> bool:
        return any(amplifier.mode in ENERGISED for amplifier in self.state.amplifiers.values())

    @property
    def on_card_since_s(self) -> float:
        """When what sounds now began to."""
        return next(each.at_s for each in self._sounding.values())

    # The simulated adapters

    def later(self, delay_s: float | None, event: ev.Event) -> None:
        if delay_s is not None:
            heapq.heappush(self._future, (self.mono_s + delay_s, next(self._serial), event))

    def _happen(self, event: ev.Event) -> None:
        if isinstance(event, ev.MessageArrived):
            event = self.judge.judge(event, *node.clock_view(self.state, self.now))
        if isinstance(event, ev.FileReady):
            self._cancel(event.token)
        if isinstance(event, ev.SoundStarted):
            assert self.amplifier_on, "sound with the relay off"
        if isinstance(event, ev.SoundAdvanced | ev.SoundEnded | ev.SoundHeld):
            event = self._as_loud_as_it_was(event)
        if isinstance(event, ev.SoundEnded | ev.SoundHeld):
            if event.token not in self._sounding:
                return
            self._hear(event.token, event.loudness)
        self.tell(event)

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.Connect(connection=connection):
                self._connection = connection
                self._connect(connection)
            case do.Commit(token=token, writes=writes):
                self._commit(token, writes)
            case do.TakeTrust(document=document, orders=orders):
                self._first.append(self.judge.take(document, orders))
            case do.KeepProgress(progress=progress):
                self.progress = progress
            case do.CarryClock(offset_s=offset_s, evidence=evidence):
                self.carried = ev.ClockFound(offset_s, evidence)
            case do.JudgeAgain(message=message):
                self._first.append(message)
            case do.Acknowledge(delivery=delivery):
                self.acknowledged.append(delivery.packet)
            case _:
                self._perform_sources(effect)

    def _perform_sources(self, effect: do.Effect) -> None:
        behave = self.behaviour
        match effect:
            case do.FetchFile(token=token, file=file):
                self._fetch(token, file.uri, ev.FileReady(token, "/cache/file"))
            case do.OpenStream(token=token, relay=relay):
                self._silent_from_s[token] = self.behaviour.silent_from_s.get(relay.uri, math.inf)
                self._fetch(token, relay.uri, ev.StreamReady(token, 99, b"ID3"))
            case do.Decode(token=token, from_s=from_s):
                self._skipped[token] = from_s
                beyond = from_s >= behave.sound_length_s
                length_s = behave.sound_length_s if behave.length_told else None
                nothing = ev.DecodingFailed(token, Reason.UNDECODABLE, "no sound in it", length_s)
                self.later(behave.decode_s, nothing if beyond else ev.SamplesDecoded(token))
            case do.Speak(token=token):
                self._fetch(token, "speech", ev.FileReady(token, "/run/speech"))
            case do.Prefetch(token=token, file=file):
                self._fetch(token, file.uri, ev.FileReady(token, "/cache/file"))
            case do.CancelFetch(token=token):
                self._cancel(token)
            case do.OpenCard():
                self.later(behave.card_s, ev.CardOpened())
            case do.ReadOutbox(after_seq=after_seq, limit=limit) if behave.network is not None:
                found = [seq for seq in self.stored.outbox if seq > after_seq][:limit]
                self.later(0.01, ev.OutboxRead(tuple((seq, b"{}") for seq in found)))
            case do.PublishReport(seq=seq) if behave.network:
                self.later(0.05, ev.ReportDelivered(self._connection, seq, True))
            case _:
                self._perform_sound(effect)

    def _perform_sound(self, effect: do.Effect) -> None:
        match effect:
            case do.Sound():
                self._sound(effect)
            case do.Silence(token=token):
                self._held.pop(token, None)
                self._silence(token)
            case do.Hold(token=token):
                self._hold(token)
            case do.SetGain(token=token, gain_percent=percent) if token in self._sounding:
                sounding = self._sounding[token]
                sounding.loudest_percent = max(sounding.loudest_percent, percent)
            case do.SwitchRelay(zone=zone, on=True):
                assert self.state.card_open, "the relay closes on a card that does not run"
                if self.behaviour.broken.get(zone, 0):
                    self.behaviour.broken[zone] -= 1
                    self.later(0.001, ev.RelayFailed(zone, "line busy"))
            case do.CloseCard():
                for token in [each for each in self._sounding if not self._ends_later(each)]:
                    del self._sounding[token]
                assert not self.amplifier_on, "the card closes under a closed relay"
            case _:
                pass

    def _commit(self, token: int, writes: tuple[do.Write, ...]) -> None:
        if self.behaviour.commits_fail:
            self.later(self.behaviour.commit_s, ev.CommitFailed(token, "disk full"))
            return
        for write in writes:
            self.stored.write(write)
        self.reports += [each.claims.report for each in writes if isinstance(each, do.AppendReport)]
        self.later(self.behaviour.commit_s, ev.Committed(token))

    def _connect(self, connection: int) -> None:
        if self.behaviour.network:
            self.later(0.5, ev.Connected(connection, "broker"))
        elif self.behaviour.network is False:
            self.later(TIMEOUT_S, ev.Disconnected(connection, "no answer"))

    def _fetch(self, token: int, uri: str, ready: ev.Event) -> None:
        reason = self.behaviour.fetch_fails.get(uri)
        if reason is not None:
            ready = ev.SourceFailed(token, reason, f"{uri} failed")
        if uri not in self.behaviour.fetch_slow:
            self.later(self.behaviour.fetch_s, ready)
            return
        rest_s = max(0.0, self.behaviour.fetch_slow[uri] - self._brought_s.get(uri, 0.0))
        self._bringing[token] = uri, self.mono_s
        self.later(rest_s, ready)

    def _cancel(self, token: int) -> None:
        """It is fetched no more: what was brought so far stays."""
        uri, since_s = self._bringing.pop(token, ("", self.mono_s))
        self._brought_s[uri] = self._brought_s.get(uri, 0.0) + self.mono_s - since_s

    def _sound(self, effect: do.Sound) -> None:
        """A lane from its beginning or, if it was held, from where it was; late for its instant, it begins amid it.

        The card writes one after the other: what is asked for beside the rest of another begins after that.
        """
        behave, token, at_mono_s = self.behaviour, effect.token, effect.at_mono_s
        others = [each.at_s + each.length_s for other, each in self._sounding.items() if other != token]
        assert max(others, default=0.0) <= self.mono_s + ON_ITS_HEELS_S + 1e-6, "two items sound at once"
        begun_s = max(self.mono_s + behave.card_lead_s, *others, 0.0)
        at_s = begun_s if at_mono_s is None else max(at_mono_s, begun_s)
        lane_s = self._held.pop(token, 0.0)
        rest_s = max(0.0, behave.sound_length_s - self._skipped.get(token, 0.0) - lane_s)
        late_s = 0.0 if at_mono_s is None else min(rest_s, at_s - at_mono_s)
        lane_s, rest_s = lane_s + late_s, rest_s - late_s
        length_s, end = how_it_ends(effect, at_s, late_s, rest_s)
        sounding = self._sounding[token] = _Sounding(at_s, length_s, end, late_s, lane_s, effect.gain_percent)
        if length_s > 0:
            self.later(max(behave.told_s, at_s - self.mono_s - CARD_HOLDS_S), ev.SoundStarted(token, at_s))
        if not behave.card_hangs:
            for second in range(behave.advance_s, math.ceil(length_s), behave.advance_s):
                silent_s = max(0.0, second - self._silent_from_s.get(token, math.inf))
                advanced = ev.SoundAdvanced(token, self._loudness(second), sounding.used(second), silent_s)
                self.later(at_s - self.mono_s + second, advanced)
            told_s = max(0.0, length_s - CARD_HOLDS_S)
            self.later(at_s - self.mono_s + told_s, ev.SoundEnding(token, at_s + length_s))
            ended = ev.SoundEnded(token, end, self._loudness(length_s), sounding.used(length_s))
            self.later(at_s - self.mono_s + length_s + behave.told_s, ended)

    def _loudness(self, heard_s: float) -> Loudness:
        return Loudness(round(heard_s * SAMPLE_RATE), -20.0, -3.0, 0)

    def _as_loud_as_it_was(self, event: E) -> E:
        sounding = self._sounding.get(event.token)
        if sounding is None or sounding.loudest_percent:
            return event
        return replace(event, loudness=replace(event.loudness, rms_dbfs=None, peak_dbfs=None))

    def _hear(self, token: int, loudness: Loudness) -> None:
        sounding = self._sounding.pop(token)
        heard_s = loudness.samples / SAMPLE_RATE
        item = next((each.name for each in prog.attempts(self.state.programme) if each.token == token), "")
        from_s = self._skipped.get(token, 0.0) + sounding.lane_s
        self.heard.append(Heard(item, token, sounding.at_s, round(from_s, 6), round(from_s + heard_s, 6)))

    def _stop(self, token: int) -> float | None:
        """Nothing more is heard of it; how much was, or None if it had not been asked to sound."""
        sounding = self._sounding.get(token)
        if sounding is None:
            return None
        self._future = [each for each in self._future if not _ends(each[2], token)]
        heapq.heapify(self._future)
        heard_s = min(sounding.length_s, max(0.0, self.mono_s - sounding.at_s))
        sounding.all_sounded = heard_s >= sounding.length_s
        sounding.length_s = heard_s
        return heard_s

    def _silence(self, token: int) -> None:
        heard_s = self._stop(token)
        if heard_s is not None:
            self._end(token, ev.End.CUT, heard_s)

    def _end(self, token: int, end: ev.End, heard_s: float) -> None:
        used = self._sounding[token].used(heard_s)
        self.later(self.behaviour.silence_s, ev.SoundEnded(token, end, self._loudness(heard_s), used))

    def _ends_later(self, token: int) -> bool:
        """Whether the card will have a last word of it."""
        last = ev.SoundEnded | ev.SoundHeld
        return any(isinstance(each[2], last) and each[2].token == token for each in self._future)

    def _hold(self, token: int) -> None:
        heard_s = self._stop(token)
        if heard_s is None:
            return
        sounding = self._sounding[token]
        if heard_s == 0:
            self._end(token, ev.End.CUT, 0.0)
        elif sounding.all_sounded:
            self._end(token, sounding.end, heard_s)
        else:
            self._held[token] = sounding.lane_s + heard_s
            held = ev.SoundHeld(token, self._loudness(heard_s), sounding.used(heard_s))
            self.later(self.behaviour.silence_s, held)


CARD_HOLDS_S = 0.6
"""So long before its last sample has left an item is all in the card."""

FADE_S = 0.01
"""Two ends that are nearer than this are one."""


def how_it_ends(effect: do.Sound, at_s: float, late_s: float, rest_s: float) -> tuple[float, ev.End]:
    """How long a lane with `rest_s` in it sounds from `at_s` on, `late_s` having been left out, and what ends it."""
    limit_s = max(0.0, effect.max_samples / SAMPLE_RATE - late_s)
    until_s = math.inf if effect.until_mono_s is None else max(0.0, effect.until_mono_s - at_s)
    if rest_s <= min(limit_s, until_s):
        return rest_s, ev.End.COMPLETE
    return min(limit_s, until_s), ev.End.LIMIT if limit_s <= until_s + FADE_S else ev.End.UNTIL


def _ends(event: ev.Event, token: int) -> bool:
    return (
        isinstance(event, ev.SoundEnded | ev.SoundEnding | ev.SoundStarted | ev.SoundAdvanced) and event.token == token
    )


def make_pole(
    behaviour: Behaviour | None = None,
    trust: TrustDocument = TRUST,
    rules: Rules = NO_RULES,
    heartbeat_s: int = 60,
    **zones: AmplifierSettings,
) -> Pole:
    """A node with one zone (or these), its clock trusted by the kernel unless the behaviour says otherwise."""
    settings = node.NodeSettings(
        node="hd-03",
        site="hoang-dao",
        boot="0" * 32,
        version="0.1.0",
        public="p" * 43,
        zones=zones or {"main": AmplifierSettings(warm_up_ms=800, linger_ms=3_000)},
        volume_percent=80,
        emergency_volume_percent=100,
        heartbeat_s=heartbeat_s,
        rules=rules,
    )
    return Pole(settings, behaviour or Behaviour(), trust)


def play(item: str = "item-1", *sources: Source, kind: Kind = Kind.NORMAL, max_duration_s: int = 60) -> Play:
    """A play order; by default of a file."""
    return Play(item, kind, f"title of {item}", sources or (FILE,), max_duration_s)


def altered(order: Play, **changes: object) -> Play:
    """The same order with some members changed."""
    members = {name: getattr(order, name) for name in order.__struct_fields__}
    return Play(**{**members, **changes})


def stop(item: str) -> Stop:
    """Stop one item."""
    return Stop(reason="operator", item=item)


def claims_of(payload: bytes) -> dict[str, object]:
    """A JSON document as published."""
    document = json.loads(payload)
    assert isinstance(document, dict)
    return document
