"""`loactl schedule check | send`, `loactl policy send`: an authority's week and its rules, looked at before they go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from agent.messages.documents import SetSchedule, fingerprint
from agent.messages.local_time import instant_s
from agent.messages.rules import Rules, rules_of, split, strictest
from agent.messages.timetable import occurrences
from control import recordings
from control.documents_yaml import read_policy, read_schedule
from control.forecast import Planned, forecast
from control.instants import span_s
from control.problems import EXIT_FAILED, InputError
from control.sending import Sender, complain, sends_lasting, wall_s
from control.week import table, warnings

DAY_S = 24 * 3_600
MAX_DAYS = 31
"""A month: a longer table is read by nobody."""
NARROWEST = 120
"""Columns of a terminal that shows the table whole; a pipe has none of its own."""

Policies = Annotated[
    list[Path] | None, typer.Option("--policy", help="Policy that holds on the nodes (YAML, repeatable).")
]
Zone = Annotated[str, typer.Option("--zone", help="The nodes' time zone.")]
MaxOn = Annotated[
    str, typer.Option("--max-on", help="The nodes' `max_on_s`: how long an amplifier may be on at a stretch.")
]
DEFAULT_MAX_ON = "1h"
"""As node.yaml has it by itself."""
NO_POLICY = (
    "chưa có --policy: chỉ xét giờ nghỉ 21:00-04:45, chưa xét hạn mức · "
    "no --policy given: looked at are quiet hours of 21:00-04:45 alone, and no caps"
)
BY_NIGHT = Rules(quiet_hours=split(21 * 60, 4 * 60 + 45))
"""What is held against a schedule where no policy is given: a relay that was set to 03:15 by mistake has woken a
commune (Trung Lộc, 5 December 2025)."""
HANOI = "Asia/Ho_Chi_Minh"


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Schedules (YAML); several are shown as nodes play them: united.")
    ],
    *,
    policy: Policies = None,
    zone: Zone = HANOI,
    max_on: MaxOn = DEFAULT_MAX_ON,
    begin: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD (default: from now on).")] = "",
    days: Annotated[int, typer.Option(min=1, max=MAX_DAYS, help="How many days.")] = 7,
) -> None:
    """Show the coming week as a table, and warn of what will not sound as it is written. Nothing is sent.

    Exit code 1 where there are warnings.
    """
    now = wall_s()
    schedules = [(read_schedule(file, now=now, measure=recordings.measured), file.name) for file in files]
    where = _zone(zone)
    from_s = _begin_s(begin, where) if begin else now
    nodes = _Nodes(_rules(policy or (), now), where, span_s(max_on, "--max-on"))
    found = _forecast(schedules, nodes, from_s=from_s, until_s=from_s + days * DAY_S)
    console = Console()
    if console.width < NARROWEST and not console.is_terminal:
        console = Console(width=NARROWEST)
    console.print(table(found, where, with_origin=len(files) > 1))
    _tell_idle(schedules, found, days)
    if not policy:
        print(f"  {NO_POLICY}")
    told = warnings(found, where)
    for line in told:
        print(f"! {line}")
    if told:
        raise typer.Exit(EXIT_FAILED)


@sends_lasting
def send(
    file: Annotated[Path, typer.Argument(help="The whole schedule (YAML): it replaces this authority's last one.")],
    *,
    policy: Policies = None,
    zone: Zone = HANOI,
    max_on: MaxOn = DEFAULT_MAX_ON,
    anyway: Annotated[bool, typer.Option("--anyway", help="Send it in spite of warnings.")] = False,
    sender: Sender,
) -> None:
    """Look at the schedule as `check` does, sign it and send it. With warnings nothing is sent, unless --anyway."""
    now = wall_s()
    word = read_schedule(file, now=now, measure=recordings.measured)
    where = _zone(zone)
    nodes = _Nodes(_rules(policy or (), now), where, span_s(max_on, "--max-on"))
    found = _forecast([(word, file.name)], nodes, from_s=now, until_s=now + 7 * DAY_S)
    told = warnings(found, where)
    for line in told:
        complain(line)
    if told and not anyway:
        complain("chưa gửi gì; thêm --anyway để vẫn gửi · nothing was sent; --anyway sends it all the same")
        raise typer.Exit(EXIT_FAILED)
    _require_past(word.version, now, file)
    if not policy:
        complain(NO_POLICY)
    print(f"version: {word.version}\nsha256: {fingerprint(word)}")
    sender.send(word, now=now)


@sends_lasting
def send_policy(
    file: Annotated[Path, typer.Argument(help="All rules (YAML): they replace this authority's last ones.")],
    *,
    sender: Sender,
) -> None:
    """Sign a policy and send it. Of all authorities' policies and the node's own the strictest holds."""
    now = wall_s()
    word = read_policy(file, now=now)
    _require_past(word.version, now, file)
    print(f"version: {word.version}\nsha256: {fingerprint(word)}")
    sender.send(word, now=now)


@dataclass(frozen=True, slots=True)
class _Nodes:
    """What is known of the nodes that the schedule is for."""

    rules: Rules
    zone: ZoneInfo
    max_on_s: int


def _rules(policies: Sequence[Path], now: int) -> Rules:
    """The strictest of these; of none, that nothing sounds by night."""
    return strictest(rules_of(read_policy(path, now=now)) for path in policies) if policies else BY_NIGHT


def _forecast(
    schedules: Sequence[tuple[SetSchedule, str]], nodes: _Nodes, *, from_s: int, until_s: int
) -> list[Planned]:
    due = [(one, name) for word, name in schedules for one in occurrences(word.slots, nodes.zone, from_s, until_s)]
    return forecast(due, nodes.rules, nodes.zone, nodes.max_on_s)


def _tell_idle(schedules: Sequence[tuple[SetSchedule, str]], found: Sequence[Planned], days: int) -> None:
    """Slots of which the table shows nothing: ended, not begun, or on no day of the week."""
    sounding = {(one.origin, one.occurrence.slot.id) for one in found}
    for word, name in schedules:
        for slot in word.slots:
            if (name, slot.id) not in sounding:
                dates = f"{slot.valid_from} .. {slot.valid_until}"
                print(f"  {slot.id}: không có buổi nào trong {days} ngày · not within these {days} days ({dates})")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        raise InputError(f"--zone {name!r} is no time zone: write {HANOI}") from None


def _begin_s(text: str, zone: ZoneInfo) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"--from {text!r} is no day: write 2026-05-01") from None
    if not 1971 <= day.year <= 9000:  # noqa: PLR2004  instants before and after have no meaning to a node
        raise InputError(f"--from {text!r} is no day of ours")
    return instant_s(day, 0, zone)


def _require_past(version: int, now: int, file: Path) -> None:
    """Protocol section 4: a version is at most `iat`, or the next one could never follow it."""
    if version > now:
        raise InputError(f"{file}: version {version} is above the Unix time {now}: no node takes it; leave version out")
