"""A whole commune in a folder: authority, broker, keys, a sink that is listened to, and nodes as real processes.

For the end-to-end tests, the benches and `make run`. Everything is a context manager and dies with its block; orders
are signed by `control`, delivered by mosquitto_pub, and what the node says is heard by mosquitto_sub.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import yaml

from agent.messages.commands import AnyCommand
from control import keys as control_keys
from control import orders
from rig.broker import Broker
from rig.certificates import LOOPBACK, Authority
from rig.ear import Ear
from rig.sound import PATIENCE_S, boottime_s, wait_until

SITE = "hoang-dao"
OPERATOR = "commune operator"
CIVIL_DEFENCE = "civil defence"


def command_topic(node: str) -> str:
    """Where this node of the site takes its orders."""
    return f"loa/v1/{SITE}/command/node/{node}"


class Sound(Protocol):
    """Where a node's sound goes."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process needs to find it."""

    def device(self, sink: str | None = None) -> str:
        """The ALSA device."""


@dataclass(frozen=True, slots=True)
class Switched:
    """One change of a simulated relay line."""

    at_s: float
    zone: str
    on: bool


def switched(trace: Path) -> list[Switched]:
    """A simulated relay's history: each line `SECONDS ZONE gpioN LEVEL on|off`, repeated levels left out."""
    changes: list[Switched] = []
    state: dict[str, bool] = {}
    if not trace.exists():
        return changes
    for line in trace.read_text().splitlines():
        at_s, zone, _, _, word = line.split()
        if state.get(zone, False) != (word == "on"):
            changes.append(Switched(float(at_s), zone, word == "on"))
        state[zone] = word == "on"
    return changes


class Station:
    """The commune's other end: broker, signing keys, trust document, and an ear on everything that nodes say.

    The broker is found on loopback and at `addresses`; its certificate holds for these and for `names`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        broker_settings: tuple[str, ...] = (),
        addresses: tuple[str, ...] = (),
        names: tuple[str, ...] = (),
        plain: bool = False,
    ) -> None:
        self.folder = folder
        self.authority = Authority(folder / "pki")
        self.certificate = self.authority.server(hosts=(*LOOPBACK, *addresses, *names))
        self.broker = Broker(
            folder / "broker",
            self.authority,
            server=self.certificate,
            plain=plain,
            settings=broker_settings,
            addresses=addresses,
        )
        self.operator = control_keys.generate("hd-operator")
        self.defence = control_keys.generate("hd-defence")
        self.root = control_keys.generate("hd-root")
        self.heard: list[tuple[float, str, bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            self.control = self.authority.client("control-server")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def listen(self) -> Ear:
        """Hear all that the site's nodes say, in a session that outlives the broker."""
        return Ear(self.broker.listen(self.control, f"loa/v1/{SITE}/node/#", client_id=f"ear-{id(self)}"))

    def trust_document(self, version: int = 1) -> dict[str, Any]:
        """Trust in the operator, the civil-defence command and a root."""
        window = {"valid_from": "2026-01-01T00:00:00Z", "valid_until": "2036-01-01T00:00:00Z"}
        operator_may = ["play.normal", "play.priority", "stop", "schedule", "volume", "time"]
        defence_may = ["play.emergency", "stop", "time"]
        return {
            "version": version,
            "site": SITE,
            "keys": [
                {
                    "kid": "hd-operator",
                    "public": self.operator.public,
                    "authority": OPERATOR,
                    "may": operator_may,
                    "max_volume_percent": 90,
                    **window,
                },
                {
                    "kid": "hd-defence",
                    "public": self.defence.public,
                    "authority": CIVIL_DEFENCE,
                    "may": defence_may,
                    **window,
                },
                {"kid": "hd-root", "public": self.root.public, "authority": "root", "may": [], **window},
            ],
            "roots": {"threshold": 1, "kids": ["hd-root"]},
            "approvals": {},
        }

    def sign(
        self,
        command: AnyCommand,
        *,
        to: str = f"node:{SITE}/hd-03",
        key: control_keys.SigningKey | None = None,
        iss: str | None = None,
        lifetime_s: int = 600,
    ) -> orders.Order:
        """An order signed by the operator, or by whoever holds `key`."""
        key = key or self.operator
        iss = iss or (CIVIL_DEFENCE if key is self.defence else OPERATOR)
        return orders.order(
            command, iss=iss, audience=(to,), signers=(key,), iat=int(time.time()), lifetime_s=lifetime_s
        )

    def send(self, order: orders.Order | bytes, *, node: str = "hd-03", retain: bool = False) -> None:
        """Publish an envelope (or any bytes) to a node's command topic, by mosquitto_pub."""
        payload = order if isinstance(order, bytes) else order.envelope
        self.broker.publish(self.control, command_topic(node), payload, retain=retain)


@dataclass
class Node:
    """One node as a process: `python -m agent run`, with a simulated relay whose levels stay in a file.

    `prefix` is put before the command: what leads into a namespace, or gives the unit's priority, and becomes the
    process.
    """

    station: Station
    sound: Sound
    name: str = "hd-03"
    changes: Mapping[str, Any] = field(default_factory=dict)
    sink: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    log: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.station.folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "node.yaml"
        self.trace = self.folder / "relay.log"
        self._process: subprocess.Popen[str] | None = None
        self.write()

    def write(self) -> None:
        """Write node.yaml and trust.yaml."""
        self.config.write_text(yaml.safe_dump(self.document()))
        (self.folder / "trust.yaml").write_text(json.dumps(self.station.trust_document()))

    def document(self) -> dict[str, Any]:
        """What node.yaml says; its certificate is made anew."""
        identity = self.station.authority.client(self.name)
        document: dict[str, Any] = {
            "node": self.name,
            "site": SITE,
            "groups": ["thon-2"],
            "mqtt": {
                "brokers": [self.station.broker.url],
                "ca": str(self.station.authority.ca),
                "certificate": str(identity.certificate),
                "key": str(identity.key),
            },
            "trust": "trust.yaml",
            "audio": {"device": self.sound.device(self.sink), "volume_percent": 100},
            "gpio": {"factory": "mock", "trace": "relay.log"},
            "amplifier": {
                "main": {"gpio": 17, "active": "high", "warm_up_ms": 200, "linger_ms": 500, "min_off_ms": 100}
            },
            "sources": {"allow": ["http://127.0.0.1:*"], "files": ["http://127.0.0.1:*"]},
            "storage": {"state": "state", "runtime": "runtime"},
            "clock": {"trust": "always"},
            "heartbeat_s": 10,
        }
        document.update(self.changes)
        return document

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Whoever comes after under this name begins anew: what was interrupted would go on in another's ears."""
        self.end()
        for remembered in ("state", "runtime"):
            shutil.rmtree(self.folder / remembered, ignore_errors=True)

    def start(self, *, wait: bool = True) -> None:
        """Start the process; return once it says that it is ready and the link is up."""
        since = len(self.log)
        self._let_go()
        self._process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "agent", "run", "--config", str(self.config)],
            env={**self.sound.environment, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "", **self.environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), name="node-log", daemon=True)
        self._reader.start()
        if wait:
            self.wait_for_line("ready", since=since)
            self.wait_for_line("link up", since=since)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.log.append((boottime_s(), line.rstrip("\n")))
            if os.environ.get("LOA_RIG_VERBOSE"):
                print(f"{self.name}: {line}", end="", file=sys.stderr)

    def wait_for_line(self, text: str, *, since: int = 0, timeout_s: float = PATIENCE_S) -> float:
        """When (CLOCK_BOOTTIME) the first log line with this text came, waited for.

        Raises:
            TimeoutError: it did not come; the message holds the log's end.
        """

        def found() -> float | None:
            return next((when for when, line in self.log[since:] if text in line), None)

        try:
            wait_until(lambda: found() is not None or not self.running, what=f"log line {text!r}", timeout_s=timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; log: {self.log_text()[-2_000:]}") from None
        when = found()
        if when is None:
            raise TimeoutError(f"the node ended before it said {text!r}; log: {self.log_text()[-2_000:]}")
        return when

    def log_text(self) -> str:
        """All that the node logged."""
        return "\n".join(line for _, line in self.log)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code (negative: killed by that signal)."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        self._let_go()
        return code

    def kill(self) -> None:
        """SIGKILL, not waited for: it may hang in the kernel. `end` waits."""
        assert self._process is not None
        self._process.kill()

    def freeze(self) -> None:
        """Stop it where it is: nothing of it goes on in user space."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGSTOP)

    def _let_go(self) -> None:
        """Read the log of a process that has ended to its end."""
        if self._process is not None and self._process.stderr is not None:
            self._reader.join(PATIENCE_S)
            self._process.stderr.close()

    def command(
        self, *arguments: str, text: str | None = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run `loa-agent ARGUMENTS --config` of this node."""
        return subprocess.run(
            [sys.executable, "-m", "agent", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            input=text,
            timeout=PATIENCE_S,
            check=False,
            env={**self.sound.environment, "PYTHONDONTWRITEBYTECODE": "", **self.environment, **environment},
        )

    def switched(self) -> list[Switched]:
        """The relay's history."""
        return switched(self.trace)

    @property
    def relay_on(self) -> bool:
        """Whether any simulated relay is closed now."""
        last = {each.zone: each.on for each in self.switched()}
        return any(last.values())
