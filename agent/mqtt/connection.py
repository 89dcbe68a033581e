"""One MQTT connection, from name lookup to its end: command envelopes in, state, heartbeat and reports out.

Thread: each connection has its own, `link-N`, which alone touches its paho client; name lookup and TLS may take minutes
there and block nobody. `order` puts what the loop wants into that thread's queue and wakes it.

Invariants:
- One paho client per connection, never reused. paho's own reconnecting is off: the core says when and where to.
- Each connection posts `Disconnected` exactly once, as its last event; `Connected` at most once, after the SUBACK.
- What was not acknowledged comes again. Messages that the broker kept may arrive before `Connected`.
- What paho cannot digest is the broker's fault and ends the connection. paho's callbacks only take notes, which are
  read outside it: what goes wrong there is ours, reaches `threading.excepthook` and ends the process.
"""

import logging
import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.messages.events import Connected, Delivery, Disconnected, Event, MessageArrived, ReportDelivered
from agent.mqtt.broker import Broker, context, said, why

SESSION_EXPIRY_S = 7 * 24 * 3_600
"""How long the broker keeps our unread commands: none lives longer that matters to a node without a link."""
RECEIVE_MAXIMUM = 8
"""Commands the broker may send before the first is acknowledged."""
MAX_PACKET_BYTES = 264 * 1024
"""An envelope of 256 KiB, its topic and its properties."""
MAX_PAYLOAD_BYTES = 256 * 1024
"""Of a longer payload one byte more is passed on: enough to see that it is too large."""
MAX_UNREAD = 64
"""Unacknowledged commands from a broker that ignores the receive maximum (MQTT 3.1.1 has none): then reading rests.
As many of QoS 0, which has no flow control: further ones are dropped."""
MAX_IN_FLIGHT = 8
"""Our own unacknowledged messages: brokers take at least 10."""
MAX_QUEUED = 64
"""Our own messages that wait for those: the core keeps fewer on their way."""
CONNECT_TIMEOUT_S = 10.0
"""For each address: TCP, and again TLS. A cold 4G modem needs 3 s."""
HANDSHAKE_TIMEOUT_S = 20.0
"""From TLS to the SUBACK."""
IDLE_WAIT_S = 5.0
"""Longest sleep between looks at the keepalive, which may thus be that much late."""
FLUSH_S = 0.7
"""At `close`: for the broker's word that it has the last state."""
NO_SUBSCRIBERS = 0x10
"""Reason code of a PUBACK: nobody subscribes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Station:
    """What all connections of this node have in common."""

    client_id: str
    state_topic: str
    command_topics: tuple[str, ...]
    ca: Path | None
    certificate: Path | None
    key: Path | None
    version_5: bool
    keepalive_s: int
    post: Callable[[Event], None]


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
    """One connection, from name lookup to its end. All but `order` happens on its thread."""

    def __init__(self, number: int, broker: Broker, station: Station, will: bytes, dates: bool) -> None:
        self.number = number
        self._broker = broker
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
        self._detail = ""
        self._deadline_s = 0.0
        self._finish: Finish | None = None
        self.thread = threading.Thread(target=self._run, name=f"link-{number}", daemon=True)

    def order(self, order: Acknowledge | Publish | Finish) -> None:
        """From any thread; never blocks."""
        self._orders.put(order)
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        detail = self._live()
        self._notes.clear()  # what paho noted when it was discarded
        _log.info("connection %d to %s has ended: %s", self.number, self._broker.url, detail)
        self._station.post(Disconnected(self.number, f"{self._broker.url}: {detail}"))

    def _live(self) -> str:
        """The whole life of the connection; returns why it ended."""
        try:
            client = self._client()
        except OSError as error:
            return f"TLS files cannot be used: {why(error)}"
        try:
            self._open(client)
        except (OSError, UnicodeError) as error:
            return why(error)
        return self._serve(client)

    def _client(self) -> Client:
        station = self._station
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=station.client_id,
            clean_session=None if station.version_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if station.version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if self._broker.tls:
            assert station.ca is not None, "the constructor asks for it"
            client.tls_set_context(
                context(ca=station.ca, certificate=station.certificate, key=station.key, dates=self._dates)
            )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = MAX_IN_FLIGHT
        client.max_queued_messages = MAX_QUEUED
        client.will_set(station.state_topic, self._will, qos=1, retain=True)
        client.on_connect = self._note_connect
        client.on_subscribe = self._note_subscribe
        client.on_message = self._note_message
        client.on_publish = self._note_publish
        client.on_disconnect = self._note_disconnect
        client.on_socket_close = self._note_socket_close
        # With this set, paho queues what it has to send and leaves the writing to `_turn`.
        client.on_socket_register_write = _write_later
        return client

    def _open(self, client: Client) -> None:
        """Name lookup, TCP, TLS; the CONNECT packet is queued.

        Raises:
            OSError, UnicodeError: no connection.
        """
        address, keepalive_s = (self._broker.host, self._broker.port), self._station.keepalive_s
        if self._station.version_5:
            client.connect(*address, keepalive_s, clean_start=False, properties=_connect_properties())
        else:
            client.connect(*address, keepalive_s)
        opened = client.socket()
        if isinstance(opened, socket.socket):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

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
                _log.warning("paho cannot read what the broker sent", exc_info=True)
                opened.close()
                return f"the broker sent what is not MQTT ({type(error).__name__})"
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
        ready = dict(poll.poll(0 if decrypted else 1_000 * self._patience_s()))
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
            return
        if (expiry_s := getattr(properties, "SessionExpiryInterval", SESSION_EXPIRY_S)) < SESSION_EXPIRY_S:
            _log.warning("%s keeps commands for %d s only", self._broker.url, expiry_s)
        if self._station.version_5:
            options = SubscribeOptions(
                qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            )
            client.subscribe([(topic, options) for topic in self._station.command_topics])
        else:
            client.subscribe([(topic, 1) for topic in self._station.command_topics])

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
            return
        if refused:
            _log.warning("%s lets us not read %s", self._broker.url, ", ".join(refused))
        self._online = True
        _log.info("connection %d to %s is up", self.number, self._broker.url)
        self._station.post(Connected(self.number, self._broker.url))

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
            _log.warning("%s does not take our message: %s", self._broker.url, _said(reason))
        heard = not reason.is_failure and reason.value != NO_SUBSCRIBERS
        self._answer(self._in_flight.pop(packet, None), heard=heard)

    def _answer(self, seq: int | None, *, heard: bool) -> None:
        if seq is not None:
            self._station.post(ReportDelivered(self.number, seq, heard))

    def _closed(self, error: OSError | None) -> None:
        if not self._detail and error is not None:
            self._detail = why(error)

    def _disconnected(self, flags: DisconnectFlags, reason: ReasonCode) -> None:
        if self._detail:
            return
        if flags.is_disconnect_packet_from_server:
            self._detail = _said(reason)
        elif reason.getName() == "Keep alive timeout":
            self._detail = f"the broker has not answered for {self._station.keepalive_s} s"
        elif reason.getName() == "Protocol error":
            self._detail = "the broker does not keep to MQTT, or not to our version of it"
        elif self._online:
            self._detail = "the broker cut the connection"
        else:
            self._detail = "the broker cut the connection before it took us in"


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    properties.TopicAliasMaximum = 0
    return properties


def _said(reason: ReasonCode) -> str:
    return said(reason.value, reason.getName())


def _topic(message: MQTTMessage) -> str:
    """Proves nothing in any case, so one that is no UTF-8 is as good as none."""
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""


def _write_later(_: Client, __: Any, ___: Any) -> None:
    """Nothing: `_turn` asks paho whether it wants to write."""
