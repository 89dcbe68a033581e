"""The running node's condition in words: every line of it, in both languages."""

import re

import pytest
from msgspec.structs import replace

from agent.commands.language import Language
from agent.commands.phrases import Phrases
from agent.messages.condition import Condition, Piece, Silence, Sounded, Told
from agent.messages.reasons import Reason
from agent.messages.reports import ClockSeen, CommandOutcome, DocumentSeen

WORKING = Condition(
    node="hd-03",
    site="hoang-dao",
    version="0.1.0",
    rolled_back="0.2.0",
    public="p" * 43,
    timezone="Asia/Ho_Chi_Minh",
    at=1_790_000_000,
    up_s=3 * 86_400 + 4 * 3_600 + 5 * 60 + 6,
    ready=True,
    link_up=True,
    link=4,
    link_cause="mqtts://a.vn: the broker does not answer",
    clock=ClockSeen(True, "kernel", 1_790_000_000),
    trust=DocumentSeen("root", 2, "ab" * 32),
    key_ends="hd-operator",
    schedules=(DocumentSeen("commune clerk", 7, "cd" * 32),),
    policies=(),
    amplifiers={"main": "on", "yard": "fault"},
    programme=(
        Piece("flood", "emergency", "Lũ về", "civil defence", "sounding", "speech", 1_790_000_000),
        Piece("news", "normal", "Thời sự", "commune clerk", "held", "relay", 1_790_000_000),
    ),
    pieces=5,
    silence=(),
    forbidden={"normal": "policy_quiet_hours"},
    next_slot=1_790_010_000,
    volume_percent=80,
    muted=True,
    card_fault="",
    disk_fault="disk I/O error",
    untimed=2,
    outbox=3,
    refused={"replayed": 1, "bad_signature": 9},
    commands=(
        Told(1_789_999_000, CommandOutcome("civil defence", "jti-1", "accepted", None)),
        Told(1_789_999_500, CommandOutcome("commune clerk", "jti-2", "refused", Reason.EXPIRED, "an hour ago")),
    ),
    sounded=(Sounded(1_789_999_900, "morning", "failed", "stalled", "no sample for 5 s", 12.345),),
)
SILENT = replace(
    WORKING,
    link_up=False,
    clock=ClockSeen(False, "none", 1_789_000_000),
    up_s=65,
    programme=(),
    pieces=0,
    silence=(Silence.CLOCK, Silence.MUTED, Silence.NOTHING_ORDERED),
    key_ends="",
    commands=(),
    sounded=(),
    refused={},
    untimed=0,
    next_slot=None,
    timezone="Nowhere/Land",
    rolled_back="",
)


def said(condition: Condition, code: str) -> list[str]:
    language = Language(code)
    return "\n".join(f"{language.text(what)}: {how}" for what, how in Phrases(condition, language).lines()).split("\n")


def test_a_node_at_work() -> None:
    assert said(WORKING, "en") == [
        "node: hoang-dao/hd-03",
        "version: 0.1.0",
        "an upgrade that failed, and was taken back: 0.2.0",
        f"public key: {'p' * 43}",
        "running for: 3 d 4 h",
        "on the air: flood “Lũ về” (emergency, spoken text, civil defence): sounding",
        "not allowed now: normal: A policy's quiet hours hold",
        "after it: news “Thời sự” (normal, relayed station, commune clerk): held, goes on later; + 3",
        "next in the schedule: 2026-09-22 00:00:00",
        "link: up, connection 4",
        "clock: trusted (kernel), 2026-09-21 21:13:20",
        f"trust: version 2, SHA-256 {'ab' * 32}",
        "keys that end soon, or have ended: hd-operator",
        "schedules: version 7 of commune clerk",
        "policies: none",
        "amplifiers: main on, yard FAULT",
        "volume: 80 %, muted",
        "sound card: ok",
        "disk: disk I/O error",
        "commands waiting for the time: 2",
        "reports waiting: 3",
        "refused: replayed 1, bad_signature 9",
        "last commands: ",
        "  2026-09-21 21:05:00 jti-2 (commune clerk): refused, expired: `exp` has passed [an hour ago]",
        "  2026-09-21 20:56:40 jti-1 (civil defence): accepted",
        "last items: ",
        (
            "  2026-09-21 21:11:40 morning: failed, 12.3 s heard, "
            "stalled: The source was there, but no sound came, or no more [no sample for 5 s]"
        ),
    ]


def test_a_node_that_is_silent_says_why() -> None:
    lines = said(SILENT, "en")
    assert "on the air: nothing" in lines
    told = "the time is not known: connect the network, or fit a clock chip; muted by a command; nothing is ordered"
    assert f"why nothing sounds: {told}" in lines
    assert "link: down, connection 4: mqtts://a.vn: the broker does not answer" in lines
    assert "clock: not trusted, later than 2026-09-10 00:26:40 UTC" in lines
    assert "running for: 1 min 5 s" in lines
    assert [line for line in lines if line.endswith(": none")] == [
        "policies: none",
        "refused: none",
        "last commands: none",
        "last items: none",
    ]


@pytest.mark.parametrize("condition", [WORKING, SILENT], ids=["working", "silent"])
def test_the_same_in_vietnamese(condition: Condition) -> None:
    english, vietnamese = said(condition, "en"), said(condition, "vi")
    assert len(english) == len(vietnamese)
    same = {one for one, other in zip(english, vietnamese, strict=True) if one == other}
    assert same == set()
    assert not [
        line for line in vietnamese if re.search(r"\b(the|is|of|and|none|nothing|version)\b", line.split("[")[0])
    ]


def test_the_link_s_fault_is_told_in_vietnamese_where_the_words_are_ours() -> None:
    line = next(line for line in said(SILENT, "vi") if line.startswith("kết nối máy chủ"))
    assert line == "kết nối máy chủ: mất nối, lần nối 4: mqtts://a.vn: máy chủ MQTT không trả lời"


def test_a_word_of_a_later_version_is_shown_as_it_is() -> None:
    piece = Piece("x", "solemn", "t", "a", "floating", "hologram", 0)
    lines = said(replace(WORKING, programme=(piece,), pieces=1, forbidden={"normal": "new_rule"}), "vi")
    assert "đang phát sóng: x “t” (solemn, hologram, a): floating" in lines
    assert "lúc này không được phát: tin thường: new_rule" in lines
