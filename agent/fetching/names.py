"""Names looked up for one crew: each once at a time, and so many at once. Part of fetch.

A lookup runs on a thread of its own (`fetch-dns`), for getaddrinfo has no timeout: where a name server is silent glibc
gives up after 10 to 30 s. Who asks for a name that is being looked up already awaits the same answer. Where as many
hang as may, others wait until one comes free, for as long as whoever asks does. No lock: a lookup is in `_pending`
until it has its answer, and whoever joins it just then finds that there.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

Resolve = Callable[[str, int], Sequence[str]]
"""(name, port) to IP addresses, the best first; may take any time, raises OSError."""
Answer = list[str] | OSError
Mailbox = SimpleQueue[list[str] | OSError | None]

MAX_LOOKUPS = 8
"""Under way at once, each a thread: two for each of a crew, so that names that hang do not bar one that does not."""


class _Lookup:
    """One name, and who asks for it until when (monotonic)."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.askers: list[tuple[Mailbox, float]] = []
        self.answer: Answer | None = None

    @property
    def is_awaited(self) -> bool:
        return any(time.monotonic() < until_s for _, until_s in self.askers.copy())


class Names:
    """Shared by the threads of one crew."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._pending: dict[str, _Lookup] = {}
        self._waiting: SimpleQueue[_Lookup] = SimpleQueue()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(MAX_LOOKUPS):
            self._permits.put(None)

    def ask(self, host: str, port: int, mailbox: Mailbox, until_s: float) -> None:
        """Let the answer be put into `mailbox`, perhaps twice: it must be this question's alone."""
        fresh = _Lookup(host, port)
        lookup = self._pending.setdefault(host, fresh)
        lookup.askers.append((mailbox, until_s))
        if lookup.answer is not None:
            mailbox.put(lookup.answer)
        elif lookup is fresh:
            self._waiting.put(lookup)
            threading.Thread(target=self._look_up, name="fetch-dns", daemon=True).start()

    def _look_up(self) -> None:
        """One after the other, until none waits or enough are under way."""
        while not self._waiting.empty():
            try:
                self._permits.get_nowait()
            except Empty:
                return  # whoever has one looks again once it is back
            try:
                lookup = self._waiting.get_nowait()
                self._settle(lookup, self._found(lookup))
            except Empty:
                continue
            finally:
                self._permits.put(None)

    def _found(self, lookup: _Lookup) -> Answer:
        if not lookup.is_awaited:
            return TimeoutError("nobody waits for it any more")
        try:
            return list(self._resolve(lookup.host, lookup.port))
        except OSError as error:
            return error

    def _settle(self, lookup: _Lookup, answer: Answer) -> None:
        lookup.answer = answer
        del self._pending[lookup.host]
        for mailbox, _ in lookup.askers.copy():
            mailbox.put(answer)
