"""One media through libVLC: the only module that knows it. Part of player.

Every call is made on the player's thread. libVLC's own threads call back into here and only push samples into a lane,
post an event, or enqueue. libVLC is given an open file or pipe and the name of a demuxer, never an address, and opens
no connection.
"""

import ctypes
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import vlc

from agent.decoders.demuxers import id3_bytes
from agent.decoders.excerpts import Excerpt, Patch
from agent.decoders.flac import place_of
from agent.decoders.lengths import length_s
from agent.decoders.wav import wav_of

_log = logging.getLogger(__name__)

RATE_HZ = 48_000
BYTES_A_SAMPLE = 2
CACHING_MS = 1_500
"""How late libVLC may be before it drops sound: a busy machine lost whole seconds at 300 ms. It delays nothing where
the bytes are there; with more than 3 s, `HEAD_START_MS` included, it drops samples as too early."""
HEAD_START_MS = 500
"""How late it may be with the first of them, which it dates 10 ms ahead whatever the caching and drops 60 ms after that
(es_out.c, dec.c of VLC 3): a busy machine lost the first 50 ms of one item in a few hundred, and the whole of one of
100 ms. Dates are of no use to us; this moves all of them."""
PREFETCH_KIB = 256
PREFETCH_READ_BYTES = 16_384
"""How much of a pipe libVLC reads ahead, and at once: 2 s of WAV, 6 s of MP3 at its highest. By itself it takes 16 MiB
for each, and fills them before it uses any part again: memory grows by every byte of a relay's first 20 minutes."""
FLAC_MIN_BLOCK_AT = 8
"""Where, behind `fLaC` and the header of its first block, the smallest block of a FLAC stream is told in two bytes."""
_FLAC_SMALLEST_BLOCK = b"\x00\x10"
"""16 samples, what the format allows. The told one does not count the last block, yet libVLC 3 takes a last block that
is smaller for noise and drops it, often with the one before: 120 ms of a file of 3.0 s."""

_READ_ERROR = -1

_INSTANCE_OPTIONS = (
    "--quiet",
    "--ignore-config",
    "--no-interact",
    "--no-media-library",
    "--no-auto-preparse",
    "--no-metadata-network-access",
    "--no-lua",
    "--no-video",
    "--no-spu",
    "--no-sub-autodetect-file",
    "--no-audio-time-stretch",
)
_EventCb = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_MEDIA_OPTIONS = (
    f":file-caching={CACHING_MS}",
    f":live-caching={CACHING_MS}",
    f":network-caching={CACHING_MS}",
    f":audio-desync={HEAD_START_MS}",
    f":prefetch-buffer-size={PREFETCH_KIB}",
    f":prefetch-read-size={PREFETCH_READ_BYTES}",
    ":no-video",
    ":no-spu",
)


class Lane(Protocol):
    """Where an attempt's samples go: 48 kHz, 16-bit, mono. One thread pushes; nothing here waits."""

    def push(self, pcm: bytes) -> None:
        """Append samples."""
        ...

    def end(self) -> None:
        """No more come."""
        ...

    def clear(self) -> None:
        """None of them may sound any more."""
        ...

    def available(self) -> int:
        """Samples that wait in it."""
        ...


def instance() -> Any:
    """An instance of libVLC, with all that could open a connection switched off. Raises RuntimeError."""
    make: Callable[[list[str]], Any] = vlc.Instance
    made = make(list(_INSTANCE_OPTIONS))
    if made is None:
        raise RuntimeError("libVLC gives no instance: is vlc-plugin-base installed?")
    return made


class _Reading:
    """How libVLC reads an excerpt: on its input thread, by callbacks to which C keeps pointers."""

    def __init__(self, excerpt: Excerpt) -> None:
        self._excerpt = excerpt
        decorators = vlc.CallbackDecorators
        self.callbacks = (
            decorators.MediaOpenCb(self._open),
            decorators.MediaReadCb(self._read),
            decorators.MediaSeekCb(self._seek),
            decorators.MediaCloseCb(_ignore),
        )

    def _open(self, _opaque: object, _data: object, size: Any) -> int:
        size[0] = self._excerpt.size
        self._excerpt.seek(0)
        return 0

    def _read(self, _opaque: object, buffer: Any, wanted: int) -> int:
        try:
            data = self._excerpt.read(wanted)
        except OSError:
            return _READ_ERROR
        ctypes.memmove(buffer, data, len(data))
        return len(data)

    def _seek(self, _opaque: object, offset: int) -> int:
        self._excerpt.seek(offset)
        return 0


@dataclass(frozen=True, slots=True)
class _Opening:
    """How libVLC is given the media, and what of its samples comes before the place to begin at."""

    excerpt: Excerpt | None = None
    surplus_s: float = 0.0
    start: tuple[str, ...] = ()


def _opening(fd: int, demuxer: str, from_s: float) -> _Opening:
    """What libVLC does not do to the sample is done for it."""
    if demuxer == "flac":
        return _of_flac(fd, from_s)
    wav = wav_of(fd) if demuxer == "wav" and from_s else None
    if wav is None:
        return _Opening(start=(f":start-time={from_s:.6f}",) if from_s else ())
    place = wav.place_of(from_s)
    return _Opening(Excerpt(fd, place, *wav.patches(place)), from_s - place.at_s)


def _of_flac(fd: int, from_s: float) -> _Opening:
    """With the smallest block that libVLC must see to play its end, and without the frames before `from_s`."""
    tag_bytes = id3_bytes(os.pread(fd, 10, 0))
    place = place_of(fd, tag_bytes, from_s) if from_s else None
    smallest = Patch(tag_bytes + FLAC_MIN_BLOCK_AT, _FLAC_SMALLEST_BLOCK)
    return _Opening(Excerpt(fd, place, smallest), 0.0 if place is None else from_s - place.at_s)


class Decoding:
    """One MediaPlayer and what it needs to live: C keeps pointers to the callbacks.

    Args:
        vlc_instance: from `instance`.
        name: for the log.
        fd: an open file or the reading end of a pipe; closed by `release`.
        demuxer: from `demuxer_for`.
        from_s: where in a file to begin; only with a demuxer that `LANDS`.
        lane: takes the samples; pushed to by libVLC's decoder thread.
        begun: called once with the first samples, on libVLC's thread.
        over: called at the end or on an error, on libVLC's thread.
    """

    def __init__(
        self,
        *,
        vlc_instance: Any,
        name: str,
        fd: int,
        demuxer: str,
        from_s: float,
        lane: Lane,
        begun: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        self.lane = lane
        self.decoded = False
        self._paused = False
        self._name = name
        self._demuxer = demuxer
        self._begun = begun
        self._over = over
        self._fd = fd
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        opening = _opening(fd, demuxer, from_s) if self._is_file else _Opening()
        self._reading = _Reading(opening.excerpt) if opening.excerpt else None
        self._surplus_bytes = round(opening.surplus_s * RATE_HZ) * BYTES_A_SAMPLE
        self._media = (
            vlc_instance.media_new_callbacks(*self._reading.callbacks, None)
            if self._reading
            else vlc_instance.media_new_fd(fd)
        )
        for option in (f":demux={demuxer}", *opening.start, *_MEDIA_OPTIONS):
            self._media.add_option(option)
        self._player = vlc_instance.media_player_new()
        self._player.set_media(self._media)
        decorators = vlc.CallbackDecorators
        audio = (
            decorators.AudioPlayCb(self._samples),
            decorators.AudioPauseCb(_ignore),
            decorators.AudioResumeCb(_ignore),
            decorators.AudioFlushCb(_ignore),  # after a drain it means nothing, and nobody seeks
            decorators.AudioDrainCb(self._drained),
        )
        ended = _EventCb(self._ended)
        self._callbacks: tuple[Any, ...] = (*audio, ended)
        self._player.audio_set_callbacks(*audio, None)
        self._player.audio_set_format("S16N", RATE_HZ, 1)
        # Not `MediaPlayer.event_manager()`: python-vlc keeps what that has returned, and the player with it, for ever.
        events = vlc.libvlc_media_player_event_manager(self._player)
        for kind in ("MediaPlayerEndReached", "MediaPlayerEncounteredError"):
            vlc.libvlc_event_attach(events, getattr(vlc.EventType, kind).value, ended, None)

    def play(self) -> None:
        """Begin."""
        self._player.play()

    def pause(self) -> None:
        """Decode no more; up to 2 s may still come. Before the first samples libVLC cannot: see `begun`."""
        self._paused = True
        self.pause_if_wanted()

    def pause_if_wanted(self) -> None:
        """What was asked for before the first samples, now that they are there."""
        if self._paused and self.decoded and self._fd >= 0:
            self._player.set_pause(1)

    def resume(self) -> None:
        """Go on with the sample after the last one pushed."""
        if self._paused and self._fd >= 0:
            self._player.set_pause(0)
        self._paused = False

    def length_s(self) -> float | None:
        """How long the file sounds in all, where that is known to the sample; before `release`."""
        return length_s(self._fd, self._demuxer, self._player.get_length()) if self._is_file else None

    def release(self) -> None:
        """Stop, free and close; waits for libVLC's threads, so never from a callback."""
        if self._fd >= 0:
            self._tell_lost()
            self._player.stop()
            self._player.release()
            self._media.release()
            os.close(self._fd)
            self._fd = -1
            self._callbacks, self._reading = (), None  # nobody calls any more; each of them holds this object: a circle

    def _tell_lost(self) -> None:
        """Say what libVLC threw away because this process came too late: there is no other trace of it."""
        statistics = vlc.MediaStats()
        if self._media.get_stats(statistics) and statistics.lost_abuffers:
            _log.warning("libVLC fell behind: %s lost %d blocks", self._name, statistics.lost_abuffers)

    # libVLC's threads.

    def _samples(self, _opaque: object, samples: int, count: int, _pts: int) -> None:
        pcm = ctypes.string_at(samples, count * BYTES_A_SAMPLE)
        if self._surplus_bytes:
            pcm, self._surplus_bytes = pcm[self._surplus_bytes :], max(0, self._surplus_bytes - len(pcm))
            if not pcm:
                return
        self.lane.push(pcm)
        if not self.decoded:
            self.decoded = True
            self._begun()

    def _drained(self, _opaque: object) -> None:
        if self._is_file:  # a chained relay drains between its parts; its end may be told some 1.5 s later, by `over`
            self.lane.end()

    def _ended(self, _event: object, _data: object) -> None:
        self._over()


def _ignore(*_: object) -> None:
    pass
