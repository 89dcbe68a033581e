"""Brings the bytes of sources: files into the cache, relays into a pipe. The only module that knows urllib3.

Verbs are the loop's and never block. `fetch-cache` answers for files that are in the cache already, so that they never
queue behind the network; `fetch-1` to `fetch-3` each run one attempt at a time, and more wait. Lookups have threads of
their own (dial.py). What a sibling does is said there: attempt (limits, cancelling), dial (name, connection,
TLS), cache, download, pump, and `messages.addresses` (what may be called).

Invariants: an attempt that is not cancelled is answered by exactly one FileReady, StreamReady or SourceFailed, and a
StreamReady by at most one SourceFailed later; SourceFailed comes within 5 s of what went wrong. After `cancel` nothing
is posted, except what was on its way already: a stale StreamReady's descriptor is the receiver's to close, too.
No proxy, cookie or user name is ever used; a body is never decompressed.
"""

import contextlib
import functools
import http.client
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import urllib3
from urllib3.connection import HTTPConnection

from agent.fetching.attempt import Attempt, CancelledError, ConnectionBrokenError, Limits, SourceError
from agent.fetching.cache import Cache
from agent.fetching.dial import Authorities, Dialler, Resolve, Wire, system_resolve
from agent.fetching.download import Answer, Get, download
from agent.fetching.pump import pump
from agent.messages.addresses import Address, SourceRules, follow, parse_address
from agent.messages.events import FileReady, SourceFailed, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import File, Relay

MAX_AT_ONCE = 3
"""Attempts on the network at once: one sounds, one is made ready, one is fetched ahead."""
MAX_REDIRECTS = 3
"""As the protocol says."""
QUICK_HASH_BYTES = 4 * 1024 * 1024
"""Hashed by `fetch-cache` itself, 70 ms on a Zero 2 W; what is larger must not keep others waiting there."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ASKED = {"User-Agent": "loa-agent", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}

Post = Callable[[FileReady | StreamReady | SourceFailed], None]


class _Answer:
    """What urllib3 makes of a response, with its errors in our words."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.length: int | None = getattr(response, "length_remaining", None)

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def read(self, at_most: int) -> bytes:
        try:
            return self._response.read1(at_most, decode_content=False)
        except (urllib3.exceptions.SSLError, ssl.SSLError) as error:
            raise SourceError(Reason.TLS_ERROR, str(error)) from error
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise ConnectionBrokenError(str(error)[:120]) from error


class Fetch:
    """Fetches hashed files and opens relays."""

    def __init__(
        self,
        *,
        cache_dir: Path,
        cache_max_bytes: int,
        allow: tuple[str, ...],
        files: tuple[str, ...] | None,
        post: Post,
        ca_file: Path | None = None,
        limits: Limits | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """`allow` and `files` are allow-list entries (protocol 4); without `ca_file` the system's authorities count.

        Raises:
            ValueError: an entry is not one.
            OSError: `ca_file` cannot be read, or is no certificate (ssl.SSLError).
        """
        self._rules = SourceRules(allow, files)
        self._cache = Cache(cache_dir, cache_max_bytes)
        self._post = post
        self._limits = limits or Limits()
        self._resolve = resolve
        self._authorities = Authorities(ca_file)
        self._closed = False
        self._attempts: dict[int, Attempt] = {}
        self._asked: SimpleQueue[Attempt | None] = SimpleQueue()
        self._waiting: SimpleQueue[Attempt | None] = SimpleQueue()
        self._wake_fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(MAX_AT_ONCE)]
        self._threads = [threading.Thread(target=self._answer_from_cache, name="fetch-cache", daemon=True)]
        for number, wake_fd in enumerate(self._wake_fds, 1):
            work = functools.partial(self._work, wake_fd)
            self._threads.append(threading.Thread(target=work, name=f"fetch-{number}", daemon=True))
        for thread in self._threads:
            thread.start()

    # The loop's thread ------------------------------------------------------------------------------------------------

    def fetch_file(self, token: int, file: File) -> None:
        """Answered by FileReady or SourceFailed."""
        self._asked.put(self._new_attempt(token, file))

    def open_stream(self, token: int, relay: Relay) -> None:
        """Answered by StreamReady or SourceFailed; the latter also when the stream ends or breaks."""
        self._waiting.put(self._new_attempt(token, relay))

    def cancel(self, token: int) -> None:
        """Close socket and pipe, free the slot. Unknown tokens are ignored."""
        attempt = self._attempts.pop(token, None)
        if attempt is not None:
            attempt.cancel()

    def close(self) -> None:
        """Cancel everything and wait for the threads, at most `close_s`. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        for token in list(self._attempts):
            self.cancel(token)
        self._asked.put(None)
        for _ in self._wake_fds:
            self._waiting.put(None)
        until_s = time.monotonic() + self._limits.close_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            # Else an eventfd may still be polled: a number given to another file would be read from.
            for wake_fd in self._wake_fds:
                os.close(wake_fd)

    def _new_attempt(self, token: int, order: File | Relay) -> Attempt:
        attempt = Attempt(token, order, self._limits)
        self._attempts[token] = attempt
        return attempt

    # Workers ----------------------------------------------------------------------------------------------------------

    def _answer_from_cache(self) -> None:
        while (attempt := self._asked.get()) is not None:
            with self._answered(attempt):
                file = attempt.order
                assert isinstance(file, File), "only files are asked here"
                path = self._cache.known(file)
                if path is None and file.bytes <= QUICK_HASH_BYTES:
                    path = self._cache.verified(file, attempt.check)
                if path is None:
                    self._waiting.put(attempt)
                else:
                    self._finish(attempt, FileReady(attempt.token, str(path)))

    def _work(self, wake_fd: int) -> None:
        dialler = Dialler(self._resolve, self._authorities)
        while (attempt := self._waiting.get()) is not None:
            with self._answered(attempt):
                attempt.begin(wake_fd)
                if isinstance(attempt.order, File):
                    self._bring_file(attempt, attempt.order, dialler)
                else:
                    self._bring_stream(attempt, attempt.order, dialler)

    @contextlib.contextmanager
    def _answered(self, attempt: Attempt) -> Iterator[None]:
        """Foreseen failures become news; everything else is a bug, and ends thread and process."""
        try:
            yield
        except CancelledError:
            pass
        except SourceError as error:
            self._finish(attempt, SourceFailed(attempt.token, error.reason, error.detail))

    def _finish(self, attempt: Attempt, news: FileReady | SourceFailed) -> None:
        self._attempts.pop(attempt.token, None)
        if not attempt.cancelled:
            self._post(news)

    def _bring_file(self, attempt: Attempt, file: File, dialler: Dialler) -> None:
        path = self._cache.verified(file, attempt.check)
        if path is None:
            get: Get = functools.partial(self._get, attempt, dialler, "file", file.uri)
            with closing(self._cache.partial(file, attempt.token, attempt.check)) as partial:
                path = download(attempt, file, partial, get)
        self._finish(attempt, FileReady(attempt.token, str(path)))

    def _bring_stream(self, attempt: Attempt, relay: Relay, dialler: Dialler) -> None:
        with self._get(attempt, dialler, "relay", relay.uri, {}) as answer:
            end = pump(attempt, answer, lambda fd, head: self._post(StreamReady(attempt.token, fd, head)))
        if end is None:
            self._attempts.pop(attempt.token, None)
        else:
            self._finish(attempt, SourceFailed(attempt.token, Reason.STREAM_ENDED, end))

    # One request ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _get(
        self, attempt: Attempt, dialler: Dialler, kind: Literal["file", "relay"], uri: str, headers: dict[str, str]
    ) -> Iterator[Answer]:
        """GET through at most MAX_REDIRECTS redirects, each held against the rules before it is followed."""
        attempt.expect(self._limits.first_byte_s, Reason.NO_ANSWER, f"no answer in {self._limits.first_byte_s:g} s")
        here: Address | None = None
        for _ in range(MAX_REDIRECTS + 1):
            try:
                address = parse_address(uri) if here is None else follow(here, uri)
                private_too = self._rules.permit(kind, address)
            except ValueError as error:
                raise SourceError(Reason.NOT_ALLOWED, str(error)) from None
            with closing(dialler.dial(attempt, address, private_too=private_too)) as connected:
                with _named_errors(address):
                    answer = _ask(dialler.wire(connected, attempt, address), address, headers)
                if answer.status not in _REDIRECTS:
                    attempt.expect_still(Reason.STALLED, "an answer, but no bytes")
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
