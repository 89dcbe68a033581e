"""Whom an order is for: `node:SITE/NODE`, `group:SITE/GROUP`, `site:SITE`, and the topics that reach them. Pure."""

import re
from collections.abc import Sequence

from control.problems import InputError

NAME = r"[a-z0-9][a-z0-9-]{0,39}"
MAX_AUDIENCE = 200
"""Protocol section 3."""

_node_or_group = re.compile(rf"(node|group):({NAME})/({NAME})", re.ASCII)
_site = re.compile(rf"site:({NAME})", re.ASCII)
_from_node = re.compile(rf"loa/v1/({NAME})/node/({NAME})/(state|heartbeat|report)", re.ASCII)


def require_name(text: str, what: str) -> str:
    """`text`, if it can name a site, node or group.

    Raises:
        InputError: otherwise.
    """
    if re.fullmatch(NAME, text, re.ASCII) is None:
        raise InputError(f"{what} {text!r} is not a name: a-z, 0-9 and -, at most 40, not beginning with -")
    return text


def require_audience(addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses, each once, in their order.

    Raises:
        InputError: none, too many, or one that is no address.
    """
    for address in addresses:
        if _node_or_group.fullmatch(address) is None and _site.fullmatch(address) is None:
            raise InputError(f"{address!r} is no address: write node:SITE/NODE, group:SITE/GROUP or site:SITE")
    if not 1 <= len(audience := tuple(dict.fromkeys(addresses))) <= MAX_AUDIENCE:
        raise InputError(f"an order is for 1 to {MAX_AUDIENCE} addresses, not {len(audience)}")
    return audience


def topics(audience: Sequence[str]) -> tuple[str, ...]:
    """The command topics that reach the audience; a whole site's topic makes those inside that site needless."""
    whole = {found[1] for address in audience if (found := _site.fullmatch(address))}
    parts = [found for address in audience if (found := _node_or_group.fullmatch(address)) and found[2] not in whole]
    return (
        *(f"loa/v1/{site}/command/all" for site in sorted(whole)),
        *(f"loa/v1/{part[2]}/command/{part[1]}/{part[3]}" for part in parts),
    )


def sites(audience: Sequence[str]) -> tuple[str, ...]:
    """The sites that the audience is in, sorted."""
    return tuple(sorted({address.split(":", 1)[1].split("/", 1)[0] for address in audience}))


def named_nodes(audience: Sequence[str]) -> frozenset[str]:
    """The `SITE/NODE` of every single node in the audience."""
    return frozenset(address.removeprefix("node:") for address in audience if address.startswith("node:"))


def from_node(topic: str) -> tuple[str, str, str] | None:
    """(site, node, `state` | `heartbeat` | `report`) of a topic that nodes publish on, or None."""
    found = _from_node.fullmatch(topic)
    return (found[1], found[2], found[3]) if found else None
