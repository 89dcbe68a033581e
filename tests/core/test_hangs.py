"""Which hang ends the process, and which is only told (ADR 0026)."""

import pytest

from agent.core.connection import MAX_HUNG
from agent.core.items import EMERGENCY_COMMIT_WAIT_S, SLOT_COMMIT_WAIT_S
from agent.core.stages import FETCH_PATIENCE_S, FETCH_WAIT_S
from agent.messages import effects as do
from agent.messages import events as ev
from agent.messages.codec import decode
from agent.messages.condition import Condition
from agent.messages.reasons import Reason
from agent.messages.sources import Builtin, BuiltinName, File, Source
from agent.messages.words import Kind
from tests.core.pole import CHIME, FILE, RELAY, Behaviour, Pole, altered, make_pole, play
from tests.core.test_schedule import pole_with, slot

SIREN = Source(builtin=Builtin(BuiltinName.SIREN))


def disk_fault(pole: Pole) -> str:
    pole.tell(ev.Asked(7, "status"))
    answer = [effect.text for _, effect in pole.of(do.Answer) if isinstance(effect, do.Answer)][-1]
    return decode(answer, Condition).disk_fault


def exits(pole: Pole) -> list[int]:
    return [effect.code for _, effect in pole.of(do.Exit) if isinstance(effect, do.Exit)]


def logged(pole: Pole) -> str:
    return "\n".join(f"{it.level} {it.text}" for _, it in pole.of(do.Log) if isinstance(it, do.Log))


@pytest.mark.parametrize("thread", ["player", "card"])
def test_player_and_card_come_back_with_the_next_process_only(thread: str) -> None:
    pole = make_pole().start().connect()
    pole.order(play("news"))
    pole.run(1.5)
    assert pole.amplifier_on
    pole.tell(ev.ThreadStuck(thread, 11.0))
    assert exits(pole) == [75]
    assert pole.relay()[-1][1] is False


def test_a_disk_that_hangs_is_told_and_what_may_sound_without_it_does() -> None:
    pole = make_pole(Behaviour(commit_s=None)).start().connect()
    ordered_s = pole.mono_s
    pole.order(play("flood", kind=Kind.EMERGENCY))
    pole.order(play("news"))
    pole.tell(ev.ThreadStuck("store", 10.0))
    pole.run(30.0)
    assert [each.item for each in pole.heard] == ["flood"]
    assert pole.heard[0].at_s >= ordered_s + EMERGENCY_COMMIT_WAIT_S
    assert disk_fault(pole) == "it has not answered for 10 s"
    assert "error disk: it has not answered for 10 s" in logged(pole)
    assert exits(pole) == []
    pole.tell(ev.OutboxRead(()))
    assert disk_fault(pole) == ""
    assert "disk: it answers again" in logged(pole)


def test_a_slot_sounds_though_the_disk_does_not_answer() -> None:
    pole = pole_with(slot("21:20"), sound_length_s=60.0)
    pole.behaviour.commit_s = None
    pole.run(1_000.0)
    assert [each.item for each in pole.heard] == ["news.20260921"]
    due_s = pole.mono_s - 1_000.0
    assert pole.heard[0].at_s >= due_s + SLOT_COMMIT_WAIT_S


def test_a_connection_that_hangs_is_left_behind_and_another_is_made() -> None:
    pole = make_pole().start().connect()
    for hung in range(1, MAX_HUNG):
        before = len(pole.of(do.Connect))
        pole.tell(ev.ThreadStuck("link", 15.0))
        assert not pole.state.connection.up
        pole.run(5.0)
        assert len(pole.of(do.Connect)) == before + 1
        assert exits(pole) == [], hung
        pole.connect()
    assert "thread link hangs since 15 s: left behind" in logged(pole)
    pole.tell(ev.ThreadStuck("link", 15.0))
    assert exits(pole) == [75], "each leaves a thread and a socket"


@pytest.mark.parametrize(
    ("source", "within_s"),
    [(RELAY, FETCH_WAIT_S), (Source(file=File("https://files.example/a.mp3", "a" * 64, 409_600)), FETCH_WAIT_S + 100)],
)
def test_a_worker_that_never_answers_gives_way_to_the_next_source(source: Source, within_s: float) -> None:
    pole = make_pole(Behaviour(fetch_s=None)).start().connect()
    ordered_s = pole.mono_s
    pole.order(altered(play("news", source), sources=(source, CHIME)))
    pole.run(within_s + 5.0)
    assert [each.item for each in pole.heard] or pole.amplifier_on
    (sounded,) = [when for when, _ in pole.of(do.Sound)]
    assert ordered_s + within_s <= sounded <= ordered_s + within_s + 3.0


def test_an_emergency_gives_way_to_its_next_source_much_sooner() -> None:
    pole = make_pole(Behaviour(fetch_s=None)).start().connect()
    ordered_s = pole.mono_s
    pole.order(play("flood", FILE, SIREN, kind=Kind.EMERGENCY))
    pole.run(FETCH_PATIENCE_S + 5.0)
    (sounded,) = [when for when, _ in pole.of(do.Sound)]
    assert ordered_s + FETCH_PATIENCE_S <= sounded <= ordered_s + FETCH_PATIENCE_S + 3.0


def test_where_there_is_no_other_it_is_recorded() -> None:
    pole = make_pole(Behaviour(fetch_s=None)).start().connect()
    pole.order(play("news", FILE))
    pole.run(FETCH_WAIT_S + 5.0)
    assert [(each.result, each.reason) for each in pole.records] == [("failed", Reason.STALLED)]
