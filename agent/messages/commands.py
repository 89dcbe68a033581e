"""What the node may be told: the payload words of protocol sections 3 and 4. Schedules and policies: `documents`."""

from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.messages.documents import SetPolicy, SetSchedule
from agent.messages.sources import Source, require_siren_for_emergency
from agent.messages.trust import TrustDocument
from agent.messages.words import (
    Command,
    DurationSeconds,
    ItemId,
    Kind,
    Percent,
    Text200,
    UnixSeconds,
    Word,
    require_plain_text,
)


class Repeat(Word, frozen=True):
    """How often an item sounds in all, and the pause between."""

    count: Annotated[int, Meta(ge=1, le=100)]
    gap_s: Annotated[int, Meta(ge=0, le=3_600)]


class Play(Command, frozen=True, tag="play", omit_defaults=True):
    """Put one item into the programme."""

    item: ItemId
    kind: Kind
    title: Text200
    sources: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=4)]
    max_duration_s: DurationSeconds
    volume_percent: Percent | UnsetType = UNSET
    start_at: UnixSeconds | UnsetType = UNSET
    not_after: UnixSeconds | UnsetType = UNSET
    repeat: Repeat | UnsetType = UNSET
    chime: bool | UnsetType = UNSET
    replaces: Annotated[tuple[ItemId, ...], Meta(max_length=16)] | UnsetType = UNSET
    zones: Annotated[tuple[ItemId, ...], Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    resume: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_plain_text("title", self.title)
        require_siren_for_emergency(self.kind, self.sources)


class Stop(Command, frozen=True, tag="stop", omit_defaults=True):
    """End one item, or all that this key may end."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    reason: Text200
    item: ItemId | UnsetType = UNSET
    all: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_plain_text("reason", self.reason)
        if (self.item is UNSET) == (self.all is UNSET) or self.all is False:
            raise ValueError("stop names either an item or all: true")


class Order(Command, frozen=True, tag="order"):
    """The waiting priority items in this order; those it does not name come after, as they were."""

    items: Annotated[tuple[ItemId, ...], Meta(min_length=1, max_length=100)]

    def __post_init__(self) -> None:
        if len(set(self.items)) != len(self.items):
            raise ValueError("an item stands twice")


class Prefetch(Command, frozen=True, tag="prefetch", omit_defaults=True):
    """Files that an order will name: brought at leisure; pinned ones stay, whatever else wants their place."""

    MAX_LIFETIME_S: ClassVar[int] = 7 * 24 * 3_600

    sources: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=16)]
    pin: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if any(source.file is UNSET for source in self.sources):
            raise ValueError("only files can be prefetched")


class SetVolume(Command, frozen=True, tag="set_volume"):
    """The node's volume for items that name none; survives a restart."""

    MAX_LIFETIME_S: ClassVar[int] = 7 * 24 * 3_600

    percent: Percent


class SetMute(Command, frozen=True, tag="set_mute"):
    """Silence for everything but emergencies; survives a restart. Only muting is obeyed on an untrusted clock."""

    MAX_LIFETIME_S: ClassVar[int] = 7 * 24 * 3_600

    muted: bool


class ReportNow(Command, frozen=True, tag="report_now"):
    """Ask for a `status` report with this command's `jti`."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True


class SelfTest(Command, frozen=True, tag="self_test"):
    """Look at card, amplifiers and disk, without a sound; a `status` report with this command's `jti` follows."""


class Restart(Command, frozen=True, tag="restart"):
    """End in good order, for the service manager to begin anew; not while an emergency sounds or waits."""


class Time(Command, frozen=True, tag="time"):
    """Evidence of the time: `nonce` was published by this node less than a minute ago, `iat` is the time."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    nonce: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class SetTrust(Command, frozen=True, tag="set_trust"):
    """A whole new trust document. Its version is its replay protection: neither dates nor the clock are asked."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    trust: TrustDocument


AnyCommand = (
    Play
    | Stop
    | SetVolume
    | SetMute
    | ReportNow
    | SelfTest
    | Restart
    | Time
    | SetTrust
    | SetSchedule
    | SetPolicy
    | Order
    | Prefetch
)


def obeyed_without_clock(command: AnyCommand) -> bool:
    """Whether it is obeyed before the clock is trusted: what makes silence, and what helps to learn the time."""
    return command.WHILE_CLOCK_UNTRUSTED or (isinstance(command, SetMute) and command.muted)


NOT_YET_SUPPORTED = frozenset(
    {
        "live",
        "set_link",
    }
)
"""Types of protocol section 4 that this version knows by name and refuses as `not_supported`."""

LARGE_COMMANDS = frozenset({"set_schedule", "set_policy", "set_trust"})
"""Types whose envelope may reach 256 KiB; all others 16 KiB."""


ROOTS = "roots"
"""Stands among the permissions of what the threshold of today's roots has signed."""


class Heading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Protocol section 3: who says it, to whom, and when."""

    iss: Annotated[str, Meta(min_length=1, max_length=200)]
    aud: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(min_length=1, max_length=200)]
    jti: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{16,64}\Z")]
    iat: UnixSeconds
    exp: UnixSeconds


class Claims(Heading, frozen=True, forbid_unknown_fields=True):
    """All six, before the command in them is looked at."""

    command: dict[str, object]


class SpokenClaims(Heading, frozen=True, forbid_unknown_fields=True):
    """All six, read at once."""

    command: AnyCommand


class VerifiedCommand(msgspec.Struct, frozen=True):
    """A command whose signatures, addressee and permissions hold. Only `security` makes one.

    `may` is what the counted keys hold once approvals are met; `envelope` is kept so that trust can be asked again.
    """

    iss: str
    jti: str
    iat: int
    exp: int
    command: AnyCommand
    kids: tuple[str, ...]
    may: frozenset[str]
    max_volume_percent: int
    envelope: bytes
