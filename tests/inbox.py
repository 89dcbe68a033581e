"""An inbox such as the loop's, that a test can wait at."""

import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar

from agent.messages.events import Event, SoundAdvanced, SoundEnding

E = TypeVar("E")
PATIENCE_S = 60.0
"""Never waited out unless something is broken: a busy machine is slow, not wrong."""


class Inbox:
    """`post` is given to the adapter; `expect` takes what comes in its order.

    That a card goes on, or is about to end, is said by the clock, not in an order: it is kept apart.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Event] = SimpleQueue()
        self.advanced: list[SoundAdvanced] = []
        self.endings: list[SoundEnding] = []

    def post(self, event: Event) -> None:
        """Any thread."""
        if isinstance(event, SoundEnding):
            self.endings.append(event)
        elif isinstance(event, SoundAdvanced):
            self.advanced.append(event)
        else:
            self._queue.put(event)

    def expect(self, kind: type[E], *, timeout_s: float = PATIENCE_S) -> E:
        """The next event, which must be of this kind."""
        try:
            event = self._queue.get(timeout=timeout_s)
        except Empty:
            raise AssertionError(f"no event within {timeout_s} s, waited for {kind.__name__}") from None
        assert isinstance(event, kind), f"got {event}, waited for {kind.__name__}"
        return event

    def skip_to(self, kind: type[E], *, timeout_s: float = PATIENCE_S) -> E:
        """The next event of this kind, whatever comes before it."""
        deadline = time.monotonic() + timeout_s
        for event in iter(lambda: self._queue.get(timeout=max(0.01, deadline - time.monotonic())), None):
            if isinstance(event, kind):
                return event
        raise AssertionError("unreachable: the queue holds no None")

    def waiting(self) -> Iterator[Event]:
        """What has come and was not taken."""
        while not self._queue.empty():
            yield self._queue.get()
