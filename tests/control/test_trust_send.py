"""`loactl trust send` against a real broker: each node is sent what it lacks, one version after another."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from typer.testing import Result

from agent.messages.reasons import Reason
from agent.messages.reports import CommandOutcome
from control.cli_trust_send import has_it
from control.envelope import opened
from rig.broker import Broker
from rig.certificates import Authority
from tests.control.simulated_node import SimulatedNode, Verdict, state
from tests.control.trust_desk import ROOT_A, SITE, Desk, site_of
from tests.signing import CHAIR, DEFENCE, STRANGER

NODE, OTHER = f"{SITE}/hd-03", f"{SITE}/hd-04"
ROOT = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": ROOT_A.public})


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with Broker(tmp_path_factory.mktemp("broker"), authority, plain=True) as running:
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """With versions 2, 3 and 4, each as signed."""
    made = Desk(tmp_path_factory.mktemp("desk"), site_of(ROOT_A))
    for key in (CHAIR, DEFENCE, STRANGER):
        made.does("add", key.kid, "--public", key.public)
        assert made.signs(ROOT_A).exit_code == 0
    return made


def sends(desk: Desk, broker: Broker, *arguments: str) -> Result:
    return desk.types("send", "--broker", broker.plain_url, *arguments)


def heard(node: SimulatedNode) -> list[int]:
    """The versions that have come, in their order; `joserfc` has verified each."""
    return [node.orders.get_nowait()["command"]["trust"]["version"] for _ in range(node.orders.qsize())]


def known(*nodes: SimulatedNode) -> list[str]:
    return [word for node in nodes for word in ("--node-key", f"{node.name.split('/')[1]}={node.public}")]


def says_version(node: SimulatedNode, version: int) -> None:
    node.says("state", state(node.name, trust_version=version))


def refuses_the_third(claims: Mapping[str, Any]) -> Verdict:
    return ("refused", "bad_trust") if claims["command"]["trust"]["version"] == 3 else ("accepted", None)


def test_nodes_get_in_turn_what_they_lack(desk: Desk, broker: Broker) -> None:
    with SimulatedNode(broker.plain_port, NODE, ROOT) as far, SimulatedNode(broker.plain_port, OTHER, ROOT) as near:
        says_version(far, 1)
        says_version(near, 3)
        result = sends(desk, broker, "--to", f"node:{NODE}", "--to", f"node:{OTHER}", *known(far, near))
        assert (result.exit_code, heard(far), heard(near)) == (0, [2, 3, 4], [4]), result.output
    assert result.stdout.count(f"{NODE}  accepted") == 3
    assert result.stdout.count(f"{OTHER}  accepted") == 1
    assert "unverified" not in result.stdout


def test_the_bytes_are_those_that_were_signed(desk: Desk, broker: Broker) -> None:
    payloads = [json.loads(opened(desk.files[f"000{version}.jws"]).payload) for version in (2, 3, 4)]
    with SimulatedNode(broker.plain_port, NODE, ROOT) as node:
        result = sends(desk, broker, "--to", f"node:{NODE}", "--since", "1")
        assert result.exit_code == 0
        assert [node.orders.get_nowait() for _ in payloads] == payloads


def test_who_refuses_one_version_is_not_sent_the_next(desk: Desk, broker: Broker) -> None:
    with SimulatedNode(broker.plain_port, NODE, ROOT, judge=refuses_the_third) as node:
        says_version(node, 1)
        result = sends(desk, broker, "--to", f"node:{NODE}", *known(node))
        assert (result.exit_code, heard(node)) == (3, [2, 3])
    assert f"{NODE}  refused: bad_trust" in result.stdout


@pytest.mark.parametrize(
    ("reason", "detail", "expected"),
    [
        (Reason.STALE_VERSION, "version 2 is not the next: 2 is in force, SHA-256 ab", True),
        (Reason.STALE_VERSION, "version 2 is not the next: 5 is in force, SHA-256 ab", True),
        (Reason.STALE_VERSION, "version 2 is not the next: 0 is in force, SHA-256 ab", False),
        (Reason.STALE_VERSION, "nothing that one could read", False),
        (Reason.BAD_TRUST, "version 2: 2 is in force", False),
    ],
)
def test_who_refuses_a_version_because_it_has_it_is_sent_the_next(reason: Reason, detail: str, expected: bool) -> None:
    assert has_it(CommandOutcome("root", "jti", "refused", reason, detail), 2) is expected


def test_a_node_that_has_all_is_left_alone(desk: Desk, broker: Broker) -> None:
    with SimulatedNode(broker.plain_port, NODE, ROOT) as node:
        says_version(node, 4)
        result = sends(desk, broker, "--to", f"node:{NODE}")
        assert (result.exit_code, heard(node)) == (0, [])
        says_version(node, 9)
        result = sends(desk, broker, "--to", f"node:{NODE}")
        assert (result.exit_code, heard(node)) == (1, [])
    assert f"{NODE}: has version 9, and this folder holds 1 to 4" in result.stderr


def test_without_names_the_whole_site_is_looked_at(desk: Desk, broker: Broker) -> None:
    with SimulatedNode(broker.plain_port, NODE, ROOT) as node, SimulatedNode(broker.plain_port, OTHER, ROOT) as other:
        says_version(node, 3)
        says_version(other, 4)
        result = sends(desk, broker, *known(node, other))
        assert (result.exit_code, heard(node), heard(other)) == (0, [4], []), result.output


def test_a_whole_site_is_sent_what_follows_a_version(desk: Desk, broker: Broker) -> None:
    with SimulatedNode(broker.plain_port, NODE, ROOT) as node:
        result = sends(desk, broker, "--since", "3", "--wait", "3", *known(node))
        assert (result.exit_code, heard(node)) == (0, [4])
    assert f"-> site:{SITE}" in result.stdout


def test_a_node_that_was_not_heard_is_named(desk: Desk, broker: Broker) -> None:
    result = sends(desk, broker, "--to", f"node:{SITE}/hd-99", "--look", "1")
    assert result.exit_code == 1
    assert f"{SITE}/hd-99: was not heard to say which version it has: try --since" in result.stderr


def test_a_node_that_does_not_answer_is_named(desk: Desk, broker: Broker) -> None:
    result = sends(desk, broker, "--to", f"node:{SITE}/hd-98", "--since", "3", "--wait", "1")
    assert result.exit_code == 1
    assert f"nobody listens on loa/v1/{SITE}/command/node/hd-98" in result.stderr
    assert f"{SITE}/hd-98: no answer to version 4 within 1 s" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", f"group:{SITE}/thon-2"], "trust is sent to single nodes"),
        (["--to", "node:xa-khac/hd-03"], f"--to node:{SITE}/NODE"),
        (["--since", "4"], "what follows versions 1 to 3"),
        (["--site", "xa-khac"], "is of site hoang-dao, not of xa-khac"),
        (["--broker", "https://x"], "write mqtts://HOST"),
    ],
)
def test_what_cannot_be_sent_is_told(desk: Desk, arguments: list[str], says: str) -> None:
    assert says in desk.refuses("send", "--broker", "mqtts://127.0.0.1:1", *arguments)


def test_version_1_is_not_sent(tmp_path: Path) -> None:
    assert "reaches nodes by hand" in Desk(tmp_path, site_of(ROOT_A)).refuses("send")
