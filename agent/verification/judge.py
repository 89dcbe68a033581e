"""The keys in force, and what they say: of messages that arrive, and again of orders accepted earlier.

Loop's thread. Holds the one trust document that is in force; which one that is, is decided by `trust_in_force` at start
and afterwards by the core. A stored order that today's keys no longer bear ends with a record that says so.
"""

import logging

from agent.messages import events as ev
from agent.messages.commands import Play, VerifiedCommand
from agent.messages.memory import Memory, StoredCommand
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, TrustError, check_names
from agent.security import TrustStore, read_unproven, verify, verify_kept_trust, verify_stored
from agent.verification.authority import Addressee, ClockView

_log = logging.getLogger(__name__)

_REVOKED = frozenset(
    {Reason.UNKNOWN_KEY, Reason.WRONG_ISSUER, Reason.NOT_PERMITTED, Reason.NOT_ENOUGH_SIGNATURES, Reason.KEY_NOT_VALID}
)
"""What only a trust document brings about."""


def trust_in_force(file: TrustStore, memory: Memory) -> TrustStore:
    """The stored document, unless the trust file's version is higher; with every kid there ever was.

    A stored one that no longer proves itself is left alone: the file's holds, as on an empty store, and whoever keeps
    the signed versions sends them again.

    Raises:
        TrustError: the file's would hold, and calls a key by a name that was another's here: no change to it could
            ever be taken.
    """
    used = dict(memory.names)
    if memory.trust is None:
        return _from_file(file, used)
    try:
        stored = verify_kept_trust(memory.trust, site=file.document.site, used=used)
    except TrustError as error:
        _log.error(
            "the stored trust document is damaged (%s): version %d of the file holds", error, file.document.version
        )
        return _from_file(file, used)
    in_file, in_store = file.document.version, stored.document.version
    if in_file > in_store:
        _log.info("trust version %d of the file holds: the stored one is %d", in_file, in_store)
        return _from_file(file, used)
    _log.info("trust version %d of the store holds: the file's is %d", in_store, in_file)
    strange = [root for root in file.document.roots.kids if root not in used]
    if strange:
        told = "the trust file has roots never seen here (%s), but its version %d is not above %d: it does nothing"
        _log.warning(told, ", ".join(strange), in_file, in_store)
    return stored


def _from_file(file: TrustStore, used: dict[str, str]) -> TrustStore:
    check_names(file.document, used)
    return TrustStore(file.document, site=file.document.site, used=used)


class Judge:
    """Security's verdicts under the trust document in force."""

    def __init__(self, trust: TrustStore, addressee: Addressee) -> None:
        self._trust = trust
        self._addressee = addressee

    @property
    def document(self) -> TrustDocument:
        """The trust document in force."""
        return self._trust.document

    def judge(
        self, message: ev.MessageArrived, trusted_s: float | None, floor_s: int
    ) -> ev.CommandVerified | ev.CommandRefused:
        """All checks on one message, at trusted time (Unix seconds, None if unknown) and floor."""
        found = verify(
            message.payload,
            retained=message.retained,
            trust=self._trust,
            addressee=self._addressee,
            clock=ClockView(trusted_s, floor_s),
        )
        if isinstance(found, VerifiedCommand):
            return ev.CommandVerified(message.delivery, found)
        return ev.CommandRefused(
            message.delivery, found.reason, found.detail, found.reportable, found.iss, found.jti, found.exp, message
        )

    def take(self, document: TrustDocument, orders: tuple[tuple[ev.OrderKey, bytes], ...]) -> ev.TrustTaken:
        """The next document, which check 13 has let pass, is in force; its verdict on orders accepted earlier.

        The one in force already is asked again.
        """
        if document != self._trust.document:
            self._trust = self._trust.followed_by(document)
        return ev.TrustTaken(tuple((which, self._standing(envelope)) for which, envelope in orders))

    def restored(self, memory: Memory) -> ev.Restored:
        """What the store remembers, its envelopes verified again: the file on the card proves nothing."""
        items = []
        for stored in memory.items:
            standing = self._standing(stored.envelope)
            verified = standing.verified or read_unproven(stored.envelope)
            if verified is not None and isinstance(verified.command, Play) and not standing.damaged:
                items.append(
                    ev.RestoredItem(
                        verified,
                        stored.accepted_at,
                        stored.started_at,
                        standing.detail if standing.revoked else "",
                        stored.round,
                        stored.round_at,
                        "" if standing.revoked else standing.detail,
                    )
                )
            else:
                _log.error("a stored item is damaged and is left alone: %s", standing.detail)
        return ev.Restored(
            memory.next_seq,
            memory.outbox_count,
            memory.accepted,
            memory.stops,
            tuple(items),
            memory.settings,
            tuple(_waiting(each) for each in memory.unjudged),
            tuple(
                ev.RestoredDocument(each, None if each.envelope is None else self._standing(each.envelope))
                for each in memory.documents
            ),
            memory.slots,
            memory.ledger,
            memory.wanted,
            fault=memory.fault,
            sums=memory.sums,
        )

    def _standing(self, envelope: bytes) -> ev.Standing:
        found = verify_stored(envelope, trust=self._trust, addressee=self._addressee)
        if isinstance(found, VerifiedCommand):
            return ev.Standing(found)
        return ev.Standing(
            None,
            f"{found.reason}: {found.detail}",
            damaged=found.reason is Reason.BAD_SIGNATURE,
            revoked=found.reason in _REVOKED,
        )


def _waiting(stored: StoredCommand) -> ev.RestoredCommand:
    found = read_unproven(stored.envelope)
    play = found.command if found is not None and isinstance(found.command, Play) else None
    return ev.RestoredCommand(stored, play, 0 if found is None else found.exp)
