"""The running node's condition in a technician's words: pairs of what, and how it stands. Pure."""

from collections.abc import Iterator
from datetime import UTC
from typing import Final
from zoneinfo import ZoneInfo

from agent.commands.language import Language
from agent.messages.condition import Condition, Piece, Silence, Sounded, Told
from agent.messages.local_time import local_time
from agent.messages.reports import DocumentSeen
from agent.messages.sentences import Sentence

Line = tuple[Sentence, str]

_STAGES: Final = {
    "fetching": Sentence("its source is being fetched"),
    "fetched": Sentence("waits to be decoded"),
    "decoding": Sentence("is being decoded"),
    "ready": Sentence("ready to sound"),
    "sounding": Sentence("sounding"),
    "holding": Sentence("gives way"),
    "held": Sentence("held, goes on later"),
    "ending": Sentence("ending"),
    "waiting": Sentence("waiting"),
    "elsewhere": Sentence("not for this node any more"),
}
_KINDS: Final = {
    "normal": Sentence("normal"),
    "priority": Sentence("priority"),
    "emergency": Sentence("emergency"),
}
_SOURCES: Final = {
    "file": Sentence("file"),
    "relay": Sentence("relayed station"),
    "speech": Sentence("spoken text"),
    "builtin": Sentence("built-in sound"),
}
_SILENCE: Final = {
    Silence.NOTHING_ORDERED: Sentence("nothing is ordered"),
    Silence.NOT_YET: Sentence("what waits is for later"),
    Silence.PREPARING: Sentence("the next item is being made ready"),
    Silence.MUTED: Sentence("muted by a command"),
    Silence.CLOCK: Sentence("the time is not known: connect the network, or fit a clock chip"),
    Silence.CARD: Sentence("the sound card is not to be had"),
    Silence.AMPLIFIER: Sentence("an amplifier's relay cannot be switched"),
}
_MODES: Final = {
    "off": Sentence("off"),
    "warming": Sentence("warming up"),
    "on": Sentence("on"),
    "linger": Sentence("on, about to go off"),
    "fault": Sentence("FAULT"),
}
_RESULTS: Final = {
    "accepted": Sentence("accepted"),
    "refused": Sentence("refused"),
    "played": Sentence("played"),
    "stopped": Sentence("stopped"),
    "failed": Sentence("failed"),
    "missed": Sentence("missed"),
}
_NONE: Final = Sentence("none")
_OK: Final = Sentence("ok")


class Phrases:
    """Says a condition in one language."""

    def __init__(self, condition: Condition, language: Language) -> None:
        self._it = condition
        self._language = language
        try:
            self._zone: ZoneInfo | None = ZoneInfo(condition.timezone)
        except (ValueError, KeyError, OSError):  # not of this machine's zones
            self._zone = None

    def lines(self) -> Iterator[Line]:
        """Everything, in the order in which a technician asks."""
        it, say = self._it, self._language.text
        yield Sentence("node"), f"{it.site}/{it.node}"
        yield Sentence("version"), it.version
        if it.rolled_back:
            yield Sentence("an upgrade that failed, and was taken back"), it.rolled_back
        yield Sentence("public key"), it.public
        yield Sentence("running for"), self._span(it.up_s)
        yield from self._programme()
        yield from self._line_to_the_world()
        yield from self._documents()
        modes = (f"{zone} {self._word(_MODES, mode)}" for zone, mode in it.amplifiers.items())
        yield Sentence("amplifiers"), ", ".join(modes)
        yield Sentence("volume"), f"{it.volume_percent} %" + (f", {say(Sentence('muted'))}" if it.muted else "")
        yield Sentence("sound card"), it.card_fault or say(_OK)
        yield Sentence("disk"), it.disk_fault or say(_OK)
        yield from self._commands()

    def _programme(self) -> Iterator[Line]:
        it = self._it
        first, rest = it.programme[:1], it.programme[1:]
        yield Sentence("on the air"), "; ".join(map(self._piece, first)) or self._language.text(Sentence("nothing"))
        if it.silence:
            why = (self._language.text(_SILENCE[each]) for each in it.silence)
            yield Sentence("why nothing sounds"), "; ".join(why)
        if it.forbidden:
            rules = (
                f"{self._word(_KINDS, kind)}: {self._language.reason(it.forbidden[kind])}" for kind in it.forbidden
            )
            yield Sentence("not allowed now"), "; ".join(rules)
        if rest:
            more = [f"+ {it.pieces - len(it.programme)}"] if it.pieces > len(it.programme) else []
            yield Sentence("after it"), "; ".join([*map(self._piece, rest), *more])
        if it.next_slot is not None:
            yield Sentence("next in the schedule"), self._instant(it.next_slot)

    def _piece(self, piece: Piece) -> str:
        kind, stage = self._word(_KINDS, piece.kind), self._word(_STAGES, piece.stage)
        source = self._word(_SOURCES, piece.source)
        return f"{piece.item} “{piece.title}” ({kind}, {source}, {piece.iss}): {stage}"

    def _line_to_the_world(self) -> Iterator[Line]:
        it, say = self._it, self._language.text
        up = say(Sentence("up") if it.link_up else Sentence("down"))
        why = "" if it.link_up or not it.link_cause else f": {self._language.known(it.link_cause)}"
        yield Sentence("link"), f"{up}, {say(Sentence('connection {number}', number=it.link))}{why}"
        if it.clock.trusted:
            told = Sentence("trusted ({evidence}), {time}", evidence=it.clock.evidence, time=self._instant(it.at))
        else:
            told = Sentence("not trusted, later than {time}", time=self._instant(it.clock.floor))
        yield Sentence("clock"), say(told)

    def _documents(self) -> Iterator[Line]:
        it = self._it
        told = Sentence("version {version}, SHA-256 {sha256}", version=it.trust.version, sha256=it.trust.sha256)
        yield Sentence("trust"), self._language.text(told)
        if it.key_ends:
            yield Sentence("keys that end soon, or have ended"), it.key_ends
        yield Sentence("schedules"), self._versions(it.schedules)
        yield Sentence("policies"), self._versions(it.policies)

    def _versions(self, documents: tuple[DocumentSeen, ...]) -> str:
        said = [
            Sentence("version {version} of {authority}", version=each.version, authority=each.iss) for each in documents
        ]
        return ", ".join(map(self._language.text, said or [_NONE]))

    def _commands(self) -> Iterator[Line]:
        it, say = self._it, self._language.text
        if it.untimed:
            yield Sentence("commands waiting for the time"), str(it.untimed)
        yield Sentence("reports waiting"), str(it.outbox)
        refused = ", ".join(f"{reason} {count}" for reason, count in it.refused.items())
        yield Sentence("refused"), refused or say(_NONE)
        yield Sentence("last commands"), "".join(f"\n  {self._told(each)}" for each in it.commands[::-1]) or say(_NONE)
        yield Sentence("last items"), "".join(f"\n  {self._sounded(each)}" for each in it.sounded[::-1]) or say(_NONE)

    def _told(self, told: Told) -> str:
        outcome = told.outcome
        said = f"{self._instant(told.at)} {outcome.jti} ({outcome.iss}): {self._word(_RESULTS, outcome.outcome)}"
        return said + self._because(outcome.reason, outcome.detail if isinstance(outcome.detail, str) else "")

    def _sounded(self, sounded: Sounded) -> str:
        length = self._language.text(Sentence("{seconds} s heard", seconds=f"{sounded.played_s:.1f}"))
        said = f"{self._instant(sounded.at)} {sounded.item}: {self._word(_RESULTS, sounded.result)}, {length}"
        return said + self._because(sounded.reason, sounded.detail)

    def _because(self, reason: str | None, detail: str) -> str:
        """The code stays, by which it is found in the guide and on the server."""
        said = f", {reason}: {self._language.reason(reason)}" if reason else ""
        return f"{said} [{detail}]" if detail else said

    def _word(self, words: dict[str, Sentence], code: str) -> str:
        return self._language.text(words[code]) if code in words else code

    def _instant(self, unix_s: int) -> str:
        zone = self._zone or UTC
        name = "" if self._zone is not None else " UTC"
        return f"{local_time(unix_s, zone):%Y-%m-%d %H:%M:%S}{name}"

    def _span(self, seconds: int) -> str:
        days, rest = divmod(seconds, 86_400)
        hours, rest = divmod(rest, 3_600)
        minutes, left = divmod(rest, 60)
        say = self._language.text
        if days:
            return say(Sentence("{days} d {hours} h", days=days, hours=hours))
        if hours:
            return say(Sentence("{hours} h {minutes} min", hours=hours, minutes=minutes))
        return say(Sentence("{minutes} min {seconds} s", minutes=minutes, seconds=left))
