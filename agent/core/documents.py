"""Each authority's schedule and policy: which version may follow, and what today's keys no longer bear (protocol 4, 6).

Versions are counted per authority, and outlive a revocation: whoever recorded last year's timetable cannot bring it
back. What the documents say is asked in `schedule` and `policing`.
"""

from dataclasses import replace
from typing import Final

from agent.core import answers, begun, schedule
from agent.core.pending import DocumentInForce, DocumentKey, KeptDocument
from agent.core.state import State, Turn, being_stored
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.documents import SetPolicy, SetSchedule, fingerprint
from agent.messages.memory import DocumentType
from agent.messages.reasons import Reason
from agent.messages.reports import Alarm, DocumentSeen

ALTERED: Final = "document_altered"
"""The alarm's name."""

MAX_AUTHORITIES: Final = 16
"""Authorities with a schedule, and as many with a policy: at 256 KiB each 8 MiB of memory and card."""


def set_document(turn: Turn, event: ev.CommandVerified) -> None:
    """Store it with its outcome, if it may follow the one of this authority; in force it comes from the disk."""
    verified = event.verified
    command = verified.command
    assert isinstance(command, SetSchedule | SetPolicy)
    sort: DocumentType = "set_schedule" if isinstance(command, SetSchedule) else "set_policy"
    key = sort, verified.iss
    refusal = _why_not(turn, key, command.version, verified.iat) or _no_room(turn, verified.iss, command)
    if refusal is not None:
        answers.refuse(turn, event, *refusal)
        return
    trusted_s = turn.trusted_s
    assert trusted_s is not None, "a document waits for the time"
    since = min(verified.iat, int(trusted_s))
    kept = KeptDocument(command.version, verified.iat, fingerprint(command), verified, since)
    write = do.KeepDocument(*key, kept.version, kept.iat, kept.sha256, verified.envelope, since)
    awaited = DocumentInForce(key, kept, turn.state.trust.document.version)
    answers.accept(turn, event, write, then=awaited)


def come_into_force(turn: Turn, stored: DocumentInForce) -> None:
    """The document is on the disk, instead of the one before. Where the keys changed meanwhile, it is judged by them.

    One that could not be stored at first may come after its successor: it does not replace it.
    """
    key, kept = stored.key, stored.kept
    before = turn.state.documents.get(key)
    if before is not None and before.version > kept.version:
        return
    _keep(turn, key, kept)
    turn.log(f"{key[0]} version {kept.version} of {key[1]!r} is in force, SHA-256 {kept.sha256}")
    trust = turn.state.trust.document
    if kept.verified is not None and trust.version != stored.trust_version:
        turn.do(do.TakeTrust(trust, ((key, kept.verified.envelope),)))


def take_up(turn: Turn, found: ev.RestoredDocument) -> None:
    """What the store remembers of it, as today's keys see it."""
    stored, standing = found.stored, found.standing
    key = stored.type, stored.iss
    verified = standing.verified if standing else None
    kept = KeptDocument(stored.version, stored.iat, stored.sha256, verified, stored.since or stored.iat)
    _keep(turn, key, kept)
    if standing is not None and standing.damaged:
        told = f"{stored.type} of {stored.iss[:60]!r} is not obeyed: the disk has altered it; send a higher version"
        turn.commit(turn.report(Alarm(ALTERED, told, 1)))  # quiet hours may be among what is gone
        turn.warn(told)
    elif standing is not None and standing.revoked:
        _end(turn, key, kept, standing.detail)
    elif standing is not None and standing.verified is None:
        turn.warn(f"{stored.type} of {stored.iss!r} is not obeyed while this lasts: {standing.detail}")


def judged(turn: Turn, key: DocumentKey, standing: ev.Standing) -> None:
    """A new trust document has spoken: whatever no longer has its signatures ends."""
    kept = turn.state.documents[key]
    if standing.verified is not None:
        _keep(turn, key, replace(kept, verified=standing.verified))
    else:
        _end(turn, key, kept, standing.detail)


def envelopes(turn: Turn) -> tuple[tuple[DocumentKey, bytes], ...]:
    """All that is in force, as it came."""
    documents = turn.state.documents.items()
    return tuple((key, kept.verified.envelope) for key, kept in documents if kept.verified is not None)


def seen(state: State, sort: DocumentType) -> tuple[DocumentSeen, ...]:
    """What is in force, for those who compare it with what they have sent."""
    return tuple(
        DocumentSeen(key[1], kept.version, kept.sha256)
        for key, kept in state.documents.items()
        if key[0] == sort and kept.verified is not None
    )


def _why_not(turn: Turn, key: DocumentKey, version: int, iat: int) -> tuple[Reason, str] | None:
    known = _with_those_being_stored(turn.state)
    before = known.get(key)
    if before is None or before.verified is None:
        others = sum(each[0] == key[0] and kept.verified is not None for each, kept in known.items())
        if others >= MAX_AUTHORITIES:
            return Reason.QUEUE_FULL, f"{others} authorities have one here already"
    if before is None:
        return None
    told = f"version {before.version} of {key[1][:60]!r} is known here, SHA-256 {before.sha256}"
    if version <= before.version:
        return Reason.STALE_VERSION, told
    if iat < before.iat:
        return Reason.SUPERSEDED, f"{told}, and was issued later"
    return None


def _no_room(turn: Turn, iss: str, command: SetSchedule | SetPolicy) -> tuple[Reason, str] | None:
    told = begun.why_no_room(turn, iss, command.slots) if isinstance(command, SetSchedule) else ""
    return (Reason.QUEUE_FULL, told) if told else None


def _with_those_being_stored(state: State) -> dict[DocumentKey, KeptDocument]:
    known = dict(state.documents)
    for awaited in being_stored(state, DocumentInForce):
        before = known.get(awaited.key)
        if before is None or before.version < awaited.kept.version:
            known[awaited.key] = awaited.kept
    return known


def _keep(turn: Turn, key: DocumentKey, kept: KeptDocument) -> None:
    turn.state = replace(turn.state, documents={**turn.state.documents, key: kept})
    if key[0] == "set_schedule":
        schedule.changed(turn, key[1])


def _end(turn: Turn, key: DocumentKey, kept: KeptDocument, detail: str) -> None:
    turn.warn(f"{key[0]} version {kept.version} of {key[1]!r} has ended, {Reason.REVOKED}: {detail}")
    _keep(turn, key, replace(kept, verified=None))
    over = (begun.forget_of(turn, key[1]),) if key[0] == "set_schedule" else ()
    turn.commit(do.EndDocument(*key), *over)
