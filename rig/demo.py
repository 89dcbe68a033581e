"""`make run`: the whole system on this machine, and one signed broadcast followed from order to receipt.

Broker with fresh certificates, node with a simulated relay, the machine's sound server or a null sink; then the live
table until Ctrl-C. With `--once` it ends after the broadcast: 0 if it was heard and recorded, else 1 and the reason.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import yaml

from agent.messages.commands import Play
from agent.messages.sources import File, Source
from agent.messages.words import Kind
from control import keys as control_keys
from rig.ear import Ear
from rig.machine_sound import machine_sound
from rig.sound import Recorder, boottime_s
from rig.village import OPERATOR, SITE, Node, Station, Switched
from rig.web import WebServer, serve

ANNOUNCEMENT = "Đài truyền thanh xã xin thông báo. Đây là buổi phát thử. Xin cảm ơn bà con đã lắng nghe."
TITLE = "Thông báo phát thử"
BROADCAST_WAIT_S = 60.0


class DemoError(RuntimeError):
    """The demonstration did not come to its end; the text says where."""


@dataclass
class Timeline:
    """What has happened, in ms since the order was published; each step is told once."""

    jti: str
    began_s: float = 0.0
    told: dict[str, float] = field(default_factory=dict)
    record_seq: str = "not known yet"

    def tell(self, step: str, at_s: float, detail: str = "") -> None:
        """Print a step the first time it is seen."""
        if step not in self.told:
            self.told[step] = at_s
            print(f"  {(at_s - self.began_s) * 1_000:8.0f} ms  {step:<34} {detail}", flush=True)


def main() -> None:
    """Entry point of `python -m rig.demo`."""
    parser = argparse.ArgumentParser(description="The whole system on this machine.")
    parser.add_argument("--once", action="store_true", help="end after one broadcast")
    once = parser.parse_args().once
    try:
        with ExitStack() as stack:
            _show(stack, once=once)
    except KeyboardInterrupt:
        print()
    except (DemoError, TimeoutError, OSError, RuntimeError) as error:
        sys.exit(f"make run: {error}")


def _show(stack: ExitStack, *, once: bool) -> None:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="loa-run-")))
    print("Loa: one commune on this machine. / Một xã trên máy này.")
    sound = stack.enter_context(machine_sound())
    print(f"  sound: {sound.description}")
    station = stack.enter_context(Station(folder))
    print(f"  broker: mosquitto on {station.broker.url}, fresh certificates")
    ear = stack.enter_context(station.listen())
    node = stack.enter_context(Node(station, sound, changes={"heartbeat_s": 10}))
    print(f"  node: {SITE}/{node.name}, simulated relay on GPIO 17")
    announcement = speak(folder)
    web = stack.enter_context(WebServer({"/announcement.mp3": serve(announcement, "audio/mpeg")}))
    recorder = stack.enter_context(sound.recorder())
    order = Play(
        item="thong-bao-1",
        kind=Kind.NORMAL,
        title=TITLE,
        sources=(_source(announcement, web.uri("/announcement.mp3")),),
        max_duration_s=60,
    )
    signed = station.sign(order)
    print(f"\n  signed order {signed.jti}: play “{TITLE}”")
    timeline = Timeline(signed.jti)
    _follow(timeline, node, ear, recorder, lambda: station.send(signed))
    _judge(timeline, ear, order.item)
    if not once:
        _watch(station, node, ear, folder)


def speak(folder: Path) -> bytes:
    """The announcement in Vietnamese, spoken by espeak-ng, as MP3.

    Raises:
        DemoError: a program is missing or failed.
    """
    wav, mp3 = folder / "announcement.wav", folder / "announcement.mp3"
    for command in (
        ["espeak-ng", "-v", "vi", "-s", "150", "-w", str(wav), ANNOUNCEMENT],
        ["ffmpeg", "-loglevel", "error", "-y", "-i", str(wav), "-ar", "48000", "-b:a", "96k", str(mp3)],
    ):
        if shutil.which(command[0]) is None:
            raise DemoError(f"{command[0]} is not installed: run scripts/setup run")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise DemoError(f"{command[0]} failed: {done.stderr.strip()[-200:]}")
    return mp3.read_bytes()


def _source(announcement: bytes, uri: str) -> Source:
    return Source(file=File(uri=uri, sha256=sha256(announcement).hexdigest(), bytes=len(announcement)))


def _follow(timeline: Timeline, node: Node, ear: Ear, recorder: Recorder, publish: Callable[[], None]) -> None:
    """Publish, then tell each step when it is seen, until the record has come and the relay is off."""
    heard_before = len(recorder.samples())
    timeline.began_s = boottime_s()
    publish()
    timeline.tell("published", timeline.began_s, "by mosquitto_pub, over TLS")
    deadline = time.monotonic() + BROADCAST_WAIT_S
    while not _complete(timeline):
        if time.monotonic() > deadline:
            said = node.log_text()[-1_500:]
            raise DemoError(f"not everything came within {BROADCAST_WAIT_S:.0f} s; the node said:\n{said}")
        for when, line in list(node.log):
            _tell_line(timeline, when, line)
        for change in node.switched():
            _tell_relay(timeline, change)
        if "first sound heard" not in timeline.told:
            heard_before = _hear(timeline, recorder, heard_before)
        ear.take(0.02)
        for outcome in ear.of("command_outcome"):
            if outcome["jti"] == timeline.jti:
                timeline.tell("outcome received by the server", boottime_s(), f"{outcome['outcome']}, signed")
        for record in ear.of("play_record"):
            detail = f"{record['result']}, {record['played_s']} s, {record['rms_dbfs']} dBFS RMS, signed"
            timeline.tell("record received by the server", boottime_s(), detail)


def _hear(timeline: Timeline, recorder: Recorder, since: int) -> int:
    """Tell of the first sound; what has been listened to need not be listened to again."""
    listened = len(recorder.samples())
    with contextlib.suppress(TimeoutError):
        onset = recorder.wait_for_sound(timeout_s=0.0, since=since)
        timeline.tell("first sound heard", recorder.time_of(onset), "at the sink")
    return listened


def _complete(timeline: Timeline) -> bool:
    return {"record received by the server", "record acknowledged", "relay off"} <= timeline.told.keys()


def _tell_line(timeline: Timeline, when: float, line: str) -> None:
    for text, step in (
        (f"{timeline.jti} received", "received"),
        (f"{timeline.jti} verified", "verified and accepted"),
        (": sounding", "first sample sent to the card"),
        (": played", "finished"),
        ("play record stored", "record stored"),
        (f"report {timeline.record_seq} acknowledged", "record acknowledged"),
    ):
        if text in line and when >= timeline.began_s:
            timeline.tell(step, when, line.split("INFO", 1)[-1].strip())
            if step == "record stored":
                timeline.record_seq = line.rsplit(" ", 1)[-1]


def _tell_relay(timeline: Timeline, change: Switched) -> None:
    if change.at_s >= timeline.began_s:
        timeline.tell("relay on" if change.on else "relay off", change.at_s, f"zone {change.zone}")


def _judge(timeline: Timeline, ear: Ear, item: str) -> None:
    """Say whether it was what a village expects.

    Raises:
        DemoError: it was not.
    """
    (record,) = [each for each in ear.of("play_record") if each["item"] == item]
    if record["result"] != "played":
        raise DemoError(f"the record says {record['result']}: {record['reason']}")
    if "first sound heard" not in timeline.told:
        raise DemoError("the record says played, but nothing was heard at the sink")
    if not timeline.told["relay on"] < timeline.told["first sound heard"] < timeline.told["relay off"]:
        raise DemoError("sound and relay came in the wrong order")
    print("\n  heard, recorded, acknowledged. / Đã nghe, đã ghi nhật ký, đã xác nhận.", flush=True)


def _watch(station: Station, node: Node, ear: Ear, folder: Path) -> None:
    """The live table of `loactl watch`, until Ctrl-C; the files to try more commands stay as long."""
    control_keys.store(station.operator, folder / "operator.key")
    public = next(state["public"] for state in reversed(ear.states) if "public" in state)
    settings = {
        "broker": station.broker.url,
        "ca": str(station.authority.ca),
        "certificate": str(station.control.certificate),
        "key": str(station.control.key),
        "site": SITE,
        "signing_key": str(folder / "operator.key"),
        "kid": "hd-operator",
        "authority": OPERATOR,
        "nodes": {node.name: public},
    }
    config = folder / "control.yaml"
    config.write_text(yaml.safe_dump(settings))
    _tell_more(config, node.config)
    subprocess.run([sys.executable, "-m", "control", "watch", "--config", str(config)], check=False)


def _tell_more(control: Path, node: Path) -> None:
    """What to type in another terminal, while it can be read: the table takes the whole screen."""
    programs = Path(sys.executable).parent
    order = f"--config {control} --to node:{SITE}/{node.parent.name} --wait 10"
    print("\n  more, in a second terminal: / thử thêm ở cửa sổ thứ hai:")
    print(f'    {programs}/loactl say "Xin chào bà con." {order}')
    print(f'    {programs}/loactl stop --all --reason "thử loa" {order}')
    print(f"    {programs}/loa-agent status --config {node}")
    print("  Ctrl-C ends everything. / Ctrl-C để kết thúc.", flush=True)
    if sys.stdin.isatty():
        with contextlib.suppress(EOFError):
            input("  Enter shows the live table. / Nhấn Enter để xem bảng trực tiếp. ")


if __name__ == "__main__":
    main()
