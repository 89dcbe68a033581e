"""From a card that a technician has filled on a laptop to a pole that plays: nobody types a command."""

from pathlib import Path

import pytest

from rig.container import Container
from tests.package import commune
from tests.package.commune import HOME, shell
from tests.package.conftest import Boot

CARD = "/boot/firmware/loa"
RESULT = "loa-result.txt"


def put_on_the_card(machine: Container, *names: str) -> None:
    shell(machine, f"mkdir -p {CARD}", *(f"cp {HOME}/pole/{name} {CARD}/" for name in names))


def switched_on_again(machine: Container, *failing: str) -> None:
    machine.shut_down()
    machine.boot(failing=failing)


@pytest.fixture
def machine(boot: Boot, with_commune: list[Path]) -> Container:
    return boot(with_commune)


def test_what_lies_on_the_card_becomes_a_node_that_plays(machine: Container) -> None:
    put_on_the_card(machine, "node.yaml", "trust.yaml", "ca.pem", "node.crt", "node.key")
    switched_on_again(machine)
    machine.wait(lambda: commune.state(machine)["online"], what="the node")
    assert commune.status(machine)["public key"] in machine.read(f"{CARD}/{RESULT}")
    assert machine.run("ls", CARD).split() == [RESULT], "no secret is left on the card"
    modes = shell(machine, "stat -c '%n %U:%G %a' /etc/loa /etc/loa/node.yaml /etc/loa/node.key").splitlines()
    assert modes == ["/etc/loa root:loa 750", "/etc/loa/node.yaml root:loa 640", "/etc/loa/node.key loa:loa 600"]
    commune.listen(machine)
    commune.broadcast(machine, "play", "--title", "Chuông", "--builtin", "tone", "--max-duration", "1s")
    assert commune.seconds_heard(machine) > 0.9


def test_a_bad_file_is_told_on_the_card_and_the_node_goes_on_with_what_it_had(machine: Container) -> None:
    commune.configure(machine)
    before = machine.read("/etc/loa/node.yaml")
    machine.write(f"{CARD}/node.yaml", before.replace("heartbeat_s: 5", "heartbeat_s: soon"))
    switched_on_again(machine, "loa-first-boot.service")
    machine.wait(lambda: commune.state(machine)["online"], what="the node")
    assert "node.yaml:" in machine.read(f"{CARD}/{RESULT}")
    assert machine.read("/etc/loa/node.yaml") == before
