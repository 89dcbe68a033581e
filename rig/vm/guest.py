"""The virtual machine, running: commands by ssh, files in and out, its power, and what qemu saw of its end.

An emulated processor (TCG) is slow and keeps no time: what is asked of it are states and orders. One owner thread. The
guest's own clock may be set as one likes: it is nobody else's.
"""

import json
import shlex
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self

from rig.sound import running, wait_until
from rig.vm.image import Image

HOST: Final = "10.0.2.2"
"""The guest's name for this machine: what listens on loopback here."""
BOOT_S: Final = 420.0
"""Longest wait for the ssh server: 20 s where nobody else computes."""
PATIENCE_S: Final = 240.0
"""Longest wait for anything in it: a deadline, not a measure."""
POLITE: Final = 10
"""nice(1): two emulated processors take all that two real ones have."""
NOW: Final = "base=utc"
LONG_AGO: Final = "base=1970-01-01T00:00:00,clock=vm"
"""No clock chip, as a Pi: systemd then begins at the day of its own making."""
WATCHDOG: Final = ("-device", "i6300esb", "-action", "watchdog=poweroff")

KERNEL_LINE: Final = (
    "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off raid=noautodetect "
    "trace_event=gpio:gpio_value,gpio:gpio_direction trace_clock=boot"
)
"""`trace_event`: the kernel keeps every level that anybody writes to a line, from the start on."""


class GuestError(RuntimeError):
    """The machine, or a command in it, did not do what it should; the message holds what was said."""


def layer(below: Path, above: Path) -> Path:
    """A disk whose changes go into `above` and leave `below` as it is."""
    kind = "qcow2" if below.suffix == ".qcow2" else "raw"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", str(below), str(above)]
    subprocess.run(command, check=True, timeout=60)
    return above


class Guest:
    """One machine and its disk (qcow2); `with` begins with the power off and ends so."""

    def __init__(self, image: Image, disk: Path) -> None:
        self._image = image
        self._disk = disk
        self._console = disk.with_suffix(".console")
        self._stack = ExitStack()
        self._qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Not beside the disk: the path of a socket has 107 characters at most.
        self._sockets = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="loa-vm-")))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut_power()
        self._stack.close()

    # Power -----------------------------------------------------------------------------------------------------------

    def boot(self, clock: str = NOW, *, watchdog: bool = False) -> None:
        """Power on; returns once commands can be given.

        With `watchdog` the machine has one, whose bite switches it off. Where others compute beside it, so slow a
        machine may be bitten in the midst of its work: only those have one who ask.

        Raises:
            GuestError: it did not come up.
        """
        self._port = _free_port()
        self._console.unlink(missing_ok=True)
        errors = self._disk.with_suffix(".qemu")
        with errors.open("wb") as log:
            command = [*self._command(clock), *(WATCHDOG if watchdog else ())]
            self._qemu = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._monitor = socket.socket(socket.AF_UNIX)
        self._until(self._is_monitored, "qemu's monitor")
        self._monitor.sendall(b'{"execute": "qmp_capabilities"}\n')
        self._until(self._greets, "the ssh server", BOOT_S)
        master = running([*self._ssh(), "-M", "-N", "guest"], environment={}, stderr=subprocess.DEVNULL)
        self._master = self._stack.enter_context(master)
        self._until((self._sockets / "ssh").exists, "a session with the ssh server", BOOT_S)

    def cut_power(self) -> None:
        """As it says. Idempotent."""
        if self._qemu is not None:
            self._qemu.kill()
            self._ended()

    def shut_down(self) -> None:
        """By its own systemd; returns once the power is off."""
        self.run("systemctl poweroff", check=False)  # the connection may end first
        self.wait_for_end()

    def wait_for_end(self) -> list[dict[str, Any]]:
        """What qemu saw of the machine since it was switched on, once it has switched itself off: QMP's events."""
        assert self._qemu is not None, "it runs"
        try:
            self._qemu.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise GuestError(f"the machine runs on; its console: {self.console()[-1_000:]}") from None
        self._monitor.settimeout(5)
        with self._monitor.makefile("r") as said:
            lines = [json.loads(line) for line in said]
        self._ended()
        return [line for line in lines if "event" in line]

    def console(self) -> str:
        """What the machine wrote on its serial console since it was switched on."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def _ended(self) -> None:
        assert self._qemu is not None, "it runs"
        self._qemu.wait()
        self._qemu = None
        self._monitor.close()
        self._master.terminate()
        self._master.wait()
        (self._sockets / "ssh").unlink(missing_ok=True)
        (self._sockets / "qmp").unlink(missing_ok=True)

    def _command(self, clock: str) -> list[str]:
        machine = ["-accel", "tcg,thread=multi", "-machine", "pc", "-cpu", "Westmere", "-smp", "2", "-m", "1024"]
        kernel = ["-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd), "-append", KERNEL_LINE]
        network = f"user,model=virtio-net-pci,ipv6=off,hostfwd=tcp:127.0.0.1:{self._port}-:22"
        devices = ["-drive", f"file={self._disk},if=virtio", "-nic", network, "-device", "virtio-rng-pci"]
        windows = ["-nodefaults", "-display", "none", "-no-reboot", "-serial", f"file:{self._console}"]
        monitor = ["-qmp", f"unix:{self._sockets}/qmp,server=on,wait=off"]
        parts = [*machine, *kernel, *devices, *windows, *monitor, "-rtc", clock]
        return ["nice", "-n", str(POLITE), "qemu-system-x86_64", *parts]

    def _is_monitored(self) -> bool:
        try:
            self._monitor.connect(str(self._sockets / "qmp"))
        except OSError:
            return False
        return True

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            time.sleep(0.2)
            return False

    def _until(self, condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
        assert self._qemu is not None, "it runs"
        qemu = self._qemu
        try:
            wait_until(lambda: condition() or qemu.poll() is not None, what=what, timeout_s=timeout_s)
        except TimeoutError as error:
            raise GuestError(f"{error}; its console: {self.console()[-1_000:]}") from None
        if qemu.poll() is not None:
            said = self._disk.with_suffix(".qemu").read_text(errors="replace")
            raise GuestError(f"{what}: qemu ended with {qemu.returncode}: {said[-1_000:]}")

    # Commands --------------------------------------------------------------------------------------------------------

    def run(
        self, command: str, *, given: bytes | None = None, check: bool = True, timeout_s: float = PATIENCE_S
    ) -> str:
        """What a shell's command says on its standard output, as root.

        Raises:
            GuestError: it ended with another code than 0, unless `check` is false.
        """
        return self._run(command, given, check=check, timeout_s=timeout_s).decode(errors="replace")

    def put(self, path: str, content: bytes, *, mode: str = "644", owner: str = "root:root") -> None:
        """Write a file, its folder too."""
        name = shlex.quote(path)
        command = f"install -D -m {mode} -o {owner.replace(':', ' -g ')} /dev/stdin {name}"
        self._run(command, content, check=True, timeout_s=PATIENCE_S)

    def get(self, path: str) -> bytes:
        """Read a file."""
        return self._run(f"cat {shlex.quote(path)}", None, check=True, timeout_s=PATIENCE_S)

    @contextmanager
    def follow(self, command: str) -> Iterator[list[str]]:
        """The lines that a command which does not end writes, as they come."""
        lines: list[str] = []
        with running([*self._ssh(), "guest", command], environment={}, stdout=subprocess.PIPE) as child:
            stream = child.stdout
            assert stream is not None, "it was opened as a pipe"
            reader = Thread(target=lambda: lines.extend(line.decode() for line in stream), name="guest", daemon=True)
            reader.start()
            try:
                yield lines
            finally:
                child.terminate()
                reader.join(PATIENCE_S)

    def _run(self, command: str, given: bytes | None, *, check: bool, timeout_s: float) -> bytes:
        done = subprocess.run(
            [*self._ssh(), "guest", command], input=given or b"", capture_output=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            if self._qemu is None or self._qemu.poll() is not None:
                said = f"the machine is off; its console: {self.console()[-1_000:]}"
            raise GuestError(f"{command}: exit {done.returncode}: {said[-2_000:]}")
        return done.stdout

    def _ssh(self) -> list[str]:
        """One connection for all commands: making one takes an emulated processor a second."""
        options = {
            "ControlPath": self._sockets / "ssh",
            "HostName": "127.0.0.1",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "Port": self._port,
            "StrictHostKeyChecking": "no",
            "User": "root",
            "UserKnownHostsFile": "/dev/null",
        }
        named = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", str(self._image.key), *named]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
