"""The node's MQTT link to whichever broker the core chooses (protocol section 1).

Thread: the loop calls the verbs; each puts an order into the queue of the present connection, whose own thread does the
work (`connection`). A PUBACK for a command goes out when the core says so, and only on the connection that brought it.
"""

from collections.abc import Callable
from pathlib import Path

from agent.messages.events import Delivery, Event
from agent.mqtt.broker import Broker
from agent.mqtt.client import Station
from agent.mqtt.connection import Acknowledge, Connection, Finish, Publish
from agent.mqtt.names import Names, Resolve, system_resolve

CLOSE_WAIT_S = 1.0
"""Longest wait for the thread at `close`."""


class Link:
    """The node's link to whichever broker the core chooses. Brokers are `mqtts://host:port` or `mqtt://host:port`."""

    def __init__(
        self,
        *,
        site: str,
        node: str,
        groups: tuple[str, ...],
        brokers: tuple[str, ...],
        ca: Path | None,
        certificate: Path | None,
        key: Path | None,
        version_5: bool,
        keepalive_s: int,
        post: Callable[[Event], None],
        resolve: Resolve = system_resolve,
    ) -> None:
        """Nothing is opened yet.

        Raises:
            ValueError: no broker, one that is no `mqtt` URL, or TLS without a CA.
        """
        self._brokers = tuple(Broker.parse(url) for url in brokers)
        if not self._brokers:
            raise ValueError("at least one broker is needed")
        if ca is None and any(broker.tls for broker in self._brokers):
            raise ValueError("mqtts:// needs a CA: no other is trusted")
        command, own = f"loa/v1/{site}/command", f"loa/v1/{site}/node/{node}"
        self._heartbeat_topic = f"{own}/heartbeat"
        self._report_topic = f"{own}/report"
        self._station = Station(
            client_id=f"loa-{site}-{node}",
            state_topic=f"{own}/state",
            command_topics=(
                f"{command}/node/{node}",
                *(f"{command}/group/{group}" for group in groups),
                f"{command}/all",
            ),
            ca=ca,
            certificate=certificate,
            key=key,
            version_5=version_5,
            keepalive_s=keepalive_s,
            post=post,
        )
        self._names = Names(resolve)
        self._current: Connection | None = None
        self._turns_before = 0
        self._closed = False

    @property
    def turns(self) -> int:
        """How often the threads of all connections have come round."""
        return self._turns_before + (0 if self._current is None else self._current.turns)

    @property
    def owes(self) -> bool:
        """Whether a connection lives, or died without a word: its thread comes round every few seconds."""
        return self._current is not None and not self._current.over

    def connect(self, connection: int, broker_index: int, will: bytes, dates: bool = True) -> None:
        """Open connection number `connection`; answered by `Connected` or `Disconnected`. An older one ends at once.

        Broker `broker_index` (modulo their count) is wanted most, those that follow it are tried beside it while it
        does not answer.
        With `dates` false the broker's certificate may be of any date: this machine's clock is surely wrong.
        """
        if self._closed:
            return
        if self._current is not None:
            self._turns_before += self._current.turns + 1
            self._current.order(Finish("replaced by a newer connection", politely=False))
        first = broker_index % len(self._brokers)
        brokers = self._brokers[first:] + self._brokers[:first]
        self._current = Connection(
            connection, brokers=brokers, names=self._names, station=self._station, will=will, dates=dates
        )
        self._current.thread.start()

    def acknowledge(self, delivery: Delivery) -> None:
        """The command is stored, or refused for good: the broker may forget it. Stale deliveries are ignored.

        Deliveries of QoS 0 (packet 0) are acknowledged too: nothing is sent, but their number is bounded by it.
        """
        if self._current is not None and delivery.connection == self._current.number:
            self._current.order(Acknowledge(delivery.packet))

    def publish_state(self, payload: bytes) -> None:
        """Retained, QoS 1. Without a connection it is dropped: the core sends the state after each `Connected`."""
        self._order(Publish(self._station.state_topic, payload, retain=True))

    def publish_heartbeat(self, payload: bytes) -> None:
        """QoS 0; dropped without a connection, or while the one before still waits for the network."""
        self._order(Publish(self._heartbeat_topic, payload, qos=0))

    def publish_report(self, seq: int, payload: bytes) -> None:
        """QoS 1; answered by `ReportDelivered`, or not at all if the connection ends before the broker's word."""
        self._order(Publish(self._report_topic, payload, seq=seq))

    def close(self) -> None:
        """Send what is queued, then DISCONNECT, so that no last will is told. Waits at most `CLOSE_WAIT_S`."""
        self._closed = True
        if self._current is None:
            return
        self._current.order(Finish("closed by this node", politely=True))
        self._current.thread.join(CLOSE_WAIT_S)
        self._current = None

    def _order(self, order: Publish) -> None:
        if self._current is not None:
            self._current.order(order)
