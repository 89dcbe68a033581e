"""What must hold of whatever is accepted, stated anew from the protocol and not from the code that is watched.

Pure. Each promise that is broken raises `BrokenPromiseError`.
"""

import unicodedata

from agent.messages.codec import convert, encode, parse_json
from agent.messages.commands import AnyCommand, Play, SetTrust, Stop, VerifiedCommand, obeyed_without_clock
from agent.messages.documents import SetPolicy, SetSchedule
from agent.messages.reasons import Reason
from agent.messages.sources import Builtin
from agent.messages.trust import TrustDocument
from agent.verification.authority import Addressee, ClockView
from agent.verification.checks import Refusal
from fuzz import material
from tests.signing import ALL_KEYS, HERE, SITE

DAY_S = 86_400
AUTHORITIES = {key.kid: key.authority for key in (*ALL_KEYS, material.NEW_ROOT)}
PERMISSIONS = {key.kid: frozenset(key.may) for key in ALL_KEYS}
CEILINGS_PERCENT = {key.kid: key.max_volume_percent for key in ALL_KEYS}
WINDOWS_S = {key.kid: (key.valid_from.timestamp(), key.valid_until.timestamp()) for key in ALL_KEYS}
ROOTS = frozenset(material.TRUST_NOW.roots.kids)
ROOTS_NEEDED = 2
OFFICERS_NEEDED = {"play.emergency": 2}
"""As the document in force asks; written down anew."""
LIFETIMES_S = {
    "play": DAY_S,
    "stop": DAY_S,
    "time": DAY_S,
    "report_now": DAY_S,
    "self_test": DAY_S,
    "restart": DAY_S,
    "order": DAY_S,
    "prefetch": 7 * DAY_S,
    "set_volume": 7 * DAY_S,
    "set_mute": 7 * DAY_S,
    "set_schedule": 30 * DAY_S,
    "set_policy": 30 * DAY_S,
}
"""Protocol section 3: longest `exp` - `iat`."""
NEEDS = {
    "set_volume": "volume",
    "set_mute": "volume",
    "time": "time",
    "order": "play.priority",
    "self_test": "restart",
    "restart": "restart",
    "prefetch": "prefetch",
    "set_schedule": "schedule",
    "set_policy": "policy",
}
"""Protocol section 4, where one permission is needed whatever the members say."""


class BrokenPromiseError(AssertionError):
    """Something was accepted, or said, that must not be."""


def require(holds: object, promise: str) -> None:
    """Raises: BrokenPromiseError: the promise, if it does not hold."""
    if not holds:
        raise BrokenPromiseError(promise)


def is_plain(refusal: Refusal) -> None:
    """A refusal says why in one line, and names nobody who is not proven."""
    require(isinstance(refusal.reason, Reason), "a refusal has a reason of the enumeration")
    require(refusal.detail.isprintable() and len(refusal.detail) <= 200, "a detail is one short line")
    require(bool(refusal.iss) == bool(refusal.jti) == refusal.reportable, "what is not proven names nobody")


def keeps_bounds(found: VerifiedCommand, payload: bytes, kids: frozenset[str], clock: ClockView) -> None:
    """An accepted command names this node, and is within all that its keys and its dates allow."""
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
        require(len(set(found.kids)) >= ROOTS_NEEDED, "and from as many as are asked")
        require(found.command.trust.version == material.TRUST_NOW.version + 1, "versions go up by one")
        is_fit(found.command.trust)
        return
    require(0 < found.exp - found.iat <= LIFETIMES_S[name], "it does not live too long")
    rooted = "roots" in found.may
    if not rooted:
        require(found.exp > clock.at_least_s, "it is not over")
        require(clock.trusted_s is None or found.iat <= clock.trusted_s + 300, "it is not of the future")
        at_once = clock.trusted_s is not None or obeyed_without_clock(found.command)
        require(clock.trusted_s is not None or at_once == _is_quiet(name, claims["command"]), "sound waits for a clock")
        _is_permitted(found, name)
        _is_approved(found)
        require(all(_in_force(kid, found.iat, clock) for kid in found.kids), "each counted key is in force")
    require(not rooted or name == "time", "roots do nothing but trust and time")
    require(not rooted or len(set(found.kids) & ROOTS) >= ROOTS_NEEDED, "as many roots as are asked")
    ceiling = min(CEILINGS_PERCENT[kid] for kid in found.kids)
    require(found.max_volume_percent <= ceiling, "it is no louder than the quietest key that counts")
    _has_bounds(found.command, found.iat)


def _means(aud: list[str], here: Addressee) -> bool:
    groups = {f"group:{here.site}/{group}" for group in here.groups}
    return bool(groups.union({f"site:{here.site}", f"node:{here.site}/{here.node}"}).intersection(aud))


def _is_quiet(name: str, command: dict[str, object]) -> bool:
    return name in {"stop", "time", "report_now"} or (name == "set_mute" and command["muted"] is True)


def _is_permitted(found: VerifiedCommand, name: str) -> None:
    held = [PERMISSIONS[kid] for kid in found.kids]
    reporting_roots = ROOTS if name == "report_now" else frozenset()
    require(all(PERMISSIONS[kid] or kid in reporting_roots for kid in found.kids), "a retired key orders nothing")
    if isinstance(found.command, Play):
        require(all(f"play.{found.command.kind}" in each for each in held), "each counted key may order this kind")
    if isinstance(found.command, SetSchedule):
        kinds = {f"play.{slot.kind}" for slot in found.command.slots}
        require(all(kinds <= each for each in held), "each counted key may order every slot")
    if name in NEEDS:
        require(all(NEEDS[name] in each for each in held), "each counted key may order this")
    require(found.may <= frozenset().union(*held), "nothing is granted that no key holds")


def _is_approved(found: VerifiedCommand) -> None:
    for permission, asked in OFFICERS_NEEDED.items():
        officers = sum(permission in PERMISSIONS[kid] for kid in found.kids)
        require(permission not in found.may or officers >= asked, "as many officers as are asked grant it")
        needed = isinstance(found.command, Play) and f"play.{found.command.kind}" == permission
        require(not needed or officers >= asked, "as many officers as are asked order it")


def _in_force(kid: str, iat: int, clock: ClockView) -> bool:
    begins_s, ends_s = WINDOWS_S[kid]
    begun = clock.trusted_s is None or begins_s <= clock.trusted_s
    return begins_s <= iat <= ends_s and clock.at_least_s <= ends_s and begun


def _has_bounds(command: AnyCommand, iat: int) -> None:
    if isinstance(command, SetSchedule | SetPolicy):
        require(1 <= command.version <= iat, "a version leaves room for the next")
    if isinstance(command, Play):
        require(1 <= command.max_duration_s <= 14_400 and 1 <= len(command.sources) <= 4, "a play is bounded")
        siren = any(isinstance(each.only, Builtin) and each.only.name == "siren" for each in command.sources)
        require(command.kind == "emergency" or not siren, "the siren means an emergency")
        require(not isinstance(command.not_after, int) or command.not_after <= iat + 7 * DAY_S, "it ends in a week")
        _is_text(command.title)
    elif isinstance(command, Stop):
        require(isinstance(command.item, str) is not (command.all is True), "a stop names one thing")
        _is_text(command.reason)


def _is_text(text: str) -> None:
    require(len(text) <= 200 and unicodedata.is_normalized("NFC", text), "a text is short and composed")
    require(not any(unicodedata.category(letter) == "Cc" for letter in text), "a text holds no controls")


def is_fit(document: TrustDocument) -> None:
    """A document that is believed can be obeyed, and counts nobody twice."""
    kids = [key.kid for key in document.keys]
    require(document.site == SITE, "it is this site's")
    require(len(set(kids)) == len(kids) == len({key.public for key in document.keys}), "each key stands once")
    require(len(set(document.roots.kids)) == len(document.roots.kids), "each root stands once")
    require(set(document.roots.kids) <= set(kids), "each root has a key")
    require(1 <= document.roots.threshold <= len(document.roots.kids), "the threshold can be met, and is not 0")
    require(all(key.valid_from < key.valid_until for key in document.keys), "each window is open")
