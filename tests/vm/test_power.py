"""The mains fail while something sounds: qemu is killed, and the same disk boots again."""

import time

from agent.messages.commands import Play, Stop
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.ear import Ear
from rig.heard import rms_dbfs
from rig.village import Station
from rig.vm.guest import LONG_AGO, PATIENCE_S, Guest
from rig.vm.pole import REST, Pole

TONE = Source(builtin=Builtin(BuiltinName.TONE))
QUIET_DBFS = -60.0
TONE_S = 3_600
"""Longer than any boot."""


def test_what_a_power_cut_interrupts_goes_on_once_the_time_is_known_and_is_recorded_once(
    guest: Guest, station: Station, ear: Ear
) -> None:
    play = Play("tone", Kind.NORMAL, "title", (TONE,), TONE_S)
    signed = station.sign(play, lifetime_s=2 * TONE_S)
    guest.boot()
    with Pole(guest) as pole:
        pole.wait_for_line("Started loa-agent")
        pole.synchronise()
        station.send(signed)
        pole.wait_for_line("item tone: sounding")
        pole.wait(lambda: pole.relays_closed, what="relays closed")
        guest.cut_power()

    guest.boot(LONG_AGO)
    with Pole(guest) as pole:
        pole.wait_for_line("Started loa-agent")
        assert "clock: not trusted" in pole.status()
        for gpio, rest in REST.items():
            assert [each.level for each in pole.levels(gpio)] == [rest]
        guest.run(f"date --set=@{time.time():.0f}")
        pole.synchronise()
        pole.wait(lambda: pole.relays_closed, what="relays closed")
        with pole.listened_to() as recording:
            pass
        assert rms_dbfs(recording.samples) > QUIET_DBFS
        stop = station.sign(Stop(reason="heard enough", item="tone"))
        station.send(signed)  # what has been obeyed is no news
        station.send(stop)
        assert ear.outcome(stop.jti, PATIENCE_S)["outcome"] == "accepted"
        record = ear.record("tone", PATIENCE_S)
        assert record["result"] == "stopped", (record, *pole.journal()[-20:])
        pole.wait(lambda: pole.relays_open, what="relays open")
    assert len([each for each in ear.of("play_record") if each["item"] == "tone"]) == 1
    assert len([each for each in ear.of("command_outcome") if each["jti"] == signed.jti]) == 1
