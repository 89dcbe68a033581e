"""Which addresses the node may call: the grammar of URIs and allow-list entries, and the rules over both (protocol 4).

Pure; any thread. Whatever two programs might read in two ways (userinfo, backslashes, octal addresses, dots in paths)
is refused instead of repaired: the address that was checked must be the one that is called.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal
from urllib.parse import urljoin

from agent.messages.sentences import Sentence

SCHEME_PORTS = {"http": 80, "https": 443}
MAX_URI_CHARACTERS = 2_048
"""As `messages.commands.Uri`; holds for redirects too."""
MAX_HOST_CHARACTERS = 253
"""Longest name that DNS can carry."""

_URI = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?", re.ASCII | re.IGNORECASE
)
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(?P<port>[^:]*))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SEPARATOR = re.compile(r"/|%2f|%5c", re.ASCII | re.IGNORECASE)
_WILDCARD_LABELS = 2

_NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; 0.0.0.0 itself reaches loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
"""All unicast ever handed out; loopback, ULA, link-local, multicast, IPv4-mapped and NAT64 lie outside."""
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class Address:
    """An http or https URI taken apart: `host` in lower case, IPv6 without brackets; `path` begins with a slash."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def literal(self) -> bool:
        """Whether the host is an IP address already."""
        return ":" in self.host or _NUMBER.fullmatch(self.host.rpartition(".")[2]) is not None

    @property
    def target(self) -> str:
        """What stands in the request line."""
        return self.path + self.query

    @property
    def authority(self) -> str:
        """What stands in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == SCHEME_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """The whole, as redirects are resolved against it."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One allow-list entry. `port` None: any. With `wildcard`, `host` is what follows `*.`; `prefix` may be empty."""

    scheme: str
    host: str
    wildcard: bool
    port: int | None
    prefix: str

    def covers(self, address: Address) -> bool:
        """Whether the entry allows this address. A prefix ends where a path segment ends."""
        return (
            self.scheme == address.scheme
            and self.port in {None, address.port}
            and (address.host.endswith("." + self.host) if self.wildcard else address.host == self.host)
            and (address.path == self.prefix or address.path.startswith(self.prefix.removesuffix("/") + "/"))
        )


def parse_address(uri: str) -> Address:
    """Take a URI apart.

    Raises:
        ValueError: it is not an http or https URI that everybody reads in one way; the text is one sentence.
    """
    if len(uri) > MAX_URI_CHARACTERS:
        raise ValueError(f"a URI has at most {MAX_URI_CHARACTERS} characters, not {len(uri)}")
    found = _URI.fullmatch(uri)
    if found is None:
        raise ValueError("a URI is http://host or https://host, then a path, and no fragment")
    authority, path, query = found["authority"], found["path"] or "/", found["query"] or ""
    if _PLAIN.fullmatch(path + query) is None:
        raise ValueError("the URI holds a character that must be percent-encoded")
    _require_no_dot_segments(path)
    scheme = found["scheme"].lower()
    host, port = _split_authority(authority)
    number = SCHEME_PORTS[scheme] if port is None else _port(port)
    return Address(scheme, _host(host.lower()), number, path, query)


def follow(address: Address, location: str) -> Address:
    """Where a redirect from `address` leads.

    Raises:
        ValueError: as `parse_address`.
    """
    if not location.isascii() or not location.isprintable():
        # urljoin would quietly drop tabs and line ends.
        raise ValueError("the redirect holds a character that must be percent-encoded")
    return parse_address(urljoin(address.uri, location))


def parse_entry(text: str) -> Entry:
    """Read `scheme://host[:port|:*][/prefix]`.

    Raises:
        ValueError: it is not such an entry; its argument is a `Sentence`.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in SCHEME_PORTS:
        raise ValueError(Sentence("an entry begins with http:// or https://"))
    authority, slash, after = rest.partition("/")
    prefix = slash + after
    if re.search(r"[?#]", rest) or _PLAIN.fullmatch(prefix) is None:
        raise ValueError(
            Sentence("an entry's prefix is a plain path: no query, no fragment, no character outside ASCII")
        )
    _require_no_dot_segments(prefix)
    host, port = _split_authority(authority)
    wildcard = host.startswith("*.")
    name = _host(host.removeprefix("*."))
    if wildcard and (Address(scheme, name, 1, "/", "").literal or name.count(".") < _WILDCARD_LABELS - 1):
        raise ValueError(Sentence("after *. an entry names at least two labels, as in *.vov.example"))
    if port == "*":
        return Entry(scheme, name, wildcard, None, prefix)
    return Entry(scheme, name, wildcard, SCHEME_PORTS[scheme] if port is None else _port(port), prefix)


def is_public(ip: str) -> bool:
    """Whether this IP address is one that anybody on the Internet may own."""
    address = ip_address(ip)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


class SourceRules:
    """What `sources.allow` and `sources.files` mean, asked for every URI and every redirect anew.

    An address that is not public may be called only through an entry, of either list, that covers the URI and names
    its host without `*`: an entry for the station's encoder must not open the reboot page of the router beside it.
    """

    def __init__(self, allow: Sequence[str], files: Sequence[str] | None) -> None:
        """`files` None: hashed files may come from any public host; empty: from none.

        Raises:
            ValueError: some entry is not one.
        """
        self._allow = tuple(parse_entry(text) for text in allow)
        self._files = None if files is None else tuple(parse_entry(text) for text in files)

    def permit(self, kind: Literal["file", "relay"], address: Address) -> bool:
        """Say whether also an address that is not public may be connected to.

        Raises:
            ValueError: this URI is not allowed at all.
        """
        entries = self._allow if kind == "relay" else self._files
        if entries is not None and not any(entry.covers(address) for entry in entries):
            wanted = "sources.allow" if kind == "relay" else "sources.files"
            raise ValueError(f"no entry of {wanted} covers {address.scheme}://{address.authority}")
        either = (*self._allow, *(self._files or ()))
        return any(not entry.wildcard and entry.covers(address) for entry in either)


def _split_authority(authority: str) -> tuple[str, str | None]:
    if "@" in authority:
        raise ValueError(Sentence("user names and passwords do not belong into an address"))
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise ValueError(Sentence("after the scheme stands a host, perhaps a colon and a port"))
    return found["host"], found["port"]


def _port(text: str) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 65_535:  # noqa: PLR2004  TCP's highest
        raise ValueError(Sentence("a port is a number from 1 to 65535, not {text!r}", text=text[:10]))
    return int(text)


def _host(text: str) -> str:
    """The host as it is compared: IPv6 in its canonical form, names and IPv4 as they stand."""
    if text.startswith("["):
        return _ipv6(text)
    labels = text.split(".")
    if len(text) > MAX_HOST_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            Sentence("a host is a name of lower-case letters, digits and hyphens (xn-- for others), or an address")
        )
    if _NUMBER.fullmatch(labels[-1]) is not None:
        _require_dotted_quad(text)
    return text


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text[1:-1]))
    except ValueError:
        raise ValueError(Sentence("{text} is not an IPv6 address", text=text[:60])) from None


def _require_dotted_quad(text: str) -> None:
    """What ends in a number is IPv4 to every resolver, which also takes 127.1, 0x7f.1 and 017700000001."""
    try:
        canonical = str(IPv4Address(text))
    except ValueError:
        canonical = ""
    if canonical != text:
        raise ValueError(Sentence("an IPv4 address is written as four decimal numbers without leading zeros"))


def _require_no_dot_segments(path: str) -> None:
    """A server may resolve them after the prefix was compared; so it may decode %2e and %2f, and drop `;parameters`."""
    for segment in _SEPARATOR.split(path):
        if re.sub("%2e", ".", segment, flags=re.IGNORECASE).partition(";")[0] in {".", ".."}:
            raise ValueError(Sentence("the path holds . or .. as a segment"))
