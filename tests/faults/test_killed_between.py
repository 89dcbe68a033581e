"""SIGKILL at every point from the arrival of an order to the end of its last report: told once, played once.

A line that holds back one packet, a disk that answers no write, and the log's lines say where the node is.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.messages.words import Kind
from rig.disk import Disk
from rig.ear import opened_payload
from rig.mqtt_line import MqttLine, Packet, Sort
from rig.sound import Daemon
from rig.village import Node, Station
from tests.faults.account import PLAYED, Account

WARM_UP_MS = 1_000
"""Long enough to be killed in."""
LENGTH_S = 2
KINDS = [Kind.NORMAL, Kind.EMERGENCY][: int(os.environ.get("KINDS", "1"))]
"""A normal item waits for its commit, an emergency for 2 s at most; each takes over a minute."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    with Station(tmp_path_factory.mktemp("station"), plain=True) as station:
        yield station


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def line(station: Station) -> Iterator[MqttLine]:
    with MqttLine(station.broker.plain_port) as line:
        yield line


@pytest.fixture
def node(station: Station, sound: Daemon, disk: Disk, line: MqttLine) -> Iterator[Node]:
    changes = {
        "mqtt": {"brokers": [f"mqtt://localhost:{line.port}"]},
        "storage": {"state": str(disk.folder / "state"), "runtime": "runtime"},
        "amplifier": {"main": {"gpio": 17, "active": "high", "warm_up_ms": WARM_UP_MS, "linger_ms": 500}},
    }
    with Node(station, sound, changes=changes) as node:
        yield node


@dataclass
class Scene:
    """All that leads a node to a point."""

    account: Account
    node: Node
    line: MqttLine
    disk: Disk
    stack: ExitStack
    kind: Kind
    item: str = ""

    def order(self) -> None:
        self.item = self.account.order(self.kind, max_duration_s=LENGTH_S)

    def until(self, text: str) -> None:
        self.node.wait_for_line(text)

    def hold_back(self, packet: Callable[[Packet], bool]) -> None:
        self.line.hold_back(packet)

    def freeze(self) -> None:
        self.stack.enter_context(self.disk.frozen())

    def wait_held(self) -> None:
        assert self.line.held.wait(60.0)


def is_order(packet: Packet) -> bool:
    return packet.sort is Sort.PUBLISH and "/command/" in packet.topic


def is_report(packet: Packet | None, of: str) -> bool:
    """Whether this publishes a report of this type. Of its properties there are none."""
    if packet is None or packet.sort is not Sort.PUBLISH or not packet.topic.endswith("/report"):
        return False
    return bool(opened_payload(packet.body[1:])["report"]["type"] == of)


# Points ---------------------------------------------------------------------------------------------------------------


def before_it_has_arrived(scene: Scene) -> None:
    scene.hold_back(is_order)
    scene.order()
    scene.wait_held()


def before_it_is_stored(scene: Scene) -> None:
    scene.freeze()
    scene.order()
    scene.until(f"command {scene.account.orders[scene.item].jti} received")


def before_it_is_acknowledged(scene: Scene) -> None:
    scene.hold_back(lambda packet: packet.sort is Sort.PUBACK and packet.upwards)
    scene.order()
    scene.wait_held()


def before_it_sounds(scene: Scene) -> None:
    scene.order()
    scene.until(f"command {scene.account.orders[scene.item].jti} verified and accepted")
    scene.until("amplifier main: warming")


def while_it_sounds(scene: Scene) -> None:
    scene.order()
    scene.until(f"item {scene.item}: sounding")


def before_its_record_is_stored(scene: Scene) -> None:
    while_it_sounds(scene)
    scene.freeze()
    scene.until(f"item {scene.item}: played")


def before_its_outcome_is_published(scene: Scene) -> None:
    scene.hold_back(lambda packet: is_report(packet, "command_outcome"))
    scene.order()
    scene.wait_held()


def before_its_outcome_is_known_to_be_received(scene: Scene) -> None:
    scene.hold_back(lambda packet: packet.sort is Sort.PUBACK and is_report(packet.of, "command_outcome"))
    scene.order()
    scene.wait_held()


def before_its_record_is_published(scene: Scene) -> None:
    scene.hold_back(lambda packet: is_report(packet, "play_record"))
    scene.order()
    scene.wait_held()


def before_its_record_is_known_to_be_received(scene: Scene) -> None:
    scene.hold_back(lambda packet: packet.sort is Sort.PUBACK and is_report(packet.of, "play_record"))
    scene.order()
    scene.wait_held()


def before_its_reports_are_removed(scene: Scene) -> None:
    """Removal rides on the next transaction, and there is none."""
    scene.order()
    record = scene.account.ear.record(scene.item)
    assert record["result"] == "played"
    seq = next(each["seq"] for each in scene.account.ear.reports if each["report"] == record)
    scene.until(f"report {seq} acknowledged")


def after_its_reports_are_removed(scene: Scene) -> None:
    before_its_reports_are_removed(scene)
    scene.account.wait_told([scene.account.order(Kind.EMERGENCY)])


POINTS = (
    before_it_has_arrived,
    before_it_is_stored,
    before_it_is_acknowledged,
    before_it_sounds,
    while_it_sounds,
    before_its_record_is_stored,
    before_its_outcome_is_published,
    before_its_outcome_is_known_to_be_received,
    before_its_record_is_published,
    before_its_record_is_known_to_be_received,
    before_its_reports_are_removed,
    after_its_reports_are_removed,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lead", POINTS, ids=lambda lead: lead.__name__)
def test_whoever_is_killed_there_has_lost_nothing_and_does_nothing_twice(
    node: Node, account: Account, line: MqttLine, disk: Disk, lead: Callable[[Scene], None], kind: Kind
) -> None:
    """What sounded goes on, and has begun once."""
    with ExitStack() as stack:
        scene = Scene(account, node, line, disk, stack, kind)
        lead(scene)
        node.kill()
    node.end()
    assert node.command("amp-off").returncode == 0
    assert not node.relay_on
    line.let_go()
    node.start()
    account.wait_told([scene.item])
    account.send(scene.item)
    assert account.settled()[scene.item] == PLAYED
