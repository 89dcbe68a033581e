"""A real radio: icecast2 on a loopback port, and ffmpeg that feeds a mount of it with a tone."""

import os
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.sound import running, wait_until

PASSWORD = "of-the-rig"
MOUNT = "/radio"
FEEDS = 5
"""How often a feed that ended at once is started again."""
STARTS = 5
"""Another process may take the free port between choosing it and listening on it."""
SETTINGS = """
<icecast>
  <limits><clients>20</clients><sources>2</sources><queue-size>524288</queue-size>
    <source-timeout>5</source-timeout><burst-size>65535</burst-size></limits>
  <authentication><source-password>{password}</source-password><admin-user>admin</admin-user>
    <admin-password>{password}</admin-password></authentication>
  <hostname>127.0.0.1</hostname>
  <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
  <paths><logdir>{folder}</logdir><webroot>/usr/share/icecast2/web</webroot>
    <adminroot>/usr/share/icecast2/admin</adminroot></paths>
  <logging><accesslog>-</accesslog><errorlog>-</errorlog><loglevel>2</loglevel></logging>
  <security><chroot>0</chroot>{owner}</security>
</icecast>
"""
NOBODY = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"
"""Icecast refuses to serve as root."""


class IcecastError(RuntimeError):
    """It is not on the air; the text says why."""


class Icecast:
    """A station that sends 440 Hz, its peaks at an eighth of full scale, from `start` to `stop`."""

    def __init__(self) -> None:
        self.port = _free_port()
        self._folder = ExitStack()
        self._processes = ExitStack()

    @property
    def uri(self) -> str:
        """Where it is heard."""
        return f"http://127.0.0.1:{self.port}{MOUNT}"

    def __enter__(self) -> Self:
        self._path = Path(self._folder.enter_context(tempfile.TemporaryDirectory(prefix="icecast-")))
        self._path.chmod(0o755)
        owner = NOBODY if os.geteuid() == 0 else ""
        for left in reversed(range(STARTS)):
            settings = SETTINGS.format(password=PASSWORD, port=self.port, folder=self._path, owner=owner)
            (self._path / "icecast.xml").write_text(settings)
            try:
                self.start()
            except IcecastError:
                self.stop()
                if not left:
                    raise
                self.port = _free_port()
            else:
                break
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._folder.close()

    def start(self) -> None:
        """On the air once it returns.

        Raises:
            IcecastError: it has ended, or takes no source.
        """
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = ["icecast2", "-c", str(self._path / "icecast.xml")]
        icecast = self._processes.enter_context(running(server, environment=os.environ, **quiet))
        wait_until(lambda: self._answers() or icecast.poll() is not None, what="icecast answers")
        if icecast.poll() is not None:
            raise IcecastError(f"icecast has ended with {icecast.poll()}: is port {self.port} taken?")
        tone = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:a", "libmp3lame", "-b:a", "96k"]
        target = f"icecast://source:{PASSWORD}@127.0.0.1:{self.port}{MOUNT}"
        feed = ["ffmpeg", "-loglevel", "error", *tone, "-content_type", "audio/mpeg", "-f", "mp3", target]
        # Icecast answers listeners a moment before it takes a source, and then ffmpeg ends at once.
        for _ in range(FEEDS):
            source = self._processes.enter_context(
                running(feed, environment=os.environ, stdin=subprocess.DEVNULL, **quiet)
            )
            wait_until(lambda: self._sends() or source.poll() is not None, what="icecast has its source")  # noqa: B023
            if source.poll() is None:
                return
        raise IcecastError(f"icecast took no source, asked {FEEDS} times")

    def stop(self) -> None:
        """Off the air, the port closed."""
        self._processes.close()

    def _ask(self) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(f"GET {MOUNT} HTTP/1.0\r\n\r\n".encode())
                return connection.recv(64)
        except OSError:
            return b""

    def _answers(self) -> bool:
        return self._ask().startswith(b"HTTP/")

    def _sends(self) -> bool:
        return b" 200 " in self._ask()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
