"""`check`, as far as it calls nobody: both files, and what they name."""

import subprocess
import sys
from pathlib import Path

import pytest

from rig.boot_partition import Card, environment
from rig.certificates import Authority


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """A node that was installed from a card."""
    made = Card(tmp_path, Authority(tmp_path / "pki"))
    made.clear()
    made.drop(made.node())
    assert made.switch_on().returncode == 0
    return made


def check(card: Card, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "agent", "check", "--config", str(card.target / "node.yaml"), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())


def test_what_is_right_is_said_to_be_right_in_either_language(card: Card) -> None:
    done = check(card)
    assert (done.returncode, done.stderr) == (0, "")
    *notes, fine = done.stdout.splitlines()
    file = card.target / "node.yaml"
    assert fine == f"{file}: ok: node hoang-dao/hd-03, trust version 1"
    example = f"{card.target}/trust.yaml holds keys of the example, which nobody has: put in your own"
    assert notes == [f"{file}: note: {example}"]
    vietnamese = check(card, "--lang", "vi").stdout.splitlines()
    assert vietnamese[-1] == f"{file}: tốt: cụm loa hoang-dao/hd-03, tài liệu tin cậy bản 1"


def test_both_files_are_told_at_once(card: Card) -> None:
    for name, old, new in (("node.yaml", "site:", "sit:"), ("trust.yaml", "threshold: 1", "threshold: 3")):
        path = card.target / name
        path.write_text(path.read_text().replace(old, new))
    done = check(card)
    assert (done.returncode, done.stderr) == (2, "")
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        f"{card.target}/node.yaml:2:1",
        f"{card.target}/trust.yaml:16:20",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("node.key", "this key does not belong to FOLDER/node.crt: copy both anew from the same place"),
        ("node.crt", "this is no certificate that can be read: copy it again"),
        ("ca.pem", "this is no certificate that can be read: copy it again"),
    ],
)
def test_a_certificate_or_key_that_cannot_work_is_told(card: Card, name: str, told: str) -> None:
    path = card.target / name
    if name == "node.key":
        path.write_bytes(card.authority.client("hd-04").key.read_bytes())
    else:
        path.write_text("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
    done = check(card)
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == f"{path}:1:1: {told}".replace("FOLDER", str(card.target))
