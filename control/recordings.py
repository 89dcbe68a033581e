"""What a `file` source must say of its file: SHA-256 and size, and whether nodes can play it at all.

Reads local files, or fetches from http(s) with the standard library; both bounded by the largest an order may name.
"""

import hashlib
import urllib.error
import urllib.request
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from agent.messages.sources import MAX_FILE_BYTES
from control.problems import InputError, WorldError

CHUNK_BYTES = 1024 * 1024
FETCH_TIMEOUT_S = 15
"""Silence on the line after which a fetch is given up."""

HEAD_BYTES = 16
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"ID3", "MP3"),
    (0, b"fLaC", "FLAC"),
    (0, b"RIFF", "WAV"),
    (0, b"OggS", "Ogg"),
    (4, b"ftyp", "MP4"),
    (0, b"\x47", "MPEG-TS"),
)
EXACT = frozenset({"MP3", "FLAC", "WAV"})
"""Formats of which libVLC loses nothing at the head (design section 8)."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A file as an order names it; `format` is what its first bytes say."""

    sha256: str
    bytes: int
    format: str


def is_uri(text: str) -> bool:
    """Whether this names something to be fetched, and no local file."""
    return text.startswith(("http://", "https://"))


def measured(path_or_uri: str) -> Recording:
    """Count and hash the bytes.

    Raises:
        InputError: no such file, empty, too large, or no format that nodes play.
        WorldError: the host does not give it.
    """
    try:
        with _opened(path_or_uri) as file:
            return _measured(file, path_or_uri)
    except urllib.error.URLError as error:
        raise WorldError(f"cannot fetch {path_or_uri}: {error.reason}") from None
    except TimeoutError:
        raise WorldError(f"cannot fetch {path_or_uri}: nothing came for {FETCH_TIMEOUT_S} s") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path_or_uri}: {getattr(error, 'strerror', None) or error}") from None


def _opened(path_or_uri: str) -> AbstractContextManager[BinaryIO]:
    if is_uri(path_or_uri):
        answer = urllib.request.urlopen(path_or_uri, timeout=FETCH_TIMEOUT_S)  # noqa: S310  is_uri allows http(s) only
        return cast("AbstractContextManager[BinaryIO]", answer)
    return Path(path_or_uri).open("rb")


def _measured(file: BinaryIO, name: str) -> Recording:
    digest = hashlib.sha256()
    head = b""
    count = 0
    while chunk := file.read(CHUNK_BYTES):
        head = head or chunk[:HEAD_BYTES]
        digest.update(chunk)
        count += len(chunk)
        if count > MAX_FILE_BYTES:
            raise InputError(f"{name} is larger than {MAX_FILE_BYTES} bytes, the most a node takes")
    if (kind := _format(head)) is None:
        raise InputError(f"{name} is not MP3, FLAC, WAV, Ogg, MP4 or MPEG-TS: no node would play it")
    return Recording(digest.hexdigest(), count, kind)


def _format(head: bytes) -> str | None:
    for offset, magic, name in _MAGIC:
        if head[offset:].startswith(magic):
            return name
    # An MPEG audio frame: eleven bits of sync, then a layer that is not the reserved one (ADTS AAC has it).
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x06:  # noqa: PLR2004  see above
        return "MP3"
    return None
