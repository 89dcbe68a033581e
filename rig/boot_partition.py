"""A pole's card on the technician's laptop: a folder as the boot partition, one as /etc/loa, and what belongs there.

`Lives` runs the real command and lets the process die, or stand still for a power cut, at the n-th change that it makes
to any folder: Python tells an audit hook of each before it happens.
"""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from agent.provisioning.result import FILE_NAME
from rig.certificates import Authority

PATIENCE_S = 60.0

LIVES = """
import gc, os, signal, sys
import agent.__main__
import agent.commands.first_boot
gc.freeze()

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "os.chown", "os.truncate"}

def live(left, deed):
    def count(event, arguments):
        nonlocal left
        flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
        if event in CHANGES or flags & (os.O_WRONLY | os.O_RDWR | os.O_DIRECTORY):
            left -= 1
            if left == 0:
                deed()
    sys.addaudithook(count)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        agent.__main__.main()
    except SystemExit as ended:
        os._exit(ended.code)

DEEDS = {"die": lambda: os._exit(86), "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP)}
for line in sys.stdin:
    word, _, number = line.partition(" ")
    child = os.fork()
    if child == 0:
        live(int(number), DEEDS[word])
    _, status = os.waitpid(child, os.WUNTRACED)
    print(0 if not os.WIFSTOPPED(status) and os.waitstatus_to_exitcode(status) != 86 else child, flush=True)
    if os.WIFSTOPPED(status):
        sys.stdin.readline()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("gone", flush=True)
"""
"""One process that has imported everything, and gives birth to the others: 67 of them in the time of three."""


class Lives:
    """First boots that end at their n-th change."""

    def __init__(self, card: "Card") -> None:
        self._process = subprocess.Popen(
            card.command("-c", LIVES),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._process:
            self._process.kill()

    def die_at(self, change: int) -> bool:
        """Whether it came so far; if not, it came to its end."""
        return self._say(f"die {change}") != "0"

    def stand_still_at(self, change: int) -> bool:
        """Whether it came so far, and stands there until it is gone."""
        return self._say(f"stop {change}") != "0"

    def be_gone(self) -> None:
        """What stands still is killed."""
        self._say("kill")

    def _say(self, words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise OSError("the process that gives birth to the others has died")
        return answer


@dataclass(frozen=True, slots=True)
class Card:
    """`boot` is what the laptop sees, `target` is /etc/loa, `state` where the node keeps its key."""

    folder: Path
    authority: Authority
    elsewhere: Path | None = None
    """Where the boot partition is, if not in the folder."""

    @property
    def boot(self) -> Path:
        """/boot/firmware/loa."""
        return (self.elsewhere or self.folder) / "boot"

    @property
    def target(self) -> Path:
        """/etc/loa."""
        return self.folder / "etc/loa"

    @property
    def state(self) -> Path:
        """/var/lib/loa."""
        return self.folder / "var/loa"

    def drop(self, files: Mapping[str, str | bytes]) -> None:
        """Put files on the boot partition, as a laptop does: with no rights of their own."""
        self.boot.mkdir(parents=True, exist_ok=True)
        for name, contents in files.items():
            path = self.boot / name
            path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
            path.chmod(0o755)

    def node(self, name: str = "hd-03", **changes: object) -> dict[str, str | bytes]:
        """All that a node of this commune needs."""
        identity = self.authority.client(name)
        document = {
            "node": name,
            "site": "hoang-dao",
            "mqtt": {
                "brokers": ["mqtts://mqtt.hoang-dao.example"],
                "ca": "ca.pem",
                "certificate": "node.crt",
                "key": "node.key",
            },
            "trust": "trust.yaml",
            "audio": {"device": "plughw:CARD=dac"},
            "gpio": {"factory": "lgpio"},
            "amplifier": {"main": {"gpio": 17, "active": "high"}},
            "storage": {"state": str(self.state), "runtime": str(self.folder / "run")},
            **changes,
        }
        return {
            "node.yaml": yaml.safe_dump(document, sort_keys=False),
            "trust.yaml": TRUST,
            "ca.pem": self.authority.ca.read_bytes(),
            "node.crt": identity.certificate.read_bytes(),
            "node.key": identity.key.read_bytes(),
        }

    def command(self, *before: str) -> list[str]:
        """The process to be started."""
        return [
            sys.executable,
            *(before or ("-m", "agent")),
            "first-boot",
            "--boot",
            str(self.boot),
            "--config",
            str(self.target / "node.yaml"),
            "--user",
            pwd.getpwuid(os.getuid()).pw_name,
        ]

    def switch_on(self) -> "subprocess.CompletedProcess[str]":
        """What the unit does at every start."""
        return subprocess.run(
            self.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment()
        )

    def dropped(self) -> list[str]:
        """What still lies on the boot partition, but for the result."""
        return sorted(path.name for path in self.boot.iterdir() if path.name != FILE_NAME)

    def result(self) -> str:
        """What the technician reads."""
        return (self.boot / FILE_NAME).read_bytes().decode("utf-8-sig")

    def installed(self) -> dict[str, tuple[bytes, int]]:
        """Contents and mode of all that is in /etc/loa."""
        if not self.target.exists():
            return {}
        return {path.name: (path.read_bytes(), path.stat().st_mode & 0o7777) for path in self.target.iterdir()}

    def keep(self) -> None:
        """Remember all of it as it is now, for `go_back`."""
        shutil.rmtree(self.folder / "kept", ignore_errors=True)
        for name in ("boot", "etc", "var"):
            shutil.copytree(self.folder / name, self.folder / "kept" / name)

    def go_back(self) -> None:
        """As it was when it was kept."""
        for name in ("boot", "etc", "var"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(self.folder / "kept" / name, self.folder / name)

    def clear(self) -> None:
        """A card as it comes from the shop."""
        for path in (self.boot, self.target.parent, self.state.parent, self.folder / "run"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.boot, self.target.parent, self.state.parent):
            path.mkdir(parents=True)


def environment() -> dict[str, str]:
    """English, and our own sources."""
    path = os.pathsep.join(each for each in sys.path if each)
    return {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}


TRUST = """\
version: 1
site: hoang-dao
keys:
  - kid: hd-operator
    public: "EXAMPLE-operator-nobody-holds-this-replac20"
    authority: commune operator
    may: [play.normal, stop]
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2029-01-01T00:00:00Z
  - kid: hd-root
    public: "EXAMPLE-root-nobody-holds-this-replace-it10"
    authority: root
    may: []
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2036-01-01T00:00:00Z
roots: {threshold: 1, kids: [hd-root]}
approvals: {}
"""
