"""Strict inward: each way of writing JSON with two meanings is refused by name."""

import binascii
import contextlib
import json
from base64 import b64encode
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.messages.codec import WordError, convert, decode, decode_base64, encode, parse_json, parse_strictly
from agent.messages.commands import Repeat, SetVolume
from agent.messages.reasons import Reason


def refusal(text: bytes) -> Reason:
    with pytest.raises(WordError) as refused:
        parse_json(text)
    assert len(refused.value.detail) < 200
    assert str(refused.value) == refused.value.detail
    return refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}{}",
        b"{'a':1}",
        b"[1,]",
        b'{"a":1,}',
        b"// comment\n{}",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"01",
        b"+1",
        b"0x1",
        b'"\x01"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"\x00",
        '{"a":1}'.encode("utf-16"),
        pytest.param(b"[" * 100_000, id="deep lists"),
        pytest.param(b'{"a":' * 100_000, id="deep objects"),
        pytest.param(b"9" * 5_000, id="5,000 digits"),
        pytest.param(b"-" + b"9" * 100_000, id="100,000 digits"),
    ],
)
def test_what_is_no_json(text: bytes) -> None:
    assert refusal(text) is Reason.MALFORMED_JSON


@pytest.mark.parametrize(
    "text",
    [
        b"1.0",
        b"1e3",
        b"-0.0",
        b"1E400",
        b'{"a":[1,2.5]}',
        pytest.param(b"1." + b"0" * 90_000, id="a long one"),
    ],
)
def test_a_float(text: bytes) -> None:
    assert refusal(text) is Reason.BAD_VALUE


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"\\u0061":2}',
        b'[[{"b":{"a":1,"a":2}}]]',
        b'{"a":{"x":1},"a":{}}',
        pytest.param(b'{"' + b"k" * 9_000 + b'":1,"' + b"k" * 9_000 + b'":2}', id="a long name"),
    ],
)
def test_a_member_twice_at_any_depth(text: bytes) -> None:
    assert refusal(text) is Reason.DUPLICATE_MEMBER


@pytest.mark.parametrize(
    "text", [rb'"\ud800"', rb'"\uDFFF"', rb'{"\ud800":1}', rb'[["a\uDBFFb"]]', rb'"\udc00\ud800"', rb'"\uD83D x"']
)
def test_half_a_character(text: bytes) -> None:
    assert refusal(text) is Reason.MALFORMED_JSON


@pytest.mark.parametrize(
    ("text", "value"),
    [(rb'"\ud83d\ude00"', "\U0001f600"), (rb'"\\ud800"', "\\ud800"), (rb'"\u1ea1"', "ạ"), (b' {"a" : 1}\n', {"a": 1})],
)
def test_what_looks_like_trouble_and_is_none(text: bytes, value: object) -> None:
    assert parse_json(text) == value


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=10,
    )
)
def test_all_other_json_is_read_as_it_was_written(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


def outcome(read: Callable[[bytes], object], text: bytes) -> str:
    """The value with its types and the order of its members, or the reason."""
    try:
        return repr(read(text))
    except WordError as error:
        return f"{error.reason}: {error.detail}"


JSON_BYTES = [
    b'"',
    b":",
    b",",
    b"{",
    b"}",
    b"[",
    b"]",
    b"1",
    b"0",
    b"-",
    b".",
    b"e",
    b"true",
    b"null",
    b"a",
    b" ",
    b"\\",
]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))


@settings(deadline=None)
@given(
    PLAIN
    | st.lists(st.sampled_from(JSON_BYTES), max_size=12).map(b"".join)
    | st.tuples(PLAIN, PLAIN).map(lambda two: b'{"a":' + two[0] + b',"a":' + two[1] + b"}")
    | st.binary(max_size=20)
)
@example(b'{"a":1,"a":1}')
@example(b"-0")
@example(b"1e2")
@example(b"9" * 400)
@example(b"18446744073709551616")
@example(rb'"\ud800"')
def test_the_quick_reading_is_the_strict_one(text: bytes) -> None:
    assert outcome(parse_json, text) == outcome(parse_strictly, text)


BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@settings(deadline=None)
@given(
    st.binary(max_size=40).map(b64encode)
    | st.lists(st.sampled_from([*(bytes([octet]) for octet in BASE64), b"=", b"!", b"-"]), max_size=12).map(b"".join)
)
def test_base64_is_what_the_standard_library_takes_for_it(text: bytes) -> None:
    try:
        expected: bytes | None = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        expected = None
    found: bytes | None = None
    with contextlib.suppress(ValueError):
        found = decode_base64(text)
    assert found == expected


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_bytes_are_a_value_or_a_word_error(text: bytes) -> None:
    value: object = None
    with contextlib.suppress(WordError):
        value = parse_json(text)
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"count": 1, "gap_s": 0, "more": 1}, Reason.UNKNOWN_MEMBER),
        ({"count": 1}, Reason.MISSING_MEMBER),
        ({}, Reason.MISSING_MEMBER),
        ({"count": 0, "gap_s": 0}, Reason.BAD_VALUE),
        ({"count": True, "gap_s": 0}, Reason.BAD_VALUE),
        ({"count": "1", "gap_s": 0}, Reason.BAD_VALUE),
        ({"count": None, "gap_s": 0}, Reason.BAD_VALUE),
        pytest.param({"count": 10**400, "gap_s": 0}, Reason.BAD_VALUE, id="a huge number"),
        ([1, 0], Reason.BAD_VALUE),
        (None, Reason.BAD_VALUE),
    ],
)
def test_the_reason_for_what_is_no_word(value: object, reason: Reason) -> None:
    """The reasons are read off msgspec's messages: this holds their beginnings fast."""
    with pytest.raises(WordError) as refused:
        convert(value, Repeat)
    assert refused.value.reason is reason


def test_our_own_words_go_round() -> None:
    word = SetVolume(percent=40)
    assert encode(word) == b'{"type":"set_volume","percent":40}'
    assert decode(encode(word), SetVolume) == word


@pytest.mark.parametrize(
    ("text", "reason"),
    [(b"{", Reason.BAD_VALUE), (b'{"count":1}', Reason.MISSING_MEMBER), (b'{"x":1}', Reason.UNKNOWN_MEMBER)],
)
def test_our_own_words_damaged(text: bytes, reason: Reason) -> None:
    with pytest.raises(WordError) as refused:
        decode(text, Repeat)
    assert refused.value.reason is reason
