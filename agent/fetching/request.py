"""One GET, through redirects, each held against the rules before it is followed. Part of fetch; alone knows urllib3.

Owner: the worker thread whose attempt it is. Invariants: every address is asked of the rules anew, also one that was
allowed a moment ago; no proxy, cookie or user name is ever used; a body is never decompressed.
"""

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from typing import Literal

import urllib3
from urllib3.connection import HTTPConnection

from agent.fetching.attempt import Attempt, ConnectionBrokenError, SourceError
from agent.fetching.dial import Dialler, Wire
from agent.messages.addresses import Address, SourceRules, follow, parse_address
from agent.messages.reasons import Reason

MAX_REDIRECTS = 3
"""As the protocol says."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ASKED = {"User-Agent": "loa-agent", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


class _Answer:
    """What urllib3 makes of a response, with its errors in our words."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.length: int | None = getattr(response, "length_remaining", None)
        self.uri = ""

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def read(self, at_most: int) -> bytes:
        try:
            return self._response.read1(at_most, decode_content=False)
        except (urllib3.exceptions.SSLError, ssl.SSLError) as error:
            raise SourceError(Reason.TLS_ERROR, str(error)) from error
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise ConnectionBrokenError(str(error)[:120]) from error


class Requests:
    """Asks servers for one attempt."""

    def __init__(self, attempt: Attempt, dialler: Dialler, rules: SourceRules) -> None:
        self._attempt = attempt
        self._dialler = dialler
        self._rules = rules

    @contextlib.contextmanager
    def file(self, uri: str, headers: dict[str, str]) -> Iterator[_Answer]:
        """GET a hashed file, or a part of it.

        Raises:
            SourceError: no answer, or one that says no.
            CancelledError: given up.
        """
        self._attempt.expect_answer(self._attempt.limits.first_byte_s)
        with self._get("file", uri, headers) as answer:
            yield answer

    @contextlib.contextmanager
    def stream(self, uri: str, within_s: float | None) -> Iterator[_Answer]:
        """GET a relay, a playlist or a segment; `within_s` None: the deadline stays as it is.

        Raises:
            SourceError: no answer, or one that says no.
            CancelledError: given up.
        """
        if within_s is not None:
            self._attempt.expect_answer(within_s)
        with self._get("relay", uri, {}) as answer:
            yield answer

    @contextlib.contextmanager
    def _get(self, kind: Literal["file", "relay"], uri: str, headers: dict[str, str]) -> Iterator[_Answer]:
        here: Address | None = None
        for _ in range(MAX_REDIRECTS + 1):
            try:
                address = parse_address(uri) if here is None else follow(here, uri)
                private_too = self._rules.permit(kind, address)
            except ValueError as error:
                raise SourceError(Reason.NOT_ALLOWED, str(error)) from None
            with closing(self._dialler.dial(self._attempt, address, private_too=private_too)) as connected:
                with _named_errors(address):
                    answer = _ask(self._dialler.wire(connected, self._attempt, address), address, headers)
                if answer.status not in _REDIRECTS:
                    answer.uri = address.uri
                    self._attempt.expect_still(Reason.STALLED, "an answer, but no bytes")
                    yield answer
                    return
                here, uri = address, answer.header("Location")
        raise SourceError(Reason.HTTP_ERROR, f"more than {MAX_REDIRECTS} redirects")


def _ask(wire: Wire, address: Address, headers: dict[str, str]) -> _Answer:
    """Send the request, read the head."""
    connection = HTTPConnection(address.host, address.port)
    connection.sock = wire  # http.client uses of a socket only what Wire has
    connection.request(
        "GET",
        address.target,
        headers={"Host": address.authority, **_ASKED, **headers},
        preload_content=False,
        decode_content=False,
    )
    answer = _Answer(connection.getresponse())
    encoding = answer.header("Content-Encoding").strip().lower()
    if encoding not in {"", "identity"} or answer.header("Transfer-Encoding").strip().lower() not in {"", "chunked"}:
        raise SourceError(Reason.HTTP_ERROR, "the body is compressed, which was not asked for")
    return answer


@contextlib.contextmanager
def _named_errors(address: Address) -> Iterator[None]:
    """What a handshake or a request may meet, as a reason."""
    try:
        yield
    except (ssl.SSLError, urllib3.exceptions.SSLError) as error:
        why = getattr(error, "verify_message", "") or str(error)
        raise SourceError(Reason.TLS_ERROR, f"{address.host}: {why}"[:200]) from error
    except http.client.RemoteDisconnected as error:
        raise SourceError(Reason.NO_ANSWER, f"{address.host} hung up without an answer") from error
    except (http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
        raise SourceError(Reason.HTTP_ERROR, f"{address.host} does not speak HTTP: {error!r}"[:200]) from error
    except OSError as error:
        raise SourceError(Reason.NO_ANSWER, f"{address.host}: {error.strerror or error}") from error
