"""What the node may be told: the payload words of protocol sections 3 and 4.

Bounds stand beside each member; decoding refuses unknown members, floats for integers and null for absent. An absent
optional member is `UNSET`, so that `null` never slips in as a value.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from agent.messages.trust import TrustDocument

ItemId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z", description="Names one item of the programme.")]
UnixSeconds = Annotated[int, Meta(ge=0, le=253_402_300_799, description="Seconds UTC, to the end of year 9999.")]
Percent = Annotated[int, Meta(ge=0, le=100)]
Text200 = Annotated[str, Meta(max_length=200)]
Uri = Annotated[str, Meta(min_length=1, max_length=2_048)]

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Largest file an order may name: the default cache holds no more."""


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""All of Unicode's control characters (category Cc); `isprintable` is the quick answer for nearly every text."""


def _require_plain_text(name: str, text: str) -> None:
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError(f"{name} must be Unicode NFC")
    if not text.isprintable() and _CONTROLS.search(text):
        raise ValueError(f"{name} must hold no control characters")


class Kind(StrEnum):
    """The three kinds of bulletin (Circular 39/2020): only an emergency pre-empts."""

    NORMAL = "normal"
    PRIORITY = "priority"
    EMERGENCY = "emergency"


class _Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that comes off the wire."""


class File(_Word, frozen=True):
    """Recorded sound, bound by its hash: any host may carry it, none can change it."""

    uri: Uri
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    bytes: Annotated[int, Meta(ge=1, le=MAX_FILE_BYTES)]


class Relay(_Word, frozen=True):
    """A third party's stream, bound by the node's allow-list."""

    uri: Uri


class Speech(_Word, frozen=True):
    """Text to be spoken."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    language: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{2,35}\Z")]
    voice: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")] | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require_plain_text("text", self.text)


class BuiltinName(StrEnum):
    """Sounds that the node makes by itself."""

    CHIME = "chime"
    SIREN = "siren"
    TONE = "tone"


class Builtin(_Word, frozen=True):
    """A sound synthesised on the node: needs neither network nor card space."""

    name: BuiltinName


class Source(_Word, frozen=True, omit_defaults=True):
    """Exactly one of the four; the member's name is the kind."""

    file: File | UnsetType = UNSET
    relay: Relay | UnsetType = UNSET
    speech: Speech | UnsetType = UNSET
    builtin: Builtin | UnsetType = UNSET

    def __post_init__(self) -> None:
        if sum(value is not UNSET for value in (self.file, self.relay, self.speech, self.builtin)) != 1:
            raise ValueError("a source is exactly one of file, relay, speech, builtin")

    @property
    def only(self) -> File | Relay | Speech | Builtin:
        """The one member that is set."""
        for value in (self.file, self.relay, self.speech, self.builtin):
            if not isinstance(value, UnsetType):
                return value
        raise AssertionError("unreachable: __post_init__ requires one member")


class Repeat(_Word, frozen=True):
    """How often an item sounds in all, and the pause between."""

    count: Annotated[int, Meta(ge=1, le=100)]
    gap_s: Annotated[int, Meta(ge=0, le=3_600)]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all commands; `type` on the wire tells them apart."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = False
    """Whether it is obeyed before the clock is trusted (protocol section 6)."""
    MAX_LIFETIME_S: ClassVar[int] = 24 * 3_600
    """Longest `exp` - `iat` (protocol section 3)."""


class Play(Command, frozen=True, tag="play", omit_defaults=True):
    """Put one item into the programme."""

    item: ItemId
    kind: Kind
    title: Text200
    sources: Annotated[tuple[Source, ...], Meta(min_length=1, max_length=4)]
    max_duration_s: Annotated[int, Meta(ge=1, le=14_400)]
    volume_percent: Percent | UnsetType = UNSET
    start_at: UnixSeconds | UnsetType = UNSET
    not_after: UnixSeconds | UnsetType = UNSET
    repeat: Repeat | UnsetType = UNSET
    chime: bool | UnsetType = UNSET
    replaces: Annotated[tuple[ItemId, ...], Meta(max_length=16)] | UnsetType = UNSET
    zones: Annotated[tuple[ItemId, ...], Meta(min_length=1, max_length=16)] | UnsetType = UNSET
    resume: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require_plain_text("title", self.title)


class Stop(Command, frozen=True, tag="stop", omit_defaults=True):
    """End one item, or all that this key may end."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    reason: Text200
    item: ItemId | UnsetType = UNSET
    all: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        _require_plain_text("reason", self.reason)
        if (self.item is UNSET) == (self.all is UNSET) or self.all is False:
            raise ValueError("stop names either an item or all: true")


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


class Time(Command, frozen=True, tag="time"):
    """Evidence of the time: `nonce` was published by this node less than a minute ago, `iat` is the time."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    nonce: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class SetTrust(Command, frozen=True, tag="set_trust"):
    """A whole new trust document. Its version is its replay protection: neither dates nor the clock are asked."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = True

    trust: TrustDocument


AnyCommand = Play | Stop | SetVolume | SetMute | ReportNow | Time | SetTrust


def obeyed_without_clock(command: AnyCommand) -> bool:
    """Whether it is obeyed before the clock is trusted: what makes silence, and what helps to learn the time."""
    return command.WHILE_CLOCK_UNTRUSTED or (isinstance(command, SetMute) and command.muted)


NOT_YET_SUPPORTED = frozenset(
    {
        "order",
        "set_schedule",
        "set_policy",
        "prefetch",
        "self_test",
        "restart",
        "live",
        "set_link",
    }
)
"""Types of protocol section 4 that this version knows by name and refuses as `not_supported`."""

LARGE_COMMANDS = frozenset({"set_schedule", "set_policy", "set_trust"})
"""Types whose envelope may reach 256 KiB; all others 16 KiB."""


ROOTS = "roots"
"""Stands among the permissions of what the threshold of today's roots has signed."""


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Protocol section 3, before the command in it is looked at."""

    iss: Annotated[str, Meta(min_length=1, max_length=200)]
    aud: Annotated[tuple[Annotated[str, Meta(max_length=128)], ...], Meta(min_length=1, max_length=200)]
    jti: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{16,64}\Z")]
    iat: UnixSeconds
    exp: UnixSeconds
    command: dict[str, object]


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
