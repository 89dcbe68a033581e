"""A village's loudspeaker without one: a private PulseAudio daemon with null sinks, and ears at their monitors.

The sinks run in real time. Everything here is a context manager and dies with it. `Sink.device` is what a node is
configured with, `Daemon.environment` what it needs around it (also this process, if libasound runs in it).
"""

import math
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

RATE_HZ = 48_000
Samples = npt.NDArray[np.int16]

PATIENCE_S = 90.0
"""Longest wait for anything here: a deadline, not a measure. A loaded machine takes a second to start the daemon."""
CHUNK_BYTES = 4_096
SILENCE_PEAK = 16
"""Of 32,768: below this a sample counts as silence; -66 dBFS."""


def boottime_s() -> float:
    """CLOCK_BOOTTIME, the clock of the agent's events."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_until(condition: Callable[[], bool], *, what: str, timeout_s: float = PATIENCE_S) -> None:
    """Look every 5 ms until `condition` holds. Raises TimeoutError, naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(0.005)


@contextmanager
def running(
    command: list[str], *, environment: Mapping[str, str], **popen: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that ends with the block: SIGTERM, after 2 s SIGKILL."""
    child: subprocess.Popen[bytes] = subprocess.Popen(command, env=dict(environment), **popen)  # type: ignore[call-overload]
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout:
            child.stdout.close()


STREET = "street"
"""The sink of a daemon with one card: what stands at several poles at once hears all of them."""


class Daemon:
    """PulseAudio with one null sink for each name, each kept awake at 20 ms latency.

    An idle null sink falls back to a 2 s buffer, which eats the head of whatever comes next.
    """

    def __init__(self, *sinks: str, one_card: bool = False) -> None:
        """With `one_card` the sinks are channels of one card, STREET: recorded together, to the sample."""
        self.sinks = sinks or ("village",)
        self._one_card = one_card
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loa-sound-")))
            self.socket = folder / "native"
            self.environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("PULSE_")},
                "PULSE_SERVER": f"unix:{self.socket}",
                "PULSE_SINK": self.sinks[0],
                "PULSE_COOKIE": str(folder / "cookie"),
                "ALSA_CONFIG_PATH": str(folder / "alsa.conf"),
            }
            (folder / "alsa.conf").write_text(self._alsa_config())
            private = {**self.environment, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "LC_ALL": "C"}
            private.pop("PULSE_SERVER")
            self._log = stack.enter_context((folder / "log").open("wb"))
            command = [
                "pulseaudio",
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
                # As root it would take real-time priority and, with it, a limit of 200 ms of processor time without
                # a sleep (RLIMIT_RTTIME): where the host holds a virtual machine still that long, the kernel kills it.
                "--realtime=no",
                "--no-cpu-limit",
                "-F",
                "/dev/null",
            ]
            command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}"]
            for module in self._modules():
                command += ["-L", module]
            child = stack.enter_context(running(command, environment=private, stdout=self._log, stderr=self._log))
            wait_until(lambda: self.socket.exists() or child.poll() is not None, what="PulseAudio's socket")
            if child.poll() is not None:
                raise RuntimeError(f"pulseaudio ended with {child.returncode}: {(folder / 'log').read_text()[-500:]}")
            self._stack = stack
            self._keep_awake()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _keep_awake(self) -> None:
        """Keep every sink at 20 ms latency."""
        for sink in self.sinks:
            awake = [
                "pacat",
                "--raw",
                "--format=s16le",
                "--rate=48000",
                "--channels=1",
                "--latency-msec=20",
                "-d",
                sink,
                "/dev/zero",
            ]
            self._stack.enter_context(running(awake, environment=self.environment, stderr=self._log))

    def unplug(self) -> None:
        """All cards are gone, and whatever played on them has nowhere to go."""
        self._control("unload-module", "module-null-sink")

    def plug(self) -> None:
        """They are there again."""
        for module in self._modules():
            self._control("load-module", *module.split())
        self._keep_awake()

    def _control(self, *words: str) -> None:
        command = ["pactl", "--server", f"unix:{self.socket}", *words]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=PATIENCE_S)

    def device(self, sink: str | None = None) -> str:
        """The ALSA device that leads to this sink (the first if none is named), within `environment`."""
        return f"loa_{sink or self.sinks[0]}"

    def _modules(self) -> list[str]:
        plain = f"norewinds=1 rate={RATE_HZ} format=s16le"
        if not self._one_card:
            return [f"module-null-sink sink_name={sink} channels=1 {plain}" for sink in self.sinks]
        places = [f"aux{number}" for number in range(len(self.sinks))]
        card = f"module-null-sink sink_name={STREET} channels={len(places)} channel_map={','.join(places)} {plain}"
        single = "channels=1 channel_map=mono remix=no"
        return [
            card,
            *(
                f"module-remap-sink sink_name={sink} master={STREET} master_channel_map={place} {single}"
                for sink, place in zip(self.sinks, places, strict=True)
            ),
        ]

    def _alsa_config(self) -> str:
        """Each sink as a pcm. Underruns are not handled there: the plug-in takes every short queue for one."""
        pcms = [
            f'pcm.loa_{sink} {{ type pulse server "unix:{self.socket}" device {sink} handle_underrun 0 '
            f'hint {{ show on description "{sink}" }} }}'
            for sink in self.sinks
        ]
        return "\n".join(["</usr/share/alsa/alsa.conf>", *pcms, ""])

    def recorder(self, sink: str | None = None) -> "Recorder":
        """Ears at this sink (the first if none is named)."""
        return Recorder(environment=self.environment, sink=sink or self.sinks[0])


class Recorder:
    """What a sink sounds, sample by sample, from the moment the block is entered.

    One thread reads parec and puts chunks with their times into a queue; whoever asks takes them out, so a recorder
    belongs to one asking thread. A time is right to about 15 ms, and never early.
    """

    def __init__(self, *, environment: Mapping[str, str], sink: str) -> None:
        self._environment = environment
        self._sink = sink
        self._chunks: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        self._heard = bytearray()
        self._origin_s = math.inf

    def __enter__(self) -> Self:
        command = ["parec", "--raw", "--format=s16le", "--rate=48000", "--channels=1", "--latency-msec=10"]
        with ExitStack() as stack:
            child = running(
                [*command, "-d", f"{self._sink}.monitor"],
                environment=self._environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._child = stack.enter_context(child)
            self._thread = threading.Thread(target=self._read, name=f"ears-{self._sink}", daemon=True)
            self._thread.start()
            self.wait(lambda: len(self._heard) > 0, what="the first recorded sample", timeout_s=PATIENCE_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        self._thread.join(5)
        self._stack.close()

    def _read(self) -> None:
        assert self._child.stdout
        descriptor = self._child.stdout.fileno()
        while chunk := os.read(descriptor, CHUNK_BYTES):
            self._chunks.put((boottime_s(), chunk))

    def _take(self, timeout_s: float) -> None:
        try:
            arrived_s, chunk = self._chunks.get(timeout=timeout_s)
        except Empty:
            return
        self._heard += chunk
        # The chunk that waited least says best when sample 0 sounded.
        self._origin_s = min(self._origin_s, arrived_s - len(self._heard) / 2 / RATE_HZ)

    def samples(self, since: int = 0) -> Samples:
        """All that was heard from sample `since` until now."""
        while not self._chunks.empty():
            self._take(0)
        return np.frombuffer(bytes(self._heard[since * 2 : len(self._heard) // 2 * 2]), dtype="<i2")

    def wait(self, condition: Callable[[], bool], *, what: str, timeout_s: float) -> None:
        """Listen until `condition` holds. Raises TimeoutError, naming `what`; RuntimeError if parec is gone."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if (code := self._child.poll()) is not None:
                raise RuntimeError(f"{what}: parec ended with {code}: is the sound server gone?")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout_s} s")
            self._take(0.02)

    def listen(self, seconds: float) -> Samples:
        """All that sounds from now on for so many seconds; returns from the first sample that was not yet here.

        What parec has delivered may lie behind the sink by as long as the machine stood still: the end is counted from
        the present instant, not from the newest sample.
        """
        since = len(self.samples())
        until = max(since + round(seconds * RATE_HZ), self.sample_at(boottime_s() + seconds)) * 2
        self.wait(lambda: len(self._heard) >= until, what="recording", timeout_s=seconds + PATIENCE_S)
        return self.samples(since)

    def time_of(self, sample: int) -> float:
        """When this sample sounded, CLOCK_BOOTTIME in s."""
        return self._origin_s + sample / RATE_HZ

    def sample_at(self, boottime: float) -> int:
        """Which sample sounded then (may lie in the future)."""
        return round((boottime - self._origin_s) * RATE_HZ)

    def wait_for_sound(self, *, timeout_s: float = PATIENCE_S, since: int = 0, peak: int = SILENCE_PEAK) -> int:
        """The first sample louder than `peak`, from `since` on. Raises TimeoutError."""
        found = since
        deadline = time.monotonic() + timeout_s
        while True:
            loud = np.flatnonzero(np.abs(self.samples(found).astype(np.int32)) > peak)
            if loud.size:
                return found + int(loud[0])
            found = len(self._heard) // 2
            if time.monotonic() > deadline:
                raise TimeoutError(f"no sound within {timeout_s} s")
            self._take(0.02)

    def wait_for_silence(self, *, quiet_s: float, timeout_s: float, peak: int = SILENCE_PEAK) -> int:
        """The first of at least `quiet_s` of samples not louder than `peak` at the end of what is heard."""
        deadline = time.monotonic() + timeout_s
        checked, last_loud = 0, -1
        while True:
            loud = np.flatnonzero(np.abs(self.samples(checked).astype(np.int32)) > peak)
            if loud.size:
                last_loud = checked + int(loud[-1])
            checked = len(self._heard) // 2
            if checked - 1 - last_loud >= quiet_s * RATE_HZ:
                return last_loud + 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"not silent for {quiet_s} s within {timeout_s} s")
            self._take(0.02)


def installed() -> list[str]:
    """Programs this rig needs that are not on this machine."""
    return [program for program in ("pulseaudio", "pacat", "parec") if not shutil.which(program)]
