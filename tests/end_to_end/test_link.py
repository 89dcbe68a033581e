"""The broker dies and comes back while a programme sounds."""

import json
import signal
import time
from collections import Counter

import pytest

from agent.messages.commands import Play, Restart, SetVolume
from agent.messages.sources import Builtin, BuiltinName, Source
from agent.messages.words import Kind
from rig.sound import Daemon, wait_until
from rig.village import Node, Station

TONE = Source(builtin=Builtin(BuiltinName.TONE))


@pytest.mark.timeout(240)
def test_play_goes_on_and_the_record_arrives_exactly_once(station: Station, sound: Daemon) -> None:
    with Node(station, sound) as node, station.listen() as ear, sound.recorder() as recorder:
        station.send(station.sign(Play("through", Kind.NORMAL, "tone", (TONE,), 6)))
        recorder.wait_for_sound()
        station.broker.kill()
        node.wait_for_line("link down")
        since = len(recorder.samples())
        heard = recorder.listen(2.0)
        assert abs(heard).max() > 1_000, "the programme goes on without a broker"
        node.wait_for_line("item through: played")
        assert len(recorder.samples()) > since
        station.broker.restart()
        record = ear.record("through")
        assert (record["result"], record["played_s"]) == ("played", 6.0)
        # Whatever else the node has to say comes after it; nothing comes twice.
        order = station.sign(Play("after", Kind.NORMAL, "tone", (TONE,), 1))
        station.send(order)
        ear.record("after")
        until_s = time.monotonic() + 1.0  # nothing to wait for: this is how long a copy has time to come
        while time.monotonic() < until_s:
            ear.take()
        copies = Counter((each["boot"], each["seq"]) for each in ear.reports)
        assert set(copies.values()) == {1}
        seqs = sorted(each["seq"] for each in ear.reports)
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), "no report is missing"
        with station.listen() as late:
            late.wait(lambda: bool(late.states), what="the retained state")
            assert late.states[0]["online"] is True, "a will of the old connection is not what stays"


def test_the_will_tells_of_a_killed_node(station: Station, sound: Daemon) -> None:
    node = Node(station, sound)
    node.start()
    with station.listen() as ear:
        node.end(signal.SIGKILL)
        ear.wait(lambda: bool(ear.states) and ear.states[-1]["online"] is False, what="the last will")
        assert ear.states[-1]["boot"] == ear.states[0]["boot"]


def test_a_restart_that_was_ordered_ends_the_process_once(station: Station, sound: Daemon) -> None:
    node = Node(station, sound, name="anew")
    trust = station.trust_document()
    trust["keys"][0]["may"].append("restart")
    (node.folder / "trust.yaml").write_text(json.dumps(trust))
    with station.listen() as ear, node:
        order = station.sign(Restart(), to="node:hoang-dao/anew")
        station.send(order, node="anew")
        wait_until(lambda: not node.running, what="the end of the process")
        assert node.end() == 0
        since = len(node.log)
        node.start()
        assert ear.outcome(order.jti)["outcome"] == "accepted"
        station.send(order, node="anew")
        marker = station.sign(SetVolume(44), to="node:hoang-dao/anew")
        station.send(marker, node="anew")
        assert ear.outcome(marker.jti)["outcome"] == "accepted"
        assert node.running, node.log[since:]
        assert len([each for each in ear.of("command_outcome") if each["jti"] == order.jti]) == 1
