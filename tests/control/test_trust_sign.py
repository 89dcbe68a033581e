"""`loactl trust sign | merge`: officers on their own machines, one document; what they make is what nodes take."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_members

from agent.messages.codec import convert
from agent.messages.commands import SetTrust
from agent.messages.trust import TrustDocument, fingerprint
from agent.security import CHECKS, Check, TrustStore, verify
from control import base64url
from control.envelope import joined, opened
from control.inspection import inspected
from control.keys import SigningKey
from control.trust_signatures import signed
from tests.control.trust_desk import OPERATOR, ROOT_A, ROOT_B, ROOT_C, SITE, Desk, site_of, verified_by_joserfc
from tests.signing import CHAIR, HERE, STRANGER, UNTRUSTED, Key

PART_A, PART_B = (f"0002.{key.kid}.part.jws" for key in (ROOT_A, ROOT_B))


def desks(tmp_path: Path, first: TrustDocument) -> tuple[Desk, Desk]:
    """Two officers' machines with the same version 1."""
    return Desk(tmp_path / "a", first), Desk(tmp_path / "b", first)


def carried(name: str, one: Desk, other: Desk) -> Path:
    """A file taken from one machine to the other, on a stick."""
    return Path(shutil.copy(one.folder / name, other.path / name))


def revoke_the_operator(desk: Desk) -> None:
    desk.does("revoke", OPERATOR.kid)


def document_in(claims: dict[str, object]) -> TrustDocument:
    return convert(claims["command"], SetTrust).trust


def checks_held(envelope: bytes, trust: TrustDocument) -> list[int]:
    """The numbered checks of a node with this document that the envelope passes; no clock is needed."""
    held: list[Check] = []
    verify(
        envelope,
        retained=False,
        trust=TrustStore(trust, site=SITE),
        addressee=HERE,
        clock=UNTRUSTED,
        observe=held.append,
    )
    return [check.number for check in held]


def test_one_root_signs_a_compact_jws_that_others_verify(tmp_path: Path) -> None:
    first = site_of(ROOT_A, ROOT_B)
    desk = Desk(tmp_path, first)
    revoke_the_operator(desk)
    result = desk.signs(ROOT_A)
    assert (result.exit_code, "0002.jws: complete / đủ chữ ký" in result.stdout) == (0, True)
    claims = verified_by_joserfc(desk.files["0002.jws"], ROOT_A)
    assert set(claims) == {"iss", "aud", "jti", "iat", "exp", "command"}
    assert (claims["iss"], claims["aud"]) == ("root", [f"site:{SITE}"])
    after = document_in(claims)
    assert after == with_members(first, version=2, keys=first.keys[1:])
    assert f"SHA-256: {fingerprint(after)}" in desk.does("show")


@pytest.mark.parametrize("signers", [(ROOT_A,), (ROOT_A, ROOT_B)])
def test_a_node_finds_signatures_audience_and_issuer_good_under_both_documents(
    tmp_path: Path, signers: tuple[Key, ...]
) -> None:
    first = site_of(ROOT_A, ROOT_B, threshold=len(signers))
    desk = Desk(tmp_path, first)
    revoke_the_operator(desk)
    for signer in signers:
        desk.signs(signer)
    envelope = desk.files["0002.jws"]
    after = document_in(verified_by_joserfc(envelope, *signers))
    assert checks_held(envelope, first) == [check.number for check in CHECKS]
    assert checks_held(envelope, after) == [check.number for check in CHECKS[:-1]], "it is in force already"


def test_two_officers_sign_in_turn_on_two_machines(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(a)
    result = a.signs(ROOT_A)
    assert result.exit_code == 1
    assert "còn thiếu: 1 of hd-root-b (roots of 1); 1 of hd-root-b (roots of 2)" in result.stdout
    assert PART_A in result.stderr
    assert "0002.jws" not in a.files
    given = carried(PART_A, a, b)
    result = b.signs(ROOT_B, given)
    assert (result.exit_code, "THU HỒI" in result.stdout) == (0, True)
    claims = verified_by_joserfc(b.files["0002.jws"], ROOT_A, ROOT_B)
    assert document_in(claims).version == 2
    assert opened(b.files["0002.jws"]).payload == opened(a.files[PART_A]).payload


def test_signatures_made_side_by_side_are_merged_the_same_everywhere(tmp_path: Path) -> None:
    first = site_of(ROOT_A, ROOT_B, ROOT_C, threshold=3)
    a, b = desks(tmp_path, first)
    c = Desk(tmp_path / "c", first)
    revoke_the_operator(a)
    a.signs(ROOT_A)
    part_b = f"0002.{ROOT_B.kid}.part.jws"
    part_c = f"0002.{ROOT_C.kid}.part.jws"
    b.signs(ROOT_B, carried(PART_A, a, b))
    c.signs(ROOT_C, carried(PART_A, a, c))
    a.does("merge", carried(part_b, b, a), carried(part_c, c, a))
    c.does("merge", carried(part_b, b, c), c.folder / part_c, c.folder / PART_A)
    assert a.files["0002.jws"] == c.files["0002.jws"]
    verified_by_joserfc(a.files["0002.jws"], ROOT_A, ROOT_B, ROOT_C)
    assert checks_held(a.files["0002.jws"], first) == [check.number for check in CHECKS]


def test_merging_too_few_says_what_is_missing(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(a)
    a.signs(ROOT_A)
    result = b.types("merge", carried(PART_A, a, b))
    assert (result.exit_code, "còn thiếu: 1 of hd-root-b" in result.stdout) == (1, True)
    assert set(b.files) == {"0001.yaml", PART_A}


def test_a_new_root_signs_too_when_the_new_document_asks_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    desk.does("add", ROOT_B.kid, "--public", ROOT_B.public, "--authority", "root", "--root", "--threshold", "2")
    first = desk.signs(ROOT_A)
    assert "còn thiếu: 1 of hd-root-b (roots of 2)" in first.stdout
    assert desk.signs(ROOT_B).exit_code == 0
    verified_by_joserfc(desk.files["0002.jws"], ROOT_A, ROOT_B)
    assert checks_held(desk.files["0002.jws"], site_of(ROOT_A)) == [check.number for check in CHECKS]


def test_a_root_is_replaced_by_the_old_one_and_the_new_one(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    desk.does("add", ROOT_B.kid, "--public", ROOT_B.public, "--authority", "root", "--root")
    desk.does("revoke", ROOT_A.kid)
    assert "no root of version 1: the first signature must be of one of hd-root-a" in signing_fails(desk, ROOT_B)
    assert "1 of hd-root-b (roots of 2)" in desk.signs(ROOT_A).stdout
    assert desk.signs(ROOT_B).exit_code == 0
    desk.does("revoke", OPERATOR.kid)
    assert "no root of version 2" in signing_fails(desk, ROOT_A)
    assert desk.signs(ROOT_B).exit_code == 0
    assert [document_in(json.loads(opened(desk.files[name]).payload)).version for name in ("0002.jws", "0003.jws")] == [
        2,
        3,
    ]


def signing_fails(desk: Desk, key: Key, *others: Path) -> str:
    return desk.refuses("sign", *others, "--signing-key", desk.pem(key))


def test_different_payloads_are_not_joined(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    for desk, root in ((a, ROOT_A), (b, ROOT_B)):
        revoke_the_operator(desk)
        desk.signs(root)
    given = carried(PART_A, a, b)
    assert "2 different payloads" in b.refuses("merge", given, b.folder / PART_B)
    assert "2 different payloads" in signing_fails(b, ROOT_B, given)


def test_a_draft_that_says_something_else_is_not_passed_over(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(a)
    a.signs(ROOT_A)
    b.does("retire", OPERATOR.kid)
    assert "0002.draft.yaml says something else" in signing_fails(b, ROOT_B, carried(PART_A, a, b))
    told = a.refuses("revoke", ROOT_B.kid, "--threshold", "1")
    assert "has signed version 2: move it away to change the draft" in told


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (STRANGER, "'stranger' is no root of version 1"),
        (OPERATOR, "'hd-operator' is no root of version 1"),
        (replace(CHAIR, kid="hd-root-b-copy"), "'hd-root-b-copy' is no root"),
    ],
)
def test_who_is_no_root_does_not_sign(tmp_path: Path, key: Key, says: str) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(desk)
    assert says in signing_fails(desk, key)
    desk.signs(ROOT_A)
    assert says in signing_fails(desk, key)


def test_a_root_signs_with_its_own_key_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A, ROOT_B))
    revoke_the_operator(desk)
    wrong = desk.pem(STRANGER)
    assert "not the one that the document calls 'hd-root-a'" in desk.refuses(
        "sign", "--signing-key", wrong, "--kid", ROOT_A.kid
    )


def test_nothing_to_sign_nothing_to_merge(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    assert "has no draft of version 2" in signing_fails(desk, ROOT_A)
    assert "has no signatures on version 2" in desk.refuses("merge")


def altered(part: bytes) -> bytes:
    head, body, signature = part.split(b".")
    other = base64url.encode(base64url.decode(body.decode()).replace(b'"version":2', b'"version":3')).encode()
    return b".".join((head, other, signature))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a.b", "no signed trust document: a compact JWS has 3 parts"),
        (OPERATOR.compact(b"{}"), "no signed trust document: Object missing"),
        (OPERATOR.compact(b"no"), "no signed trust document: not JSON"),
    ],
)
def test_what_is_no_signed_document_is_told(tmp_path: Path, data: bytes, says: str) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    (tmp_path / "x.jws").write_bytes(data)
    assert says in desk.refuses("merge", tmp_path / "x.jws")
    assert says in desk.refuses("show", tmp_path / "x.jws")


def test_a_document_for_others_or_for_another_use_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    revoke_the_operator(desk)
    desk.signs(ROOT_A)
    payload = opened(desk.files[PART_A]).payload
    elsewhere = payload.replace(f'"site:{SITE}"'.encode(), f'"node:{SITE}/hd-03"'.encode())
    (tmp_path / "x.jws").write_bytes(ROOT_A.compact(elsewhere))
    assert f"is for node:{SITE}/hd-03, not for the whole site" in desk.refuses("show", tmp_path / "x.jws")
    (tmp_path / "x.jws").write_bytes(ROOT_A.compact(payload, header=ROOT_A.header | {"typ": "loa-report+jws"}))
    assert "its typ is not loa-command+jws" in desk.refuses("show", tmp_path / "x.jws")


def test_a_signature_of_no_root_is_not_carried_along(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(a)
    a.signs(ROOT_A)
    (tmp_path / "x.jws").write_bytes(STRANGER.compact(opened(a.files[PART_A]).payload))
    assert "carries a signature of 'stranger', who is no root" in b.refuses("merge", tmp_path / "x.jws")


def test_nobody_speaks_in_the_name_of_a_root_that_has_not_signed(tmp_path: Path) -> None:
    chief = replace(ROOT_A, authority="chief root")
    a, b = desks(tmp_path, site_of(chief, ROOT_B))
    revoke_the_operator(a)
    a.signs(chief)
    (tmp_path / "x.jws").write_bytes(ROOT_B.compact(opened(a.files[PART_A]).payload))
    result = b.types("merge", tmp_path / "x.jws")
    assert (result.exit_code, "0002.jws" in b.files) == (1, False)
    assert "the root called 'chief root' in version 1, in whose name it is" in result.stdout


def test_another_version_than_the_next_is_not_taken(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A))
    for key in (CHAIR, STRANGER):
        a.does("add", key.kid, "--public", key.public)
        assert a.signs(ROOT_A).exit_code == 0
    assert "is version 3, and the next one here is 2" in b.refuses("merge", carried("0003.jws", a, b))


def test_a_signed_version_from_another_machine_is_merged_as_it_is(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A))
    revoke_the_operator(a)
    a.signs(ROOT_A)
    b.does("merge", carried("0002.jws", a, b))
    assert b.files["0002.jws"] == a.files["0002.jws"]


def test_a_history_that_was_altered_is_not_believed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A))
    for kid in ("x", "y"):
        desk.does("add", kid, "--public", {"x": CHAIR, "y": STRANGER}[kid].public)
        assert desk.signs(ROOT_A).exit_code == 0
    second = desk.folder / "0002.jws"
    honest = second.read_bytes()
    second.write_bytes(altered(honest))
    assert "version 3 cannot follow 1" in desk.refuses("show")
    head, body, _ = honest.split(b".")
    second.write_bytes(b".".join((head, body, base64url.encode(bytes(64)).encode())))
    assert "the signature of 'hd-root-a' on version 2 is bad" in desk.refuses("show")
    second.unlink()
    assert "0002.jws is missing" in desk.refuses("show")


def test_too_few_signatures_in_the_history_are_told(tmp_path: Path) -> None:
    a, b = desks(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(a)
    a.signs(ROOT_A)
    shutil.copy(a.folder / PART_A, b.folder / "0002.jws")
    assert "version 2 still needs 1 of hd-root-b" in b.refuses("show")


def test_a_signed_document_is_shown_with_what_it_changes_and_who_signed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, site_of(ROOT_A, ROOT_B, threshold=2))
    revoke_the_operator(desk)
    desk.signs(ROOT_A)
    assert f"chữ ký đang chờ: {PART_A}" in desk.does("show")
    told = desk.does("show", desk.folder / PART_A)
    assert "lệnh của nó bị hủy: hd-operator" in told
    assert "đã ký: hd-root-a" in told
    found = inspected(desk.files[PART_A], {"": ROOT_A.public})
    assert (found.exit_code, "words: right" in found.text, "VERIFIED" in found.text) == (0, True, True)


def test_one_officer_counts_once(tmp_path: Path) -> None:
    first = site_of(ROOT_A, ROOT_B, threshold=2)
    desk = Desk(tmp_path, first)
    revoke_the_operator(desk)
    desk.signs(ROOT_A)
    part = desk.files[PART_A]
    assert joined([opened(part), opened(part)]) == part
    assert desk.signs(ROOT_A).exit_code == 1
    again = signed(opened(part).payload, SigningKey(ROOT_A.kid, ROOT_A.private), first, first)
    assert again.data == part
