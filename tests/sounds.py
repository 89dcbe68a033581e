"""Sounds for tests, made on the spot: one sweep in every format that a node plays, and bodies that it must not."""

import struct
from pathlib import Path

from rig.heard import encode, sweep, write_wav
from rig.sound import Samples

FORMATS = {
    "wav": (),
    "flac": (),
    "mp3": ("-b:a", "128k"),
    "ogg": ("-c:a", "libvorbis"),
    "opus": ("-c:a", "libopus"),
    "aac": ("-c:a", "aac"),
    "ts": ("-c:a", "aac"),
    "mp4": ("-c:a", "aac"),
}


class Sounds:
    """A folder that holds one sweep in many formats, each made when first asked for."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.sent: Samples = sweep(seconds)
        self._wav = write_wav(folder / "sweep.wav", self.sent)

    def file(self, kind: str) -> Path:
        path = self.folder / f"sweep.{kind}"
        return path if path.exists() else encode(self._wav, path, *FORMATS[kind])


def atom(kind: bytes, *content: bytes) -> bytes:
    """A QuickTime atom."""
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def reference_movie(address: str, *, ftyp: bool) -> bytes:
    """A QuickTime movie that holds nothing but a reference to another."""
    url = address.encode() + b"\0"
    reference = atom(b"rdrf", bytes(4), b"url ", struct.pack(">I", len(url)), url)
    movie = atom(b"moov", atom(b"rmra", atom(b"rmda", reference)))
    return (atom(b"ftyp", b"qt  ", bytes(4), b"qt  ") if ftyp else b"") + movie


def bodies_that_name(address: str) -> dict[str, bytes]:
    """Contents that make a player left to itself connect to `address`."""
    return {
        "HLS playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{address}/a.ts\n#EXT-X-ENDLIST\n".encode(),
        "HLS master": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\n{address}/live.m3u8\n".encode(),
        "m3u": f"#EXTM3U\n#EXTINF:1,x\n{address}/a.mp3\n".encode(),
        "bare list": f"{address}/a.mp3\n".encode(),
        "pls": f"[playlist]\nFile1={address}/a.mp3\nNumberOfEntries=1\n".encode(),
        "xspf": f'<?xml version="1.0"?><playlist><trackList><track><location>{address}/a</location>'
        "</track></trackList></playlist>".encode(),
        "html": f'<!DOCTYPE html><html><body><audio src="{address}/a.mp3"></body></html>'.encode(),
        "QuickTime reference": reference_movie(f"{address}/a.mp4", ftyp=False),
        "QuickTime reference as MP4": reference_movie(f"{address}/a.mp4", ftyp=True),
    }
