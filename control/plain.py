"""Text from outside, made safe to show: a hostile broker must not steer the operator's terminal. Pure."""

MAX_SHOWN = 200
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def plain(text: str, limit: int = MAX_SHOWN) -> str:
    """`text` without control, escape and direction characters, cut to `limit` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else REPLACEMENT for c in cut)
