"""The sound of this machine: its own sound server where one runs and has a real sink, else a private null sink.

Either way it can be listened to, so that `make run` may say that it *heard* the broadcast.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.sound import Daemon, Recorder

ASK_S = 3.0


@dataclass(frozen=True, slots=True)
class ServerSound:
    """An existing sound server: played to and listened at through its default sink."""

    sink: str
    environment: dict[str, str]

    @property
    def description(self) -> str:
        """One line for a person."""
        return f"this machine's sound server, sink {self.sink}"

    def device(self, _sink: str | None = None) -> str:
        """The ALSA device that leads there."""
        return "loa_machine"

    def recorder(self, _sink: str | None = None) -> Recorder:
        """Ears at the sink."""
        return Recorder(environment=self.environment, sink=self.sink)


class NullSound(Daemon):
    """A private server with a null sink: nobody hears it but the recorder."""

    @property
    def description(self) -> str:
        """One line for a person."""
        return "no sound server here: a null sink, listened to by the recorder"


@contextmanager
def machine_sound() -> Iterator[ServerSound | NullSound]:
    """Whichever this machine has."""
    sink = _default_sink()
    if sink is None:
        with NullSound() as daemon:
            yield daemon
        return
    with tempfile.TemporaryDirectory(prefix="loa-alsa-") as folder:
        alsa = Path(folder) / "alsa.conf"
        pcm = f"pcm.loa_machine {{ type pulse device {sink} handle_underrun 0 }}"
        alsa.write_text(f"</usr/share/alsa/alsa.conf>\n{pcm}\n")
        yield ServerSound(sink, {**os.environ, "ALSA_CONFIG_PATH": str(alsa)})


def _default_sink() -> str | None:
    """The default sink of the running sound server, unless it is the dummy that means "no card"."""
    try:
        done = subprocess.run(
            ["pactl", "get-default-sink"],
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
            env={**os.environ, "PULSE_AUTOSPAWN": "0", "PULSE_CLIENTCONFIG": "/dev/null"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    sink = done.stdout.strip()
    return sink if done.returncode == 0 and sink and not sink.startswith(("auto_null", "@")) else None
