"""Files whose thread hangs, as on a disk that does not answer, after they were given up. Part of fetch.

Who asks for such a file again would hang a second thread, and a third: in the end nothing else were fetched any more.
So it waits until the first is back, and holds no thread meanwhile. No lock: whoever leaves takes its entry away before
it looks for heirs, and who has become an heir looks whether the entry is still there.
"""

from collections.abc import Callable
from queue import Empty, SimpleQueue

from agent.fetching.attempt import Attempt
from agent.messages.sources import File


class Stuck:
    """Shared by all threads of fetch. An emergency's attempt never waits for a lesser one's."""

    def __init__(self, give: Callable[[Attempt], None]) -> None:
        """`give` lets an attempt be begun, once it may be."""
        self._give = give
        self._holders: dict[tuple[bool, str], tuple[Attempt, SimpleQueue[Attempt]]] = {}

    def enter(self, attempt: Attempt) -> bool:
        """Whether it is to be done now; otherwise it is given once whoever hangs has left."""
        key = _key(attempt)
        if key is None:
            return True
        entry = self._holders.setdefault(key, (attempt, SimpleQueue()))
        if entry[0] is attempt or not entry[0].cancelled:
            return True  # two that are on their way do not disturb each other
        entry[1].put(attempt)
        if self._holders.get(key) is not entry:
            self._release(entry[1])
        return False

    def leave(self, attempt: Attempt) -> None:
        """It holds its thread no longer."""
        key = _key(attempt)
        entry = None if key is None else self._holders.get(key)
        if key is not None and entry is not None and entry[0] is attempt:
            del self._holders[key]
            self._release(entry[1])

    def _release(self, heirs: SimpleQueue[Attempt]) -> None:
        while True:
            try:
                self._give(heirs.get_nowait())
            except Empty:
                return


def _key(attempt: Attempt) -> tuple[bool, str] | None:
    """Streams wait for nothing but the network, which can be left."""
    return (attempt.urgent, attempt.order.sha256) if isinstance(attempt.order, File) else None
