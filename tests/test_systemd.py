"""sd_notify on real datagram sockets, by path and abstract."""

import os
import socket
from pathlib import Path

import pytest

from agent.systemd import MAX_STATUS_CHARACTERS, Systemd


def listen(address: str) -> socket.socket:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.settimeout(10)
    return manager


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_each_verb_is_one_datagram(tmp_path: Path, abstract: bool) -> None:
    name = f"loa-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with listen("\0" + name if abstract else name) as manager:
        systemd = Systemd(environment={"NOTIFY_SOCKET": "@" + name if abstract else name})
        systemd.status("playing\n  ban tin")
        systemd.ready()
        systemd.watchdog()
        systemd.stopping()
        told = [manager.recv(4096) for _ in range(4)]
        systemd.close()
    assert told == [b"STATUS=playing ban tin", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_status_is_one_bounded_line(tmp_path: Path) -> None:
    with listen(str(tmp_path / "notify")) as manager:
        systemd = Systemd(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        systemd.status("x" * 5_000 + "\nREADY=1")
        assert manager.recv(8192) == b"STATUS=" + b"x" * MAX_STATUS_CHARACTERS
        systemd.close()


def test_without_a_manager_every_verb_is_silent() -> None:
    systemd = Systemd(environment={})
    systemd.ready()
    systemd.watchdog()
    systemd.close()
    systemd.close()
    assert systemd.watchdog_interval_s is None


def test_a_manager_that_is_gone_or_does_not_read_never_holds_the_loop(tmp_path: Path) -> None:
    gone = Systemd(environment={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    gone.ready()
    gone.close()
    with listen(str(tmp_path / "deaf")) as manager:
        systemd = Systemd(environment={"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for _ in range(5_000):  # far more than the socket holds: a blocking send would never return
            systemd.watchdog()
        assert manager.recv(64) == b"WATCHDOG=1"
        systemd.close()


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environment: dict[str, str], interval_s: float | None) -> None:
    assert Systemd(environment=environment).watchdog_interval_s == interval_s
