"""What a week of schedules will be on a node that hears nothing else: who waits for whom, and what the rules object to.

Pure. Every item is taken to sound as long as it may, which is the worst case; what has sounded before the week begins
is not known here. The rules are asked in the very words in which a node asks them.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import tzinfo

from agent.messages.allowance import Ledger, Refusal, charge, cut_s, why_not
from agent.messages.reasons import Reason
from agent.messages.rules import Rules
from agent.messages.timetable import Occurrence
from agent.messages.words import Kind

LONGEST_ITEM = 64
"""Characters of an item's name that other orders can say."""

WARM_UP_S = 1.1
"""How long before its first sample a node's amplifier is on, as configured by default."""

LINGER_S = 3.0
"""How long it stays on for what follows, as configured by default."""

VIETNAMESE = {
    Reason.POLICY_QUIET_HOURS: "giờ nghỉ",
    Reason.POLICY_DAYS: "ngày không được phát",
    Reason.POLICY_MINUTES: "hết số phút phát trong ngày",
    Reason.POLICY_SESSIONS: "hết số buổi phát trong ngày",
    Reason.POLICY_SESSION_MINUTES: "buổi phát quá dài",
}


@dataclass(frozen=True, slots=True)
class Planned:
    """One broadcast, the file that it comes from, and what is wrong with it: `Vietnamese · English`, none if nothing.

    It sounds from `begins_s` to before `ends_s` (Unix seconds); the two are the same where it does not sound.
    """

    occurrence: Occurrence
    origin: str
    begins_s: float
    ends_s: float
    warnings: tuple[str, ...] = ()


def forecast(
    due: Iterable[tuple[Occurrence, str]], rules: Rules, zone: tzinfo, max_on_s: float = math.inf
) -> list[Planned]:
    """Each occurrence (with its file's name) as it will be, in the order in which their turns come.

    No amplifier is on for longer than `max_on_s` at a stretch: what sounds then ends.
    """
    coming = deque(sorted(due, key=lambda one: one[0].at_s))
    waiting: list[tuple[Occurrence, str]] = []
    found: list[Planned] = []
    ledger = Ledger()
    now_s, on_since_s = 0.0, -math.inf
    while coming or waiting:
        if not waiting:
            now_s = max(now_s, coming[0][0].at_s)
        while coming and coming[0][0].at_s <= now_s:
            waiting.append(coming.popleft())
        waiting.sort(key=lambda one: one[0].slot.kind is not Kind.PRIORITY)
        occurrence, origin = waiting.pop(0)
        before = next((one for one in reversed(found) if one.ends_s > one.begins_s), None)
        one = _turn(Planned(occurrence, origin, now_s, now_s), before, rules, ledger, zone)
        if before is None or one.begins_s > before.ends_s + LINGER_S or before.ends_s >= on_since_s + max_on_s:
            on_since_s = one.begins_s - WARM_UP_S
        if one.ends_s > on_since_s + max_on_s:
            one = _switched_off(one, on_since_s + max_on_s, max_on_s)
        ledger = charge(ledger, occurrence.slot.kind, one.begins_s, one.ends_s, zone)
        now_s = one.ends_s
        found.append(one)
    return _with_names_checked(found)


def _turn(one: Planned, before: Planned | None, rules: Rules, ledger: Ledger, zone: tzinfo) -> Planned:
    """What becomes of it once what sounds before it has ended."""
    occurrence, kind, begins_s = one.occurrence, one.occurrence.slot.kind, one.begins_s
    if begins_s > occurrence.at_s:
        one = replace(one, warnings=(_late(one, before),))
    if begins_s >= occurrence.until_s:
        return one
    refusal = why_not(rules, ledger, kind, begins_s, zone)
    if refusal is not None:
        return replace(one, warnings=(*one.warnings, _refused(refusal)))
    cut = cut_s(rules, ledger, kind, begins_s, zone)
    if cut is None or cut[0] >= occurrence.until_s:
        return replace(one, ends_s=occurrence.until_s)
    told = _cut(round((occurrence.until_s - cut[0]) / 60, 1), cut[1:])
    return replace(one, ends_s=cut[0], warnings=(*one.warnings, told))


def _late(one: Planned, before: Planned | None) -> str:
    title = before.occurrence.slot.title if before is not None else ""
    minutes = (one.begins_s - one.occurrence.at_s) / 60
    if one.begins_s >= one.occurrence.until_s:
        return f"bị bỏ lỡ vì trùng giờ với “{title}” · overlaps “{title}” and is missed"
    return (
        f"trùng giờ với “{title}”, có thể trễ và mất {minutes:g} phút · "
        f"overlaps “{title}”: may begin late and lose {minutes:g} min"
    )


def _refused(refusal: Refusal) -> str:
    reason, detail = refusal
    return f"sẽ không phát, {VIETNAMESE[reason]} · will not sound, {reason}: {detail}"


def _cut(minutes: float, refusal: Refusal) -> str:
    reason, detail = refusal
    return f"bị cắt {minutes:g} phút cuối, {VIETNAMESE[reason]} · loses its last {minutes:g} min, {reason}: {detail}"


def _switched_off(one: Planned, off_s: float, max_on_s: float) -> Planned:
    minutes, most = max(0.1, round((one.ends_s - off_s) / 60, 1)), f"{max_on_s / 60:g}"
    told = (
        f"bị cắt {minutes:g} phút cuối: bộ khuếch đại đã mở {most} phút liên tục · "
        f"loses its last {minutes:g} min, amplifier_max_on: the amplifier has been on for {most} min; "
        "leave a pause before"
    )
    return replace(one, ends_s=max(one.begins_s, off_s), warnings=(*one.warnings, told))


def _with_names_checked(found: list[Planned]) -> list[Planned]:
    """Names that two schedules give to one day's item, and names that no other order could say."""
    seen: set[str] = set()
    checked = []
    for one in found:
        item = one.occurrence.item
        if item in seen:
            told = f"tên {item} đã có trong lịch khác · the name {item} stands in another schedule too"
            one = replace(one, warnings=(*one.warnings, told))  # noqa: PLW2901  the same, with one thing more known
        elif len(item) > LONGEST_ITEM:
            told = f"mã quá dài, không dừng riêng được · its id is too long: no order can name {item} to stop it"
            one = replace(one, warnings=(*one.warnings, told))  # noqa: PLW2901
        seen.add(item)
        checked.append(one)
    return checked
