"""Sound files that are spoilt behind a right beginning, played by the real player, in a process that may die of them.

`python -m rig.spoilt FILE SEED COUNT`: so many bodies made of FILE, some as a file, some as a pipe. It prints one line
of JSON at the end: how many were heard, refused, or said nothing, the longest that the player took over one, and how
many samples FILE itself gave after all of them.
"""

import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from typing import Final

from agent.decoders.demuxers import HEAD_BYTES, demuxer_for
from agent.messages.effects import MediaFile, MediaPipe
from agent.messages.events import DecodingFailed, Event, PlayerReady, SamplesDecoded
from agent.player import Player

LISTEN_S: Final = 0.5
"""To one that is heard, or says nothing: then it is ended, as the core ends it."""
PATIENCE_S: Final = 60.0
MAX_BODY_BYTES: Final = 400_000


class _Lane:
    def __init__(self) -> None:
        self.samples = 0
        self.over = threading.Event()

    def push(self, pcm: bytes) -> None:
        self.samples += len(pcm) // 2

    def end(self) -> None:
        self.over.set()

    def clear(self) -> None:
        self.over.set()

    def available(self) -> int:
        return self.samples


def spoilt(good: bytes, chance: Random) -> bytes:
    """What a stranger, a worn card or a broken encoder makes of it; its beginning still names the format."""
    ways = (_noise, _flipped, _cut, _shuffled, _numbers)
    while True:
        body = chance.choice(ways)(good, chance)[:MAX_BODY_BYTES]
        if demuxer_for(body[:HEAD_BYTES]) is not None:
            return body


def _noise(good: bytes, chance: Random) -> bytes:
    return good[: chance.choice((64, 512, 2_048, HEAD_BYTES))] + chance.randbytes(chance.choice((10, 1_000, 100_000)))


def _flipped(good: bytes, chance: Random) -> bytes:
    body = bytearray(good)
    for _ in range(max(1, round(len(body) * chance.choice((0.0001, 0.001, 0.01, 0.1))))):
        body[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(body)


def _cut(good: bytes, chance: Random) -> bytes:
    return good[: chance.randrange(16, len(good))]


def _shuffled(good: bytes, chance: Random) -> bytes:
    size = chance.choice((188, 417, 1_000, 4_096))
    pieces = [good[at : at + size] for at in range(size, len(good), size)]
    return good[:size] + b"".join(chance.choices(pieces or [b"\0"], k=len(pieces) + chance.randrange(20)))


def _numbers(good: bytes, chance: Random) -> bytes:
    """Lengths and counts are what parsers trip over: the extreme ones, anywhere in the head."""
    body = bytearray(good)
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(4, min(len(body) - 8, 2_048))
        value = chance.choice((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        body[at : at + 4] = value.to_bytes(4, chance.choice(("big", "little")))
    return bytes(body)


class _Deck:
    def __init__(self) -> None:
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._lanes: dict[int, _Lane] = {}
        self._player = Player(open_lane=self._open, post=self._inbox.put)
        self._token = 0
        assert isinstance(self._inbox.get(timeout=PATIENCE_S), PlayerReady)

    def _open(self, token: int) -> _Lane:
        return self._lanes.setdefault(token, _Lane())

    def play(self, media: MediaFile | MediaPipe, listen_s: float) -> tuple[str, int, float]:
        """What came of it, how many samples, and how long the player's thread took to come round after its end."""
        self._token += 1
        token, lane = self._token, self._open(self._token)
        self._player.decode(token, media)
        found, end_s = "silent", time.monotonic() + listen_s
        while found != "refused" and not lane.over.is_set() and time.monotonic() < end_s:
            try:
                event = self._inbox.get(timeout=0.02)
            except Empty:
                continue
            if isinstance(event, DecodingFailed) and event.token == token:
                found = "refused"
            elif isinstance(event, SamplesDecoded) and event.token == token:
                found = "heard"
        asked_s, turns = time.monotonic(), self._player.turns
        self._player.end(token)
        while self._player.owes or self._player.turns == turns:
            time.sleep(0.002)
        return found, self._lanes.pop(token).samples, time.monotonic() - asked_s


def _pipe(body: bytes) -> MediaPipe:
    """The first bytes of a stream, with its server gone."""
    reading, writing = os.pipe()
    head = body[:HEAD_BYTES]

    def pour() -> None:
        with open(writing, "wb") as end:  # noqa: PTH123 - a descriptor
            try:
                end.write(body)
            except OSError:
                return

    threading.Thread(target=pour, daemon=True).start()
    return MediaPipe(reading, head)


def main() -> None:
    """See above."""
    file, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    good, chance, deck = file.read_bytes(), Random(seed), _Deck()
    kinds: Counter[str] = Counter()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            body = spoilt(good, chance)
            path = Path(folder) / "body"
            path.write_bytes(body)
            media = _pipe(body) if number % 3 == 2 and file.suffix != ".mp4" else MediaFile(str(path))
            found, _, took_s = deck.play(media, LISTEN_S)
            kinds[found] += 1
            slowest_s = max(slowest_s, took_s)
    _, samples, _ = deck.play(MediaFile(str(file)), PATIENCE_S)
    print(json.dumps({**kinds, "slowest_s": round(slowest_s, 3), "samples": samples}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
