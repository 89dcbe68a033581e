"""Whose orders count: a new trust document is stored, comes into force, and ends what it no longer bears (protocol 6).

`security` has judged the document by the one in force, so only one may be on its way to the disk: until it is there,
what today's keys refuse is held, since the next of several versions that wait at the broker is signed by roots to come.
"""

from dataclasses import replace
from typing import Final

from agent.core import answers, attempts, documents, endings, unjudged
from agent.core import programme as prog
from agent.core.heartbeat import publish_state
from agent.core.items import Outcome
from agent.core.pending import TrustInForce
from agent.core.state import Trust, Turn
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.commands import SetTrust, VerifiedCommand
from agent.messages.reasons import Reason
from agent.messages.trust import TrustDocument, fingerprint, names_used

MAX_HELD: Final = 64
"""Messages held while a document is being stored: as many as the link reads before the first is acknowledged.

A broker of MQTT 5 has eight on their way, the receive maximum; one of 3.1.1 knows no bound, and may bring a year's."""

MAX_HELD_QOS_0: Final = 8
"""Of those that no receive maximum bounds: who floods with them takes no place from what the broker waits to see
acknowledged, and little memory."""

_MAY_CHANGE: Final = frozenset(
    {
        Reason.UNKNOWN_KEY,
        Reason.KEY_NOT_VALID,
        Reason.WRONG_ISSUER,
        Reason.NOT_PERMITTED,
        Reason.NOT_ENOUGH_SIGNATURES,
        Reason.STALE_VERSION,
        Reason.BAD_TRUST,
    }
)
"""What the keys of the next document may say otherwise; noise is noise under any keys."""

COPIES_COME_FOR_S: Final = 10 * 365 * 86_400
"""Whoever recorded a `set_trust`, whose `exp` is not asked, may send it again at any time: it has its one outcome. Only
the roots make versions, so these are few."""


def set_trust(turn: Turn, event: ev.CommandVerified) -> None:
    """Store the document with its outcome; in force it comes from the disk."""
    command = event.verified.command
    assert isinstance(command, SetTrust)
    trust, document = turn.state.trust, command.trust
    if trust.changing or document.version != trust.document.version + 1:
        told = f"another change is being stored; {trust.document.version} is in force, SHA-256 {trust.sha256}"
        answers.refuse(turn, event, Reason.STALE_VERSION, told)
        return
    turn.state = replace(turn.state, trust=replace(trust, changing=True))
    names = names_used((document, trust.document))
    writes = do.KeepTrust(document.version, event.verified.envelope), do.KeepNames(tuple(names.items()))
    copies_end = int(turn.wall_s) + COPIES_COME_FOR_S
    answers.accept(turn, event, *writes, then=TrustInForce(document), remember_until=copies_end)


def on_refused(turn: Turn, event: ev.CommandRefused) -> None:
    """Held while the keys that refused it are about to change, otherwise answered."""
    trust = turn.state.trust
    held = trust.changing and event.reason in _MAY_CHANGE and _has_room(trust, event.delivery)
    if event.message is not None and held:
        turn.state = replace(turn.state, trust=replace(trust, held=(*trust.held, event.message)))
    elif event.delivery.connection == ev.FROM_STORE:
        unjudged.on_refused(turn, event)
    else:
        answers.on_refused(turn, event)


def _has_room(trust: Trust, delivery: ev.Delivery) -> bool:
    alike = [each for each in trust.held if each.delivery.is_unconfirmed == delivery.is_unconfirmed]
    return len(alike) < (MAX_HELD_QOS_0 if delivery.is_unconfirmed else MAX_HELD)


def come_into_force(turn: Turn, document: TrustDocument) -> None:
    """The document is on the disk: judge by it, first of all what plays and waits."""
    held = turn.state.trust.held
    turn.state = replace(turn.state, trust=Trust(document, fingerprint(document)))
    turn.log(f"trust version {document.version} is in force, SHA-256 {turn.state.trust.sha256}")
    answers.forget_stops_of_removed_keys(turn)
    turn.do(do.TakeTrust(document, _orders(turn)), *map(do.JudgeAgain, held))
    publish_state(turn)


def go_on_without(turn: Turn) -> None:
    """The document could not be stored: the one in force stays, and judges what was held."""
    held = turn.state.trust.held
    turn.state = replace(turn.state, trust=replace(turn.state.trust, changing=False, held=()))
    turn.do(*map(do.JudgeAgain, held))


def on_taken(turn: Turn, event: ev.TrustTaken) -> None:
    """End what no longer has its signatures, the waiting first, so that nothing begins in between."""
    for (sort, name), standing in reversed(event.orders):
        if sort != "item":
            documents.judged(turn, (sort, name), standing)
        elif standing.revoked or (standing.verified is None and not _is_elsewhere(turn, name)):
            endings.drop(turn, name, Outcome("stopped", Reason.REVOKED, standing.detail))
        elif standing.verified is not None:
            _bear(turn, name, standing.verified)
    attempts.set_gain(turn)


def _is_elsewhere(turn: Turn, name: str) -> bool:
    item = prog.find(turn.state.programme, name)
    return item is not None and item.elsewhere != ""


def _orders(turn: Turn) -> tuple[tuple[ev.OrderKey, bytes], ...]:
    items = [prog.find(turn.state.programme, name) for name in prog.names(turn.state.programme)]
    ordered: list[tuple[ev.OrderKey, bytes]] = [
        (("item", item.play.item), item.verified.envelope) for item in items if item is not None
    ]
    return (*ordered, *documents.envelopes(turn))


def _bear(turn: Turn, name: str, verified: VerifiedCommand) -> None:
    """Its keys still stand for it, perhaps with another volume ceiling."""
    turn.state = replace(turn.state, programme=prog.verified_anew(turn.state.programme, name, verified))
