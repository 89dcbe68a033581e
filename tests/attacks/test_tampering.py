"""A man in the middle changes one thing in a good order: every member, every byte. The whole pole stays silent.

Real signatures, the real judge and the pure core (tests/core/pole.py), so that what is asked is not only "refused" but
"nothing sounds, and the line is never on".
"""

import json
from collections.abc import Iterator

import pytest

from agent.core.amplifier import AmplifierSettings
from agent.messages import effects as do
from agent.messages.reports import CommandOutcome
from tests.core.pole import Pole, make_pole
from tests.signing import (
    CHAIR,
    DEFENCE,
    NOW,
    OPERATOR,
    Json,
    Key,
    base64url,
    claims,
    compact_json,
    document,
    general,
    order,
    play,
    seal,
)

TRUST = document(OPERATOR, CHAIR, DEFENCE)
SIREN = {"builtin": {"name": "siren"}}
FULL = play(
    kind="emergency",
    sources=[{"file": {"uri": "https://tin.example/1.mp3", "sha256": "ab" * 32, "bytes": 48_000}}, SIREN],
    volume_percent=50,
    not_after=NOW + 900,
    chime=False,
    zones=["main"],
    resume=True,
    repeat={"count": 1, "gap_s": 0},
)
"""Every member that this version obeys."""
OTHERS: tuple[object, ...] = ("x", 7, True, None, [], {}, "site:hoang-dao", "play.emergency")
"""What stands in the place of a member."""


def pole() -> Pole:
    """One that has tried its sound card, as it does at its start: what comes after that is an order's doing."""
    listening = make_pole(None, TRUST, main=AmplifierSettings(warm_up_ms=0, linger_ms=0)).start().connect()
    listening.run(60.0)
    listening.history.clear()
    return listening


def is_silent(listening: Pole) -> bool:
    """No sound, no closed relay, nothing fetched, nothing accepted, nothing said in anybody's name."""
    listening.run(5.0)
    acts = do.Sound, do.SwitchRelay, do.OpenCard, do.FetchFile, do.OpenStream, do.Decode
    outcomes = [report for report in listening.reports if isinstance(report, CommandOutcome)]
    return not (
        listening.of(*acts) or listening.records or outcomes or listening.amplifier_on or listening.state.accepted
    )


def silent_to_all(envelopes: Iterator[bytes]) -> int:
    """One pole hears them all; how many there were."""
    listening = pole()
    heard = list(envelopes)
    for envelope in heard:
        listening.hear(envelope)
    assert is_silent(listening)
    assert len(listening.acknowledged) == sum(listening.state.refusals.counts.values()) == len(heard)
    return len(heard)


def variants(tree: object) -> Iterator[object]:
    """The tree with one member taken out, added, or replaced by each of `OTHERS`, at every place."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield {other: one for other, one in tree.items() if other != name}
            yield from ({**tree, name: changed} for changed in variants(value))
        yield {**tree, "more": 1}
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield tree[:index] + tree[index + 1 :]
            yield from ([*tree[:index], changed, *tree[index + 1 :]] for changed in variants(value))
        yield [*tree, "x"]
    else:
        yield from (other for other in OTHERS if other != tree or type(other) is not type(tree))
        if isinstance(tree, int):
            yield from (tree + 1, tree - 1)


def pieces(envelope: bytes) -> tuple[bytes, bytes, bytes]:
    protected, payload, signature = envelope.split(b".")
    return protected, payload, signature


HONEST = order(FULL, CHAIR)
HEAD, PAYLOAD, SIGNATURE = pieces(HONEST)
TWO_KEYS = compact_json(claims(FULL, iss=CHAIR.authority))


@pytest.mark.parametrize("envelope", [HONEST, seal(TWO_KEYS, CHAIR, DEFENCE)], ids=["compact", "general"])
def test_the_honest_order_is_heard(envelope: bytes) -> None:
    """Or silence would prove nothing."""
    listening = pole()
    listening.hear(envelope)
    listening.run(5.0)
    assert [record.result for record in listening.records] == ["played"]
    assert [on for _, on in listening.relay()] == [True, False]


def test_each_member_of_the_header_is_changed() -> None:
    count = silent_to_all(
        b".".join((base64url(compact_json(head)), PAYLOAD, SIGNATURE)) for head in variants(CHAIR.header)
    )
    assert count > 25


def test_each_claim_and_each_member_of_the_command_is_changed() -> None:
    bent = (compact_json(each) for each in variants(claims(FULL, iss=CHAIR.authority)))
    assert silent_to_all(b".".join((HEAD, base64url(payload), SIGNATURE)) for payload in bent) > 200


def test_each_bit_of_the_signature_is_flipped() -> None:
    plain = CHAIR.private.sign(HEAD + b"." + PAYLOAD)
    flipped = (
        plain[: bit // 8] + bytes([plain[bit // 8] ^ 1 << bit % 8]) + plain[bit // 8 + 1 :]
        for bit in range(len(plain) * 8)
    )
    assert silent_to_all(b".".join((HEAD, PAYLOAD, base64url(each))) for each in flipped) == 512


def test_each_character_of_the_envelope_is_another_or_gone() -> None:
    changed = (
        HONEST[:place] + new + HONEST[place + 1 :]
        for place in range(len(HONEST))
        for new in (b"", b"A" if HONEST[place : place + 1] != b"A" else b"B")
    )
    assert silent_to_all(changed) == 2 * len(HONEST)


def general_with(place: int, **changes: Json | bytes) -> bytes:
    """Two signatures, of which one part is changed: `header` and `signature` as given."""
    members = general(TWO_KEYS, (CHAIR, DEFENCE))
    signatures = members["signatures"]
    assert isinstance(signatures, list)
    header, signature = changes.get("header"), changes.get("signature")
    if header is not None:
        signatures[place]["protected"] = base64url(compact_json(header)).decode()
    if isinstance(signature, bytes):
        signatures[place]["signature"] = base64url(signature).decode()
    return compact_json(members)


@pytest.mark.parametrize(("place", "key"), [(0, CHAIR), (1, DEFENCE)])
def test_each_member_of_a_header_among_several_is_changed(place: int, key: Key) -> None:
    """But for a kid that nobody knows here: that signature counts nothing, and the other one is still good."""
    heads = [head for head in variants(key.header) if not _names_a_stranger(head)]
    assert silent_to_all(general_with(place, header=head) for head in heads if isinstance(head, dict)) > 20


def _names_a_stranger(head: object) -> bool:
    assert isinstance(head, dict)
    well_formed = head.keys() == {"alg", "kid", "typ"} and head["alg"] == "Ed25519" and head["typ"] == "loa-command+jws"
    return well_formed and isinstance(head["kid"], str)


@pytest.mark.parametrize(("place", "key"), [(0, CHAIR), (1, DEFENCE)])
def test_each_byte_of_a_signature_among_several_is_changed(place: int, key: Key) -> None:
    spelt = base64url(TWO_KEYS)
    plain = key.private.sign(base64url(compact_json(key.header)) + b"." + spelt)
    changed = (plain[:at] + bytes([plain[at] ^ 0x55]) + plain[at + 1 :] for at in range(len(plain)))
    assert silent_to_all(general_with(place, signature=each) for each in changed) == 64


def test_each_claim_and_member_under_several_signatures_is_changed() -> None:
    honest = general(TWO_KEYS, (CHAIR, DEFENCE))
    bent = (compact_json(each) for each in variants(json.loads(TWO_KEYS)))
    assert silent_to_all(compact_json({**honest, "payload": base64url(each).decode()}) for each in bent) > 200
