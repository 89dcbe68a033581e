"""The link against a real mosquitto with TLS and client certificates, and against brokers that misbehave."""

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

import pytest

from agent.link import Link
from agent.messages.events import (
    Connected,
    Delivery,
    Disconnected,
    Event,
    LinkFault,
    MessageArrived,
    ReportDelivered,
)
from agent.mqtt.client import RECEIVE_MAXIMUM
from agent.mqtt.connection import MAX_PAYLOAD_BYTES, MAX_UNREAD
from rig.broker import Broker
from rig.certificates import Authority, Identity
from tests.scripted_broker import CONNACK_5, CONNACK_311, SUBACK_5, SUBACK_311, ScriptedBroker, publish_311

E = TypeVar("E", bound=Event)
WAIT_S = 60.0
"""Longest wait for anything: a deadline, not a measure."""


@dataclass(frozen=True)
class Station:
    """One broker, its CA and the certificates everybody uses."""

    authority: Authority
    broker: Broker
    node: Identity
    control: Identity


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("station")
    authority = Authority(folder / "pki")
    with Broker(folder / "broker", authority, plain=True) as broker:
        yield Station(authority, broker, authority.client("node"), authority.client("control"))


class Node:
    """A link and its inbox, as the loop would hold them; each has its own name at the broker."""

    count = 0

    def __init__(
        self,
        station: Station | None,
        *brokers: str,
        version_5: bool = True,
        keepalive_s: int = 30,
        name: str = "",
    ) -> None:
        Node.count += 1
        self.name = name or f"hd-{Node.count:02}"
        self.inbox: SimpleQueue[Event] = SimpleQueue()
        self.link = Link(
            site="hoang-dao",
            node=self.name,
            groups=("thon-2",) if station else (),
            brokers=brokers or ((station.broker.url,) if station else ()),
            ca=station.authority.ca if station else None,
            certificate=station.node.certificate if station else None,
            key=station.node.key if station else None,
            version_5=version_5,
            keepalive_s=keepalive_s,
            post=self.inbox.put,
        )
        self.command = f"loa/v1/hoang-dao/command/node/{self.name}"
        self.own = f"loa/v1/hoang-dao/node/{self.name}"

    def connect(self, connection: int = 1, broker_index: int = 0) -> None:
        self.link.connect(connection, broker_index, b"gone")
        assert self.next(Connected).connection == connection

    def next(self, kind: type[E]) -> E:
        """The next event, which is to be of this kind."""
        event = self.inbox.get(timeout=WAIT_S)
        assert isinstance(event, kind), event
        return event

    def arrivals(self, count: int) -> list[MessageArrived]:
        return [self.next(MessageArrived) for _ in range(count)]

    def disconnected(self, connection: int = 1) -> str:
        """The detail of the end of this connection, with nothing after it."""
        event = self.next(Disconnected)
        assert event.connection == connection
        return event.detail


@contextlib.contextmanager
def node(
    station: Station | None, *brokers: str, version_5: bool = True, keepalive_s: int = 30, name: str = ""
) -> Iterator[Node]:
    made = Node(station, *brokers, version_5=version_5, keepalive_s=keepalive_s, name=name)
    try:
        yield made
    finally:
        made.link.close()


@pytest.fixture
def up(station: Station) -> Iterator[Node]:
    with node(station) as made:
        made.connect()
        yield made


VERSIONS = pytest.mark.parametrize("version_5", [True, False], ids=["mqtt5", "mqtt311"])


# Commands in ----------------------------------------------------------------------------------------------------------


@VERSIONS
def test_commands_to_node_group_and_all_arrive_and_no_others(station: Station, version_5: bool) -> None:
    with node(station, version_5=version_5) as made:
        made.link.connect(1, 0, b"gone")
        assert made.next(Connected) == Connected(1, station.broker.url)
        base = "loa/v1/hoang-dao/command"
        for topic in ("node/other", "group/thon-3", f"node/{made.name}", "group/thon-2", "all"):
            station.broker.publish(station.control, f"{base}/{topic}", topic.encode())
        arrived = made.arrivals(3)
        assert [each.topic for each in arrived] == [f"{base}/{t}" for t in (f"node/{made.name}", "group/thon-2", "all")]
        assert [each.payload for each in arrived] == [f"node/{made.name}".encode(), b"group/thon-2", b"all"]
        assert [each.retained for each in arrived] == [False, False, False]
        assert len({each.delivery for each in arrived}) == 3


@VERSIONS
def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(station: Station, version_5: bool) -> None:
    with node(station, version_5=version_5) as made:
        made.connect(1)
        for payload in (b"stored", b"lost"):
            station.broker.publish(station.control, made.command, payload)
        stored, lost = made.arrivals(2)
        made.link.acknowledge(stored.delivery)
        made.link.close()
        assert made.disconnected() == f"{station.broker.url}: closed by this node"
        again = Node(station, version_5=version_5, name=made.name)
        again.link.connect(2, 0, b"gone")
        events = [again.inbox.get(timeout=WAIT_S) for _ in range(2)]  # the broker may send it before the SUBACK
        (redelivered,) = (event for event in events if isinstance(event, MessageArrived))
        assert (redelivered.payload, redelivered.delivery.connection) == (b"lost", 2)
        again.link.acknowledge(lost.delivery)  # of the old connection: not this one's to acknowledge
        again.link.close()
        assert again.disconnected(2)
        with node(station, version_5=version_5, name=made.name) as third:
            third.link.connect(3, 0, b"gone")
            events = [third.inbox.get(timeout=WAIT_S) for _ in range(2)]
            assert [event.payload for event in events if isinstance(event, MessageArrived)] == [b"lost"]
            third.link.acknowledge(Delivery(3, lost.delivery.packet))


def test_a_retained_command_is_marked_as_such_also_while_connected(station: Station, up: Node) -> None:
    station.broker.publish(station.control, up.command, b"old", retain=True)
    live = up.next(MessageArrived)
    assert (live.payload, live.retained) == (b"old", True)  # retain as published
    up.link.acknowledge(live.delivery)
    up.link.close()
    with node(station, name=up.name) as again:
        again.connect(2)
        stored = again.next(MessageArrived)
        assert (stored.payload, stored.retained) == (b"old", True)
    station.broker.publish(station.control, up.command, b"", retain=True)


def test_the_broker_sends_no_more_than_the_receive_maximum_unacknowledged(station: Station, up: Node) -> None:
    for number in range(RECEIVE_MAXIMUM + 2):
        station.broker.publish(station.control, up.command, str(number).encode())
    arrived = up.arrivals(RECEIVE_MAXIMUM)
    up.link.publish_report(1, b"a round trip through the broker")
    assert up.next(ReportDelivered).seq == 1  # and nothing else came meanwhile
    up.link.acknowledge(arrived[0].delivery)
    assert up.next(MessageArrived).payload == str(RECEIVE_MAXIMUM).encode()


def test_a_message_larger_than_any_command_is_dropped_by_the_broker(station: Station, up: Node) -> None:
    station.broker.publish(station.control, up.command, bytes(265 * 1024))
    station.broker.publish(station.control, up.command, b"good")
    assert up.next(MessageArrived).payload == b"good"


def test_of_a_message_too_large_without_mqtt_5_only_enough_to_see_it_is_kept(station: Station) -> None:
    with node(station, version_5=False) as made:
        made.connect()
        station.broker.publish(station.control, made.command, bytes(300 * 1024))
        arrived = made.next(MessageArrived)
        assert len(arrived.payload) == MAX_PAYLOAD_BYTES + 1
        made.link.acknowledge(arrived.delivery)


def test_a_packet_beyond_all_bounds_ends_the_connection(station: Station) -> None:
    with node(station, version_5=False) as made:
        made.connect()
        station.broker.publish(station.control, made.command, bytes(3 * 1024 * 1024), qos=0)
        assert "the broker sent a packet of 31457" in made.disconnected()


def test_qos_0_needs_no_puback_but_only_so_many_may_wait(station: Station, up: Node) -> None:
    with station.broker.listen(station.control, up.command) as witness:
        for number in range(3):
            station.broker.publish(station.control, up.command, str(number).encode(), qos=0)
        assert [witness.next().payload for _ in range(3)] == [b"0", b"1", b"2"]
    arrived = up.arrivals(3)
    assert [each.delivery for each in arrived] == [Delivery(1, 0)] * 3
    for each in arrived:
        up.link.acknowledge(each.delivery)


# What the node says ---------------------------------------------------------------------------------------------------


@VERSIONS
def test_state_is_retained_heartbeat_and_report_are_not(station: Station, version_5: bool) -> None:
    with node(station, version_5=version_5) as made:
        made.connect()
        with station.broker.listen(station.control, f"{made.own}/#") as witness:
            made.link.publish_state(b"state")
            made.link.publish_heartbeat(b"heartbeat")
            made.link.publish_report(7, b"report")
            heard = {each.topic: (each.payload, each.qos) for each in (witness.next() for _ in range(3))}
            assert heard == {
                f"{made.own}/state": (b"state", 1),
                f"{made.own}/heartbeat": (b"heartbeat", 0),
                f"{made.own}/report": (b"report", 1),
            }
        assert made.next(ReportDelivered) == ReportDelivered(1, 7, heard=True)
        with station.broker.listen(station.control, f"{made.own}/#") as late:
            only = late.next()
            assert (only.payload, only.retained) == (b"state", True)
            made.link.publish_heartbeat(b"next")
            assert late.next().payload == b"next"  # nothing else was retained


def test_a_report_that_nobody_subscribes_to_was_not_heard(up: Node) -> None:
    up.link.publish_report(7, b"into the void")
    assert up.next(ReportDelivered) == ReportDelivered(1, 7, heard=False)


def test_every_report_is_answered_however_many_there_are(station: Station, up: Node) -> None:
    with station.broker.listen(station.control, f"{up.own}/report"):
        for seq in range(100):
            up.link.publish_report(seq, b"report")
        answers = [up.next(ReportDelivered) for _ in range(100)]
    assert sorted(answer.seq for answer in answers) == list(range(100))
    assert any(answer.heard for answer in answers)


def test_close_delivers_the_last_state_and_no_will_is_told(station: Station, up: Node) -> None:
    with station.broker.listen(station.control, f"{up.own}/state") as witness:
        up.link.publish_state(b"offline")
        up.link.close()
        up.link.close()
        assert witness.next().payload == b"offline"
        station.broker.publish(station.control, f"{up.own}/state", b"after", retain=True)
        assert witness.next().payload == b"after"  # and no will between the two
    assert up.disconnected() == f"{station.broker.url}: closed by this node"
    up.link.connect(2, 0, b"gone")
    up.link.publish_state(b"late")
    assert up.inbox.empty()


CHILD = """
import sys
from pathlib import Path
from queue import SimpleQueue
from agent.link import Link

url, ca, certificate, key = sys.argv[1:]
inbox = SimpleQueue()
link = Link(site="hoang-dao", node="killed", groups=(), brokers=(url,), ca=Path(ca), certificate=Path(certificate),
            key=Path(key), version_5=True, keepalive_s=30, post=inbox.put)
link.connect(1, 0, b"the will")
print(inbox.get(), flush=True)
link.publish_state(b"online")
sys.stdin.read()
"""


def test_the_will_is_told_when_the_process_is_killed(station: Station) -> None:
    arguments = (station.broker.url, station.authority.ca, station.node.certificate, station.node.key)
    with (
        station.broker.listen(station.control, "loa/v1/hoang-dao/node/killed/state") as witness,
        subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdin=subprocess.PIPE) as child,
    ):
        try:
            assert witness.next(WAIT_S).payload == b"online"
        finally:
            child.send_signal(signal.SIGKILL)
        assert witness.next(WAIT_S).payload == b"the will"
    with station.broker.listen(station.control, "loa/v1/hoang-dao/node/killed/state") as late:
        kept = late.next()
        assert (kept.payload, kept.retained) == (b"the will", True)


# Ends -----------------------------------------------------------------------------------------------------------------


def test_a_killed_broker_comes_back_with_our_session(station: Station, tmp_path: Path) -> None:
    with Broker(tmp_path / "broker", station.authority) as broker, node(station, broker.url) as made:
        made.connect(1)
        broker.publish(station.control, made.command, b"before")
        before = made.next(MessageArrived)
        broker.kill()
        assert made.disconnected(1) == f"{broker.url}: the broker cut the connection"
        made.link.connect(2, 0, b"gone")
        assert made.disconnected(2) == f"{broker.url}: nothing listens at the broker's address"
        broker.start()
        made.link.connect(3, 0, b"gone")
        events = [made.inbox.get(timeout=WAIT_S) for _ in range(2)]
        assert Connected(3, broker.url) in events
        (again,) = (event for event in events if isinstance(event, MessageArrived))
        assert (again.payload, again.delivery) == (b"before", Delivery(3, before.delivery.packet))


def test_another_machine_with_our_name_takes_the_session(station: Station, up: Node) -> None:
    with node(station, name=up.name) as copy:
        copy.connect()
        # Debian 12's mosquitto says nothing; later ones give reason code 0x8E (below).
        assert up.disconnected().split(": ", 1)[1].startswith(("the broker cut the connection", "session taken over"))


def test_brokers_are_taken_in_turn(station: Station) -> None:
    """One that refuses costs no time; the next stands in for it."""
    with node(station, "mqtts://localhost:1", station.broker.url) as made:
        made.link.connect(1, 0, b"gone")
        assert made.next(Connected) == Connected(1, station.broker.url)
        made.link.connect(2, 1, b"gone")
        events = [made.inbox.get(timeout=WAIT_S) for _ in range(2)]
        assert Connected(2, station.broker.url) in events
        (end,) = (event for event in events if isinstance(event, Disconnected))
        assert end.connection == 1
        assert end.detail.endswith("replaced by a newer connection")


def test_where_no_broker_is_to_be_had_each_is_told(station: Station) -> None:
    with node(station, "mqtts://localhost:1", "mqtts://localhost:2") as made:
        made.link.connect(1, 1, b"gone")
        told = "mqtts://localhost:{}: nothing listens at the broker's address"
        assert made.disconnected(1) == f"{told.format(2)}; {told.format(1)}"


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("mqtts://no-such-broker.invalid:8883", "the broker's name cannot be resolved"),
        ("mqtts://a..b:8883", "the broker's name is no host name"),
    ],
)
def test_a_name_that_does_not_resolve_is_said(station: Station, url: str, detail: str) -> None:
    with node(station, url) as made:
        made.link.connect(1, 0, b"gone")
        assert detail in made.disconnected(1)


def test_a_connection_that_hangs_blocks_neither_the_next_one_nor_close(station: Station) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never speaks TLS
        with node(station, f"mqtts://127.0.0.1:{silent.getsockname()[1]}", station.broker.url) as made:
            made.link.connect(1, 0, b"gone")
            peer, _ = silent.accept()
            made.link.connect(2, 1, b"gone")
            assert made.disconnected(1) == "replaced by a newer connection"
            assert made.next(Connected) == Connected(2, station.broker.url)
            peer.close()
            station.broker.publish(station.control, made.command, b"still here")
            assert made.next(MessageArrived).delivery.connection == 2
        assert made.disconnected(2).endswith("closed by this node")


@dataclass(frozen=True)
class Refusal:
    """How the two ends do not match, and what the technician reads."""

    detail: str
    fault: LinkFault | None = None
    server: str = "good"
    client: str = "good"
    ca: str = "good"
    host: str = "localhost"


NOT_LET_IN = LinkFault.NOT_AUTHORISED
REFUSALS = {
    "server_expired": Refusal("the broker's certificate has expired", server="expired"),
    "server_other_ca": Refusal("the broker's certificate is not from our CA", ca="other"),
    "server_other_host": Refusal("the broker's certificate is for another host name", server="elsewhere"),
    "server_other_address": Refusal(
        "the broker's certificate is for another address", server="elsewhere", host="127.0.0.1"
    ),
    "client_expired": Refusal("the broker says that this node's certificate has expired", NOT_LET_IN, client="expired"),
    "client_other_ca": Refusal(
        "the broker does not know the CA of this node's certificate", NOT_LET_IN, client="other"
    ),
    "client_none": Refusal("the broker wants a certificate of this node", NOT_LET_IN, client="none"),
    "client_key_of_another": Refusal(
        "TLS files cannot be used: certificate and key do not belong together", client="mixed"
    ),
    "client_missing_file": Refusal("TLS files cannot be used: No such file or directory", client="missing"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_why_tls_failed_is_said_in_one_sentence(station: Station, tmp_path: Path, refusal: Refusal) -> None:
    other = Authority(tmp_path / "other", "other-ca")
    servers = {
        "good": station.authority.server(),
        "expired": station.authority.server("expired-broker", expired=True),
        "elsewhere": station.authority.server("elsewhere", hosts=("mqtt.other.example", "192.0.2.7")),
    }
    clients = {
        "good": station.node,
        "expired": station.authority.client("expired-node", expired=True),
        "other": other.client("node"),
        "mixed": Identity(station.node.certificate, station.control.key),
        "missing": Identity(tmp_path / "absent.crt", tmp_path / "absent.key"),
    }
    with Broker(tmp_path / "broker", station.authority, server=servers[refusal.server]) as broker:
        url = f"mqtts://{refusal.host}:{broker.port}"
        identity = clients.get(refusal.client)
        inbox: SimpleQueue[Event] = SimpleQueue()
        link = Link(
            site="hoang-dao",
            node="refused",
            groups=(),
            brokers=(url,),
            ca=other.ca if refusal.ca == "other" else station.authority.ca,
            certificate=identity.certificate if identity else None,
            key=identity.key if identity else None,
            version_5=True,
            keepalive_s=30,
            post=inbox.put,
        )
        link.connect(1, 0, b"gone")
        ended = inbox.get(timeout=WAIT_S)
        link.close()
        assert isinstance(ended, Disconnected)
        assert ended.detail.startswith(f"{url}: {refusal.detail}")
        assert ended.fault is refusal.fault
        assert inbox.empty()


def test_a_port_without_tls_is_named(station: Station) -> None:
    with node(station, station.broker.plain_url.replace("mqtt:", "mqtts:")) as made:
        made.link.connect(1, 0, b"gone")
        assert made.disconnected().split(": ")[1] in {
            "the broker does not speak TLS on this port",
            "the broker cut the connection",
            "the broker closed the connection during the TLS handshake",
        }


def test_plain_tcp_works_where_it_is_written_out(station: Station) -> None:
    with node(station, station.broker.plain_url) as made:
        made.connect()


@pytest.mark.parametrize("brokers", [(), ("http://localhost:1",), ("mqtts://",), ("localhost:1883",)])
def test_no_broker_or_one_that_is_no_url_is_refused(brokers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="broker"):
        Node(None, *brokers)


def test_tls_without_a_ca_is_refused() -> None:
    with pytest.raises(ValueError, match="mqtts:// needs a CA"):
        Node(None, "mqtts://localhost:8883")


# Brokers that misbehave -----------------------------------------------------------------------------------------------


def test_a_broker_that_falls_silent_is_given_up_after_the_keepalive() -> None:
    with ScriptedBroker(CONNACK_5, SUBACK_5, stay=True) as broker, node(None, broker.url, keepalive_s=1) as made:
        made.connect()
        assert made.disconnected() == f"{broker.url}: the broker has not answered for 1 s"


def test_a_broker_that_never_takes_us_in_is_given_up() -> None:
    with ScriptedBroker(b"", stay=True) as broker, node(None, broker.url, keepalive_s=1) as made:
        made.link.connect(1, 0, b"gone")
        assert made.disconnected() == f"{broker.url}: the broker has not answered for 1 s"


@pytest.mark.parametrize(
    ("connack", "version_5", "detail", "fault"),
    [
        ("2003008700", True, "the broker says that this node is not authorised", LinkFault.NOT_AUTHORISED),
        ("2003008600", True, "Bad user name or password (0x86)", LinkFault.NOT_AUTHORISED),
        ("2003008500", True, "Client identifier not valid (0x85)", LinkFault.NOT_AUTHORISED),
        ("2003008900", True, "the broker is busy", None),
        ("20020005", False, "the broker says that this node is not authorised", LinkFault.NOT_AUTHORISED),
        ("20020004", False, "Bad user name or password (0x86)", LinkFault.NOT_AUTHORISED),
        ("20020003", False, "Server unavailable (0x88)", None),
    ],
)
def test_a_refused_connection_says_why(connack: str, version_5: bool, detail: str, fault: LinkFault | None) -> None:
    script = bytes.fromhex(connack)
    with ScriptedBroker(script, stay=True) as broker, node(None, broker.url, version_5=version_5) as made:
        made.link.connect(1, 0, b"gone")
        told = f"{broker.url}: the broker refuses the connection: {detail}"
        assert made.next(Disconnected) == Disconnected(1, told, fault)


def test_a_broker_that_does_not_speak_our_version_is_left() -> None:
    with ScriptedBroker(bytes.fromhex("20020001")) as broker, node(None, broker.url, version_5=False) as made:
        made.link.connect(1, 0, b"gone")
        assert made.disconnected().split(": ", 1)[1] in {
            "the broker does not keep to MQTT, or not to our version of it",
            "the broker cut the connection before it took us in",  # paho 2.1 does not tell
        }


@pytest.mark.parametrize(
    ("code", "detail", "fault"),
    [
        (0x00, "the broker ended the connection and gave no reason", None),
        (0x8B, "the broker is shutting down", None),
        (
            0x8E,
            "session taken over: another machine uses this node's name (a copied card?)",
            LinkFault.TAKEN_OVER,
        ),
        (0x87, "the broker says that this node is not authorised", LinkFault.NOT_AUTHORISED),
        (0x97, "the broker's quota is exceeded", None),
        (0x9C, "Use another server (0x9C)", None),
    ],
)
def test_a_broker_that_sends_us_away_says_why(code: int, detail: str, fault: LinkFault | None) -> None:
    farewell = bytes([0xE0, 0x05, code, 0x03, 0x1F, 0x00, 0x00])  # with an empty reason string
    with ScriptedBroker(CONNACK_5, SUBACK_5 + farewell, stay=True) as broker, node(None, broker.url) as made:
        made.connect()
        assert made.next(Disconnected) == Disconnected(1, f"{broker.url}: {detail}", fault)


def test_one_topic_that_we_may_read_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    granted = bytes.fromhex("90050001000187")
    with ScriptedBroker(CONNACK_5, granted, stay=True) as broker, node(None, broker.url) as made:
        made.connect()
        assert "lets us not read loa/v1/hoang-dao/command/all (the broker says that this node" in caplog.text


def test_no_topic_that_we_may_read_ends_the_connection() -> None:
    refused = bytes.fromhex("90050001008787")
    with ScriptedBroker(CONNACK_5, refused, stay=True) as broker, node(None, broker.url) as made:
        made.link.connect(1, 0, b"gone")
        end = made.next(Disconnected)
        assert "the broker lets us read none of our topics: loa/v1/hoang-dao/command/node/" in end.detail
        assert end.fault is LinkFault.NOT_AUTHORISED


def test_a_broker_without_flow_control_is_read_no_faster_than_we_store() -> None:
    flood = b"".join(publish_311(number, "x", b"%d" % number) for number in range(1, MAX_UNREAD + 21))
    with (
        ScriptedBroker(CONNACK_311, SUBACK_311 + flood, stay=True) as broker,
        node(None, broker.url, version_5=False) as made,
    ):
        made.connect()
        arrived = made.arrivals(MAX_UNREAD)
        for each in arrived[:10]:
            made.link.acknowledge(each.delivery)
        assert [each.payload for each in made.arrivals(10)] == [b"%d" % number for number in range(65, 75)]
        made.link.close()
        assert made.disconnected().endswith("closed by this node")  # and no message before it


def test_a_flood_without_qos_is_dropped_beyond_what_may_wait() -> None:
    flood = b"".join(b"\x30\x05\x00\x01x%02d" % (number % 100) for number in range(MAX_UNREAD + 36))
    with (
        ScriptedBroker(CONNACK_311, SUBACK_311 + flood + publish_311(9, "x", b"qos 1"), stay=True) as broker,
        node(None, broker.url, version_5=False) as made,
    ):
        made.connect()
        arrived = made.arrivals(MAX_UNREAD + 1)
        assert [each.payload for each in arrived] == [*(b"%02d" % number for number in range(MAX_UNREAD)), b"qos 1"]


def test_garbage_after_a_good_beginning_ends_the_connection_and_nothing_else() -> None:
    """Every first byte MQTT knows and many it does not, in both versions: one `Disconnected`, and no thread dies."""
    dice = random.Random(7)
    died: list[object] = []
    before, threading.excepthook = threading.excepthook, died.append
    try:
        for number in range(96):
            first = bytes([number % 16 << 4 | dice.choice((0, 2, dice.randrange(16)))])
            length = dice.randrange(24)
            garbage = first + bytes([length]) + dice.randbytes(length) + dice.randbytes(40)
            connack, suback = ((CONNACK_5, SUBACK_5), (CONNACK_311, SUBACK_311))[number % 2]
            with (
                ScriptedBroker(connack, suback + garbage) as broker,
                node(None, broker.url, version_5=number % 2 == 0) as made,
            ):
                made.link.connect(1, 0, b"gone")
                events = [made.inbox.get(timeout=WAIT_S)]
                while not isinstance(events[-1], Disconnected):
                    events.append(made.inbox.get(timeout=WAIT_S))
                assert made.inbox.empty(), garbage.hex()
    finally:
        threading.excepthook = before
    assert died == []
