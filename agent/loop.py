"""The shell: one inbox, one turn, effects performed in order, and the amplifier off however it ends.

The main thread owns this and the node's whole state. A turn: take an event (or a deadline), read the clock once, step
the core, perform its effects, renew the dead man's handle, pet the watchdog. The adapters' Protocols stand here, at
their user; what a verb means stands with the effect that asks for it and with the adapter.
"""

import gc
import logging
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from agent.core import node
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.progress import Progress
from agent.messages.sources import File, Relay, Speech
from agent.messages.trust import TrustDocument

LONGEST_WAIT_S: Final = 3.0
"""An idle loop turns this often: systemd's watchdog waits 10 s."""

LONGEST_WAIT_ON_S: Final = 0.5
"""With an amplifier on it turns more often: the dead man's handle opens the relay after 2 s."""

STUCK_S: Final = 10.0
"""What player and card do at once takes milliseconds, on a Zero 2 W a second; ten are not slow, they are never. An SD
card's fsync takes up to 5."""

SILENT_S: Final = 15.0
"""The link's thread comes round every 5 s, whatever the network does."""

log = logging.getLogger("loa")


class Clock(Protocol):
    """Reads all clocks at once."""

    def read(self) -> ev.Now: ...


class CarriedClock(Protocol):
    """Trusted time for the next process of this boot."""

    def keep(self, offset_s: float, evidence: str) -> None: ...


class CarriedProgress(Protocol):
    """How far the programme has come, for the next process of this boot."""

    def keep(self, progress: Progress) -> None: ...


class Worker(Protocol):
    """An adapter with a thread that is to come round."""

    @property
    def turns(self) -> int:
        """How often the thread has come round."""

    @property
    def owes(self) -> bool:
        """Whether the thread has something to do: then it must come round soon."""


class Link(Worker, Protocol):
    """MQTT; never blocks."""

    def connect(self, connection: int, broker_index: int, will: bytes, dates: bool) -> None: ...
    def acknowledge(self, delivery: ev.Delivery) -> None: ...
    def publish_state(self, payload: bytes) -> None: ...
    def publish_heartbeat(self, payload: bytes) -> None: ...
    def publish_report(self, seq: int, payload: bytes) -> None: ...


class Store(Worker, Protocol):
    """What must survive; answers by events."""

    def commit(self, token: int, writes: tuple[do.Write, ...]) -> None: ...
    def read_outbox(self, after_seq: int, limit: int) -> None: ...


class Fetch(Protocol):
    """Bytes from the network, within limits."""

    def fetch_file(self, token: int, file: File, *, urgent: bool) -> None: ...
    def open_stream(self, token: int, relay: Relay, *, urgent: bool) -> None: ...
    def prefetch(self, token: int, file: File, pin: bool) -> None: ...
    def cancel(self, token: int) -> None: ...


class Synthesiser(Protocol):
    """Text to sound."""

    def speak(self, token: int, speech: Speech, *, urgent: bool) -> None: ...
    def cancel(self, token: int) -> None: ...


class Player(Worker, Protocol):
    """Bytes to samples."""

    def decode(
        self, token: int, media: do.MediaFile | do.MediaPipe | do.MediaBuiltin, chime: bool, from_s: float
    ) -> None: ...
    def pause(self, token: int) -> None: ...
    def resume(self, token: int) -> None: ...
    def end(self, token: int) -> None: ...


class SoundCard(Worker, Protocol):
    """Samples to sound."""

    def open(self) -> None: ...
    def close_card(self) -> None: ...
    def sound(
        self,
        token: int,
        gain_percent: int,
        max_samples: int,
        at_mono_s: float | None,
        until_mono_s: float | None,
        *,
        paced: bool,
    ) -> None: ...
    def hold(self, token: int) -> None: ...
    def set_gain(self, token: int, gain_percent: int) -> None: ...
    def silence(self, token: int) -> None: ...


class Amplifiers(Protocol):
    """The relays, with the dead man's handle that the loop renews."""

    def switch(self, zone: str, on: bool) -> None: ...
    def renew(self) -> None: ...
    def all_off(self) -> None: ...


class Supervisor(Protocol):
    """Systemd, or nobody."""

    def ready(self) -> None: ...
    def watchdog(self) -> None: ...


class Vitals(Protocol):
    """The machine's health."""

    def measure(self) -> ev.VitalsMeasured: ...


class Console(Protocol):
    """Whoever asks on this machine."""

    def answer(self, token: int, text: bytes) -> None: ...


class Judge(Protocol):
    """Security under the trust document in force. `trusted_s` is Unix seconds or None, `floor_s` what has passed."""

    def judge(
        self, message: ev.MessageArrived, trusted_s: float | None, floor_s: int
    ) -> ev.CommandVerified | ev.CommandRefused: ...
    def take(self, document: TrustDocument, orders: tuple[tuple[ev.OrderKey, bytes], ...]) -> ev.TrustTaken: ...


@dataclass(frozen=True, slots=True)
class Adapters:
    """The edges of the node, built by `commands.run` (or by a test)."""

    clock: Clock
    carried_clock: CarriedClock
    carried_progress: CarriedProgress
    link: Link
    store: Store
    fetch: Fetch
    speech: Synthesiser
    player: Player
    card: SoundCard
    amplifiers: Amplifiers
    supervisor: Supervisor
    vitals: Vitals
    console: Console


class Watch:
    """Whether a worker makes progress: a thread that is there and does nothing is no better than none.

    Time in which this loop did not turn either is not held against it: then the whole process stood still.
    """

    def __init__(self, name: str, worker: Worker, limit_s: float) -> None:
        self.name = name
        self._worker = worker
        self._limit_s = limit_s
        self._turns = -1
        self._still_s = 0.0
        self._looked_s = 0.0
        self._told = False

    def look(self, now_s: float) -> float | None:
        """For how long (s) it has not come round, once it is too long and not told yet."""
        passed_s, self._looked_s = min(now_s - self._looked_s, LONGEST_WAIT_S), now_s
        turns = self._worker.turns
        if turns != self._turns or not self._worker.owes:
            self._turns, self._still_s, self._told = turns, 0.0, False
            return None
        self._still_s += passed_s
        if self._told or self._still_s <= self._limit_s:
            return None
        self._told = True
        return self._still_s


class Loop:
    """Owns the state. `run` returns the exit code; it raises nothing that leaves an amplifier on."""

    def __init__(
        self,
        *,
        state: node.State,
        inbox: "SimpleQueue[ev.Event]",
        adapters: Adapters,
        judge: Judge,
        seal: Callable[[bytes], bytes],
    ) -> None:
        self._state = state
        self._inbox = inbox
        self._adapters = adapters
        self._judge = judge
        self._seal = seal
        self._exit: do.Exit | None = None
        self._stepped = adapters.clock.read()
        """The instant of the last step: what fell due since then is still ahead of it."""
        self._watches = (
            Watch("player", adapters.player, STUCK_S),
            Watch("card", adapters.card, STUCK_S),
            Watch("store", adapters.store, STUCK_S),
            Watch("link", adapters.link, SILENT_S),
        )
        self._first: deque[ev.Event] = deque()
        """What our own effects made happen: it comes before the inbox, in order."""
        self._perform: Mapping[type, Callable[[Any], None]] = self._performers()

    def run(self) -> int:
        """Turn until an `Exit` is performed.

        Returns:
            The process's exit code. Amplifiers are off when it returns or raises.
        """
        try:
            while self._exit is None:
                self._turn(self._next_event())
        finally:
            self._adapters.amplifiers.all_off()
        log.info("exit %d: %s", self._exit.code, self._exit.why)
        return self._exit.code

    def _next_event(self) -> ev.Event:
        if self._first:
            return self._first.popleft()
        now = self._adapters.clock.read()
        longest_s = LONGEST_WAIT_ON_S if node.relays_closed(self._state) else LONGEST_WAIT_S
        deadline_s = node.next_deadline(self._state, self._stepped)
        wait_s = longest_s if deadline_s is None else min(longest_s, deadline_s - now.mono_s)
        try:
            return self._inbox.get(timeout=max(0.0, wait_s))
        except Empty:
            return ev.Tick()

    def _turn(self, event: ev.Event) -> None:
        now = self._adapters.clock.read()
        if isinstance(event, ev.MessageArrived):
            event = self._judge.judge(event, *node.clock_view(self._state, now))
        self._state, effects = node.step(self._state, event, now)
        self._stepped = now
        for effect in effects:
            self._perform[type(effect)](effect)
        self._adapters.amplifiers.renew()
        self._adapters.supervisor.watchdog()
        self._look_at_workers(now)

    def _look_at_workers(self, now: ev.Now) -> None:
        for watch in self._watches:
            still_s = watch.look(now.mono_s)
            if still_s is not None:
                self._first.append(ev.ThreadStuck(watch.name, still_s))

    def _performers(self) -> dict[type, Callable[[Any], None]]:
        edge = self._adapters
        return {
            do.Connect: lambda it: edge.link.connect(it.connection, it.broker_index, it.will, it.dates),
            do.Acknowledge: lambda it: edge.link.acknowledge(it.delivery),
            do.PublishState: lambda it: edge.link.publish_state(it.payload),
            do.PublishHeartbeat: lambda it: edge.link.publish_heartbeat(it.payload),
            do.PublishReport: lambda it: edge.link.publish_report(it.seq, self._seal(it.claims)),
            do.TakeTrust: lambda it: self._first.append(self._judge.take(it.document, it.orders)),
            do.JudgeAgain: lambda it: self._first.append(it.message),
            do.Commit: lambda it: edge.store.commit(it.token, it.writes),
            do.ReadOutbox: lambda it: edge.store.read_outbox(it.after_seq, it.limit),
            do.FetchFile: lambda it: edge.fetch.fetch_file(it.token, it.file, urgent=it.urgent),
            do.OpenStream: lambda it: edge.fetch.open_stream(it.token, it.relay, urgent=it.urgent),
            do.Speak: lambda it: edge.speech.speak(it.token, it.speech, urgent=it.urgent),
            do.Prefetch: lambda it: edge.fetch.prefetch(it.token, it.file, it.pin),
            do.CancelFetch: self._cancel_fetch,
            do.ClosePipe: lambda it: os.close(it.fd),
            do.Decode: lambda it: edge.player.decode(it.token, it.media, it.chime, it.from_s),
            do.PauseDecoding: lambda it: edge.player.pause(it.token),
            do.ResumeDecoding: lambda it: edge.player.resume(it.token),
            do.EndDecoding: lambda it: edge.player.end(it.token),
            do.OpenCard: lambda _: edge.card.open(),
            do.CloseCard: lambda _: edge.card.close_card(),
            do.Sound: lambda it: edge.card.sound(
                it.token, it.gain_percent, it.max_samples, it.at_mono_s, it.until_mono_s, paced=it.paced
            ),
            do.Hold: lambda it: edge.card.hold(it.token),
            do.SetGain: lambda it: edge.card.set_gain(it.token, it.gain_percent),
            do.Silence: lambda it: edge.card.silence(it.token),
            do.SwitchRelay: lambda it: edge.amplifiers.switch(it.zone, it.on),
            do.CarryClock: lambda it: edge.carried_clock.keep(it.offset_s, it.evidence),
            do.KeepProgress: lambda it: edge.carried_progress.keep(it.progress),
            do.MeasureVitals: lambda _: self._inbox.put(edge.vitals.measure()),
            do.NotifyReady: lambda _: self._be_ready(),
            do.Answer: lambda it: edge.console.answer(it.token, it.text),
            do.Log: lambda it: log.log(logging.getLevelNamesMapping()[it.level.upper()], it.text),
            do.Exit: self._leave,
        }

    def _cancel_fetch(self, effect: do.CancelFetch) -> None:
        """A token is one attempt's: whoever knows it not ignores it."""
        self._adapters.fetch.cancel(effect.token)
        self._adapters.speech.cancel(effect.token)

    def _be_ready(self) -> None:
        """What lives now lives for ever: a full collection would cost 100 ms on a Zero 2 W."""
        gc.collect()
        gc.freeze()
        self._adapters.supervisor.ready()

    def _leave(self, effect: do.Exit) -> None:
        self._exit = effect
