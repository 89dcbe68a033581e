"""`loa-agent` as a technician uses it: check, run, status, verify."""

from agent.messages.commands import SetVolume
from rig.sound import Daemon
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


def test_status_says_what_it_can_with_no_agent_running(station: Station, sound: Daemon) -> None:
    done = Node(station, sound, name="resting").command("status")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
