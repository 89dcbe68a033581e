"""Where an item's sound comes from (protocol section 4): exactly one of four kinds."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from agent.messages.words import Kind, Word, require_plain_text

Uri = Annotated[str, Meta(min_length=1, max_length=2_048)]

MAX_FILE_BYTES = 512 * 1024 * 1024
"""Largest file an order may name: the default cache holds no more."""


class File(Word, frozen=True):
    """Recorded sound, bound by its hash: any host may carry it, none can change it."""

    uri: Uri
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    bytes: Annotated[int, Meta(ge=1, le=MAX_FILE_BYTES)]


class Relay(Word, frozen=True):
    """A third party's stream, bound by the node's allow-list."""

    uri: Uri


class Speech(Word, frozen=True):
    """Text to be spoken."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000)]
    language: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9-]{2,35}\Z")]
    voice: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")] | UnsetType = UNSET

    def __post_init__(self) -> None:
        require_plain_text("text", self.text)


class BuiltinName(StrEnum):
    """Sounds that the node makes by itself."""

    CHIME = "chime"
    SIREN = "siren"
    TONE = "tone"


CHIME_SAMPLES = 96_000
"""How long the chime is, at 48 kHz: what comes on top of an item's own length."""


class Builtin(Word, frozen=True):
    """A sound synthesised on the node: needs neither network nor card space."""

    name: BuiltinName


_KINDS = 4


class Source(Word, frozen=True, omit_defaults=True):
    """Exactly one of the four; the member's name is the kind."""

    file: File | UnsetType = UNSET
    relay: Relay | UnsetType = UNSET
    speech: Speech | UnsetType = UNSET
    builtin: Builtin | UnsetType = UNSET

    def __post_init__(self) -> None:
        absent = (self.file is UNSET) + (self.relay is UNSET) + (self.speech is UNSET) + (self.builtin is UNSET)
        if absent != _KINDS - 1:
            raise ValueError("a source is exactly one of file, relay, speech, builtin")

    @property
    def only(self) -> File | Relay | Speech | Builtin:
        """The one member that is set."""
        for value in (self.file, self.relay, self.speech, self.builtin):
            if not isinstance(value, UnsetType):
                return value
        raise AssertionError("unreachable: __post_init__ requires one member")


def require_siren_for_emergency(kind: Kind, sources: tuple[Source, ...]) -> None:
    """The siren means one thing to a village.

    Raises:
        ValueError: a siren in an item of another kind.
    """
    if kind is Kind.EMERGENCY:
        return
    for source in sources:
        if isinstance(source.builtin, Builtin) and source.builtin.name is BuiltinName.SIREN:
            raise ValueError(f"the siren sounds only in an emergency, not in a {kind} item")
