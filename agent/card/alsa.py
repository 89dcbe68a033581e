"""ctypes binding to libasound.so.2: the dozen calls that playing needs, and nothing of policy.

No thread of its own: a `Pcm` belongs to the thread that opened it. ctypes releases the GIL in every call. The device is
opened non-blocking, so that a busy card is an error at once and a full buffer never holds the caller.
"""

import ctypes
import errno
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p
from functools import cache

_PLAYBACK = 0
_NONBLOCK = 1
_ACCESS_RW_INTERLEAVED = 3
_FORMAT_S16_LE = 2
_BYTES_A_SAMPLE = 2

_ERROR_HANDLER = ctypes.CFUNCTYPE(None, c_char_p, c_int, c_char_p, c_int, c_char_p)


def _ignore(*_: object) -> None:
    """What libasound would print to stderr comes back as an error code anyway."""


_quiet = _ERROR_HANDLER(_ignore)  # kept by the module, because C holds it


_WHY = {
    errno.EBUSY: "another program holds the card (PulseAudio or PipeWire of a desktop?)",
    errno.ENOENT: "there is no such card: is it plugged in, and named as in `aplay -L`?",
    errno.ENODEV: "there is no such card any more: is it plugged in?",
    errno.ENXIO: "there is no such card: is it plugged in, and named as in `aplay -L`?",
    errno.EACCES: "this user may not use the card: is it in group audio?",
    errno.ECONNREFUSED: "the sound server behind it does not run",
}
"""What a technician can do about it; others go by the system's words."""


class AlsaError(OSError):
    """A call into libasound failed; `errno` is positive, the text says which call and on what device."""


class UnderrunError(AlsaError):
    """The card ran dry (EPIPE) or slept (ESTRPIPE): `prepare` and write again."""


_SIGNATURES: dict[str, tuple[type, ...]] = {
    "snd_pcm_open": (POINTER(c_void_p), c_char_p, c_int, c_int),
    "snd_pcm_close": (c_void_p,),
    "snd_pcm_prepare": (c_void_p,),
    "snd_pcm_drop": (c_void_p,),
    "snd_pcm_delay": (c_void_p, POINTER(c_long)),
    "snd_pcm_hw_params_malloc": (POINTER(c_void_p),),
    "snd_pcm_hw_params_any": (c_void_p, c_void_p),
    "snd_pcm_hw_params_set_access": (c_void_p, c_void_p, c_int),
    "snd_pcm_hw_params_set_format": (c_void_p, c_void_p, c_int),
    "snd_pcm_hw_params_set_channels": (c_void_p, c_void_p, c_uint),
    "snd_pcm_hw_params_set_rate": (c_void_p, c_void_p, c_uint, c_int),
    "snd_pcm_hw_params_set_period_size_near": (c_void_p, c_void_p, POINTER(c_ulong), POINTER(c_int)),
    "snd_pcm_hw_params_set_buffer_size_near": (c_void_p, c_void_p, POINTER(c_ulong)),
    "snd_pcm_hw_params": (c_void_p, c_void_p),
    "snd_pcm_sw_params_malloc": (POINTER(c_void_p),),
    "snd_pcm_sw_params_current": (c_void_p, c_void_p),
    "snd_pcm_sw_params_set_start_threshold": (c_void_p, c_void_p, c_ulong),
    "snd_pcm_sw_params": (c_void_p, c_void_p),
}


@cache
def _library() -> ctypes.CDLL:
    """libasound, loaded on first use so that commands without sound work on a machine without it."""
    library = ctypes.CDLL("libasound.so.2")
    for name, arguments in _SIGNATURES.items():
        call = getattr(library, name)
        call.argtypes, call.restype = arguments, c_int
    for name in ("snd_pcm_hw_params_free", "snd_pcm_sw_params_free"):
        call = getattr(library, name)
        call.argtypes, call.restype = (c_void_p,), None
    library.snd_pcm_writei.argtypes, library.snd_pcm_writei.restype = (c_void_p, c_char_p, c_ulong), c_long
    library.snd_pcm_avail.argtypes, library.snd_pcm_avail.restype = (c_void_p,), c_long
    library.snd_lib_error_set_handler.argtypes = (_ERROR_HANDLER,)
    library.snd_lib_error_set_handler.restype = c_int
    library.snd_lib_error_set_handler(_quiet)
    return library


class Pcm:
    """One playback device: 16-bit little-endian, mono, interleaved.

    Args:
        device: ALSA's name, such as `plughw:CARD=sndrpihifiberry`.
        rate_hz: exactly this rate; a plug in the device's name converts.
        period_samples: nearest to this.
        buffer_samples: nearest to this; `buffer_samples` afterwards says what it became.
        start_samples: playing begins by itself once so many are written.

    Raises:
        AlsaError: the device is not there, busy, or cannot do this.
    """

    def __init__(
        self, *, device: str, rate_hz: int, period_samples: int, buffer_samples: int, start_samples: int
    ) -> None:
        self._asound = _library()
        self._device = device
        self._delay = c_long()
        self._handle = c_void_p()
        self._call("snd_pcm_open", byref(self._handle), device.encode(), _PLAYBACK, _NONBLOCK, handle=False)
        try:
            self.buffer_samples = self._set_hardware(rate_hz, period_samples, buffer_samples)
            self._set_start(start_samples)
            self.prepare()
        except AlsaError:
            self.close()
            raise

    def write(self, samples: bytes) -> int:
        """Give samples to the card; returns how many it took, 0 if it is full.

        Raises:
            UnderrunError: the card ran dry; nothing of this was taken.
            AlsaError: the device is gone.
        """
        taken: int = self._asound.snd_pcm_writei(self._handle, samples, len(samples) // _BYTES_A_SAMPLE)
        if taken >= 0:
            return taken
        if taken == -errno.EAGAIN:
            return 0
        raise self._error("snd_pcm_writei", taken)

    def look(self) -> tuple[int, int]:
        """(queued, delay) in samples: what the buffer holds, and how long until a sample written now sounds.

        Raises:
            UnderrunError: the card ran dry.
            AlsaError: the device is gone.
        """
        avail: int = self._asound.snd_pcm_avail(self._handle)
        if avail < 0:
            raise self._error("snd_pcm_avail", avail)
        queued = self.buffer_samples - avail
        if self._asound.snd_pcm_delay(self._handle, byref(self._delay)) < 0:
            return queued, queued  # PulseAudio does not know its delay before it has run for a moment
        return queued, self._delay.value

    def drop(self) -> None:
        """Stop now, throwing away what has not sounded. Raises AlsaError."""
        self._call("snd_pcm_drop")

    def prepare(self) -> None:
        """Make ready after `drop` or `UnderrunError`. Raises AlsaError."""
        self._call("snd_pcm_prepare")

    def close(self) -> None:
        """Give the device back. Idempotent."""
        if self._handle:
            self._asound.snd_pcm_close(self._handle)
            self._handle = c_void_p()

    def _call(self, name: str, *arguments: object, handle: bool = True) -> None:
        code: int = getattr(self._asound, name)(*((self._handle,) if handle else ()), *arguments)
        if code < 0:
            raise self._error(name, code)

    def _error(self, name: str, code: int) -> AlsaError:
        kind = UnderrunError if -code in (errno.EPIPE, errno.ESTRPIPE) else AlsaError
        return kind(-code, f"{self._device}: {_WHY.get(-code) or f'{name}: {os.strerror(-code)}'}")

    def _set_hardware(self, rate_hz: int, period_samples: int, buffer_samples: int) -> int:
        params, period, size = c_void_p(), c_ulong(period_samples), c_ulong(buffer_samples)
        self._call("snd_pcm_hw_params_malloc", byref(params), handle=False)
        try:
            self._call("snd_pcm_hw_params_any", params)
            self._call("snd_pcm_hw_params_set_access", params, _ACCESS_RW_INTERLEAVED)
            self._call("snd_pcm_hw_params_set_format", params, _FORMAT_S16_LE)
            self._call("snd_pcm_hw_params_set_channels", params, 1)
            self._call("snd_pcm_hw_params_set_rate", params, rate_hz, 0)
            self._call("snd_pcm_hw_params_set_period_size_near", params, byref(period), None)
            self._call("snd_pcm_hw_params_set_buffer_size_near", params, byref(size))
            self._call("snd_pcm_hw_params", params)
        finally:
            self._asound.snd_pcm_hw_params_free(params)
        return size.value

    def _set_start(self, start_samples: int) -> None:
        params = c_void_p()
        self._call("snd_pcm_sw_params_malloc", byref(params), handle=False)
        try:
            self._call("snd_pcm_sw_params_current", params)
            self._call("snd_pcm_sw_params_set_start_threshold", params, start_samples)
            self._call("snd_pcm_sw_params", params)
        finally:
            self._asound.snd_pcm_sw_params_free(params)
