"""config/mosquitto as shipped, on loopback ports: real broker, certificates of `loactl ca`, mosquitto's own clients.

Only paths, ports and the system's user are replaced.
"""

import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from control.ca_folder import CaFolder
from control.certificates import client, node, server
from rig.broker import CLIENT_WAIT_S, READY_WAIT_S, free_ports, listens
from rig.listener import Listener, end

SHIPPED = Path(__file__).parents[1] / "config" / "mosquitto"
SITE = "hoang-dao"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Card:
    """Who somebody is: two files."""

    certificate: Path
    key: Path


class Commune:
    """A CA folder, a broker with the shipped files, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = CaFolder(folder / "ca")
        self.ca.begin(SITE, NOW)
        self.ca.make("server", "broker", lambda authority: server(authority, ["localhost", "127.0.0.1"]))
        self.poles, self.desk = free_ports()
        self.log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None

    def pole(self, name: str) -> Card:
        """A certificate for a node."""
        return card(self.ca.make("nodes", name, lambda authority: node(authority, name)))

    def control(self, name: str) -> Card:
        """A certificate for a control server."""
        return card(self.ca.make("clients", name, lambda authority: client(authority, name)))

    def start(self) -> None:
        """It listens once this returns, on the same ports ever after."""
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(self._substituted())
        (self.folder / "acl").write_text((SHIPPED / "acl").read_text("utf-8"), "utf-8")
        (self.folder / "acl").chmod(0o600)
        self._process = subprocess.Popen(
            ["mosquitto", "-c", configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + READY_WAIT_S
        while not all(listens(port) for port in (self.poles, self.desk)):
            assert self._process.poll() is None, self.logged()
            assert time.monotonic() < deadline_s, self.logged()
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM: sessions are saved. Idempotent."""
        if self._process is not None:
            end(self._process)
            self._process = None

    def logged(self) -> str:
        """All that the broker has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _substituted(self) -> str:
        text = (SHIPPED / "mosquitto.conf").read_text("utf-8")
        for old, new in (
            ("/etc/mosquitto/certs/broker.", f"{self.ca.path}/server/broker."),
            ("/etc/mosquitto/certs/", f"{self.ca.path}/"),
            ("/etc/mosquitto/acl", f"{self.folder}/acl"),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
            ("log_dest syslog", f"log_dest file {self.log}"),
            ("user mosquitto", "user root"),
            ("listener 8883", f"listener {self.poles}"),
            ("listener 8884", f"listener {self.desk}"),
        ):
            assert old in text, f"the shipped file says {old}"
            text = text.replace(old, new)
        return text

    # Clients ---------------------------------------------------------------------------------------------------------

    def arguments(self, who: Card | None, *, port: int, host: str = "localhost", ca: Path | None = None) -> list[str]:
        """What mosquitto's clients need to come in as this one."""
        own = [] if who is None else ["--cert", who.certificate, "--key", who.key]
        files = ["--cafile", ca or self.ca.path / "ca.pem", *own]
        return ["-h", host, "-p", str(port), "-V", "5", *map(str, files)]

    def hears(self, who: Card, *topics: str, port: int, session: str | None = None) -> Listener:
        """A mosquitto_sub, already subscribed."""
        return Listener(self.arguments(who, port=port), topics, session)

    def says(
        self, who: Card | None, topic: str, text: str, *, port: int, host: str = "localhost", ca: Path | None = None
    ) -> str:
        """What went wrong, in mosquitto_pub's words; empty once the broker has taken it."""
        command = [
            "mosquitto_pub",
            *self.arguments(who, port=port, host=host, ca=ca),
            "-t",
            topic,
            "-q",
            "1",
            "-m",
            text,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_WAIT_S, check=False)
        return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


def card(certificate: Path) -> Card:
    """The certificate and the key beside it."""
    return Card(certificate, certificate.with_suffix(".key"))
