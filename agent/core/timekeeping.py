"""Is the wall clock to be believed, and since when (protocol section 6).

Trusted time is CLOCK_BOOTTIME plus an offset that only evidence sets: the kernel's word (NTP), the configuration, or a
signed `time` command that answers this node's nonce. A step of the wall clock without new evidence changes nothing.
The floor is the latest instant that has surely passed; no `iat` raises it, except in an accepted `time`.
"""

from dataclasses import dataclass, replace
from typing import Final

from agent.messages.events import Now

NONCE_LIFE_S: Final = 60.0
"""How long a published nonce may be answered: the bound of the error of a time so learnt."""

FLOOR_KEPT_EVERY_S: Final = 6 * 3_600.0
"""The floor alone is written this seldom: an SD card wears (design section 8)."""


@dataclass(frozen=True, slots=True)
class Timekeeping:
    """`offset_s` is wall minus boot time, None while untrusted; `kept_at_s` when the floor was last stored."""

    floor_s: int
    offset_s: float | None = None
    evidence: str = "none"
    nonce: str | None = None
    nonce_at_s: float = float("-inf")
    kept_at_s: float = float("-inf")


def trusted_s(timekeeping: Timekeeping, now: Now) -> float | None:
    """Unix seconds, or None while nothing proves them."""
    return None if timekeeping.offset_s is None else now.mono_s + timekeeping.offset_s


def best_s(timekeeping: Timekeeping, now: Now) -> float:
    """Trusted time, else the floor: for stamping reports, which say whether the clock was trusted."""
    trusted = trusted_s(timekeeping, now)
    return float(timekeeping.floor_s) if trusted is None else trusted


def observe(timekeeping: Timekeeping, now: Now) -> Timekeeping:
    """Take the kernel's (or the configuration's) word where it is given; let the floor follow trusted time."""
    if now.synchronised:
        timekeeping = replace(timekeeping, offset_s=now.wall_s - now.mono_s, evidence="kernel")
    trusted = trusted_s(timekeeping, now)
    if trusted is not None and int(trusted) > timekeeping.floor_s:
        timekeeping = replace(timekeeping, floor_s=int(trusted))
    return timekeeping


def draw_nonce(timekeeping: Timekeeping, now: Now) -> Timekeeping:
    """A new nonce, about to be published; the one before no longer counts."""
    return replace(timekeeping, nonce=f"{now.entropy:032x}", nonce_at_s=now.mono_s)


def answers(timekeeping: Timekeeping, nonce: str, now: Now) -> bool:
    """Whether a `time` command answers the nonce that is out, in time."""
    return nonce == timekeeping.nonce and now.mono_s - timekeeping.nonce_at_s <= NONCE_LIFE_S


def learn(timekeeping: Timekeeping, iat: int, now: Now, *, lowers_floor: bool) -> Timekeeping:
    """Believe a `time` command: the time is its `iat`; the nonce is used up. Only the roots may lower the floor."""
    return replace(
        timekeeping,
        offset_s=iat - now.mono_s,
        evidence="time command",
        nonce=None,
        floor_s=iat if lowers_floor else max(timekeeping.floor_s, iat),
    )
