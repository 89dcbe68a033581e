"""A pole with systemd as its first process and the agent as its service, by the unit that is shipped. Needs root.

systemd-nspawn boots an overlay of this machine's own file system, in which the unit's program is this checkout; all
else is as on a node: user, sandbox, watchdog, ExecStopPost. The relay is the simulated board's trace,
in the StateDirectory; sound goes to the rig's daemon; the network is this machine's loopback.

Everything lives in namespaces of one process, which ends when this one does: mounts, files and processes with it.
"""

import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import yaml

from rig.nspawn import Cgroups, first_process, inside
from rig.root import LET_GO_OF_DISKS, run
from rig.sound import PATIENCE_S, Daemon, boottime_s, wait_until
from rig.village import Node, Station, Switched, switched

REPOSITORY: Final = Path(__file__).parent.parent
UNIT: Final = REPOSITORY / "systemd" / "loa-agent.service"
PARTS: Final = Path("/srv/loa")
"""Where the pole finds this checkout's parts: the unit hides /root, /home and /tmp, where they may really be."""
TARGET: Final = "loa-rig.target"
BOOT: Final = f"""
set -e
{LET_GO_OF_DISKS}
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cp -a "$2/." "$1/root/"
chroot "$1/root" systemd-sysusers loa-agent.conf
chroot "$1/root" chown -R root:loa /etc/loa
chroot "$1/root" chown loa /etc/loa/key.pem
shift 2
exec systemd-nspawn "$@"
"""


class Pole:
    """Booted while this is open, with the agent running. `changes` are members of node.yaml."""

    def __init__(self, station: Station, sound: Daemon, folder: Path, **changes: object) -> None:
        self._station = station
        self._sound = sound
        self._folder = folder
        self._changes = changes
        self._root = folder / "pole"
        self._files = folder / "files"
        self._cgroups = Cgroups(f"loa-rig-{os.getpid()}")
        self._stack = ExitStack()
        self._journal: tuple[subprocess.Popen[str], threading.Thread] | None = None
        self.log: list[tuple[float, str]] = []
        """What the journal has of the agent, with CLOCK_BOOTTIME."""

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True)
        self._write_files()
        with ExitStack() as stack:
            stack.callback(self._cgroups.remove)
            stack.callback(shutil.rmtree, self._files)
            self._boot(stack)
            self._follow()
            self.wait_for_line("ready")
            self.wait_for_line("link up")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    # Files ------------------------------------------------------------------------------------------------------------

    def _write(self, path: str | Path, text: str, mode: int = 0o644) -> None:
        file = self._files / str(path).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def _write_files(self) -> None:
        unit = configparser.RawConfigParser(strict=False)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(UNIT.read_text())
        program = unit["Service"]["ExecStart"].split()[0]
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self._write(
            program,
            "#!/bin/sh\n"
            f"export PYTHONPATH={PARTS}/source:{PARTS}/packages LD_LIBRARY_PATH={PARTS}/python/lib\n"
            f'exec {PARTS}/python/bin/{name} -m agent "$@"\n',
            0o755,
        )
        self._write("/etc/systemd/system/loa-agent.service", UNIT.read_text())
        self._write("/usr/lib/sysusers.d/loa-agent.conf", UNIT.with_name("loa-agent.sysusers.conf").read_text())
        self._write("/etc/systemd/system/loa-agent.service.d/rig.conf", self._drop_in())
        self._write(f"/etc/systemd/system/{TARGET}", "[Unit]\nRequires=basic.target loa-agent.service\n")
        self._write("/etc/systemd/journald.conf.d/rig.conf", "[Journal]\nStorage=volatile\n")
        self._write("/etc/machine-id", f"{os.urandom(16).hex()}\n")
        (self._files / "etc/systemd/system/timers.target").symlink_to("/dev/null")  # this machine's own: apt, man-db
        self._write_configuration()

    def _drop_in(self) -> str:
        return (
            "[Service]\n"
            f"Environment=PULSE_SERVER=unix:{PARTS}/sound/native ALSA_CONFIG_PATH=/etc/loa/alsa.conf\n"
            f"Environment=PULSE_COOKIE=%t/loa/cookie HOME=%t/loa\n"
        )

    def _write_configuration(self) -> None:
        document = Node(self._station, self._sound).document()
        (self._files / "etc/loa").mkdir(mode=0o750)
        for name in ("ca", "certificate", "key"):
            self._write(
                f"/etc/loa/{name}.pem", Path(document["mqtt"][name]).read_text(), 0o600 if name == "key" else 0o640
            )
            document["mqtt"][name] = f"{name}.pem"
        document["storage"] = {"state": "/var/lib/loa", "runtime": "/run/loa"}
        document["gpio"]["trace"] = "/var/lib/loa/relay.log"
        document.update(self._changes)
        self._write("/etc/loa/node.yaml", yaml.safe_dump(document), 0o640)
        self._write("/etc/loa/trust.yaml", json.dumps(self._station.trust_document()), 0o640)
        alsa = Path(self._sound.environment["ALSA_CONFIG_PATH"]).read_text()
        self._write("/etc/loa/alsa.conf", alsa.replace(str(self._sound.socket.parent), f"{PARTS}/sound"), 0o640)

    # Boot -------------------------------------------------------------------------------------------------------------

    def _boot(self, stack: ExitStack) -> None:
        packages = sysconfig.get_paths()["purelib"]
        self._sound.socket.parent.chmod(0o755)
        arguments = ["--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off"]
        arguments += ["--timezone=off", "--console=pipe", f"--directory={self._root}/root", "--machine=loa-rig"]
        for source, place in (
            (REPOSITORY, "source"),
            (packages, "packages"),
            (sys.base_prefix, "python"),
            (self._sound.socket.parent, "sound"),
        ):
            arguments.append(f"--bind-ro={source}:{PARTS}/{place}")
        alone = ["setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--pid", "--kill-child=KILL", "--mount-proc"]
        alone += ["--mount", "--propagation=slave"]
        command = [*alone, "sh", "-c", BOOT, "sh", str(self._root), str(self._files), *arguments]
        told = stack.enter_context((self._folder / "boot.log").open("w"))
        self._launcher = subprocess.Popen(
            self._cgroups.around(*command, "--boot", f"systemd.unit={TARGET}"),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        stack.callback(self._end)
        self._first = self._wait_first()

    def _wait_first(self) -> int:
        """The process that is the pole's first, by this machine's number."""

        def systemd() -> int:
            first = first_process(self._launcher.pid)
            return first if any(Path(f"/proc/{first}/root/run/log/journal").glob("*/system.journal")) else 0

        wait_until(lambda: systemd() != 0 or self._launcher.poll() is not None, what="systemd")
        first = systemd()
        if first == 0:
            raise OSError(f"no systemd: {(self._folder / 'boot.log').read_text()[-500:]}")
        return first

    def _end(self) -> None:
        """Its processes end with it, those that read its journal too."""
        self._launcher.kill()
        self._launcher.wait()
        if self._journal is not None:
            follower, thread = self._journal
            follower.wait()
            thread.join()
            assert follower.stdout is not None
            follower.stdout.close()

    # What it does -----------------------------------------------------------------------------------------------------

    def systemctl(self, *arguments: str) -> str:
        """What the pole's systemctl says. Raises OSError."""
        return run(*inside(self._first, "systemctl", "--no-pager", *arguments)).strip()

    def shown(self, name: str) -> str:
        """A property of the service."""
        return self.systemctl("show", "--value", f"--property={name}", "loa-agent.service")

    @property
    def running(self) -> bool:
        """Whether the agent does."""
        return self.shown("ActiveState") == "active"

    @property
    def pid(self) -> int:
        """The agent's, by this machine's number."""
        inside, space = self.shown("MainPID"), Path(f"/proc/{self._first}/ns/pid").readlink()
        for status in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                numbers = next(line for line in status.read_text().splitlines() if line.startswith("NSpid:")).split()
                if numbers[-1] == inside and (status.with_name("ns") / "pid").readlink() == space:
                    return int(status.parent.name)
        raise ProcessLookupError(f"the agent does not run: {self.log[-5:]}")

    def _follow(self) -> None:
        def read(lines: "subprocess.Popen[str]") -> None:
            ahead_s = boottime_s() - time.monotonic()
            assert lines.stdout is not None
            for line in lines.stdout:
                entry = json.loads(line)
                at_s = int(entry["__MONOTONIC_TIMESTAMP"]) / 1_000_000 + ahead_s
                self.log.append((at_s, str(entry["MESSAGE"])))

        command = inside(
            self._first, "journalctl", "--follow", "--no-tail", "--output=json", "--unit=loa-agent.service"
        )
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        thread = threading.Thread(target=read, args=(follower,), name="pole-journal", daemon=True)
        thread.start()
        self._journal = (follower, thread)

    def wait_for_line(self, text: str, *, since: int = 0, timeout_s: float = PATIENCE_S) -> float:
        """When (CLOCK_BOOTTIME) the first line with this text came, waited for. Raises TimeoutError."""

        def found() -> float | None:
            return next((when for when, line in self.log[since:] if text in line), None)

        try:
            wait_until(lambda: found() is not None, what=f"line {text!r}", timeout_s=timeout_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; journal: {self.log[-15:]}") from None
        when = found()
        assert when is not None
        return when

    def switched(self) -> list[Switched]:
        """The relay's history."""
        return switched(Path(f"/proc/{self._first}/root/var/lib/loa/relay.log"))

    @property
    def relay_on(self) -> bool:
        """Whether any relay is closed now."""
        return any({each.zone: each.on for each in self.switched()}.values())
