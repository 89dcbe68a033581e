"""The machine's witness: what is told of stalls is taken from the spans they fall into, and our own work is not."""

import pytest

from rig.calm import Machine
from rig.sound import boottime_s


class Told(Machine):
    """A machine whose stalls are known."""

    def __init__(self, *spans: tuple[float, float]) -> None:
        super().__init__()
        self._spans = list(spans)
        self._seen_s = {0: 1_000.0}


@pytest.mark.parametrize(
    ("span", "stalled_s", "worst_s"),
    [
        ((0.0, 1.0), 0.0, 0.0),
        ((1.0, 3.0), 0.5, 0.5),
        ((1.75, 3.0), 0.25, 0.25),
        ((1.6, 1.7), 0.1, 0.1),
        ((4.0, 8.0), 2.0, 2.0),  # two processors, one after the other: still one stretch
        ((0.0, 10.0), 2.5, 2.0),
    ],
)
def test_a_stall_counts_once_and_only_in_the_span_it_falls_into(
    span: tuple[float, float], stalled_s: float, worst_s: float
) -> None:
    machine = Told((1.5, 2.0), (6.0, 7.0), (5.0, 6.5))
    assert machine.stalled_s(*span) == pytest.approx(stalled_s)
    assert machine.worst_s(*span) == pytest.approx(worst_s)
    assert machine.ours_s(*span) == pytest.approx(span[1] - span[0] - stalled_s)


def test_what_this_process_computes_is_not_the_machines_stall() -> None:
    with Machine() as machine:
        shares = []
        for _ in range(3):
            began_s = boottime_s()
            numbers = list(range(3_000_000, 0, -1))
            numbers.sort()  # holds the interpreter's lock all the time
            ended_s = boottime_s()
            shares.append(machine.ours_s(began_s, ended_s))
        assert max(shares) > 0.005


def test_a_witness_that_is_gone_is_said() -> None:
    with Machine() as machine:
        machine._process.kill()
        with pytest.raises(RuntimeError, match="nobody watches"):
            machine.stalled_s(boottime_s(), boottime_s() + 60)
