"""What node.yaml says, as one frozen tree of plain values. The attributes have the names of the keys.

Pure; any thread. Nothing is checked here: `config.load_config` makes these of a file, tests make them by hand.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.messages.documents import Day
from agent.messages.rules import NO_RULES, Ceiling, Rules, split, strictest, united
from agent.messages.sentences import Sentence
from agent.messages.words import Kind


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
        return frozenset(minute for span in split(self.start_minute, self.end_minute) for minute in range(*span))


@dataclass(frozen=True, slots=True)
class VolumeHours:
    """How loud items of a kind may be from one minute of the local day to another, as in `QuietHours`."""

    start_minute: int
    end_minute: int
    kind: Kind
    percent: int


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
    """The sound card, how loud, and how much later than its neighbours it starts what all start together."""

    device: str
    volume_percent: int = 80
    emergency_volume_percent: int = 100
    start_offset_ms: int = 0


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
class Speech:
    """Who speaks texts beside espeak-ng: Piper's program and the folder of its voices; both or neither."""

    piper: Path | None = None
    voices: Path | None = None


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
    """The commune's own limits; None: no limit. `volume_ceilings` are pairs of kind and percent, all day."""

    quiet_hours: tuple[QuietHours, ...] = ()
    days: tuple[Day, ...] | None = None
    max_session_min: int | None = None
    max_sessions_per_day: int | None = None
    max_minutes_per_day: int | None = None
    volume_ceilings: tuple[tuple[Kind, int], ...] = ()
    volume_by_hour: tuple[VolumeHours, ...] = ()

    @property
    def rules(self) -> Rules:
        """The same as the core reckons with it."""
        ceilings = [Ceiling(kind, percent) for kind, percent in self.volume_ceilings]
        for hours in self.volume_by_hour:
            spans = split(hours.start_minute, hours.end_minute)
            ceilings += [Ceiling(hours.kind, hours.percent, *span) for span in spans]
        rules = Rules(
            quiet_hours=united(span for one in self.quiet_hours for span in split(one.start_minute, one.end_minute)),
            days=NO_RULES.days if self.days is None else frozenset(self.days),
            max_session_min=self.max_session_min,
            max_sessions_per_day=self.max_sessions_per_day,
            max_minutes_per_day=self.max_minutes_per_day,
            ceilings=tuple(ceilings),
        )
        return strictest([rules])


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
    speech: Speech = Speech()
    storage: Storage = Storage()
    clock: Clock = Clock()
    heartbeat_s: int = 60
    policy: Policy | None = None
    timezone: str = "Asia/Ho_Chi_Minh"
    notes: tuple[Sentence, ...] = ()
