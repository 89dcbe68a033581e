"""The folder of what was spoken: FOLDER/SHA-256.wav, bounded, the least recently used gone first. Part of speech.

Thread `speech` alone. The folder is in memory (the RuntimeDirectory): nothing here wears the card, and nothing survives
a power cut. A sound that is being played may be evicted: libVLC has it open by then. The bound holds two of the
longest, so what was answered last is never evicted by what comes next.
Invariant: a name without `.part` holds a whole sound.
"""

import contextlib
import io
import itertools
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from agent.messages.reasons import Reason
from agent.speaking.voices import RATE_HZ, SpeechError

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
"""RIFF, WAVE, one `fmt ` chunk of 16 bytes, and the head of the `data` chunk."""
_BYTES_A_SAMPLE = 2
_UNKNOWN_LENGTH = 0xFFFFFFFF


def header(rate_hz: int, data_bytes: int) -> bytes:
    """The head of a WAV file of 16-bit samples, one channel."""
    return _HEADER.pack(
        b"RIFF", _HEADER.size - 8 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, rate_hz * _BYTES_A_SAMPLE,
        _BYTES_A_SAMPLE, 8 * _BYTES_A_SAMPLE, b"data", data_bytes,
    )  # fmt: skip


def rate_in(head: bytes) -> int:
    """The sample rate that the head of a WAV tells.

    Raises:
        SpeechError: `speech_failed`, it is none of 16-bit samples and one channel.
    """
    rate: int = _HEADER.unpack(head)[7]
    expected = bytearray(header(rate & 0xFFFF, _UNKNOWN_LENGTH - _HEADER.size))
    given = bytearray(head)
    for known in (expected, given):  # lengths are unknown to who writes into a pipe
        known[4:8] = known[40:44] = bytes(4)
    if given != expected or not RATE_HZ[0] <= rate <= RATE_HZ[1]:
        raise SpeechError(Reason.SPEECH_FAILED, "what comes is no WAV of 16-bit samples and one channel")
    return rate


@contextlib.contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpeechError(Reason.STORAGE, f"the folder of spoken sounds: {error.strerror or error}") from error


class Sounds:
    """The folder, bounded to `kept_bytes`; one sound has `sound_bytes` at most."""

    def __init__(self, folder: Path, *, sound_bytes: int, kept_bytes: int) -> None:
        self._folder = folder
        self._sound_bytes = sound_bytes
        self._kept_bytes = kept_bytes
        self._used: dict[Path, int] = {}
        self._uses = itertools.count()

    def find(self, name: str) -> Path | None:
        """The sound of this name, if it was made before.

        Raises:
            SpeechError: `storage`.
        """
        path = self._path(name)
        with _storage_errors():
            if not path.is_file():
                return None
        self._used[path] = next(self._uses)
        return path

    @contextlib.contextmanager
    def recording(self, name: str, rate_hz: int | None) -> Iterator["Recording"]:
        """A sound on its way into the folder; kept if the block ends well, else removed.

        Without `rate_hz` the bytes written begin with the head of a WAV, which tells it.

        Raises:
            SpeechError: `storage`; `speech_failed`, no sound came.
        """
        path = self._path(name)
        partial = path.with_suffix(".part")
        with _storage_errors():
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._make_room()
            stream = io.FileIO(partial, "w")
        try:
            recording = Recording(stream, self._sound_bytes, rate_hz)
            yield recording
            recording.end()
            with _storage_errors():
                recording.path = partial.replace(path)
        finally:
            with contextlib.suppress(OSError):  # what went wrong before it is told
                stream.close()
                partial.unlink(missing_ok=True)
        self._used[path] = next(self._uses)

    def _make_room(self) -> None:
        """For the longest sound there may be; what an earlier process left half made goes first."""
        kept: dict[Path, os.stat_result] = {}
        for path in self._folder.iterdir():
            if path.suffix == ".wav":
                kept[path] = path.stat()
            else:
                path.unlink()
        total = sum(status.st_size for status in kept.values())
        for path in sorted(kept, key=lambda path: (self._used.get(path, -1), kept[path].st_mtime_ns)):
            if total + self._sound_bytes <= self._kept_bytes:
                return
            path.unlink()
            self._used.pop(path, None)
            total -= kept[path].st_size

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.wav"


class Recording:
    """One sound that is being written."""

    def __init__(self, stream: io.FileIO, sound_bytes: int, rate_hz: int | None) -> None:
        self._stream = stream
        self._sound_bytes = sound_bytes
        self._rate_hz = rate_hz
        self._head = b""
        self._data_bytes = 0
        self.path = Path(str(stream.name))
        """Where it is: first on its way, then kept."""
        if rate_hz is not None:
            self._put(header(rate_hz, 0))

    def write(self, data: bytes) -> None:
        """Append what came.

        Raises:
            SpeechError: `speech_failed`, it is too long or no WAV; `storage`.
        """
        if self._rate_hz is None:
            self._head += data
            if len(self._head) < _HEADER.size:
                return
            self._rate_hz = rate_in(self._head[: _HEADER.size])
            self._put(self._head[: _HEADER.size])
            data, self._head = self._head[_HEADER.size :], b""
        self._data_bytes += len(data)
        if self._data_bytes > self._sound_bytes - _HEADER.size:
            seconds = self._sound_bytes // (_BYTES_A_SAMPLE * self._rate_hz)
            raise SpeechError(Reason.SPEECH_FAILED, f"the text takes longer than {seconds} s to say")
        self._put(data)

    def end(self) -> None:
        """Write into the head what was not known before.

        Raises:
            SpeechError: `speech_failed`, no sound came; `storage`.
        """
        whole = self._data_bytes - self._data_bytes % _BYTES_A_SAMPLE
        if self._rate_hz is None or not whole:
            raise SpeechError(Reason.SPEECH_FAILED, "no sound came of the text")
        with _storage_errors():
            self._stream.truncate(_HEADER.size + whole)
            self._stream.seek(0)
        self._put(header(self._rate_hz, whole))

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        with _storage_errors():
            while left:
                left = left[self._stream.write(left) or 0 :]
