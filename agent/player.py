"""From media to samples: what is decoded, by whom, and how an attempt ends.

Owner thread: `player`, which makes every libVLC call, from the instance on; what libVLC is told is in `decoding`. One
MediaPlayer an attempt, kept until `end`. libVLC decodes at its own pace, up to 2 s ahead of real time; when the samples
sound is the sound card's business.
"""

import os
import struct
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from agent.decoders import tones
from agent.decoders.decoding import BYTES_A_SAMPLE, RATE_HZ, Decoding, Lane, instance
from agent.decoders.demuxers import HEAD_BYTES, LANDS, demuxer_for, id3_bytes, looks_like
from agent.decoders.synthesis import Synthesis
from agent.messages.effects import MediaBuiltin, MediaFile, MediaPipe
from agent.messages.events import DecodingFailed, Event, PlayerReady, SamplesDecoded
from agent.messages.reasons import Reason
from agent.messages.sources import BuiltinName

CYCLE_WAKE_S = 0.5
WARM_UP_S = 0.050
WARM_UP_TIMEOUT_S = 60.0
"""A Zero 2 W reads its plug-ins from a cold SD card in 6 to 12 s; later than this libVLC does not work at all."""
CLOSE_TIMEOUT_S = 3.0
_WARM_UP = -1


class _Nowhere:
    """The warm-up's lane."""

    def push(self, pcm: bytes) -> None: ...
    def end(self) -> None: ...
    def clear(self) -> None: ...
    def available(self) -> int:
        return 0


class _RefusedError(ValueError):
    """Media that is not even tried."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_SOUNDS: dict[BuiltinName, tones.Synthesis] = {
    BuiltinName.CHIME: tones.chime,
    BuiltinName.SIREN: tones.siren_cycle,
    BuiltinName.TONE: tones.tone_cycle,
}


class Player:
    """Decodes attempts into lanes. Verbs only enqueue; any thread.

    Args:
        open_lane: a fresh lane for a token; called on the player's thread.
        post: takes each event; called on the player's thread and on libVLC's.
    """

    def __init__(self, *, open_lane: Callable[[int], Lane], post: Callable[[Event], None]) -> None:
        self._open_lane = open_lane
        self._post = post
        self._verbs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._attempts: dict[int, Decoding | Synthesis] = {}
        self._instance: Any = None
        self._running = True
        self._warm = False
        self.turns = 0
        self._at_work = False
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    @property
    def owes(self) -> bool:
        """Whether the thread has a verb to perform."""
        return self._at_work or not self._verbs.empty()

    def decode(
        self, token: int, media: MediaFile | MediaPipe | MediaBuiltin, chime: bool = False, from_s: float = 0.0
    ) -> None:
        """Begin: `SamplesDecoded` with the first samples, or `DecodingFailed`. A pipe is ours from here.

        Args:
            token: of this attempt.
            media: what to decode.
            chime: `CHIME_SAMPLES` of chime come first in the lane.
            from_s: where in the media to begin. A cycle goes round: any instant is one of its own. WAV and FLAC land
                on the sample, MP3 up to 0.15 s before; other formats, and pipes, begin at their beginning.
        """
        self._verbs.put(partial(self._decode, token, media, chime=chime, from_s=from_s))

    def pause(self, token: int) -> None:
        """The lane holds enough. Up to 2 s may still be pushed; nothing is lost. Unknown tokens are ignored."""
        self._verbs.put(partial(self._pause, token))

    def resume(self, token: int) -> None:
        """Go on where `pause` stopped. Unknown tokens are ignored."""
        self._verbs.put(partial(self._resume, token))

    def end(self, token: int) -> None:
        """Release the attempt; what still waits in its lane does not sound any more. Unknown tokens are ignored."""
        self._verbs.put(partial(self._end, token))

    def close(self) -> None:
        """Release everything and end the thread. Idempotent, waits at most 3 s."""
        self._verbs.put(self._stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_TIMEOUT_S)

    # The player's thread.

    def _run(self) -> None:
        self._instance = instance()
        self._warm_up()
        while self._running:
            self._obey()
            for endless in self._endless():
                endless.feed()
        self._instance.release()

    def _obey(self) -> None:
        timeout_s = CYCLE_WAKE_S if self._endless() else None if self._warm else WARM_UP_TIMEOUT_S
        try:
            self._at_work = False
            verb = self._verbs.get(timeout=timeout_s)
            self._at_work = True
            verb()
            self.turns += 1
        except Empty:
            if not self._warm:
                raise RuntimeError(f"libVLC does not decode silence within {WARM_UP_TIMEOUT_S} s") from None

    def _endless(self) -> list[Synthesis]:
        return [it for it in self._attempts.values() if isinstance(it, Synthesis) and it.hungry]

    def _warm_up(self) -> None:
        """Decode a moment of silence: plug-ins are loaded before the first order comes."""
        samples = bytes(round(WARM_UP_S * RATE_HZ) * BYTES_A_SAMPLE)
        rate, width = RATE_HZ, BYTES_A_SAMPLE
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * width, width, 8 * width)
        body = b"WAVE" + form + struct.pack("<4sI", b"data", len(samples)) + samples
        fd = os.memfd_create("silence", os.MFD_CLOEXEC)
        os.write(fd, struct.pack("<4sI", b"RIFF", len(body)) + body)
        os.lseek(fd, 0, os.SEEK_SET)
        self._begin(_WARM_UP, fd, "wav", _Nowhere())

    def _decode(self, token: int, media: MediaFile | MediaPipe | MediaBuiltin, *, chime: bool, from_s: float) -> None:
        if isinstance(media, MediaBuiltin):
            self._synthesise(token, media.name, self._lane(token, chime=chime), from_s)
            return
        fd = -1
        try:
            fd = media.fd if isinstance(media, MediaPipe) else _open(media.path)
            demuxer = _demuxer(media, fd)
        except _RefusedError as refusal:
            if fd >= 0:
                os.close(fd)
            self._post(DecodingFailed(token=token, reason=refusal.reason, detail=str(refusal)))
            return
        lands = isinstance(media, MediaFile) and demuxer in LANDS
        self._begin(token, fd, demuxer, self._lane(token, chime=chime), from_s if lands else 0.0)

    def _lane(self, token: int, *, chime: bool) -> Lane:
        lane = self._open_lane(token)
        if chime:
            lane.push(tones.chime())
        return lane

    def _begin(self, token: int, fd: int, demuxer: str, lane: Lane, from_s: float = 0.0) -> None:
        decoding = Decoding(
            vlc_instance=self._instance,
            name=f"token {token}",
            fd=fd,
            demuxer=demuxer,
            from_s=from_s,
            lane=lane,
            begun=_nothing if token == _WARM_UP else partial(self._begun, token),
            over=partial(self._verbs.put, partial(self._over, token)),
        )
        self._attempts[token] = decoding
        decoding.play()

    def _begun(self, token: int) -> None:
        """On libVLC's thread."""
        self._verbs.put(partial(self._pause_if_wanted, token))
        self._post(SamplesDecoded(token=token))

    def _pause_if_wanted(self, token: int) -> None:
        attempt = self._attempts.get(token)
        if isinstance(attempt, Decoding):
            attempt.pause_if_wanted()

    def _pause(self, token: int) -> None:
        if attempt := self._attempts.get(token):
            attempt.pause()

    def _resume(self, token: int) -> None:
        if attempt := self._attempts.get(token):
            attempt.resume()

    def _synthesise(self, token: int, name: BuiltinName, lane: Lane, from_s: float) -> None:
        pcm, first = _SOUNDS[name](), round(from_s * RATE_HZ)
        synthesis = Synthesis(lane=lane, pcm=pcm, endless=name is not BuiltinName.CHIME, first=first)
        self._attempts[token] = synthesis
        synthesis.feed()
        self._post(SamplesDecoded(token=token))

    def _over(self, token: int) -> None:
        """The end has come, or libVLC gave up; its event says nothing about whether there was sound."""
        attempt = self._attempts.get(token)
        if not isinstance(attempt, Decoding):
            return
        length_s = None if attempt.decoded else attempt.length_s()
        attempt.release()
        if token == _WARM_UP:
            if not attempt.decoded:
                raise RuntimeError("libVLC does not decode silence: is vlc-plugin-base whole?")
            self._warm = True
            del self._attempts[_WARM_UP]
            self._post(PlayerReady())
        elif attempt.decoded:
            attempt.lane.end()
        else:
            attempt.lane.clear()
            detail = "the bytes hold no sound that could be decoded"
            self._post(DecodingFailed(token=token, reason=Reason.UNDECODABLE, detail=detail, length_s=length_s))

    def _end(self, token: int) -> None:
        attempt = self._attempts.pop(token, None)
        if attempt:
            attempt.release()
            attempt.lane.clear()

    def _stop(self) -> None:
        self._running = False
        for token in list(self._attempts):
            self._end(token)


def _nothing() -> None:
    pass


def _open(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _RefusedError(Reason.STORAGE, f"cannot open the file: {error.strerror}") from None
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)  # an SD card's pauses outlast libVLC's patience
    return fd


def _demuxer(media: MediaFile | MediaPipe, fd: int) -> str:
    """The demuxer's name; raises _RefusedError."""
    head = media.head if isinstance(media, MediaPipe) else os.pread(fd, HEAD_BYTES, 0)
    tag = id3_bytes(head)
    if tag and isinstance(media, MediaFile):
        head = os.pread(fd, HEAD_BYTES, tag)
    demuxer = demuxer_for(head)
    if demuxer is None:
        raise _RefusedError(Reason.UNSUPPORTED_FORMAT, f"the content is {looks_like(head)}")
    if demuxer == "mp4" and isinstance(media, MediaPipe):
        detail = "MP4 cannot be played from a stream: ask the station for MP3, Ogg or AAC (ADTS)"
        raise _RefusedError(Reason.UNSUPPORTED_FORMAT, detail)
    return demuxer
