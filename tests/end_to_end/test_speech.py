"""A signed text is spoken on the pole, by the real espeak-ng, and heard."""

from agent.messages.commands import Play
from agent.messages.sources import Source, Speech
from agent.messages.words import Kind
from rig.heard import sounding
from rig.sound import Daemon, wait_until
from rig.village import Node, Station
from tests.speaking import NOTICE


def test_a_text_is_heard_and_what_nobody_speaks_gives_way_to_the_next_source(station: Station, sound: Daemon) -> None:
    hmong, vietnamese = Source(speech=Speech("Nyob zoo", "hmn")), Source(speech=Speech(NOTICE, "vi"))
    with Node(station, sound) as node, station.listen() as ear, sound.recorder() as recorder:
        for name, sources in (("first", (vietnamese,)), ("again", (hmong, vietnamese))):
            since = len(recorder.samples())
            station.send(station.sign(Play(name, Kind.NORMAL, "Cắt điện", sources, 120)))
            record = ear.record(name)
            recorder.listen(0.3)
            stretches = sounding(recorder.samples(since))
            assert (record["result"], record["source"]) == ("played", {"kind": "speech"})
            assert 8 < record["played_s"] < 16
            heard_s = (stretches[-1][1] - stretches[0][0]) / 48_000
            assert abs(heard_s - record["played_s"]) < 1.0
            assert -22 < record["rms_dbfs"] < -13
        assert len(list((node.folder / "runtime" / "speech").iterdir())) == 1
        station.send(station.sign(Play("nobody", Kind.NORMAL, "Hmong", (hmong,), 120)))
        record = ear.record("nobody")
        assert (record["result"], record["reason"], record["played_s"]) == ("failed", "no_voice", 0.0)
        wait_until(lambda: not node.relay_on, what="relay off")
