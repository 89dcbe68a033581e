"""The service as systemd runs it, by the unit that is shipped: hung, stopped or killed, the relay falls in time.

And the agent is started again, and goes on with what was interrupted.
"""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from rig.calm import Machine
from rig.freezer import Frozen
from rig.pole import Pole
from rig.sound import Daemon, boottime_s, wait_until
from rig.village import Station
from tests.faults.account import PLAYED, Account

LENGTH_S = 6
HUNG_S = 2.0
"""The dead man's handle."""
STOPPED_S = 13.0
"""Watchdog 10 s, abort 2 s, ExecStopPost."""
KILLED_S = 1.0
RESUMED_S = 5.0
"""From ready to sound."""


@pytest.fixture(scope="module")
def node(station: Station, sound: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pole]:
    with Pole(station, sound, tmp_path_factory.mktemp("pole")) as pole:
        yield pole


@pytest.fixture
def account(station: Station, node: Pole) -> Iterator[Account]:
    with station.listen() as ear:
        yield Account(station, node, ear)


def on_air(node: Pole, account: Account) -> str:
    item = account.order(max_duration_s=LENGTH_S)
    node.wait_for_line(f"item {item}: sounding")
    assert node.relay_on
    return item


@dataclass
class Fall:
    """How long after some instant the relay falls, waited for, without what the machine stood still."""

    node: Pole
    machine: Machine
    note: Callable[[str, object], None]

    def after_s(self, since_s: float) -> float:
        wait_until(lambda: not self.node.relay_on, what="relay off")
        fell_s = self.machine.ours_s(since_s, self.node.switched()[-1].at_s)
        self.note("relay_off_s", fell_s)
        return fell_s


@pytest.fixture
def fall(node: Pole, machine: Machine, record_property: Callable[[str, object], None]) -> Fall:
    return Fall(node, machine, record_property)


def goes_on(node: Pole, account: Account, item: str, since: int, fall: Fall) -> None:
    """After a restart."""
    ready_s = node.wait_for_line("ready", since=since)
    wait_until(lambda: node.relay_on, what="relay on again")
    resumed_s = fall.machine.ours_s(ready_s, node.switched()[-1].at_s)
    fall.note("resumed_s", resumed_s)
    assert resumed_s <= RESUMED_S
    assert account.settled()[item] == PLAYED
    wait_until(lambda: not node.relay_on, what="the end of the last order")


def test_a_loop_that_hangs_loses_its_relay_in_two_seconds_and_its_process_to_the_watchdog(
    node: Pole, account: Account, fall: Fall
) -> None:
    item, since = on_air(node, account), len(node.log)
    with Frozen(node.pid):
        hung_s = boottime_s()
        assert fall.after_s(hung_s) <= HUNG_S
        node.wait_for_line("status=6/ABRT", since=since)
    goes_on(node, account, item, since, fall)


def test_a_loop_that_holds_the_interpreters_lock_loses_its_relay_to_the_watchdog(
    node: Pole, account: Account, fall: Fall
) -> None:
    """The dead man's handle is Python too: it stands still with the loop."""
    item, since = on_air(node, account), len(node.log)
    with Frozen(node.pid, in_python=True):
        held_s = boottime_s()
        assert HUNG_S < fall.after_s(held_s) <= STOPPED_S
        node.wait_for_line("status=6/ABRT", since=since)
    goes_on(node, account, item, since, fall)


def test_a_process_that_is_stopped_loses_its_relay_to_the_watchdog(node: Pole, account: Account, fall: Fall) -> None:
    item, since = on_air(node, account), len(node.log)
    stopped_s = boottime_s()
    os.kill(node.pid, signal.SIGSTOP)
    assert fall.after_s(stopped_s) <= STOPPED_S
    goes_on(node, account, item, since, fall)


def test_a_process_that_is_killed_loses_its_relay_in_a_second(node: Pole, account: Account, fall: Fall) -> None:
    item, since = on_air(node, account), len(node.log)
    killed_s = boottime_s()
    os.kill(node.pid, signal.SIGKILL)
    assert fall.after_s(killed_s) <= KILLED_S
    goes_on(node, account, item, since, fall)
