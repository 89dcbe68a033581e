"""A file from the network into the cache: bounded by its size, resumed once, kept only if its hash fits. Part of fetch.

Owner: the worker thread whose attempt it is. Invariant: no byte beyond the ordered size is written, and nothing whose
hash does not fit outlives the attempt.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

from agent.fetching.attempt import Attempt, ConnectionBrokenError, SourceError
from agent.fetching.cache import Partial
from agent.messages.reasons import Reason
from agent.messages.sources import File

READ_BYTES = 64 * 1024
"""Read at once: enough to keep calls rare, little beside the memory budget."""
MAX_RESUMES = 1
"""How often a broken connection is taken up again in one attempt: the next attempt goes on from there anyway."""

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,12})-([0-9]{1,12})/(?:([0-9]{1,12})|\*)", re.ASCII)


class Answer(Protocol):
    """An HTTP response whose head is there. `length`: bytes of the body, None where the head does not say.

    `uri` is where it came from, after redirects.
    """

    status: int
    length: int | None
    uri: str

    def header(self, name: str) -> str:
        """This header's value; empty where there is none."""
        ...

    def read(self, at_most: int) -> bytes:
        """Some bytes as soon as there are any; empty at the end."""
        ...


Get = Callable[[dict[str, str]], AbstractContextManager[Answer]]
"""GET the order's URI with these headers."""


def download(attempt: Attempt, file: File, partial: Partial, get: Get) -> Path:
    """Fill `partial` until it is the file that was ordered.

    Raises:
        SourceError: every reason of a file.
        CancelledError: given up; what is there stays for the next attempt.
    """
    resumes = 0
    while True:
        try:
            _transfer(attempt, file, partial, get)
        except ConnectionBrokenError as broken:
            if resumes == MAX_RESUMES:
                where = f"after {partial.size} of {file.bytes} bytes"
                raise SourceError(Reason.NO_ANSWER, f"the connection broke {where}: {broken}") from None
            resumes += 1
            continue
        if partial.fits():
            return partial.commit()
        if not partial.inherited:
            partial.discard()
            raise SourceError(Reason.HASH_MISMATCH, f"the {file.bytes} bytes are not those that were ordered")
        # Not the server's fault, perhaps: a power cut may have spoilt what an earlier attempt left.
        partial.restart()


def _transfer(attempt: Attempt, file: File, partial: Partial, get: Get) -> None:
    """Bring what is missing."""
    while partial.size < file.bytes:
        with get({"Range": f"bytes={partial.size}-"} if partial.size else {}) as answer:
            if not _continues(answer, file, partial):
                partial.restart()
                continue
            _require_length(answer.length, file, partial)
            partial.make_room()
            _take_body(attempt, answer, file, partial)
            return


def _continues(answer: Answer, file: File, partial: Partial) -> bool:
    """Whether this body follows what is there; if not, it is asked for again from the beginning."""
    if partial.size == 0:
        if answer.status != HTTPStatus.OK:
            raise http_error(answer.status)
        return True
    if answer.status == HTTPStatus.OK:
        partial.restart()
        return True
    if answer.status not in {HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
        raise http_error(answer.status)
    found = _CONTENT_RANGE.fullmatch(answer.header("Content-Range").strip())
    return (
        answer.status == HTTPStatus.PARTIAL_CONTENT
        and found is not None
        and int(found[1]) == partial.size
        and int(found[2]) == file.bytes - 1
        and found[3] in {None, str(file.bytes)}
    )


def _require_length(length: int | None, file: File, partial: Partial) -> None:
    if length is not None and length != file.bytes - partial.size:
        raise _another_size(f"the server offers {partial.size + length} bytes", file, partial)


def _take_body(attempt: Attempt, answer: Answer, file: File, partial: Partial) -> None:
    attempt.expect_body(attempt.limits.file_bytes_per_s)
    while missing := file.bytes - partial.size:
        # One more than is missing: an endless body is seen, and not read.
        data = answer.read(min(READ_BYTES, missing + 1))
        if not data:
            raise _another_size(f"the body ends after {partial.size} bytes", file, partial)
        if len(data) > missing:
            raise _another_size("the body goes on", file, partial)
        partial.write(data)
        attempt.arrived(len(data))
    if answer.length is None and answer.read(1):
        raise _another_size("the body goes on", file, partial)


def _another_size(detail: str, file: File, partial: Partial) -> SourceError:
    partial.discard()
    return SourceError(Reason.SIZE_MISMATCH, f"{detail}, ordered are {file.bytes}")


def http_error(status: int) -> SourceError:
    """The failure for a status that brings no bytes."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    return SourceError(Reason.HTTP_ERROR, f"{status} {phrase}")
