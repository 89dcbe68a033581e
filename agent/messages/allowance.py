"""Whether, how long and how loud an item may sound under the rules, and what has sounded today (protocol 4 and 7).

Pure; any thread; instants are Unix seconds, and they and the zone are arguments. The node decides by it
(`core.policy`); the control side asks it what the node will say. Emergencies are exempt from all of it.

A session is normal sound with pauses under five minutes. It counts on the local day on which it began, and goes on over
midnight as the same; its length is its sound without the pauses. Priority items count in the day's minutes alone.
"""

from dataclasses import dataclass, replace
from datetime import timedelta, tzinfo
from typing import Final

from agent.messages.documents import MINUTES_OF_DAY, Day
from agent.messages.local_time import end_of_day_s, local_date, local_minute, local_time, marks_s, weekday
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.words import Kind

SESSION_GAP_S: Final = 300
"""A pause this long or longer ends a session (protocol section 7: gaps under 5 min)."""
_FORESIGHT_DAYS: Final = 8
"""After a week every rule has had its turn; one day more, for the one that was half over."""
_DRIBBLE_S: Final = 0.001
"""Seconds that sums of fractions may fall short of a limit that is used up."""

Refusal = tuple[Reason, str]
"""Which rule, and a sentence with its figures."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What has sounded on the local date `day` (ISO), and in the session that began last. Kept across restarts."""

    day: str = ""
    minutes_s: float = 0.0
    sessions: int = 0
    session_s: float = 0.0
    last_sound_s: float = 0.0


def charge(ledger: Ledger, kind: Kind, from_s: float, until_s: float, zone: tzinfo) -> Ledger:
    """The ledger after sound of that kind between two instants; each local day is charged its part.

    In pieces or at once is the same. An emergency costs nothing, and so does a span without length.
    """
    if kind is Kind.EMERGENCY:
        return ledger
    while from_s < until_s:
        end_s = min(until_s, end_of_day_s(from_s, zone))
        ledger = _charge_day(_turned(ledger, from_s, zone), kind, from_s, end_s)
        from_s = end_s
    return ledger


def why_not(rules: Rules, ledger: Ledger, kind: Kind, at_s: float, zone: tzinfo) -> Refusal | None:
    """The rule that forbids an item of this kind to begin, or to go on, at that instant; None: it may sound."""
    if kind is Kind.EMERGENCY:
        return None
    ledger = _turned(ledger, at_s, zone)
    return (
        _wrong_day(rules, at_s, zone)
        or _quiet(rules, at_s, zone)
        or _minutes_used_up(rules, ledger)
        or (_session_refused(rules, ledger, at_s) if kind is Kind.NORMAL else None)
    )


def cut_s(rules: Rules, ledger: Ledger, kind: Kind, at_s: float, zone: tzinfo) -> tuple[float, Reason, str] | None:
    """When, and by which rule, sound of this kind ends that goes on without pause from that instant; None: by none.

    It is the first instant at which `why_not` objects once all sound before it has been charged. `ledger` holds what
    sounded before `at_s`. To be asked anew when the rules change or the item pauses, not in each turn of a loop.
    """
    if kind is Kind.EMERGENCY:
        return None
    for mark_s in _cuts_to_try(rules, ledger, kind, at_s, zone):
        refusal = why_not(rules, charge(ledger, kind, at_s, mark_s, zone), kind, mark_s, zone)
        if refusal is not None:
            return mark_s, *refusal
    return None


def ceiling_percent(rules: Rules, kind: Kind, at_s: float, zone: tzinfo) -> int:
    """The loudest that an item of this kind may be at that instant; 100 where no ceiling holds."""
    if kind is Kind.EMERGENCY or not rules.ceilings:
        return 100
    minute = local_minute(at_s, zone)
    return min(
        (one.percent for one in rules.ceilings if one.kind is kind and one.from_minute <= minute < one.until_minute),
        default=100,
    )


def next_change_s(rules: Rules, at_s: float, zone: tzinfo) -> float | None:
    """The next instant after this one at which quiet hours begin or end, or a ceiling changes; None: they never do."""
    spans = (*rules.quiet_hours, *((one.from_minute, one.until_minute) for one in rules.ceilings))
    minutes = frozenset(minute for span in spans for minute in span)
    if minutes <= {0, MINUTES_OF_DAY}:
        return None
    now = _hours(rules, at_s, zone)
    today = local_date(at_s, zone)
    for day in (today, today + timedelta(days=1), today + timedelta(days=2)):
        for mark_s in marks_s(day, minutes, zone):
            if mark_s > at_s and _hours(rules, mark_s, zone) != now:
                return mark_s
    return None


# The ledger ---------------------------------------------------------------------------------------------------------


def _turned(ledger: Ledger, at_s: float, zone: tzinfo) -> Ledger:
    """The ledger on that instant's day: a new one begins with nothing but the session that may still go on."""
    day = local_date(at_s, zone).isoformat()
    return ledger if ledger.day == day else replace(ledger, day=day, minutes_s=0.0, sessions=0)


def _charge_day(ledger: Ledger, kind: Kind, from_s: float, until_s: float) -> Ledger:
    ledger = replace(ledger, minutes_s=ledger.minutes_s + (until_s - from_s))
    if kind is not Kind.NORMAL:
        return ledger
    if not _session_goes_on(ledger, from_s):
        ledger = replace(ledger, sessions=ledger.sessions + 1, session_s=0.0)
    return replace(ledger, session_s=ledger.session_s + (until_s - from_s), last_sound_s=until_s)


def _session_goes_on(ledger: Ledger, at_s: float) -> bool:
    """Whether sound at that instant belongs to the last session; one far ahead was dated by a wrong clock."""
    return ledger.session_s > 0 and abs(at_s - ledger.last_sound_s) < SESSION_GAP_S


# The rules ----------------------------------------------------------------------------------------------------------


def _wrong_day(rules: Rules, at_s: float, zone: tzinfo) -> Refusal | None:
    today = weekday(local_date(at_s, zone))
    if today in rules.days:
        return None
    allowed = ", ".join(day for day in Day if day in rules.days) or "none"
    return Reason.POLICY_DAYS, f"days {allowed}: it is {today}"


def _quiet(rules: Rules, at_s: float, zone: tzinfo) -> Refusal | None:
    minute = local_minute(at_s, zone)
    for begin, end in rules.quiet_hours:
        if begin <= minute < end:
            told = f"quiet_hours {_told(rules, begin, end)}: it is {local_time(at_s, zone):%H:%M}"
            return Reason.POLICY_QUIET_HOURS, told
    return None


def _told(rules: Rules, begin: int, end: int) -> str:
    """The quiet hours as they were meant: what was split at midnight in one piece."""
    if begin == 0:
        begin = next((first for first, last in rules.quiet_hours if last == MINUTES_OF_DAY), begin)
    if end == MINUTES_OF_DAY:
        end = next((last for first, last in rules.quiet_hours if first == 0), end)
    return "-".join(f"{minute // 60 % 24:02}:{minute % 60:02}" for minute in (begin, end))


def _minutes_used_up(rules: Rules, ledger: Ledger) -> Refusal | None:
    limit = rules.max_minutes_per_day
    if limit is None or ledger.minutes_s < limit * 60 - _DRIBBLE_S:
        return None
    return Reason.POLICY_MINUTES, f"max_minutes_per_day {limit}: {_minutes(ledger.minutes_s)} min have sounded today"


def _session_refused(rules: Rules, ledger: Ledger, at_s: float) -> Refusal | None:
    goes_on = _session_goes_on(ledger, at_s)
    sessions, longest = rules.max_sessions_per_day, rules.max_session_min
    if sessions == 0 or (sessions is not None and not goes_on and ledger.sessions >= sessions):
        return Reason.POLICY_SESSIONS, f"max_sessions_per_day {sessions}: {ledger.sessions} have begun today"
    session_s = ledger.session_s if goes_on else 0.0
    if longest is None or session_s < longest * 60 - _DRIBBLE_S:
        return None
    told = f"max_session_min {longest}: this session has sounded {_minutes(session_s)} min"
    return Reason.POLICY_SESSION_MINUTES, f"{told}; the next begins after {SESSION_GAP_S // 60} min of pause"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}".removesuffix(".0")


# Looking ahead ------------------------------------------------------------------------------------------------------


def _cuts_to_try(rules: Rules, ledger: Ledger, kind: Kind, at_s: float, zone: tzinfo) -> list[float]:
    """Now, and every later instant at which a rule may begin to object, in order."""
    marks = {at_s}
    if kind is Kind.NORMAL and rules.max_session_min is not None:
        sounded_s = ledger.session_s if _session_goes_on(ledger, at_s) else 0.0
        marks.add(at_s + rules.max_session_min * 60 - sounded_s)
    if rules.quiet_hours or rules.max_minutes_per_day is not None or rules.days != frozenset(Day):
        marks |= _marks_of_days(rules, ledger, at_s, zone)
    return sorted(mark_s for mark_s in marks if mark_s >= at_s)


def _marks_of_days(rules: Rules, ledger: Ledger, at_s: float, zone: tzinfo) -> set[float]:
    begins = frozenset(begin for begin, _ in rules.quiet_hours)
    today = local_date(at_s, zone)
    marks: set[float] = set()
    for ahead in range(_FORESIGHT_DAYS):
        of_day = marks_s(today + timedelta(days=ahead), begins, zone)
        marks.update(of_day)
        if rules.max_minutes_per_day is not None:
            sounded_s = 0.0 if ahead else _turned(ledger, at_s, zone).minutes_s
            marks.add((of_day[0] if ahead else at_s) + rules.max_minutes_per_day * 60 - sounded_s)
    return marks


def _hours(rules: Rules, at_s: float, zone: tzinfo) -> tuple[object, ...]:
    """All that hangs on the hour alone."""
    quiet = _quiet(rules, at_s, zone) is not None
    return quiet, *(ceiling_percent(rules, kind, at_s, zone) for kind in (Kind.NORMAL, Kind.PRIORITY))
