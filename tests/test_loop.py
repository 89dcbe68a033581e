"""The shell around the core: a worker that hangs ends the process, and however it ends the amplifiers are off."""

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, cast

import pytest

from agent.clock import Clock
from agent.loop import STUCK_S, Adapters, Loop
from agent.messages import events as ev
from tests.core.pole import make_pole


class Edge:
    """Any adapter: notes which verbs were performed."""

    def __init__(self, log: list[str]) -> None:
        self.busy_since_s: float | None = None
        self._log = log

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._log.append(name)


class Shell:
    """A loop whose adapters do nothing, on the real clock."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.inbox: SimpleQueue[ev.Event] = SimpleQueue()
        edge: Any = Edge(self.done)
        self.player, self.card = Edge(self.done), Edge(self.done)
        adapters = Adapters(
            clock=Clock(always_trusted=True), carried_clock=edge, carried_progress=edge, link=edge, store=edge,
            fetch=edge, speech=edge, player=cast("Any", self.player), card=cast("Any", self.card),
            amplifiers=edge, supervisor=edge, vitals=edge, console=edge,
        )  # fmt: skip
        pole = make_pole()
        self.loop = Loop(state=pole.state, inbox=self.inbox, adapters=adapters, judge=pole.judge, seal=bytes)
        self.inbox.put(ev.Restored(1, 0, (), (), (), ()))


def now_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@pytest.mark.parametrize("worker", ["player", "card"])
def test_a_worker_that_hangs_ends_the_process_with_its_own_code(worker: str) -> None:
    shell = Shell()
    getattr(shell, worker).busy_since_s = now_s() - STUCK_S - 1.0
    assert shell.loop.run() == 75
    assert shell.done[-1] == "all_off"


def test_one_that_is_busy_or_waits_is_let_be() -> None:
    shell = Shell()
    shell.player.busy_since_s = now_s() - STUCK_S / 2
    shell.inbox.put(ev.StopRequested("SIGTERM"))
    assert shell.loop.run() == 0


def test_the_watchdog_is_fed_by_turns() -> None:
    shell = Shell()
    for _ in range(3):
        shell.inbox.put(ev.Tick())
    shell.inbox.put(ev.StopRequested("SIGTERM"))
    shell.loop.run()
    assert shell.done.count("watchdog") == shell.done.count("renew") == 5


def test_an_exception_leaves_no_amplifier_on() -> None:
    shell = Shell()
    shell.inbox.put(ev.OutboxRead(reports=7))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        shell.loop.run()
    assert shell.done[-1] == "all_off"
