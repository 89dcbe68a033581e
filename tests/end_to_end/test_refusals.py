"""Refused, each with its own reason code, over a real broker: nothing played, nothing crashed, the next order plays."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agent.console import ask
from agent.messages.codec import decode
from agent.messages.commands import Play, ReportNow, SetVolume
from agent.messages.condition import Condition
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from control import base64url
from control import keys as control_keys
from control.envelope import opened, sign
from rig.ear import Ear
from rig.sound import PATIENCE_S, Daemon
from rig.village import CIVIL_DEFENCE, OPERATOR, SITE, Node, Station

CHIME = Source(builtin=Builtin(BuiltinName.CHIME))


@pytest.fixture(scope="module")
def lasting(station: Station, sound: Daemon) -> Iterator[Node]:
    with Node(station, sound, changes={"heartbeat_s": 10}) as node:
        yield node


@pytest.fixture
def node(lasting: Node) -> Node:
    """The file's node; started again if a test before ended it."""
    if not lasting.running:
        lasting.start()
    return lasting


@pytest.fixture
def ear(station: Station, node: Node) -> Iterator[Ear]:
    with station.listen() as ear:
        yield ear


def chime(item: str) -> dict[str, Any]:
    return {
        "type": "play",
        "item": item,
        "kind": "normal",
        "title": "chime",
        "sources": [{"builtin": {"name": "chime"}}],
        "max_duration_s": 5,
    }


def claims(item: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": OPERATOR,
        "aud": [f"node:{SITE}/hd-03"],
        "jti": f"refusals-{item}-{now}",
        "iat": now,
        "exp": now + 60,
        "command": chime(item),
    }
    return {**good, **changes}


def flipped(envelope: bytes) -> bytes:
    """One bit of the signature turned."""
    head, _, signature = envelope.rpartition(b".")
    first = b"A" if signature[:1] != b"A" else b"B"
    return head + b"." + first + signature[1:]


def with_more_in_its_header(key: control_keys.SigningKey, payload: dict[str, Any]) -> bytes:
    """A good signature over a header that says more than it may."""
    header = {"alg": "Ed25519", "kid": key.kid, "typ": "loa-command+jws", "crit": []}
    protected, body = (base64url.encode(json.dumps(part).encode()) for part in (header, payload))
    return f"{protected}.{body}.{base64url.encode(key.sign(f'{protected}.{body}'.encode()))}".encode()


Make = Callable[[Station], bytes]

COUNTED: dict[str, tuple[str, Make]] = {
    "a flipped signature": ("bad_signature", lambda it: flipped(sign(claims("a"), [it.operator]))),
    "an unknown key": ("unknown_key", lambda _: sign(claims("b"), [control_keys.generate("nobody")])),
    "a known name with a stranger's key": (
        "bad_signature",
        lambda _: sign(claims("c"), [control_keys.generate("hd-operator")]),
    ),
    "another typ": ("wrong_typ", lambda it: sign(claims("d"), [it.operator], typ="JWT")),
    "another alg": ("wrong_alg", lambda it: sign(claims("e"), [it.operator], alg="ES256")),
    "an extra header": ("bad_header", lambda it: with_more_in_its_header(it.operator, claims("e3"))),
    "alg none": ("wrong_alg", lambda it: sign(claims("e2"), [it.operator], alg="none")),
    "no envelope at all": ("bad_envelope", lambda _: b"relay=on"),
    "more than 256 KiB": ("too_large", lambda it: sign(claims("f") | {"command": "x" * 200_000}, [it.operator])),
    "for another node": ("wrong_audience", lambda it: sign(claims("g", aud=[f"node:{SITE}/hd-04"]), [it.operator])),
    "for thon-2 of another commune": (
        "wrong_audience",
        lambda it: sign(claims("h", aud=["group:other/thon-2"]), [it.operator]),
    ),
    "malformed JSON": ("malformed_json", lambda it: sign(b'{"iss":', [it.operator])),
    "a member twice": (
        "duplicate_member",
        lambda it: sign(json.dumps(claims("i")).encode()[:-1] + b',"exp":4102444800}', [it.operator]),
    ),
}

REPORTED: dict[str, tuple[str, Make]] = {
    "expired": (
        "expired",
        lambda it: sign(claims("j", iat=int(time.time()) - 600, exp=int(time.time()) - 1), [it.operator]),
    ),
    "not yet valid": (
        "not_yet_valid",
        lambda it: sign(claims("k", iat=int(time.time()) + 900, exp=int(time.time()) + 960), [it.operator]),
    ),
    "an unknown member": (
        "unknown_member",
        lambda it: sign(claims("l", command={**chime("l"), "loud": True}), [it.operator]),
    ),
    "a wrong type": (
        "bad_value",
        lambda it: sign(claims("m", command={**chime("m"), "max_duration_s": "5"}), [it.operator]),
    ),
    "not permitted": (
        "not_permitted",
        lambda it: sign(claims("n", command={**chime("n"), "kind": "emergency"}), [it.operator]),
    ),
    "an unknown command": ("unknown_command", lambda it: sign(claims("o", command={"type": "dance"}), [it.operator])),
    "a command of a later version": (
        "not_supported",
        lambda it: sign(claims("p", command={"type": "live"}), [it.operator]),
    ),
}


@pytest.mark.parametrize("what", COUNTED)
def test_counted_and_never_reported(station: Station, node: Node, ear: Ear, what: str) -> None:
    reason, make = COUNTED[what]
    all_heard(station, ear)
    before, outcomes = refusals_in_status(node), len(ear.of("command_outcome"))
    station.send(make(station))
    wait_for(lambda: refusals_in_status(node).get(reason, 0) == before.get(reason, 0) + 1, reason)
    all_heard(station, ear)
    assert len(ear.of("command_outcome")) == outcomes + 1, "only what all_heard asks for"
    assert not node.switched()


@pytest.mark.parametrize("what", REPORTED)
def test_reported_once(station: Station, node: Node, ear: Ear, what: str) -> None:
    reason, make = REPORTED[what]
    envelope = make(station)
    jti = json.loads(payload_of(envelope))["jti"]
    before = refusals_in_status(node).get(reason, 0)
    station.send(envelope)
    station.send(envelope)
    wait_for(lambda: refusals_in_status(node).get(reason, 0) == before + 2, reason)
    all_heard(station, ear)
    outcomes = [each for each in ear.of("command_outcome") if each["jti"] == jti]
    assert [(each["outcome"], each["reason"]) for each in outcomes] == [("refused", reason)]
    assert not node.switched()


def all_heard(station: Station, ear: Ear) -> None:
    """Reports come in their order: once this one is heard, so are those before it."""
    order = station.sign(ReportNow())
    station.send(order)
    assert ear.outcome(order.jti)["outcome"] == "accepted"


def test_retained_is_refused_at_every_reconnect(station: Station, node: Node) -> None:
    before = refusals_in_status(node).get("retained", 0)
    good = sign(claims("retained"), [station.operator])
    topic = f"loa/v1/{SITE}/command/node/hd-03"
    station.broker.publish(station.control, topic, good, retain=True)
    wait_for(lambda: refusals_in_status(node).get("retained", 0) > before, "retained")
    for _ in range(2):
        node.end()
        node.start()
        wait_for(lambda: refusals_in_status(node).get("retained", 0) == 1, "retained, sent again at the reconnect")
    station.broker.publish(station.control, topic, b"", retain=True)
    assert not node.switched()


def test_a_good_order_after_all_that_plays_and_its_copy_never_again(
    station: Station, sound: Daemon, node: Node, ear: Ear
) -> None:
    item = f"good-{time.monotonic_ns()}"
    order = station.sign(Play(item, Kind.NORMAL, "chime", (CHIME,), 5))
    station.send(order)
    assert ear.record(item)["result"] == "played"
    copies = refusals_in_status(node).get("replayed", 0)
    station.send(order)
    wait_for(lambda: refusals_in_status(node).get("replayed", 0) == copies + 1, "replayed")
    node.end()
    node.start()
    since = len(node.switched())
    station.send(order)
    wait_for(lambda: refusals_in_status(node).get("replayed", 0) == 1, "replayed after a restart")
    assert len(node.switched()) == since
    assert len([each for each in ear.of("play_record") if each["item"] == item]) == 1


def test_settings_survive_a_restart(station: Station, node: Node, ear: Ear) -> None:
    order = station.sign(SetVolume(37))
    station.send(order)
    assert ear.outcome(order.jti)["outcome"] == "accepted"
    node.end()
    node.start()
    assert "volume: 37 %" in node.command("status").stdout


def test_an_emergency_key_is_not_an_operators_key(station: Station, ear: Ear) -> None:
    order = station.sign(SetVolume(10), key=station.defence, iss=CIVIL_DEFENCE)
    station.send(order)
    assert ear.outcome(order.jti)["reason"] == "not_permitted"


def payload_of(envelope: bytes) -> bytes:
    return opened(envelope).payload


def refusals_in_status(node: Node) -> dict[str, int]:
    """The counters as the agent tells whoever asks on the pole."""
    answer = ask(node.folder / "runtime" / "agent.sock", "status", 5.0)
    return decode(answer, Condition).refused


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(0.1)
