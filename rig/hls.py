"""Real HLS: ffmpeg cuts and lists, a web server on a loopback port serves the folder."""

import http.server
import os
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from rig.sound import running, wait_until

SEGMENT_S = 2
LISTED = 6
"""Segments in a live window: as many as players are advised to be given (RFC 8216, 6.2.2)."""
ENCODE_TIMEOUT_S = 60
SOUND = ("-c:a", "aac", "-b:a", "128k", "-ar", "48000", "-ac", "1")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the folder, and counts nothing on the console."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class HlsServer:
    """A folder that is served from `__enter__` to `__exit__`, and what ffmpeg puts into it."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hls-")))
            handler = partial(_Quiet, directory=str(self.folder))
            server = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            self.port: int = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, name="hls", daemon=True)
            thread.start()
            stack.callback(thread.join, 5)
            stack.callback(server.shutdown)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def uri(self, name: str) -> str:
        """Where this file of the folder is found."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def cut(self, wav: Path, name: str, *options: str) -> str:
        """A recording as an ended playlist in the folder `name`, `options` for the muxer; its address."""
        (self.folder / name).mkdir()
        listed = self.folder / name / "list.m3u8"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-i",
            str(wav),
            *SOUND,
            "-f",
            "hls",
            "-hls_time",
            str(SEGMENT_S),
        ]
        command += ["-hls_playlist_type", "vod", *options, str(listed)]
        subprocess.run(command, check=True, timeout=ENCODE_TIMEOUT_S, stdin=subprocess.DEVNULL)
        return self.uri(f"{name}/list.m3u8")

    def live(self, name: str = "live", *, frequency_hz: int = 440) -> str:
        """A tone without end under a master playlist; what the window has left behind is deleted. Its address."""
        (self.folder / name).mkdir()
        tone = f"sine=frequency={frequency_hz}:sample_rate=48000"
        command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-f", "lavfi", "-i", tone, *SOUND, "-f", "hls"]
        command += ["-hls_time", str(SEGMENT_S), "-hls_list_size", str(LISTED), "-hls_flags", "delete_segments"]
        command += ["-master_pl_name", "master.m3u8", str(self.folder / name / "list.m3u8")]
        self._stack.enter_context(
            running(command, environment=os.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        )
        wait_until((self.folder / name / "master.m3u8").exists, what="the master playlist")
        return self.uri(f"{name}/master.m3u8")
