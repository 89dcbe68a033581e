"""A broker that says exactly what it is told to: for what no good broker does."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

CONNACK_5 = bytes.fromhex("2003000000")
SUBACK_5 = bytes.fromhex("90050001000101")
"""Both topics of a node without groups, QoS 1, to the client's first packet identifier."""
CONNACK_311 = bytes.fromhex("20020000")
SUBACK_311 = bytes.fromhex("900400010101")
WAIT_S = 20.0


def publish_311(packet: int, topic: str, payload: bytes) -> bytes:
    """A short PUBLISH of QoS 1."""
    body = len(topic).to_bytes(2, "big") + topic.encode() + packet.to_bytes(2, "big") + payload
    assert len(body) < 128, "one byte of remaining length"
    return bytes([0x32, len(body)]) + body


class ScriptedBroker:
    """Takes one connection; answers each packet read with the next part of `script`; then hangs up, or stays silent."""

    def __init__(self, *script: bytes, stay: bool = False) -> None:
        self._script = script
        self._stay = stay
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(WAIT_S)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="scripted-broker", daemon=True)
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(WAIT_S)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            peer, _ = self._server.accept()
            with peer:
                peer.settimeout(WAIT_S)
                for part in self._script:
                    if not peer.recv(4_096):
                        return
                    peer.sendall(part)
                if self._stay:
                    self._over.wait(WAIT_S)
