"""From bytes on a node's topics to what was seen. Reports are verified before they are read. Pure.

`state` and `heartbeat` are hints, a hostile broker can write them; a report is proof only where the node's public key
was enrolled by hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.messages.codec import WordError, decode
from agent.messages.reports import Heartbeat, ReportClaims, State
from control.addresses import from_node
from control.envelope import ALGORITHMS, REPORT_TYP, EnvelopeError, opened
from control.keys import verifies

MAX_HINT_BYTES = 4_096
"""Eight times a heartbeat's budget; a last will must stay small too."""

MAX_REPORT_BYTES = 16 * 1024
HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})


class Proof(StrEnum):
    """What a report's signature says."""

    VERIFIED = "verified"
    KEY_UNKNOWN = "key_unknown"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class StateSeen:
    """The node's `state`, or its last will."""

    node: str
    state: State


@dataclass(frozen=True, slots=True)
class HeartbeatSeen:
    """The node's heartbeat."""

    node: str
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class ReportSeen:
    """A report that names the node of its topic; `proof` is never `forged`."""

    node: str
    proof: Proof
    claims: ReportClaims


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something on a node's topic that cannot be taken; `boot` and `seq` where it is a report of a newer agent."""

    node: str
    what: str
    detail: str
    proof: Proof = Proof.KEY_UNKNOWN
    boot: str = ""
    seq: int = 0
    iat: int = 0


Sighting = StateSeen | HeartbeatSeen | ReportSeen | Unreadable


def seen(topic: str, payload: bytes, enrolled: Mapping[str, str]) -> Sighting | None:
    """What a message says; None if its topic is no node's. `enrolled`: `SITE/NODE` to public key."""
    if (parts := from_node(topic)) is None:
        return None
    site, name, what = parts
    node = f"{site}/{name}"
    if what == "report":
        return _report(node, payload, enrolled.get(node))
    if len(payload) > MAX_HINT_BYTES:
        return Unreadable(node, what, f"{len(payload)} bytes, at most {MAX_HINT_BYTES}")
    try:
        if what == "heartbeat":
            return HeartbeatSeen(node, decode(payload, Heartbeat))
        return StateSeen(node, decode(payload, State))
    except WordError as error:
        return Unreadable(node, what, error.detail)


def proof_of(payload: bytes, public: str | None) -> tuple[Proof, bytes]:
    """What the signature of a report's JWS says, and its claims (JSON), which are believed only if `verified`.

    Raises:
        EnvelopeError: it is no compact JWS with a report's header.
    """
    if len(payload) > MAX_REPORT_BYTES:
        raise EnvelopeError(f"{len(payload)} bytes, at most {MAX_REPORT_BYTES}")
    envelope = opened(payload)
    if len(envelope.signatures) != 1:
        raise EnvelopeError("a report has one signature")
    signature = envelope.signatures[0]
    header = signature.header
    if header.get("typ") != REPORT_TYP or header.get("alg") not in ALGORITHMS or not set(header) <= HEADER_MEMBERS:
        raise EnvelopeError(f"its header is not that of a report: alg Ed25519 or EdDSA, typ {REPORT_TYP}")
    if public is None:
        return Proof.KEY_UNKNOWN, envelope.payload
    good = verifies(public, signature.value, signature.signed)
    return (Proof.VERIFIED if good else Proof.FORGED), envelope.payload


def _report(node: str, payload: bytes, public: str | None) -> Sighting:
    try:
        proof, body = proof_of(payload, public)
    except EnvelopeError as error:
        return Unreadable(node, "report", str(error), Proof.FORGED)
    if proof is Proof.FORGED:
        return Unreadable(node, "report", "not signed with the node's enrolled key", proof)
    try:
        claims = decode(body, ReportClaims)
    except WordError as error:
        return _of_newer_agent(node, body, proof, error.detail)
    if claims.iss != f"node:{node}":
        return Unreadable(node, "report", f"it says it is from {claims.iss[:100]}", Proof.FORGED)
    return ReportSeen(node, proof, claims)


def _of_newer_agent(node: str, body: bytes, proof: Proof, detail: str) -> Unreadable:
    """A report in words we do not know still has its place in the count."""
    try:
        members = decode(body, dict)
    except WordError:
        return Unreadable(node, "report", detail, proof)
    boot, seq, iat = members.get("boot"), members.get("seq"), members.get("iat")
    if members.get("iss") == f"node:{node}" and isinstance(boot, str) and isinstance(seq, int) and isinstance(iat, int):
        return Unreadable(node, "report", detail, proof, boot, seq, iat)
    return Unreadable(node, "report", detail, proof)
