"""A commune within one container, made with the commands of its own packages as the guides tell: keys, broker, a pole.

In place of a loudspeaker there is a sound server with a null sink, which records what would be heard.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from rig.container import Container
from rig.sound import RATE_HZ, SILENCE_PEAK, Samples

SITE, NODE = "hoang-dao", "hd-03"
HOME = "/root/commune"
HEARD = "/var/tmp/heard.raw"
SOUND_SOCKET = "/run/village-sound/native"

SERVICES = {
    "village-sound": f"""
        [Service]
        Type=notify
        RuntimeDirectory=village-sound
        ExecStart=pulseaudio -n --daemonize=no --exit-idle-time=-1 --realtime=no --use-pid-file=no -F /dev/null \\
            -L "module-native-protocol-unix auth-anonymous=1 socket={SOUND_SOCKET}" \\
            -L "module-null-sink sink_name=village channels=1 norewinds=1 rate={RATE_HZ} format=s16le"
        """,
    "village-awake": f"""
        [Unit]
        Requires=village-sound.service
        After=village-sound.service
        [Service]
        Environment=PULSE_SERVER=unix:{SOUND_SOCKET}
        StandardInput=file:/dev/zero
        ExecStart=pacat --raw --format=s16le --rate={RATE_HZ} --channels=1 --latency-msec=20 -d village
        [Install]
        WantedBy=multi-user.target
        """,
    "village-ear": f"""
        [Unit]
        Requires=village-awake.service
        After=village-awake.service
        [Service]
        Environment=PULSE_SERVER=unix:{SOUND_SOCKET}
        StandardOutput=truncate:{HEARD}
        ExecStart=parec --raw --format=s16le --rate={RATE_HZ} --channels=1 --latency-msec=20 -d village.monitor
        """,
}
ALSA = f'pcm.village {{ type pulse server "unix:{SOUND_SOCKET}" device village handle_underrun 0 }}\n'

NODE_YAML = f"""\
node: {NODE}
site: {SITE}
mqtt:
  brokers: ["mqtts://localhost:8883"]
  ca: ca.pem
  certificate: node.crt
  key: node.key
trust: trust.yaml
audio: {{device: village, volume_percent: 100}}
gpio: {{factory: mock, trace: /var/lib/loa/relay.log}}
amplifier:
  main: {{gpio: 17, active: high, warm_up_ms: 100, linger_ms: 200, min_off_ms: 100}}
clock: {{trust: always}}
heartbeat_s: 5
"""
CONTROL_YAML = f"""\
broker: mqtts://localhost:8884
ca: {HOME}/ca/ca.pem
certificate: {HOME}/ca/clients/ubnd.crt
key: {HOME}/ca/clients/ubnd.key
site: {SITE}
signing_key: {HOME}/hd-operator.pem
authority: commune operator
"""
WATCHER = (
    f"--cafile {HOME}/ca/ca.pem --cert {HOME}/ca/clients/ubnd.crt --key {HOME}/ca/clients/ubnd.key -h localhost -p 8884"
)
PLAYED = ": played"


def dedented(text: str) -> str:
    return "".join(f"{line.strip()}\n" for line in text.strip().splitlines())


def found_commune(machine: Container, broker_files: Path) -> None:
    """Keys, certificates, the broker and the ear; what a pole needs lies in `HOME/pole`."""
    shell(
        machine,
        f"mkdir -p {HOME}/pole && cd {HOME}",
        f"loactl ca new --site {SITE}",
        "loactl ca server localhost",
        f"loactl ca node {NODE}",
        "loactl ca client ubnd",
        f"loactl trust new --site {SITE}",
        'loactl keygen hd-operator --authority "commune operator" --may play.normal,stop,volume,restart >operator.txt',
        "sed '/^keys:/r operator.txt' trust/0001.yaml >pole/trust.yaml",
        f"cp ca/ca.pem pole/ca.pem && cp ca/nodes/{NODE}.crt pole/node.crt && cp ca/nodes/{NODE}.key pole/node.key",
        "cp ca/ca.pem ca/ca.crl ca/control-ca.pem ca/control-ca.crl ca/server/broker.crt ca/server/broker.key"
        " /etc/mosquitto/certs/",
    )
    machine.write(f"{HOME}/pole/node.yaml", NODE_YAML)
    machine.write("/root/.config/loa/control.yaml", CONTROL_YAML)
    for name in ("mosquitto.conf", "acl"):
        machine.write(f"/etc/mosquitto/{name}", (broker_files / name).read_text("utf-8"))
    shell(
        machine,
        "chown mosquitto: /etc/mosquitto/acl /etc/mosquitto/certs/broker.key",
        "chmod 600 /etc/mosquitto/acl /etc/mosquitto/certs/broker.key",
    )
    machine.write("/etc/asound.conf", ALSA)
    for name, text in SERVICES.items():
        machine.write(f"/etc/systemd/system/{name}.service", dedented(text))
    shell(machine, "systemctl daemon-reload", "systemctl enable --quiet mosquitto village-awake")


def configure(machine: Container) -> None:
    """As a technician does who has a shell on the pole; starts the node."""
    shell(
        machine,
        f"install -o root -g loa -m 640 {HOME}/pole/node.yaml {HOME}/pole/trust.yaml {HOME}/pole/ca.pem /etc/loa/",
        f"install -o loa -g loa -m 600 {HOME}/pole/node.key {HOME}/pole/node.crt /etc/loa/",
        "loa-agent check",
        "systemctl start loa-agent",
    )


def shell(machine: Container, *lines: str) -> str:
    """Lines of a shell that ends at the first that fails."""
    return machine.run("sh", "-euc", "\n".join(lines))


def listen(machine: Container) -> None:
    """The ear hears from now on."""
    machine.run("systemctl", "restart", "village-ear")
    machine.wait(lambda: heard(machine).size > 0, what="the ear")


def heard(machine: Container) -> Samples:
    """All that the ear has heard."""
    file = machine.root / HEARD.lstrip("/")
    return np.frombuffer(file.read_bytes()[: file.stat().st_size // 2 * 2], dtype="<i2") if file.exists() else EMPTY


EMPTY: Samples = np.zeros(0, dtype=np.int16)


def seconds_heard(machine: Container) -> float:
    """From the first to the last sample that is no silence."""
    loud = np.flatnonzero(np.abs(heard(machine).astype(np.int32)) > SILENCE_PEAK)
    return float(loud[-1] - loud[0]) / RATE_HZ if loud.size else 0.0


def state(machine: Container) -> dict[str, Any]:
    """What the node says of itself, as the broker keeps it."""
    topic = f"loa/v1/{SITE}/node/{NODE}/state"
    document = json.loads(shell(machine, f"mosquitto_sub {WATCHER} -t {topic} -C 1 -W 30"))
    assert isinstance(document, dict)
    return document


def status(machine: Container) -> dict[str, str]:
    """What `loa-agent status` prints."""
    lines = machine.run("loa-agent", "status").splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def broadcast(machine: Container, *words: str) -> None:
    """An order of the operator's to the node, which sounds and is recorded."""
    before = machine.journal("--unit=loa-agent").count(PLAYED)
    said = machine.run("loactl", *words, "--to", f"node:{SITE}/{NODE}", "--wait", "10")
    assert f"{SITE}/{NODE}  accepted" in said, said
    machine.wait(lambda: machine.journal("--unit=loa-agent").count(PLAYED) > before, what="the record")


def main_pid(machine: Container) -> str:
    return machine.run("systemctl", "show", "--property=MainPID", "--value", "loa-agent").strip()


def relay(machine: Container) -> list[str]:
    """What the simulated relay has been, one after the other."""
    return [line.split()[-1] for line in machine.read("/var/lib/loa/relay.log").splitlines()]
