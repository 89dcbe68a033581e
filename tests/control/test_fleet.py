"""The fold: from bytes on the nodes' topics to what is known, with all that a hostile broker may write."""

import io
import json
from collections.abc import Mapping

from rich.console import Console

from control.fleet import Fleet, KeyState, Node, fold
from control.sightings import MAX_HINT_BYTES, MAX_REPORT_BYTES, Proof, ReportSeen, Unreadable, seen
from control.table import rendered, trouble
from control.watching import node_line, sighting_line
from tests.control.simulated_node import heartbeat, new_key, public_of, report_claims, signed_report, state

NODE = "hoang-dao/hd-03"
TOPIC = "loa/v1/hoang-dao/node/hd-03"
KEY = new_key()
ENROLLED = {NODE: public_of(KEY)}
STATUS = {
    "type": "status",
    "agent_version": "1",
    "trust_version": 1,
    "trust_sha256": "0" * 64,
    "volume_percent": 80,
    "muted": False,
    "clock": {"trusted": True, "evidence": "kernel", "floor": 1},
    "playing": None,
    "waiting": 0,
}
OUTCOME = {"type": "command_outcome", "iss": "op", "jti": "j" * 16, "outcome": "accepted", "reason": None}
ALARM = {"type": "alarm", "what": "stall", "detail": "no sound", "count": 3}
RECORD = {
    "type": "play_record",
    "item": "tin-1",
    "iss": "op",
    "jti": "j" * 16,
    "kind": "normal",
    "title": "t",
    "source": {"kind": "file", "sha256": "ab" * 32},
    "due_at": 1,
    "started_at": 1.5,
    "ended_at": 9.5,
    "requested_s": 60,
    "played_s": 8.0,
    "result": "stopped",
    "reason": "stopped",
    "volume_percent": 80,
    "amplifier_on_s": 10.0,
    "rms_dbfs": -20.1,
    "peak_dbfs": -3.0,
}


def after(
    *messages: tuple[str, bytes | str], enrolled: dict[str, str] | None = None, fleet: Fleet | None = None
) -> Fleet:
    fleet = fleet or Fleet(ENROLLED if enrolled is None else enrolled)
    for at, (what, payload) in enumerate(messages):
        sighting = seen(f"{TOPIC}/{what}", payload.encode() if isinstance(payload, str) else payload, fleet.enrolled)
        assert sighting is not None
        fleet = fold(fleet, sighting, float(at))
    return fleet


def the_node(fleet: Fleet) -> Node:
    node = fleet.get(NODE)
    assert node is not None
    assert fleet.count == 1
    return node


def report(seq: int, members: Mapping[str, object], *, node: str = NODE, typ: str = "loa-report+jws") -> str:
    return signed_report(report_claims(node, seq, members), KEY, typ=typ)


def words(node: Node, now: float = 0.0) -> tuple[str, ...]:
    return trouble(node, now)


def test_a_heartbeat_and_a_state_are_shown() -> None:
    seen_state = state(NODE, public=public_of(KEY), clock={"trusted": True, "evidence": "kernel", "floor": 1})
    node = the_node(
        after(("state", seen_state), ("heartbeat", heartbeat(amp="on", playing="tin-1", waiting=2, outbox=5)))
    )
    assert (node.online, node.clock, node.evidence, node.key) == (True, True, "kernel", KeyState.ENROLLED)
    assert (node.amp, node.playing, node.waiting, node.volume, node.outbox) == ("on", "tin-1", 2, 80, 5)
    assert node.heartbeat_at == 1.0
    assert words(node) == ()
    assert words(node, now=500.0) == ("silent",)


def test_a_fold_leaves_the_fleet_it_was_given() -> None:
    before = after(("heartbeat", heartbeat()))
    kept = the_node(before)
    after(("heartbeat", heartbeat(volume=10)), fleet=before)
    assert the_node(before) == kept
    assert kept.volume == 80


def test_an_old_last_will_does_not_take_a_node_offline() -> None:
    online = ("state", state(NODE, link=2))
    assert the_node(after(online, ("state", state(NODE, online=False, link=1)))).online
    assert the_node(after(online, ("state", state(NODE, online=False, link=2, boot="f" * 32)))).online
    offline = the_node(after(online, ("state", state(NODE, online=False, link=2))))
    assert offline.online is False
    assert "offline" in words(offline)


def test_another_public_key_in_state_is_an_alarm_and_no_update() -> None:
    other = public_of(new_key())
    fleet = after(("state", state(NODE, public=other)))
    assert the_node(fleet).key is KeyState.CHANGED
    assert words(the_node(fleet))[0] == "KEY CHANGED"
    back = the_node(after(("state", state(NODE, public=public_of(KEY))), fleet=fleet))
    assert back.key is KeyState.CHANGED, "it stays until somebody has looked"


def test_a_key_nobody_enrolled_is_named_and_its_change_too() -> None:
    first = ("state", state(NODE, public=public_of(KEY)))
    fleet = after(first, enrolled={})
    assert words(the_node(fleet)) == ("key not enrolled",)
    assert the_node(after(("state", state(NODE, public=public_of(new_key()))), fleet=fleet)).key is KeyState.CHANGED


def test_verified_reports_are_told_and_gaps_counted() -> None:
    node = the_node(after(("report", report(1, OUTCOME)), ("report", report(4, RECORD)), ("report", report(4, RECORD))))
    assert node.last_report == "stopped tin-1 8.0/60 s (stopped)"
    assert node.last_proof is Proof.VERIFIED
    assert words(node) == ("2 reports lost",)


def test_a_reported_alarm_stays_visible() -> None:
    node = the_node(after(("report", report(1, ALARM)), ("report", report(2, OUTCOME))))
    assert node.last_report == "accepted"
    assert words(node) == ("alarm: stall x3",)


def test_reports_of_an_unknown_key_are_shown_as_unproven() -> None:
    node = the_node(after(("report", report(1, OUTCOME)), enrolled={}))
    assert (node.last_report, node.last_proof) == ("accepted", Proof.KEY_UNKNOWN)


def test_forgeries_change_nothing_but_their_count() -> None:
    stranger = signed_report(report_claims(NODE, 9, ALARM), new_key())
    head, body, signature = report(1, OUTCOME).split(".")
    forgeries = (
        stranger,
        report(1, OUTCOME, typ="loa-command+jws"),
        report(1, OUTCOME, node="hoang-dao/hd-04"),
        f"{head}.{body}.{signature[:-4]}AAAA",
        "nonsense",
        "x" * (MAX_REPORT_BYTES + 1),
    )
    node = the_node(after(*(("report", forged) for forged in forgeries)))
    assert (node.forged, node.last_report, node.ledger.highest) == (len(forgeries), "", 0)
    assert words(node)[0] == f"FORGED x{len(forgeries)}"


def test_a_report_in_newer_words_keeps_its_place_in_the_count() -> None:
    newer: dict[str, object] = {"type": "weather", "rain": True}
    node = the_node(after(("report", report(1, OUTCOME)), ("report", report(2, newer)), ("report", report(3, OUTCOME))))
    assert (node.unreadable, node.ledger.lost, node.forged) == (1, 0, 0)


def test_hints_that_are_none_are_counted() -> None:
    bad = (b"", b"[]", b'{"boot":1}', b"\xff", b" " * (MAX_HINT_BYTES + 1))
    node = the_node(after(*(("heartbeat", payload) for payload in bad), *(("state", payload) for payload in bad)))
    assert node.unreadable == 10
    assert node.heartbeat_at is None


def test_other_topics_are_no_sightings() -> None:
    for topic in ("loa/v1/a/command/all", "loa/v1/a/node/B/state", "loa/v1/a/node/b/state/c", "", "loa/v1/a/node/b/x"):
        assert seen(topic, heartbeat(), {}) is None


def test_a_broker_that_invents_nodes_fills_no_memory() -> None:
    fleet = Fleet({})
    sighting = Unreadable("a/b", "state", "")
    full = Fleet({}, count=50_000)
    assert fold(full, sighting, 0.0).untold == 1
    assert fold(full, sighting, 0.0).get("a/b") is None
    assert fold(fleet, sighting, 0.0).count == 1


def test_many_nodes_are_all_kept_and_each_alone() -> None:
    fleet = Fleet({})
    for number in range(600):
        sighting = seen(f"loa/v1/a/node/n{number}/heartbeat", heartbeat(waiting=number), {})
        assert sighting is not None
        fleet = fold(fleet, sighting, 0.0)
    assert sorted(node.waiting or 0 for node in fleet) == list(range(600))


def drawn(fleet: Fleet, rows: int | None = None) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115  closed below
    with console.file:
        console.print(rendered(fleet, 0.0, wall=0.0, rows=rows, line="connected"))
        return console.export_text()


def test_what_fails_on_a_node_is_shown_until_a_heartbeat_no_longer_says_it() -> None:
    fleet = after(("heartbeat", heartbeat(faults=["disk", "card"])))
    assert words(the_node(fleet)) == ("disk fails and card fails",)
    assert words(the_node(after(("heartbeat", heartbeat()), fleet=fleet))) == ()


def test_a_node_whose_proofs_stay_away_while_its_hints_come_is_told() -> None:
    """Freeze: a hostile broker withholds the news, and writes heartbeats itself."""
    late_s = 6.6 * 3_600
    fleet = after(("state", state(NODE, public=public_of(KEY))))
    assert "no signed status" not in trouble(the_node(fleet), late_s - 3_600)
    assert "no signed status" in trouble(the_node(fleet), late_s)
    proven = after(("heartbeat", heartbeat()), ("report", report(1, STATUS)), fleet=fleet)
    assert the_node(proven).status_at == 1.0
    assert "no signed status" in trouble(the_node(proven), late_s + 1.0)
    assert "no signed status" not in trouble(the_node(proven), late_s - 3_600.0)
    stranger = after(("report", report(1, STATUS)), enrolled={})
    assert the_node(stranger).status_at is None
    assert trouble(the_node(stranger), 2 * late_s) == ("key not enrolled",)


def test_keys_that_end_soon_are_told_until_they_are_renewed() -> None:
    fleet = after(("state", state(NODE, public=public_of(KEY), key_ends="hd-operator")))
    assert words(the_node(fleet)) == ("keys end soon: hd-operator",)
    assert words(the_node(after(("state", state(NODE, public=public_of(KEY))), fleet=fleet))) == ()


def test_an_upgrade_that_was_taken_back_is_shown_until_the_node_no_longer_says_it() -> None:
    public = public_of(KEY)
    fleet = after(("state", state(NODE, public=public, rolled_back="0.2.0" + "\x1b" * 200)))
    assert words(the_node(fleet))[0].startswith("0.2.0")
    assert words(the_node(fleet))[0].endswith(" taken back")
    assert len(words(the_node(fleet))[0]) < 80
    assert words(the_node(after(("state", state(NODE, public=public)), fleet=fleet))) == ()


def test_the_table_shows_trouble_first_and_no_more_rows_than_fit() -> None:
    fleet = after(("state", state(NODE, public=public_of(new_key()))))
    for number in range(20):
        sighting = seen(f"loa/v1/a/node/n{number:02}/heartbeat", heartbeat(), {})
        assert sighting is not None
        fleet = fold(fleet, sighting, 0.0)
    text = drawn(fleet, rows=3)
    assert text.index(NODE) < text.index("a/n00") < text.index("a/n01")
    assert "a/n02" not in text
    assert "21 nodes, 1 online, 1 to look at, 18 more below" in text
    assert all(f"a/n{number:02}" in drawn(fleet) for number in range(20))


def test_a_narrow_screen_shows_whole_what_is_to_be_looked_at() -> None:
    fleet = after(("heartbeat", heartbeat(faults=["disk"], playing="tin-7", amp="linger")), enrolled={})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendered(fleet, 0.0, wall=0.0, rows=None, line="connected", width=80))
    text = console.export_text()
    assert "disk fails, key not enrolled" in text
    assert all(word in text for word in (NODE, "linger", "tin-7", "look at", "cần xem"))
    assert "…" not in text
    assert "outbox" in drawn(fleet)
    assert "outbox" not in text


def test_a_node_cannot_steer_the_terminal() -> None:
    fleet = after(("heartbeat", heartbeat(amp="\x1b]0;x\x07", playing="[red]\x1b[2J\u202e")))
    text = drawn(fleet)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]" in text, "markup is text"
    line = node_line(the_node(fleet), 0.0)
    assert line.isascii()
    assert line.isprintable()


def test_lines_of_json_say_what_was_proven() -> None:
    sightings = [
        seen(f"{TOPIC}/report", report(1, RECORD).encode(), ENROLLED),
        seen(f"{TOPIC}/report", report(1, RECORD).encode(), {}),
        seen(f"{TOPIC}/report", b"x", {}),
        seen(f"{TOPIC}/state", state(NODE), {}),
        seen(f"{TOPIC}/heartbeat", heartbeat(), {}),
    ]
    lines = [json.loads(sighting_line(sighting)) for sighting in sightings if sighting is not None]
    assert [(line["what"], line.get("proof")) for line in lines] == [
        ("report", "verified"),
        ("report", "key_unknown"),
        ("unreadable", "forged"),
        ("state", None),
        ("heartbeat", None),
    ]
    assert lines[0]["claims"]["report"]["played_s"] == 8.0
    assert isinstance(sightings[0], ReportSeen)
