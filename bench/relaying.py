"""What an HLS relay costs the node, beside mpv that plays the same one."""

import subprocess
import time

from agent.messages.commands import Play
from agent.messages.sources import Relay, Source
from agent.messages.words import Kind
from bench.budget import UnsoundError
from bench.idle import cpu_s, memory_mib
from rig.calm import Machine
from rig.hls import HlsServer
from rig.sound import Daemon, running
from rig.village import Node, Station

WARM_S = 20.0
RELAYED_S = 60.0


def run(station: Station, sound: Daemon, _machine: Machine) -> None:
    """Print processor and memory of both while the same live stream sounds; memory at the beginning and at the end."""
    with (
        HlsServer() as hls,
        Node(station, sound) as node,
        station.listen() as ear,
        sound.recorder() as recorder,
    ):
        uri = hls.live()
        play = Play("relayed", Kind.NORMAL, "relayed", (Source(relay=Relay(uri)),), round(WARM_S + RELAYED_S + 5))
        station.send(station.sign(play))
        recorder.wait_for_sound(timeout_s=30)
        time.sleep(WARM_S)
        began_s, before = cpu_s(node.pid), memory_mib(node.pid)
        time.sleep(RELAYED_S)
        ours, after = (cpu_s(node.pid) - began_s) / RELAYED_S, memory_mib(node.pid)
        record = ear.record("relayed")
        line = ["mpv", "--really-quiet", "--no-video", "--ao=alsa", f"--audio-device=alsa/{sound.device()}", uri]
        with running(line, environment=sound.environment, stdin=subprocess.DEVNULL) as mpv:
            time.sleep(WARM_S)
            began_s = cpu_s(mpv.pid)
            time.sleep(RELAYED_S)
            theirs, of_mpv = (cpu_s(mpv.pid) - began_s) / RELAYED_S, memory_mib(mpv.pid)
    print(f"\nrelaying HLS (AAC, 128 kbit/s, mono) for {RELAYED_S:.0f} s, after {WARM_S:.0f} s")
    print(f"  Loa  {ours:.2%} of a core; PSS {before['Pss']:.1f} -> {after['Pss']:.1f} MiB, RSS {after['Rss']:.1f}")
    print(f"  mpv  {theirs:.2%} of a core; PSS {of_mpv['Pss']:.1f} MiB, RSS {of_mpv['Rss']:.1f}")
    print(f"  underruns: {record.get('underruns', 0)}")
    if record["result"] != "played" or record.get("underruns", 0):
        raise UnsoundError(f"the relay was {record}")
