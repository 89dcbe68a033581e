"""Is the wall clock to be believed, and since when (protocol section 6).

Trusted time is CLOCK_BOOTTIME plus an offset that only evidence sets: the kernel's word (NTP), the configuration, or a
signed `time` command that answers this node's nonce. A step of the wall clock without new evidence changes nothing.
The floor is the latest instant that has surely passed; no `iat` raises it, except in an accepted `time`. The mark is
the first trusted time of a store that began empty: of what was ordered before, nobody remembers whether it was obeyed.
Where the time is set back to before what has been forgotten, nobody remembers either: then it moves to that time, and
beyond what was forgotten.
"""

from dataclasses import dataclass, replace
from typing import Final

from agent.messages.events import ClockFound, Now

NONCE_LIFE_S: Final = 60.0
"""How long a published nonce may be answered: the bound of the error of a time so learnt."""

FLOOR_KEPT_EVERY_S: Final = 3_600
"""How far the stored floor may lag (protocol section 6). It rides on every transaction; alone it is written this
seldom, because an SD card wears."""


MAX_NONCES: Final = 64
"""One a second for a minute: whoever makes a node publish new ones does not keep the answer to an earlier one out."""

FORGOTTEN_AFTER_S: Final = 86_400
"""A command is remembered so much longer than its `exp`: a clock that is corrected by less brings nothing back, and one
that comes so late is known to be new, or not to be."""

ROOTED: Final = "time command of the roots"
"""Evidence that outranks a time server which says otherwise, until the machine reboots."""

VOUCHED: Final = "configuration"
"""Evidence that may be taken back with the file that gives it: it is handed on to nobody."""

CARRIED_WITHIN_S: Final = 0.1
"""How far what the next process would take up may be off: NTP slews by 0.5 ms a second at most, steps by more."""

LAST_S: Final = 253_402_300_799.0
"""End of the year 9999: no later time is one."""


@dataclass(frozen=True, slots=True)
class Timekeeping:
    """`offset_s` is wall minus boot time, None while untrusted; `kept_s` the floor last given to the store.

    `mark_s` is None until a store that began empty has seen a trusted time; `carried_s` is the offset last handed on.
    """

    floor_s: int
    offset_s: float | None = None
    evidence: str = "none"
    nonces: tuple[tuple[str, float], ...] = ()
    """Published less than a minute ago, each with its instant; the newest last."""
    forgotten_s: int = 0
    """Of accepted commands whose `exp` lies before it, some are forgotten."""
    forgotten_iat: int = 0
    """The latest `iat` among those."""
    kept_s: int = 0
    mark_s: int | None = None
    carried_s: float = float("nan")

    @property
    def nonce(self) -> str | None:
        """The nonce to publish."""
        return self.nonces[-1][0] if self.nonces else None


def trusted_s(timekeeping: Timekeeping, now: Now) -> float | None:
    """Unix seconds, or None while nothing proves them."""
    return None if timekeeping.offset_s is None else now.mono_s + timekeeping.offset_s


def best_s(timekeeping: Timekeeping, now: Now) -> float:
    """Trusted time, else the floor: for stamping reports, which say whether the clock was trusted."""
    trusted = trusted_s(timekeeping, now)
    return float(timekeeping.floor_s) if trusted is None else trusted


def observe(timekeeping: Timekeeping, now: Now) -> Timekeeping:
    """Take the kernel's (or the configuration's) word where it is given; let the floor follow trusted time."""
    if now.synchronised and not _is_overruled(timekeeping, now):
        evidence = VOUCHED if now.vouched else "kernel"
        timekeeping = replace(timekeeping, offset_s=now.wall_s - now.mono_s, evidence=evidence)
    trusted = trusted_s(timekeeping, now)
    if trusted is not None and int(trusted) > timekeeping.floor_s:
        timekeeping = replace(timekeeping, floor_s=int(trusted))
    return timekeeping


def _is_overruled(timekeeping: Timekeeping, now: Now) -> bool:
    """Whether the roots have said another time than the kernel says."""
    trusted = trusted_s(timekeeping, now)
    return timekeeping.evidence == ROOTED and trusted is not None and abs(now.wall_s - trusted) > NONCE_LIFE_S


def is_set_back(timekeeping: Timekeeping, now: Now) -> bool:
    """Whether commands are forgotten that are not over yet: what was obeyed by a clock ahead could be obeyed again."""
    trusted = trusted_s(timekeeping, now)
    return trusted is not None and trusted < timekeeping.forgotten_s


def begin_anew(timekeeping: Timekeeping, now: Now) -> Timekeeping:
    """The memory begins at this instant: what was ordered before is refused, whether it was obeyed or not.

    So is all that was ordered after it and is forgotten, lest it sound once more as the time comes round again. Where a
    clock was ahead, and is right now, that is nothing: orders are dated by their senders.
    """
    trusted = int(best_s(timekeeping, now))
    return replace(timekeeping, mark_s=max(trusted, timekeeping.forgotten_iat + 1), forgotten_s=trusted)


def forget(timekeeping: Timekeeping, before_s: int, newest_iat: int) -> Timekeeping:
    """Accepted commands are forgotten: their `exp` lies before `before_s`, and none was issued after `newest_iat`."""
    return replace(
        timekeeping,
        forgotten_s=max(timekeeping.forgotten_s, before_s),
        forgotten_iat=max(timekeeping.forgotten_iat, newest_iat),
    )


def find(timekeeping: Timekeeping, now: Now, offset_s: float, evidence: str) -> Timekeeping:
    """Take up an offset that was kept, if nothing fresher is known and it does not contradict the floor."""
    if timekeeping.offset_s is not None or not timekeeping.floor_s <= now.mono_s + offset_s <= LAST_S:
        return timekeeping
    return observe(replace(timekeeping, offset_s=offset_s, evidence=evidence), now)


def carry_on(timekeeping: Timekeeping, now: Now, carried: ClockFound | None) -> Timekeeping:
    """Trusted time goes on as the process before has left it; the kernel's word, where it counts, comes after."""
    if carried is None or not timekeeping.floor_s <= now.mono_s + carried.offset_s <= LAST_S:
        return timekeeping
    return replace(timekeeping, offset_s=carried.offset_s, evidence=carried.evidence)


def restored(timekeeping: Timekeeping, now: Now, floor_s: int) -> Timekeeping:
    """The floor as the store has it. What was carried on and lies below it was never this node's time."""
    trusted = trusted_s(timekeeping, now)
    if trusted is not None and trusted < floor_s:
        timekeeping = observe(replace(timekeeping, offset_s=None, evidence="none"), now)
    return replace(timekeeping, floor_s=max(timekeeping.floor_s, floor_s), kept_s=floor_s)


def is_carried(timekeeping: Timekeeping) -> bool:
    """Whether the next process would find the time as it is now, or is not to find it."""
    if timekeeping.evidence == VOUCHED:
        return True
    return timekeeping.offset_s is None or abs(timekeeping.offset_s - timekeeping.carried_s) <= CARRIED_WITHIN_S


def floor_due_s(timekeeping: Timekeeping) -> float | None:
    """When the floor is to be stored by itself, if nothing else is until then (monotonic); None while untrusted."""
    if timekeeping.offset_s is None:
        return None
    return timekeeping.kept_s + FLOOR_KEPT_EVERY_S - timekeeping.offset_s + 0.001


def is_floor_due(timekeeping: Timekeeping) -> bool:
    """Whether the stored floor lags by an hour; a leap of the time at once, for instance after months without power."""
    return timekeeping.offset_s is not None and timekeeping.floor_s >= timekeeping.kept_s + FLOOR_KEPT_EVERY_S


def is_forgotten(timekeeping: Timekeeping, iat: int) -> bool:
    """Whether it was ordered before this store could remember: it may have been obeyed already."""
    return timekeeping.mark_s is not None and iat < timekeeping.mark_s


def may_be_known(timekeeping: Timekeeping, exp: int, now: Now) -> bool:
    """Whether a command of this `exp` may have been accepted, and be forgotten."""
    remembered_s = best_s(timekeeping, now) - FORGOTTEN_AFTER_S
    return exp < max(remembered_s, timekeeping.forgotten_s, timekeeping.mark_s or 0)


def is_wall_behind(timekeeping: Timekeeping, now: Now) -> bool:
    """Whether the wall clock says what has surely passed: 1970, as every Pi does until it hears of the time."""
    return now.wall_s < timekeeping.floor_s


def draw_nonce(timekeeping: Timekeeping, now: Now) -> Timekeeping:
    """A new nonce, about to be published; those of the last minute still count."""
    fresh = tuple(each for each in timekeeping.nonces if now.mono_s - each[1] <= NONCE_LIFE_S)
    return replace(timekeeping, nonces=(*fresh, (f"{now.entropy:032x}", now.mono_s))[-MAX_NONCES:])


def answers(timekeeping: Timekeeping, nonce: str, now: Now) -> bool:
    """Whether a `time` command answers a nonce that is out, in time."""
    return any(nonce == each and now.mono_s - at_s <= NONCE_LIFE_S for each, at_s in timekeeping.nonces)


def learn(timekeeping: Timekeeping, iat: int, now: Now, *, lowers_floor: bool) -> Timekeeping:
    """Believe a `time` command: the time is its `iat`; the nonces are used up.

    Only the roots may lower the floor, and with it a mark that was taken from a clock as wrong, or from orders dated by
    one; a time below the floor that others say is known to be wrong, and the floor is nearer to the truth.
    """
    mark_s, forgotten_iat = timekeeping.mark_s, timekeeping.forgotten_iat
    if lowers_floor:
        mark_s, forgotten_iat = None if mark_s is None else min(mark_s, iat), min(forgotten_iat, iat)
    told_s = iat if lowers_floor else max(iat, timekeeping.floor_s)
    return replace(
        timekeeping,
        offset_s=told_s - now.mono_s,
        evidence=ROOTED if lowers_floor else "time command",
        nonces=(),
        floor_s=told_s,
        mark_s=mark_s,
        forgotten_iat=forgotten_iat,
    )
