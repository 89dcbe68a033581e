"""Debian's mosquitto on free loopback ports with real TLS, and its own clients as independent witnesses.

For tests, benches and `make run`. The broker saves its sessions just before it is killed, and may be started again on
the same ports; its log is a file. Each process is ended by its own handle and waited for.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.certificates import Authority, Identity
from rig.listener import STOP_WAIT_S, BrokerError, Listener, end

READY_WAIT_S = 30.0
"""Longest wait for the broker to listen: 30 ms on an idle machine."""
CLIENT_WAIT_S = 30.0
"""Longest run of one mosquitto_pub."""
_FIRST_START_TRIES = 5
"""Another process may take the free port between choosing it and listening on it."""


class Broker:
    """A mosquitto in `folder`: TLS with client certificates, whose common name is the user; `with` starts and stops it.

    `server` replaces the good server certificate; `plain` adds a listener without TLS and passwords; `settings` are
    further lines of mosquitto.conf, `access` those of an ACL file; `addresses` are listened on besides loopback.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        *,
        server: Identity | None = None,
        plain: bool = False,
        settings: tuple[str, ...] = (),
        access: tuple[str, ...] | None = None,
        addresses: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._authority = authority
        self._server = server or authority.server()
        self._plain = plain
        self._settings = settings
        self._access = access
        self._addresses = addresses
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.plain_port = 0
        self.log = folder / "mosquitto.log"

    @property
    def url(self) -> str:
        """For TLS."""
        return f"mqtts://localhost:{self.port}"

    @property
    def plain_url(self) -> str:
        """Without TLS."""
        return f"mqtt://localhost:{self.plain_port}"

    @property
    def pid(self) -> int:
        """Of the running broker."""
        assert self._process is not None, "the broker runs"
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on free ports the first time and on the same ones ever after.

        Raises:
            BrokerError: it ended, or does not listen within `READY_WAIT_S`.
        """
        if self.port:
            self._start_once()
            return
        for attempt in range(_FIRST_START_TRIES):
            self.port, self.plain_port = free_ports()
            try:
                self._start_once()
            except BrokerError:
                if attempt == _FIRST_START_TRIES - 1:
                    raise
            else:
                return

    def kill(self) -> None:
        """SIGKILL, as a power cut at the server would, once the sessions are on its disk."""
        if self._process is not None:
            self._save_sessions(self._process)
            self._end_now(self._process)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if that is not enough. Idempotent."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def restart(self) -> None:
        """Killed, and back on the same ports with the same sessions."""
        self.kill()
        self.start()

    def certify(self, server: Identity) -> None:
        """Show this certificate from the next start on."""
        self._server = server

    def log_text(self) -> str:
        """All that the broker has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _save_sessions(self, process: subprocess.Popen[bytes]) -> None:
        """Mosquitto saves between two packets, or when asked; each time as a new file."""
        saved = self._folder / "mosquitto.db"
        before = saved.stat().st_ino if saved.exists() else None
        process.send_signal(signal.SIGUSR1)
        deadline_s = time.monotonic() + STOP_WAIT_S
        while not saved.exists() or saved.stat().st_ino == before:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise BrokerError(f"mosquitto does not save its sessions: {self.log_text()[-2_000:]}")
            time.sleep(0.01)

    def _end_now(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(STOP_WAIT_S)
        self._process = None

    def _start_once(self) -> None:
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._configuration()) + "\n")
        self._process = subprocess.Popen(
            ["mosquitto", "-c", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + READY_WAIT_S
        ports = (self.port, self.plain_port) if self._plain else (self.port,)
        while not all(listens(port) for port in ports):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self._end_now(self._process)
                raise BrokerError(f"mosquitto does not listen on {ports}: {self.log_text()[-2_000:]}")
            time.sleep(0.01)

    def _configuration(self) -> list[str]:
        lines = [
            "user root",  # as a test's folder may be closed to others; ignored unless root starts it
            "per_listener_settings true",
            "persistence true",
            f"persistence_location {self._folder}/",
            f"log_dest file {self.log}",
            "log_type all",
            "set_tcp_nodelay true",
            *self._settings,
        ]
        for address in ("localhost", *self._addresses):
            lines += self._listener(address)
        if self._plain:
            lines += [f"listener {self.plain_port} localhost", "allow_anonymous true"]
        return lines

    def _listener(self, address: str) -> list[str]:
        lines = [
            f"listener {self.port} {address}",
            f"cafile {self._authority.ca}",
            f"certfile {self._server.certificate}",
            f"keyfile {self._server.key}",
            "require_certificate true",
            "use_identity_as_username true",
        ]
        if self._access is not None:
            access = self._folder / "access.conf"
            access.write_text("\n".join(self._access) + "\n")
            access.chmod(0o600)
            lines.append(f"acl_file {access}")
        return lines

    # Witnesses -------------------------------------------------------------------------------------------------------

    def publish(self, identity: Identity, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """By mosquitto_pub with this certificate; returns once the broker has it (QoS 1).

        Raises:
            BrokerError: it was not taken.
        """
        arguments = [
            "mosquitto_pub",
            *self._client_arguments(identity),
            "-t",
            topic,
            "-q",
            str(qos),
            "-s" if payload else "-n",
        ]
        if retain:
            arguments.append("-r")
        done = subprocess.run(arguments, input=payload, capture_output=True, timeout=CLIENT_WAIT_S, check=False)
        if done.returncode != 0 or done.stderr:
            raise BrokerError(f"mosquitto_pub to {topic}: {done.stderr.decode(errors='replace')}")

    @contextmanager
    def publisher(self, identity: Identity, topic: str) -> Iterator[Callable[[bytes], None]]:
        """A mosquitto_pub that stays connected: each line it is given is a message (QoS 1). For what is timed."""
        command = ["mosquitto_pub", *self._client_arguments(identity), "-t", topic, "-q", "1", "-l"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
            assert child.stdin
            pipe = child.stdin

            def publish(line: bytes) -> None:
                pipe.write(line.rstrip(b"\n") + b"\n")
                pipe.flush()

            yield publish
            pipe.close()
            child.wait(CLIENT_WAIT_S)

    def listen(self, identity: Identity, *topics: str, client_id: str | None = None) -> Listener:
        """A mosquitto_sub with this certificate, already subscribed; with a `client_id` it outlives the broker."""
        return Listener(self._client_arguments(identity), topics, client_id)

    def _client_arguments(self, identity: Identity) -> list[str]:
        files = ["--cafile", self._authority.ca, "--cert", identity.certificate, "--key", identity.key]
        return ["-h", "localhost", "-p", str(self.port), "-V", "5", *(str(part) for part in files)]


def free_ports() -> tuple[int, int]:
    """Two on loopback that nobody listens on, so far."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False
