"""Reports wait in the store until the broker has them (protocol section 5). Here stands only which are under way.

A window of `WINDOW` reports is in flight. Deletions ride on the next transaction, so a report may be sent twice after a
restart; `boot` and `seq` tell the copy. "No subscriber" is no receipt: sent again after a minute.
"""

from dataclasses import dataclass, replace
from datetime import UTC
from typing import Final

from agent.messages.local_time import local_time
from agent.messages.reports import Alarm
from agent.messages.sums import NO_SUMS, Sums

WINDOW: Final = 8
"""Reports in flight at once: the broker's receive maximum is seldom lower."""

UNHEARD_RETRY_S: Final = 60.0

SUMS_EVERY_S: Final = 3_600.0
"""What was added up for want of room is told at most so often."""
SUMS: Final = "reports_added_up"


@dataclass(frozen=True, slots=True)
class Outbox:
    """`waiting` counts reports stored and not yet received by anybody; `cursor` is the last seq read this connection.

    `received` are to be removed by the next transaction; `resend_at_s` is when reports that nobody heard go again.
    `sums` is what was added up for want of room and not told, `sums_told_s` when such was told last.
    """

    next_seq: int
    waiting: int = 0
    cursor: int = 0
    reading: bool = False
    more: bool = False
    in_flight: frozenset[int] = frozenset()
    received: tuple[int, ...] = ()
    resend_at_s: float | None = None
    sums: Sums = NO_SUMS
    sums_told_s: float = float("-inf")


def restart(outbox: Outbox) -> Outbox:
    """A new connection: nothing is in flight, reading begins at the oldest."""
    return replace(outbox, cursor=0, in_flight=frozenset(), more=outbox.waiting > 0, resend_at_s=None)


def appended(outbox: Outbox) -> Outbox:
    """One more report has been given to the store."""
    return replace(outbox, next_seq=outbox.next_seq + 1, waiting=outbox.waiting + 1)


def not_stored(outbox: Outbox, reports: int) -> Outbox:
    """The store could not keep so many reports, and they are given up: their numbers stay used, a gap that says so."""
    return replace(outbox, waiting=outbox.waiting - reports)


def not_removed(outbox: Outbox, seqs: tuple[int, ...]) -> Outbox:
    """The transaction that was to remove these failed: the next one does."""
    return replace(outbox, received=(*seqs, *outbox.received))


def stored(outbox: Outbox, lowest_seq: int) -> Outbox:
    """The store holds reports that have not been read yet; one that a disk had refused at first may be an early one."""
    return replace(outbox, more=True, cursor=min(outbox.cursor, lowest_seq - 1))


def may_read(outbox: Outbox) -> bool:
    """Whether there is something to read and room to send it."""
    return outbox.more and not outbox.reading and len(outbox.in_flight) < WINDOW


def reading(outbox: Outbox) -> Outbox:
    """The store has been asked."""
    return replace(outbox, reading=True, more=False)


def read(outbox: Outbox, seqs: tuple[int, ...]) -> tuple[Outbox, tuple[int, ...]]:
    """The store has answered: which of these to send now."""
    send = tuple(seq for seq in seqs if seq not in outbox.in_flight and seq not in outbox.received)
    return (
        replace(
            outbox,
            reading=False,
            more=outbox.more or bool(seqs),
            cursor=max((outbox.cursor, *seqs)),
            in_flight=outbox.in_flight | set(send),
        ),
        send,
    )


def delivered(outbox: Outbox, seq: int, *, heard: bool, at_s: float) -> Outbox:
    """PUBACK: remove it with the next transaction, or send it again later where nobody subscribed."""
    if seq not in outbox.in_flight:
        return outbox
    outbox = replace(outbox, in_flight=outbox.in_flight - {seq})
    if heard:
        return replace(outbox, received=(*outbox.received, seq), waiting=outbox.waiting - 1)
    due_s = at_s + UNHEARD_RETRY_S
    return replace(outbox, resend_at_s=due_s if outbox.resend_at_s is None else outbox.resend_at_s)


def resend_due(outbox: Outbox, at_s: float) -> Outbox:
    """Begin again at the oldest once the wait for a subscriber is over."""
    if outbox.resend_at_s is None or at_s < outbox.resend_at_s:
        return outbox
    return replace(outbox, cursor=0, more=True, resend_at_s=None)


def take_received(outbox: Outbox) -> tuple[Outbox, tuple[int, ...]]:
    """What the next transaction may remove."""
    return replace(outbox, received=()), outbox.received


def added_up(outbox: Outbox, reports: int, sums: Sums) -> Outbox:
    """The store was full: so many more are not waiting any longer, and this is what is to be told of all such."""
    return replace(outbox, waiting=outbox.waiting - reports, sums=sums)


def take_sums(outbox: Outbox, at_s: float) -> tuple[Outbox, Sums]:
    """What is to be told now of reports that are gone, if anything."""
    if outbox.sums == NO_SUMS or at_s - outbox.sums_told_s < SUMS_EVERY_S:
        return outbox, NO_SUMS
    return replace(outbox, sums=NO_SUMS, sums_told_s=at_s), outbox.sums


def alarm_of(sums: Sums) -> Alarm:
    """One report that stands for many: for people, and with every number a program may want."""
    told = []
    if sums.records:
        told.append(f"{sums.records} play records {_day(sums.from_s)} to {_day(sums.until_s)}")
        told.append(f"{sums.played} played, {sums.stopped} stopped, {sums.failed} failed, {sums.missed} missed")
        told.append(f"{sums.played_s:.0f} s of sound, amplifier on {sums.amplifier_on_s:.0f} s")
    if sums.refusals:
        told.append(f"{sums.refusals} refusals")
    if sums.others:
        told.append(f"{sums.others} others")
    return Alarm(SUMS, f"{'; '.join(told)}; seq {sums.first_seq} to {sums.last_seq}", sums.reports)


def _day(at_s: float) -> str:
    return local_time(at_s, UTC).strftime("%Y-%m-%dT%H:%MZ")
