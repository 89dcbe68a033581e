"""Orders in words: commands and claims checked by the very types the node checks them with, before anything is signed.

Pure, but for `new_jti` and `new_item`, which throw dice; everything else takes time and names as arguments.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.messages import commands as words
from agent.messages.codec import WordError, convert, encode, parse_json
from agent.messages.commands import (
    AnyCommand,
    Claims,
    Play,
    ReportNow,
    Restart,
    SelfTest,
    SetMute,
    SetTrust,
    SetVolume,
    Stop,
    Time,
)
from agent.messages.documents import SetPolicy, SetSchedule
from agent.messages.words import Kind
from control import addresses
from control.envelope import Signer, sign
from control.problems import InputError

MAX_ORDER_BYTES = 16 * 1024
"""Protocol section 2: the largest envelope a node takes for the commands made here."""

MAX_DOCUMENT_BYTES = 256 * 1024
"""The same for schedules and policies."""

START_LEAD_S = 10
"""From an order to several nodes until it sounds on all of them at once: 4G brings it within 2 s, a card's slowest
commit takes 5 s, and 3 s are decoded ahead. A file that must be fetched first needs more, or a `prefetch`."""

MAX_NOT_AFTER_S = 7 * 24 * 3_600
"""Protocol section 4: `not_after` lies at most this long after `iat`."""

Word = AnyCommand | words.Order | words.Prefetch
"""What can be ordered here."""

COMMANDS: Mapping[str, type[Word]] = {
    "play": Play,
    "stop": Stop,
    "set_volume": SetVolume,
    "set_mute": SetMute,
    "report_now": ReportNow,
    "self_test": SelfTest,
    "restart": Restart,
    "time": Time,
    "order": words.Order,
    "prefetch": words.Prefetch,
}
"""The types this version knows how to order."""


@dataclass(frozen=True, slots=True)
class Order:
    """A signed order, ready to be published on `topics`."""

    envelope: bytes
    topics: tuple[str, ...]
    audience: tuple[str, ...]
    iss: str
    jti: str


def new_jti() -> str:
    """128 random bits: no two orders of one authority share one."""
    return secrets.token_urlsafe(16)


def new_item(kind: str, now: int) -> str:
    """A name for an item that says what and when, with 32 random bits against two in one second."""
    return f"{kind}-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def command(type: str, **members: object) -> Word:
    """A typed command; members that are None are left out.

    Raises:
        InputError: the node would refuse these words.
    """
    given = {name: value for name, value in members.items() if value is not None}
    try:
        return convert({"type": type, **given}, COMMANDS[type])
    except KeyError:
        raise InputError(f"{type!r} is no command of this version: {', '.join(COMMANDS)}") from None
    except WordError as error:
        raise InputError(f"the node would refuse this {type} ({error.reason}): {error.detail}") from None


def claims(word: Word | SetTrust, *, iss: str, audience: Sequence[str], jti: str, iat: int, lifetime_s: int) -> bytes:
    """The claims around a command as JSON (protocol section 3).

    Raises:
        InputError: a bound of the protocol is passed.
    """
    if lifetime_s > word.MAX_LIFETIME_S:
        raise InputError(f"this command may be valid for {word.MAX_LIFETIME_S} s at most, not {lifetime_s}")
    made = {
        "iss": iss,
        "aud": list(addresses.require_audience(audience)),
        "jti": jti,
        "iat": iat,
        "exp": iat + lifetime_s,
        "command": parse_json(encode(word)),
    }
    if isinstance(word, Play):
        _check_instants(word, iat=iat, exp=iat + lifetime_s)
    try:
        return encode(convert(made, Claims))
    except WordError as error:
        raise InputError(f"the node would refuse these claims ({error.reason}): {error.detail}") from None


def order(
    word: Word,
    *,
    iss: str,
    audience: Sequence[str],
    signers: Sequence[Signer],
    iat: int,
    lifetime_s: int,
    jti: str | None = None,
) -> Order:
    """The signed order, with the topics it goes to.

    Raises:
        InputError: the node would refuse it, for a reason that can be known here.
    """
    jti = new_jti() if jti is None else jti
    body = claims(word, iss=iss, audience=audience, jti=jti, iat=iat, lifetime_s=lifetime_s)
    try:
        envelope = sign(body, signers)
    except ValueError as error:
        raise InputError(str(error)) from None
    most = MAX_DOCUMENT_BYTES if isinstance(word, SetSchedule | SetPolicy) else MAX_ORDER_BYTES
    if len(envelope) > most:
        fewer = "name fewer nodes, or write less into it"
        raise InputError(f"the signed order takes {len(envelope)} bytes, nodes take {most}: {fewer}")
    return Order(envelope, addresses.topics(audience), tuple(audience), iss, jti)


def common_start_s(audience: Sequence[str], kind: Kind, now: int) -> int | None:
    """The instant on which several nodes begin together; None for one node, and for an emergency, which never waits."""
    alone = len(audience) == 1 and addresses.named_nodes(audience)
    return None if alone or kind is Kind.EMERGENCY else now + START_LEAD_S


def _check_instants(play: Play, *, iat: int, exp: int) -> None:
    """The bounds between instants, which no single member can state."""
    end = play.not_after if isinstance(play.not_after, int) else exp
    if not iat < end <= iat + MAX_NOT_AFTER_S:
        raise InputError("--not-after lies in the past, or more than 7 days ahead")
    if isinstance(play.start_at, int) and not iat <= play.start_at < end:
        raise InputError("--start-at must lie between now and --not-after (without it: the end of --expires)")
