"""From brokers in order to one connected socket, with TLS where it is asked for: whoever shakes hands first.

Thread: that of the connection, which waits nowhere but in `poll`. Invariants: the first broker has a start over all
others, so it is the one wherever it answers; a broker or an address that says nothing costs `NEXT_BROKER_S` or
`NEXT_ADDRESS_S`, not its time-out; a network that comes back amid an attempt is noticed within about a second, since an
address that says nothing is asked anew beside the first question (the kernel itself repeats after 1, 2, 4 s).
"""

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

from agent.messages.events import LinkFault
from agent.mqtt.broker import Broker, fault_of_error, why
from agent.mqtt.names import Answer, Names

DIAL_S = 10.0
"""For all of it. A cold 4G modem needs 3 s; lines on which each question is answered after 4 s are known."""
NEXT_BROKER_S = 1.5
"""How long the brokers before may take before the next one is tried beside them."""
NEXT_ADDRESS_S = 0.5
"""The same for the addresses of one name: IPv6 is often there in name only."""
ANEW_S = 2.0
"""How often an address, or a name server, that says nothing is asked anew."""
MAX_TRIES = 16
"""Connections under way at once."""
MAX_ADDRESSES = 4
"""Of one name."""
LONGEST_WAIT_S = 2.0
"""The thread is to come round, and be seen to."""


class DialError(Exception):
    """No broker is to be had: why, broker by broker, in one sentence."""

    def __init__(self, detail: str, fault: LinkFault | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fault = fault


@dataclass(eq=False, slots=True)
class _Try:
    """One connection on its way."""

    target: "_Target"
    address: str
    socket: socket.socket
    connected: bool = False
    waits_for: int = select.POLLOUT


@dataclass(eq=False, slots=True)
class _Target:
    """One broker: where it may be, and what has come of it. Instants are monotonic.

    `ask_s` is when to look its name up (anew), None if it need not be; `asked` counts the lookups that have not ended.
    """

    broker: Broker
    begins_s: float
    addresses: tuple[str, ...]
    begun: bool = False
    ask_s: float | None = None
    asked: int = 0
    try_s: float = 0.0
    tried: int = 0
    refused: set[str] = field(default_factory=set)
    trouble: Exception | None = None
    """The last word of it."""

    @property
    def left(self) -> list[str]:
        """The addresses that have not said no."""
        return [address for address in self.addresses if address not in self.refused]

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self.begun and self.ask_s is None and self.asked == 0 and not self.left

    def begin(self, now_s: float) -> None:
        """Its turn has come. Where it was found last is tried too, but what the name server says comes first."""
        self.begun, self.begins_s, self.try_s = True, now_s, now_s
        if self.addresses != (self.broker.host,):
            self.ask_s, self.try_s = now_s, now_s + NEXT_ADDRESS_S

    def next_address(self, now_s: float) -> str:
        """One after the other; then all of them anew, every `ANEW_S`."""
        left = self.left
        address = left[self.tried % len(left)]
        self.tried += 1
        round_over = self.tried % len(left) == 0
        self.try_s = now_s + (ANEW_S - (len(left) - 1) * NEXT_ADDRESS_S if round_over else NEXT_ADDRESS_S)
        return address


class Dial:
    """One attempt at all `brokers`, of which the first is wanted most.

    Args:
        brokers: at least one.
        names: where their names are looked up.
        tls: makes the context for those with TLS; None if there are none.
        wake: an eventfd that is written to when `given_up` may have changed; read here.
        given_up: whether nobody wants a connection any more.
        wait: waits for a `poll` for so many milliseconds; what is ready.
    """

    def __init__(
        self,
        brokers: Sequence[Broker],
        *,
        names: Names,
        tls: ssl.SSLContext | None,
        wake: int,
        given_up: Callable[[], bool],
        wait: Callable[["select.poll", float], dict[int, int]],
    ) -> None:
        self._names = names
        self._tls = tls
        self._wake = wake
        self._given_up = given_up
        self._wait_for = wait
        self._tries: list[_Try] = []
        self._answers: SimpleQueue[tuple[_Target, Answer]] = SimpleQueue()
        now_s = time.monotonic()
        self._until_s = now_s + DIAL_S
        self._targets = [
            _Target(broker, now_s + number * NEXT_BROKER_S, names.known(broker.host))
            for number, broker in enumerate(brokers)
        ]

    def run(self) -> tuple[Broker, socket.socket]:
        """The broker and a socket to it, which does not block and is the caller's to close.

        Raises:
            DialError: none is to be had, or nobody wants one.
        """
        try:
            while True:
                self._hear_answers()
                now_s = time.monotonic()
                self._begin_what_is_due(now_s)
                if now_s >= self._until_s or all(target.is_over for target in self._targets):
                    raise self._failure()
                if self._given_up():
                    raise DialError("given up")
                won = self._wait(now_s)
                if won is not None:
                    return won.target.broker, won.socket
        finally:
            for each in self._tries:
                each.socket.close()

    # What is begun ---------------------------------------------------------------------------------------------------

    def _begin_what_is_due(self, now_s: float) -> None:
        for number, target in enumerate(self._targets):
            if not target.begun and (now_s >= target.begins_s or all(each.is_over for each in self._targets[:number])):
                target.begin(now_s)
            if target.begun and target.ask_s is not None and now_s >= target.ask_s:
                target.ask_s = now_s + ANEW_S
                asked = self._names.ask(target.broker.host, target.broker.port, partial(self._answer, target))
                target.asked += asked
            if self._may_try(target) and now_s >= target.try_s:
                self._connect(target, target.next_address(now_s))

    def _may_try(self, target: _Target) -> bool:
        """One that has answered is not asked again beside it."""
        connected = any(each.connected and each.target is target for each in self._tries)
        return target.begun and bool(target.left) and not connected and len(self._tries) < MAX_TRIES

    def _answer(self, target: _Target, answer: Answer) -> None:
        """On the lookup's thread."""
        self._answers.put((target, answer))
        os.eventfd_write(self._wake, 1)

    def _hear_answers(self) -> None:
        with suppress(Empty):
            while True:
                target, answer = self._answers.get_nowait()
                target.asked -= 1
                target.ask_s = None
                if isinstance(answer, Exception):
                    target.trouble = target.trouble or answer
                else:
                    target.addresses = tuple(answer[:MAX_ADDRESSES])
                    target.try_s = min(target.try_s, time.monotonic())

    def _connect(self, target: _Target, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        begun = _Try(target, address, socket.socket(family, socket.SOCK_STREAM))
        self._tries.append(begun)
        begun.socket.setblocking(False)
        code = begun.socket.connect_ex((address, target.broker.port))
        if code not in (0, errno.EINPROGRESS):
            self._fail(begun, OSError(code, os.strerror(code)))

    # What comes of it ------------------------------------------------------------------------------------------------

    def _wait(self, now_s: float) -> _Try | None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for each in self._tries:
            poll.register(each.socket, each.waits_for)
        ready = self._wait_for(poll, 1_000 * max(0.0, self._due_s() - now_s))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        return next(
            (each for each in tuple(self._tries) if each.socket.fileno() in ready and self._goes_on(each)), None
        )

    def _due_s(self) -> float:
        asking = (each.ask_s for each in self._targets if each.ask_s is not None)
        trying = (each.try_s for each in self._targets if self._may_try(each))
        beginning = (each.begins_s for each in self._targets if not each.begun)
        return min((self._until_s, time.monotonic() + LONGEST_WAIT_S, *asking, *trying, *beginning))

    def _goes_on(self, each: _Try) -> bool:
        """One step; whether it is all done. Then the socket is taken out of the tries."""
        try:
            if not each.connected:
                self._take_up(each)
            if isinstance(each.socket, ssl.SSLSocket):
                each.socket.do_handshake()
        except ssl.SSLWantReadError:
            each.waits_for = select.POLLIN
            return False
        except ssl.SSLWantWriteError:
            each.waits_for = select.POLLOUT
            return False
        except OSError as error:
            self._fail(each, error)
            return False
        self._tries.remove(each)
        return True

    def _take_up(self, each: _Try) -> None:
        """Raises OSError: there is no connection."""
        code = each.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        each.connected = True
        each.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if each.target.broker.tls:
            assert self._tls is not None, "whoever names a broker with TLS gives its context"
            host = each.target.broker.host
            each.socket = self._tls.wrap_socket(each.socket, server_hostname=host, do_handshake_on_connect=False)

    def _fail(self, each: _Try, error: OSError) -> None:
        each.socket.close()
        self._tries.remove(each)
        each.target.trouble = error
        each.target.refused.add(each.address)
        each.target.try_s = time.monotonic()

    def _failure(self) -> DialError:
        begun = [target for target in self._targets if target.begun]
        told = [f"{each.broker.url}: {why(each.trouble or TimeoutError())}" for each in begun]
        faults = (fault_of_error(each.trouble) for each in begun)
        return DialError("; ".join(told), next((fault for fault in faults if fault is not None), None))
