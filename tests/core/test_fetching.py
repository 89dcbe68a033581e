"""Sources that are slow or cannot be had: nothing lesser stands in an emergency's way, and it is tried again."""

import pytest

from agent.core.stages import FETCH_PATIENCE_S
from agent.fetch import MAX_AT_ONCE
from agent.messages import effects as do
from agent.messages.sources import File, Source, Speech
from agent.messages.words import Kind
from tests.core.pole import FILE, RELAY, Behaviour, Pole, make_pole, play

SLOW = tuple(Source(file=File(f"https://slow.example/{n}.mp3", f"{n}" * 64, 400_000_000)) for n in range(6))
TEXTS = tuple(Source(speech=Speech(f"thông báo {n}", "vi")) for n in range(6))


def pole_of(**behaviour: object) -> Pole:
    behave = Behaviour(**{"sound_length_s": 30.0, **behaviour})  # type: ignore[arg-type]
    return make_pole(behave, heartbeat_s=3_600).start().connect()


def asked(pole: Pole) -> list[bool]:
    """Of what is asked of fetch or speech, and not given back, whether it is urgent."""
    found: dict[int, bool] = {}
    for _, effect in pole.history:
        match effect:
            case do.FetchFile(token=token) | do.OpenStream(token=token) | do.Speak(token=token):
                found[token] = effect.urgent
            case do.CancelFetch(token=token):
                found.pop(token, None)
    return list(found.values())


class TestTheLine:
    @pytest.mark.parametrize("sources", [SLOW, TEXTS])
    def test_what_an_emergency_needs_is_not_shared_with_lesser_sources(self, sources: tuple[Source, ...]) -> None:
        slow = {"speech": 600.0} | {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(sound_length_s=9_000.0, fetch_slow=slow)
        for number in (1, 2):
            pole.order(play(f"n{number}", sources[number]), life_s=80_000)
            pole.run(6.0)
        pole.order(play("vov", RELAY, max_duration_s=7_200), life_s=80_000)
        pole.run(60.0)
        assert asked(pole) == [False] * 3
        pole.order(play("flood", sources[5], kind=Kind.EMERGENCY))
        pole.run(0.0)
        assert asked(pole) == [False, True], "the relay on the air goes on"

    def test_it_is_shared_once_the_emergency_is_slow_and_not_while_it_asks_its_next_source(self) -> None:
        slow = {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(fetch_slow=slow)
        pole.order(play("flood", SLOW[0], SLOW[1], kind=Kind.EMERGENCY))
        pole.order(play("notice", SLOW[2]))
        pole.run(FETCH_PATIENCE_S - 0.1)
        assert asked(pole) == [True]
        pole.run(0.2)
        assert asked(pole) == [True]
        pole.run(FETCH_PATIENCE_S)
        assert asked(pole) == [True, False]

    def test_what_gave_way_is_fetched_on_and_sounds(self) -> None:
        pole = pole_of(fetch_slow={"https://files.example/a.mp3": 20.0, "https://radio.vov.example/live": 3.0})
        pole.order(play("notice", FILE))
        pole.run(10.0)
        pole.order(play("flood", RELAY, kind=Kind.EMERGENCY, max_duration_s=20))
        pole.run(100.0)
        assert [each.item for each in pole.heard] == ["flood", "notice"]
        assert pole.heard[1].at_s == pytest.approx(pole.heard[0].at_s + 20.0 + 10.0, abs=1.0), "half of it was here"

    def test_no_more_is_asked_for_than_there_are_threads(self) -> None:
        slow = {each.file.uri: 80_000.0 for each in SLOW if isinstance(each.file, File)}
        pole = pole_of(sound_length_s=9_000.0, fetch_slow=slow)
        pole.order(play("vov", RELAY, kind=Kind.EMERGENCY, max_duration_s=7_200), life_s=80_000)
        pole.run(1.0)
        for number, source in enumerate(SLOW):
            pole.order(play(f"n{number}", source), life_s=80_000)
            pole.order(play(f"e{number}", source, kind=Kind.EMERGENCY), life_s=80_000)
            pole.run(7.0)
            assert asked(pole).count(True) <= MAX_AT_ONCE
            assert asked(pole).count(False) <= MAX_AT_ONCE
