"""`loactl time` and a real node: a fresh nonce comes in `state`, which is retained, and is answered in time."""

import subprocess
import sys
from pathlib import Path

from agent.messages.commands import ReportNow
from control import keys
from control.keys import SigningKey
from rig.sound import PATIENCE_S, Daemon
from rig.village import OPERATOR, SITE, Node, Station
from tests.test_clock import ASK_THE_KERNEL


def tell_the_time(
    station: Station, node: Node, key: SigningKey, authority: str, *more: str, folder: Path
) -> "subprocess.CompletedProcess[str]":
    keys.store(key, folder / f"{key.kid}.pem")
    asked = [sys.executable, "-m", "control", "time", "--to", f"node:{SITE}/{node.name}", "--wait", "30", *more]
    line = {
        "--broker": station.broker.url,
        "--ca": str(station.authority.ca),
        "--certificate": str(station.control.certificate),
        "--key": str(station.control.key),
        "--signing-key": str(folder / f"{key.kid}.pem"),
        "--authority": authority,
    }
    asked += [part for pair in line.items() for part in pair]
    return subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_the_roots_correct_a_node_that_believes_to_know_the_time(
    station: Station, sound: Daemon, tmp_path: Path
) -> None:
    with Node(station, sound, name="sure", changes={"heartbeat_s": 600}) as node, station.listen() as ear:
        done = tell_the_time(station, node, station.root, "root", "--correct", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1].startswith(f"{SITE}/sure  accepted")
        ear.wait(
            lambda: any(each.get("clock", {}).get("evidence") == "time command of the roots" for each in ear.states),
            what="the state that says so",
        )


def test_a_root_may_ask_for_a_report(station: Station, sound: Daemon) -> None:
    with Node(station, sound, name="asked") as node, station.listen() as ear:
        order = station.sign(ReportNow(), to=f"node:{SITE}/asked", key=station.root, iss="root")
        station.send(order, node=node.name)

        def told() -> list[str]:
            reports = [each["report"] for each in ear.reports if each["report"].get("jti") == order.jti]
            return [each.get("outcome", "status") for each in reports]

        ear.wait(lambda: told() == ["status", "accepted"], what="status and outcome")


def test_a_node_without_the_time_is_told_it_by_its_state_alone(station: Station, sound: Daemon, tmp_path: Path) -> None:
    """What the kernel says here decides whether it lacks the time; another process asks it as well."""
    asked = subprocess.run([sys.executable, "-c", ASK_THE_KERNEL], check=True, capture_output=True, text=True)
    lacks_it = asked.stdout.strip() != "synchronised"
    changes = {"clock": {"trust": "kernel"}, "heartbeat_s": 600}
    with Node(station, sound, name="untimed", changes=changes) as node:
        done = tell_the_time(station, node, station.operator, OPERATOR, folder=tmp_path)
        assert (done.returncode, f"{SITE}/untimed  accepted" in done.stdout) == ((0, True) if lacks_it else (1, False))
        assert ("clock trusted: time command" in node.log_text()) is lacks_it
