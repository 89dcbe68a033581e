"""What was refused: counters for the heartbeat, the minute's allowance of reported refusals, and the summary alarm.

An alarm costs no transaction of its own: a flood of forgeries must not wear the card. It rides on the next one, within
the hour at the latest, when the floor is stored; until then the counters in the heartbeat tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent.messages.reasons import Reason, Shown
from agent.messages.reports import Alarm

ALARM_FROM: Final = 10
"""Refusals of unproven senders that make an alarm: a slip and its repetitions are none."""

ALARM_EVERY_S: Final = 60.0
"""At most one summary alarm a minute (protocol section 5)."""

ALARM: Final = "unproven_commands"


@dataclass(frozen=True, slots=True)
class Refusals:
    """Counters by reason since the start; `unproven` since the last alarm. Instants ending in `_s` are monotonic."""

    counts: Mapping[str, int] = field(default_factory=dict)
    minute_s: float = float("-inf")
    reported: int = 0
    answered: Mapping[tuple[str, str], Reason] = field(default_factory=dict)
    """The newest (iss, jti) refused with a report, and why: one outcome each."""
    unproven: Mapping[str, int] = field(default_factory=dict)
    alarm_s: float = float("-inf")


def counted(refusals: Refusals, reason: Reason) -> Refusals:
    """One more of this reason."""
    counts = _one_more(refusals.counts, reason)
    unproven = refusals.unproven
    if reason.shown is Shown.COUNTED:
        unproven = _one_more(unproven, reason)
    return replace(refusals, counts=counts, unproven=unproven)


def take_alarm(refusals: Refusals, at_s: float) -> tuple[Refusals, Alarm | None]:
    """The alarm that is due, if one is: how many commands came that nobody is known to have sent, by reason."""
    count = sum(refusals.unproven.values())
    if count < ALARM_FROM or at_s - refusals.alarm_s < ALARM_EVERY_S:
        return refusals, None
    most = sorted(refusals.unproven.items(), key=lambda each: -each[1])
    detail = ", ".join(f"{reason} {times}" for reason, times in most)[:200]
    return replace(refusals, unproven={}, alarm_s=at_s), Alarm(ALARM, detail, count)


def taken_back(refusals: Refusals, unproven: Mapping[str, int]) -> Refusals:
    """The alarm that summed these up was not stored: the next one, when its minute comes, tells them as well."""
    summed = {reason: refusals.unproven.get(reason, 0) + times for reason, times in unproven.items()}
    return replace(refusals, unproven={**refusals.unproven, **summed})


def _one_more(counts: Mapping[str, int], reason: Reason) -> Mapping[str, int]:
    return {**counts, reason.value: counts.get(reason.value, 0) + 1}
