"""The numbered checks of an envelope: a table, each check with the attack it stops, and the walk along it.

Pure; any thread. The first check that fails decides; bytes are verified (6) before anything in them is read (7 and on);
cheap checks stand before dear ones. How a signature is verified is the business of the anchors that are handed in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from agent.messages.codec import WordError, parse_json
from agent.messages.commands import AnyCommand, Claims, SetTrust, SpokenClaims, VerifiedCommand
from agent.messages.reasons import Reason
from agent.verification import authority, permission, succession
from agent.verification.authority import Addressee, ClockView, Counted
from agent.verification.envelope import (
    COMMAND_TYP,
    MAX_ENVELOPE_BYTES,
    MAX_SMALL_ENVELOPE_BYTES,
    Envelope,
    Part,
    RefusalError,
    read_envelope,
    read_header,
)

MAX_DETAIL_CHARACTERS = 200
"""Longest text beside a reason code: it goes into reports and logs."""


class Anchor(authority.Signer, Protocol):
    """One trusted key."""

    def has_signed(self, part: Part) -> bool:
        """Whether the part's signature is this key's."""


class Anchors(succession.InForce, Protocol):
    """The keys of one trust document, checked and decoded."""

    def find(self, kid: str) -> Anchor | None:
        """The key of this name, None if it is not known here (or no longer)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not accepted: the number of the check that failed, its reason code, one sentence.

    `reportable` says that the signature is good and this node addressed: then `jti` is the sender's, and `iss` an
    authority that the keys prove (a borrowed name is not reported under its owner's). Otherwise both are empty.
    `exp` is None where it cannot be read, or no date is asked.
    """

    check: int
    reason: Reason
    detail: str
    reportable: bool
    iss: str
    jti: str
    exp: int | None = None


@dataclass(slots=True)
class Case:
    """One envelope under examination; each check reads what earlier ones have left here.

    Without a `clock` it comes from the store: neither dates nor the windows of keys are asked again.
    """

    text: bytes
    retained: bool
    trust: Anchors
    addressee: Addressee
    clock: ClockView | None
    envelope: Envelope = field(init=False)
    signed: list[tuple[Anchor, Part]] = field(init=False)
    kids: list[str] = field(init=False)
    signers: tuple[Anchor, ...] = field(init=False)
    """Those of `signed`, each key once."""
    members: object = None
    """The payload as plain objects, unless it was read `at_once`."""
    at_once: bool = False
    claims: Claims | SpokenClaims = field(init=False)
    counted: Counted = field(init=False)
    command: AnyCommand = field(init=False)
    granted: permission.Grant = field(init=False)

    def count_keys(self, claims: Claims | SpokenClaims) -> Counted:
        """Of the keys with good signatures, those that count for these claims."""
        return authority.count_keys(claims, self.signers, self.trust.document, self.clock)


def _check_live(case: Case) -> None:
    if case.retained:
        raise RefusalError(Reason.RETAINED, "commands are never retained")


def _check_size(case: Case) -> None:
    if len(case.text) > MAX_ENVELOPE_BYTES:
        raise RefusalError(Reason.TOO_LARGE, f"{len(case.text)} bytes, {MAX_ENVELOPE_BYTES} at most")


def _check_shape(case: Case) -> None:
    case.envelope = read_envelope(case.text)


def _check_headers(case: Case) -> None:
    case.kids = [read_header(part.header, COMMAND_TYP) for part in case.envelope.parts]


def _check_known(case: Case) -> None:
    case.signed = []
    for kid, part in zip(case.kids, case.envelope.parts, strict=True):
        anchor = case.trust.find(kid)
        if anchor is not None:
            case.signed.append((anchor, part))
    if not case.signed:
        raise RefusalError(Reason.UNKNOWN_KEY, f"no key named {case.kids[0]!r} is trusted here")


def _check_signatures(case: Case) -> None:
    for anchor, part in case.signed:
        if not anchor.has_signed(part):
            raise RefusalError(Reason.BAD_SIGNATURE, f"the signature of {anchor.key.kid!r} does not fit")
    if len(case.signed) == 1:  # nearly every order
        case.signers = (case.signed[0][0],)
    else:
        case.signers = tuple({anchor.key.public: anchor for anchor, _ in case.signed}.values())


def _check_claims(case: Case) -> None:
    payload = case.envelope.payload
    spoken = authority.read_at_once(payload) if len(case.text) <= MAX_SMALL_ENVELOPE_BYTES else None
    if spoken is None:
        case.members = parse_json(payload)
        case.claims = authority.read_claims(case.members)
    else:
        case.claims, case.at_once = spoken, True
    authority.check_names(case.claims)


def _check_audience(case: Case) -> None:
    authority.check_audience(case.claims, case.addressee)


def _check_issuer(case: Case) -> None:
    case.counted = case.count_keys(case.claims)
    authority.check_issuer(case.claims.iss, case.counted.keys)


def _check_command(case: Case) -> None:
    if isinstance(case.claims, SpokenClaims):
        case.command = case.claims.command
    else:
        case.command = authority.read_command(case.claims, len(case.text))


def _check_permission(case: Case) -> None:
    case.granted = permission.grant(
        case.command, case.claims.iss, case.counted, case.trust.document, stored=case.clock is None
    )


def _check_dates(case: Case) -> None:
    authority.check_lifetime(case.claims, case.command)
    if case.clock is not None and not case.counted.rooted:
        authority.check_dates(case.claims, case.clock)


def _check_following(case: Case) -> None:
    if isinstance(case.command, SetTrust):
        signatures = list(zip(case.kids, case.envelope.parts, strict=True))
        proven = [anchor.key.kid for anchor, _ in case.signed]
        succession.check_following(case.command.trust, case.trust, signatures, proven)


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to an envelope, and the attack that a no stops."""

    number: int
    asks: str
    stops: str
    put_to: Callable[[Case], None]


CHECKS = (
    Check(1, "sent just now, not retained", "an old order sounding at every reconnect", _check_live),
    Check(2, "at most 256 KiB", "filling a small machine's memory", _check_size),
    Check(3, "one JWS, compact or General JSON, canonical base64url", "bytes with two readings", _check_shape),
    Check(4, "header is exactly alg, kid, typ", "alg none, and another system's token as an order", _check_headers),
    Check(5, "signed by a key known here", "orders under the attacker's own key", _check_known),
    Check(6, "every known key's signature is good", "forged and altered orders", _check_signatures),
    Check(7, "six claims in strict JSON", "a second meaning in doubled or unknown members", _check_claims),
    Check(8, "addressed to this node", "another commune's order carried here", _check_audience),
    Check(9, "keys in force, issuer among them", "old keys, and borrowed names", _check_issuer),
    Check(10, "a command of this version, within its bounds", "orders half understood, or without end", _check_command),
    Check(11, "permitted, with the signatures asked", "a stolen laptop raising an emergency", _check_permission),
    Check(12, "dates fit the clock", "recorded orders, sent again later", _check_dates),
    Check(
        13,
        "a trust document that may follow, signed by its own roots",
        "going back to a revoked key, and a site handed to keys that nobody holds",
        _check_following,
    ),
)
"""All checks, in order."""
CHECKS_AGAIN = CHECKS[1:11]
"""What is asked again of an item from the store: it was live and in time when it was accepted."""


def examine(
    case: Case, checks: Iterable[Check], observe: Callable[[Check], None] | None = None
) -> VerifiedCommand | Refusal:
    """Put the checks to the case, in order; `observe` is told of each that holds."""
    for check in checks:
        try:
            check.put_to(case)
        except WordError as error:
            return _refusal(case, check, error)
        if observe is not None:
            observe(check)
    return VerifiedCommand(
        iss=case.claims.iss,
        jti=case.claims.jti,
        iat=case.claims.iat,
        exp=case.claims.exp,
        command=case.command,
        kids=case.granted.kids,
        may=case.granted.may,
        max_volume_percent=case.granted.max_volume_percent,
        envelope=case.text,
    )


def _refusal(case: Case, check: Check, error: WordError) -> Refusal:
    if case.at_once:
        case.members = parse_json(case.envelope.payload)  # to say whose it was
    forged = error.reason is Reason.BAD_SIGNATURE  # also where another key's signature was good
    iss, jti = ("", "") if forged else _sender(case) or ("", "")
    detail = "".join(character if character.isprintable() else "?" for character in error.detail)
    return Refusal(
        check=check.number,
        reason=error.reason,
        detail=detail[:MAX_DETAIL_CHARACTERS],
        reportable=bool(jti),
        iss=iss,
        jti=jti,
        exp=_exp(case.members),
    )


def _exp(members: object) -> int | None:
    if not isinstance(members, dict) or type(members.get("exp")) is not int:
        return None
    command = members.get("command")
    is_dateless = isinstance(command, dict) and command.get("type") == "set_trust"
    return None if is_dateless else members["exp"]


def _sender(case: Case) -> tuple[str, str] | None:
    """The (iss, jti) to report under, if good signatures prove a sender who meant this node."""
    claims = authority.read_address(case.members)
    if claims is None or case.addressee.names.isdisjoint(claims.aud):
        return None
    proven = [key.authority for key in case.count_keys(claims).keys]
    if not proven:
        return None
    return (claims.iss if claims.iss in proven else proven[0]), claims.jti
