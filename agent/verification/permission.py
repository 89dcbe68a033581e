"""What the keys that signed may order: each command's permissions, and how many signatures they ask (protocol 4, 6).

Pure; any thread. Which keys count was settled before (`authority`).
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from agent.messages.commands import (
    ROOTS,
    AnyCommand,
    Order,
    Play,
    Prefetch,
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
from agent.messages.reasons import Reason
from agent.messages.trust import Permission, TrustDocument, TrustedKey
from agent.messages.words import Kind
from agent.verification.authority import Counted
from agent.verification.envelope import RefusalError


class Grant(NamedTuple):
    """What the keys of one command allow it, once approvals are met."""

    kids: tuple[str, ...]
    may: frozenset[str]
    max_volume_percent: int


Needed = frozenset[Permission]
"""All that each counted key must hold; empty where any key will do."""

_PLAY: dict[Kind, Permission] = {
    Kind.NORMAL: "play.normal",
    Kind.PRIORITY: "play.priority",
    Kind.EMERGENCY: "play.emergency",
}
_NEEDS_OF_PLAY: dict[Kind, tuple[Needed, ...]] = {kind: (frozenset((name,)),) for kind, name in _PLAY.items()}


_NEEDS: dict[type[AnyCommand], tuple[Needed, ...]] = {
    Stop: tuple(frozenset((permission,)) for permission in ("stop", *_PLAY.values())),
    SetVolume: (frozenset(("volume",)),),
    SetMute: (frozenset(("volume",)),),
    Time: (frozenset(("time",)),),
    ReportNow: (frozenset(),),
    SelfTest: (frozenset(("restart",)),),
    Restart: (frozenset(("restart",)),),
    SetPolicy: (frozenset(("policy",)),),
    Order: (frozenset(("play.priority",)),),
    Prefetch: (frozenset(("prefetch",)),),
}


def permissions_for(command: AnyCommand) -> tuple[Needed, ...]:
    """What each counted key must hold: one of these, the first that is held deciding.

    A `stop` is let through for whoever may order something: they may end their own, and what that is, the core says.
    """
    if isinstance(command, Play):
        return _NEEDS_OF_PLAY[command.kind]
    if isinstance(command, SetSchedule):
        return (frozenset(("schedule", *(_PLAY[slot.kind] for slot in command.slots))),)
    return _NEEDS[type(command)]


def grant(command: AnyCommand, iss: str, counted: Counted, trust: TrustDocument, *, stored: bool) -> Grant:
    """What the counted keys allow, if they allow this command.

    Each key must hold all that is needed, the issuer's among them: a lesser key must not lend its name to a greater.
    A retired key (`may: []`) signs nothing new, but what it ordered stays (`stored`). A root has no permission either,
    and is not retired: it may ask for a report.

    Raises:
        RefusalError: `not_permitted`, `not_enough_signatures`.
    """
    if counted.rooted:
        return _grant_of(counted.keys, trust, frozenset({ROOTS, "time"}))
    if isinstance(command, SetTrust):
        raise _lacking_roots(counted, trust)
    short = ""
    for needed in permissions_for(command):
        granting = [key for key in counted.keys if _holds(key, needed, trust.roots.kids, stored=stored)]
        if iss not in [key.authority for key in granting]:
            continue
        asked, name = 1, ""
        if trust.approvals:
            asked, name = max(((trust.approvals.get(name, 1), name) for name in needed), default=(1, ""))
        if len(granting) >= asked:
            return _grant_of(granting, trust, frozenset())
        short = f"{name} asks {asked} signatures, {len(granting)} count"
    if short:
        raise RefusalError(Reason.NOT_ENOUGH_SIGNATURES, short)
    raise RefusalError(Reason.NOT_PERMITTED, f"no key of {iss[:80]!r} in force here may order this")


def _lacking_roots(counted: Counted, trust: TrustDocument) -> RefusalError:
    count = sum(key.kid in trust.roots.kids for key in counted.keys)
    if not count:
        return RefusalError(Reason.NOT_PERMITTED, "no root of the trust document in force has signed")
    return RefusalError(Reason.NOT_ENOUGH_SIGNATURES, f"the roots in force ask {trust.roots.threshold}, {count} count")


def _holds(key: TrustedKey, needed: Needed, roots: Collection[str], *, stored: bool) -> bool:
    if key.may:
        return needed.issubset(key.may)
    return stored or (not needed and key.kid in roots)


def _grant_of(keys: Sequence[TrustedKey], trust: TrustDocument, besides: frozenset[str]) -> Grant:
    if len(keys) == 1 and not trust.approvals:  # nearly every order: a fifth of what the sets below take
        return Grant((keys[0].kid,), besides.union(keys[0].may), keys[0].max_volume_percent)
    held = {permission for key in keys for permission in key.may}
    asked = trust.approvals
    unmet = {name for name in asked if name in held and sum(name in key.may for key in keys) < asked[name]}
    return Grant(
        kids=tuple(key.kid for key in keys),
        may=besides | (held - unmet),
        max_volume_percent=min(key.max_volume_percent for key in keys),
    )
