"""What the tests of fetch share: an inbox that is waited on, orders for bytes, and limits that suit a test."""

import hashlib
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from agent.decoders.demuxers import begin_of, demuxer_for
from agent.fetch import Fetch
from agent.fetching.attempt import Limits
from agent.messages.events import FileReady, SourceFailed, StreamReady
from agent.messages.reasons import Reason
from agent.messages.sources import File

News = FileReady | StreamReady | SourceFailed

DEADLINE_S = 30
"""Far beyond what anything here takes; reaching it is a failure."""
PATIENT = Limits(first_byte_s=60, connect_s=60, stall_s=60)
"""For what must not depend on time."""


def resolve_to_loopback(name: str, port: int) -> list[str]:
    """Every name leads here."""
    return ["127.0.0.1"]


class Fetching:
    """A Fetch and its inbox."""

    def __init__(
        self,
        folder: Path,
        *,
        allow: tuple[str, ...] = (
            "http://127.0.0.1:*",
            "https://127.0.0.1:*",
            "http://radio.example:*",
            "https://radio.example:*",
        ),
        files: tuple[str, ...] | None = None,
        cache_max_bytes: int = 10_000_000,
        ca_file: Path | None = None,
        limits: Limits = PATIENT,
        resolve: Callable[[str, int], list[str]] = resolve_to_loopback,
    ) -> None:
        self.inbox: SimpleQueue[News] = SimpleQueue()
        self.cache_dir = folder / "cache"
        self.fetch = Fetch(
            cache_dir=self.cache_dir,
            cache_max_bytes=cache_max_bytes,
            allow=allow,
            files=files,
            post=self.inbox.put,
            format_of=demuxer_for,
            begin_of=begin_of,
            ca_file=ca_file,
            limits=limits,
            resolve=resolve,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.fetch.close()

    def news(self) -> News:
        return self.inbox.get(timeout=DEADLINE_S)

    def stream(self) -> StreamReady:
        news = self.news()
        assert isinstance(news, StreamReady), news
        return news

    def failed(self, token: int) -> tuple[Reason, str]:
        news = self.news()
        assert isinstance(news, SourceFailed), news
        assert news.token == token
        return news.reason, news.detail

    def reason(self, token: int) -> Reason:
        return self.failed(token)[0]

    def kept(self) -> list[str]:
        """The names of all files in the cache."""
        return sorted(path.name for path in self.cache_dir.rglob("*") if path.is_file())


def order(data: bytes, uri: str) -> File:
    return File(uri=uri, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def read_to_end(fd: int) -> bytes:
    """All that comes out of the pipe; closes it."""
    received = bytearray()
    with os.fdopen(fd, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], DEADLINE_S)[0]:
            data = pipe.read(65_536)
            if not data:
                return bytes(received)
            received += data
    raise AssertionError("the pipe has no end")


def wait_until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.005)
