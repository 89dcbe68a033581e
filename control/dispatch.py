"""An order on its way: published on its topics, and the signed outcomes that come back. Owner: the main thread."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from queue import Empty

from agent.messages.reports import CommandOutcome
from control import addresses
from control.broker import Broker, Connected, Disconnected, Inbox, News, Published, Received, Subscribed
from control.orders import Order
from control.problems import WorldError
from control.sightings import Proof, ReportSeen, Unreadable, seen

ANSWER_TIMEOUT_S = 10.0
"""The broker answers CONNECT, SUBSCRIBE and PUBLISH within this, or something is wrong."""


MAX_HELD = 10_000
"""Messages kept while the broker owes us an answer; the oldest make room."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one node says it did with the order; proof only if `verified`."""

    node: str
    verified: bool
    outcome: CommandOutcome


@dataclass(frozen=True, slots=True)
class Impostor:
    """A report that was not signed with the enrolled key of the node it claims to be."""

    node: str
    detail: str


class Session:
    """One visit to the broker by a command that sends: open, send, listen, close."""

    def __init__(self, broker: Broker, inbox: Inbox) -> None:
        self._broker = broker
        self._inbox = inbox
        self._held: deque[Received] = deque(maxlen=MAX_HELD)

    def open(self) -> None:
        """Connect and wait until the broker agrees.

        Raises:
            WorldError: it does not, within 10 s.
        """
        self._broker.open()
        self._answer(lambda news: isinstance(news, Connected), "CONNECT")

    def listen(self, sites: tuple[str, ...], *words: str) -> None:
        """Hear the nodes of these sites say `report`, `state` or `heartbeat`.

        Raises:
            WorldError: the broker does not allow it.
        """
        self._broker.subscribe([(f"loa/v1/{site}/node/+/{word}", 1) for site in sites for word in words])
        news = self._answer(lambda news: isinstance(news, Subscribed), "SUBSCRIBE")
        if isinstance(news, Subscribed) and news.refused:
            raise WorldError(f"the broker lets us not hear the nodes: {news.refused}")

    def send(self, order: Order) -> tuple[str, ...]:
        """Publish the order on its topics; returned when the broker has it. The topics on which nobody listens.

        Raises:
            WorldError: the broker refuses, or is gone.
        """
        waiting = {self._broker.publish(topic, order.envelope): topic for topic in order.topics}
        deaf = []
        while waiting:
            news = self._answer(lambda news: isinstance(news, Published) and news.packet in waiting, "PUBLISH")
            if isinstance(news, Published):
                topic = waiting.pop(news.packet)
                if news.refused:
                    raise WorldError(f"the broker refuses {topic}: {news.refused}")
                deaf += [] if news.heard else [topic]
        return tuple(deaf)

    def received(self, seconds: float) -> Iterator[Received]:
        """The messages of the next `seconds`, each acknowledged after it was used.

        Raises:
            WorldError: the connection is lost.
        """
        deadline = time.monotonic() + seconds
        while (news := self._held.popleft() if self._held else self._next(deadline)) is not None:
            if isinstance(news, Received):
                yield news
                self._broker.acknowledge(news.packet)

    def close(self) -> None:
        """Leave. May be called again."""
        self._broker.close()

    def _answer(self, wanted: Callable[[News], bool], asked: str) -> News:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while (news := self._next(deadline)) is not None:
            if wanted(news):
                return news
            if isinstance(news, Received):
                self._held.append(news)
        raise WorldError(f"the broker did not answer {asked} within {ANSWER_TIMEOUT_S:.0f} s")

    def _next(self, deadline: float) -> News | None:
        try:
            news = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return None
        if isinstance(news, Disconnected):
            raise WorldError(f"the connection to the broker ended: {news.detail}")
        return news


def answers(order: Order, session: Session, enrolled: Mapping[str, str], seconds: float) -> Iterator[Answer | Impostor]:
    """Outcomes of this order as they come, one for each node, until time is up or every node named has answered.

    Where groups or whole sites were asked nobody knows how many there are: then the time is used up.
    """
    expected = set(addresses.named_nodes(order.audience))
    open_ended = len(expected) < len(order.audience)
    heard: set[str] = set()
    for message in session.received(seconds):
        answer = _answer_in(message, order, enrolled)
        if answer is None or answer.node in heard:
            continue
        yield answer
        if isinstance(answer, Answer):
            heard.add(answer.node)
        if not open_ended and expected <= heard:
            return


def _answer_in(message: Received, order: Order, enrolled: Mapping[str, str]) -> Answer | Impostor | None:
    match seen(message.topic, message.payload, enrolled):
        case ReportSeen(node, proof, claims):
            outcome = claims.report
            if isinstance(outcome, CommandOutcome) and (outcome.iss, outcome.jti) == (order.iss, order.jti):
                return Answer(node, proof is Proof.VERIFIED, outcome)
        case Unreadable(node=node, detail=detail, proof=Proof.FORGED):
            return Impostor(node, detail)
    return None
