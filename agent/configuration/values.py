"""The values of node.yaml that have a grammar of their own: brokers, cards, hours, zones of time, files.

Any thread. Pure but for the readers of files and time zones, which look at the disk and change nothing.
"""

import ipaddress
import re
import stat
import zoneinfo
from pathlib import Path

from agent.configuration.fields import Described, Place, Reader, Schema, described, mistake, text, wrong
from agent.configuration.problems import reason_of
from agent.configuration.words import Broker, QuietHours, VolumeHours
from agent.configuration.yaml_text import Scalar, Value
from agent.messages.addresses import parse_entry
from agent.messages.sentences import Sentence
from agent.messages.words import Kind

MQTTS_PORT = 8883
MQTT_PORT = 1883
"""Ports by IANA for MQTT over TLS and without."""
MAX_PEM_BYTES = 1024 * 1024
"""Largest certificate or key file, in bytes: a system's whole bundle of authorities has a quarter of it."""


# Brokers ------------------------------------------------------------------------------------------------------------


_BROKER = re.compile(r"(mqtts?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?/?")
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_BROKER_WRITE = Sentence("{form}, such as {example}", form="mqtts://HOST:PORT", example="mqtts://mqtt.example.vn:8883")


@described({"type": "string", "pattern": f"^(?:{_BROKER.pattern})$"})
def broker(value: Value, place: Place) -> Broker:
    """`mqtts://host[:port]` or `mqtt://host[:port]`; nothing else in it, above all no password."""
    url = text(_BROKER_WRITE)(value, place)
    if "@" in url:
        told = Sentence("{name} holds a user or a password: write {write}", name=place.name, write=_BROKER_WRITE)
        raise mistake(value.position, told)
    parts = _BROKER.fullmatch(url)
    if parts is None:
        raise wrong(value, place, _BROKER_WRITE)
    tls = parts[1] == "mqtts"
    port = int(parts[3] or (MQTTS_PORT if tls else MQTT_PORT))
    host = parts[2].lower().strip("[]")
    if not _is_host(parts[2].lower()) or not 1 <= port <= 65_535:  # noqa: PLR2004  the ports there are
        raise wrong(value, place, _BROKER_WRITE)
    return Broker(url, host, port, tls)


def _is_host(written: str) -> bool:
    try:
        if written.startswith("["):
            return bool(ipaddress.IPv6Address(written[1:-1]))
        if written.rpartition(".")[2].isdigit():
            return bool(ipaddress.IPv4Address(written))
    except ValueError:
        return False
    return len(written) <= 253 and _HOST_NAME.fullmatch(written) is not None  # noqa: PLR2004  RFC 1035


# Sound card -----------------------------------------------------------------------------------------------------------

DEVICE_WRITE = Sentence("{example}, with a NAME that `aplay -l` shows", example="plughw:CARD=NAME")
_SHARED = re.compile(r"(?:sys)?default(?::.*)?|(?:plug:)?'?dmix.*")
_NUMBERED = re.compile(r"(?:plug)?hw:(?:CARD=)?[0-9].*")


@described({"type": "string", "pattern": f"^(?!(?:{_SHARED.pattern})$)[!-~]+$"})
def device(value: Value, place: Place) -> str:
    """An ALSA device that this node can have for itself."""
    name = text(DEVICE_WRITE, r"[!-~]+")(value, place)
    if _SHARED.fullmatch(name):
        told = Sentence(
            "{name} is {device}, which others may hold or mix into: write {write}",
            name=place.name,
            device=name,
            write=DEVICE_WRITE,
        )
        raise mistake(value.position, told)
    return name


def is_numbered(device_name: str) -> bool:
    """Whether the card is named by a number, which may be another card after the next boot."""
    return _NUMBERED.fullmatch(device_name) is not None


# Hours and zones of time --------------------------------------------------------------------------------------------


_SPAN = r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])"
_HOURS = re.compile(_SPAN)
_VOLUME_HOURS = re.compile(rf"{_SPAN} +(normal|priority) +(100|[1-9]?[0-9])")


@described({"type": "string", "pattern": f"^{_HOURS.pattern}$"})
def quiet_hours(value: Value, place: Place) -> QuietHours:
    """`HH:MM-HH:MM` of the local day."""
    write = Sentence("{form} in quotes, such as {example}", form="HH:MM-HH:MM", example='"21:00-04:45"')
    parts = _HOURS.fullmatch(value.text) if isinstance(value, Scalar) else None
    if parts is None:
        raise wrong(value, place, write)
    return QuietHours(*_minutes(parts, value, place))


@described({"type": "string", "pattern": f"^{_VOLUME_HOURS.pattern}$"})
def volume_hours(value: Value, place: Place) -> VolumeHours:
    """`HH:MM-HH:MM KIND PERCENT`: a ceiling for some hours of the local day."""
    write = Sentence(
        "{form}, normal or priority, and a percent, such as {example}",
        form="HH:MM-HH:MM",
        example='"20:00-21:00 normal 50"',
    )
    parts = _VOLUME_HOURS.fullmatch(value.text) if isinstance(value, Scalar) else None
    if parts is None:
        raise wrong(value, place, write)
    return VolumeHours(*_minutes(parts, value, place), Kind(parts[5]), int(parts[6]))


def _minutes(parts: re.Match[str], value: Value, place: Place) -> tuple[int, int]:
    start_hour, start_minute, end_hour, end_minute = map(int, parts.groups()[:4])
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if start == end:
        told = Sentence("{name} begins and ends at the same minute: write two different times", name=place.name)
        raise mistake(value.position, told)
    return start, end


@described({"type": "string", "minLength": 1})
def timezone(value: Value, place: Place) -> str:
    """A zone of the IANA data base that this machine knows."""
    write = Sentence("an IANA name that this machine knows, such as {example}", example="Asia/Ho_Chi_Minh")
    name = text(write)(value, place)
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise wrong(value, place, write) from None
    return name


# Addresses ----------------------------------------------------------------------------------------------------------

_ENTRY_WRITE = Sentence(
    "{form}, such as {example}", form="scheme://host[:port][/prefix]", example="https://*.example.vn"
)


@described({"type": "string", "pattern": "^https?://[^\\s@?#]+$"})
def entry(value: Value, place: Place) -> str:
    """An entry of an allow-list, in the grammar of protocol section 4."""
    written = text(_ENTRY_WRITE)(value, place)
    try:
        parse_entry(written)
    except ValueError as error:
        told = Sentence(
            "{name} is no entry ({why}): write {write}", name=place.name, why=error.args[0], write=_ENTRY_WRITE
        )
        raise mistake(value.position, told) from None
    return written


# Files --------------------------------------------------------------------------------------------------------------

CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
PRIVATE_KEY = b"PRIVATE KEY-----"
_ENCRYPTED = (b"ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


_A_PATH: Schema = {"type": "string", "minLength": 1}


def path(write: Sentence) -> Reader[Path]:
    """A path, made absolute from the folder of the file it stands in, so that no later change of folder moves it."""
    read_text = text(write)

    def read(value: Value, place: Place) -> Path:
        return place.base / read_text(value, place)

    return Described(read, lambda: _A_PATH)


def folder(write: Sentence) -> Reader[Path]:
    """A folder, which may still have to be made; not something else of that name."""
    read_path = path(write)

    def read(value: Value, place: Place) -> Path:
        found = read_path(value, place)
        now = place.now(found)
        if now.exists() and not now.is_dir():
            raise mistake(value.position, _about(Sentence("is no folder: write the path of one"), found, place))
        return found

    return Described(read, lambda: _A_PATH)


def readable(write: Sentence) -> Reader[Path]:
    """A file that is there and can be read."""
    read_path = path(write)

    def read(value: Value, place: Place) -> Path:
        found = read_path(value, place)
        _contents(found, value, place)
        return found

    return Described(read, lambda: _A_PATH)


def certificate(write: Sentence) -> Reader[Path]:
    """A file of one or more certificates in PEM."""
    read_path = path(write)

    def read(value: Value, place: Place) -> Path:
        found = read_path(value, place)
        if CERTIFICATE not in _contents(found, value, place):
            told = Sentence("holds no certificate: write a PEM file with one")
            raise mistake(value.position, _about(told, found, place))
        return found

    return Described(read, lambda: _A_PATH)


def private_key(write: Sentence) -> Reader[Path]:
    """A file with a private key in PEM that only its owner can read, and that asks nobody for a password."""
    read_path = path(write)

    def read(value: Value, place: Place) -> Path:
        found = read_path(value, place)
        contents = _contents(found, value, place)
        if PRIVATE_KEY not in contents:
            told = Sentence("holds no private key: write a PEM file with one")
            raise mistake(value.position, _about(told, found, place))
        if any(words in contents for words in _ENCRYPTED):
            told = Sentence("is locked by a password that nobody can type on a pole: write it without one")
            raise mistake(value.position, _about(told, found, place))
        mode = stat.S_IMODE(place.now(found).stat().st_mode)
        if mode & 0o077:
            told = Sentence(
                "can be read or changed by others than its owner (mode {mode}): run chmod 600 {file}",
                mode=f"{mode:04o}",
                file=found,
            )
            raise mistake(value.position, _about(told, found, place))
        return found

    return Described(read, lambda: _A_PATH)


def _contents(found: Path, value: Value, place: Place) -> bytes:
    try:
        now = place.now(found)
        if not stat.S_ISREG(now.stat().st_mode):
            raise mistake(value.position, _about(Sentence("is not a file: write the path of one"), found, place))
        with now.open("rb") as file:
            return file.read(MAX_PEM_BYTES)
    except OSError as error:
        told = Sentence("cannot be read ({reason}): put the file there, or write another path", reason=reason_of(error))
        raise mistake(value.position, _about(told, found, place)) from None


def _about(told: Sentence, file: Path, place: Place) -> Sentence:
    """What is wrong with the file that a key names."""
    return Sentence("{name}: {file} {told}", name=place.name, file=file, told=told)
