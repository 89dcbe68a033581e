"""Who may say what, to whom, and when: the rules behind the numbered checks of `security` that need no cryptography.

Pure; any thread. Reads claims only once their signatures hold. Each rule raises `RefusalError` or is silent.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from agent.messages.codec import WordError, convert, reader_at_once
from agent.messages.commands import (
    LARGE_COMMANDS,
    NOT_YET_SUPPORTED,
    AnyCommand,
    Claims,
    Heading,
    Order,
    Play,
    Prefetch,
    ReportNow,
    Restart,
    SelfTest,
    SetMute,
    SetTrust,
    SetVolume,
    SpokenClaims,
    Stop,
    Time,
)
from agent.messages.documents import SetPolicy, SetSchedule
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, TrustedKey
from agent.verification.envelope import MAX_SMALL_ENVELOPE_BYTES, RefusalError

MAX_AHEAD_S = 300
"""How far a sender's clock may run ahead of trusted time."""
MAX_NOT_AFTER_S = 7 * 24 * 3_600
"""Longest life of an item after its order: a flood alarm must not come back to life later."""
_NAME = r"[a-z0-9][a-z0-9-]{0,39}"
_AUDIENCE = re.compile(rf"(?:node|group):{_NAME}/{_NAME}|site:{_NAME}")


@dataclass(frozen=True, slots=True)
class Addressee:
    """This node, by every name it answers to."""

    site: str
    node: str
    groups: frozenset[str]

    names: frozenset[str] = field(init=False)
    """The audiences that mean this node; a site's name is part of each, since every commune has a thon-2."""

    def __post_init__(self) -> None:
        groups = (f"group:{self.site}/{group}" for group in self.groups)
        names = frozenset((f"node:{self.site}/{self.node}", f"site:{self.site}", *groups))
        object.__setattr__(self, "names", names)


@dataclass(frozen=True, slots=True)
class ClockView:
    """What the node knows of the time, in Unix seconds: trusted time or None, and what has surely passed."""

    trusted_s: float | None
    floor_s: int

    @property
    def at_least_s(self) -> float:
        """Trusted time, else the floor."""
        return self.floor_s if self.trusted_s is None else self.trusted_s


read_at_once: Final = reader_at_once(SpokenClaims)
"""Claims and command of nearly every honest order, at half the cost of what follows here and in `read_command`."""


def read_claims(members: object) -> Claims:
    """The six claims, typed.

    Raises:
        WordError: `unknown_member`, `missing_member`, `bad_value`.
    """
    return convert(members, Claims)


def check_names(claims: Heading) -> None:
    """The audience is spelt as audiences are.

    Raises:
        RefusalError: `bad_value`.
    """
    for name in claims.aud:
        if not _AUDIENCE.fullmatch(name):
            raise RefusalError(Reason.BAD_VALUE, f"{name!r} is not node:SITE/NODE, group:SITE/GROUP or site:SITE")


def read_address(members: object) -> Claims | None:
    """Of claims that may be refused as a whole, what is needed to report the refusal; None where it is not there.

    `exp` and a command that is none are replaced by what cannot offend; `iat` is not, since keys have windows.
    """
    if not isinstance(members, dict):
        return None
    address = {name: members[name] for name in ("iss", "aud", "jti", "iat") if name in members}
    command = members.get("command")
    try:
        return convert(address | {"exp": 0, "command": command if isinstance(command, dict) else {}}, Claims)
    except WordError:
        return None


def check_audience(claims: Heading, addressee: Addressee) -> None:
    """One name that means this node suffices; the topic proves nothing."""
    if addressee.names.isdisjoint(claims.aud):
        raise RefusalError(Reason.WRONG_AUDIENCE, f"addressed to {', '.join(claims.aud)[:120]}, not to this node")


class Counted(NamedTuple):
    """The keys that count for one command; `rooted` if they are the roots' threshold under `time` or `set_trust`."""

    keys: tuple[TrustedKey, ...]
    rooted: bool


class Signer(Protocol):
    """A key whose signature is good; its window in Unix seconds, since no calendar reaches as far as clocks may."""

    @property
    def key(self) -> TrustedKey:
        """What the trust document says of it."""

    @property
    def from_s(self) -> float:
        """Its `valid_from`."""

    @property
    def until_s(self) -> float:
        """Its `valid_until`."""


def count_keys(
    claims: Claims | SpokenClaims, signers: Collection[Signer], trust: TrustDocument, clock: ClockView | None
) -> Counted:
    """Of the keys whose signatures are good, those whose windows hold; all of them without a clock (stored items).

    A `time` signed by the roots' threshold is always obeyed, since nothing else lowers a floor that was set too high:
    its keys are asked for the order's date alone. For a `set_trust` roots alone count, and no date is asked of them:
    its version is its replay protection, and a site whose roots have all run out must be able to go on.
    """
    if clock is None:
        return Counted(tuple(each.key for each in signers), rooted=False)
    is_trust, is_time = _changes(claims)
    if is_trust:
        roots = tuple(each.key for each in signers if each.key.kid in trust.roots.kids)
        if roots:
            return Counted(roots, rooted=len(roots) >= trust.roots.threshold)
    dated = [each for each in signers if each.from_s <= claims.iat <= each.until_s]
    if is_time:
        roots = tuple(each.key for each in dated if each.key.kid in trust.roots.kids)
        if len(roots) >= trust.roots.threshold:
            return Counted(roots, rooted=True)
    return Counted(tuple([each.key for each in dated if _is_in_force(each, clock)]), rooted=False)


def _changes(claims: Claims | SpokenClaims) -> tuple[bool, bool]:
    """Whether it says that it changes the trust document, and whether the time."""
    if isinstance(claims, SpokenClaims):
        return isinstance(claims.command, SetTrust), isinstance(claims.command, Time)
    name = claims.command.get("type")
    return name == "set_trust", name == "time"


def _is_in_force(signer: Signer, clock: ClockView) -> bool:
    """Now, as far as the node can say: a floor proves that a window has ended, never that it has not begun."""
    at_least_s = clock.at_least_s
    return at_least_s <= signer.until_s and (clock.trusted_s is None or signer.from_s <= at_least_s)


def check_issuer(iss: str, keys: Collection[TrustedKey]) -> None:
    """`iss` is the authority of one counted key: nobody speaks in another's name.

    Raises:
        RefusalError: `key_not_valid` where no key counts, `wrong_issuer`.
    """
    if not keys:
        raise RefusalError(Reason.KEY_NOT_VALID, "no key that signed is valid both at iat and now")
    if iss not in [key.authority for key in keys]:
        raise RefusalError(Reason.WRONG_ISSUER, f"{iss[:80]!r} is not the authority of a key that signed")


def read_command(claims: Claims, envelope_bytes: int) -> AnyCommand:
    """The command, typed and within its bounds.

    Raises:
        WordError: `too_large`, `not_supported`, `unknown_command`, `unknown_member`, `missing_member`, `bad_value`,
            or `bad_trust` for a value within a trust document.
    """
    if "type" not in claims.command:
        raise RefusalError(Reason.MISSING_MEMBER, "command has no type")
    name = claims.command["type"]
    if not isinstance(name, str):
        raise RefusalError(Reason.BAD_VALUE, "the command's type is no text")
    if name not in LARGE_COMMANDS and envelope_bytes > MAX_SMALL_ENVELOPE_BYTES:
        raise RefusalError(
            Reason.TOO_LARGE, f"{envelope_bytes} bytes for {name[:40]!r}; {MAX_SMALL_ENVELOPE_BYTES} at most"
        )
    if name in NOT_YET_SUPPORTED:
        raise RefusalError(Reason.NOT_SUPPORTED, f"{name} is not supported by this version")
    if name not in _SUPPORTED:
        raise RefusalError(Reason.UNKNOWN_COMMAND, f"no command is named {name[:40]!r}")
    try:
        command: AnyCommand = convert(claims.command, _SUPPORTED[name])
    except WordError as error:
        if name == "set_trust" and error.reason is Reason.BAD_VALUE:  # such as a threshold of 0
            raise RefusalError(Reason.BAD_TRUST, error.detail) from None
        raise
    return command


_SUPPORTED: dict[str, type[AnyCommand]] = {
    "play": Play,
    "stop": Stop,
    "set_volume": SetVolume,
    "set_mute": SetMute,
    "report_now": ReportNow,
    "self_test": SelfTest,
    "restart": Restart,
    "time": Time,
    "set_trust": SetTrust,
    "set_schedule": SetSchedule,
    "set_policy": SetPolicy,
    "order": Order,
    "prefetch": Prefetch,
}


def check_lifetime(claims: Heading, command: AnyCommand) -> None:
    """The dates as they stand: they need no clock. `set_trust` asks no date.

    Raises:
        RefusalError: `bad_value`, `lifetime_too_long`.
    """
    if isinstance(command, SetTrust):
        return
    if claims.exp <= claims.iat:
        raise RefusalError(Reason.BAD_VALUE, "exp is not after iat")
    if claims.exp - claims.iat > command.MAX_LIFETIME_S:
        lifetime_s = claims.exp - claims.iat
        raise RefusalError(
            Reason.LIFETIME_TOO_LONG, f"exp is {lifetime_s} s after iat, at most {command.MAX_LIFETIME_S} s"
        )
    if isinstance(command, SetSchedule | SetPolicy) and command.version > claims.iat:
        raise RefusalError(Reason.BAD_VALUE, f"version {command.version} is above iat: nothing could ever follow it")
    not_after = command.not_after if isinstance(command, Play) else None
    if isinstance(not_after, int) and not_after > claims.iat + MAX_NOT_AFTER_S:
        raise RefusalError(Reason.BAD_VALUE, "not_after is more than 7 days after iat")


def check_dates(claims: Heading, clock: ClockView) -> None:
    """The dates against the clock; without one, what the floor has passed. The core makes the rest wait for the time.

    Raises:
        RefusalError: `not_yet_valid`, `expired`.
    """
    if clock.trusted_s is not None and claims.iat > clock.trusted_s + MAX_AHEAD_S:
        raise RefusalError(
            Reason.NOT_YET_VALID, f"iat is {claims.iat - clock.trusted_s:.0f} s ahead of this node's time"
        )
    if claims.exp <= clock.at_least_s:
        raise RefusalError(Reason.EXPIRED, f"exp passed {clock.at_least_s - claims.exp:.0f} s ago")
