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
from typing import Any, Protocol

import vlc

from agent.decoders.demuxers import id3_bytes
from agent.decoders.flac import place_of
from agent.decoders.lengths import length_s

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


class _FlacFile:
    """A FLAC file as libVLC must see it to play its end: all bytes as they are but for the smallest block's two.

    And to begin amid it: without the frames before `from_s`; `surplus_s` is how much too early its first frame is.
    libVLC reads by these callbacks, on its input thread. C keeps pointers to them.
    """

    def __init__(self, fd: int, from_s: float) -> None:
        self._fd = fd
        self._at = 0
        tag_bytes = id3_bytes(os.pread(fd, 10, 0))
        self._patch_at = tag_bytes + FLAC_MIN_BLOCK_AT
        place = place_of(fd, tag_bytes, from_s) if from_s else None
        self.surplus_s = 0.0 if place is None else from_s - place.at_s
        self._cut_at, self._cut_bytes = (0, 0) if place is None else (place.cut_from, place.cut_to - place.cut_from)
        self._size = os.fstat(fd).st_size - self._cut_bytes
        decorators = vlc.CallbackDecorators
        self.callbacks = (
            decorators.MediaOpenCb(self._open),
            decorators.MediaReadCb(self._read),
            decorators.MediaSeekCb(self._seek),
            decorators.MediaCloseCb(_ignore),
        )

    def _open(self, _opaque: object, _data: object, size: Any) -> int:
        size[0] = self._size
        self._at = 0
        return 0

    def _read(self, _opaque: object, buffer: Any, wanted: int) -> int:
        try:
            data = bytearray(self._bytes(wanted))
        except OSError:
            return _READ_ERROR
        for index, byte in enumerate(_FLAC_SMALLEST_BLOCK, self._patch_at - self._at):
            if 0 <= index < len(data):
                data[index] = byte
        self._at += len(data)
        ctypes.memmove(buffer, bytes(data), len(data))
        return len(data)

    def _bytes(self, wanted: int) -> bytes:
        if self._at < self._cut_at:
            return os.pread(self._fd, min(wanted, self._cut_at - self._at), self._at)
        return os.pread(self._fd, wanted, self._at + self._cut_bytes)

    def _seek(self, _opaque: object, offset: int) -> int:
        self._at = offset
        return 0


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
        self._flac = _FlacFile(fd, from_s) if demuxer == "flac" and self._is_file else None
        self._surplus_bytes = round(self._flac.surplus_s * RATE_HZ) * BYTES_A_SAMPLE if self._flac else 0
        self._media = (
            vlc_instance.media_new_callbacks(*self._flac.callbacks, None)
            if self._flac
            else vlc_instance.media_new_fd(fd)
        )
        start = (f":start-time={from_s:.6f}",) if from_s and not self._flac else ()
        for option in (f":demux={demuxer}", *start, *_MEDIA_OPTIONS):
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
            self._callbacks, self._flac = (), None  # nobody calls any more; each of them holds this object: a circle

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
