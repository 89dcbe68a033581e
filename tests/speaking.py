"""What the tests of speech share: a synthesiser with its inbox, and small honest programs that stand for a voice."""

import contextlib
import math
import struct
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from agent.messages.events import FileReady, SourceFailed
from agent.messages.reasons import Reason
from agent.messages.sources import Speech
from agent.speech import Limits, Synthesiser

News = FileReady | SourceFailed

DEADLINE_S = 60
"""Far beyond what anything here takes; reaching it is a failure."""
NOTICE = (
    "Kính thưa bà con nhân dân thôn hai. Ngày mai từ bảy giờ sáng, điện sẽ bị cắt để sửa chữa đường dây. "
    "Đề nghị bà con chuẩn bị nước sinh hoạt."
)
"""35 syllables."""


class Speaking:
    """A Synthesiser and its inbox."""

    def __init__(
        self,
        folder: Path,
        *,
        espeak: str = "espeak-ng",
        piper: Path | None = None,
        voices: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.inbox: SimpleQueue[News] = SimpleQueue()
        self.folder = folder / "speech"
        self.synthesiser = Synthesiser(
            folder=self.folder, post=self.inbox.put, piper=piper, voices=voices, espeak=espeak, limits=limits
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.synthesiser.close()

    def news(self) -> News:
        return self.inbox.get(timeout=DEADLINE_S)

    def spoken(self, token: int, text: str, language: str = "vi") -> Path:
        """The sound of a text."""
        self.synthesiser.speak(token, Speech(text, language))
        return self.ready(token)

    def ready(self, token: int) -> Path:
        news = self.news()
        assert isinstance(news, FileReady), news
        assert news.token == token
        return Path(news.path)

    def failed(self, token: int) -> tuple[Reason, str]:
        news = self.news()
        assert isinstance(news, SourceFailed), news
        assert news.token == token
        return news.reason, news.detail


def seconds(path: Path) -> float:
    """How long a sound is, by its head, which must be true."""
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        data = sound.readframes(sound.getnframes())
        assert len(data) == 2 * sound.getnframes()
        assert path.stat().st_size == 44 + len(data)
        frames, rate_hz = sound.getnframes(), sound.getframerate()
        return float(frames / rate_hz)


def rms_dbfs(path: Path) -> float:
    with wave.open(str(path)) as sound:
        samples = struct.unpack(f"<{sound.getnframes()}h", sound.readframes(sound.getnframes()))
    return 20 * math.log10(math.sqrt(sum(sample * sample for sample in samples) / len(samples)) / 32_768)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.005)


def espeak_that(folder: Path, does: str) -> str:
    """A program with espeak-ng's voices that writes down its process and then does this, in shell, with `$text`.

    A limit on files that a test sets for the node itself is not the program's.
    """
    path = folder / "espeak-ng"
    path.write_text(
        "#!/bin/sh\nulimit -S -f unlimited\n"
        f"if [ \"$1\" = --voices ]; then exec espeak-ng --voices; fi\ncd '{folder}'\n"
        f'text=$(cat)\necho $$ >>pids\nsay() {{ printf %s "$text" | espeak-ng "$@"; }}\n{does}\n'
    )
    path.chmod(0o755)
    return str(path)


def pids(folder: Path) -> list[int]:
    """The processes of `espeak_that`, in the order in which they began to speak."""
    path = folder / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def runs(pid: int) -> bool:
    """Whether a process of this number lives; one that is dead and not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def piper_voice(folder: Path, name: str = "vi_VN-test-medium", rate: object = 16_000) -> Path:
    """The files of a voice: a model that nobody reads, and its description."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(b"model")
    (folder / f"{name}.onnx.json").write_text(f'{{"audio": {{"sample_rate": {rate}}}}}')
    return folder


def fake_piper(folder: Path, does: str = "") -> Path:
    """Stands for Piper: asks for the same arguments, writes them and the text down, and gives 10 ms a character.

    The real one needs a model of 60 MB; what of it is used here is its command line alone.
    """
    path = folder / "piper"
    path.write_text(
        f"#!{sys.executable} -I\n"
        "import argparse, pathlib, struct, sys\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--model', type=pathlib.Path, required=True)\n"
        "parser.add_argument('--output-raw', action='store_true', required=True)\n"
        "options = parser.parse_args()\n"
        "assert options.model.read_bytes() == b'model'\n"
        "text = sys.stdin.buffer.read().decode()\n"
        f"pathlib.Path({str(folder)!r}, 'texts').open('a').write(text + '\\n')\n"
        f"{does}\n"
        "sys.stdout.buffer.write(struct.pack('<h', 8000) * 160 * len(text))\n"
    )
    path.chmod(0o755)
    return path


def texts(folder: Path) -> list[str]:
    """What `fake_piper` was given."""
    path = folder / "texts"
    return path.read_text().splitlines() if path.exists() else []


def open_files() -> set[str]:
    """What this process has open."""
    names = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            names.add(f"{entry.name}: {entry.readlink()}")
    return names
