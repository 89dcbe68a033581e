"""What `check --online` tries, one function a line: each says how it is well, or raises `FaultError`: how to mend it.

Each may run on a thread of its own and take its time; none changes anything, and none touches what a running agent
holds: of the card, the relays and the link it is asked instead (field notes, gpiozero 4).
"""

import errno
import os
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agent.card.alsa import AlsaError, Pcm
from agent.clock import Clock
from agent.clock_chip import read_chip
from agent.commands.identity import own_certificate
from agent.config import Config
from agent.configuration.problems import reason_of
from agent.fetching.dial import Authorities, system_resolve
from agent.messages.addresses import parse_entry
from agent.messages.condition import Condition
from agent.messages.sentences import Sentence
from agent.mqtt.broker import Broker, why
from agent.mqtt.probe import Credentials, RefusedError, be_welcomed, reach

STEP_S: Final = 8.0
"""For a connection, and again for the answer; the whole has `online.PATIENCE_S`."""
SOON_DAYS: Final = 30
LEAST_FREE_MB: Final = 64
"""Below it the store, and a file of some minutes, have no room."""
MEGABYTE: Final = 1_000_000
RATE_HZ: Final = 48_000
DEVICES: Final = Path("/dev")


class FaultError(Exception):
    """It is not well; the argument is one sentence: what, and how to mend it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """`what` is tried by `look`."""

    what: Sentence | str
    look: Callable[[], Sentence]


def probes(config: Config, condition: Condition | None) -> list[Probe]:
    """All there is to try on this node; `condition` is the running agent's, None where none answers."""
    brokers = [Broker.parse(broker.url) for broker in config.mqtt.brokers]
    allowed = dict.fromkeys((*config.sources.allow, *(config.sources.files or ())))
    return [
        *(Probe(one.url, partial(broker, config, condition, one)) for one in brokers),
        Probe(Sentence("certificate"), partial(certificate, config)),
        *(Probe(entry, partial(source, config, entry)) for entry in allowed),
        Probe(Sentence("sound card"), partial(card, config, condition)),
        Probe(Sentence("relays"), partial(relays, config, condition)),
        Probe(Sentence("clock"), partial(clock, config, condition)),
        Probe(Sentence("disk"), partial(disk, config, condition)),
    ]


def broker(config: Config, condition: Condition | None, one: Broker) -> Sentence:
    """Name, TCP, TLS; MQTT too where no agent runs, whose session it would take over."""
    if condition is not None and condition.link_up and len(config.mqtt.brokers) == 1:
        return Sentence("the running agent is connected")
    mqtt = config.mqtt
    shown = Credentials(mqtt.ca, mqtt.certificate, mqtt.key)
    try:
        with reach(one, shown, STEP_S) as connected:
            if condition is not None:
                return Sentence("answers; the running agent is the one to speak MQTT with it")
            connected.settimeout(STEP_S)
            be_welcomed(connected, f"loa-{config.site}-{config.node}", version_5=mqtt.version == "5")
    except RefusedError as error:
        told = Sentence("{why}: is this node in the broker's list?", why=error.args[0])
        raise FaultError(told) from None
    except (OSError, UnicodeError) as error:
        raise FaultError(Sentence("{why}: see docs/broker.md", why=why(error))) from None
    return Sentence("lets this node in")


def certificate(config: Config) -> Sentence:
    """Its dates, by this machine's clock; that the key fits was looked at before."""
    found = own_certificate(config)
    if found is None:
        return Sentence("none, and none is needed on this machine")
    now = datetime.now(UTC)
    if now < found.valid_from:
        told = Sentence("not valid before {date}: is this machine's clock right?", date=f"{found.valid_from:%Y-%m-%d}")
        raise FaultError(told)
    if now >= found.valid_until:
        told = Sentence("ended on {date}: make a new one with `loactl ca node`", date=f"{found.valid_until:%Y-%m-%d}")
        raise FaultError(told)
    days = (found.valid_until - now).days
    if days < SOON_DAYS:
        raise FaultError(Sentence("ends in {days} days: make a new one with `loactl ca node`", days=days))
    return Sentence("for {name}, until {date}", name=found.name or "-", date=f"{found.valid_until:%Y-%m-%d}")


def source(config: Config, written: str) -> Sentence:
    """A host of the allow-list; a whole domain cannot be tried."""
    entry = parse_entry(written)
    if entry.wildcard or entry.port is None:
        return Sentence("stands for many addresses, none of which is tried")
    port = entry.port
    try:
        found = system_resolve(entry.host, port)
    except OSError as error:
        told = Sentence("has no address ({why}): is the name right, and the network up?", why=str(error.strerror))
        raise FaultError(told) from None
    try:
        with socket.create_connection((found[0], port), STEP_S) as connected:
            if entry.scheme == "https":
                context = Authorities(config.sources.ca).context
                with context.wrap_socket(connected, server_hostname=entry.host):
                    return Sentence("answers, and proves its name")
    except ssl.SSLCertVerificationError as error:
        told = Sentence("does not prove its name ({why}): is sources.ca the right one?", why=error.verify_message)
        raise FaultError(told) from None
    except OSError as error:
        told = Sentence("does not answer ({why}): is the station on the air?", why=error.strerror or str(error))
        raise FaultError(told) from None
    return Sentence("answers")


def card(config: Config, condition: Condition | None) -> Sentence:
    """Opened and closed where no agent runs: not a sample is given to it."""
    device = config.audio.device
    if condition is not None:
        if condition.card_fault:
            why_not = condition.card_fault
            raise FaultError(Sentence("{why}: see `aplay -l`, and what holds it: fuser -v /dev/snd/*", why=why_not))
        return Sentence("the running agent opens it when it is to sound")
    try:
        Pcm(device=device, rate_hz=RATE_HZ, period_samples=480, buffer_samples=9_600, start_samples=9_600).close()
    except AlsaError as error:
        mend = {
            errno.EBUSY: Sentence("another program holds it: fuser -v /dev/snd/*"),
            errno.EACCES: Sentence("this user may not open it: say it with sudo, or join the group audio"),
            errno.ENOENT: Sentence("there is no such card: write a name that `aplay -l` shows"),
            errno.ENODEV: Sentence("there is no such card: write a name that `aplay -l` shows"),
        }
        raise FaultError(mend.get(error.errno or 0, Sentence("{why}: look at `aplay -l`", why=str(error)))) from None
    except OSError as error:
        raise FaultError(Sentence("libasound cannot be used ({why}): apt install libasound2", why=str(error))) from None
    return Sentence("{device} can be opened", device=device)


def relays(config: Config, condition: Condition | None) -> Sentence:
    """What the agent says of them; without one, whether their chip is there. A line is never opened from here."""
    if condition is not None:
        faults = ", ".join(zone for zone, mode in condition.amplifiers.items() if mode == "fault")
        if faults:
            raise FaultError(Sentence("{zones} cannot be switched: is the board wired and powered?", zones=faults))
        return Sentence("held by the running agent")
    if config.gpio.factory == "mock":
        return Sentence("simulated: no relay is switched")
    wanted = "gpiochip[0-9]*" if config.gpio.chip is None else f"gpiochip{config.gpio.chip}"
    chips = sorted(DEVICES.glob(wanted))
    if not chips:
        raise FaultError(Sentence("there is no {device}: is this a Pi, and gpio.chip right?", device=DEVICES / wanted))
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        told = Sentence("this user may not use {device}: say it with sudo, or join the group gpio", device=chips[0])
        raise FaultError(told)
    if find_spec("lgpio") is None:
        raise FaultError(Sentence("lgpio is not installed: apt install python3-lgpio"))
    return Sentence("{device} is there; the lines are the agent's to try", device=chips[0])


def clock(config: Config, condition: Condition | None) -> Sentence:
    """Whether the time is known, and by whom."""
    if config.clock.rtc is not None and read_chip(config.clock.rtc) is None:
        raise FaultError(Sentence("{chip} tells no time: is it fitted, and its battery good?", chip=config.clock.rtc))
    if condition is not None and condition.clock.trusted:
        return Sentence("known: {evidence}", evidence=condition.clock.evidence)
    if config.clock.trust == "always":
        return Sentence("node.yaml vouches for it (clock.trust: always)")
    if not Clock(always_trusted=False).read().synchronised:
        told = Sentence("not synchronised: connect the network and wait a minute, or see `timedatectl`")
        raise FaultError(told)
    return Sentence("synchronised")


def disk(config: Config, condition: Condition | None) -> Sentence:
    """Room on the card, and that it can be written."""
    if condition is not None and condition.disk_fault:
        raise FaultError(Sentence("{why}: is the card full, or worn out?", why=condition.disk_fault))
    state = config.storage.state
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    found = os.statvfs(there)
    free_mb = found.f_bavail * found.f_frsize // MEGABYTE
    if free_mb < LEAST_FREE_MB:
        raise FaultError(Sentence("{free} MB are free on {folder}: make room", free=free_mb, folder=there))
    if there != state:
        return Sentence("{free} MB are free; {folder} is made by the agent", free=free_mb, folder=state)
    if os.access(there, os.W_OK | os.X_OK):
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"loa")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = reason_of(error)
            told = Sentence("{folder} takes nothing ({why}): is it full, or worn out?", folder=there, why=reason)
            raise FaultError(told) from None
    elif os.statvfs(there).f_flag & os.ST_RDONLY:
        raise FaultError(Sentence("{folder} is mounted read-only: is the card worn out?", folder=there))
    return Sentence("{free} MB are free", free=free_mb)
