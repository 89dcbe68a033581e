"""An independent witness of what the broker says: mosquitto_sub as a process. Used through `Broker.listen`."""

import subprocess
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

STOP_WAIT_S = 10.0
"""Longest wait for a process that was asked to end."""
SUBSCRIBE_WAIT_S = 30.0
"""Longest wait to be let in."""
HEAR_WAIT_S = 60.0
"""Longest wait for one message: milliseconds on an idle machine."""
RETRY_S = 0.2


class BrokerError(RuntimeError):
    """mosquitto, or one of its clients, did not do what it should; the message holds what it said."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as an independent client received it."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class Listener:
    """A running mosquitto_sub; `with` ends it. Its lines are read by a thread into a queue.

    mosquitto_sub ends with the broker it hears. With a `client_id` its session persists, and it is started again until
    it is let in: what was said meanwhile still arrives.
    """

    def __init__(self, arguments: list[str], topics: tuple[str, ...], client_id: str | None) -> None:
        session = [] if client_id is None else ["-i", client_id, "-c", "-x", "3600"]
        wanted = [part for topic in topics for part in ("-t", topic)]
        # Payloads in hexadecimal: any bytes, one message a line. -d tells when the subscription stands.
        # stdbuf: it would keep its lines for itself until there are 4 KiB of them.
        self._command = ["stdbuf", "-oL", "mosquitto_sub", *arguments, *session, *wanted, "-q", "1", "-d"]
        self._command += ["-F", "HEARD %r %q %t %x"]
        self._persistent = client_id is not None
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._subscribed = threading.Event()
        self._closing = threading.Event()
        self._said: list[str] = []
        self._process = self._start()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()
        if not self._subscribed.wait(SUBSCRIBE_WAIT_S):
            self.close()
            raise BrokerError(f"mosquitto_sub was not let in: {' '.join(self._said)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def next(self, timeout_s: float = HEAR_WAIT_S) -> Heard:
        """The next message, in the order of arrival.

        Raises:
            BrokerError: none came in time.
        """
        try:
            return self._heard.get(timeout=timeout_s)
        except Empty:
            raise BrokerError(f"nothing was heard within {timeout_s:g} s") from None

    def empty(self) -> bool:
        """Whether nothing more has been heard so far."""
        return self._heard.empty()

    def close(self) -> None:
        """Idempotent."""
        self._closing.set()
        end(self._process)
        self._thread.join(STOP_WAIT_S)

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)

    def _run(self) -> None:
        self._read(self._process)
        while self._persistent and self._subscribed.is_set() and not self._closing.wait(RETRY_S):
            self._process = process = self._start()
            if self._closing.is_set():  # `close` may have ended the one before
                end(process)
            self._read(process)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None, "it was opened as a pipe"
        with process.stdout as lines:
            for line in lines:
                self._take(line)
        process.wait()

    def _take(self, line: str) -> None:
        words = line.rstrip("\n").split(" ")
        if words[0] == "HEARD":
            _, retained, qos, topic, payload = words
            self._heard.put(Heard(topic, bytes.fromhex(payload), int(qos), retained == "1"))
        else:
            self._said.append(line.strip())
            if words[0] == "Subscribed":
                self._subscribed.set()


def end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """Ask a process to end, and see that it does."""
    process.terminate()
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_WAIT_S)
