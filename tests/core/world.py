"""A world around the pure core that keeps no promise but the adapters' own: whatever was asked may be answered late,
twice, never or with a failure, in any order. It holds the node to its invariants after every step.

Unlike the pole of `pole.py` nothing happens here by itself: whoever drives it says which answer comes next. `settle`
makes it honest, and lets all that is under way come to its end.
"""

import itertools
from dataclasses import dataclass, field, replace

from agent.core import node
from agent.core import programme as prog
from agent.core.amplifier import ENERGISED, AmplifierSettings, Mode
from agent.core.items import EMERGENCY_COMMIT_WAIT_S, SAMPLE_RATE, Item
from agent.core.records import zones_of
from agent.core.stages import Attempt, Stage
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import Play, SetTrust, VerifiedCommand
from agent.messages.documents import SetSchedule
from agent.messages.local_time import local_minute
from agent.messages.loudness import Loudness
from agent.messages.progress import NO_PROGRESS
from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome, PlayRecord
from agent.messages.rules import Rules, rules_of
from agent.messages.timetable import occurrences
from agent.messages.trust import TrustDocument
from agent.messages.words import Kind
from tests.core.due import due_at_latest
from tests.core.patience import Account, Waits
from tests.core.pole import CARD_HOLDS_S, how_it_ends
from tests.core.promises import Key, Promises
from tests.stored import Model

START_WALL_S = 1_790_000_000.0
BOOTED_S = 20.0
DAY = 86_400.0
QUIET = 8 * DAY
"""A heartbeat so rare that no deadline of anything else hides behind it."""

SLACK_S = 0.01
"""Deadlines may lie a little behind what they are for: 1 ms, where something ends with the second."""

HEELS_S = 0.1
"""What begins so long before the end of another is written behind it, and leaves out what is late by then."""

MAX_AHEAD_S = 300
"""What is dated later than this is not valid yet (protocol 3)."""

ZONES = {
    "hall": AmplifierSettings(warm_up_ms=800, linger_ms=3_000, max_on_s=90, min_off_ms=1_500),
    "street": AmplifierSettings(warm_up_ms=0, linger_ms=0, max_on_s=3_600, min_off_ms=500),
}


TOLD_S = (0.0, 0.004, 0.01)
"""How much later than its last sample the card may say that a lane has ended: it looks every 10 ms."""


@dataclass
class OnCard:
    """A lane that the card was asked to play: from `at_s` on, `length_s` of it, then `end`; `late_s` were left out."""

    at_s: float
    length_s: float
    end: ev.End
    late_s: float = 0.0
    started: bool = False
    ending_told: bool = False
    advanced_s: float = 0.0
    kind: Kind = Kind.NORMAL
    asked_s: float = 0.0

    @property
    def ends_s(self) -> float:
        return self.at_s + self.length_s

    @property
    def given_s(self) -> float:
        """When its first sample is written to the card: then it says that it has started."""
        return max(self.asked_s, self.at_s - CARD_HOLDS_S)

    def heard_s(self, at_s: float) -> float:
        return min(self.length_s, max(0.0, at_s - self.at_s))

    def used(self, heard_s: float) -> int:
        return round((self.late_s + heard_s) * SAMPLE_RATE)

    def ended(self, end: ev.End, token: int) -> ev.SoundEnded:
        return ev.SoundEnded(token, end, loudness(self.length_s), self.used(self.length_s))


@dataclass
class World:
    """One node, its disk and all that it has asked of others."""

    trust: TrustDocument
    rules: Rules = field(default_factory=Rules)
    mono_s: float = 1_000.0
    synchronised: bool = True
    length_s: float = 8.0
    stored: Model = field(default_factory=Model)
    given: dict[bytes, VerifiedCommand] = field(default_factory=dict)
    """Every command that security has verified, by its envelope."""
    durable: list[CommandOutcome | PlayRecord] = field(default_factory=list)
    heard_s: float = 0.0
    soundings: int = 0
    crashes: int = 0
    exited: bool = False
    whole: bool = True
    """No step was broken off by an invariant."""
    refused: bool = False
    """The disk has refused something in this life."""
    disk_is_slow: bool = False
    """It writes nothing of itself."""

    def __post_init__(self) -> None:
        self.settings = node.NodeSettings(
            node="hd-03",
            site="hoang-dao",
            boot="0" * 32,
            version="0.1.0",
            public="p" * 43,
            zones=ZONES,
            volume_percent=80,
            emergency_volume_percent=100,
            heartbeat_s=int(QUIET),
            rules=self.rules,
        )
        self._serial = itertools.count(1)
        self.world_offset_s = self.wall_offset_s = START_WALL_S - self.mono_s
        self.carried: ev.ClockFound | None = None
        self.progress = NO_PROGRESS
        self.unacknowledged: dict[bytes, None] = {}
        self.delivered: dict[int, bytes] = {}
        self.stored.settings["mark"] = (0, 0)
        self.promises = Promises(self)
        self.account = Account()
        self._begin()

    # Lives ----------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """A process starts: nothing is asked of anybody, and nobody is connected."""
        self.asked: dict[int, do.FetchFile | do.OpenStream | do.Speak | do.Prefetch] = {}
        self.decoding: list[int] = []
        self.tokens: list[int] = []
        self.sounded: list[int] = []
        self.on_card: dict[int, OnCard] = {}
        self.silenced: dict[int, OnCard] = {}
        self.holding: dict[int, OnCard] = {}
        self.played_s: dict[int, float] = {}
        self.card_asked = self.card_open = False
        self.relays = dict.fromkeys(ZONES, False)
        self.commits: list[do.Commit] = []
        self.written: list[int] = []
        self.reading: list[do.ReadOutbox] = []
        self.published: list[int] = []
        self.vitals = 0
        self.connection = 0
        self.connecting = self.connected = False
        self.first: list[ev.Event] = []
        over = (*self.records(), *self.progress.over)
        self.ended: set[Key] = {(each.iss, f"{each.jti}/{each.item}") for each in over}
        self.taken = {*self.stored.slots, *((each.iss, each.item) for each in self.records())}
        self.exited = self.refused = False
        newest = max(self.stored.trusts, default=0)
        if newest > self.trust.version:
            command = self.given[self.stored.trusts[newest]].command
            assert isinstance(command, SetTrust)
            self.trust = command.trust
        self.state = node.initial(self.settings, self.trust, int(START_WALL_S) - 86_400, self.now, self.carried)
        self.tell(self._restored())
        self.tell(ev.PlayerReady())

    def crash(self, *, power: bool, off_s: float = 30.0) -> None:
        """The process ends amid whatever it was at: of its transactions only those are kept that were written."""
        self.crashes += 1
        for token in [*self.on_card]:
            self._falls_silent(token)
        if power:
            world_s = self.mono_s + self.world_offset_s + off_s
            self.mono_s, self.world_offset_s = BOOTED_S, world_s - BOOTED_S
            self.wall_offset_s = -BOOTED_S
            self.synchronised = False
            self.carried = None
            self.progress = NO_PROGRESS
        else:
            self.mono_s += 1.0
        self.promises.lives_again(power=power)
        self.account.forget()
        self._begin()

    def _restored(self) -> ev.Restored:
        memory = self.stored.memory()
        items = []
        for each in memory.items:
            standing = self._standing(each.envelope)
            given, told = self.given[each.envelope], standing.detail
            items.append(ev.RestoredItem(given, each.accepted_at, each.started_at, told, each.round, each.round_at))
        waiting = []
        for kept in memory.unjudged:
            verified = self.given[kept.envelope]
            play = verified.command if isinstance(verified.command, Play) else None
            waiting.append(ev.RestoredCommand(kept, play, verified.exp))
        return ev.Restored(
            memory.next_seq,
            memory.outbox_count,
            memory.accepted,
            memory.stops,
            tuple(items),
            memory.settings,
            tuple(waiting),
            tuple(
                ev.RestoredDocument(each, None if each.envelope is None else self._standing(each.envelope))
                for each in memory.documents
            ),
            memory.slots,
            memory.ledger,
            memory.wanted,
            self.progress,
        )

    # Time -----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> ev.Now:
        entropy = next(self._serial) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)
        return ev.Now(self.mono_s, self.mono_s + self.wall_offset_s, self.synchronised, entropy)

    @property
    def time_s(self) -> int:
        """What a node of this kind takes for the time, or at least for its floor: how honest orders are dated."""
        trusted_s, floor_s = node.clock_view(self.state, self.now)
        return floor_s if trusted_s is None else int(trusted_s)

    @property
    def trusted_s(self) -> float | None:
        return node.clock_view(self.state, self.now)[0]

    # Steps ----------------------------------------------------------------------------------------------------------

    def tell(self, event: ev.Event) -> None:
        """One event, its effects in order, and the invariants; then what the loop puts before all else."""
        if self.exited:
            return
        self.whole = False
        if isinstance(event, ev.SoundEnded | ev.SoundHeld):
            self._falls_silent(event.token)
            self.promises.fell_silent(event)
        before = self.state
        self.state, effects = node.step(before, event, self.now)
        for effect in effects:
            self._perform(effect)
        if not self.exited:
            self.promises.stepped(before, event, self.state)
            self.check()
        self.whole = True
        if self.first and not self.exited:
            self.tell(self.first.pop(0))

    def arrive(self, verified: VerifiedCommand, *, qos: int = 1) -> None:
        """A command that security has verified, for the first time or again."""
        self.given[verified.envelope] = verified
        packet = next(self._serial) * qos
        if packet:
            self.unacknowledged[verified.envelope] = None
            self.delivered[packet] = verified.envelope
        self.tell(self._judged(ev.Delivery(max(1, self.connection), packet), verified))

    def _judged(self, delivery: ev.Delivery, verified: VerifiedCommand) -> ev.Event:
        """Security's word on its keys and dates; the rest of it was said when it was made."""
        trusted_s, floor_s = node.clock_view(self.state, self.now)
        standing = self._standing(verified.envelope)
        reason = None
        if standing.verified is None:
            reason = Reason.UNKNOWN_KEY
        elif not isinstance(verified.command, SetTrust):
            reason = self._dates(verified, trusted_s, floor_s)
        if reason is None:
            return ev.CommandVerified(delivery, verified)
        message = ev.MessageArrived(delivery, "topic", verified.envelope, False)
        reportable = reason in {Reason.EXPIRED, Reason.NOT_YET_VALID}
        return ev.CommandRefused(delivery, reason, "no", reportable, verified.iss, verified.jti, verified.exp, message)

    def _dates(self, verified: VerifiedCommand, trusted_s: float | None, floor_s: int) -> Reason | None:
        if verified.exp < (trusted_s or floor_s):
            return Reason.EXPIRED
        ahead = trusted_s is not None and verified.iat > trusted_s + MAX_AHEAD_S
        return Reason.NOT_YET_VALID if ahead else None

    def _standing(self, envelope: bytes) -> ev.Standing:
        verified = self.given[envelope]
        if set(verified.kids) <= {key.kid for key in self.trust.keys}:
            return ev.Standing(verified)
        return ev.Standing(None, "unknown_key: removed", revoked=True)

    # Effects --------------------------------------------------------------------------------------------------------

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.Commit():
                self.commits.append(effect)
                self._note(effect)
            case do.TakeTrust(document=document, orders=orders):
                self.trust = document
                self.first.append(ev.TrustTaken(tuple((which, self._standing(each)) for which, each in orders)))
            case do.JudgeAgain(message=message):
                self.first.append(self._judged(message.delivery, self.given[message.payload]))
            case do.FetchFile(token=token) | do.OpenStream(token=token) | do.Speak(token=token):
                self.asked[token] = effect
                self.tokens.append(token)
            case do.Prefetch(token=token):
                self.asked[token] = effect
            case do.CancelFetch(token=token):
                self.asked.pop(token, None)
            case do.KeepProgress(progress=progress):
                self.progress = progress
            case do.CarryClock(offset_s=offset_s, evidence=evidence):
                self.carried = ev.ClockFound(offset_s, evidence)
            case do.Exit():
                self.exited = True
                assert not any(self.relays.values()), "it leaves with a relay on"
            case _:
                self._perform_link(effect)

    def _perform_link(self, effect: do.Effect) -> None:
        match effect:
            case do.Connect(connection=connection):
                self.connection, self.connecting, self.connected = connection, True, False
            case do.ReadOutbox():
                self.reading.append(effect)
            case do.PublishReport(seq=seq):
                self.published.append(seq)
            case do.MeasureVitals():
                self.vitals += 1
            case do.Acknowledge(delivery=delivery):
                self.unacknowledged.pop(self.delivered.get(delivery.packet, b""), None)
            case _:
                self._perform_sound(effect)

    def _perform_sound(self, effect: do.Effect) -> None:
        match effect:
            case do.Decode(token=token, from_s=from_s):
                self.promises.decode(effect)
                self.decoding.append(token)
                self.played_s[token] = from_s
                if token not in self.tokens:
                    self.tokens.append(token)
            case do.EndDecoding(token=token):
                self.decoding = [each for each in self.decoding if each != token]
            case do.SwitchRelay(zone=zone, on=on):
                self._switch(zone, on=on)
            case _:
                self._perform_card(effect)

    def _perform_card(self, effect: do.Effect) -> None:
        match effect:
            case do.OpenCard():
                self.card_asked = True
            case do.CloseCard():
                assert not any(self.relays.values()), "the card closes under a closed relay"
                self.card_asked = self.card_open = False
                for each in [*self.on_card]:
                    self._falls_silent(each)
            case do.Sound():
                self.promises.sound(effect)
                self._sound(effect)
            case do.SetGain(token=token, gain_percent=percent):
                self.promises.gains[token] = percent
            case do.Silence(token=token):
                self._stop(token, self.silenced)
            case do.Hold(token=token):
                assert token in self.on_card, "only what sounds is held"
                self.promises.hold(token)
                self._stop(token, self.holding)
            case _:
                pass

    def _sound(self, effect: do.Sound) -> None:
        attempt = next((each for each in prog.attempts(self.state.programme) if each.token == effect.token), None)
        if attempt is not None:
            self._must_be_ordered(attempt.item)
            faulty = {zone for zone, each in self.state.amplifiers.items() if each.mode is Mode.FAULT}
            without = faulty if attempt.item.is_emergency else set()
            zones = set(zones_of(self.state, attempt.item)) - without
            assert zones, "sound with all relays off"
            assert all(self.relays[zone] for zone in zones), "sound with a relay off"
        assert effect.max_samples > 0, "sound that is over before it begins"
        begun_s = self.mono_s + 0.02
        at_s = begun_s if effect.at_mono_s is None else max(begun_s, effect.at_mono_s)
        left_s = max(0.0, self.length_s - self.played_s.get(effect.token, 0.0))
        for other in self.on_card.values():
            assert other.ends_s <= max(at_s, self.mono_s) + HEELS_S, "two lanes sound at once"
            at_s = max(at_s, other.ends_s)
        late_s = 0.0 if effect.at_mono_s is None else min(left_s, at_s - effect.at_mono_s)
        kind = Kind.NORMAL if attempt is None else attempt.item.play.kind
        length_s, end = how_it_ends(effect, at_s, late_s, left_s - late_s)
        self.on_card[effect.token] = OnCard(
            at_s, length_s, end, late_s, advanced_s=at_s, kind=kind, asked_s=self.mono_s
        )
        self.sounded.append(effect.token)
        self.soundings += 1

    def _stop(self, token: int, where: dict[int, OnCard]) -> None:
        sounding = self.on_card.get(token)
        if sounding is not None:
            self._falls_silent(token)
            where[token] = replace(sounding, length_s=sounding.heard_s(self.mono_s))

    def lose_card(self) -> None:
        """First the card says what is the matter, then what ends for it; what it holds stays."""
        self.card_open = False
        for token in [*self.on_card]:
            self._stop(token, self.silenced)
        self.tell(ev.CardFailed("unplugged"))

    def _falls_silent(self, token: int) -> None:
        sounding = self.on_card.pop(token, None)
        if sounding is not None:
            heard_s = sounding.heard_s(self.mono_s)
            self.account.book(self, sounding.kind, sounding.at_s, sounding.at_s + heard_s)
            self.heard_s += heard_s
            self.played_s[token] = self.played_s.get(token, 0.0) + sounding.late_s + heard_s

    def _switch(self, zone: str, *, on: bool) -> None:
        if on:
            assert self.card_open, "the relay closes on a card that does not run"
            current = self.state.programme.current
            assert current is not None, f"relay {zone} on for nothing"
            self._must_be_ordered(current.item)
            assert zone in zones_of(self.state, current.item), f"relay {zone} on for an item of other zones"
        self.relays[zone] = on

    def _note(self, commit: do.Commit) -> None:
        """What is given to the disk, before it has it."""
        for write in commit.writes:
            match write:
                case do.KeepSlot(iss=iss, item=item):
                    self.taken.add((iss, item))
                case do.AppendReport(claims=claims) if isinstance(claims.report, PlayRecord):
                    record = claims.report
                    self.promises.record(record)
                    self.ended.add((record.iss, f"{record.jti}/{record.item}"))
                    self.taken.add((record.iss, record.item))
                case _:
                    pass

    # The disk -------------------------------------------------------------------------------------------------------

    def write(self, count: int) -> None:
        """The disk takes the oldest transactions, as one; its word comes later."""
        for commit in self.commits[:count]:
            for write in commit.writes:
                self.stored.write(write)
                if isinstance(write, do.AppendReport):
                    report = write.claims.report
                    if isinstance(report, CommandOutcome | PlayRecord):
                        self.durable.append(report)
            self.written.append(commit.token)
        del self.commits[:count]

    def fail(self, count: int) -> None:
        """The oldest transactions cannot be written."""
        self.refused = True
        failed = [commit.token for commit in self.commits[:count]]
        del self.commits[:count]
        for token in failed:
            self.tell(ev.CommitFailed(token, "disk full"))

    def committed(self) -> None:
        """The disk says what it has written."""
        tokens, self.written = self.written, []
        for token in tokens:
            self.tell(ev.Committed(token))

    def read_outbox(self) -> None:
        """The store answers one question with what it holds."""
        asked = self.reading.pop(0)
        seqs = [seq for seq in sorted(self.stored.outbox) if seq > asked.after_seq][: asked.limit]
        self.tell(ev.OutboxRead(tuple((seq, b'{"seq":%d}' % seq) for seq in seqs)))

    # Invariants -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What is always true between two steps."""
        self._check_card()
        self._check_relays()
        self._check_slots()
        self._check_deadline()

    def _check_card(self) -> None:
        for token, sounding in self.on_card.items():
            if self.mono_s >= sounding.ends_s:
                continue
            current = self._sounding_attempt(token)
            self._must_be_ordered(current.item)
            trusted_s = self.trusted_s
            assert trusted_s is not None, "sound before the time is known"
            assert trusted_s <= current.item.not_after + SLACK_S, "it sounds after its end"
            if not current.item.is_emergency:
                assert not self._is_quiet(trusted_s), "the ordinary programme sounds in quiet hours"
                if self.mono_s > sounding.at_s:
                    self.account.check(self, current.item, sounding.at_s)
            modes = {self.state.amplifiers[zone].mode for zone in zones_of(self.state, current.item)}
            if current.item.is_emergency:
                assert Mode.ON in modes, f"sound on amplifiers that are {modes}"
            else:
                assert modes == {Mode.ON}, f"sound on an amplifier that is {modes}"

    def _sounding_attempt(self, token: int) -> Attempt:
        """What sounds is on the air, or is ending beside what follows it there."""
        programme = self.state.programme
        attempt = next((each for each in prog.attempts(programme) if each.token == token), None)
        assert attempt is not None, "something sounds that is not in the programme"
        if attempt is programme.current:
            assert attempt.stage in {Stage.SOUNDING, Stage.ENDING}, attempt.stage
        else:
            assert attempt.stage is Stage.ENDING, "something sounds that is not on the air"
            assert attempt.ends_s is not None, "something is silenced, and sounds"
            assert programme.current is not None, "something sounds, and nothing is on the air"
        return attempt

    def _must_be_ordered(self, item: Item) -> None:
        """By a command that was verified and is not over, under keys that still count; stored, or an emergency."""
        verified = item.verified
        assert self.given.get(verified.envelope) == verified, "nobody ordered this"
        known = {key.kid for key in self.trust.keys}
        assert self.first or set(verified.kids) <= known, "its key was removed"  # or is, in the very next turn
        assert (verified.iss, f"{verified.jti}/{item.play.item}") not in self.ended, "it sounds after its record"
        command = verified.command
        if isinstance(command, Play):
            assert command == item.play
            if item.play.item not in self.stored.items:
                waited_s = self.mono_s - item.ordered_s
                assert item.is_emergency, "it sounds and is not stored"
                assert waited_s >= EMERGENCY_COMMIT_WAIT_S, "it sounds and is not stored"
            return
        assert isinstance(command, SetSchedule)
        kept = self.state.documents.get(("set_schedule", verified.iss))
        assert kept is not None, "a slot of no schedule"
        assert kept.verified is not None, "a slot of a schedule that was revoked"
        assert isinstance(kept.verified.command, SetSchedule)
        found = occurrences(kept.verified.command.slots, self.settings.zone, item.due_at, item.due_at + 1)
        assert item.play.item in {each.item for each in found}, "a slot that its schedule does not have"
        stored = (verified.iss, item.play.item) in self.stored.slots
        assert stored or (item.unstorable and self.refused), "a slot sounds and is not stored"

    def _is_quiet(self, at_s: float) -> bool:
        policies = [kept.verified.command for key, kept in self.state.documents.items() if kept.verified is not None]
        spans = [*self.rules.quiet_hours]
        for policy in policies:
            if not isinstance(policy, SetSchedule):
                spans += rules_of(policy).quiet_hours  # type: ignore[arg-type]
        minute = local_minute(at_s, self.settings.zone)
        return any(begin <= minute < end for begin, end in spans)

    def _check_relays(self) -> None:
        current = self.state.programme.current
        for zone, amplifier in self.state.amplifiers.items():
            assert self.relays[zone] == (amplifier.mode in ENERGISED), f"relay {zone} is not as {amplifier.mode} says"
            settings = ZONES[zone]
            if amplifier.on_since_s is not None:
                assert self.mono_s - amplifier.on_since_s < settings.max_on_s, "on for longer than the maximum"
            if amplifier.mode in {Mode.WARMING, Mode.ON}:
                assert current is not None, f"relay {zone} on for nothing"
                assert zone in zones_of(self.state, current.item), f"relay {zone} on for nobody"
            if amplifier.mode is Mode.LINGER:
                assert self.mono_s - amplifier.since_s < settings.linger_ms / 1_000 + 1e-6, "it lingers for ever"

    def _check_slots(self) -> None:
        """Whatever is due has been taken up."""
        trusted_s = self.trusted_s
        if trusted_s is None:
            return
        for key, kept in self.state.documents.items():
            if kept.verified is not None and isinstance(kept.verified.command, SetSchedule):
                for each in self._due(kept.verified, trusted_s):
                    assert (key[1], each) in self.taken, f"{each} was due, and nobody took it up"

    def _due(self, verified: VerifiedCommand, until_s: float) -> list[str]:
        command = verified.command
        assert isinstance(command, SetSchedule)
        from_s = max(float(verified.iat), until_s - 6 * DAY, float(self.state.timekeeping.mark_s or 0))
        return [each.item for each in occurrences(command.slots, self.settings.zone, from_s, until_s)]

    def _check_deadline(self) -> None:
        """There is one where anything is pending, it lies ahead, and until then nothing is to be done."""
        if self.first:
            return
        deadline_s = node.next_deadline(self.state, self.now)
        assert deadline_s is not None, "nobody will ever look again"
        for what, due_s in due_at_latest(self.state, self.mono_s):
            assert deadline_s <= due_s + SLACK_S, (
                f"{what}: due in {due_s - self.mono_s}, looked at {deadline_s - due_s} later"
            )
        if deadline_s - SLACK_S <= self.mono_s:
            return
        just_before = replace(self.now, mono_s=deadline_s - SLACK_S)
        just_before = replace(just_before, wall_s=just_before.mono_s + self.wall_offset_s)
        _, early = node.step(self.state, ev.Tick(), just_before)
        assert early == (), f"this was due before the deadline: {early}"

    def pass_deadlines(self) -> None:
        """What is due now is done by turns without news, and then no longer due."""
        for _ in range(40):
            deadline_s = node.next_deadline(self.state, self.now)
            if deadline_s is None or deadline_s > self.mono_s or self.exited:
                return
            self.tell(ev.Tick())
        raise AssertionError(f"due for ever: {node.next_deadline(self.state, self.now)} at {self.mono_s}")

    def records(self) -> list[PlayRecord]:
        """Those that the disk has, of all lives."""
        return [each for each in self.durable if isinstance(each, PlayRecord)]

    # An honest world ------------------------------------------------------------------------------------------------

    def answer(self) -> bool:
        """Whatever was asked is answered as it should be; False if nothing was."""
        if self.first:
            self.tell(self.first.pop(0))
        elif self.written:
            self.committed()
        elif self.commits and not self.disk_is_slow:
            self.write(len(self.commits))
        elif self.asked:
            self.fetched(next(iter(self.asked)))
        elif self.decoding:
            self.decoded(self.decoding.pop(0))
        elif self.card_asked and not self.card_open:
            self.card_open = True
            self.tell(ev.CardOpened())
        elif self.silenced:
            self.say_ended(next(iter(self.silenced)), self.silenced)
        elif self.holding:
            self.say_held(next(iter(self.holding)))
        else:
            return self._answer_link()
        return True

    def decoded(self, token: int) -> None:
        """The player has its first samples, or has been sent behind the last one."""
        if self.played_s.get(token, 0.0) < self.length_s:
            self.tell(ev.SamplesDecoded(token))
        else:
            self.tell(ev.DecodingFailed(token, Reason.UNDECODABLE, "no sound in it"))

    def _answer_link(self) -> bool:
        if self.connecting:
            self.connect()
        elif self.reading:
            self.read_outbox()
        elif self.published:
            self.tell(ev.ReportDelivered(self.connection, self.published.pop(0), heard=True))
        elif self.vitals:
            self.vitals -= 1
            self.tell(ev.VitalsMeasured(50.0, 30.0, 0.1, 500))
        else:
            return False
        return True

    def connect(self) -> None:
        self.connecting, self.connected = False, True
        self.published.clear()
        self.tell(ev.Connected(self.connection, "broker"))

    def fetched(self, token: int) -> None:
        asked = self.asked.pop(token)
        if isinstance(asked, do.OpenStream):
            self.tell(ev.StreamReady(token, 99, b"ID3"))
        else:
            self.tell(ev.FileReady(token, "/cache/file"))

    def say_ended(self, token: int, where: dict[int, OnCard]) -> None:
        """What was silenced has ended."""
        self.tell(where.pop(token).ended(ev.End.CUT, token))

    def say_held(self, token: int) -> None:
        """What was held is silent, or had not begun, or has all sounded."""
        held = self.holding.pop(token)
        if held.length_s <= 0:
            self.tell(held.ended(ev.End.CUT, token))
        elif self.played_s.get(token, 0.0) >= self.length_s:
            self.tell(held.ended(ev.End.COMPLETE, token))
        else:
            self.tell(ev.SoundHeld(token, loudness(held.length_s), held.used(held.length_s)))

    def _next_of_card_s(self) -> float | None:
        instants = []
        for token, sounding in self.on_card.items():
            if not sounding.started and sounding.length_s > 0:
                instants.append(sounding.given_s)
            elif not sounding.ending_told:
                instants.append(max(sounding.at_s, sounding.ends_s - CARD_HOLDS_S))
            instants += [sounding.ends_s + TOLD_S[token % len(TOLD_S)], sounding.advanced_s + 4.0]
        return min(instants, default=None)

    def _play_card(self) -> None:
        for token, sounding in [*self.on_card.items()]:
            if not sounding.started and sounding.length_s > 0 and self.mono_s >= sounding.given_s:
                sounding.started = True
                self.tell(ev.SoundStarted(token, sounding.at_s))
            elif self.mono_s >= sounding.ends_s + TOLD_S[token % len(TOLD_S)]:
                self.tell(sounding.ended(sounding.end, token))
            elif not sounding.ending_told and self.mono_s >= sounding.ends_s - CARD_HOLDS_S:
                sounding.ending_told = True
                self.tell(ev.SoundEnding(token, sounding.ends_s))
            elif sounding.started and self.mono_s >= sounding.advanced_s + 4.0:
                sounding.advanced_s = self.mono_s
                heard_s = sounding.heard_s(self.mono_s)
                self.tell(ev.SoundAdvanced(token, loudness(heard_s), sounding.used(heard_s)))

    def run(self, seconds: float, *, honest: bool = True) -> None:
        """Time passes, from one instant at which something is due to the next; honestly, with all that is answered."""
        until_s, waits = self.mono_s + seconds, Waits()
        for _ in range(5_000):
            if self.exited:
                return
            while honest and self.answer():
                pass
            if honest:
                waits.look(self)
            deadline_s = node.next_deadline(self.state, self.now)
            instants = [deadline_s, self._next_of_card_s() if honest else None]
            due_s = min((each for each in instants if each is not None), default=until_s + 1)
            if due_s > until_s:
                self.mono_s = until_s
                return
            self.mono_s = max(self.mono_s, due_s)
            if honest:
                self._play_card()
            if due_s == deadline_s:
                self.tell(ev.Tick())  # as the loop does, also where nothing is due by the time it has come
            self.pass_deadlines()
        raise AssertionError("it never comes to rest")

    @property
    def at_rest(self) -> bool:
        """Nothing plays or waits, nothing is on its way to the disk, and nobody waits for the time."""
        state = self.state
        busy = prog.items(state.programme) or state.pending or state.failed_commits or state.unjudged
        return not busy and not any(self.relays.values()) and not self.unacknowledged

    def settle(self) -> None:
        """The world becomes honest: time is known, the disk writes, the broker brings what was not acknowledged."""
        self.synchronised = True
        self.disk_is_slow = False
        self.wall_offset_s = self.world_offset_s
        if self.exited:
            self.crash(power=False)
        for _ in range(40):
            self.tell(ev.Tick())
            self.pass_deadlines()
            self.run(30.0)
            for envelope in [*self.unacknowledged]:
                self.arrive(self.given[envelope])
                self.run(0.1)
            if self.at_rest:
                break
            self.run(900.0)
            self._end_what_is_far_ahead()
        assert self.at_rest, f"it does not come to rest: {self.state.programme}, {self.state.pending}"
        self._check_records()

    def _end_what_is_far_ahead(self) -> None:
        """Ordered while the clock was ahead, it would wait for months: somebody on the pole ends it."""
        items = prog.items(self.state.programme)
        if items and all(
            item.start_s is not None and item.start_s > (self.trusted_s or 0.0) + DAY / 2 for item in items
        ):
            self.tell(ev.Asked(1, "amp-off"))

    def _check_records(self) -> None:
        """One outcome for each command that was accepted, one record for each item ordered or due; never two."""
        assert not self.on_card
        assert not any(self.relays.values()), "a relay is on at the end"
        records = [(each.iss, each.jti, each.item) for each in self.records()]
        assert len(set(records)) == len(records), f"two records of one item: {sorted(records)}"
        accepted = [each for each in self.durable if isinstance(each, CommandOutcome) and each.outcome == "accepted"]
        keys = [(each.iss, each.jti) for each in accepted]
        assert len(set(keys)) == len(keys), f"two outcomes of one command: {sorted(keys)}"
        commands = {(each.iss, each.jti): each.command for each in self.given.values()}
        ordered = {(*key, command.item) for key in keys if isinstance(command := commands[key], Play)}
        plays = {each for each in records if isinstance(commands[each[:2]], Play)}
        assert ordered <= plays, f"without record: {ordered - plays}"
        # The power failed between the record and the outcome that the disk had refused: the record says so itself.
        unsure = {(each.iss, each.jti, each.item) for each in self.records() if each.not_durable}
        assert plays <= ordered | unsure, f"without order: {plays - ordered - unsure}"
        self._check_slot_records()

    def _check_slot_records(self) -> None:
        commands = {(each.iss, each.jti): each.command for each in self.given.values()}
        slots = [(each.iss, each.item) for each in self.records() if not isinstance(commands[each.iss, each.jti], Play)]
        assert len(set(slots)) == len(slots), f"two records of one slot: {sorted(slots)}"
        for kept in self.state.documents.values():
            if kept.verified is not None and isinstance(kept.verified.command, SetSchedule):
                due = {(kept.verified.iss, each) for each in self._due(kept.verified, self.trusted_s or 0.0)}
                assert due <= set(slots), f"due without record: {due - set(slots)}"
        assert all(slot.settled for slot in self.stored.slots.values()), "a slot is stored, and not over"


def loudness(seconds: float) -> Loudness:
    return Loudness(round(seconds * SAMPLE_RATE), -20.0, -3.0, 0)
