"""trust.yaml: what each mistake in it is told, and that whatever is accepted is a word the protocol accepts too."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.config import load_trust
from agent.messages import codec
from agent.messages.trust import TrustDocument
from tests.node_files import TRUST, told_about_trust

A_PUBLIC_KEY = "write the 43 letters that `loactl keygen` printed: base64url of the key's 32 bytes, without ="
A_PERMISSION = (
    "write play.normal, play.priority, play.emergency, stop, schedule, policy, prefetch, volume, restart or time"
)
AN_INSTANT = "write an instant in UTC with a Z, such as 2026-01-01T00:00:00Z"

MISTAKES = [
    ("version: 1\n", "", "1:1: version is missing", "write version: 1"),
    ("version: 1", "version: 0", "1:10: version is 0", "write a whole number from 1 to 1000000000"),
    ("version: 1", 'version: "1"', '1:10: version is "1"', "write a whole number from 1 to 1000000000, without quotes"),
    (
        "site: hoang-dao",
        "site: trung-loc",
        "2:7: site is trung-loc, and the node's is hoang-dao",
        "write hoang-dao, or take this site's own trust document",
    ),
    ("site: hoang-dao\n", "", "1:1: site is missing", "write site: hoang-dao"),
    (
        "kid: operator",
        "kid: root",
        "10:10: keys[2].kid is the same as keys[1].kid",
        "write each key once, under its own kid",
    ),
    (
        "kid: operator",
        "kid: the operator",
        "4:10: keys[1].kid is the operator",
        "write an id of letters, digits, '.', '_' and '-', 64 at most, such as hd-operator",
    ),
    (
        "kid: operator",
        "kid: 007",
        "4:10: keys[1].kid is 007, which YAML takes for a number in base 8",
        'write it in quotes, "007"',
    ),
    (
        "EXAMPLE-operator-nobody-holds-this-replac20",
        "EXAMPLE-root-nobody-holds-this-replace-it10",
        "11:13: keys[2].public is the same as keys[1].public",
        "write each key once, under its own public",
    ),
    ("EXAMPLE-operator-nobody-holds-this-replac20", "...", '5:13: keys[1].public is "..."', A_PUBLIC_KEY),
    (
        "EXAMPLE-operator-nobody-holds-this-replac20",
        "EXAMPLE-operator-nobody-holds-this-replac2=",
        '5:13: keys[1].public is "EXAMPLE-operator-nobody-holds-this-re..."',
        A_PUBLIC_KEY,
    ),
    (
        "EXAMPLE-operator-nobody-holds-this-replac20",
        "EXAMPLE-operator-nobody-holds-this-replac21",
        '5:13: keys[1].public is "EXAMPLE-operator-nobody-holds-this-re..."',
        A_PUBLIC_KEY,
    ),
    (
        "EXAMPLE-operator-nobody-holds-this-replac20",
        "EXAMPLE-operator-nobody-holds-this-replac+0",
        '5:13: keys[1].public is "EXAMPLE-operator-nobody-holds-this-re..."',
        A_PUBLIC_KEY,
    ),
    (
        "authority: commune operator",
        "authority:",
        "6:15: keys[1].authority is empty",
        "write whose key it is, such as commune operator",
    ),
    (
        "authority: commune operator",
        "authority: đài xã",
        "6:16: keys[1].authority is not in composed Unicode (NFC)",
        "write it anew with the keyboard at Unicode dựng sẵn",
    ),
    (
        "authority: commune operator",
        'authority: "a\\tb"',
        '6:16: keys[1].authority is "a?b"',
        "write whose key it is, such as commune operator",
    ),
    ("[play.normal, stop]", "[play.norml, stop]", "7:11: keys[1].may[1] is play.norml", "write play.normal"),
    ("[play.normal, stop]", "[everything]", "7:11: keys[1].may[1] is everything", A_PERMISSION),
    (
        "[play.normal, stop]",
        "play.normal",
        "7:10: keys[1].may is play.normal",
        "write a list such as [play.normal, stop], or [] for a root",
    ),
    (
        "[play.normal, stop]",
        "all",
        "7:10: keys[1].may is all",
        "write a list such as [play.normal, stop], or [] for a root",
    ),
    ("2026-01-01T00:00:00Z", "2026-01-01", "8:17: keys[1].valid_from is 2026-01-01", AN_INSTANT),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "8:17: keys[1].valid_from is 2026-01-01T00:00:00", AN_INSTANT),
    (
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00+07:00",
        "8:17: keys[1].valid_from is 2026-01-01T00:00:00+07:00",
        AN_INSTANT,
    ),
    (
        "2026-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "8:17: keys[1].valid_from is 2026-02-30T00:00:00Z, which is in no calendar",
        AN_INSTANT,
    ),
    (
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.5Z",
        "8:17: keys[1].valid_from is 2026-01-01T00:00:00.5Z",
        AN_INSTANT,
    ),
    ("2026-01-01T00:00:00Z", "1767225600", "8:17: keys[1].valid_from is 1767225600", AN_INSTANT),
    (
        "2026-01-01T00:00:00Z",
        "2029-01-01T00:00:00Z",
        "9:18: keys[1].valid_until is not after valid_from",
        "write a later instant",
    ),
    (
        "may: []",
        "may: []\n    max_volume_percent: 101",
        "14:25: keys[2].max_volume_percent is 101",
        "write a whole number from 0 to 100",
    ),
    ("may: []", "may: []\n    max_volume: 90", "14:5: keys[2].max_volume is no key here", "write max_volume_percent"),
    ("threshold: 1", "threshold: 0", "16:20: roots.threshold is 0", "write a whole number from 1 to 8"),
    ("threshold: 1", "threshold: 2", "16:20: roots.threshold is 2, more than there are kids", "write at most 1"),
    ("[root]", "[]", "16:29: roots.kids has no entry", "write 1 to 16, in a list such as [hd-root]"),
    ("[root]", "[roots]", "16:30: roots.kids[1] is roots, which is none of the keys", "write root"),
    (
        "[root]",
        "[nobody]",
        "16:30: roots.kids[1] is nobody, which is none of the keys",
        "write the kid of one of the keys above",
    ),
    ("[root]", "[root, root]", "16:36: roots.kids[2] stands in the list already", "remove it"),
    ("approvals: {}\n", "", "1:1: approvals is missing", "write approvals: {}"),
    (
        "approvals: {}",
        "approvals: []",
        "17:12: approvals is a list",
        "write a group such as {play.emergency: 2}, or {} for none",
    ),
    (
        "approvals: {}",
        "approvals: {play.emergncy: 2}",
        '17:13: a name in approvals is "play.emergncy"',
        "write play.emergency",
    ),
    (
        "approvals: {}",
        "approvals: {play.emergency: 9}",
        "17:29: approvals.play.emergency is 9",
        "write a whole number from 1 to 8",
    ),
    (
        "approvals: {}",
        "approvals: {}\nsigned: yes",
        "18:1: signed is no key here",
        "remove it, or write one of version, site, keys, roots, approvals",
    ),
    ("2026-01-01T00:00:00Z", "[2026-01-01]", "8:17: keys[1].valid_from is a list", AN_INSTANT),
]
"""What stands in TRUST, what is written instead, what is told about it, and what to write."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "trust.yaml").write_text(TRUST)
    return tmp_path / "trust.yaml"


@pytest.mark.parametrize(("old", "new", "told", "write"), MISTAKES)
def test_a_mistake_is_told_where_it_is_and_what_to_write(path: Path, old: str, new: str, told: str, write: str) -> None:
    assert old in TRUST
    assert told_about_trust(path, TRUST.replace(old, new, 1)) == [f"{told}: {write}"]


def test_a_misspelt_key_and_an_authority_too_long_are_told_together(path: Path) -> None:
    text = TRUST.replace("kid: root", "kd: root").replace("commune operator", "x" * 201)
    assert told_about_trust(path, text) == [
        (
            "6:16: keys[1].authority is xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: "
            "write whose key it is, such as commune operator"
        ),
        "10:5: keys[2].kd is no key here: write kid",
    ]


def test_a_document_is_read(path: Path) -> None:
    document = load_trust(path, "hoang-dao")
    operator, root = document.keys
    assert (operator.kid, operator.authority, operator.may) == ("operator", "commune operator", ("play.normal", "stop"))
    assert (operator.valid_from, operator.valid_until) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2029, 1, 1, tzinfo=UTC),
    )
    assert (operator.max_volume_percent, root.may) == (100, ())
    assert (document.version, document.roots.threshold, document.roots.kids) == (1, 1, ("root",))


def test_what_is_read_is_what_goes_over_the_wire(path: Path) -> None:
    path.write_text(TRUST.replace("approvals: {}", "approvals: {play.emergency: 8, stop: 1}"))
    document = load_trust(path, "hoang-dao")
    assert codec.decode(codec.encode(document), TrustDocument) == document


def test_json_is_read_too(path: Path) -> None:
    document = load_trust(path, "hoang-dao")
    path.write_bytes(codec.encode(document))
    assert load_trust(path, "hoang-dao") == document
    path.write_text(json.dumps(json.loads(codec.encode(document)), indent=2))
    assert load_trust(path, "hoang-dao") == document


@pytest.mark.parametrize("written", ['"2026-01-01T00:00:00Z"', "2026-01-01 00:00:00Z", "2026-01-01T00:00:00+00:00"])
def test_instants_in_utc_may_be_written_in_several_ways(path: Path, written: str) -> None:
    path.write_text(TRUST.replace("2026-01-01T00:00:00Z", written, 1))
    assert load_trust(path, "hoang-dao").keys[0].valid_from == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_vietnamese_authority(path: Path) -> None:
    path.write_text(TRUST.replace("commune operator", "Đài truyền thanh xã Hoằng Đạo"))
    assert load_trust(path, "hoang-dao").keys[0].authority == "Đài truyền thanh xã Hoằng Đạo"


def test_as_many_keys_as_the_protocol_allows_fit_into_a_file(path: Path) -> None:
    keys = ",".join(
        json.dumps(
            {
                "kid": f"k{number}",
                "public": f"{number:042d}A",
                "authority": "a",
                "may": ["play.normal", "play.priority", "stop"],
                "valid_from": "2026-01-01T00:00:00Z",
                "valid_until": "2029-01-01T00:00:00Z",
            }
        )
        for number in range(200)
    )
    path.write_text(
        f'{{"version":1,"site":"s","keys":[{keys}],"roots":{{"threshold":1,"kids":["k7"]}},"approvals":{{}}}}'
    )
    assert len(load_trust(path, "s").keys) == 200
