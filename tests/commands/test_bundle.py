"""`bundle`: everything that helps, bounded, and not a byte of a key, wherever it may have been written."""

import base64
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from agent.commands.bundle import MAX_PART_BYTES
from agent.commands.scrub import REMOVED, Scrub
from rig.boot_partition import Card, environment
from rig.certificates import Authority

WINDOW = 8


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """A node that was installed from a card."""
    made = Card(tmp_path, Authority(tmp_path / "pki"))
    made.clear()
    made.drop(made.node())
    assert made.switch_on().returncode == 0
    return made


def bundle(card: Card, programs: Path | None = None) -> dict[str, str]:
    """What is in it, by name."""
    path = card.folder / "bundle.tar.gz"
    environ = environment()
    if programs is not None:
        environ["PATH"] = f"{programs}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "agent", "bundle", str(path), "--config", str(card.target / "node.yaml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environ,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout == f"{path}: give it to whoever helps you; it holds no key and no password.\n"
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            found[entry.name.removeprefix("loa-bundle/")] = file.read().decode()
    return found


def programs(folder: Path, **scripts: str) -> Path:
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


def test_it_holds_what_the_node_and_the_machine_say(card: Card) -> None:
    found = bundle(card)
    assert "node: hd-03" in found["node.yaml"]
    assert "hd-operator" in found["trust.yaml"]
    assert "no agent listens" in found["status.json"]
    assert "ok: node hoang-dao/hd-03" in found["check.txt"]
    assert "sound card" in found["check.txt"]
    assert found["versions.txt"].startswith("loa ")
    assert "PRETTY_NAME" in found["os-release.txt"]
    assert "[exit 0]" in found["disk.txt"]
    assert {"journal.txt", "unit.txt", "clock.txt", "sound-cards.txt", "packages.txt"} <= set(found)


def test_no_byte_of_a_key_is_in_it_wherever_it_was_written(card: Card, tmp_path: Path) -> None:
    """In a comment of node.yaml, in the journal as PEM, and bare; the key of the node's reports too."""
    keys = [card.target / "node.key", card.state / "node.key"]
    pem = keys[0].read_text()
    body = "".join(line for line in pem.splitlines() if "-----" not in line)
    path = card.target / "node.yaml"
    commented = "".join(f"# {line}\n" for line in pem.splitlines())
    path.write_text(f"{commented}# {body[:20]} mqtts://technician:hunter22@mqtt.example\n{path.read_text()}")
    leaky = programs(
        tmp_path / "programs",
        journalctl=f"cat {keys[0]} {keys[1]}; tr -d '\\n' < {keys[1]}",
        aplay=f"sed 's/^/    /' {keys[0]}",
        timedatectl=f"head -c 90 {keys[0]}",
    )
    whole = "\n".join(bundle(card, leaky).values())
    for key in keys:
        lines = [line for line in key.read_text().splitlines() if "-----" not in line]
        octets = base64.b64decode("".join(lines))
        assert len(octets) > 40
        secret = octets[16:] if len(octets) < 60 else octets[36:68]  # past the algorithm's name, which is nobody's
        for line in lines:
            for start in range(0, len(line) - 2 * WINDOW, WINDOW):
                if line[start : start + 2 * WINDOW] in whole:
                    raise AssertionError(f"{key.parent.name}/{key.name}: {start} of a line")
        assert secret.hex() not in whole.lower()
    assert "hunter22" not in whole
    assert whole.count(REMOVED) > 5
    assert "PRIVATE KEY" not in whole.replace("holds no private key", "")


def test_each_part_is_bounded_in_size_and_what_is_missing_is_said(card: Card, tmp_path: Path) -> None:
    loud = programs(tmp_path / "programs", journalctl="yes 'a line of the journal' | head -c 3000000", aplay="exit 3")
    found = bundle(card, loud)
    assert len(found["journal.txt"]) < MAX_PART_BYTES + 200
    assert found["journal.txt"].startswith(f"[cut: the last {MAX_PART_BYTES} of 3000000 bytes]\n")
    assert found["sound-cards.txt"] == "\n[exit 3]\n"
    assert found["throttled.txt"] == "[vcgencmd: No such file or directory]\n"


def test_a_node_yaml_that_is_bad_is_in_it_with_what_is_wrong(card: Card) -> None:
    (card.target / "node.yaml").write_text("node: 017\n")
    found = bundle(card)
    assert found["node.yaml"] == "node: 017\n"
    assert "node is 017, which YAML takes for a number in base 8" in found["check.txt"]


# Scrub ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mqtts://u:secret@host:8883", f"mqtts://{REMOVED}@host:8883"),
        ("https://host/a@b", "https://host/a@b"),
        ("a -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY----- b", f"a {REMOVED} b"),
        ("cut off: -----BEGIN PRIVATE KEY-----\nabc", f"cut off: {REMOVED}"),
        ("-----BEGIN CERTIFICATE-----\nabc", "-----BEGIN CERTIFICATE-----\nabc"),
    ],
)
def test_what_is_taken_out(text: str, clean: str) -> None:
    assert Scrub([Path("/nonexistent/node.key")]).clean(text) == clean


def test_a_piece_of_a_key_goes_and_what_is_no_secret_stays(tmp_path: Path) -> None:
    key = Authority(tmp_path / "pki").client("hd-03").key
    body = "".join(line for line in key.read_text().splitlines() if "-----" not in line)
    scrub = Scrub([key])
    assert (
        scrub.clean(f"x={body[70:90]} hd-operator jti-0123456789abcdef")
        == f"x={REMOVED} hd-operator jti-0123456789abcdef"
    )
    assert scrub.clean(body[70:81]) == body[70:81], "of so few letters no key is told"
