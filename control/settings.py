"""Where the broker is and with which key we sign: a small YAML file, and flags that overrule it.

Every mistake is one sentence with file, line and column. Paths in the file are relative to the file.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from control.addresses import require_name
from control.keys import require_public
from control.problems import InputError
from control.yaml_nodes import at, one_text, pairs, root_of, text_of

DEFAULT_PATH = Path("~/.config/loa/control.yaml")
DEFAULT_PORTS = {"mqtts": 8883, "mqtt": 1883}
_TEXTS = frozenset({"broker", "site", "kid", "authority"})
_PATHS = frozenset({"ca", "certificate", "key", "signing_key", "trust_folder"})
_KEYS = sorted(_TEXTS | _PATHS | {"nodes", "insecure"})


@dataclass(frozen=True, slots=True)
class Settings:
    """All that the commands need to know of their surroundings; what is empty was not given."""

    broker: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    insecure: bool = False
    site: str = ""
    signing_key: Path | None = None
    kid: str = ""
    authority: str = ""
    trust_folder: Path | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Node of `site` to its enrolled public key."""

    def overruled(self, **flags: object) -> "Settings":
        """The same with every flag that was given (is neither None nor empty) in place of what the file said."""
        return replace(self, **{name: value for name, value in flags.items() if value not in (None, "", {})})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A broker's address."""

    host: str
    port: int
    tls: bool


def endpoint(settings: Settings) -> Endpoint:
    """Where to connect to.

    Raises:
        InputError: no address, another scheme, or plain TCP to another machine without `insecure: true`.
    """
    if not settings.broker:
        raise InputError("no broker: give --broker mqtts://HOST[:PORT], or write `broker:` into the configuration file")
    try:
        parts = urlsplit(settings.broker)
        port = parts.port
    except ValueError:
        raise InputError(f"broker {settings.broker!r} is no address: write mqtts://HOST[:PORT]") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path.strip("/") or parts.username:
        raise InputError(f"broker {settings.broker!r} is no address: write mqtts://HOST[:PORT]")
    if parts.scheme == "mqtt" and not settings.insecure and not _is_loopback(parts.hostname):
        raise InputError("plain mqtt:// goes to this machine only: use mqtts://, or write `insecure: true`")
    return Endpoint(parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.scheme == "mqtts")


def load(path: Path | None) -> Settings:
    """The settings in `path`; without one those in the usual place, where a missing file means none.

    Raises:
        InputError: with file, line and column.
    """
    given = path is not None
    place = path if path is not None else DEFAULT_PATH.expanduser()
    try:
        return parsed(text_of(place), place)
    except FileNotFoundError:
        if given:
            raise InputError(f"{place}: no such file") from None
        return Settings()


def load_nodes(path: Path) -> dict[str, str]:
    """A file of public keys: `nodes.yaml`, one `NODE: PUBLIC` a line.

    Raises:
        InputError: with file, line and column.
    """
    try:
        root = root_of(text_of(path), path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    return _nodes(root, path) if root is not None else {}


def parsed(text: str, place: Path) -> Settings:
    """The settings in `text`, which came from `place`.

    Raises:
        InputError: with file, line and column.
    """
    root = root_of(text, place)
    values: dict[str, object] = {}
    for key, value in pairs(root, place) if root is not None else ():
        name = key.value
        if name not in _KEYS:
            raise InputError(f"{at(key, place)}: {name!r} is unknown; the keys are {', '.join(_KEYS)}")
        if name in values:
            raise InputError(f"{at(key, place)}: {name!r} stands twice")
        values[name] = _value(name, value, place)
    if values.get("site"):
        require_name(str(values["site"]), "site")
    return Settings(**values)  # type: ignore[arg-type]


def _value(name: str, value: yaml.Node, place: Path) -> object:
    if name == "nodes" and isinstance(value, yaml.MappingNode):
        return _nodes(value, place)
    text = one_text(value, name, place)
    if name == "nodes":
        return load_nodes(place.parent / Path(text).expanduser())
    if name == "insecure":
        if text not in ("true", "false"):
            raise InputError(f"{at(value, place)}: insecure is true or false, not {text!r}")
        return text == "true"
    return place.parent / Path(text).expanduser() if name in _PATHS else text


def _nodes(root: yaml.MappingNode, place: Path) -> dict[str, str]:
    nodes: dict[str, str] = {}
    for key, value in pairs(root, place):
        try:
            name = require_name(key.value, "node")
            public = require_public(one_text(value, name, place), name)
        except InputError as error:
            raise InputError(f"{at(key, place)}: {error}") from None
        if name in nodes:
            raise InputError(f"{at(key, place)}: node {name!r} stands twice")
        nodes[name] = public
    return nodes


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
