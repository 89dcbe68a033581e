"""Mistakes are told before anything is signed; topics reach those who are meant."""

import json

import pytest

from agent.messages.codec import convert
from agent.messages.documents import SetSchedule
from agent.messages.words import Kind
from control import addresses, orders
from control.instants import instant_s, span_s
from control.keys import generate
from control.problems import InputError

NOW = 1_790_000_000
CHIME = [{"builtin": {"name": "chime"}}]


def play(**changes: object) -> dict[str, object]:
    members: dict[str, object] = {
        "item": "a", "kind": "normal", "title": "t", "sources": CHIME, "max_duration_s": 60, **changes
    }  # fmt: skip
    return members


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"item": "a b"}, r"bad_value.*\$\.item"),
        ({"item": "x" * 65}, r"\$\.item"),
        ({"title": "a\nb"}, "control characters"),
        ({"title": "e\u0301"}, "NFC"),
        ({"max_duration_s": 14_401}, r"\$\.max_duration_s"),
        ({"sources": []}, r"\$\.sources"),
        ({"volume_percent": 101}, r"\$\.volume_percent"),
        ({"repeat": {"count": 101, "gap_s": 0}}, r"\$\.repeat\.count"),
        ({"loudness": 3}, "unknown_member"),
        ({"title": None}, "missing_member"),
    ],
)
def test_words_a_node_would_refuse_are_told_here(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        orders.command("play", **play(**changes))


def test_an_unknown_command_is_told() -> None:
    with pytest.raises(InputError, match="'dance' is no command"):
        orders.command("dance")


@pytest.mark.parametrize(
    ("name", "members", "lifetime_s"),
    [("play", play(), 86_401), ("set_volume", {"percent": 5}, 7 * 86_400 + 1), ("report_now", {}, 86_401)],
)
def test_a_life_longer_than_the_protocol_allows_is_told(name: str, members: dict[str, object], lifetime_s: int) -> None:
    word = orders.command(name, **members)
    with pytest.raises(InputError, match="valid for"):
        orders.claims(word, iss="x", audience=["site:a"], jti="j" * 16, iat=NOW, lifetime_s=lifetime_s)
    orders.claims(word, iss="x", audience=["site:a"], jti="j" * 16, iat=NOW, lifetime_s=lifetime_s - 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"not_after": NOW},
        {"not_after": NOW + 7 * 86_400 + 1},
        {"start_at": NOW - 1},
        {"start_at": NOW + 600},
        {"start_at": NOW + 60, "not_after": NOW + 60},
    ],
)
def test_instants_that_can_never_sound_are_told(changes: dict[str, object]) -> None:
    word = orders.command("play", **play(**changes))
    with pytest.raises(InputError, match=r"--not-after|--start-at"):
        orders.claims(word, iss="x", audience=["site:a"], jti="j" * 16, iat=NOW, lifetime_s=600)


def test_claims_hold_six_members_and_nothing_absent() -> None:
    word = orders.command("play", **play(volume_percent=0, chime=None))
    made = json.loads(orders.claims(word, iss="x", audience=["site:a"], jti="j" * 16, iat=NOW, lifetime_s=600))
    assert made == {
        "iss": "x",
        "aud": ["site:a"],
        "jti": "j" * 16,
        "iat": NOW,
        "exp": NOW + 600,
        "command": {"type": "play", **play(volume_percent=0)},
    }


def test_an_order_larger_than_nodes_take_is_told() -> None:
    sources = [{"relay": {"uri": f"https://radio.example/{'x' * 2_000}{number}"}} for number in range(4)]
    audience = [f"node:{'s' * 40}/{number:040}" for number in range(100)]
    word = orders.command("play", **play(sources=sources))
    with pytest.raises(InputError, match="nodes take 16384"):
        orders.order(word, iss="x", audience=audience, signers=[generate("k")], iat=NOW, lifetime_s=60)


def test_numbers_and_names_are_new_each_time() -> None:
    assert len({orders.new_jti() for _ in range(50)} | {orders.new_item("normal", NOW) for _ in range(50)}) == 100
    orders.command("play", **play(item=orders.new_item("emergency", NOW)))


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        (["node:a/n1"], ("loa/v1/a/command/node/n1",)),
        (["group:a/g1"], ("loa/v1/a/command/group/g1",)),
        (["site:a"], ("loa/v1/a/command/all",)),
        (["node:a/n1", "site:a", "node:b/n1"], ("loa/v1/a/command/all", "loa/v1/b/command/node/n1")),
    ],
)
def test_topics_reach_the_audience(audience: list[str], expected: tuple[str, ...]) -> None:
    assert addresses.topics(addresses.require_audience(audience)) == expected


@pytest.mark.parametrize("address", ["", "hd-03", "node:hd-03", "node:a/b/c", "site:a/b", "site:A", "site:a\n", "all"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(InputError, match="no address"):
        addresses.require_audience([address])


def test_the_audience_has_one_to_200_addresses_each_once() -> None:
    assert addresses.require_audience(["site:a", "site:a"]) == ("site:a",)
    for count in (0, 201):
        with pytest.raises(InputError, match="1 to 200"):
            addresses.require_audience([f"node:a/n{number}" for number in range(count)])


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7_200), ("1d", 86_400)])
def test_spans(text: str, seconds: int) -> None:
    assert span_s(text, "--expires") == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-5m", "1.5h", "10 minutes", "m", "٣m"])
def test_what_is_no_span_is_told(text: str) -> None:
    with pytest.raises(InputError, match="--expires"):
        span_s(text, "--expires")


def test_instants() -> None:
    assert instant_s("2026-09-21T21:13:20+07:00", "--start-at", NOW) == NOW
    assert instant_s("+10m", "--start-at", NOW) == NOW + 600
    for text, says in (("2026-09-21T21:13:20", "zone"), ("tomorrow", "no instant"), ("+soon", "span")):
        with pytest.raises(InputError, match=says):
            instant_s(text, "--start-at", NOW)


@pytest.mark.parametrize(
    ("audience", "kind", "start"),
    [
        (["node:a/n1"], Kind.NORMAL, None),
        (["group:a/g1"], Kind.NORMAL, NOW + 10),
        (["site:a"], Kind.PRIORITY, NOW + 10),
        (["node:a/n1", "node:a/n2"], Kind.NORMAL, NOW + 10),
        (["site:a"], Kind.EMERGENCY, None),
    ],
)
def test_several_nodes_begin_together_and_an_emergency_at_once(
    audience: list[str], kind: Kind, start: int | None
) -> None:
    assert orders.common_start_s(audience, kind, NOW) == start


def test_a_schedule_may_be_larger_than_other_orders() -> None:
    slot = {
        "id": "s", "days": ["mon"], "at": "05:00", "kind": "normal", "title": "t" * 200, "sources": CHIME,
        "max_duration_s": 60, "valid_from": "2026-01-01", "valid_until": "2026-12-31",
    }  # fmt: skip
    slots = [{**slot, "id": f"s{number}"} for number in range(500)]
    word = convert({"type": "set_schedule", "version": 1, "slots": slots}, SetSchedule)
    made = orders.order(word, iss="x", audience=["site:a"], signers=[generate("k")], iat=NOW, lifetime_s=60)
    assert len(made.envelope) > orders.MAX_ORDER_BYTES
    heavy = [{**slot, "id": f"s{number}", "sources": [{"relay": {"uri": "u" * 400}}]} for number in range(500)]
    word = convert({"type": "set_schedule", "version": 1, "slots": heavy}, SetSchedule)
    with pytest.raises(InputError, match="nodes take 262144"):
        orders.order(word, iss="x", audience=["site:a"], signers=[generate("k")], iat=NOW, lifetime_s=60)
