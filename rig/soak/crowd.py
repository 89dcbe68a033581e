"""Many nodes' links in one process: real TLS and MQTT 5, and the agent's own decision when to try again.

`python -m rig.soak.crowd` reads one JSON document from its input and says on its output, a line each, what happened to
whom: `NAME begun|up|lost AT`, `NAME failed AT WHY` (monotonic s, the same in every process). It ends with its input.

Left out of a node: everything but its link. What it sends is what a node sends to be let in: CONNECT with session and
will, SUBSCRIBE, a retained state; then signs of life. Written out, since 1,000 paho clients in threads would take more
of the processor than the broker that is measured.
"""

import asyncio
import json
import random
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.core import connection as conn
from agent.messages.codec import encode
from agent.messages.events import Disconnected
from agent.messages.reports import State
from agent.mqtt.broker import why
from agent.mqtt.client import MAX_PACKET_BYTES, RECEIVE_MAXIMUM, SESSION_EXPIRY_S
from agent.mqtt.connection import HANDSHAKE_TIMEOUT_S
from agent.mqtt.dial import DIAL_S
from agent.mqtt.tls import context

KEEPALIVE_S: Final = 30
CONNACK: Final = 0x20
SUBACK: Final = 0x90
FAILED_FROM: Final = 0x80
"""Reason codes from here on are failures."""
QOS_1_AS_PUBLISHED: Final = 0x09


class RefusedError(OSError):
    """The broker does not take us in; the text is its reason code."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Which nodes, and where their files and their broker are. `first_s`: within which time they come at first."""

    site: str
    names: list[str]
    folder: str
    port: int
    first_s: float


class _Pole:
    def __init__(self, crowd: Crowd, name: str) -> None:
        self._crowd = crowd
        self._name = name
        self._topic = f"loa/v1/{crowd.site}/node/{name}/state"
        self._boot = f"{random.getrandbits(128):032x}"

    async def live(self) -> None:
        """Connect for ever, as the core decides."""
        await asyncio.sleep(random.uniform(0.0, self._crowd.first_s))
        connection = conn.Connection()
        while True:
            connection = conn.begin(connection)
            self._tell("begun")
            try:
                reader, writer = await self._enter(connection.number)
            except OSError as error:
                self._tell("failed", why(error))
            else:
                connection = conn.established(connection, time.monotonic())
                self._tell("up")
                await _stay(reader, writer)
                self._tell("lost")
            end = Disconnected(connection.number, "")
            connection = conn.lost(connection, end, time.monotonic(), random.getrandbits(128))
            await asyncio.sleep((connection.retry_at_s or 0.0) - time.monotonic())

    async def _enter(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Up to the SUBACK.

        Raises:
            OSError: no connection, or none that is of use.
        """
        async with asyncio.timeout(DIAL_S + HANDSHAKE_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                "localhost", self._crowd.port, ssl=self._tls(), ssl_handshake_timeout=DIAL_S
            )
            try:
                writer.write(self._connect(number))
                await _answer(reader, CONNACK)
                writer.write(self._subscribe() + _publish(self._topic, self._state(number, online=True)))
                await _answer(reader, SUBACK)
            except BaseException:
                writer.transport.abort()
                raise
        return reader, writer

    def _tls(self) -> ssl.SSLContext:
        folder = Path(self._crowd.folder)
        certificate = folder / "nodes" / f"{self._name}.crt"
        return context(ca=folder / "ca.pem", certificate=certificate, key=certificate.with_suffix(".key"))

    def _connect(self, number: int) -> bytes:
        session = b"\x11" + SESSION_EXPIRY_S.to_bytes(4, "big") + b"\x21" + RECEIVE_MAXIMUM.to_bytes(2, "big")
        size = b"\x27" + MAX_PACKET_BYTES.to_bytes(4, "big")
        # MQTT 5; a will of QoS 1, retained; clean start false.
        head = _text("MQTT") + bytes((5, 0b0010_1100)) + KEEPALIVE_S.to_bytes(2, "big") + _sized(session + size)
        will = b"\x00" + _text(self._topic) + _text(self._state(number, online=False).decode())
        return _packet(0x10, head + _text(f"loa-{self._crowd.site}-{self._name}") + will)

    def _subscribe(self) -> bytes:
        command = f"loa/v1/{self._crowd.site}/command"
        topics = (f"{command}/node/{self._name}", f"{command}/group/thon-2", f"{command}/all")
        wanted = b"".join(_text(topic) + bytes((QOS_1_AS_PUBLISHED,)) for topic in topics)
        return _packet(0x82, b"\x00\x01\x00" + wanted)

    def _state(self, number: int, *, online: bool) -> bytes:
        return encode(State(self._name, self._crowd.site, online, self._boot, number))

    def _tell(self, what: str, detail: str = "") -> None:
        print(self._name, what, f"{time.monotonic():.6f}", detail, flush=True)


async def _stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the broker ends it; what it says is not listened to."""
    try:
        while True:
            try:
                async with asyncio.timeout(KEEPALIVE_S):
                    if not await reader.read(4_096):
                        return
            except TimeoutError:
                writer.write(b"\xc0\x00")
    except OSError:
        return
    finally:
        writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, kind: int) -> None:
    """The next packet of this kind, and that no reason code in it is a failure; orders that came with it are left out.

    Raises:
        OSError: the broker refuses, or has gone.
    """
    while True:
        try:
            found, body = await _read(reader)
        except asyncio.IncompleteReadError:
            raise ConnectionResetError from None
        if found == kind:
            codes = body[1:2] if kind == CONNACK else body[3 + body[2] :]
            if any(code >= FAILED_FROM for code in codes):
                raise RefusedError(f"reason code 0x{max(codes):02X}")
            return


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        if byte < FAILED_FROM:
            return kind & 0xF0, await reader.readexactly(size)
        shift += 7


def _publish(topic: str, payload: bytes) -> bytes:
    return _packet(0x33, _text(topic) + b"\x00\x02\x00" + payload)


def _packet(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + _sized(body)


def _sized(body: bytes) -> bytes:
    left, length = len(body), bytearray()
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes(length) + body


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


async def _live_all(crowd: Crowd) -> None:
    lives = [asyncio.create_task(_Pole(crowd, name).live()) for name in crowd.names]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([ended, *lives], return_when=asyncio.FIRST_COMPLETED)  # a life ends by a bug alone
    for life in lives:
        if life.done():
            life.result()
        life.cancel()


if __name__ == "__main__":
    asyncio.run(_live_all(Crowd(**json.loads(sys.stdin.readline()))))
