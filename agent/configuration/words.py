"""What node.yaml says, as one frozen tree of plain values. The attributes have the names of the keys.

Pure; any thread. Nothing is checked here: `config.load_config` makes these of a file, tests make them by hand.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Broker:
    """One MQTT broker."""

    url: str
    host: str
    port: int
    tls: bool

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, by what is written: no name but `localhost` is asked for."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one minute of the local day to another, exclusive; past midnight where the end is not after the start."""

    start_minute: int
    end_minute: int

    def minutes(self) -> frozenset[int]:
        """Every minute of the day within."""
        end = self.end_minute if self.end_minute > self.start_minute else self.end_minute + MINUTES_OF_DAY
        return frozenset(minute % MINUTES_OF_DAY for minute in range(self.start_minute, end))


@dataclass(frozen=True, kw_only=True, slots=True)
class Mqtt:
    """How the server is reached. The three files are there whenever a broker is `mqtts://`."""

    brokers: tuple[Broker, ...]
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    version: Literal["5", "3.1.1"] = "5"
    keepalive_s: int = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Audio:
    """The sound card, and how loud."""

    device: str
    volume_percent: int = 80
    emergency_volume_percent: int = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpio:
    """What switches lines. `chip`: a gpiochip's number, None for the Pi's own; `trace`: where a mock writes levels."""

    factory: Literal["lgpio", "mock"]
    chip: int | None = None
    trace: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """One amplifier behind one relay; `gpio` is the Broadcom number."""

    name: str
    gpio: int
    active: Literal["high", "low"]
    warm_up_ms: int = 800
    linger_ms: int = 3_000
    max_on_s: int = 3_600
    min_off_ms: int = 1_000

    @property
    def active_high(self) -> bool:
        """Whether the relay closes at the line's high level."""
        return self.active == "high"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where sound may come from. `allow` binds relays (empty: none); `files` narrows files (None: any public host)."""

    allow: tuple[str, ...] = ()
    files: tuple[str, ...] | None = None
    ca: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Storage:
    """Folders: `state` survives a power cut, `runtime` is in memory."""

    state: Path = Path("/var/lib/loa")
    cache_max_mb: int = 512
    runtime: Path = Path("/run/loa")


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """When the wall clock is believed: on the kernel's word, or always; and the chip that keeps it without power."""

    trust: Literal["kernel", "always"] = "kernel"
    rtc: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The commune's own limits; None: no limit. Read and checked, not applied by this version."""

    quiet_hours: tuple[QuietHours, ...] = ()
    max_session_min: int | None = None
    max_sessions_per_day: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """All of node.yaml. Paths are absolute; `notes` are sentences for whoever checks the file, and no mistakes."""

    node: str
    site: str
    mqtt: Mqtt
    trust: Path
    audio: Audio
    gpio: Gpio
    amplifier: tuple[Zone, ...]
    groups: tuple[str, ...] = ()
    sources: Sources = Sources()
    storage: Storage = Storage()
    clock: Clock = Clock()
    heartbeat_s: int = 60
    policy: Policy | None = None
    timezone: str = "Asia/Ho_Chi_Minh"
    notes: tuple[str, ...] = ()
