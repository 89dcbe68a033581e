"""One target for each door: what is honest there, how it is bent, and which promises it must keep.

Pure but for the two that read files. A promise that is broken raises `BrokenPromiseError`; whatever else escapes from
the code that is watched is a finding as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from zlib import crc32

from agent.config import Config, ConfigError, load_config, load_trust
from agent.messages.codec import WordError, convert, encode, parse_json
from agent.messages.commands import VerifiedCommand
from agent.messages.events import CommandVerified, Delivery, MessageArrived
from agent.messages.trust import TrustDocument, TrustedKey, TrustError, fingerprint
from agent.security import (
    PublicKey,
    TrustStore,
    open_report,
    read_unproven,
    verify_kept_trust,
    verify_stored,
)
from agent.verification.authority import ClockView
from agent.verification.checks import CHECKS, Anchor, Anchors, Case, Refusal, examine
from agent.verification.envelope import Part, RefusalError
from agent.verification.judge import Judge
from fuzz import material
from fuzz.mutation import Bender
from fuzz.promises import DAY_S, is_fit, is_plain, keeps_bounds, require
from tests.node_files import make_folder
from tests.signing import HERE, NOW, SITE

TRUST = TrustStore(material.TRUST_NOW, site=SITE)
JUDGE = Judge(TRUST, HERE)
CLOCKS = (ClockView(float(NOW), NOW - DAY_S), ClockView(None, NOW - DAY_S))

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


@dataclass(frozen=True, slots=True)
class Held:
    """One of them: a key as the document has it."""

    trusted: PublicKey

    @property
    def key(self) -> TrustedKey:
        """What the trust document says of it."""
        return self.trusted.key

    @property
    def from_s(self) -> float:
        """Its `valid_from`."""
        return self.trusted.from_s

    @property
    def until_s(self) -> float:
        """Its `valid_until`."""
        return self.trusted.until_s


# Envelopes: whatever the broker brings --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ideal(Held):
    """A key under a signature that cannot be forged: it has signed what was signed here, and nothing else.

    It answers in no time what curve points answer in a fifth of a millisecond; every sixteenth case goes to the points.
    """

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
        is_plain(found)
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
class Consenting(Held):
    """A key whose holder signs whatever is put before him: what comes after the signature is looked at here."""

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
        is_plain(found)
    else:
        keeps_bounds(found, data[1:], frozenset(key.kid for key in keys), clock)


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
            is_fit(document)
            return
        following = TRUST.followed_by(document)
    except TrustError:
        return
    is_fit(document)
    again = convert(parse_json(encode(document)), TrustDocument)
    require(fingerprint(again) == fingerprint(document), "one document, one fingerprint")
    public = {key.kid: key.public for key in material.TRUST_NOW.keys}
    require(all(public.get(key.kid, key.public) == key.public for key in document.keys), "a kid stays one key")
    require(following.used.keys() >= public.keys(), "no kid is forgotten")


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
    is_fit(document)


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
    """One door. `share`: its thousandths of all runs."""

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
        Target("envelope", 580, material.ENVELOPES, bend_envelope, judge_envelope),
        Target("command", 220, material.CLAIMS, Bender.chosen, judge_command),
        Target("trust", 160, material.DOCUMENTS, Bender.json, take_document),
        Target("trust-file", 20, material.TRUST_FILES, Bender.yaml, partial(read_trust_file, folder=folder), 4_096),
        Target("config", 20, material.NODE_FILES, Bender.yaml, partial(read_node_file, folder=folder), 2_048),
    )
    return {target.name: target for target in table}
