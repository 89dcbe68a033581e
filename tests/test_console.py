"""The agent's socket: real sockets, several clients, rude ones too."""

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from agent.console import MAX_REQUEST_BYTES, MAX_WAITING, Console, ConsoleError, ask
from agent.messages.events import Asked, Event

DEADLINE_S = 20.0
NOBODY = 65_534
ASK_AS_NOBODY = f"""
import os, sys
from pathlib import Path
from agent.console import ask
if os.geteuid() == 0:  # who is not root already is held to the file's rights
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
try:
    ask(Path(sys.argv[1]), "status", 1.0)
except OSError as error:
    print(type(error).__name__, error)
"""


class Node:
    """A console with its inbox."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inbox: SimpleQueue[Event] = SimpleQueue()
        self.console = Console(path=path, post=self.inbox.put)

    def next_question(self) -> Asked:
        event = self.inbox.get(timeout=DEADLINE_S)
        assert isinstance(event, Asked)
        return event


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "agent.sock")
    yield made
    made.console.close()


def connect(path: Path, request: bytes) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE_S)
    client.connect(str(path))
    client.sendall(request)
    return client


def test_a_question_is_answered_by_the_loop(node: Node) -> None:
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, node.path, "status", DEADLINE_S)
        asked = node.next_question()
        node.console.answer(asked.token, b'{"playing": null}\n' + b"x" * 50_000)
        assert answer.result(DEADLINE_S) == b'{"playing": null}\n' + b"x" * 50_000
    assert asked.question == "status"


def test_an_answer_under_an_unknown_token_changes_nothing(node: Node) -> None:
    node.console.answer(99, b"nobody asked")
    with connect(node.path, b"amp-off\n") as client:
        node.console.answer(node.next_question().token, b"off\n")
        assert client.recv(100) == b"off\n"
        assert client.recv(100) == b""


@pytest.mark.parametrize(
    "request_line", [b"reboot\n", b"\n", b"\xff\xfe\n", b"status\x00\n", b"s" * (MAX_REQUEST_BYTES + 10)]
)
def test_anything_but_a_known_question_is_turned_away(node: Node, request_line: bytes) -> None:
    with connect(node.path, request_line) as client:
        assert client.recv(100) == b"ask one of: amp-off, status\n"
    assert node.inbox.empty()


def test_who_says_nothing_does_not_keep_others_from_asking(node: Node) -> None:
    with connect(node.path, b"stat"), connect(node.path, b"status\n") as second:
        node.console.answer(node.next_question().token, b"fine\n")
        assert second.recv(100) == b"fine\n"


def test_the_oldest_question_gives_way_to_the_fifth(node: Node) -> None:
    clients = [connect(node.path, b"status\n") for _ in range(MAX_WAITING)]
    tokens = [node.next_question().token for _ in clients]
    clients.append(connect(node.path, b"status\n"))
    tokens.append(node.next_question().token)
    for token in tokens:
        node.console.answer(token, str(token).encode())
    answers = [client.recv(100) for client in clients]
    for client in clients:
        client.close()
    assert answers == [b"", *(str(token).encode() for token in tokens[1:])]


def test_a_client_that_left_does_not_hurt_the_loop(node: Node) -> None:
    connect(node.path, b"status\n").close()
    node.console.answer(node.next_question().token, b"too late\n")
    with connect(node.path, b"status\n") as client:
        node.console.answer(node.next_question().token, b"next\n")
        assert client.recv(100) == b"next\n"


def test_only_user_and_group_may_connect(node: Node) -> None:
    assert stat.S_IMODE(node.path.stat().st_mode) == 0o660


def test_closing_hangs_up_and_leaves_nothing(node: Node) -> None:
    with connect(node.path, b"status\n") as client:
        node.next_question()
        node.console.close()
        node.console.close()
        assert client.recv(100) == b""
    assert not node.path.exists()
    assert "console" not in {thread.name for thread in threading.enumerate()}
    assert node.inbox.empty()  # an expected end is no death


def test_a_second_agent_is_refused_and_a_dead_ones_socket_taken_over(node: Node, tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="another agent answers"):
        Console(path=node.path, post=node.inbox.put)
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(dead))
    heir = Node(dead)
    heir.console.close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="is its folder there and writable"):
        Console(path=tmp_path / "no" / "agent.sock", post=SimpleQueue[Event]().put)


def test_asking_nobody_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="no agent listens at"):
        ask(tmp_path / "agent.sock", "status", 1.0)


def test_asking_a_loop_that_hangs_ends(node: Node) -> None:
    with pytest.raises(ConsoleError, match=r"no answer in 0\.2 s"):
        ask(node.path, "status", 0.2)


@pytest.mark.parametrize("closed", ["folder", "socket"])
def test_who_may_not_ask_is_told_so_and_not_that_nobody_is_there(tmp_path: Path, closed: str) -> None:
    """`amp-off` opens the relays itself where no agent runs: it must not take a closed door for that."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    asked = Node(folder / "agent.sock")
    try:
        (folder if closed == "folder" else asked.path).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", ASK_AS_NOBODY, str(asked.path)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    finally:
        folder.chmod(0o700)
        asked.console.close()
    assert done.stdout == f"ConsoleDeniedError you may not speak to the agent at {asked.path}: say it with sudo\n"
    assert asked.inbox.empty()
