"""The third net: kernel or systemd hang with a relay closed, and the machine's own watchdog switches it off."""

import pytest

from agent.messages.commands import Play
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.village import Station
from rig.vm.guest import Guest
from rig.vm.pole import Pole

TONE = Source(builtin=Builtin(BuiltinName.TONE))
DOG = "/sys/class/watchdog/watchdog0"


@pytest.mark.parametrize(
    ("fault", "command"),
    [("kernel", "echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger"), ("systemd", "kill -SEGV 1")],
    ids=["kernel", "systemd"],
)
def test_a_machine_that_hangs_is_switched_off_by_its_watchdog(
    guest: Guest, station: Station, fault: str, command: str
) -> None:
    guest.boot(watchdog=True)
    with Pole(guest) as pole:
        pole.wait_for_line("Started loa-agent")
        pole.synchronise()
        assert guest.run(f"cat {DOG}/state {DOG}/timeout").split() == ["active", "15"]
        station.send(station.sign(Play(fault, Kind.NORMAL, "title", (TONE,), 600)))
        pole.wait(lambda: pole.relays_closed, what="relays closed")
        guest.run(f"(sleep 1; {command}) >/dev/null 2>&1 &")
        events = guest.wait_for_end()
    assert [event["data"]["action"] for event in events if event["event"] == "WATCHDOG"] == ["poweroff"]
