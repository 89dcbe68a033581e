"""Brings the bytes of sources: files into the cache, relays (HLS too) into a pipe.

Verbs are the loop's and never block. Two crews of four threads each run one attempt at a time, and more wait: the
attempts of emergencies (`fetch-urgent-1` and so on) and all others (`fetch-1`). They share no queue, no thread and no
lookup, so whatever the lesser ones do, no emergency waits for them. `fetch-cache` answers for ordinary files that are
in the cache already. One of the lesser crew prefetches, while nothing that was ordered waits for its bytes; an order
interrupts it, and it goes on where it was. What a sibling does is said there: workers (a crew), stuck (disks that
hang), attempt (limits, cancelling), names, dial (connection, TLS), request (HTTP), cache, download, pump and body (a
stream), hls and segments, outlet (the pipe), and `messages.addresses` (what may be called).

Invariants: an attempt that is not cancelled is answered by exactly one FileReady, StreamReady or SourceFailed, and a
StreamReady by at most one SourceFailed later; SourceFailed comes within 5 s of what went wrong. After `cancel` nothing
is posted, except what was on its way already: a stale StreamReady's descriptor is the receiver's to close, too.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue

from agent.fetching.attempt import Attempt, CancelledError, GiveWayError, Limits, SourceError
from agent.fetching.body import BeginOf, FormatOf
from agent.fetching.cache import Cache
from agent.fetching.dial import Authorities, Dialler, system_resolve
from agent.fetching.download import Get, download
from agent.fetching.names import Names, Resolve
from agent.fetching.outlet import Outlet
from agent.fetching.pump import carry
from agent.fetching.request import Requests
from agent.fetching.stuck import Stuck
from agent.fetching.workers import Crew
from agent.messages.addresses import SourceRules
from agent.messages.events import FileReady, SourceFailed, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import File, Relay

MAX_AT_ONCE = 4
"""Attempts on the network at once, of emergencies and of all else: one sounds, three are made ready."""
MAX_PREFETCHES = 64
"""Waiting or under way: a week's bulletins and every alarm, far below what would cost memory."""
QUICK_HASH_BYTES = 4 * 1024 * 1024
"""Hashed by `fetch-cache` itself, 70 ms on a Zero 2 W; what is larger must not keep others waiting there."""

Post = Callable[[FileReady | StreamReady | SourceFailed], None]


class _Prefetching:
    """Tells a worker to look for something to prefetch."""


_PREFETCH = _Prefetching()


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
        format_of: FormatOf,
        begin_of: BeginOf,
        ca_file: Path | None = None,
        limits: Limits | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """`allow` and `files` are allow-list entries (protocol 4); without `ca_file` the system's authorities count.

        `format_of` names a stream's format, as its demuxer is called, from its first bytes; None: not played.
        `begin_of` says how many of them come before its first whole frame.

        Raises:
            ValueError: an entry is not one.
            OSError: `ca_file` cannot be read, or is no certificate (ssl.SSLError).
        """
        self._rules = SourceRules(allow, files)
        self._cache = Cache(cache_dir, cache_max_bytes)
        self._post = post
        self._format_of = format_of
        self._begin_of = begin_of
        self._limits = limits or Limits()
        self._resolve = resolve
        self._authorities = Authorities(ca_file)
        self._closed = False
        self._attempts: dict[int, Attempt] = {}
        self._asked: SimpleQueue[Attempt | None] = SimpleQueue()
        self._ahead: SimpleQueue[Attempt] = SimpleQueue()
        self._baton: SimpleQueue[None] = SimpleQueue()
        """Held by the one worker that prefetches."""
        self._baton.put(None)
        self._stuck = Stuck(self._give)
        self._urgent = self._crew("fetch-urgent")
        self._lesser = self._crew("fetch")
        self._cache_thread = threading.Thread(target=self._answer_from_cache, name="fetch-cache", daemon=True)
        self._cache_thread.start()

    def _crew(self, name: str) -> Crew[Attempt | _Prefetching]:
        dialler = Dialler(Names(self._resolve), self._authorities)
        return Crew(name, MAX_AT_ONCE, functools.partial(self._serve, dialler))

    # The loop's thread ------------------------------------------------------------------------------------------------

    def fetch_file(self, token: int, file: File, *, urgent: bool = False) -> None:
        """Answered by FileReady or SourceFailed. What is urgent, an emergency's, waits for nothing lesser."""
        attempt = self._new_attempt(token, file, urgent)
        if urgent:
            self._order(attempt)
        else:
            self._asked.put(attempt)

    def open_stream(self, token: int, relay: Relay, *, urgent: bool = False) -> None:
        """Answered by StreamReady or SourceFailed; the latter also when the stream ends or breaks for good."""
        self._order(self._new_attempt(token, relay, urgent))

    def prefetch(self, token: int, file: File, pin: bool) -> None:
        """Answered by FileReady or SourceFailed, whenever there is time; a pinned file is never evicted."""
        if sum(attempt.prefetch for attempt in self._attempts.copy().values()) >= MAX_PREFETCHES:
            self._post(SourceFailed(token, Reason.QUEUE_FULL, f"{MAX_PREFETCHES} files wait to be fetched ahead"))
            return
        attempt = Attempt(token, file, self._limits, prefetch=True, pin=pin)
        self._attempts[token] = attempt
        self._ahead.put(attempt)
        self._lesser.give(_PREFETCH)

    def cancel(self, token: int) -> None:
        """Close socket and pipe, free the slot. Unknown tokens are ignored."""
        attempt = self._attempts.pop(token, None)
        if attempt is not None:
            attempt.cancel()
            self._lesser.give(_PREFETCH)

    def close(self) -> None:
        """Cancel everything and wait for the threads, at most `close_s`. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        for token in list(self._attempts):
            self.cancel(token)
        self._asked.put(None)
        until_s = time.monotonic() + self._limits.close_s
        for crew in (self._urgent, self._lesser):
            crew.end()
        for crew in (self._urgent, self._lesser):
            crew.join(until_s)
        self._cache_thread.join(max(0.0, until_s - time.monotonic()))

    def _new_attempt(self, token: int, order: File | Relay, urgent: bool) -> Attempt:
        attempt = Attempt(token, order, self._limits, urgent=urgent)
        self._attempts[token] = attempt
        return attempt

    def _order(self, attempt: Attempt) -> None:
        """Ask a crew for something that is awaited; what is fetched ahead gives way. Also from `fetch-cache`."""
        self._give(attempt)
        for other in self._attempts.copy().values():
            if other.prefetch:
                other.give_way()

    def _give(self, attempt: Attempt) -> None:
        (self._urgent if attempt.urgent else self._lesser).give(attempt)

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
                    self._order(attempt)
                else:
                    self._finish(attempt, FileReady(attempt.token, str(path)))
            self._lesser.give(_PREFETCH)

    def _serve(self, dialler: Dialler, work: Attempt | _Prefetching, wake_fd: int) -> None:
        if not isinstance(work, Attempt):
            self._fetch_ahead(wake_fd, dialler)
        elif self._stuck.enter(work):
            with self._answered(work):
                self._bring(work, wake_fd, dialler)
            self._stuck.leave(work)
            self._lesser.give(_PREFETCH)

    def _fetch_ahead(self, wake_fd: int, dialler: Dialler) -> None:
        """Prefetch one after the other, until there is none or something is ordered."""
        while not self._ahead.empty() and not self._is_awaited():
            try:
                self._baton.get_nowait()
            except Empty:
                return  # whoever holds it looks again once it has put it back
            try:
                attempt = self._ahead.get_nowait()
                with self._answered(attempt):
                    self._bring(attempt, wake_fd, dialler)
            except Empty:
                continue
            except GiveWayError:
                self._ahead.put(attempt)
            finally:
                self._baton.put(None)

    def _is_awaited(self) -> bool:
        """Whether anything ordered still waits for its first bytes: its end brings the next look at what is ahead."""
        return any(not (attempt.prefetch or attempt.delivered) for attempt in self._attempts.copy().values())

    def _bring(self, attempt: Attempt, wake_fd: int, dialler: Dialler) -> None:
        attempt.begin(wake_fd)
        if attempt.prefetch and self._is_awaited():
            raise GiveWayError  # it may have been told so a moment before it began
        requests = Requests(attempt, dialler, self._rules)
        if isinstance(attempt.order, File):
            self._bring_file(attempt, attempt.order, requests)
        else:
            self._bring_stream(attempt, attempt.order, requests)

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

    def _bring_file(self, attempt: Attempt, file: File, requests: Requests) -> None:
        if attempt.pin:
            self._cache.require_room_for_pin(file)
        path = self._cache.known(file) or self._cache.verified(file, attempt.check)
        if path is None:
            get: Get = functools.partial(requests.file, file.uri)
            with closing(self._cache.partial(file, attempt.token, attempt.check, urgent=attempt.urgent)) as partial:
                path = download(attempt, file, partial, get)
        if attempt.pin:
            self._cache.pin(path)
        self._finish(attempt, FileReady(attempt.token, str(path)))

    def _bring_stream(self, attempt: Attempt, relay: Relay, requests: Requests) -> None:
        def deliver(fd: int, head: bytes) -> None:
            self._post(StreamReady(attempt.token, fd, head))
            self._lesser.give(_PREFETCH)

        with Outlet(attempt, deliver) as outlet:
            end = carry(attempt, relay.uri, requests.stream, outlet, format_of=self._format_of, begin_of=self._begin_of)
        if end is None:
            self._attempts.pop(attempt.token, None)
        else:
            self._finish(attempt, SourceFailed(attempt.token, Reason.STREAM_ENDED, end))
