"""What must hold whatever comes in: one target for each door, each with its honest seeds, its bending and its oracle.

Pure but for the two that read files. An oracle states the protocol's rules anew, from the protocol and not from the
code that it watches, and raises `BrokenPromiseError`; whatever else escapes from the code is a finding as well.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from zlib import crc32

from agent.authority import Addressee, ClockView
from agent.checks import CHECKS, Anchor, Anchors, Case, Refusal, examine
from agent.config import Config, ConfigError, load_config, load_trust
from agent.envelope import Part, RefusalError
from agent.judge import Judge
from agent.messages.codec import WordError, convert, encode, parse_json
from agent.messages.commands import AnyCommand, Play, SetTrust, Stop, VerifiedCommand
from agent.messages.events import CommandVerified, Delivery, MessageArrived
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, TrustedKey, TrustError, fingerprint
from agent.security import (
    PublicKey,
    TrustStore,
    open_report,
    read_unproven,
    verify_kept_trust,
    verify_stored,
)
from fuzz import material
from fuzz.mutation import Bender
from tests.node_files import make_folder
from tests.signing import ALL_KEYS, HERE, NOW, SITE

DAY_S = 86_400
TRUST = TrustStore(material.TRUST_NOW, site=SITE)
JUDGE = Judge(TRUST, HERE)
CLOCKS = (ClockView(float(NOW), NOW - DAY_S), ClockView(None, NOW - DAY_S))
AUTHORITIES = {key.kid: key.authority for key in (*ALL_KEYS, material.NEW_ROOT)}
PERMISSIONS = {key.kid: frozenset(key.may) for key in ALL_KEYS}
ROOTS = frozenset(material.TRUST_NOW.roots.kids)
LIFETIMES_S = {
    "play": DAY_S,
    "stop": DAY_S,
    "time": DAY_S,
    "report_now": DAY_S,
    "set_volume": 7 * DAY_S,
    "set_mute": 7 * DAY_S,
}
"""Protocol section 3: longest `exp` - `iat`."""
NEEDS = {"set_volume": "volume", "set_mute": "volume", "time": "time"}
"""Protocol section 4, where one permission is needed whatever the members say."""


class BrokenPromiseError(AssertionError):
    """Something was accepted, or said, that must not be."""


def require(holds: object, promise: str) -> None:
    """Raises: BrokenPromiseError: the promise, if it does not hold."""
    if not holds:
        raise BrokenPromiseError(promise)


def _is_plain(refusal: Refusal) -> None:
    require(isinstance(refusal.reason, Reason), "a refusal has a reason of the enumeration")
    require(refusal.detail.isprintable() and len(refusal.detail) <= 200, "a detail is one short line")
    require(bool(refusal.iss) == bool(refusal.jti) == refusal.reportable, "what is not proven names nobody")


# Keys in other hands -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Keys:
    """All of a document's keys, each made to answer as `make` says."""

    store: TrustStore
    make: Callable[[PublicKey], Anchor]

    @property
    def document(self) -> TrustDocument:
        """The document in force."""
        return self.store.document

    @property
    def sha256(self) -> str:
        """Its fingerprint."""
        return self.store.sha256

    def find(self, kid: str) -> Anchor | None:
        """The key of this name."""
        found = self.store.find(kid)
        return None if found is None else self.make(found)

    def followed_by(self, document: TrustDocument) -> "Keys":
        """The next document's."""
        return Keys(self.store.followed_by(document), self.make)


# Envelopes: whatever the broker brings --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ideal:
    """A key under a signature that cannot be forged: it has signed what was signed here, and nothing else.

    It answers in no time what curve points answer in a fifth of a millisecond; every sixteenth case goes to the points.
    """

    trusted: PublicKey

    @property
    def key(self) -> TrustedKey:
        """What the trust document says of it."""
        return self.trusted.key

    def has_signed(self, part: Part) -> bool:
        """Whether these very bytes were signed here, with this signature."""
        return (self.trusted.key.kid, part.signing_input, part.signature) in material.SIGNATURES


IDEAL = Keys(TRUST, Ideal)


def judge_envelope(data: bytes, anchors: Anchors | None = None) -> None:
    """Nothing is obeyed, or reported under anybody's name, but what was signed here to the byte."""
    chance = crc32(data)
    door = chance % 16
    if door < len(_OTHER_DOORS):
        _OTHER_DOORS[door](data)
        return
    case = Case(data, retained=False, trust=anchors or IDEAL, addressee=HERE, clock=CLOCKS[chance >> 31])
    found = examine(case, CHECKS)
    if isinstance(found, Refusal):
        _is_plain(found)
        require(not found.reportable or _signers(data), "only proven senders are reported")
    else:
        _is_obeyed(found, data)


def _is_obeyed(found: VerifiedCommand, data: bytes) -> None:
    require(_is_wholly_signed(data), "only what was signed is obeyed")
    require(set(found.kids) <= _signers(data), "only who signed is counted")


def _judge(data: bytes) -> None:
    """As it comes from the link, with real signatures."""
    found = JUDGE.judge(MessageArrived(Delivery(1, 1), "topic", data, retained=False), float(NOW), NOW - DAY_S)
    if isinstance(found, CommandVerified):
        _is_obeyed(found.verified, data)
    else:
        require(not found.reportable or _signers(data), "only proven senders are reported")


def _signers(data: bytes) -> set[str]:
    return {kid for kid, spelt in material.signing_inputs(data) if (kid, spelt) in material.SIGNED}


def _is_wholly_signed(data: bytes) -> bool:
    """Signed here by somebody, and by each known key whose name stands on it."""
    known = [part for part in material.signing_inputs(data) if part[0] in material.KNOWN]
    return bool(known) and all(part in material.SIGNED for part in known)


def _restore_order(data: bytes) -> None:
    kept = verify_stored(data, trust=TRUST, addressee=HERE)
    require(isinstance(kept, Refusal) or _is_wholly_signed(data), "a damaged card orders nothing")


def _restore_trust(data: bytes) -> None:
    try:
        verify_kept_trust(data, site=SITE, used={})
    except TrustError:
        return
    require(_signers(data), "no forged document is kept")


def _restore_unproven(data: bytes) -> None:
    found = read_unproven(data)
    require(found is None or not (found.may or found.kids), "what is not proven may nothing")


def _open_report(data: bytes) -> None:
    try:
        open_report(data, material.REPORT_KEY.public_base64url)
    except RefusalError:
        return
    require(data == material.REPORT, "no report is believed but the node's own")


_OTHER_DOORS = (_judge, _restore_order, _restore_trust, _restore_unproven, _open_report)
"""With real signatures, and where else a JWS is taken: from the card, and by the control side."""


# Commands: whatever a key's holder may sign ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Consenting:
    """A key whose holder signs whatever is put before him: what comes after the signature is looked at here."""

    trusted: PublicKey

    @property
    def key(self) -> TrustedKey:
        """What the trust document says of it."""
        return self.trusted.key

    def has_signed(self, part: Part) -> bool:
        """Always."""
        return bool(part)


CONSENTING = Keys(TRUST, Consenting)
Examine = Callable[[Case], VerifiedCommand | Refusal]


def _examine(case: Case) -> VerifiedCommand | Refusal:
    return examine(case, CHECKS)


def judge_command(data: bytes, ask: Examine = _examine) -> None:
    """Whatever a key's holder signs is refused by name, or keeps every bound that the protocol sets."""
    first = data[0] if data else 0
    clock, keys = CLOCKS[first >> 7], material.SIGNERS[(first & 127) % len(material.SIGNERS)]
    text = material.unsigned(data[1:], keys)
    found = ask(Case(text, retained=False, trust=CONSENTING, addressee=HERE, clock=clock))
    if isinstance(found, Refusal):
        _is_plain(found)
    else:
        _keeps_bounds(found, data[1:], frozenset(key.kid for key in keys), clock)


def _keeps_bounds(found: VerifiedCommand, payload: bytes, kids: frozenset[str], clock: ClockView) -> None:
    claims = parse_json(payload)
    assert isinstance(claims, dict)
    name = claims["command"]["type"]
    require(_means(claims["aud"], HERE), "it names this node")
    require(claims.keys() == {"iss", "aud", "jti", "iat", "exp", "command"}, "six claims")
    require(set(found.kids) <= kids & material.KNOWN, "counted are keys that signed and are known")
    require(found.iss in {AUTHORITIES[kid] for kid in found.kids}, "the issuer is one of them")
    require(convert(parse_json(encode(found.command)), type(found.command)) == found.command, "it goes round")
    if isinstance(found.command, SetTrust):
        require(set(found.kids) <= ROOTS, "a trust document comes from the roots")
        require(found.command.trust.version == material.TRUST_NOW.version + 1, "versions go up by one")
        _is_fit(found.command.trust)
        return
    require(0 < found.exp - found.iat <= LIFETIMES_S[name], "it does not live too long")
    rooted = "roots" in found.may
    if not rooted:
        require(found.exp > clock.at_least_s, "it is not over")
        require(clock.trusted_s is None or found.iat <= clock.trusted_s + 300, "it is not of the future")
        require(clock.trusted_s is not None or _is_quiet(name, claims["command"]), "it makes no sound without a clock")
        _is_permitted(found, name)
    require(not rooted or (name == "time" and kids & ROOTS), "roots do nothing but trust and time")
    _has_bounds(found.command, found.iat)


def _means(aud: list[str], here: Addressee) -> bool:
    groups = {f"group:{here.site}/{group}" for group in here.groups}
    return bool(groups.union({f"site:{here.site}", f"node:{here.site}/{here.node}"}).intersection(aud))


def _is_quiet(name: str, command: dict[str, object]) -> bool:
    return name in {"stop", "time", "report_now"} or (name == "set_mute" and command["muted"] is True)


def _is_permitted(found: VerifiedCommand, name: str) -> None:
    held = [PERMISSIONS[kid] for kid in found.kids]
    require(all(held), "a retired key orders nothing")
    if isinstance(found.command, Play):
        require(all(f"play.{found.command.kind}" in each for each in held), "each counted key may order this kind")
    elif name in NEEDS:
        require(all(NEEDS[name] in each for each in held), "each counted key may order this")
    require(found.may <= frozenset().union(*held), "nothing is granted that no key holds")


def _has_bounds(command: AnyCommand, iat: int) -> None:
    if isinstance(command, Play):
        require(1 <= command.max_duration_s <= 14_400 and 1 <= len(command.sources) <= 4, "a play is bounded")
        require(not isinstance(command.not_after, int) or command.not_after <= iat + 7 * DAY_S, "it ends in a week")
        _is_text(command.title)
    elif isinstance(command, Stop):
        require(isinstance(command.item, str) is not (command.all is True), "a stop names one thing")
        _is_text(command.reason)


def _is_text(text: str) -> None:
    require(len(text) <= 200 and unicodedata.is_normalized("NFC", text), "a text is short and composed")
    require(not any(unicodedata.category(letter) == "Cc" for letter in text), "a text holds no controls")


# Trust documents: off the wire, and from the card ---------------------------------------------------------------------


def take_document(data: bytes) -> None:
    """A document is refused by name, or is fit to be believed, under one fingerprint wherever it came from."""
    try:
        document = convert(parse_json(data), TrustDocument)
    except WordError:
        return
    try:
        if document.version != material.NEXT.version:
            TrustStore(document, site=SITE)
            _is_fit(document)
            return
        following = TRUST.followed_by(document)
    except TrustError:
        return
    _is_fit(document)
    again = convert(parse_json(encode(document)), TrustDocument)
    require(fingerprint(again) == fingerprint(document), "one document, one fingerprint")
    public = {key.kid: key.public for key in material.TRUST_NOW.keys}
    require(all(public.get(key.kid, key.public) == key.public for key in document.keys), "a kid stays one key")
    require(following.used.keys() >= public.keys(), "no kid is forgotten")


def _is_fit(document: TrustDocument) -> None:
    kids = [key.kid for key in document.keys]
    require(document.site == SITE, "it is this site's")
    require(len(set(kids)) == len(kids) == len({key.public for key in document.keys}), "each key stands once")
    require(len(set(document.roots.kids)) == len(document.roots.kids), "each root stands once")
    require(set(document.roots.kids) <= set(kids), "each root has a key")
    require(1 <= document.roots.threshold <= len(document.roots.kids), "the threshold can be met, and is not 0")
    require(all(key.valid_from < key.valid_until for key in document.keys), "each window is open")


def _says_where(error: ConfigError, data: bytes) -> None:
    lines = data.decode("utf-8", "replace").splitlines() or [""]
    require(error.problems, "an error has a problem")
    for problem in error.problems:
        require(1 <= problem.line <= len(lines) + 1 and problem.column >= 1, "a problem stands in the file")
        require(problem.text.isprintable(), "a problem disturbs no terminal")


def read_trust_file(data: bytes, folder: Path) -> None:
    """trust.yaml is refused with every place named, or is the document that the wire would carry."""
    path = folder / "trust.yaml"
    path.write_bytes(data)
    try:
        document = load_trust(path, SITE)
    except ConfigError as error:
        _says_where(error, data)
        return
    require(convert(parse_json(encode(document)), TrustDocument) == document, "file and wire say the same")
    try:
        TrustStore(document, site=SITE)
    except TrustError:
        return
    _is_fit(document)


def read_node_file(data: bytes, folder: Path) -> None:
    """node.yaml is refused with every place named, or opens no door that was not written out."""
    path = folder / "node.yaml"
    path.write_bytes(data)
    try:
        config: Config = load_config(path)
    except ConfigError as error:
        _says_where(error, data)
        return
    loopback = {"localhost", "127.0.0.1", "::1"}
    for broker in config.mqtt.brokers:
        plain = not broker.tls
        require(not plain or broker.host in loopback or broker.host.startswith("127.") or config.mqtt.insecure, "TLS")
    lines = [zone.gpio for zone in config.amplifier]
    require(len(set(lines)) == len(lines), "two zones do not share a line")


# The table -----------------------------------------------------------------------------------------------------------

Bend = Callable[[Bender, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """One door: what is honest there, how it is bent, and what must hold. `share`: its thousandths of all runs."""

    name: str
    share: int
    seeds: tuple[bytes, ...]
    bend: Bend
    ask: Callable[[bytes], None]
    max_bytes: int = field(default=8_192)


def targets(folder: Path) -> dict[str, Target]:
    """All of them; `folder` is for the files that two of them write."""
    make_folder(folder)
    bend_envelope = partial(Bender.envelope, others=material.ENVELOPES)
    table = (
        Target("envelope", 600, material.ENVELOPES, bend_envelope, judge_envelope),
        Target("command", 230, material.CLAIMS, Bender.chosen, judge_command),
        Target("trust", 168, material.DOCUMENTS, Bender.json, take_document),
        Target("trust-file", 1, material.TRUST_FILES, Bender.yaml, partial(read_trust_file, folder=folder), 4_096),
        Target("config", 1, material.NODE_FILES, Bender.yaml, partial(read_node_file, folder=folder), 2_048),
    )
    return {target.name: target for target in table}
