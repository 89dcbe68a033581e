"""`loactl trust new | show | add | retire | revoke`: what comes next, and what nodes would refuse is told before."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace as with_members

from agent.config import load_trust
from agent.messages.trust import Roots, TrustDocument, fingerprint, names_used
from agent.security import TrustStore
from control import keys, trust_yaml
from control.problems import InputError
from control.trust_changes import following
from control.trust_show import shown
from tests.control.trust_desk import OPERATOR, ROOT_A, ROOT_B, ROOT_C, SITE, Desk, site_of
from tests.signing import CHAIR, RETIRED

FIRST = site_of(ROOT_A, ROOT_B)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "a", FIRST)


def draft_of(desk: Desk) -> TrustDocument:
    """As a node would read it."""
    return load_trust(desk.folder / "0002.draft.yaml", SITE)


def test_the_first_version_has_two_roots_of_which_one_suffices(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.does("new", "--site", SITE, "--out", tmp_path)
    made = load_trust(desk.folder / "0001.yaml", SITE)
    TrustStore(made, site=SITE)
    assert (made.version, made.site, made.roots) == (1, SITE, Roots(1, (f"{SITE}-root", f"{SITE}-root-paper")))
    for key in made.keys:
        path = tmp_path / f"{key.kid}.pem"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert keys.load(path, key.kid).public == key.public
        assert (key.may, key.valid_until.year - key.valid_from.year) == ((), 10)
    assert "PRIVATE" not in (desk.folder / "0001.yaml").read_text()


def test_where_all_roots_are_lost_a_higher_version_begins_anew_under_new_names(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.does("new", "--site", SITE, "--version", "7", "--out", tmp_path)
    made = load_trust(desk.folder / "0007.yaml", SITE)
    assert (made.version, made.roots.kids) == (7, (f"{SITE}-root-7", f"{SITE}-root-7-paper"))
    desk.does("add", "hd-operator-7", "--public", OPERATOR.public, "--may", "play.normal")
    desk.does("sign", "--signing-key", tmp_path / f"{SITE}-root-7.pem")
    assert (desk.folder / "0008.jws").exists()


def test_what_to_do_with_the_second_key_is_told_in_both_languages(tmp_path: Path) -> None:
    told = Desk(tmp_path).types("new", "--site", SITE, "--out", tmp_path).stderr
    assert "on paper" in told
    assert "in ra giấy" in told
    assert f"{SITE}-root-paper.pem" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--site", "Hoàng Đạo"], "is not a name"),
        ([], "no site"),
        (["--site", SITE, "--root", "x", "--paper", "x"], "kid 'x' stands 2 times"),
        (["--site", SITE, "--root", "../x"], "no node would take this key"),
    ],
)
def test_a_site_that_cannot_be_gets_no_keys(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in Desk(tmp_path).refuses("new", *arguments, "--out", tmp_path)
    assert list(tmp_path.glob("*.pem")) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.does("new", "--site", SITE, "--out", tmp_path)
    pem = (tmp_path / f"{SITE}-root.pem").read_bytes()
    assert "0001.yaml is there" in desk.refuses("new", "--site", SITE, "--out", tmp_path / "elsewhere")
    (desk.folder / "0001.yaml").unlink()
    assert "not overwritten" in desk.refuses("new", "--site", SITE, "--out", tmp_path)
    assert (tmp_path / f"{SITE}-root.pem").read_bytes() == pem


def test_a_key_is_added_to_a_draft_that_nodes_could_read(desk: Desk) -> None:
    told = desk.does(
        *("add", "hd-chair", "--public", CHAIR.public, "--authority", "Chủ tịch xã", "--may", "play.emergency,stop"),
        *("--max-volume", "95", "--valid-from", "2026-05-01T00:00:00+07:00", "--valid-until", "2028-01-01T00:00:00Z"),
    )
    made = draft_of(desk)
    added = with_members(
        replace(CHAIR, authority="Chủ tịch xã", may=("play.emergency", "stop")).trusted(),
        valid_from=datetime(2026, 4, 30, 17, tzinfo=UTC),
        valid_until=datetime(2028, 1, 1, tzinfo=UTC),
    )
    assert made == with_members(FIRST, version=2, keys=(*FIRST.keys, added))
    assert "khóa mới hd-chair (Chủ tịch xã): play.emergency, stop" in told


def test_changes_gather_in_one_draft(desk: Desk) -> None:
    desk.does("add", ROOT_C.kid, "--public", ROOT_C.public, "--authority", "root", "--root", "--threshold", "2")
    desk.does("retire", OPERATOR.kid)
    told = desk.does("revoke", ROOT_A.kid)
    made = draft_of(desk)
    assert made.version == 2
    assert made.roots == Roots(2, (ROOT_B.kid, ROOT_C.kid))
    assert {key.kid: key.may for key in made.keys} == {OPERATOR.kid: (), ROOT_B.kid: (), ROOT_C.kid: ()}
    assert "thôi dùng, lệnh cũ vẫn còn: hd-operator" in told
    assert "THU HỒI, lệnh của nó bị hủy: hd-root-a" in told


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["add", OPERATOR.kid, "--public", CHAIR.public], "kid 'hd-operator' stands in version 2: choose another"),
        (["add", "x", "--public", OPERATOR.public], "stands in version 2 as 'hd-operator': make a new key"),
        (["add", "x", "--public", "A" * 43], "anybody can own"),
        (["add", "x", "--public", "abc"], "not base64url of 32 bytes"),
        (["add", "a b", "--public", CHAIR.public], "no node would take this key"),
        (["add", "x", "--public", CHAIR.public, "--may", "sing"], "no node would take this key"),
        (["add", "x", "--public", CHAIR.public, "--authority", "e\u0301"], "composed Unicode"),
        (["add", "x", "--public", CHAIR.public, "--valid-until", "2020-01-01T00:00:00Z"], "later than valid_from"),
        (["add", "x", "--public", CHAIR.public, "--valid-until", "+999999999d"], "beyond the calendar"),
        (["add", "x", "--public", CHAIR.public, "--valid-until", "2030-01-01"], "names no zone"),
        (["add", "x", "--public", CHAIR.public, "--threshold", "0"], "threshold 0"),
        (["add", "x", "--public", CHAIR.public, "--threshold", "3"], "ask 3 signatures, but there are only 2"),
        (["retire", "nobody"], "no key 'nobody': its keys are hd-operator, hd-root-a, hd-root-b"),
        (["retire", ROOT_A.kid], "is a root, which orders nothing anyway: revoke it"),
        (["revoke", "nobody"], "no key 'nobody'"),
        (["revoke", ROOT_A.kid, "--threshold", "2"], "ask 2 signatures, but there are only 1"),
        (["retire", OPERATOR.kid, "--site", "xa-khac"], "is of site hoang-dao, not of xa-khac"),
    ],
)
def test_what_nodes_would_refuse_is_told_before_anything_is_written(desk: Desk, typed: list[str], says: str) -> None:
    assert says in desk.refuses(*typed)


def test_a_retired_key_is_not_retired_again_and_the_last_root_stays(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A, others=(RETIRED,)))
    assert "nothing to retire" in desk.refuses("retire", RETIRED.kid)
    assert "add another root first" in desk.refuses("revoke", ROOT_A.kid)


CHANGED_KEY = with_members(OPERATOR.trusted(), public=CHAIR.public)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (with_members(FIRST, version=2, site="xa-khac"), "of site 'xa-khac', the one in force of 'hoang-dao'"),
        (FIRST, "version 1 cannot follow 1: it must be 2"),
        (with_members(FIRST, version=3), "version 3 cannot follow 1"),
        (with_members(FIRST, version=2, keys=(CHANGED_KEY, *FIRST.keys[1:])), "'hd-operator' was once another key"),
        (with_members(FIRST, version=2, keys=(*FIRST.keys, FIRST.keys[0])), "kid 'hd-operator' stands 2 times"),
        (with_members(FIRST, version=2, keys=FIRST.keys[:2]), "root kid 'hd-root-b' has no key"),
        (with_members(FIRST, version=2, roots=Roots(0, (ROOT_A.kid,))), "threshold 0"),
        (with_members(FIRST, version=2, roots=Roots(9, (ROOT_A.kid,))), "threshold 9"),
        (with_members(FIRST, version=2, roots=Roots(2, (ROOT_A.kid,))), "ask 2 signatures"),
    ],
)
def test_what_may_not_follow(new: TrustDocument, says: str) -> None:
    with pytest.raises(InputError, match=r"nodes would refuse this document \(bad_trust\)") as told:
        following(new, FIRST, names_used([FIRST]))
    assert says in str(told.value)


def test_a_name_that_was_revoked_never_comes_back_with_another_key(desk: Desk) -> None:
    desk.does("revoke", OPERATOR.kid)
    assert desk.signs(ROOT_A).exit_code == 0
    assert "was once another key" in desk.refuses("add", OPERATOR.kid, "--public", CHAIR.public)
    desk.does("add", OPERATOR.kid, "--public", OPERATOR.public)


def test_what_is_written_is_read_as_it_was() -> None:
    odd = site_of(
        ROOT_A, others=(replace(OPERATOR, kid="12", authority='on: "xã" # \u2028'), replace(CHAIR, kid="null"))
    )
    odd = with_members(odd, approvals={"play.emergency": 2})
    for draft in (False, True):
        text = trust_yaml.written(odd, draft=draft)
        assert trust_yaml.parsed(text, Path("trust.yaml")) == odd
        comments = [line for line in text.splitlines() if line.startswith("#")]
        assert any(not line.isascii() for line in comments)


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ("version: 1", "version: 1\nversion: 2", "t.yaml:6:1: 'version' stands twice"),
        ("version: 1", 'version: "1"', "t.yaml: Expected `int`, got `str` - at `$.version`"),
        ("keys:", "keys: &k", "t.yaml:8: write it out"),
        ("approvals: {}", "approvals: {}\nmore: 1", "unknown field `more`"),
        ("approvals: {}", "approvals: {sing: 2}", "Invalid enum value"),
        ("threshold: 1", "threshold: 0", "$.roots.threshold"),
        ("00:00:00Z", "00:00:00+07:00", "write whole seconds of UTC"),
        ("00:00:00Z", "00:00:00.5Z", "write whole seconds of UTC"),
        ("approvals: {}", "approvals: [", "not YAML"),
        ("approvals: {}", "approvals: [[[[[[[[[]]]]]]]]]", "nested deeper"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_place(find: str, put: str, says: str) -> None:
    text = trust_yaml.written(FIRST, draft=False).replace(find, put, 1)
    with pytest.raises(InputError) as told:
        trust_yaml.parsed(text, Path("t.yaml"))
    assert str(told.value).startswith("t.yaml")
    assert says in str(told.value)


def test_what_is_shown(desk: Desk) -> None:
    told = desk.does("show")
    assert f"SHA-256: {fingerprint(FIRST)}" in told
    assert "roots / khóa gốc: hd-root-a, hd-root-b" in told
    assert "hd-operator  (commune operator)" in told
    assert "âm lượng tối đa: 90 %" in told
    desk.does("retire", OPERATOR.kid)
    assert "draft of / bản nháp 2" in desk.does("show")
    assert "THÔI DÙNG" in desk.does("show", desk.folder / "0002.draft.yaml")


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (datetime(2028, 10, 1, tzinfo=UTC), ""),
        (datetime(2028, 11, 3, tzinfo=UTC), "ends in 59 days"),
        (datetime(2028, 12, 31, tzinfo=UTC), "còn 1 ngày"),
        (datetime(2029, 1, 2, tzinfo=UTC), "đã hết hạn 2029-01-01"),
    ],
)
def test_a_key_that_ends_within_60_days_is_told(now: datetime, told: str) -> None:
    text = shown(site_of(ROOT_A, others=(OPERATOR, RETIRED)), now)
    assert ("! hd-operator" in text, "! hd-retired" in text) == (bool(told), False)
    assert told in text


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "has no first version: begin with `loactl trust new`"),
        (("0001.yaml", "0005.yaml"), "more than one .yaml version"),
        (("0003.yaml",), "says version 1: name it 0001.yaml"),
    ],
)
def test_a_folder_that_is_none_is_told(tmp_path: Path, names: tuple[str, ...], says: str) -> None:
    desk = Desk(tmp_path)
    for name in names:
        (desk.folder / name).write_text(trust_yaml.written(FIRST, draft=False))
    assert says in desk.refuses("show")


def test_the_fingerprint_is_of_the_document_and_not_of_its_spelling() -> None:
    east = timezone(timedelta(hours=7))
    key = OPERATOR.trusted()
    same = with_members(key, valid_from=key.valid_from.astimezone(east), valid_until=key.valid_until.astimezone(east))
    assert fingerprint(with_members(FIRST, keys=(same, *FIRST.keys[1:]))) == fingerprint(FIRST)
    assert fingerprint(with_members(FIRST, version=2)) != fingerprint(FIRST)
