"""The fuzzer's promises, without the fuzzer: honest cases hold them, and oracles object to code that breaks them."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from msgspec import structs

from agent.messages.codec import encode, parse_strictly
from agent.messages.commands import Heading, VerifiedCommand
from agent.messages.trust import Roots
from agent.security import TrustStore
from agent.verification.authority import _SUPPORTED, read_at_once, read_claims, read_command
from agent.verification.checks import CHECKS, Case, Refusal, examine
from fuzz import material
from fuzz.mutation import Bender
from fuzz.promises import BrokenPromiseError, require
from fuzz.targets import (
    IDEAL,
    TRUST,
    Consenting,
    Keys,
    judge_command,
    judge_envelope,
    take_document,
    targets,
)
from tests.signing import HERE, OPERATOR, SITE, Pole, claims, compact_json, order, play

FAR_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)
CREDULOUS = Keys(TRUST, Consenting)
"""A node that believes every signature."""


def bent(name: str, count: int, folder: Path) -> list[bytes]:
    """Cases as the fuzzer would make them, by a seeded chance."""
    target = targets(folder)[name]
    chance = Random(7)
    bender = Bender(chance, lambda text: text[: len(text) // 2] + chance.randbytes(3) + text[len(text) // 2 + 3 :])
    return [target.bend(bender, chance.choice(target.seeds)) for _ in range(count)]


@pytest.mark.parametrize("name", ["envelope", "command", "trust", "trust-file", "config"])
def test_what_is_honest_and_what_is_bent_keeps_every_promise(name: str, tmp_path: Path) -> None:
    target = targets(tmp_path)[name]
    cases = [*target.seeds, *bent(name, 300 if target.share > 20 else 40, tmp_path)]
    for case in cases:
        target.ask(case)
    assert len(set(cases)) > len(target.seeds) + 10, "bending bends"


def test_honest_orders_are_obeyed_under_ideal_signatures_as_under_real_ones() -> None:
    """Otherwise a target that refuses everything would never be noticed."""
    obeyed = 0
    for envelope in material.ORDERS:
        case = Case(envelope, retained=False, trust=IDEAL, addressee=HERE, clock=Pole().clock)
        found, real = examine(case, CHECKS), Pole(trust=TRUST).hears(envelope)
        assert found == real
        obeyed += isinstance(found, VerifiedCommand)
    assert obeyed > 20


def test_bent_cases_reach_every_check_behind_the_signature(tmp_path: Path) -> None:
    """Structure is kept well enough that each later check, and acceptance, is met."""
    reached = set()
    for data in [*material.CLAIMS, *bent("command", 1_500, tmp_path)]:
        keys = material.SIGNERS[(data[0] & 127) % len(material.SIGNERS)]
        text = material.unsigned(data[1:], keys)
        found = examine(Case(text, retained=False, trust=CREDULOUS, addressee=HERE, clock=Pole().clock), CHECKS)
        reached.add(found.check if isinstance(found, Refusal) else 0)
    assert reached >= {0, 7, 8, 9, 10, 11, 12}


def test_what_is_read_at_once_is_what_the_strict_reading_makes_of_it(tmp_path: Path) -> None:
    ours = [data[1:] for data in (*material.CLAIMS, *bent("command", 3_000, tmp_path))]
    payloads = [*ours, *filter(None, map(_sorted, ours))]
    at_once = 0
    for payload in payloads:
        found = read_at_once(payload)
        if found is None:
            continue
        at_once += 1
        strict = read_claims(parse_strictly(payload))
        command = read_command(strict, len(payload))
        assert [getattr(found, name) for name in Heading.__struct_fields__] == [
            getattr(strict, name) for name in Heading.__struct_fields__
        ]
        assert found.command == command
    assert at_once > 2 * len(material.CLAIMS), "honest ones all, also in another order, and some that are bent"


def _sorted(payload: bytes) -> bytes | None:
    """As another program may write it: the same members in another order, if it is JSON."""
    try:
        value = json.loads(payload)
    except ValueError:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode(errors="surrogatepass")


def test_a_node_that_believes_every_signature_is_found_out(tmp_path: Path) -> None:
    forged = [order(play(item=f"tin-{number}")) for number in range(40)]
    caught = sum(_objects(lambda each=each: judge_envelope(each, CREDULOUS)) for each in forged)  # type: ignore[misc]
    assert caught > 20, "all but those that go to the other doors"


def _objects(case: Callable[[], None]) -> bool:
    try:
        case()
    except BrokenPromiseError:
        return True
    return False


def _forgetting(number: int) -> Callable[[Case], VerifiedCommand | Refusal]:
    """A judge that leaves out one check."""
    return lambda case: examine(case, [check for check in CHECKS if check.number != number])


def test_a_judge_without_the_audience_is_found_out() -> None:
    case = b"\x00" + compact_json(claims(play(), aud=["site:xa-khac"]))
    judge_command(case)
    with pytest.raises(BrokenPromiseError, match="names this node"):
        judge_command(case, _forgetting(8))


def test_a_judge_without_dates_is_found_out() -> None:
    case = b"\x00" + compact_json(claims(play(), exp=1_790_000_000 + 999_999_999))
    judge_command(case)
    with pytest.raises(BrokenPromiseError, match="live too long"):
        judge_command(case, _forgetting(12))


OF_OFFICERS = 3
OF_ROOTS = 4
EXPIRED = 8
"""Places in `material.SIGNERS`."""


@pytest.mark.parametrize(
    ("case", "alter", "promise"),
    [
        (
            bytes([1]) + compact_json(claims(play(kind="emergency"), iss="commune chair")),
            {"approvals": {}},
            "as many officers as are asked",
        ),
        (
            bytes([2]) + compact_json(claims({"type": "time", "nonce": "0f" * 16}, iss="root")),
            {"roots": Roots(1, ("hd-root", "hd-root-paper"))},
            "as many roots as are asked",
        ),
        (
            bytes([EXPIRED]) + compact_json(claims(play())),
            {"keys": tuple(structs.replace(key, valid_until=FAR_AHEAD) for key in material.TRUST_NOW.keys)},
            "is in force",
        ),
        (
            bytes([0]) + compact_json(claims(play())),
            {"keys": tuple(structs.replace(key, max_volume_percent=100) for key in material.TRUST_NOW.keys)},
            "no louder",
        ),
    ],
    ids=["approvals", "threshold", "windows", "ceilings"],
)
def test_a_judge_that_takes_the_document_lightly_is_found_out(
    case: bytes, alter: dict[str, object], promise: str
) -> None:
    lenient = TrustStore(structs.replace(material.TRUST_NOW, **alter), site=SITE)

    def ask(asked: Case) -> VerifiedCommand | Refusal:
        return examine(replace(asked, trust=Keys(lenient, Consenting)), CHECKS)

    judge_command(case)
    with pytest.raises(BrokenPromiseError, match=promise):
        judge_command(case, ask)


def test_every_word_that_a_node_takes_is_bent() -> None:
    assert {str(each["type"]) for each in material.COMMANDS} == set(_SUPPORTED)


def _generous(case: Case) -> VerifiedCommand | Refusal:
    """One that gives a permission away."""
    found = examine(case, CHECKS)
    assert isinstance(found, VerifiedCommand)
    return VerifiedCommand(
        found.iss, found.jti, found.iat, found.exp, found.command, found.kids, found.may | {"time"}, 100, found.envelope
    )


def test_a_permission_from_nowhere_is_found_out() -> None:
    with pytest.raises(BrokenPromiseError, match="no key holds"):
        judge_command(b"\x00" + compact_json(claims(play())), _generous)


def test_a_document_with_one_key_as_two_roots_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = replace(OPERATOR, kid="twin").trusted()
    members = {name: getattr(twin, name) for name in twin.__struct_fields__} | {"public": OPERATOR.public}
    doubled = material.following(keys=(*material.TRUST_NOW.keys, type(twin)(**members)))
    take_document(encode(doubled))
    monkeypatch.setattr("agent.messages.trust.check_alone", lambda _: None)
    monkeypatch.setattr("agent.security.check_document", lambda *_: None)
    with pytest.raises(BrokenPromiseError, match="stands once"):
        take_document(encode(doubled))


def test_what_was_signed_is_told_from_what_was_not() -> None:
    assert material.signing_inputs(order(play()))[0] in material.SIGNED
    assert material.signing_inputs(order(play(title="khác")))[0] not in material.SIGNED
    assert material.signing_inputs(b"{") == material.signing_inputs(b"a.b") == ()
    with pytest.raises(BrokenPromiseError):
        require(holds=False, promise="nothing")


def test_bending_is_repeatable(tmp_path: Path) -> None:
    assert bent("envelope", 30, tmp_path) == bent("envelope", 30, tmp_path)
    assert all(isinstance(Bender(Random(1), bytes).json(text), bytes) for text in (b"", b"{", b"[" * 9_000, b"\xff"))
