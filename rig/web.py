"""A web server on loopback that behaves as told, route by route: well, badly, or not at all. For tests and `make run`.

A connection has a thread, which serves one request and closes. Behaviours wait on the server's `stopping`, never in a
bare sleep, so leaving the `with` block takes a moment however badly they behave.
"""

import contextlib
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Self

POLL_S = 0.02
"""How often the accepting thread looks whether it shall stop."""
MAX_HEAD_BYTES = 65_536
GZIP_BOMB = bytes.fromhex("1f8b08000000000002ff") + b"\xec\xc1\x01\x0d\x00\x00\x00\xc2\xa0" * 200
"""What claims to be compressed; nobody should ever try."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    peer_closed: threading.Event
    """Set once the connection is over, from either side."""


class Exchange:
    """One request being answered: behaviours write what they like, byte for byte."""

    def __init__(self, request: Request, connection: socket.socket, stopping: threading.Event) -> None:
        self.request = request
        self._connection = connection
        self._stopping = stopping

    def send(self, data: bytes) -> None:
        """Write, as fast as the client takes it."""
        self._connection.sendall(data)

    def send_head(self, status: int, headers: Mapping[str, str | int]) -> None:
        """Status line and headers; the connection is closed after the body, and says so."""
        phrase = HTTPStatus(status).phrase
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self.send(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("latin-1"))

    def wait(self, seconds: float) -> bool:
        """Let time pass; false once the server stops."""
        return not self._stopping.wait(seconds)

    def wait_for_hang_up(self) -> None:
        """Say nothing more until the client goes, or the server stops."""
        self._connection.settimeout(POLL_S)
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._connection.recv(4_096):
                    return

    def reset(self) -> None:
        """End the connection with a TCP reset instead of a farewell."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


Behaviour = Callable[[Exchange], None]


class WebServer:
    """`with WebServer({"/a.mp3": serve(data)}) as web: web.uri("/a.mp3")`; https where a certificate is given."""

    def __init__(
        self,
        routes: Mapping[str, Behaviour],
        *,
        certificate: Path | None = None,
        key: Path | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """`routes` maps a target (path and query) to a behaviour; others get a 404. It may be changed meanwhile."""
        self.routes = dict(routes)
        self.requests: list[Request] = []
        self.connections = 0
        """Connections accepted, whether or not a request came."""
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate, key)
        self._server = _Server((host, 0), self)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="rig-web", daemon=True)

    def uri(self, target: str, host: str = "127.0.0.1") -> str:
        """Where this route is; `host` may be any name that leads here."""
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{target}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                # Not SSLSocket's, which would leave its thread to go on in plain text.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()

    def answer(self, raw: socket.socket) -> None:
        """Serve one connection, on its own thread."""
        self.connections += 1
        self._open.add(raw)
        closed = threading.Event()
        # Clients that hang up in the midst of something are what this server is for.
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            held.callback(closed.set)
            connection: socket.socket = raw
            if self._tls is not None:
                tls = self._tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
                connection = held.enter_context(tls)
                self._open.add(connection)
                held.callback(self._open.discard, connection)
                tls.do_handshake()
            request = _read_request(connection, closed)
            if request is not None:
                self.requests.append(request)
                behaviour = self.routes.get(request.target, status(404))
                behaviour(Exchange(request, connection, self._stopping))
        self._open.discard(raw)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, place: tuple[str, int], web: WebServer) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self._web = web
        super().__init__(place, socketserver.BaseRequestHandler)

    def finish_request(self, request: object, _client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._web.answer(request)


def _read_request(connection: socket.socket, closed: threading.Event) -> Request | None:
    received = b""
    while b"\r\n\r\n" not in received and len(received) < MAX_HEAD_BYTES:
        data = connection.recv(4_096)
        if not data:
            return None
        received += data
        if not received[:1].isalpha():
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return None
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Request(method, target, headers, closed)


# Behaviours -----------------------------------------------------------------------------------------------------------


def serve(data: bytes, content_type: str = "application/octet-stream", *, ranges: bool = True) -> Behaviour:
    """Well-behaved: length, and one range from some byte to the end."""

    def behave(exchange: Exchange) -> None:
        found = re.fullmatch(r"bytes=([0-9]+)-", exchange.request.headers.get("range", ""))
        begin = int(found[1]) if found and ranges else None
        if begin is not None and begin >= len(data):
            exchange.send_head(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": 0})
            return
        head: dict[str, str | int] = {"Content-Type": content_type, "Content-Length": len(data) - (begin or 0)}
        if begin is not None:
            head["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        exchange.send_head(200 if begin is None else 206, head)
        exchange.send(data[begin or 0 :])

    return behave


def answer(status: int, headers: Mapping[str, str | int], body: bytes = b"") -> Behaviour:
    """Exactly this, whatever was asked; without a Content-Length the body ends where the connection does."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(status, headers)
        exchange.send(body)

    return behave


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, HTTP or not."""
    return lambda exchange: exchange.send(data)


def status(code: int) -> Behaviour:
    """An error page."""
    return answer(code, {"Content-Type": "text/html", "Content-Length": 9}, b"<p>no</p>")


def redirect(location: str, code: int = 302) -> Behaviour:
    """Go elsewhere."""
    return answer(code, {"Location": location, "Content-Length": 0})


def chunked(data: bytes, *, complete: bool = True) -> Behaviour:
    """In chunks of 1,000 bytes, with or without the last, empty one."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(200, {"Transfer-Encoding": "chunked"})
        for at in range(0, len(data), 1_000):
            piece = data[at : at + 1_000]
            exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        if complete:
            exchange.send(b"0\r\n\r\n")

    return behave


def never_answer(exchange: Exchange) -> None:
    """Take the request and say nothing."""
    exchange.wait_for_hang_up()


def stall_after(data: bytes, sent: int, headers: Mapping[str, str | int] | None = None) -> Behaviour:
    """Promise `data`, send so many bytes of it, and hang."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(200, headers if headers is not None else {"Content-Length": len(data)})
        exchange.send(data[:sent])
        exchange.wait_for_hang_up()

    return behave


def drip(piece: bytes, every_s: float, headers: Mapping[str, str | int] | None = None) -> Behaviour:
    """Send a piece now and then, for ever."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(200, headers or {})
        while exchange.wait(every_s):
            exchange.send(piece)

    return behave


def drip_head(every_s: float) -> Behaviour:
    """A response head that goes on for ever, a byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while exchange.wait(every_s):
            exchange.send(b"a")

    return behave


def continue_for_ever(exchange: Exchange) -> None:
    """Interim answers without end: always something to read, never an answer."""
    while exchange.wait(0):
        exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def endless(block: bytes, headers: Mapping[str, str | int] | None = None) -> Behaviour:
    """A body without end, as fast as it is taken."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(200, headers or {})
        while exchange.wait(0):
            exchange.send(block)

    return behave


def gzip_bomb(exchange: Exchange) -> None:
    """A compressed body that nobody asked for."""
    exchange.send_head(200, {"Content-Encoding": "gzip", "Content-Length": len(GZIP_BOMB)})
    exchange.send(GZIP_BOMB)


def break_after(data: bytes, sent: int, *, times: int = 1, reset: bool = False) -> Behaviour:
    """As `serve`, but the first so many connections end after `sent` bytes of their body."""
    whole = serve(data)
    broken: list[str] = []

    def behave(exchange: Exchange) -> None:
        if len(broken) >= times:
            whole(exchange)
            return
        broken.append(exchange.request.target)
        found = re.fullmatch(r"bytes=([0-9]+)-", exchange.request.headers.get("range", ""))
        begin = int(found[1]) if found else 0
        head: dict[str, str | int] = {"Content-Length": len(data) - begin}
        if found:
            head["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        exchange.send_head(206 if found else 200, head)
        exchange.send(data[begin : begin + sent])
        if reset:
            exchange.wait(0.1)  # a reset overtakes bytes on their way
            exchange.reset()

    return behave


def live(
    data: bytes,
    *,
    bytes_per_s: int,
    burst_bytes: int,
    headers: Mapping[str, str | int],
    hush: threading.Event | None = None,
) -> Behaviour:
    """As an Icecast mount: a burst at once, then at the stream's own pace, to the end of `data`; at `hush` it hangs."""

    def behave(exchange: Exchange) -> None:
        exchange.send_head(200, headers)
        exchange.send(data[:burst_bytes])
        sent, begun_s = burst_bytes, time.monotonic()
        while sent < len(data) and exchange.wait(0.05):
            if hush is not None and hush.is_set():
                exchange.wait_for_hang_up()
                return
            due = burst_bytes + int((time.monotonic() - begun_s) * bytes_per_s)
            exchange.send(data[sent:due])
            sent = max(sent, due)

    return behave
