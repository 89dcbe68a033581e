"""The agent in the virtual machine, installed and run as on a Pi: its package, its own user, its systemd unit.

Two relays: GPIO17 pulls in at high level, GPIO27 at low level; both belong to every item. Their levels are told by the
simulated chip (`relay-watch` in the guest), and what was written to them by the kernel's own trace. The sound card is
snd-aloop: what the agent plays into one end is recorded at the other.
"""

import io
import json
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import yaml

from rig.sound import RATE_HZ, Samples, wait_until
from rig.village import SITE, Station
from rig.vm.guest import HOST, PATIENCE_S, Guest
from rig.vm.image import CHECKOUT

UNIT: Final = "loa-agent.service"
NAME: Final = "hd-03"
REST: Final = {17: 0, 27: 1}
"""Level at which each relay is open, by GPIO."""
WARM_UP_MS: Final = 300
LINGER_MS: Final = 2_000
CHIP: Final = "/sys/devices/platform/gpio-sim.0/gpiochip*"
WATCHED: Final = "/run/relay.log"
STARED: Final = "/run/stare.log"
EARS: Final = "/run/heard.wav"
PULLS: Final = ("pull-down", "pull-up")
SYNCHRONISE: Final = (
    "import ctypes; timex = (ctypes.c_long * 64)(); timex[0] = 0x0010 | 0x0004; "
    "assert ctypes.CDLL(None).adjtimex(timex) >= 0"
)
"""What a time server's client does once it has set the clock (timex.h): status without STA_UNSYNC, maximum error 0."""


@dataclass(frozen=True, slots=True)
class Level:
    """A line has this level from this instant on (CLOCK_BOOTTIME of the guest, in s)."""

    at_s: float
    level: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the service's journal."""

    at_s: float
    text: str


class Recording:
    """What was heard; filled when its block ends."""

    samples: Samples = np.zeros(0, np.int16)


def install(guest: Guest, station: Station) -> None:
    """The Debian package as `make deb` left it, and a configuration; starts with the machine from now on."""
    (package,) = (CHECKOUT / "build").glob("loa-agent_*.deb")
    guest.put("/root/loa-agent.deb", package.read_bytes())
    guest.run("DEBIAN_FRONTEND=noninteractive dpkg --install /root/loa-agent.deb")
    identity = station.authority.client(NAME)
    for path, name in (
        (station.authority.ca, "ca.pem"),
        (identity.certificate, "node.crt"),
        (identity.key, "node.key"),
    ):
        guest.put(f"/etc/loa/{name}", path.read_bytes(), mode="600", owner="loa:loa")
    guest.put("/etc/loa/trust.yaml", json.dumps(station.trust_document()).encode(), mode="640", owner="root:loa")
    guest.put("/etc/loa/node.yaml", yaml.safe_dump(_config(station)).encode(), mode="640", owner="root:loa")


def _config(station: Station) -> dict[str, Any]:
    def zone(gpio: int) -> dict[str, Any]:
        active = "low" if REST[gpio] else "high"
        return {"gpio": gpio, "active": active, "warm_up_ms": WARM_UP_MS, "linger_ms": LINGER_MS, "min_off_ms": 100}

    files = {"ca": "ca.pem", "certificate": "node.crt", "key": "node.key"}
    return {
        "node": NAME,
        "site": SITE,
        "groups": ["thon-2"],
        "mqtt": {"brokers": [f"mqtts://{HOST}:{station.broker.port}"], **files},
        "trust": "trust.yaml",
        "audio": {"device": "plughw:CARD=Loopback,DEV=0", "volume_percent": 100},
        "gpio": {"factory": "lgpio", "chip": 0},
        "amplifier": {"main": zone(17), "yard": zone(27)},
        "sources": {"allow": [], "files": [f"http://{HOST}:*"]},
        "clock": {"trust": "kernel"},
        "heartbeat_s": 10,
    }


class Pole:
    """The service and its relay board in a guest that has booted; `with` follows what they say from power on."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        journal = f"journalctl --boot --unit={UNIT} --output=json --lines=all --follow --quiet"
        with ExitStack() as stack:
            self._journal = stack.enter_context(self.guest.follow(journal))
            self._watched = stack.enter_context(self.guest.follow(f"tail --lines=+1 --follow=name {WATCHED}"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    # The service -----------------------------------------------------------------------------------------------------

    def systemctl(self, verb: str) -> None:
        """Returns once it is done: a start when the agent has said that it is ready."""
        self.guest.run(f"systemctl {verb} {UNIT}")

    def shown(self, name: str) -> str:
        """What systemd says of the service."""
        return self.guest.run(f"systemctl show --value --property={name} {UNIT}").strip()

    def kill(self, signal: str) -> None:
        """Send the agent's process a signal."""
        self.guest.run(f"kill -{signal} {self.shown('MainPID')}")

    def synchronise(self) -> None:
        """Have the kernel vouch for its clock, as after NTP."""
        self.guest.run(f"python3 -c '{SYNCHRONISE}'")

    def status(self) -> str:
        """What `loa-agent status` answers."""
        return self.guest.run("loa-agent status")

    def journal(self) -> list[Line]:
        """What the agent, and systemd of it, have said since the machine booted."""
        lines = [json.loads(line) for line in list(self._journal)]
        return [Line(int(each["__MONOTONIC_TIMESTAMP"]) / 1e6, str(each["MESSAGE"])) for each in lines]

    def said(self, text: str, since_s: float = 0.0) -> float | None:
        """When the first line with this text came; None if none did."""
        return next((line.at_s for line in self.journal() if text in line.text and line.at_s >= since_s), None)

    def wait_for_line(self, text: str, since_s: float = 0.0) -> float:
        """When the first line with this text came, waited for.

        Raises:
            TimeoutError: none came; the message holds the journal's end.
        """
        try:
            self.wait(lambda: self.said(text, since_s) is not None, what=f"journal line {text!r}")
        except TimeoutError as error:
            end = "\n".join(line.text for line in self.journal()[-20:])
            raise TimeoutError(f"{error}; the journal ends:\n{end}") from None
        when = self.said(text, since_s)
        assert when is not None, "it was there a moment ago"
        return when

    def wait(self, condition: Callable[[], bool], *, what: str) -> None:
        """Until it holds. Raises TimeoutError, naming `what`."""
        wait_until(condition, what=what, timeout_s=PATIENCE_S)

    def now_s(self) -> float:
        """CLOCK_BOOTTIME of the guest; it never sleeps, so it is the journal's monotonic clock too."""
        return float(self.guest.run("cat /proc/uptime").split()[0])

    # The relays ------------------------------------------------------------------------------------------------------

    @property
    def relays_open(self) -> bool:
        """Whether every amplifier is off."""
        return all(self.levels(gpio)[-1].level == rest for gpio, rest in REST.items())

    @property
    def relays_closed(self) -> bool:
        """Whether every amplifier is on."""
        return all(self.levels(gpio)[-1].level != rest for gpio, rest in REST.items())

    def pull_against(self) -> None:
        """From now on a line that nobody drives closes its relay: on a Pi, a dead process's line stays as it was."""
        for gpio, rest in REST.items():
            self.guest.run(f"cd {CHIP} && echo {PULLS[1 - rest]} >sim_gpio{gpio}/pull")

    def levels(self, gpio: int, since_s: float = 0.0) -> list[Level]:
        """Each change of the line since then; from the first instant on (0), also the level that was found."""
        return _levels(list(self._watched), gpio, since_s)

    def written(self, gpio: int, since_s: float = 0.0) -> list[Level]:
        """Every level that anybody has written to the line since then: the kernel's trace, which misses nothing."""
        base = int(self.guest.run("cat /sys/class/gpio/gpiochip*/base"))
        found = []
        for row in self.guest.get("/sys/kernel/tracing/trace").decode().splitlines():
            before, marked, event = row.partition(": gpio_value: ")
            if marked and event.split()[:2] == [str(base + gpio), "set"]:
                found.append(Level(float(before.split()[-1]), int(event.split()[2])))
        return [level for level in found if level.at_s >= since_s]

    @contextmanager
    def stared_at(self) -> Iterator[dict[int, list[Level]]]:
        """Look at the levels 5,000 times a second until the block ends; what was seen is filled in then, by line."""
        seen: dict[int, list[Level]] = {}
        watch = "/usr/local/lib/relay-board/watch 200"
        self.guest.run(
            f"systemd-run --quiet --collect --unit=stare --property=StandardOutput=truncate:{STARED} {watch}"
        )
        self.wait(lambda: len(self._stared()) >= len(REST), what="the first look")
        yield seen
        self.guest.run("systemctl stop stare")
        seen.update({gpio: _levels(self._stared(), gpio) for gpio in REST})

    def _stared(self) -> list[str]:
        return self.guest.run(f"cat {STARED}").splitlines()

    # The sound -------------------------------------------------------------------------------------------------------

    @contextmanager
    def listened_to(self) -> Iterator[Recording]:
        """Record the card's other end until the block ends."""
        record = f"arecord --quiet --device=hw:Loopback,1,0 --format=S16_LE --rate={RATE_HZ} --channels=1 {EARS}"
        self.guest.run(f"rm -f {EARS} && systemd-run --quiet --collect --unit=ears --nice=-15 {record}")
        self.wait(lambda: int(self.guest.run(f"stat -c %s {EARS} || echo 0")) > RATE_HZ, what="half a second heard")
        recording = Recording()
        yield recording
        self.guest.run("systemctl stop ears")
        with wave.open(io.BytesIO(self.guest.get(EARS))) as file:
            recording.samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")


def _levels(rows: list[str], gpio: int, since_s: float = 0.0) -> list[Level]:
    """What `relay-watch` has told of one line."""
    told = [row.split() for row in rows]
    found = [Level(float(at), int(level)) for at, name, level in told if name == f"gpio{gpio}"]
    return [level for level in found if level.at_s >= since_s]
