"""A line between node and broker that can be slow, or dead without saying so: a small TCP proxy on loopback."""

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 65_536
TURN_S: Final = 0.02


class Direction:
    """Bytes on their way from one socket to another, each with the time at which it may arrive."""

    def __init__(self, source: socket.socket, target: socket.socket, *, upwards: bool) -> None:
        self.source = source
        self.target = target
        self.upwards = upwards
        self.held: deque[tuple[float, bytes]] = deque()


class Proxy:
    """Listens on `port` and connects to `target` (a loopback port).

    `delay_s` holds every byte back for so long, each way; while `dead`, bytes vanish and nothing is closed: half-open.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        self.dead = False
        self._running = True
        self._selector = selectors.DefaultSelector()
        self._directions: list[Direction] = []
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._running = False
        self._thread.join()
        for direction in self._directions:
            direction.source.close()
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while self._running:
            for key, _ in self._selector.select(TURN_S):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            self._deliver()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=1.0)
        except OSError:
            client.close()
            return
        for source, target in ((client, server), (server, client)):
            source.setblocking(True)
            source.settimeout(5.0)
            direction = Direction(source, target, upwards=source is client)
            self._directions.append(direction)
            self._selector.register(source, selectors.EVENT_READ, direction)

    def _read(self, direction: Direction) -> None:
        try:
            data = direction.source.recv(CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(direction.source)
        if not self.dead:
            self._take(direction, data)

    def _take(self, direction: Direction, data: bytes) -> None:
        """Send these bytes on; none are the end."""
        direction.held.append((time.monotonic() + self.delay_s, data))

    def _deliver(self) -> None:
        now_s = time.monotonic()
        for direction in self._directions:
            while direction.held and direction.held[0][0] <= now_s:
                _, data = direction.held.popleft()
                with suppress(OSError):
                    if data:
                        direction.target.sendall(data)
                    else:
                        direction.target.shutdown(socket.SHUT_WR)
