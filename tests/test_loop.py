"""The shell around the core: a worker that hangs ends the process, and however it ends the amplifiers are off."""

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, cast

import pytest

from agent.clock import Clock
from agent.core import node
from agent.loop import LONGEST_WAIT_S, SILENT_S, STUCK_S, Adapters, Loop, Watch
from agent.messages import effects as do
from agent.messages import events as ev
from tests.core.pole import make_pole


class Edge:
    """Any adapter: notes which verbs were performed."""

    def __init__(self, log: list[str]) -> None:
        self.turns = 0
        self.owes = False
        self._log = log

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._log.append(name)


class Leaping:
    """A clock that moves on by itself, `step_s` at each look."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._mono_s = 1_000.0

    def read(self) -> ev.Now:
        self._mono_s += self._step_s
        return ev.Now(self._mono_s, 1_790_000_000.0 + self._mono_s, True, 1)


class Shell:
    """A loop whose adapters do nothing."""

    def __init__(self, clock: Leaping | None = None) -> None:
        self.done: list[str] = []
        self.inbox: SimpleQueue[ev.Event] = SimpleQueue()
        edge: Any = Edge(self.done)
        self.workers = {name: Edge(self.done) for name in ("player", "card", "store", "link")}
        player, card, store, link = (cast("Any", each) for each in self.workers.values())
        adapters = Adapters(
            clock=clock or Clock(always_trusted=True), carried_clock=edge, carried_progress=edge, link=link,
            store=store, fetch=edge, speech=edge, player=player, card=card,
            amplifiers=edge, supervisor=edge, vitals=edge, console=edge,
        )  # fmt: skip
        pole = make_pole()
        self.loop = Loop(state=pole.state, inbox=self.inbox, adapters=adapters, judge=pole.judge, seal=bytes)
        self.inbox.put(ev.Restored(1, 0, (), (), (), ()))

    def turn(self, times: int) -> int:
        """So many turns, then SIGTERM; the exit code."""
        for _ in range(times):
            self.inbox.put(ev.Tick())
        self.inbox.put(ev.StopRequested("SIGTERM"))
        return self.loop.run()


@pytest.mark.parametrize("worker", ["player", "card"])
def test_a_worker_that_hangs_ends_the_process_with_its_own_code(worker: str) -> None:
    shell = Shell(Leaping(1.0))
    shell.workers[worker].owes = True
    assert shell.turn(round(STUCK_S) + 2) == 75
    assert shell.done[-1] == "all_off"
    assert shell.inbox.qsize() > 0, "it did not wait for more"


def test_a_disk_that_hangs_ends_nothing() -> None:
    shell = Shell(Leaping(1.0))
    shell.workers["store"].owes = True
    assert shell.turn(100) == 0


def test_a_link_that_hangs_is_made_anew() -> None:
    shell = Shell(Leaping(1.0))
    shell.workers["link"].owes = True
    assert shell.turn(round(SILENT_S) + 6) == 0
    assert shell.done.count("connect") == 2


@pytest.mark.parametrize(("owes", "comes_round"), [(False, False), (True, True)])
def test_one_that_waits_or_comes_round_is_let_be(owes: bool, comes_round: bool) -> None:
    worker = Edge([])
    worker.owes = owes
    watch = Watch("player", worker, STUCK_S)
    for second in range(100):
        worker.turns += comes_round
        assert watch.look(1_000.0 + second) is None


def test_one_that_hangs_is_told_once_each_time() -> None:
    worker = Edge([])
    worker.owes = True
    watch = Watch("player", worker, STUCK_S)
    told = []
    for second in range(60):
        worker.turns = int(second >= 30)
        told.append(watch.look(1_000.0 + second))
    assert [(second, still_s) for second, still_s in enumerate(told) if still_s is not None] == [(11, 11.0), (41, 11.0)]


def test_time_in_which_the_whole_process_stood_still_is_nobodys_fault() -> None:
    worker = Edge([])
    worker.owes = True
    watch = Watch("player", worker, STUCK_S)
    looks = [watch.look(1_000.0 * second) for second in range(1, 5)]
    assert looks == [None] * 4
    assert watch.look(5_000.0) == 4 * LONGEST_WAIT_S


def test_the_watchdog_is_fed_by_turns() -> None:
    shell = Shell()
    shell.turn(3)
    assert shell.done.count("watchdog") == shell.done.count("renew") == 5


def test_what_falls_due_while_a_turn_is_carried_out_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core leaves out instants that have passed, having seen to them: so it is asked by the step's own clock."""
    shell = Shell(Leaping(1.0))
    stepped_s: list[float] = []
    asked_s: list[float] = []

    def step(state: node.State, event: ev.Event, now: ev.Now) -> tuple[node.State, tuple[do.Effect, ...]]:
        stepped_s.append(now.mono_s)
        return core_step(state, event, now)

    def next_deadline(_: node.State, now: ev.Now) -> None:
        asked_s.append(now.mono_s)

    core_step = node.step
    monkeypatch.setattr(node, "step", step)
    monkeypatch.setattr(node, "next_deadline", next_deadline)
    shell.turn(3)
    assert asked_s[1:] == stepped_s[: len(asked_s) - 1]


def test_an_exception_leaves_no_amplifier_on() -> None:
    shell = Shell()
    shell.inbox.put(ev.OutboxRead(reports=7))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        shell.loop.run()
    assert shell.done[-1] == "all_off"
