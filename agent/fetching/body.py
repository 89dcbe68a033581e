"""The body of an answer that is a stream: read until its end, its head first. Part of fetch.

Owner: the worker thread whose attempt it is. A broken connection is an end like any other, with other words.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus

from agent.fetching.attempt import Attempt, ConnectionBrokenError
from agent.fetching.download import Answer, http_error

HEAD_ENOUGH_BYTES = 512
"""Least of a stream's head, unless it is shorter: names most formats; half a second of the slowest relay."""
READ_BYTES = 16 * 1024
"""Read at once: a second at 128 kbit/s."""

GetStream = Callable[[str, float | None], AbstractContextManager[Answer]]
"""GET this URI, the answer expected within so many seconds; None: the attempt's deadline stays."""
BeginOf = Callable[[bytes], int]
"""Where a stream's first whole frame begins, in its head: a relay is joined in the middle of one."""
FormatOf = Callable[[bytes], str | None]
"""The name of a stream's format, from its head; None for one that is not played."""


def require_ok(answer: Answer) -> None:
    """Take only 200.

    Raises:
        SourceError: `http_error`.
    """
    if answer.status != HTTPStatus.OK:
        raise http_error(answer.status)


class Body:
    """What is read of one answer."""

    def __init__(self, attempt: Attempt, answer: Answer) -> None:
        self._attempt = attempt
        self._answer = answer
        self.last_s = time.monotonic()
        """When bytes came last (monotonic)."""
        self.end = ""
        """How it ended, once it has."""
        self.broken = False
        """Whether the connection did."""

    def read(self) -> bytes:
        """Some bytes as soon as there are any, counted; empty at the end."""
        data = self._read()
        self._attempt.arrived(len(data))
        return data

    def head(self, enough: Callable[[bytes], bool]) -> bytes:
        """Uncounted, under the deadline as it is: until it is enough, or all there is."""
        head = b""
        while not enough(head) and (data := self._read()):
            head += data
        return head

    def _read(self) -> bytes:
        try:
            data = self._answer.read(READ_BYTES)
        except ConnectionBrokenError as broken:
            self.broken = True
            self.end = f"the connection broke: {broken}"
            return b""
        if data:
            self.last_s = time.monotonic()
        else:
            self.end = "the stream has ended"
        return data
