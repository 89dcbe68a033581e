"""One MQTT connection, from dialling to its end: command envelopes in, state, heartbeat and reports out.

Thread: each connection has its own, `link-N`, which alone touches its paho client, waits in `poll` alone, and counts
how often it comes round. `order` puts what the loop wants into that thread's queue and wakes it.

Invariants:
- One paho client per connection, never reused. paho's own reconnecting is off: the core says when.
- It is up when the broker has answered: CONNACK, and SUBACK for what we asked of it.
- Each connection posts `Disconnected` exactly once, as its last event; `Connected` at most once, after the SUBACK.
- What was not acknowledged comes again. Messages that the broker kept may arrive before `Connected`.
- What paho cannot digest is the broker's fault and ends the connection. paho's callbacks only take notes, which are
  read outside it: what goes wrong there is ours, reaches `threading.excepthook` and ends the process.
"""

import logging
import os
import select
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from agent.messages.events import (
    Connected,
    Delivery,
    Disconnected,
    LinkFault,
    MessageArrived,
    ReportDelivered,
)
from agent.mqtt.broker import Broker, fault_of_code, fault_of_error, said, why
from agent.mqtt.client import SESSION_EXPIRY_S, Station, make_client, subscribe
from agent.mqtt.dial import Dial, DialError
from agent.mqtt.names import Names
from agent.mqtt.tls import context

MAX_PAYLOAD_BYTES = 256 * 1024
"""Of a longer payload one byte more is passed on: enough to see that it is too large."""
MAX_UNREAD = 64
"""Unacknowledged commands from a broker that ignores the receive maximum (MQTT 3.1.1 has none): then reading rests.
As many of QoS 0, which has no flow control: further ones are dropped."""
HANDSHAKE_TIMEOUT_S = 12.0
"""From CONNECT to the SUBACK: two questions, on the slowest line known."""
IDLE_WAIT_S = 5.0
"""Longest sleep between looks at the keepalive, which may thus be that much late."""
FLUSH_S = 0.7
"""At `close`: for the broker's word that it has the last state."""
MAX_DETAIL_CHARACTERS = 200
"""Of what goes wrong inside paho."""
NO_SUBSCRIBERS = 0x10
"""Reason code of a PUBACK: nobody subscribes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The PUBACK for a command may go out."""

    packet: int


@dataclass(frozen=True, slots=True)
class Publish:
    """A message of ours; `seq` where it is a report, whose fate is told."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """End this connection: with a farewell, or at once."""

    detail: str
    politely: bool


class Connection:
    """One connection, from dialling `brokers`, the most wanted first, to its end. All but `order` is its thread's."""

    def __init__(
        self, number: int, *, brokers: Sequence[Broker], names: Names, station: Station, will: bytes, dates: bool
    ) -> None:
        self.number = number
        self._brokers = brokers
        self._names = names
        self._station = station
        self._will = will
        self._dates = dates
        self._orders: SimpleQueue[Acknowledge | Publish | Finish] = SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake)
        self._notes: deque[Callable[[], None]] = deque()
        self._in_flight: dict[int, int | None] = {}
        self._heartbeat: int | None = None
        self._unread = 0
        self._unread_qos_0 = 0
        self._online = False
        self._url = brokers[0].url
        self._detail = ""
        self._fault: LinkFault | None = None
        self._deadline_s = 0.0
        self._finish: Finish | None = None
        self.turns = 0
        """How often the thread has come round, which it does every few seconds whatever the network does."""
        self.over = False
        """Whether all has been said: it need not come round any more."""
        self.thread = threading.Thread(target=self._run, name=f"link-{number}", daemon=True)

    def order(self, order: Acknowledge | Publish | Finish) -> None:
        """From any thread; never blocks."""
        self._orders.put(order)
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        detail = self._live()
        self._notes.clear()  # what paho noted when it was discarded
        self._station.post(Disconnected(self.number, detail, self._fault))
        self.over = True

    def _live(self) -> str:
        """The whole life of the connection; returns why it ended."""
        try:
            tls = self._tls_context()
        except OSError as error:
            return f"{self._url}: TLS files cannot be used: {why(error)}"
        try:
            broker, opened = self._dial(tls).run()
        except DialError as error:
            self._fault = error.fault
            return self._finish.detail if self._finish is not None else error.detail
        self._url = broker.url
        client = make_client(self._station, self._will, opened)
        client.on_connect = self._note_connect
        client.on_subscribe = self._note_subscribe
        client.on_message = self._note_message
        client.on_publish = self._note_publish
        client.on_disconnect = self._note_disconnect
        client.on_socket_close = self._note_socket_close
        client.begin()
        return f"{self._url}: {self._serve(client)}"

    def _tls_context(self) -> ssl.SSLContext | None:
        """Raises OSError: a file is not what it should be."""
        station = self._station
        if not any(broker.tls for broker in self._brokers):
            return None
        assert station.ca is not None, "the link's constructor asks for it"
        return context(ca=station.ca, certificate=station.certificate, key=station.key, dates=self._dates)

    def _dial(self, tls: ssl.SSLContext | None) -> Dial:
        return Dial(
            self._brokers,
            names=self._names,
            tls=tls,
            wake=self._wake,
            given_up=self._given_up,
            wait=self._waits,
        )

    def _given_up(self) -> bool:
        """While dialling there is no other order that means anything."""
        while not self._orders.empty():
            order = self._orders.get_nowait()
            if isinstance(order, Finish):
                self._finish = order
        return self._finish is not None

    def _waits(self, poll: "select.poll", timeout_ms: float) -> dict[int, int]:
        """The one place in which this thread waits."""
        self.turns += 1
        return dict(poll.poll(timeout_ms))

    def _serve(self, client: Client) -> str:
        self._deadline_s = time.monotonic() + HANDSHAKE_TIMEOUT_S
        while (opened := client.socket()) is not None:
            self._obey(client)
            if self._over(client):
                opened.close()
                break
            try:
                self._turn(client)
            except Exception as error:  # noqa: BLE001 - paho on hostile bytes: struct, index, key, value errors, asserts
                opened.close()
                return f"the broker sent what is not MQTT ({type(error).__name__}: {error})"[:MAX_DETAIL_CHARACTERS]
            while self._notes:
                self._notes.popleft()()
        return self._detail

    def _turn(self, client: Client) -> None:
        """Wait for the network or an order, then let paho read, write, and look at the keepalive."""
        opened = client.socket()
        if opened is None:
            return
        reading = self._unread < MAX_UNREAD
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(opened, reading * select.POLLIN | client.want_write() * select.POLLOUT)
        decrypted = reading and isinstance(opened, ssl.SSLSocket) and opened.pending() > 0
        ready = self._waits(poll, 0 if decrypted else 1_000 * self._patience_s())
        if self._wake in ready:
            os.eventfd_read(self._wake)
        if decrypted or ready.get(opened.fileno(), 0) & ~select.POLLOUT:
            client.loop_read()
        if client.want_write():
            client.loop_write()
        client.loop_misc()

    def _patience_s(self) -> float:
        if self._online and self._finish is None:
            return min(IDLE_WAIT_S, self._station.keepalive_s / 4)
        return min(IDLE_WAIT_S, max(self._deadline_s - time.monotonic(), 0))

    def _over(self, client: Client) -> bool:
        """Whether to close the socket now; begins the farewell when all that was sent has been acknowledged."""
        late = time.monotonic() >= self._deadline_s
        if self._finish is None:
            if late and not self._online:
                self._detail = f"the broker did not take us in within {HANDSHAKE_TIMEOUT_S:.0f} s"
            return late and not self._online
        if late or not self._online or not self._finish.politely:
            return True
        if not self._in_flight and client.is_connected():
            client.disconnect()
        return False

    # Orders ----------------------------------------------------------------------------------------------------------

    def _obey(self, client: Client) -> None:
        try:
            while True:
                match self._orders.get_nowait():
                    case Acknowledge(packet):
                        self._acknowledge(client, packet)
                    case Publish() as order:
                        self._publish(client, order)
                    case Finish() as order:
                        self._finish = order
                        self._detail = order.detail
                        self._deadline_s = time.monotonic() + FLUSH_S
        except Empty:
            return

    def _acknowledge(self, client: Client, packet: int) -> None:
        if packet == 0:
            self._unread_qos_0 -= 1
            return
        self._unread -= 1
        client.ack(packet, 1)

    def _publish(self, client: Client, order: Publish) -> None:
        if not self._online or (order.qos == 0 and self._heartbeat is not None):
            return
        info = client.publish(order.topic, order.payload, order.qos, order.retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            _log.warning("a message to %s could not be sent: %s", order.topic, info.rc.name)
            self._answer(order.seq, heard=False)
        elif order.qos == 0:
            self._heartbeat = info.mid
        else:
            self._in_flight[info.mid] = order.seq

    # Notes: taken inside paho, read outside --------------------------------------------------------------------------

    def _note_connect(self, client: Client, _: Any, __: ConnectFlags, reason: ReasonCode, properties: Any) -> None:
        self._notes.append(partial(self._accepted, client, reason, properties))

    def _note_subscribe(self, _: Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        self._notes.append(partial(self._subscribed, reasons))

    def _note_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._notes.append(partial(self._arrived, message))

    def _note_publish(self, _: Client, __: Any, packet: int, reason: ReasonCode, ___: Any) -> None:
        self._notes.append(partial(self._published, packet, reason))

    def _note_disconnect(self, _: Client, __: Any, flags: DisconnectFlags, reason: ReasonCode, ___: Any) -> None:
        self._notes.append(partial(self._disconnected, flags, reason))

    def _note_socket_close(self, _: Client, __: Any, closed: Any) -> None:
        self._notes.append(partial(self._closed, getattr(closed, "last_error", None)))

    def _accepted(self, client: Client, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._detail = f"the broker refuses the connection: {_said(reason)}"
            self._fault = fault_of_code(reason.value)
            return
        if (expiry_s := getattr(properties, "SessionExpiryInterval", SESSION_EXPIRY_S)) < SESSION_EXPIRY_S:
            _log.warning("%s keeps commands for %d s only", self._url, expiry_s)
        subscribe(client, self._station)

    def _subscribed(self, reasons: list[ReasonCode]) -> None:
        """One topic that we may read is enough to be of use; the others are a technician's matter."""
        refused = [
            f"{topic} ({_said(reason)})"
            for topic, reason in zip(self._station.command_topics, reasons, strict=False)
            if reason.is_failure
        ]
        if len(refused) == len(self._station.command_topics):
            self._finish = Finish(f"the broker lets us read none of our topics: {refused[0]}", politely=False)
            self._detail = self._finish.detail
            self._fault = fault_of_code(reasons[0].value)
            return
        if refused:
            _log.warning("%s lets us not read %s", self._url, ", ".join(refused))
        self._online = True
        self._station.post(Connected(self.number, self._url))

    def _arrived(self, message: MQTTMessage) -> None:
        if message.qos == 0:
            if self._unread_qos_0 >= MAX_UNREAD:
                _log.warning("a command of QoS 0 is dropped: %d are unread", self._unread_qos_0)
                return
            self._unread_qos_0 += 1
        else:
            self._unread += 1
        delivery = Delivery(self.number, message.mid if message.qos else 0)
        payload = bytes(message.payload[: MAX_PAYLOAD_BYTES + 1])
        self._station.post(MessageArrived(delivery, _topic(message), payload, message.retain))

    def _published(self, packet: int, reason: ReasonCode) -> None:
        if packet == self._heartbeat:
            self._heartbeat = None
        if reason.is_failure:
            _log.warning("%s does not take our message: %s", self._url, _said(reason))
        heard = not reason.is_failure and reason.value != NO_SUBSCRIBERS
        self._answer(self._in_flight.pop(packet, None), heard=heard)

    def _answer(self, seq: int | None, *, heard: bool) -> None:
        if seq is not None:
            self._station.post(ReportDelivered(self.number, seq, heard))

    def _closed(self, error: OSError | None) -> None:
        if not self._detail and error is not None:
            self._detail = why(error)
            self._fault = fault_of_error(error)

    def _disconnected(self, flags: DisconnectFlags, reason: ReasonCode) -> None:
        if self._detail:
            return
        if flags.is_disconnect_packet_from_server:
            self._detail = _said(reason)
            self._fault = fault_of_code(reason.value)
        elif reason.getName() == "Keep alive timeout":
            self._detail = f"the broker has not answered for {self._station.keepalive_s} s"
        elif reason.getName() == "Protocol error":
            self._detail = "the broker does not keep to MQTT, or not to our version of it"
        elif self._online:
            self._detail = "the broker cut the connection"
        else:
            self._detail = "the broker cut the connection before it took us in"


def _said(reason: ReasonCode) -> str:
    return said(reason.value, reason.getName())


def _topic(message: MQTTMessage) -> str:
    """Proves nothing in any case, so one that is no UTF-8 is as good as none."""
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""
