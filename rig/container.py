"""A machine with a systemd of its own: a root file system under an overlay, booted by systemd-nspawn. Needs root.

No network but its own loopback. Commands enter by nsenter, without the right to set a clock that is the host's too. The
container lives in a cgroup of its own, and all of it is gone when the block ends.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.nspawn import Cgroups, first_process, inside
from rig.sound import wait_until

BOOT_WAIT_S: Final = 120.0
"""Two seconds on an idle machine."""
COMMAND_WAIT_S: Final = 300.0


class ContainerError(RuntimeError):
    """The container does not do what it was asked; the text has its words."""


class Container:
    """One machine. `layers` are root file systems, the uppermost first; what it writes stays in `folder / "upper"`."""

    def __init__(self, layers: Sequence[Path], folder: Path) -> None:
        self._layers = layers
        self._folder = folder
        self._name = f"loa-{os.getpid()}-{re.sub(r'[^a-z0-9]', '', folder.name.lower())[-20:]}"
        self._cgroups = Cgroups(self._name)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.root = folder / "root"
        """Its files as the host sees them; not what it mounts itself (/run, /tmp, /dev)."""

    @property
    def upper(self) -> Path:
        """What it has changed: a layer for others, once it is switched off."""
        return self._folder / "upper"

    def __enter__(self) -> Self:
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self._layers)
        options = f"redirect_dir=on,lowerdir={lower},upperdir={self.upper},workdir={self._folder / 'work'}"
        _must("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut()
        _must("umount", "--lazy", str(self.root))

    # Power -----------------------------------------------------------------------------------------------------------

    def boot(self, *, failing: tuple[str, ...] = ()) -> None:
        """Switch on; return once systemd has started all it was to start.

        Raises:
            ContainerError: it does not come up, or other units have failed than those that should.
        """
        command = ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self._name}", "--boot"]
        command += ["--register=no", "--keep-unit", "--private-network", "--console=pipe", "--link-journal=no"]
        # Asking the kernel for its clock; without CAP_SYS_TIME, which nspawn takes away, nobody can set it.
        command += ["--system-call-filter=adjtimex clock_adjtime"]
        with (self._folder / "console").open("ab") as console:
            self._nspawn = subprocess.Popen(
                self._cgroups.around(*command),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )
        wait_until(lambda: self._leader() != 0 or not self.running, what="the container's init", timeout_s=BOOT_WAIT_S)
        wait_until(self._listens, what="the container's systemd", timeout_s=BOOT_WAIT_S)
        self.try_to("systemctl", "is-system-running", "--wait")
        listed = self.run("systemctl", "--failed", "--no-legend", "--plain").splitlines()
        if [line.split()[0] for line in listed] != list(failing):
            raise ContainerError(f"failed units: {listed or 'none'}; {self.journal('--priority=warning')[-2_000:]}")

    def cut(self) -> None:
        """The power is gone: no process of it sees another instruction. May be called again."""
        if self._nspawn is None:
            return
        if leader := self._leader():
            with suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
        self._end(signal.SIGKILL)

    def shut_down(self) -> None:
        """Switch off in good order."""
        if self._nspawn is not None:
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self._nspawn is not None
        self._nspawn.send_signal(number)
        self._nspawn.wait(BOOT_WAIT_S)
        self._nspawn = None
        self._cgroups.remove()

    @property
    def running(self) -> bool:
        """Whether the power is on."""
        return self._nspawn is not None and self._nspawn.poll() is None

    def console(self) -> str:
        """All that was printed while it booted."""
        return (self._folder / "console").read_text(errors="replace")

    def _leader(self) -> int:
        """The container's process 1, as the host numbers it; 0 while there is none."""
        assert self._nspawn is not None
        return first_process(self._nspawn.pid)

    def _listens(self) -> bool:
        if not self.running:
            raise ContainerError(f"the container did not start: {self.console()[-2_000:]}")
        return self.try_to("test", "-S", "/run/systemd/private").returncode == 0

    # Commands --------------------------------------------------------------------------------------------------------

    def try_to(self, *command: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command in it, as root, and say how it ended."""
        return subprocess.run(
            inside(self._leader(), *command),
            capture_output=True,
            text=True,
            input=text,
            timeout=COMMAND_WAIT_S,
            check=False,
            cwd="/",
        )

    def run(self, *command: str, text: str | None = None) -> str:
        """What a command that must not fail prints.

        Raises:
            ContainerError: it failed.
        """
        done = self.try_to(*command, text=text)
        if done.returncode != 0:
            raise ContainerError(f"{' '.join(command)}: exit {done.returncode}: {(done.stderr + done.stdout)[-3_000:]}")
        return done.stdout

    def wait(self, condition: Callable[[], bool], *, what: str, timeout_s: float = 90.0) -> None:
        """Look until the condition holds. Raises ContainerError with the end of the journal."""
        try:
            wait_until(condition, what=what, timeout_s=timeout_s)
        except TimeoutError as error:
            raise ContainerError(f"{error}; {self.journal()[-3_000:]}") from None

    def journal(self, *options: str) -> str:
        """What was logged since it was switched on."""
        return self.try_to("journalctl", "--boot", "--no-pager", "--output=cat", *options).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of its own; its folder is made."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(mode)

    def read(self, path: str) -> str:
        """The text of a file of its own."""
        return (self.root / path.lstrip("/")).read_text("utf-8")


@contextmanager
def booted(layers: Sequence[Path], folder: Path) -> Iterator[Container]:
    """A machine that is switched on, until the block ends."""
    with Container(layers, folder) as container:
        container.boot()
        yield container


def _must(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ContainerError(f"{' '.join(command)}: {done.stderr.strip()}")
