"""The agent's own socket: `status` and `amp-off` asked on this machine, answered by the loop.

Owner threads: `answer` and `close` belong to the loop, `console` is this module's own and only listens. A connection
carries one line and one answer. Invariants: at most `MAX_WAITING` questions wait for their answer, the oldest gives
way; nobody holds the listener for more than `REQUEST_S`; the socket's mode lets in the node's user and group alone.
"""

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from agent.messages.events import Asked, Event, ThreadDied
from agent.messages.sentences import Sentence

QUESTIONS = frozenset({"status", "amp-off"})
SOCKET_NAME = "agent.sock"
"""In the runtime folder."""
MAX_WAITING = 4
"""One technician with a command line, and a monitoring script that got stuck."""
MAX_REQUEST_BYTES = 1_024
REQUEST_S = 2.0
"""A line of a local process takes a millisecond."""
MAX_ANSWER_BYTES = 65_536
"""Fits into a Unix socket's buffer (208 KiB), so that the loop never waits for a reader."""
MODE = 0o660
JOIN_S = 1.0


class ConsoleError(OSError):
    """The agent's socket cannot be had or does not answer. The text is one sentence that names the way out."""


class ConsoleDeniedError(ConsoleError):
    """There is an agent, or may be one, and this user may not speak to it."""


class Console:
    """Listens; every question becomes `Asked`, to be answered once under its token."""

    def __init__(self, *, path: Path, post: Callable[[Event], None]) -> None:
        """Listen at `path`.

        Raises:
            ConsoleError: another agent answers there, or the folder is not ours to write.
        """
        self._path = path
        self._post = post
        self._closed = False
        self._waiting: dict[int, socket.socket] = {}
        self._tokens = itertools.count(1)
        self._listener = _listen(path)
        self._thread = Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def answer(self, token: int, text: bytes) -> None:
        """Send and hang up; an unknown token (given up, displaced) is ignored. Never waits."""
        connection = self._waiting.pop(token, None)
        if connection is None:
            return
        with connection, contextlib.suppress(OSError):
            connection.setblocking(False)
            connection.send(text[:MAX_ANSWER_BYTES])

    def close(self) -> None:
        """Hang up, stop listening and remove the socket; bounded, may be called again."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread out of accept
        self._thread.join(JOIN_S)
        self._listener.close()
        for token in tuple(self._waiting):
            self.answer(token, b"")
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            while not self._closed:
                self._serve_one()
        except BaseException as error:
            if self._closed:
                return
            self._post(ThreadDied("console", repr(error)))
            raise

    def _serve_one(self) -> None:
        connection, _ = self._listener.accept()
        question = _read_line(connection)
        if question not in QUESTIONS:
            with connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                connection.send(b"ask one of: amp-off, status\n")
            return
        if len(self._waiting) >= MAX_WAITING:
            self.answer(min(tuple(self._waiting), default=0), b"")
        token = next(self._tokens)
        self._waiting[token] = connection
        self._post(Asked(token, question))


def _listen(path: Path) -> socket.socket:
    if _somebody_listens(path):
        raise ConsoleError(Sentence("another agent answers at {path}: only one may own this node", path=path))
    listener = socket.socket(socket.AF_UNIX)
    try:
        path.unlink(missing_ok=True)  # left by a process that was killed
        listener.bind(os.fspath(path))
        path.chmod(MODE)
        listener.listen(MAX_WAITING)
    except OSError as error:
        listener.close()
        told = Sentence(
            "cannot listen at {path}: {error}; is its folder there and writable?", path=path, error=error.strerror
        )
        raise ConsoleError(told) from error
    return listener


def _somebody_listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(REQUEST_S)
        try:
            probe.connect(os.fspath(path))
        except TimeoutError:
            return True  # its queue is full: stuck, but there
        except OSError:
            return False
    return True


def _read_line(connection: socket.socket) -> str:
    """One line, without its end; empty if it is too long, too slow or no text."""
    deadline_s = time.monotonic() + REQUEST_S
    request = b""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        while b"\n" not in request and len(request) < MAX_REQUEST_BYTES:
            connection.settimeout(max(0.001, deadline_s - time.monotonic()))
            part = connection.recv(MAX_REQUEST_BYTES - len(request))
            request += part
            if not part or time.monotonic() >= deadline_s:
                break
        line, end, _ = request.partition(b"\n")
        return line.decode("ascii").strip() if end else ""
    return ""


def ask(path: Path, question: str, timeout_s: float) -> bytes:
    """Ask the agent that listens at `path`, for the command line.

    Raises:
        ConsoleDeniedError: the socket, or its folder, is not for this user.
        ConsoleError: nobody listens there, or no answer came in `timeout_s`.
    """
    deadline_s = time.monotonic() + timeout_s
    answer = b""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(question.encode("ascii", "replace") + b"\n")
            while part := connection.recv(MAX_ANSWER_BYTES):
                answer += part
                connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        except TimeoutError as error:
            told = Sentence("the agent at {path} gave no answer in {seconds} s", path=path, seconds=f"{timeout_s:g}")
            raise ConsoleError(told) from error
        except PermissionError as error:
            told = Sentence("you may not speak to the agent at {path}: say it with sudo", path=path)
            raise ConsoleDeniedError(told) from error
        except OSError as error:
            told = Sentence("no agent listens at {path} ({error}): is it running?", path=path, error=error.strerror)
            raise ConsoleError(told) from error
    if not answer:
        told = Sentence(
            "the agent at {path} hung up without an answer: it is stopping, or has too many to answer", path=path
        )
        raise ConsoleError(told)
    return answer
