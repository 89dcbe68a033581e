"""Spans and instants as people type them: `90`, `90s`, `10m`, `2h`, `1d`; `2026-05-01T05:00+07:00`, `+2h`. Pure."""

import re
from datetime import datetime

from control.problems import InputError

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_span = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)


def span_s(text: str, name: str) -> int:
    """Seconds in a span.

    Raises:
        InputError: not a span, or nothing at all.
    """
    found = _span.fullmatch(text.strip())
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if seconds < 1:
        raise InputError(f"{name} {text!r} is not a span of time: write 90s, 10m, 2h or 1d")
    return seconds


def instant_s(text: str, name: str, now: int) -> int:
    """Unix seconds of an instant: ISO 8601 with its zone, or `+` and a span from `now`.

    Raises:
        InputError: otherwise; a time without a zone is refused, since servers and poles do not agree on one.
    """
    if text.startswith("+"):
        return now + span_s(text[1:], name)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{name} {text!r} is no instant: write 2026-05-01T05:00:00+07:00 or +10m") from None
    if moment.tzinfo is None:
        raise InputError(f"{name} {text!r} names no zone: write {text}+07:00")
    return int(moment.timestamp())
