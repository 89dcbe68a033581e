"""What a commune might order in a minute, shortened to tenths of a second, and what must come of each order.

Most of it plays. Beside it: sources that fail, a second source that helps, orders that are stopped, emergencies that
take the air, and orders that must be refused, or not even answered.
"""

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.messages.commands import AnyCommand, Play, SetVolume, Stop
from agent.messages.sources import Builtin, BuiltinName, File, Relay, Source, Speech
from agent.messages.words import Kind
from rig.heard import encode, sweep, write_wav
from rig.village import Station
from rig.web import WebServer, live, serve

SOUND_S: Final = 0.1
FORMATS: Final = (("wav",), ("mp3", "-b:a", "128k"), ("flac",), ("ogg", "-c:a", "libvorbis"))
LIFETIME_S: Final = 300
"""Of an order: long enough for a batch."""
SETTING_LIFETIME_S: Final = 15
"""Some 300 are taken in a second: with the plays before them fewer are live than the memory against replays holds for
one authority, or it would take no more."""
RADIO_BYTES_PER_S: Final = 16_000
RADIO_S: Final = 4.0
RADIO_ROUNDS: Final = 100
TONE: Final = Source(builtin=Builtin(BuiltinName.TONE))

FRESH: Final = 4
"""Of a batch, files that nobody has asked for before: fetched, kept, and others thrown out for them."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One envelope to publish, and what must come of it: None where nothing may."""

    envelope: bytes
    jti: str
    outcome: str | None = "accepted"
    item: str | None = None
    result: str | None = None
    """Of the item's one record."""
    what: str = ""
    """For whoever reads that something else came."""


class Wishes:
    """Batches of orders, in an order that the seed decides. Sources are served by `web`."""

    def __init__(self, station: Station, web: WebServer, folder: Path, seed: int) -> None:
        self._station = station
        self._web = web
        self._random = random.Random(seed)
        self._serial = itertools.count(1)
        self._sounds = [_encoded(folder, SOUND_S, *form) for form in FORMATS]
        self._stored = [self._file(body) for body in self._sounds]
        radio = _encoded(folder, RADIO_S, "mp3", "-b:a", f"{RADIO_BYTES_PER_S * 8}") * RADIO_ROUNDS
        web.routes["/radio"] = live(
            radio,
            bytes_per_s=RADIO_BYTES_PER_S,
            burst_bytes=4 * RADIO_BYTES_PER_S,
            headers={"Content-Type": "audio/mpeg", "icy-br": str(RADIO_BYTES_PER_S // 125)},
        )
        web.routes["/altered"] = serve(self._sounds[0])
        self._garbage = self._file(b"\xff\xfb\x90\x64" + b"\x13\x37" * 3_000)

    def settings(self, count: int) -> list[Wish]:
        """Orders that only have to be remembered."""
        return [self._wish(SetVolume(90 + number % 10), SETTING_LIFETIME_S) for number in range(count)]

    def batch(self, plain: int) -> list[Wish]:
        """So many files that the node has by then, and some of everything: groups in any order, a group as it must."""
        groups = [[self._play(self._random.choice(self._stored))] for _ in range(plain)]
        groups += [[self._play(self._fresh())] for _ in range(FRESH)]
        groups += [[group] if isinstance(group, Wish) else group for group in (make() for make in self._rarities())]
        self._random.shuffle(groups)
        return list(itertools.chain.from_iterable(groups))

    def _rarities(self) -> Iterator[Callable[[], Wish | list[Wish]]]:
        yield lambda: self._play(TONE)
        yield lambda: self._play(Source(relay=Relay(self._web.uri("/radio"))))
        yield lambda: self._play(Source(speech=Speech("Xin.", "vi")))
        yield lambda: self._play(self._missing(), result="failed")
        yield lambda: self._play(self._garbage, result="failed")
        yield lambda: self._play(self._altered(), result="failed")
        yield lambda: self._play(Source(relay=Relay("http://elsewhere.example/radio")), result="failed")
        yield lambda: self._play(self._missing(), self._stored[0])
        yield self._stopped
        yield self._pre_empted
        yield self._copied
        yield self._random.choice((self._unpermitted, self._named_twice, self._stopped_before))
        yield self._forged

    # Groups ----------------------------------------------------------------------------------------------------------

    def _play(self, *sources: Source, kind: Kind = Kind.NORMAL, max_s: int = 1, result: str = "played") -> Wish:
        key = self._station.defence if kind is Kind.EMERGENCY else self._station.operator
        play = Play(self._name(), kind, "title", sources, max_s)
        order = self._station.sign(play, key=key, lifetime_s=LIFETIME_S)
        return Wish(order.envelope, order.jti, item=play.item, result=result, what=str(sources[0].only)[:120])

    def _stopped(self) -> list[Wish]:
        """Waiting or sounding, whichever it has come to."""
        long = self._play(TONE, max_s=600, result="stopped")
        assert long.item is not None
        return [long, self._wish(Stop("enough", item=long.item))]

    def _pre_empted(self) -> list[Wish]:
        """An emergency cuts in wherever the programme is just then; what it cuts goes on afterwards."""
        return [self._play(TONE), self._play(self._stored[0], kind=Kind.EMERGENCY)]

    def _copied(self) -> list[Wish]:
        """The broker brings an order twice."""
        wish = self._play(self._stored[0])
        return [wish, wish]

    def _unpermitted(self) -> Wish:
        order = self._station.sign(
            Play(self._name(), Kind.EMERGENCY, "title", (TONE,), 1), key=self._station.operator, lifetime_s=LIFETIME_S
        )
        return Wish(order.envelope, order.jti, outcome="refused", what="not permitted")

    def _named_twice(self) -> list[Wish]:
        """Another order for an item that waits already."""
        first = self._play(TONE)
        assert first.item is not None
        order = self._station.sign(Play(first.item, Kind.NORMAL, "title", (TONE,), 1), lifetime_s=LIFETIME_S)
        return [first, Wish(order.envelope, order.jti, outcome="refused", what="named twice")]

    def _stopped_before(self) -> list[Wish]:
        """The stop comes first; the order is refused when it comes."""
        play = Play(self._name(), Kind.NORMAL, "title", (TONE,), 1)
        order = self._station.sign(play, lifetime_s=LIFETIME_S)
        return [
            self._wish(Stop("never", item=play.item)),
            Wish(order.envelope, order.jti, outcome="refused", what="stopped before"),
        ]

    def _forged(self) -> Wish:
        wish = self._play(TONE)
        head, payload, signature = wish.envelope.split(b".")
        return Wish(b".".join((head, payload, signature[::-1])), wish.jti, outcome=None)

    # Sources ---------------------------------------------------------------------------------------------------------

    def _file(self, body: bytes) -> Source:
        route = f"/{next(self._serial)}"
        self._web.routes[route] = serve(body)
        return _hashed(self._web.uri(route), body)

    def _fresh(self) -> Source:
        """Of the same sound another file: a WAV may have anything behind its samples."""
        return self._file(self._sounds[0] + self._random.randbytes(16))

    def _missing(self) -> Source:
        return _hashed(self._web.uri("/missing"), self._random.randbytes(16))

    def _altered(self) -> Source:
        """What is served has the right length and another hash."""
        return _hashed(self._web.uri("/altered"), self._random.randbytes(len(self._sounds[0])))

    def _wish(self, command: AnyCommand, lifetime_s: int = LIFETIME_S) -> Wish:
        order = self._station.sign(command, lifetime_s=lifetime_s)
        return Wish(order.envelope, order.jti, what=type(command).__name__)

    def _name(self) -> str:
        return f"soak-{next(self._serial)}"


def _encoded(folder: Path, seconds: float, extension: str, *options: str) -> bytes:
    wav = write_wav(folder / f"sweep-{seconds}.wav", sweep(seconds))
    return (wav if extension == "wav" else encode(wav, folder / f"sweep-{seconds}.{extension}", *options)).read_bytes()


def _hashed(uri: str, body: bytes) -> Source:
    return Source(file=File(uri, hashlib.sha256(body).hexdigest(), len(body)))
