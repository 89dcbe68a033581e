"""What the payload words are made of: names, numbers and texts with their bounds, and the two bases (protocol 3, 4).

Decoding refuses unknown members, floats for integers and null for absent. An absent optional member is `UNSET`, so that
`null` never slips in as a value.
"""

import re
import unicodedata
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

ItemId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z", description="Names one item of the programme.")]
LAST_SECOND = 253_402_300_799
"""The end of the year 9999: no calendar of ours goes further."""
UnixSeconds = Annotated[int, Meta(ge=0, le=LAST_SECOND, description="Seconds UTC.")]
Percent = Annotated[int, Meta(ge=0, le=100)]
DurationSeconds = Annotated[int, Meta(ge=1, le=14_400, description="Longest that one item sounds.")]
Text200 = Annotated[str, Meta(max_length=200)]

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""All of Unicode's control characters (category Cc)."""
_PLAIN = re.compile("[ -~\u00a0-\u02ff\u1e00-\u1eff]*")
"""Latin letters, Vietnamese ones among them: composed and no controls in any order, which a test holds fast. Nearly
every text is of these alone, and asking so takes a fifth of asking Unicode's tables twice."""


def require_plain_text(name: str, text: str) -> None:
    """Composed Unicode without controls.

    Raises:
        ValueError: it is not; the text names the member.
    """
    if _PLAIN.fullmatch(text):
        return
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError(f"{name} must be Unicode NFC")
    if _CONTROLS.search(text):
        raise ValueError(f"{name} must hold no control characters")


class Kind(StrEnum):
    """The three kinds of bulletin (Circular 39/2020): only an emergency pre-empts."""

    NORMAL = "normal"
    PRIORITY = "priority"
    EMERGENCY = "emergency"


class Word(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything that comes off the wire."""


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all commands; `type` on the wire tells them apart."""

    WHILE_CLOCK_UNTRUSTED: ClassVar[bool] = False
    """Whether it is obeyed before the clock is trusted (protocol section 6)."""
    MAX_LIFETIME_S: ClassVar[int] = 24 * 3_600
    """Longest `exp` - `iat` (protocol section 3)."""
