"""Installed without a network, configured, heard, and purged without a trace."""

from pathlib import Path

from rig.container import Container
from tests.package import commune
from tests.package.commune import shell
from tests.package.conftest import Boot, install

MAX_EXPOSURE_TENTHS = 15
NO_HARDWARE = "{factory: mock, trace: /var/lib/loa/relay.log}"


def test_an_installed_node_is_silent_until_it_is_configured(boot: Boot, with_packages: list[Path]) -> None:
    machine = boot(with_packages)
    assert machine.run("systemctl", "is-enabled", "loa-agent", "loa-first-boot").split() == ["enabled", "enabled"]
    assert machine.try_to("systemctl", "is-active", "loa-agent").stdout.strip() == "inactive"
    assert shell(machine, "stat -c '%U:%G %a' /etc/loa /var/cache/loa").split("\n")[:2] == [
        "root:loa 750",
        "root:root 755",
    ]
    assert machine.read("/usr/lib/modules-load.d/loa-agent.conf").endswith("snd\n")
    assert {"audio", "gpio"} < set(machine.run("id", "-nG", "loa").split())


def test_debian_has_nothing_to_say_against_the_units(boot: Boot, with_packages: list[Path]) -> None:
    machine = boot(with_packages)
    units = [f"/usr/lib/systemd/system/loa-{name}.service" for name in ("agent", "first-boot", "rollback")]
    assert machine.try_to("systemd-analyze", "verify", *units).stderr == ""
    security = ["systemd-analyze", "security", "--no-pager", f"--threshold={MAX_EXPOSURE_TENTHS}", "loa-agent.service"]
    machine.run(*security)
    assert machine.run("man", "--where", "loa-agent", "loactl").count("\n") == 2


def test_a_signed_broadcast_is_heard(pole: Container) -> None:
    commune.listen(pole)
    commune.broadcast(pole, "play", "--title", "Chuông", "--builtin", "tone", "--max-duration", "3s")
    assert 2.9 < commune.seconds_heard(pole) < 3.2
    pole.wait(lambda: commune.relay(pole)[-1] == "off", what="the relay's end")
    assert commune.relay(pole) == ["off", "on", "off"]


def test_a_text_is_spoken_within_the_sandbox(pole: Container) -> None:
    commune.listen(pole)
    commune.broadcast(pole, "say", "Xin chào bà con.")
    assert commune.seconds_heard(pole) > 0.5
    assert "own priority" not in pole.journal("--unit=loa-agent")


def test_a_node_that_hangs_is_ended_and_comes_back(pole: Container) -> None:
    first = commune.main_pid(pole)
    pole.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "loa-agent")
    pole.wait(lambda: commune.main_pid(pole) not in {first, "0"}, what="another process")
    pole.wait(lambda: commune.state(pole)["online"], what="the link")
    assert "amplifier off" in pole.journal("--unit=loa-agent")


def test_an_ordered_restart_is_another_process_that_is_well(pole: Container) -> None:
    first = commune.main_pid(pole)
    node = ("--to", f"node:{commune.SITE}/{commune.NODE}")
    assert "  accepted" in pole.run("loactl", "restart", *node, "--wait", "10")
    pole.wait(lambda: commune.main_pid(pole) not in {first, "0"}, what="another process")
    pole.wait(lambda: commune.state(pole)["online"], what="the link")
    assert "restart ordered by 'commune operator'" in pole.journal("--unit=loa-agent")
    assert "accepted (without a sound: no fault is known)" in pole.run("loactl", "self-test", *node)


def test_a_technician_without_sudo_is_told_to_say_it_so(pole: Container) -> None:
    shell(pole, "useradd --create-home tech")
    for command in ("check", "status", "self-test", "amp-off", "init"):
        done = pole.try_to("su", "tech", "-c", f"loa-agent {command}")
        told = done.stdout + done.stderr
        assert "say it with sudo" in told, command
        assert "Errno" not in told, command


def test_a_bundle_holds_what_check_says_and_check_knows_that_lgpio_is_missing(pole: Container) -> None:
    shell(pole, "systemctl stop loa-agent", "mknod /dev/gpiochip0 c 1 3")
    configuration = pole.read("/etc/loa/node.yaml")
    pole.write("/etc/loa/node.yaml", configuration.replace(NO_HARDWARE, "{factory: lgpio}"), 0o640)
    shell(pole, "loa-agent bundle /root/bundle.tar.gz")
    check = shell(pole, "tar --extract --to-stdout --file=/root/bundle.tar.gz loa-bundle/check.txt")
    assert f"/etc/loa/node.yaml: ok: node {commune.SITE}/{commune.NODE}" in check
    assert "FAIL  relays: lgpio is not installed: apt install python3-lgpio" in check


def everything(machine: Container) -> set[str]:
    """Every file, user and group there is, but for what keeps account of the system itself."""
    kept_by_others = r"^/(proc|sys|dev|run|tmp|root|var/(log|tmp|lib/(dpkg|systemd|apt)|cache/(apt|ldconfig|man)))/"
    files = shell(machine, f"find / -xdev -mindepth 1 | grep -vE '{kept_by_others}' | grep -v __pycache__")
    names = shell(machine, "cut -d: -f1 /etc/passwd | sed 's/^/user /'", "cut -d: -f1 /etc/group | sed 's/^/group /'")
    return {*files.splitlines(), *names.splitlines()}


def test_nothing_is_left_after_a_purge(boot: Boot, debian: Path, packages: dict[str, Path]) -> None:
    machine = boot([debian])
    before = everything(machine)
    install(machine, *packages.values())
    machine.write("/etc/loa/node.yaml", "no: configuration\n")
    shell(machine, "systemctl start loa-agent || true", "test -d /var/lib/loa", "systemctl stop loa-agent")
    shell(machine, "dpkg --purge loa-agent loa-control")
    left = everything(machine) - before
    assert left == {"group gpio"}  # the system's own on a Raspberry Pi
    assert machine.try_to("systemctl", "status", "loa-agent").returncode == 4  # no such unit
