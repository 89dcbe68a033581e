"""A line between station and pole, through a router that loses packets: network namespaces joined by veth. Needs root.

    this machine .1 ---- .2 router .5 ---- .6 pole

Each namespace belongs to a process that reads its standard input: however this process ends, that pipe is closed, and
namespaces, interfaces, routes, rules and the pole's own resolv.conf are gone. Packets are lost on the way and not at
either end: what a machine drops by itself, its TCP takes for congestion of its own.
"""

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rig.root import LET_GO_OF_DISKS, run
from rig.sound import wait_until

_BENCHMARKS: Final = (198 << 24) + (18 << 16)
"""198.18.0.0/15, for tests of network devices (RFC 2544): no host on any network has such an address."""
_NETWORKS: Final = 1 << 14
"""Of eight addresses each."""
_HOLDER: Final = f"""
set -e
ip link set lo up
if [ -n "$1" ]; then
    {LET_GO_OF_DISKS}
    for name in resolv.conf nsswitch.conf; do mount --bind "$1/$name" "/etc/$name"; done
fi
echo ready
exec cat
"""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, and a view of the file system that has another resolv.conf."""

    pid: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """Put before a command, this runs it inside, as the same process."""
        return ("nsenter", f"--target={self.pid}", "--net", "--mount", f"--wdns={Path.cwd()}")

    def run(self, *command: str) -> None:
        """A program inside, to its end. Raises OSError."""
        run(*self.prefix, *command)


class Network:
    """Station and pole are joined while this is open; one at a time in a process."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the pole's own files."""
        base = _BENCHMARKS + 8 * (os.getpid() % _NETWORKS)
        self.station, self._near, self._far, self.address = (_dotted(base + host) for host in (1, 2, 5, 6))
        """Addresses of this machine, of the router on both sides, and of the pole."""
        self._interface = f"loa{os.getpid()}"
        self._etc = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._etc.mkdir(parents=True, exist_ok=True)
        (self._etc / "nsswitch.conf").write_text("hosts: files dns\n")
        (self._etc / "resolv.conf").write_text("")
        with ExitStack() as stack:
            stack.callback(self._wait_gone)
            self._router = _namespace(stack, "")
            self.pole = _namespace(stack, str(self._etc))
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _join(self) -> None:
        near = ("peer", "name", "station", "netns", str(self._router.pid))
        run("ip", "link", "add", self._interface, "type", "veth", *near)
        run("ip", "address", "add", f"{self.station}/30", "dev", self._interface)
        run("ip", "link", "set", self._interface, "up")
        router = self._router.run
        router("ip", "link", "add", "pole", "type", "veth", "peer", "name", "modem", "netns", str(self.pole.pid))
        for interface, address in (("station", self._near), ("pole", self._far)):
            router("ip", "address", "add", f"{address}/30", "dev", interface)
            router("ip", "link", "set", interface, "up")
        router("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        run("ip", "route", "add", f"{self.address}/32", "via", self._near)
        self.pole.run("ip", "address", "add", f"{self.address}/30", "dev", "modem")
        self.plug_in()

    def lose(self, probability: float) -> None:
        """Of all packets, each way, this part is lost from now on."""
        self._forward("-m", "statistic", "--mode", "random", "--probability", str(probability))

    def swallow(self, *which: str) -> None:
        """Packets vanish, all or those that these words of iptables name; nobody is told."""
        self._forward(*which)

    def _forward(self, *which: str) -> None:
        self.pass_all()
        self._router.run("iptables", "--wait", "-A", "FORWARD", *which, "-j", "DROP")

    def pass_all(self) -> None:
        """The router loses nothing."""
        self._router.run("iptables", "--wait", "-F", "FORWARD")

    @property
    def dropped(self) -> int:
        """How many packets the present loss has cost."""
        rules = run(*self._router.prefix, "iptables", "--wait", "-L", "FORWARD", "--verbose", "--exact", "--numeric")
        return sum(int(line.split()[0]) for line in rules.splitlines() if " DROP " in line)

    def unplug(self) -> None:
        """The pole has no network, and knows it."""
        self.pole.run("ip", "link", "set", "modem", "down")

    def plug_in(self) -> None:
        """The pole has a network."""
        self.pole.run("ip", "link", "set", "modem", "up")
        self.pole.run("ip", "route", "add", "default", "via", self._far)

    def ask(self, resolver: str) -> None:
        """The pole asks this address for names, as a machine does that was told so by its provider."""
        (self._etc / "resolv.conf").write_text(f"nameserver {resolver}\n")

    def _wait_gone(self) -> None:
        """The kernel takes namespaces apart when it has time."""
        wait_until(lambda: not Path("/sys/class/net", self._interface).exists(), what="the end of the namespaces")


def _namespace(stack: ExitStack, etc: str) -> Namespace:
    mounts = ["--mount", "--propagation=slave"] if etc else []
    command = ["unshare", "--net", *mounts, "sh", "-c", _HOLDER, "sh", etc]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stack.callback(child.communicate)
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        raise OSError(f"no namespace: {child.communicate()[1].strip()}; this needs root")
    return Namespace(child.pid)


def _dotted(address: int) -> str:
    return ".".join(str(address >> shift & 0xFF) for shift in (24, 16, 8, 0))
