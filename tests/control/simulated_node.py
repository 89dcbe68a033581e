"""A node as the other end sees it: its topics, its signed reports, its answers. Small and honest.

Orders are verified and reports signed by joserfc, so that nothing of ours is on both sides of a test.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Self

import paho.mqtt.client as mqtt
from joserfc import jws
from joserfc.jwk import OKPKey
from paho.mqtt.enums import CallbackAPIVersion

WAIT_S = 30.0
BOOT = "0123456789abcdef0123456789abcdef"

Verdict = tuple[str, str | None]
Judge = Callable[[Mapping[str, Any]], Verdict]


def accepts(_claims: Mapping[str, Any]) -> Verdict:
    return "accepted", None


def new_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


def public_of(key: OKPKey) -> str:
    return str(key.as_dict(private=False)["x"])


def signed_report(
    claims: Mapping[str, object], key: OKPKey, *, typ: str = "loa-report+jws", alg: str = "Ed25519"
) -> str:
    header = {"alg": alg, "kid": key.thumbprint(), "typ": typ}
    return jws.serialize_compact(header, json.dumps(claims), key, algorithms=["Ed25519", "EdDSA"])


def report_claims(
    node: str, seq: int, report: Mapping[str, object], *, boot: str = BOOT, iat: int = 1_790_000_000
) -> dict[str, object]:
    return {"iss": f"node:{node}", "iat": iat, "boot": boot, "seq": seq, "clock_trusted": True, "report": dict(report)}


def heartbeat(**changes: object) -> bytes:
    members: dict[str, object] = {
        "boot": BOOT,
        "up_s": 60,
        "link": 1,
        "amp": "off",
        "playing": None,
        "waiting": 0,
        "volume": 80,
        "muted": False,
        "clock": True,
        "outbox": 0,
        "cpu_c": 48.3,
    }
    return json.dumps(members | changes).encode()


def state(node: str, **changes: object) -> bytes:
    site, name = node.split("/")
    members: dict[str, object] = {"node": name, "site": site, "online": True, "boot": BOOT, "link": 1}
    return json.dumps(members | changes).encode()


@dataclass
class SimulatedNode:
    """`SITE/NODE` on a plain loopback broker; answers each order with one signed outcome, as `judge` says."""

    port: int
    name: str
    operator: OKPKey
    judge: Judge = accepts
    key: OKPKey = field(default_factory=new_key)
    detail: str | None = None
    seq: int = 0
    orders: SimpleQueue[dict[str, Any]] = field(default_factory=SimpleQueue)
    ready: SimpleQueue[bool] = field(default_factory=SimpleQueue)

    def __enter__(self) -> Self:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self.ready.put(True)
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        site, name = self.name.split("/")
        topics = (f"node/{name}", "group/thon-2", "all")
        self._client.subscribe([(f"loa/v1/{site}/command/{topic}", 1) for topic in topics])
        assert self.ready.get(timeout=WAIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.says("state", b"")
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def public(self) -> str:
        return public_of(self.key)

    def says(self, what: str, payload: bytes | str) -> None:
        """Publish, and wait until the broker has it."""
        self.queue(what, payload).wait_for_publish(WAIT_S)

    def queue(self, what: str, payload: bytes | str) -> mqtt.MQTTMessageInfo:
        """Publish from within a judgement: without waiting. `state` is retained, as a node's is."""
        site, name = self.name.split("/")
        qos = 0 if what == "heartbeat" else 1
        return self._client.publish(f"loa/v1/{site}/node/{name}/{what}", payload, qos, retain=what == "state")

    def report(self, report: Mapping[str, object], *, key: OKPKey | None = None, seq: int | None = None) -> None:
        self.seq += 1
        claims = report_claims(self.name, self.seq if seq is None else seq, report, iat=int(time.time()))
        self.says("report", signed_report(claims, key or self.key))

    def heard(self) -> dict[str, Any]:
        """The claims of the next order whose signature was good."""
        try:
            return self.orders.get(timeout=WAIT_S)
        except Empty:
            raise AssertionError("the node heard no order") from None

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        claims = json.loads(
            jws.deserialize_compact(bytes(message.payload), self.operator, algorithms=["Ed25519"]).payload
        )
        assert not message.retain
        self.orders.put(claims)
        outcome, reason = self.judge(claims)
        self.seq += 1
        report = {
            "type": "command_outcome",
            "iss": claims["iss"],
            "jti": claims["jti"],
            "outcome": outcome,
            "reason": reason,
            **({"detail": self.detail} if self.detail else {}),
        }
        made = signed_report(report_claims(self.name, self.seq, report, iat=int(time.time())), self.key)
        self.queue("report", made.encode())
