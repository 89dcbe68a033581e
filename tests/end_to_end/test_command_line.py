"""`loa-agent` as a technician uses it: check, run, status, verify, amp-off."""

import json
import os
import subprocess
import sys
from pathlib import Path

from agent.messages.commands import SetVolume
from control import keys
from rig.sound import PATIENCE_S, Daemon
from rig.village import Node, Station


def test_a_mistake_is_named_with_file_line_column_and_what_to_write_instead(station: Station, sound: Daemon) -> None:
    node = Node(station, sound, name="mistaken")
    lines = node.config.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("heartbeat_s"))
    node.config.write_text("\n".join(lines).replace("heartbeat_s: 10", "hartbeat_s: 10") + "\n")
    for command in ("check", "run"):
        done = node.command(command)
        said = done.stdout + done.stderr
        assert done.returncode == 2, said
        assert f"{node.config}:{line}:1: " in said
        assert "heartbeat_s" in said, "the nearest right spelling"
    assert not (node.folder / "state").exists(), "run refuses before it touches anything"


def test_a_good_file_is_said_to_be_good(station: Station, sound: Daemon) -> None:
    done = Node(station, sound, name="good").command("check")
    assert (done.returncode, done.stdout.splitlines()[-1].split(": ", 1)[1]) == (
        0,
        "ok: node hoang-dao/good, trust version 1",
    )


def test_whoever_reads_the_log_finds_what_check_says_of_the_file(station: Station, sound: Daemon) -> None:
    """A relay that is none, a clock that nobody checks: no technician must believe in them."""
    node = Node(station, sound, name="noted")
    said = node.command("check").stdout.splitlines()
    notes = [line.removeprefix(f"{node.config}: note: ") for line in said if ": note: " in line]
    assert [note.split()[0] for note in notes] == ["gpio.factory", "clock.trust", "sources.allow"]
    with node:
        logged = node.log_text().splitlines()
    found = [number for note in notes for number, line in enumerate(logged) if line.endswith(f"{node.config}: {note}")]
    assert len(found) == len(notes), node.log_text()
    ready = next(number for number, line in enumerate(logged) if "ready" in line)
    assert found == sorted(found)
    assert max(found) < ready, "before it does anything"


def test_verify_prints_the_numbered_checks_and_the_verdict(station: Station, sound: Daemon) -> None:
    node = Node(station, sound, name="judge")
    from_operator = station.sign(SetVolume(50), to="node:hoang-dao/judge")
    done = node.command("verify", "-", text=from_operator.envelope.decode())
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "accepted")
    forged = from_operator.envelope[:-2] + b"AA"
    done = node.command("verify", "-", text=forged.decode())
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "bad_signature")
    numbers = [line.split()[0] for line in done.stdout.splitlines() if line.split()[0].isdigit()]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def test_verify_says_where_the_running_agent_judges_by_another_trust_document(station: Station, sound: Daemon) -> None:
    """The stored document outranks the file until the file's version is higher: an edit alone changes nothing."""
    order = station.sign(SetVolume(50), to="node:hoang-dao/twice").envelope.decode()
    with Node(station, sound, name="twice") as node:
        same = node.command("verify", "-", text=order)
        assert (same.returncode, same.stderr) == (0, "")
        running = json.loads(node.command("status", "--json").stdout)["trust"]["sha256"]
        trust = node.folder / "trust.yaml"
        trust.write_text(json.dumps(station.trust_document(version=2)))
        other = node.command("verify", "-", text=order)
    assert (other.returncode, other.stdout) == (0, same.stdout)
    told = f"the running agent judges by another trust document (SHA-256 {running}) than {trust}"
    assert other.stderr == f"loa-agent: {told}: its verdict may differ\n"


def test_a_trust_file_that_no_change_could_follow_is_named_at_the_start(station: Station, sound: Daemon) -> None:
    """A known name for another key: the pole is told, not left behind at the next change."""
    with Node(station, sound, name="renamed") as node:
        node.end()
        document = station.trust_document(version=2)
        document["keys"][0]["public"] = keys.generate("another").public
        trust = node.folder / "trust.yaml"
        trust.write_text(json.dumps(document))
        done = node.command("run")
    told = "kid 'hd-operator' was once another key: give the new key a name that was never used"
    assert (done.returncode, done.stdout) == (2, f"{trust}:1:1: {told}\n")


AS_NOBODY = """
import os
import agent.__main__, agent.commands.amp_off  # while everything can be read
if os.geteuid() == 0:  # who is not root already is held to the folder's rights
    os.setgroups([])
    os.setgid(65_534)
    os.setuid(65_534)
agent.__main__.main()
"""


def test_amp_off_of_somebody_who_may_not_ask_says_so_and_touches_no_line(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    runtime.chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "amp-off", "--config", str(tmp_path / "node.yaml")],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RUNTIME_DIRECTORY": str(runtime)},
        )
    finally:
        runtime.chmod(0o700)
    assert (done.returncode, "say it with sudo" in done.stderr) == (1, True), done.stdout + done.stderr
    assert "amplifier off" not in done.stdout
    assert list(runtime.iterdir()) == []


def test_status_says_what_it_can_with_no_agent_running(station: Station, sound: Daemon) -> None:
    done = Node(station, sound, name="resting").command("status")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


def test_status_of_a_running_node_in_either_language_and_as_json(station: Station, sound: Daemon) -> None:
    with Node(station, sound, name="asked") as node:
        english = node.command("status")
        vietnamese = node.command("status", LC_ALL="vi_VN.UTF-8")
        found = json.loads(node.command("status", "--json").stdout)
        node.config.write_text("node: [\n")
        elsewhere = node.command("status", RUNTIME_DIRECTORY=str(node.folder / "runtime"))
    assert (english.returncode, vietnamese.returncode, elsewhere.returncode) == (0, 0, 0)
    assert "node: hoang-dao/asked" in english.stdout
    assert "why nothing sounds: nothing is ordered" in english.stdout
    assert "cụm loa: hoang-dao/asked" in vietnamese.stdout
    assert "vì sao không phát: chưa có lệnh phát nào" in vietnamese.stdout
    assert (found["link_up"], found["ready"], found["trust"]["version"]) == (True, True, 1)
    assert "node: hoang-dao/asked" in elsewhere.stdout, (
        "a file that was edited badly since does not keep it from answering"
    )
    assert len(english.stdout.splitlines()) == len(vietnamese.stdout.splitlines())


def test_status_with_no_agent_and_a_bad_file_says_both(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text("node: 017\n")
    done = subprocess.run(
        [sys.executable, "-m", "agent", "status", "--config", str(tmp_path / "node.yaml")],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "RUNTIME_DIRECTORY": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "the agent does not answer: no agent listens at" in done.stderr
    assert f"{tmp_path}/node.yaml:1:7: node is 017" in done.stdout
