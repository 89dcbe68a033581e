"""Whether a broker lets a node in: real mosquitto, and brokers that say what no good one does."""

import socket
from pathlib import Path

import pytest

from agent.messages.sentences import Sentence
from agent.mqtt.broker import Broker, why
from agent.mqtt.probe import Credentials, RefusedError, be_welcomed, reach
from rig.broker import Broker as Mosquitto
from rig.certificates import Authority
from tests.scripted_broker import CONNACK_5, CONNACK_311, ScriptedBroker

NOBODY = Credentials(None, None, None)
STEP_S = 20.0
NAME = "loa-hoang-dao-hd-03"


def knock(url: str, shown: Credentials = NOBODY, *, version_5: bool = True) -> None:
    with reach(Broker.parse(url), shown, STEP_S) as connected:
        connected.settimeout(STEP_S)
        be_welcomed(connected, NAME, version_5=version_5)


@pytest.mark.parametrize("version_5", [True, False], ids=["MQTT 5", "MQTT 3.1.1"])
def test_a_real_broker_welcomes_a_node_with_its_certificate(tmp_path: Path, version_5: bool) -> None:
    authority = Authority(tmp_path / "pki")
    identity = authority.client("hd-03")
    with Mosquitto(tmp_path / "broker", authority) as broker:
        knock(broker.url, Credentials(authority.ca, identity.certificate, identity.key), version_5=version_5)
        log = broker.log.read_text()
    assert f"as {NAME} (p{5 if version_5 else 2}, c0" in log, "no clean start: the orders that wait must stay"


def test_what_a_real_broker_has_against_it_is_one_clause(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "pki"), Authority(tmp_path / "other", "other-ca")
    own, strange = authority.client("hd-03"), stranger.client("hd-03")
    with Mosquitto(tmp_path / "broker", authority) as broker:
        for shown, told in (
            (Credentials(stranger.ca, own.certificate, own.key), "the broker's certificate is not from our CA"),
            (Credentials(authority.ca, None, None), "the broker wants a certificate of this node"),
            (
                Credentials(authority.ca, strange.certificate, strange.key),
                "the broker does not know the CA of this node's certificate",
            ),
        ):
            with pytest.raises(OSError) as raised:  # noqa: PT011  what it is, `why` says
                knock(broker.url, shown)
            assert why(raised.value) == told
            assert isinstance(why(raised.value), Sentence)


@pytest.mark.parametrize(
    ("answer", "version_5", "told"),
    [
        (b"\x20\x03\x00\x87\x00", True, "the broker says that this node is not authorised"),
        (b"\x20\x03\x00\x89\x00", True, "the broker is busy"),
        (b"\x20\x03\x00\xfe\x00", True, "refused (0xFE)"),
        (
            b"\x20\x83\x01\x00\x87\x80\x01" + b"\x1f\x00\x7d" + b"x" * 125,
            True,
            "the broker says that this node is not authorised",
        ),
        (b"\x20\x02\x00\x05", False, "the broker says that this node is not authorised"),
        (b"\x20\x02\x00\x01", False, "the broker does not speak MQTT 3.1.1"),
    ],
)
def test_a_refusal_is_told(answer: bytes, version_5: bool, told: str) -> None:
    with ScriptedBroker(answer) as broker, pytest.raises(RefusedError) as raised:
        knock(broker.url, version_5=version_5)
    assert raised.value.args[0] == told


@pytest.mark.parametrize(("answer", "version_5"), [(CONNACK_5, True), (CONNACK_311, False)])
def test_a_welcome_is_none(answer: bytes, version_5: bool) -> None:
    with ScriptedBroker(answer) as broker:
        knock(broker.url, version_5=version_5)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n", b"\x20", b"\x20\x03\x00", b"\x20\xff\xff\xff\xff\xff"]
)
def test_what_is_no_answer_is_a_broken_connection(answer: bytes) -> None:
    with ScriptedBroker(answer) as broker, pytest.raises(ConnectionResetError):
        knock(broker.url)


def test_silence_ends_in_time() -> None:
    with ScriptedBroker(stay=True) as broker, reach(Broker.parse(broker.url), NOBODY, STEP_S) as connected:
        connected.settimeout(0.2)
        with pytest.raises(TimeoutError):
            be_welcomed(connected, NAME, version_5=True)


def test_where_nobody_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        reach(Broker.parse(f"mqtt://127.0.0.1:{port}"), NOBODY, STEP_S)
