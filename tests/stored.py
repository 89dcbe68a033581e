"""What the store should hold, in plain Python: the real one is held to it, and simulated poles live on it."""

from dataclasses import astuple, dataclass, field, replace

from agent.messages.codec import encode
from agent.messages.effects import (
    AppendReport,
    EndDocument,
    ForgetCommands,
    ForgetItem,
    ForgetSlots,
    ForgetSlotsOf,
    ForgetSums,
    ForgetUnjudged,
    ForgetWanted,
    KeepDocument,
    KeepItem,
    KeepLedger,
    KeepNames,
    KeepOrder,
    KeepSetting,
    KeepSlot,
    KeepTrust,
    KeepUnjudged,
    KeepWanted,
    MarkStarted,
    RememberCommand,
    RememberStop,
    RemoveReports,
    SettleSlot,
    Write,
)
from agent.messages.memory import (
    Memory,
    StoredAccepted,
    StoredCommand,
    StoredDocument,
    StoredItem,
    StoredLedger,
    StoredSlot,
    StoredStop,
    StoredWanted,
)
from agent.messages.sums import NO_SUMS, Sums, without


@dataclass
class Model:
    """What the tables should hold, in plain Python."""

    accepted: dict[tuple[str, str], StoredAccepted] = field(default_factory=dict)
    stops: dict[tuple[str, ...], StoredStop] = field(default_factory=dict)
    items: dict[str, StoredItem] = field(default_factory=dict)
    settings: dict[str, tuple[int, int]] = field(default_factory=dict)
    unjudged: dict[tuple[str, str], StoredCommand] = field(default_factory=dict)
    trusts: dict[int, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    documents: dict[tuple[str, str], StoredDocument] = field(default_factory=dict)
    slots: dict[tuple[str, str], StoredSlot] = field(default_factory=dict)
    ledger: StoredLedger | None = None
    wanted: dict[tuple[str, str], StoredWanted] = field(default_factory=dict)
    outbox: list[int] = field(default_factory=list)
    last_seq: int = 0
    sums: Sums = NO_SUMS

    def write(self, write: Write) -> None:
        match write:
            case RememberCommand(iss, jti, exp, iat):
                known = self.accepted.get((iss, jti), StoredAccepted(iss, jti, exp, iat))
                self.accepted[iss, jti] = replace(known, exp=max(exp, known.exp))
            case RememberStop(item, iss, may, exp, kids):
                key = item, iss, " ".join(may), " ".join(kids)
                before = self.stops.get(key)
                self.stops[key] = StoredStop(item, iss, may, max(exp, before.exp if before else exp), kids)
            case ForgetCommands(before):
                self.accepted = {key: kept for key, kept in self.accepted.items() if kept.exp >= before}
                self.stops = {key: kept for key, kept in self.stops.items() if kept.exp >= before}
            case AppendReport(claims):
                self.outbox.append(claims.seq)
                self.last_seq = claims.seq
            case RemoveReports(seqs):
                self.outbox = [seq for seq in self.outbox if seq not in seqs]
            case ForgetSums(told):
                self.sums = without(self.sums, told)
            case _:
                self._write_programme(write)

    def _write_programme(self, write: Write) -> None:
        match write:
            case KeepItem(item, envelope, accepted_at):
                self.items.pop(item, None)
                self.items[item] = StoredItem(envelope, accepted_at, None)
            case MarkStarted(item, started_at, round_, round_at):
                if item in self.items:
                    self.items[item] = replace(self.items[item], started_at=started_at, round=round_, round_at=round_at)
                for key, slot in self.slots.items():
                    if key[1] == item and not slot.settled:
                        self.slots[key] = replace(slot, started_at=started_at)
            case ForgetItem(item):
                self.items.pop(item, None)
            case KeepOrder(items):
                first = {name: self.items[name] for name in items if name in self.items}
                self.items = first | {name: kept for name, kept in self.items.items() if name not in first}
            case KeepSetting(name, value, iat):
                self.settings[name] = (value, iat)
            case _:
                self._write_slots(write)

    def _write_slots(self, write: Write) -> None:
        match write:
            case KeepSlot(iss, item, at_s, until_s, jti, slot_words):
                if (iss, item) not in self.slots:
                    words = encode(slot_words)
                    self.slots[iss, item] = StoredSlot(iss, item, at_s, until_s, jti, words, None, False)
            case SettleSlot(iss, item, until_s):
                self.slots[iss, item] = StoredSlot(iss, item, until_s, until_s, "", b"", None, True)
            case ForgetSlots(before):
                self.slots = {key: slot for key, slot in self.slots.items() if slot.until_s >= before}
            case ForgetSlotsOf(iss):
                self.slots = {key: slot for key, slot in self.slots.items() if key[0] != iss or not slot.settled}
            case KeepLedger():
                self.ledger = StoredLedger(*astuple(write))
            case _:
                self._write_lasting(write)

    def _write_lasting(self, write: Write) -> None:
        match write:
            case KeepUnjudged(iss, jti, emergency, envelope):
                self.unjudged.pop((iss, jti), None)
                self.unjudged[iss, jti] = StoredCommand(iss, jti, emergency, envelope)
            case ForgetUnjudged(iss, jti):
                self.unjudged.pop((iss, jti), None)
            case KeepWanted(sha256, uri, size, pin):
                kept = self.wanted.setdefault((sha256, uri), StoredWanted(sha256, uri, size, pin))
                self.wanted[sha256, uri] = replace(kept, pin=pin or kept.pin)
            case ForgetWanted(sha256, uri):
                self.wanted.pop((sha256, uri), None)
            case KeepTrust(version, envelope):
                self.trusts[version] = envelope
            case KeepNames(names):
                self.names = dict(names) | self.names
            case KeepDocument(sort, iss, version, iat, sha256, envelope, since):
                self.documents[sort, iss] = StoredDocument(sort, iss, version, iat, sha256, envelope, since)
            case EndDocument(sort, iss) if (sort, iss) in self.documents:
                self.documents[sort, iss] = replace(self.documents[sort, iss], envelope=None)

    def memory(self) -> Memory:
        return Memory(
            next_seq=self.last_seq + 1,
            outbox_count=len(self.outbox),
            accepted=tuple(self.accepted[key] for key in sorted(self.accepted)),
            stops=tuple(self.stops[key] for key in sorted(self.stops)),
            items=tuple(self.items.values()),
            settings=tuple(sorted((name, *kept) for name, kept in self.settings.items())),
            trust=self.trusts[max(self.trusts)] if self.trusts else None,
            names=tuple(sorted(self.names.items())),
            unjudged=tuple(self.unjudged.values()),
            documents=tuple(self.documents[key] for key in sorted(self.documents)),
            slots=tuple(self.slots[key] for key in sorted(self.slots)),
            ledger=self.ledger,
            wanted=tuple(self.wanted[key] for key in sorted(self.wanted)),
            sums=self.sums,
        )
