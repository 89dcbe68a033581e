"""One child process that reads a text and gives sound, within limits. Part of speech.

Thread `speech`, which waits here and nowhere else. Invariants: when `run` returns or raises, the child and its process
group are gone; the text is read from a file in memory, so that a child that reads nothing blocks nobody; the child has
no environment of ours and no open file but its three.
"""

import contextlib
import logging
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.messages.reasons import Reason
from agent.speaking.voices import SpeechError

NICENESS = 10
"""The card's writer runs at -10 and must never wait for a voice; a fifth of a busy core is left even so."""
OOM_SCORE = 900
"""Out of 1000: where memory ends the child is killed, and never the node."""
EXIT_WAIT_S = 1.0
"""From the end of the output to the end of the process."""
GONE_WAIT_S = 5.0
"""For a killed process to be gone, which takes no time on a machine that does not stand still."""
READ_BYTES = 64 * 1024
"""What a pipe holds."""
MAX_TOLD_BYTES = 2_000
"""Of what the child writes to stderr, the last so many are kept: the cause stands at the end."""
MAX_SHOWN_CHARACTERS = 160

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""Nothing of the node's own: its NOTIFY_SOCKET would let a child speak to systemd."""

_log = logging.getLogger(__name__)


class CancelledError(Exception):
    """The loop has given the text up: nobody waits for news of it."""


class Cancellation:
    """How the loop's thread interrupts the thread `speech`, which alone closes it."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wake(self) -> None:
        """Let the waiting thread look whether it is wanted still. Any thread."""
        os.eventfd_write(self.fd, 1)

    def drain(self) -> None:
        """Forget wakings."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)


def run(
    arguments: Sequence[str],
    text: str,
    take: Callable[[bytes], None],
    *,
    within_s: float,
    cancellation: Cancellation,
    check: Callable[[], None],
) -> None:
    """Run the program with the text on its standard input and give its output to `take`, piece by piece.

    `check` is called before every wait, and raises CancelledError to end the run.

    Raises:
        SpeechError: `no_voice`, the program is not there; `speech_failed`, it does not start, takes too long, or fails.
        CancelledError: from `check`.
    """
    name = Path(arguments[0]).name
    child = _start(arguments, text)
    try:
        _be_humble(child.pid)
        told = _pump(
            child, name, take=take, until_s=time.monotonic() + within_s, cancellation=cancellation, check=check
        )
        try:
            code = child.wait(EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            raise SpeechError(Reason.SPEECH_FAILED, f"{name} does not end") from None
        if code != 0:
            raise SpeechError(Reason.SPEECH_FAILED, _why(name, code, told + _last_words(child)))
    finally:
        _end(child)


def _start(arguments: Sequence[str], text: str) -> "subprocess.Popen[bytes]":
    name = Path(arguments[0]).name
    stdin = os.memfd_create("speech", os.MFD_CLOEXEC)
    try:
        os.write(stdin, text.encode(errors="replace"))
        os.lseek(stdin, 0, os.SEEK_SET)
        return subprocess.Popen(  # noqa: S603  a list of ours: no shell, and nothing of an order stands in it
            list(arguments),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise SpeechError(Reason.NO_VOICE, f"{name} is not installed") from None
    except OSError as error:
        raise SpeechError(Reason.SPEECH_FAILED, f"{name} does not start: {error.strerror or error}") from None
    finally:
        os.close(stdin)


def _be_humble(pid: int) -> None:
    """Let the child and all that it starts yield to the node, in time and in memory."""
    with contextlib.suppress(ProcessLookupError):  # done already
        try:
            os.setpriority(os.PRIO_PGRP, pid, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
            Path(f"/proc/{pid}/oom_score_adj").write_text(str(OOM_SCORE))
        except PermissionError as error:
            _log.warning("a voice speaks at the node's own priority: %s", error)
        except FileNotFoundError:
            pass  # done already


def _pump(
    child: "subprocess.Popen[bytes]",
    name: str,
    *,
    take: Callable[[bytes], None],
    until_s: float,
    cancellation: Cancellation,
    check: Callable[[], None],
) -> bytes:
    """Take the output to its end; the last of what was written to stderr."""
    assert child.stdout is not None
    assert child.stderr is not None
    output, errors = child.stdout.fileno(), child.stderr.fileno()
    told = b""
    waiting = select.poll()
    for fd in (output, errors, cancellation.fd):
        waiting.register(fd, select.POLLIN)
    while True:
        check()
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise SpeechError(Reason.SPEECH_FAILED, f"{name} takes too long over this text")
        for fd, _ in waiting.poll(math.ceil(left_s * 1_000)):
            if fd == cancellation.fd:
                cancellation.drain()
                continue
            data = os.read(fd, READ_BYTES)
            if fd == errors:
                told = (told + data)[-MAX_TOLD_BYTES:]
            elif data:
                take(data)
            else:
                return told
            if not data:
                waiting.unregister(fd)


def _last_words(child: "subprocess.Popen[bytes]") -> bytes:
    """What stands in its stderr once it has ended; a process that it left behind may hold the other end."""
    assert child.stderr is not None
    os.set_blocking(child.stderr.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        return os.read(child.stderr.fileno(), READ_BYTES)[-MAX_TOLD_BYTES:]
    return b""


def _why(name: str, code: int, told: bytes) -> str:
    """How the child failed, with its own last line."""
    lines = told.decode(errors="replace").strip().splitlines()
    last = "".join(character for character in lines[-1] if character.isprintable()) if lines else ""
    how = f"{name} was killed (signal {-code})" if code < 0 else f"{name} failed ({code})"
    return f"{how}: {last[:MAX_SHOWN_CHARACTERS]}" if last else how


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Whatever of it still runs is killed; its pipes are closed."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # in the hands of a disk that hangs: dead all the same
            child.wait(GONE_WAIT_S)
    for pipe in (child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
