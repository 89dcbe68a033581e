"""The bounds of every command: the last value that is taken and the first that is not (protocol section 4)."""

import sys
import unicodedata

import pytest

from agent.messages import words
from agent.messages.codec import WordError, convert, decode, encode
from agent.messages.commands import (
    LARGE_COMMANDS,
    NOT_YET_SUPPORTED,
    AnyCommand,
    Play,
    ReportNow,
    Restart,
    SelfTest,
    SetMute,
    SetVolume,
    Stop,
    Time,
)
from agent.messages.reasons import Reason
from agent.messages.sources import MAX_FILE_BYTES, Builtin, File, Relay, Source, Speech
from agent.messages.words import require_plain_text
from tests.signing import changed, play

Members = dict[str, object]
FILE: Members = {"uri": "https://a.example/x.mp3", "sha256": "0" * 64, "bytes": 1}
SPEECH: Members = {"text": "Xin chào", "language": "vi"}
END_OF_9999 = 253_402_300_799


def takes(**changes: object) -> Play:
    return convert(play(**changes), Play)


def refuses(expected: Reason = Reason.BAD_VALUE, /, **changes: object) -> None:
    with pytest.raises(WordError) as refused:
        takes(**changes)
    assert refused.value.reason is expected, refused.value.detail


@pytest.mark.parametrize("before", ["", "x" * 150, "ế" * 150], ids=["short", "long", "long and Vietnamese"])
def test_a_text_is_plain_whatever_its_length_if_no_character_is_a_control_or_uncomposed(before: str) -> None:
    """Each character of the first plane, asked of Unicode's own tables."""
    wrong = []
    for number in (*range(0xD800), *range(0xE000, 0x10000)):
        letter = chr(number)
        plain = unicodedata.category(letter) != "Cc" and unicodedata.is_normalized("NFC", before + letter)
        try:
            require_plain_text("text", before + letter)
        except ValueError:
            found = False
        else:
            found = True
        if found is not plain:
            wrong.append(number)
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("max_duration_s", 1, 14_400),
        ("volume_percent", 0, 100),
        ("start_at", 0, END_OF_9999),
        ("not_after", 0, END_OF_9999),
    ],
)
def test_numbers_of_a_play(name: str, least: int, most: int) -> None:
    for good in (least, most):
        assert getattr(takes(**{name: good}), name) == good
    for bad in (least - 1, most + 1, str(least), None, True, [least], 10**30):
        refuses(**{name: bad})


@pytest.mark.parametrize("name", ["item", "kind", "title", "sources", "max_duration_s"])
def test_what_every_play_has(name: str) -> None:
    with pytest.raises(WordError) as refused:
        convert(changed(play(), {name: ...}), Play)
    assert refused.value.reason is Reason.MISSING_MEMBER


@pytest.mark.parametrize("item", ["a", "A-z.0_9", "x" * 64])
def test_names_of_items(item: str) -> None:
    assert takes(item=item).item == item
    assert takes(replaces=[item], zones=[item]).zones == (item,)


@pytest.mark.parametrize("item", ["", "x" * 65, "a b", "a/b", "tin\n", "tín", None, 5])
def test_what_is_no_name_of_an_item(item: object) -> None:
    refuses(item=item)
    refuses(replaces=[item])
    refuses(zones=[item])


@pytest.mark.parametrize("kind", ["Normal", "", "urgent", None, 1])
def test_other_kinds(kind: object) -> None:
    refuses(kind=kind)


@pytest.mark.parametrize("title", ["", "Báo động lũ", "\U0001f600", "x" * 200])
def test_titles(title: str) -> None:
    assert takes(title=title).title == title


@pytest.mark.parametrize(
    "title", ["x" * 201, unicodedata.normalize("NFD", "lũ"), "a\nb", "\x00", "\x1b[2J", "\x7f", "\x85", None, 1]
)
def test_titles_that_could_bend_a_log_or_a_screen(title: object) -> None:
    refuses(title=title)


def test_all_of_unicodes_controls_are_refused() -> None:
    controls = [chr(code) for code in range(sys.maxunicode) if unicodedata.category(chr(code)) == "Cc"]
    assert len(controls) == 65
    for control in controls:
        refuses(title=control)


def test_one_to_four_sources() -> None:
    source = {"file": FILE}
    assert len(takes(sources=[source] * 4).sources) == 4
    two = {**source, "relay": {"uri": "x"}}
    others: list[object] = [[], [source] * 5, source, None, [None], [{}], [two], [{"file": None}]]
    for bad in others:
        refuses(sources=bad)
    refuses(Reason.UNKNOWN_MEMBER, sources=[{"stream": {}}])


@pytest.mark.parametrize(
    ("kind", "members", "most"),
    [
        ("file", FILE, {"uri": "u" * 2_048, "sha256": "0123456789abcdef" * 4, "bytes": MAX_FILE_BYTES}),
        ("relay", {"uri": "https://a.example"}, {"uri": "u" * 2_048}),
        ("speech", SPEECH, {"text": "x" * 2_000, "language": "x" * 35, "voice": "v" * 64}),
        ("builtin", {"name": "tone"}, {"name": "chime"}),
    ],
)
def test_each_source_within_its_bounds(kind: str, members: Members, most: Members) -> None:
    assert takes(sources=[{kind: members}])
    for name, value in most.items():
        assert takes(sources=[{kind: {**members, name: value}}])
        beyond = value + 1 if isinstance(value, int) else f"{value}x"
        others: list[object] = [beyond, "", None, True, -1, []]
        for bad in others:
            refuses(sources=[{kind: {**members, name: bad}}])
    refuses(Reason.UNKNOWN_MEMBER, sources=[{kind: {**members, "more": 1}}])


@pytest.mark.parametrize("sha256", ["0" * 63, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_hashes_are_lower_case_hex(sha256: str) -> None:
    refuses(sources=[{"file": {**FILE, "sha256": sha256}}])


@pytest.mark.parametrize("text", [unicodedata.normalize("NFD", "lũ"), "a\nb", "x" * 2_001])
def test_speech_is_plain_text(text: str) -> None:
    refuses(sources=[{"speech": {**SPEECH, "text": text}}])


def test_the_one_source_that_is_set() -> None:
    four = [{"file": FILE}, {"relay": {"uri": "u"}}, {"speech": SPEECH}, {"builtin": {"name": "chime"}}]
    assert [type(source.only) for source in takes(sources=four).sources] == [File, Relay, Speech, Builtin]
    with pytest.raises(ValueError, match="exactly one"):
        Source()


def test_repeats() -> None:
    for count, gap_s in ((1, 0), (100, 3_600)):
        assert takes(repeat={"count": count, "gap_s": gap_s})
    for bad in ({"count": 0, "gap_s": 0}, {"count": 101, "gap_s": 0}, {"count": 1, "gap_s": -1}, 5, None):
        refuses(repeat=bad)
    refuses(repeat={"count": 1, "gap_s": 3_601})
    refuses(Reason.MISSING_MEMBER, repeat={"count": 1})


def test_lists_of_items_and_zones() -> None:
    assert takes(replaces=[], zones=["z"])
    assert takes(replaces=["i"] * 16, zones=["z"] * 16)
    others: list[object] = [["i"] * 17, "i", None, {}]
    for bad in others:
        refuses(replaces=bad)
        refuses(zones=bad)
    refuses(zones=[])


@pytest.mark.parametrize("name", ["chime", "resume"])
def test_yes_and_no(name: str) -> None:
    for good in (True, False):
        assert getattr(takes(**{name: good}), name) is good
    for bad in (1, 0, "true", None):
        refuses(**{name: bad})


@pytest.mark.parametrize(
    ("word", "good", "bad"),
    [
        (Stop, [{"item": "a", "reason": ""}, {"all": True, "reason": "x" * 200}],
         [{"reason": ""}, {"item": "a", "all": True, "reason": ""}, {"all": False, "reason": ""}, {"item": "a"},
          {"item": "a", "all": False, "reason": ""}, {"item": None, "all": True, "reason": ""},
          {"item": "a", "reason": "x" * 201}, {"item": "a", "reason": "\n"}]),
        (SetVolume, [{"percent": 0}, {"percent": 100}], [{}, {"percent": 101}, {"percent": -1}, {"percent": "5"}]),
        (SetMute, [{"muted": True}, {"muted": False}], [{}, {"muted": 1}, {"muted": None}, {"muted": True, "x": 1}]),
        (ReportNow, [{}], [{"x": 1}]),
        (Restart, [{}], [{"x": 1}]),
        (SelfTest, [{}], [{"x": 1}]),
        (Time, [{"nonce": "0123456789abcdef" * 2}],
         [{}, {"nonce": "0" * 31}, {"nonce": "0" * 33}, {"nonce": "A" * 32}, {"nonce": "0" * 32 + "\n"}]),
    ],
)  # fmt: skip
def test_the_other_commands(word: type[AnyCommand], good: list[Members], bad: list[Members]) -> None:
    for members in good:
        command = convert(members, word)
        assert decode(encode(command), word) == command
    for members in bad:
        with pytest.raises(WordError):
            convert(members, word)


def test_what_is_large_is_a_document() -> None:
    assert not LARGE_COMMANDS & NOT_YET_SUPPORTED
    assert {"set_trust", "set_schedule", "set_policy"} == LARGE_COMMANDS


def test_what_passes_as_plain_latin_is_composed_and_without_controls_in_any_order() -> None:
    """The quick answer for nearly every text must never differ from Unicode's own."""
    plain = [chr(code) for code in range(sys.maxunicode + 1) if words._PLAIN.fullmatch(chr(code))]
    assert {"đ", "ờ", "Ự", "-", "~", " "} <= set(plain)
    assert [letter for letter in plain if unicodedata.category(letter) == "Cc" or unicodedata.combining(letter)] == []
    for first in plain:
        pairs = "".join(first + second for second in plain)
        assert unicodedata.is_normalized("NFC", pairs)


@pytest.mark.parametrize("text", ["e\u0302", "a\u0301", "tin\x85", "tin\u009f", "\x7f", "a\tb", "\u1100\u1161"])
def test_what_is_not_composed_or_holds_a_control_is_refused_wherever_it_stands(text: str) -> None:
    for title in (text, f"Nước lên {text}", f"{text} nhanh 漢字"):
        refuses(title=title)
