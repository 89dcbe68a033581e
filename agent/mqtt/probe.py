"""Whether a broker lets this node in: name, TCP, TLS and, where no agent runs, MQTT's CONNECT. For `check --online`.

Thread: the caller's, which may wait for the name server longer than any timeout. What is sent is what the agent sends:
the same client id, no clean start, the same session expiry; a broker may take the id from the certificate, and a
session of another kind would throw away the orders that wait in it. Nothing is acknowledged, so nothing is taken.
"""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from agent.messages.sentences import Sentence
from agent.mqtt.broker import Broker, said
from agent.mqtt.client import SESSION_EXPIRY_S
from agent.mqtt.tls import context

KEEPALIVE_S = 10
_CONNACK = 0x20
_DISCONNECT = b"\xe0\x00"
_REFUSED_3 = {
    1: Sentence("the broker does not speak MQTT {version}", version="3.1.1"),
    2: Sentence("the broker does not take this node's name"),
    3: Sentence("the broker is not ready"),
    4: Sentence("the broker says that this node is not authorised"),
    5: Sentence("the broker says that this node is not authorised"),
}
"""Return codes of MQTT 3.1.1."""


class RefusedError(Exception):
    """The broker answered, and not with a welcome; its argument is one clause."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the node shows, and whom it believes."""

    ca: Path | None
    certificate: Path | None
    key: Path | None


def reach(broker: Broker, shown: Credentials, timeout_s: float) -> socket.socket:
    """Connect, under TLS where the address says so; the caller closes. Raises OSError, UnicodeError."""
    connected = socket.create_connection((broker.host, broker.port), timeout_s)
    if not broker.tls:
        return connected
    assert shown.ca is not None, "the configuration asks for it"
    try:
        tls = context(ca=shown.ca, certificate=shown.certificate, key=shown.key)
        return tls.wrap_socket(connected, server_hostname=broker.host)
    except BaseException:
        connected.close()
        raise


def be_welcomed(connected: socket.socket, client_id: str, *, version_5: bool) -> None:
    """CONNECT, wait for the answer, and take leave.

    Raises:
        RefusedError: the broker does not want this node.
        OSError: it does not answer, or cuts the connection.
    """
    try:
        connected.sendall(_connect_packet(client_id, version_5=version_5))
    except OSError as error:
        connected.recv(1)  # TLS 1.3 tells only now why our certificate was not taken
        raise error from None
    code = _answer(connected)
    if code:
        other = said(code, "refused")
        raise RefusedError(other if version_5 else _REFUSED_3.get(code, other))
    connected.sendall(_DISCONNECT)


def _connect_packet(client_id: str, *, version_5: bool) -> bytes:
    properties = struct.pack(">BBI", 5, 0x11, SESSION_EXPIRY_S) if version_5 else b""
    body = b"".join(
        (
            _text("MQTT"),
            struct.pack(">BBH", 5 if version_5 else 4, 0, KEEPALIVE_S),
            properties,
            _text(client_id),
        )
    )
    assert len(body) < 128, "one byte tells the length"  # noqa: PLR2004  MQTT's variable byte integer
    return bytes((0x10, len(body))) + body


def _answer(connected: socket.socket) -> int:
    """The code of the CONNACK, 0 for a welcome. Raises OSError."""
    (kind,) = _exactly(connected, 1)
    if kind != _CONNACK:
        raise ConnectionResetError(0, "no CONNACK")
    for _ in range(4):  # its length, which tells us nothing
        if _exactly(connected, 1)[0] < 0x80:  # noqa: PLR2004  the last byte of MQTT's variable byte integer
            break
    return _exactly(connected, 2)[1]


def _exactly(connected: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connected.recv(count - len(received))
        if not part:
            raise ConnectionResetError(0, "closed")
        received += part
    return received


def _text(words: str) -> bytes:
    encoded = words.encode()
    return struct.pack(">H", len(encoded)) + encoded
