"""`check --online` against real parts: what is well, what is not, and that it disturbs nothing."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.messages.commands import SetVolume
from rig.certificates import Identity
from rig.disk import SmallDisk
from rig.sound import Daemon
from rig.village import Node, Station
from tests.scripted_broker import ScriptedBroker


def lines(node: Node, *more: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code; by what was tried, its grade and what was said."""
    done = node.command("check", "--online", *more)
    tried = [line for line in done.stdout.splitlines() if not line.startswith(str(node.config))]
    said = {}
    for line in tried:
        grade, _, rest = line.partition(" ")
        what, _, told = (
            rest.strip().rpartition(": ") if "://" in rest and rest.count(": ") == 1 else rest.strip().partition(": ")
        )
        said[what] = (grade, told)
    return done.returncode, said


@contextmanager
def web(identity: Identity | None = None) -> Iterator[int]:
    """A station's web server; with a certificate it speaks TLS."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    if identity is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_running_node_is_well_and_stays_connected(station: Station, sound: Daemon) -> None:
    with Node(station, sound, name="running") as node:
        since = len(node.log)
        code, said = lines(node)
        assert [line for _, line in node.log[since:] if "link down" in line] == []
    assert code == 0, said
    assert said["agent"][0] == "-"
    assert said["agent"][1].startswith("running, version ")
    assert said[station.broker.url] == ("ok", "the running agent is connected")
    assert said["certificate"] == ("ok", "for running, until 2049-12-31")
    assert said["http://127.0.0.1:*"] == ("ok", "stands for many addresses, none of which is tried")
    assert said["sound card"] == ("ok", "the running agent opens it when it is to sound")
    assert said["relays"] == ("ok", "held by the running agent")
    assert said["clock"] == ("ok", "known: configuration")
    assert said["disk"][0] == "ok"


def test_the_orders_that_wait_at_the_broker_are_still_there_afterwards(station: Station, sound: Daemon) -> None:
    """The broker may take the client id from the certificate: whatever knocks is the node's own session."""
    node = Node(station, sound, name="asleep")
    node.start()
    node.end()
    order = station.sign(SetVolume(33), to="node:hoang-dao/asleep")
    station.send(order, node="asleep")
    code, said = lines(node)
    assert (code, said[station.broker.url]) == (0, ("ok", "lets this node in")), said
    assert said["sound card"][0] == "ok"
    assert said["relays"] == ("ok", "simulated: no relay is switched")
    assert said["agent"][1].startswith("not running")
    with station.listen() as ear, node:  # what ends here is cleared away
        assert ear.outcome(order.jti)["outcome"] == "accepted"


def test_everything_that_is_wrong_is_a_line_that_says_how_to_mend_it(
    station: Station, sound: Daemon, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()[1]
    identity = station.authority.client("wrong", expired=True)
    with (
        SmallDisk(tmp_path / "disk", megabytes=128) as disk,
        web(station.authority.server("strange", hosts=("other.example",))) as strange,
    ):
        node = Node(station, sound, name="wrong")
        node.changes = {
            "mqtt": {
                "brokers": [f"mqtts://127.0.0.1:{nobody}", "mqtts://no-such-broker.invalid"],
                "ca": str(station.authority.ca),
                "certificate": str(identity.certificate),
                "key": str(identity.key),
            },
            "audio": {"device": "plughw:CARD=nosuchcard"},
            "gpio": {"factory": "lgpio", "chip": 63},
            "sources": {
                "allow": [f"http://127.0.0.1:{nobody}", f"https://127.0.0.1:{strange}"],
                "files": ["https://no-such-station.invalid"],
                "ca": str(station.authority.ca),
            },
            "storage": {"state": str(disk.folder), "runtime": "runtime"},
            "clock": {"trust": "kernel", "rtc": "rtc3"},
        }
        node.write()
        station.authority.client("wrong", expired=True)  # `write` has made a good one
        disk.take_nothing()
        code, said = lines(node)
    assert code == 1
    faults = {what: told for what, (grade, told) in said.items() if grade == "FAIL"}
    assert faults == {
        f"mqtts://127.0.0.1:{nobody}": "nothing listens at the broker's address: see docs/broker.md",
        "mqtts://no-such-broker.invalid": faults["mqtts://no-such-broker.invalid"],
        "certificate": "ended on 2021-01-01: make a new one with `loactl ca node`",
        f"http://127.0.0.1:{nobody}": "does not answer (Connection refused): is the station on the air?",
        f"https://127.0.0.1:{strange}": faults[f"https://127.0.0.1:{strange}"],
        "https://no-such-station.invalid": faults["https://no-such-station.invalid"],
        "sound card": "there is no such card: write a name that `aplay -l` shows",
        "relays": "there is no /dev/gpiochip63: is this a Pi, and gpio.chip right?",
        "clock": "rtc3 tells no time: is it fitted, and its battery good?",
        "disk": faults["disk"],
    }
    assert faults["mqtts://no-such-broker.invalid"].startswith("the broker's name cannot be resolved (")
    assert faults[f"https://127.0.0.1:{strange}"].startswith("does not prove its name (")
    assert faults["https://no-such-station.invalid"].startswith("has no address (")
    assert "worn out?" in faults["disk"]


def test_stations_that_answer_are_well(station: Station, sound: Daemon) -> None:
    with web() as plain, web(station.authority.server("radio")) as safe:
        allow = [f"http://127.0.0.1:{plain}", f"https://localhost:{safe}"]
        sources = {"allow": allow, "files": [], "ca": str(station.authority.ca)}
        _, said = lines(Node(station, sound, name="listening", changes={"sources": sources}))
    assert [said[entry] for entry in allow] == [("ok", "answers"), ("ok", "answers, and proves its name")]


def test_a_broker_that_says_nothing_ends_in_time_and_in_vietnamese(station: Station, sound: Daemon) -> None:
    with ScriptedBroker(stay=True) as silent:
        node = Node(station, sound, name="waiting", changes={"mqtt": {"brokers": [silent.url]}})
        code, said = lines(node, "--lang", "vi")
    assert (code, said[silent.url]) == (1, ("LỖI", "máy chủ MQTT không trả lời: xem docs/broker.md"))
    assert said["chứng thư"] == ("tốt", "không có, và máy này không cần")


def test_what_cannot_work_at_all_is_told_before_anything_is_tried(station: Station, sound: Daemon) -> None:
    node = Node(station, sound, name="mixed")
    other = station.authority.client("other")
    node.changes = {
        "mqtt": {
            "brokers": [station.broker.url],
            "ca": str(station.authority.ca),
            "certificate": str(station.authority.client("mixed").certificate),
            "key": str(other.key),
        }
    }
    node.write()
    done = node.command("check", "--online")
    assert done.returncode == 2
    assert "this key does not belong to" in done.stdout


def test_a_self_test_tries_what_makes_no_sound(station: Station, sound: Daemon) -> None:
    with Node(station, sound, name="tested") as node:
        done = node.command("self-test")
        assert not node.switched()
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["ok"] * 6
    order = "loactl play --to node:hoang-dao/tested --title Test --builtin tone --max-duration 5s"
    assert lines[-1] == f"Nothing was sounded. To hear the horns, order: {order}"
    resting = node.command("self-test", "--lang", "vi")
    assert resting.returncode == 1
    assert resting.stdout.startswith("LỖI")
