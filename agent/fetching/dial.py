"""From an address to a wire that carries HTTP: name, connection, TLS. Part of fetch; the standard library only.

Owner: the worker thread whose attempt it is. Invariants: the address that was checked is the one connected to; every
wait is the attempt's.
"""

import errno
import io
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent.fetching.attempt import Attempt, SourceError
from agent.fetching.names import Names
from agent.messages.addresses import Address, is_public
from agent.messages.reasons import Reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_ADDRESSES = 4
"""Addresses of one name that are tried: each gets its share of the time."""
TLS_RECORD_BYTES = 16_384
"""Read at once from the network under TLS: the largest record."""

_T = TypeVar("_T")


def system_resolve(name: str, port: int) -> list[str]:
    """What the system says of this name. As bytes: a str would go through Python's idna codec.

    Raises:
        OSError: there is no such name, or nobody to ask.
    """
    found = socket.getaddrinfo(name.encode("ascii"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Authorities:
    """Who may vouch for a server: those in `ca_file`, else the system's. Shared by the workers."""

    def __init__(self, ca_file: Path | None) -> None:
        """Read `ca_file`.

        Raises:
            OSError: it cannot be read, or holds no certificate (ssl.SSLError).
        """
        self._context = None if ca_file is None else _tls_context(ca_file)

    @property
    def context(self) -> ssl.SSLContext:
        """For clients. The system's store takes 30 ms and a megabyte: read when first needed, perhaps twice."""
        if self._context is None:
            self._context = _tls_context(None)
        return self._context


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Dialler:
    """Connects for one crew."""

    def __init__(self, names: Names, authorities: Authorities) -> None:
        self._names = names
        self._authorities = authorities

    def dial(self, attempt: Attempt, address: Address, *, private_too: bool) -> socket.socket:
        """Connect to an address that may be connected to; the caller closes the socket, which does not block.

        Raises:
            SourceError: `not_allowed`, or `no_answer`.
            CancelledError: given up.
        """
        until_s = time.monotonic() + attempt.limits.connect_s
        found = [address.host] if address.literal else self._look_up(attempt, address, until_s)
        permitted = [ip for ip in found if private_too or is_public(ip)][:MAX_ADDRESSES]
        if not permitted:
            where = ", ".join(found[:MAX_ADDRESSES]) or "nowhere"
            raise SourceError(Reason.NOT_ALLOWED, f"{address.host} is at {where}: no entry names it")
        trouble = ""
        for tried, ip in enumerate(permitted):
            share_s = (until_s - time.monotonic()) / (len(permitted) - tried)
            sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
            try:
                trouble = _connect(sock, attempt, (ip, address.port), time.monotonic() + share_s)
            except BaseException:
                sock.close()
                raise
            if not trouble:
                return sock
            sock.close()
        raise SourceError(Reason.NO_ANSWER, f"{address.host} port {address.port}: {trouble}")

    def wire(self, connected: socket.socket, attempt: Attempt, address: Address) -> "Wire":
        """What HTTP runs over: the socket, under TLS for https.

        Raises:
            ssl.SSLError: the other side cannot prove its name, or does not speak TLS.
        """
        if address.scheme == "http":
            return Wire(connected, attempt)
        return TlsWire(connected, attempt, self._authorities.context, address.host)

    def _look_up(self, attempt: Attempt, address: Address, until_s: float) -> list[str]:
        self._names.ask(address.host, address.port, attempt.fresh_mailbox(), until_s)
        try:
            return attempt.receive(until_s)
        except OSError as error:
            raise SourceError(Reason.NO_ANSWER, f"{address.host}: {error.strerror or error}") from None


def _connect(sock: socket.socket, attempt: Attempt, place: tuple[str, int], until_s: float) -> str:
    """Connect; the trouble in words, empty for none."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    code = sock.connect_ex(place)
    if code == errno.EINPROGRESS:
        if not attempt.wait_for(sock.fileno(), select.POLLOUT, until_s):
            return "no answer to the connection"
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return os.strerror(code) if code else ""


class Wire(io.RawIOBase):
    """A connected socket as an HTTP client wants it; waiting is the attempt's, closing the dialler's caller's."""

    def __init__(self, connected: socket.socket, attempt: Attempt) -> None:
        super().__init__()
        self._socket = connected
        self._attempt = attempt

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Wait for bytes; 0 at the end."""
        self._attempt.wait_for(self._socket.fileno(), select.POLLIN)
        return self._socket.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        """Wait until all is on its way."""
        left = memoryview(data)
        while left:
            self._attempt.wait_for(self._socket.fileno(), select.POLLOUT)
            left = left[self._socket.send(left) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The reading side, as `socket.makefile`."""
        return io.BufferedReader(self)

    def settimeout(self, _timeout_s: float | None) -> None:
        """Nothing: the attempt's deadline holds."""

    def close(self) -> None:
        """Nothing: http.client closes before it reads the body, and means its own count of users."""


class TlsWire(Wire):
    """The same under TLS, with the certificate verified for `name`. TLS runs in memory, so that waiting stays ours."""

    def __init__(self, connected: socket.socket, attempt: Attempt, context: ssl.SSLContext, name: str) -> None:
        """Shake hands.

        Raises:
            ssl.SSLError: the other side cannot prove its name, or does not speak TLS.
        """
        super().__init__(connected, attempt)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._drive(self._tls.do_handshake)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Wait for bytes; 0 at the end, also at one without farewell: HTTP's framing or the hash misses bytes."""
        room = memoryview(buffer)
        try:
            data = self._drive(lambda: self._tls.read(len(room)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0
        room[: len(data)] = data
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Wait until all is on its way."""
        self._drive(lambda: self._tls.write(data))

    def _drive(self, step: Callable[[], _T]) -> _T:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            super().sendall(self._outgoing.read())

    def _fill(self) -> None:
        received = bytearray(TLS_RECORD_BYTES)
        count = super().readinto(received)
        if count:
            self._incoming.write(memoryview(received)[:count])
        else:
            self._incoming.write_eof()
