"""Between bytes and words. Strict inward: what is not exactly right is named and refused; compact outward.

The only module besides its siblings that knows msgspec. Pure; any thread.
"""

import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import msgspec

from agent.messages.reasons import Reason

T = TypeVar("T")


class WordError(ValueError):
    """What was received is not a word we know. `reason` is the code, the text one sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def _refuse_float(text: str) -> NoReturn:
    raise WordError(Reason.BAD_VALUE, f"{text[:40]} is not an integer")


def _refuse_constant(text: str) -> NoReturn:
    raise WordError(Reason.MALFORMED_JSON, f"{text} is not JSON")


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise WordError(Reason.DUPLICATE_MEMBER, f"member {twice[:40]!r} stands twice")
    return members


_decoder = json.JSONDecoder(object_pairs_hook=_members_once, parse_float=_refuse_float, parse_constant=_refuse_constant)


class _NotPlainError(ValueError):
    """Something that the quick reading leaves to the strict one."""


def _leave_float(_: str) -> NoReturn:
    raise _NotPlainError


_quick_decoder = msgspec.json.Decoder(float_hook=_leave_float)
_encoder = msgspec.json.Encoder()


def parse_json(text: bytes) -> object:
    """Strict JSON: UTF-8, each member once, integers only, every string encodable again.

    What is spelt as we would spell it ourselves, byte for byte, has one reading: a member that stood twice, a lone
    surrogate or white space would not come back. All else is read strictly, at twice the cost.

    Raises:
        WordError: `malformed_json`, `duplicate_member`, or `bad_value` for a float.
    """
    try:
        return _parse_plain(text)
    except (ValueError, msgspec.MsgspecError, OverflowError, RecursionError):
        return parse_strictly(text)  # whatever it is: this names it


def _parse_plain(text: bytes) -> object:
    value: object = _quick_decoder.decode(text)
    if _encoder.encode(value) != text:
        raise _NotPlainError
    return value


def reader_at_once(word: type[T]) -> Callable[[bytes], T | None]:
    """Reads that word from JSON in one go, where the text has one reading, as in `parse_json`.

    Then it is what `convert` would make of it. None of all else: the strict reading says what it is. Whoever puts the
    members in our order saves the second look.
    """
    decoder = msgspec.json.Decoder(word)

    def read(text: bytes) -> T | None:
        try:
            found = decoder.decode(text)
            if _encoder.encode(found) != text:
                _parse_plain(text)
        except (ValueError, msgspec.MsgspecError, OverflowError, RecursionError):
            return None
        return found

    return read


def parse_strictly(text: bytes) -> object:
    """`parse_json` in its full length.

    Raises:
        WordError: as `parse_json`.
    """
    try:
        value = _decoder.decode(text.decode("utf-8"))
        if b"\\" in text and (b"\\ud" in text or b"\\uD" in text):
            _refuse_lone_surrogates(value)
    except WordError:
        raise
    except (ValueError, RecursionError) as error:
        raise WordError(Reason.MALFORMED_JSON, f"not JSON: {str(error)[:100]}") from None
    return value


def _refuse_lone_surrogates(value: object) -> None:
    """Half a character: JSON can spell it, UTF-8 cannot, so a report about it would fail later and elsewhere."""
    json.dumps(value, ensure_ascii=False).encode("utf-8")


_base64_decoder = msgspec.json.Decoder(bytes)


def decode_base64(text: bytes) -> bytes:
    """The octets of padded base64 in the standard alphabet, at 0.4 of what `binascii` takes. Spare bits are not asked.

    `text` holds neither quotation mark nor backslash, as the caller has made sure.

    Raises:
        ValueError: a foreign character, or padding where none belongs.
    """
    try:
        return _base64_decoder.decode(b'"' + text + b'"')
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _reason_of(message: str) -> Reason:
    """The reason for a msgspec message; tests hold these beginnings fast."""
    if message.startswith("Object contains unknown field"):
        return Reason.UNKNOWN_MEMBER
    if message.startswith("Object missing required field"):
        return Reason.MISSING_MEMBER
    return Reason.BAD_VALUE


def convert(value: object, word: type[T]) -> T:
    """Plain objects to one typed word.

    Raises:
        WordError: `unknown_member`, `missing_member`, or `bad_value`, with the path of what is wrong.
    """
    try:
        return msgspec.convert(value, word, strict=True)
    except msgspec.ValidationError as error:
        message = str(error)
        raise WordError(_reason_of(message), message[:200]) from None


def encode(word: object) -> bytes:
    """A word, or another of our frozen records, as compact JSON."""
    return msgspec.json.encode(word)


def decode(text: bytes, word: type[T]) -> T:
    """Our own JSON back to a word (outbox, command line); for what comes from outside use `parse_json` and `convert`.

    Raises:
        WordError: as `convert`.
    """
    try:
        return msgspec.json.decode(text, type=word)
    except msgspec.MsgspecError as error:
        message = str(error)
        raise WordError(_reason_of(message), message[:200]) from None
