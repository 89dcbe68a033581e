"""A paho client on a socket that is connected already, and how this node wants its session.

Thread: that of the connection. paho offers no way to hand it a socket, so one private method of its is replaced; the
tests of the link hold both versions that Debian and PyPI offer to it (2.1, 2.2).
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.messages.events import Event

SESSION_EXPIRY_S = 7 * 24 * 3_600
"""How long the broker keeps our unread commands: none lives longer that matters to a node without a link."""
RECEIVE_MAXIMUM = 8
"""Commands the broker may send before the first is acknowledged."""
MAX_PACKET_BYTES = 264 * 1024
"""An envelope of 256 KiB, its topic and its properties."""
MAX_IN_FLIGHT = 8
"""Our own unacknowledged messages: brokers take at least 10."""
MAX_QUEUED = 64
"""Our own messages that wait for those: the core keeps fewer on their way."""
_ANYWHERE = ("connected", 1)
"""What paho wants to be told: host and port, of which it only checks that they are there."""


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


class ConnectedClient(Client):
    """paho on `opened`, a connected socket that it closes."""

    def __init__(self, station: Station, opened: socket.socket) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=station.client_id,
            clean_session=None if station.version_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if station.version_5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._station = station
        self._opened = opened

    def _create_socket(self) -> socket.socket:
        return self._opened

    def begin(self) -> None:
        """Queue the CONNECT packet."""
        keepalive_s = self._station.keepalive_s
        if self._station.version_5:
            self.connect(*_ANYWHERE, keepalive_s, clean_start=False, properties=_connect_properties())
        else:
            self.connect(*_ANYWHERE, keepalive_s)


def make_client(station: Station, will: bytes, opened: socket.socket) -> ConnectedClient:
    """A client that has said nothing yet; the caller sets its callbacks."""
    client = ConnectedClient(station, opened)
    client.max_inflight_messages = MAX_IN_FLIGHT
    client.max_queued_messages = MAX_QUEUED
    client.will_set(station.state_topic, will, qos=1, retain=True)
    # With this set, paho queues what it has to send and leaves the writing to the connection's turns.
    client.on_socket_register_write = _write_later
    return client


def subscribe(client: Client, station: Station) -> None:
    """Ask for our commands: QoS 1, retained ones marked as such."""
    if station.version_5:
        options = SubscribeOptions(
            qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
        )
        client.subscribe([(topic, options) for topic in station.command_topics])
    else:
        client.subscribe([(topic, 1) for topic in station.command_topics])


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    properties.TopicAliasMaximum = 0
    return properties


def _write_later(_: Client, __: Any, ___: Any) -> None:
    """Nothing: the connection asks paho whether it wants to write."""
