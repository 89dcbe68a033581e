"""The line to the broker: MQTT 5, TLS, three kinds of news. The only module here that knows paho.

Callbacks run on paho's thread and put one frozen event into the inbox; the main thread owns the rest. Messages at
QoS 1 are acknowledged only by `acknowledge`: what was not shown comes again, where the session is kept.
"""

import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from control.keys import require_private
from control.problems import InputError, WorldError

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
RECEIVE_MAXIMUM = 128
"""QoS 1 messages under way at once: enough for a fleet after an outage, and a bound on what waits here."""

MAX_PACKET_BYTES = 64 * 1024
"""No word of a node comes near it."""

MAX_INBOX = 50_000
"""News waiting for the main thread; beyond it heartbeats are dropped, the next ones say the same."""

RECONNECT_MAX_S = 30
CLOSE_TIMEOUT_S = 3.0
NO_SUBSCRIBER = 0x10
SESSION_TAKEN_OVER = 0x8E


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker has accepted us; `resumed` if it kept our session."""

    resumed: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection ended, or was refused. `final`: trying again is no use."""

    detail: str
    final: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A message. `packet` is 0 where no acknowledgement is due."""

    topic: str
    payload: bytes
    retained: bool
    packet: int


@dataclass(frozen=True, slots=True)
class Published:
    """The broker's answer to our publish: `refused` is its sentence, or empty; `heard` false if nobody subscribes."""

    packet: int
    heard: bool
    refused: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker's answer to our subscribe: `refused` is its sentence, or empty."""

    refused: str


News = Connected | Disconnected | Received | Published | Subscribed
Inbox = SimpleQueue[News]


class Broker:
    """One connection. Made, opened, used and closed by the main thread."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: bool,
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        client_id: str,
        session_s: int,
        inbox: Inbox,
    ) -> None:
        self._address = (host, port)
        self._inbox = inbox
        self._session_s = session_s
        self._closed = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=session_s > 0,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.reconnect_delay_set(1, RECONNECT_MAX_S)
        if tls:
            self._client.tls_set_context(_context(ca, certificate, key))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe

    def open(self) -> None:
        """Connect; `Connected` or `Disconnected` follows. Later losses are mended by paho where a session is kept.

        Raises:
            WorldError: nobody there, or not the one we trust.
        """
        host, port = self._address
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._session_s
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        try:
            self._client.connect(host, port, KEEPALIVE_S, clean_start=self._session_s == 0, properties=properties)
        except ssl.SSLCertVerificationError as error:
            raise WorldError(f"{host}:{port} is not the broker we trust: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise WorldError(f"no TLS with {host}:{port}: {error.reason or error}") from None
        except OSError as error:
            raise WorldError(f"cannot reach the broker {host}:{port}: {error.strerror or error}") from None
        self._client.loop_start()

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Ask for (topic filter, QoS); `Subscribed` follows.

        A message is marked as retained where it is what the broker had kept, not where it was published so just now: a
        node's `state` always is, and only the live one has a fresh nonce.
        """
        self._client.subscribe(
            [(name, SubscribeOptions(qos=qos, retainAsPublished=False, retainHandling=0)) for name, qos in filters]
        )

    def publish(self, topic: str, payload: bytes) -> int:
        """Send at QoS 1, never retained; `Published` with this packet number follows."""
        return self._client.publish(topic, payload, qos=1, retain=False).mid

    def acknowledge(self, packet: int) -> None:
        """We have taken this message; 0 needs none."""
        if packet:
            self._client.ack(packet, 1)

    def close(self) -> None:
        """Say good-bye and stop paho's thread, in 3 s at most. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._client.disconnect()
        # paho joins its thread without a limit, and that thread may hang in a name look-up.
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(CLOSE_TIMEOUT_S)

    # On paho's thread ------------------------------------------------------------------------------------------------

    def _on_connect(self, _client: object, _data: object, flags: Any, code: ReasonCode, _properties: object) -> None:
        if code.is_failure:
            self._inbox.put(Disconnected(f"the broker refuses us: {code}", final=True))
        else:
            self._inbox.put(Connected(bool(flags.session_present)))

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, code: ReasonCode, _properties: object
    ) -> None:
        if self._closed:
            return
        taken = code.value == SESSION_TAKEN_OVER
        detail = "another loactl has taken over this session (choose another --as)" if taken else f"{code}"
        self._inbox.put(Disconnected(detail, final=taken))

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.qos == 0 and self._inbox.qsize() >= MAX_INBOX:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        packet = message.mid if message.qos else 0
        self._inbox.put(Received(topic, bytes(message.payload), bool(message.retain), packet))

    def _on_publish(self, _client: object, _data: object, packet: int, code: ReasonCode, _properties: object) -> None:
        refused = str(code) if code.is_failure else ""
        self._inbox.put(Published(packet, code.value != NO_SUBSCRIBER and not refused, refused))

    def _on_subscribe(
        self, _client: object, _data: object, _packet: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self._inbox.put(Subscribed(next((str(code) for code in codes if code.is_failure), "")))


class HandshakeSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets it there, open."""

    def do_handshake(self, block: bool = False) -> None:
        """As `ssl.SSLSocket`."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer; our own authorities if given, the system's otherwise.

    Raises:
        InputError: a file is missing or is not what it should be, or others may read the key.
    """
    if (certificate is None) != (key is None):
        raise InputError("--certificate and --key go together")
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"cannot use the authorities in {ca}: {error.strerror or error}") from None
    context.sslsocket_class = HandshakeSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None and key is not None:
        require_private(key)
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"cannot use {certificate} with {key}: {error.strerror or error}") from None
    return context
