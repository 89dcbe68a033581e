"""`loactl` against Debian's mosquitto and a simulated node: orders arrive, answers are verified, the watch sees all."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from typer.testing import CliRunner, Result

from control.__main__ import app
from control.broker import Broker as Line
from control.broker import Inbox
from control.clockmaker import NOT_SYNCHRONISED, Clockmaker
from control.fleet import Fleet
from control.keys import load
from control.problems import WorldError
from control.sending import connection
from control.settings import load as load_settings
from control.sightings import ReportSeen, Sighting
from control.watching import Watch
from rig.broker import Broker
from rig.certificates import Authority
from tests.control.simulated_node import SimulatedNode, Verdict, heartbeat, new_key, public_of, state
from tests.control.test_schedule import POLICY, SCHEDULE
from tests.test_clock import ASK_THE_KERNEL

WAIT_S = 60.0
NODE = "hoang-dao/hd-03"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), authority, plain=True) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, broker: Broker) -> Path:
    """A control machine: a key and a configuration, on the plain listener."""
    assert CliRunner().invoke(app, ["keygen", "hd-operator", "--out", str(tmp_path)]).exit_code == 0
    (tmp_path / "control.yaml").write_text(
        f"broker: {broker.plain_url}\nsite: hoang-dao\nsigning_key: hd-operator.pem\nauthority: op\n"
    )
    return tmp_path


def loactl(folder: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(app, [command, "--config", str(folder / "control.yaml"), *rest])


def operator_of(folder: Path) -> OKPKey:
    public = load(folder / "hd-operator.pem", "hd-operator").public
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": public})


@contextmanager
def node(broker: Broker, folder: Path, name: str = NODE, **options: Any) -> Iterator[SimulatedNode]:
    with SimulatedNode(broker.plain_port, name, operator_of(folder), **options) as running:
        yield running


def known(one: SimulatedNode) -> tuple[str, str]:
    return "--node-key", f"{one.name.split('/')[1]}={one.public}"


def test_a_play_reaches_its_node_and_the_outcome_comes_back_verified(broker: Broker, folder: Path) -> None:
    with node(broker, folder) as pole:
        result = loactl(
            folder,
            *("play", "--to", f"node:{NODE}", "--title", "Tiêm chủng", "--kind", "priority", "--max-duration", "90s"),
            *("--relay", "https://vov.example/1", "--builtin", "tone", "--relay=https://vov.example/2"),
            *("--volume", "70", "--repeat", "2", "--gap", "5", "--zone", "main", "--no-resume", "--wait", "30"),
            *known(pole),
        )
        claims = pole.heard()
    assert result.exit_code == 0, result.output
    command = claims["command"]
    assert command == {
        "type": "play",
        "item": command["item"],
        "kind": "priority",
        "title": "Tiêm chủng",
        "sources": [
            {"relay": {"uri": "https://vov.example/1"}},
            {"builtin": {"name": "tone"}},
            {"relay": {"uri": "https://vov.example/2"}},
        ],
        "max_duration_s": 90,
        "volume_percent": 70,
        "repeat": {"count": 2, "gap_s": 5},
        "zones": ["main"],
        "resume": False,
    }
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == ("op", [f"node:{NODE}"], 600)
    assert result.stdout.splitlines() == [
        f"item: {command['item']}",
        f"jti: {claims['jti']}",
        f"{NODE}  accepted",
    ]


def test_a_text_is_ordered_in_composed_unicode_on_one_line(broker: Broker, folder: Path) -> None:
    text = unicodedata.normalize("NFD", "Kính thưa  bà con,\n\tngày mai cắt điện.")
    with node(broker, folder) as pole:
        result = loactl(
            folder,
            *("say", text, "--to", f"node:{NODE}", "--kind", "priority", "--voice", "vi-vn-x-south", "--chime"),
            *("--max-duration", "2m", "--volume", "60", "--repeat", "3", "--gap", "10", "--wait", "30"),
            *known(pole),
        )
        command = pole.heard()["command"]
    assert result.exit_code == 0, result.output
    said = "Kính thưa bà con, ngày mai cắt điện."
    assert command == {
        "type": "play",
        "item": command["item"],
        "kind": "priority",
        "title": said,
        "sources": [{"speech": {"text": said, "language": "vi", "voice": "vi-vn-x-south"}}],
        "max_duration_s": 120,
        "volume_percent": 60,
        "repeat": {"count": 3, "gap_s": 10},
        "chime": True,
    }
    assert command["item"].startswith("priority-")


def test_a_file_is_ordered_by_its_hash(broker: Broker, folder: Path) -> None:
    (folder / "a.flac").write_bytes(b"fLaC" + bytes(96))
    with node(broker, folder) as pole:
        result = loactl(
            folder,
            *("play", "--to", f"node:{NODE}", "--title", "t", "--item", "tin-1", "--jti", "j" * 16),
            *("--file", str(folder / "a.flac"), "--uri", "https://tin.example/a.flac", "--wait", "30"),
        )
        claims = pole.heard()
    assert (result.exit_code, claims["jti"], claims["command"]["item"]) == (0, "j" * 16, "tin-1")
    (source,) = claims["command"]["sources"]
    assert source["file"]["uri"] == "https://tin.example/a.flac"
    assert source["file"]["bytes"] == 100
    assert "unverified: key not enrolled" in result.stdout


def refuses(_claims: Mapping[str, Any]) -> Verdict:
    return "refused", "not_permitted"


def test_a_refusal_is_told_with_its_reason_and_exit_code_3(broker: Broker, folder: Path) -> None:
    with node(broker, folder, judge=refuses) as pole:
        result = loactl(folder, "stop", "--to", f"node:{NODE}", "--all", "--reason", "x", "--wait", "30", *known(pole))
        assert pole.heard()["command"] == {"type": "stop", "reason": "x", "all": True}
    assert result.exit_code == 3
    assert f"{NODE}  refused: not_permitted\n" in result.stdout


def test_an_answer_under_another_key_is_no_answer(broker: Broker, folder: Path) -> None:
    with node(broker, folder):
        other = f"hd-03={public_of(new_key())}"
        result = loactl(folder, "mute", "--to", f"node:{NODE}", "--wait", "2", "--node-key", other)
    assert result.exit_code == 1
    assert f"{NODE}: a report that is not to be believed" in result.stderr
    assert f"{NODE}: no answer within 2 s" in result.stderr
    assert "accepted" not in result.stdout


def test_a_node_that_does_not_answer_is_named(broker: Broker, folder: Path) -> None:
    with node(broker, folder) as pole:
        audience = ("--to", "node:hoang-dao/hd-99", "--to", "group:hoang-dao/thon-2")
        result = loactl(folder, "volume", "40", *audience, "--wait", "4", *known(pole))
        assert pole.heard()["command"] == {"type": "set_volume", "percent": 40}
    assert result.exit_code == 1
    assert f"{NODE}  accepted" in result.stdout
    assert "hoang-dao/hd-99: no answer within 4 s" in result.stderr
    assert "nobody listens on loa/v1/hoang-dao/command/node/hd-99" in result.stderr


def test_where_nobody_listens_the_order_has_failed(folder: Path) -> None:
    result = loactl(folder, "report-now", "--to", "site:empty")
    assert result.exit_code == 1
    assert "nobody listens on loa/v1/empty/command/all" in result.stderr


def test_a_self_test_waits_for_what_the_node_has_found(broker: Broker, folder: Path) -> None:
    with node(broker, folder, detail="without a sound: sound card: no such card") as pole:
        result = loactl(folder, "self-test", "--to", f"node:{NODE}", *known(pole))
        assert pole.heard()["command"] == {"type": "self_test"}
    assert result.exit_code == 0, result.output
    assert f"{NODE}  accepted (without a sound: sound card: no such card)\n" in result.stdout


def test_a_restart_is_ordered_like_anything_else(broker: Broker, folder: Path) -> None:
    with node(broker, folder) as pole:
        result = loactl(folder, "restart", "--to", f"node:{NODE}", "--wait", "30", *known(pole))
        claims = pole.heard()
    assert (result.exit_code, claims["command"]) == (0, {"type": "restart"}), result.output
    assert claims["exp"] - claims["iat"] == 600, "one that comes back tomorrow is not restarted then"
    assert f"{NODE}  accepted\n" in result.stdout


def test_the_time_is_told_to_a_fresh_nonce_only(broker: Broker, folder: Path) -> None:
    untrusted = {"trusted": False, "evidence": "none", "floor": 1}
    old, fresh = "0" * 32, "f" * 32

    def judge(claims: Mapping[str, Any]) -> Verdict:
        if claims["command"]["type"] == "report_now":
            pole.queue("state", state(NODE, nonce=fresh, clock=untrusted))
        return "accepted", None

    with node(broker, folder, judge=judge) as pole:
        pole.says("state", state(NODE, nonce=old, clock=untrusted))
        result = loactl(folder, "time", "--to", f"node:{NODE}", "--wait", "30", *known(pole))
        asked, told = pole.heard(), pole.heard()
    assert result.exit_code == 0, result.output
    assert asked["command"] == {"type": "report_now"}
    assert told["command"] == {"type": "time", "nonce": fresh}
    assert abs(told["iat"] - time.time()) < WAIT_S
    assert f"{NODE}  accepted" in result.stdout


def test_a_node_that_believes_a_wrong_time_is_corrected_by_whom_it_is_told_to(broker: Broker, folder: Path) -> None:
    trusted = {"trusted": True, "evidence": "kernel", "floor": 1}
    with node(broker, folder) as pole:
        pole.says("state", state(NODE, nonce="a" * 32, clock=trusted))

        def judge(claims: Mapping[str, Any]) -> Verdict:
            """Its clock is ahead: of all orders it takes this one."""
            if claims["command"]["type"] != "time":
                return "refused", "expired"
            if claims["command"]["nonce"] == "b" * 32:
                return "accepted", None
            pole.queue("state", state(NODE, nonce="b" * 32, clock=trusted))
            return "refused", "bad_nonce"

        pole.judge = judge
        left_alone = loactl(folder, "time", "--to", f"node:{NODE}", "--wait", "3", *known(pole))
        assert (left_alone.exit_code, pole.orders.empty()) == (1, True)
        result = loactl(folder, "time", "--correct", "--to", f"node:{NODE}", "--wait", "30", *known(pole))
        asked, told = pole.heard(), pole.heard()
    assert (result.exit_code, result.stderr) == (0, "")
    assert [each["command"] for each in (asked, told)] == [
        {"type": "time", "nonce": "0" * 32},
        {"type": "time", "nonce": "b" * 32},
    ]
    assert "refused" not in result.stdout


@pytest.mark.parametrize("more", [(), ("--serve", "--to", f"node:{NODE}")])
def test_correcting_is_for_single_nodes_once(folder: Path, more: tuple[str, ...]) -> None:
    result = loactl(folder, "time", "--correct", *more)
    assert (result.exit_code, "--correct is for single nodes" in result.stderr) == (2, True)


@contextmanager
def serving_the_time(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """`loactl time --serve` as a process of its own, ended by SIGTERM as systemd does."""
    command = [sys.executable, "-m", "control", "time", "--serve", "--config", str(folder / "control.yaml"), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            yield serving
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.wait(WAIT_S)


def test_serving_the_time_answers_each_nonce_by_itself_also_after_the_next_power_cut(
    broker: Broker, folder: Path
) -> None:
    untrusted = {"trusted": False, "evidence": "none", "floor": 1}
    nonces = ["a" * 32, "b" * 32, "c" * 32]
    vouched = "--trust-this-clock"  # whatever this machine's kernel says
    with node(broker, folder) as pole, serving_the_time(folder, vouched, *known(pole)) as serving:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "answering whoever asks for the time in hoang-dao\n"
        pole.says("state", state(NODE, nonce=nonces[0], clock=untrusted))
        told = [pole.heard()["command"]]
        assert f"{NODE}  told" in serving.stdout.readline()
        assert serving.stdout.readline() == f"{NODE}  accepted\n"
        pole.says("heartbeat", heartbeat(clock=False, nonce="d" * 32))  # was on its way: it has its answer
        for nonce in nonces[1:]:
            pole.says("state", state(NODE, nonce=nonce, clock=untrusted))
            told.append(pole.heard()["command"])
    assert told == [{"type": "time", "nonce": nonce} for nonce in nonces]
    assert serving.returncode == 0


def test_serving_the_time_goes_on_trying_where_no_broker_is(folder: Path) -> None:
    with serving_the_time(folder, "--trust-this-clock", "--broker", "mqtt://127.0.0.1:9") as serving:
        assert serving.stderr is not None
        lines = [serving.stderr.readline() for _ in range(2)]
    assert [line.rpartition("; ")[2] for line in lines] == ["again in 1 s\n", "again in 2 s\n"]
    assert all("cannot reach the broker" in line for line in lines)
    assert serving.returncode == 0


def test_serving_the_time_asks_this_machines_kernel_first(folder: Path) -> None:
    """What the kernel says here, another process says as well."""
    with serving_the_time(folder, "--broker", "mqtt://127.0.0.1:9") as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline()
    asked = subprocess.run([sys.executable, "-c", ASK_THE_KERNEL], check=True, capture_output=True, text=True)
    expected = "cannot reach the broker" if asked.stdout == "synchronised\n" else NOT_SYNCHRONISED
    assert expected in line
    assert line.endswith("; again in 1 s\n")
    assert serving.returncode == 0


def test_a_clock_that_is_believed_no_longer_ends_the_answering_before_the_next_answer(
    broker: Broker, folder: Path
) -> None:
    """The kernel forgets its time server after nine hours: the connection is then given up, not the service."""
    untrusted = {"trusted": False, "evidence": "none", "floor": 1}
    settings = load_settings(folder / "control.yaml")
    with node(broker, folder) as pole, closing(connection(settings)) as session:
        session.open()
        session.listen(("hoang-dao",), "state")
        for nonce in ("a" * 32, "b" * 32):
            pole.says("state", state(NODE, nonce=nonce, clock=untrusted))
        believed = iter((True, False))
        clockmaker = Clockmaker(session, settings, {}, frozenset(), believes_clock=lambda: next(believed))
        with pytest.raises(WorldError, match="no time server has set this machine's clock lately"):
            clockmaker.listen(WAIT_S)
        assert pole.heard()["command"] == {"type": "time", "nonce": "a" * 32}
        assert pole.orders.empty()


def test_the_clock_is_vouched_for_only_where_it_is_served(folder: Path) -> None:
    result = loactl(folder, "time", "--trust-this-clock")
    assert (result.exit_code, "--trust-this-clock goes with --serve" in result.stderr) == (2, True)


def test_over_tls_with_certificates_and_without_trust_not_at_all(
    broker: Broker, authority: Authority, folder: Path, tmp_path: Path
) -> None:
    control = authority.client("control")
    sending = ("stop", "--all", "--reason", "x", "--to", "site:empty", "--broker", broker.url)
    ours = ("--certificate", str(control.certificate), "--key", str(control.key))
    good = loactl(folder, *sending, "--ca", str(authority.ca), *ours)
    assert "nobody listens" in good.stderr, "it was let in"
    wrong = loactl(folder, *sending, "--ca", str(Authority(tmp_path / "other").ca), *ours)
    assert (wrong.exit_code, "not the broker we trust" in wrong.stderr) == (1, True)
    without = loactl(folder, *sending, "--ca", str(authority.ca))
    assert without.exit_code == 1
    assert without.stderr.count("\n") == 1


def test_a_tls_key_that_others_may_read_is_refused_with_what_mends_it(
    broker: Broker, authority: Authority, folder: Path
) -> None:
    control = authority.client("control-open")
    control.key.chmod(0o644)
    sending = ("stop", "--all", "--reason", "x", "--to", "site:empty", "--broker", broker.url)
    files = ("--ca", str(authority.ca), "--certificate", str(control.certificate), "--key", str(control.key))
    refused = loactl(folder, *sending, *files)
    assert (refused.exit_code, f"chmod 600 {control.key}" in refused.stderr) == (2, True)


def test_watch_once_prints_the_table_or_lines(broker: Broker, folder: Path) -> None:
    with node(broker, folder) as pole:
        pole.says("state", state(NODE, public=pole.public))
        text = loactl(folder, "watch", "--once", "1.5", "--as", "once", *known(pole))
        lines = loactl(folder, "watch", "--once", "1.5", "--as", "once", "--json", *known(pole))
    assert text.exit_code == lines.exit_code == 0, text.output
    assert "hd-03" in text.stdout
    assert "1 nodes, 1 online" in text.stdout
    (line,) = [json.loads(line) for line in lines.stdout.splitlines()]
    assert (line["node"], line["online"], line["key"]) == (NODE, True, "enrolled")


class Running:
    """`loactl watch` as a process of its own, its output a pipe or a terminal."""

    def __init__(self, folder: Path, *arguments: str, output: int, reader: int) -> None:
        self._reader = reader
        self.text = ""
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "control", "watch", "--config", str(folder / "control.yaml"), *arguments],
            stdout=output,
            stderr=output,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        os.close(output)

    def until(self, seen: Callable[[str], bool]) -> str:
        """What it has written, once that holds."""
        deadline = time.monotonic() + WAIT_S
        while not seen(self.text):
            ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"not seen within {WAIT_S} s: {self.text[-1_000:]!r}"
            try:
                chunk = os.read(self._reader, 65_536)
            except OSError:  # the terminal's other end is closed
                chunk = b""
            if not chunk:
                assert seen(self.text), f"it ended: {self.text[-1_000:]!r}"
                break
            self.text += chunk.decode(errors="replace")
        return self.text

    def end(self, number: signal.Signals) -> int:
        """The exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def running(folder: Path, *arguments: str, output: int, reader: int) -> Iterator[Running]:
    child = Running(folder, *arguments, output=output, reader=reader)
    try:
        yield child
    finally:
        child.process.kill()
        child.process.wait()
        os.close(reader)


ALARM = {"type": "alarm", "what": "first", "detail": "", "count": 1}


def new_watch(broker: Broker, name: str, *poles: SimulatedNode) -> Watch:
    """A watch of hoang-dao whose session the broker keeps under this name."""
    inbox = Inbox()
    line = Line(
        host="127.0.0.1",
        port=broker.plain_port,
        tls=False,
        ca=None,
        certificate=None,
        key=None,
        client_id=name,
        session_s=60,
        inbox=inbox,
    )
    return Watch(line, inbox, ("hoang-dao",), Fleet({pole.name: pole.public for pole in poles}))


class SeenError(Exception):
    """What was waited for has been seen."""


def watched(watch: Watch, enough: Callable[[Watch, list[Sighting]], bool]) -> list[Sighting]:
    """What the watch saw, from its start until it was enough; its connection is closed."""
    deadline = time.monotonic() + WAIT_S
    seen: list[Sighting] = []

    def looked(watch: Watch) -> None:
        if enough(watch, seen):
            raise SeenError
        assert time.monotonic() < deadline, f"not seen within {WAIT_S} s: {watch.line}, {seen}"

    with closing(watch.broker), contextlib.suppress(SeenError):
        watch.run(seconds=None, told=seen.append, drawn=looked)
    return seen


def test_what_was_reported_while_no_watch_ran_comes_at_the_next(broker: Broker, folder: Path) -> None:
    with node(broker, folder) as pole:
        watched(new_watch(broker, "away", pole), lambda watch, _: watch.heard_since is not None)
        pole.report(ALARM)
        first = watched(new_watch(broker, "away", pole), lambda _, seen: len(seen) == 1)
        pole.report({**ALARM, "what": "second"})
        pole.report({**ALARM, "what": "forged"}, key=new_key())
        then = watched(new_watch(broker, "away", pole), lambda _, seen: len(seen) == 2)
    assert [told(sighting) for sighting in (*first, *then)] == ["verified 1", "verified 2", "forged"]


def told(sighting: Sighting) -> str:
    return f"verified {sighting.claims.seq}" if isinstance(sighting, ReportSeen) else getattr(sighting, "proof", "?")


def test_what_was_not_acknowledged_comes_again(broker: Broker, folder: Path) -> None:
    def dies(_: object) -> None:
        raise SeenError

    with node(broker, folder) as pole:
        watched(new_watch(broker, "dies", pole), lambda watch, _: watch.heard_since is not None)
        pole.report(ALARM)
        dying = new_watch(broker, "dies", pole)
        with closing(dying.broker), pytest.raises(SeenError):
            dying.run(seconds=None, told=dies, drawn=lambda _: None)
        again = watched(new_watch(broker, "dies", pole), lambda _, seen: len(seen) == 1)
    assert [told(sighting) for sighting in again] == ["verified 1"]


def test_the_watch_outlives_its_broker(broker: Broker, folder: Path) -> None:
    lines: list[str] = []

    def through(watch: Watch, _: object) -> bool:
        if watch.line not in lines:
            lines.append(watch.line)
            if watch.line == "connected, new session":
                broker.restart()
        return watch.line == "connected, session resumed"

    watched(new_watch(broker, "outlives"), through)
    assert lines[0] == "connecting"
    assert lines[1] == "connected, new session"
    assert all("trying again" in line for line in lines[2:-1])


def test_a_second_watch_of_the_same_name_ends_the_first(broker: Broker) -> None:
    second = new_watch(broker, "twice")

    def second_comes(watch: Watch, _: object) -> bool:
        if watch.heard_since is not None and second.line == "connecting":
            second.line = "opened"
            second.broker.open()
        return False

    with closing(second.broker), pytest.raises(WorldError, match="another loactl"):
        watched(new_watch(broker, "twice"), second_comes)


def test_lines_are_written_as_they_come_and_sigterm_ends_it_cleanly(broker: Broker, folder: Path) -> None:
    reader, writer = os.pipe()
    with node(broker, folder) as pole, running(folder, "--json", *known(pole), output=writer, reader=reader) as lines:
        pole.says("state", state(NODE))
        text = lines.until(lambda text: "\n" in text)
        assert json.loads(text)["state"]["online"] is True
        assert lines.end(signal.SIGTERM) == 0


def test_the_live_table_leaves_the_terminal_as_it_was(broker: Broker, folder: Path) -> None:
    reader, terminal = pty.openpty()
    with node(broker, folder) as pole, running(folder, *known(pole), output=terminal, reader=reader) as live:
        live.until(lambda text: "connected" in text)
        pole.says("heartbeat", heartbeat(amp="on", playing="tin-7"))
        live.until(lambda text: "tin-7" in text)
        assert live.end(signal.SIGINT) == 0
        assert "Traceback" not in live.until(lambda text: "\x1b[?1049l" in text)


@pytest.mark.parametrize("what", [("play", "--title", "t", "--builtin", "tone"), ("say", "Xin chào")])
def test_several_nodes_are_given_one_instant_to_begin_on(broker: Broker, folder: Path, what: tuple[str, ...]) -> None:
    order = (*what, "--to", "group:hoang-dao/thon-2")
    with node(broker, folder) as pole:
        for more in ((), ("--start-at", "now"), ("--kind", "emergency")):
            assert loactl(folder, *order, *more).exit_code == 0
        together, at_once, emergency = (pole.heard() for _ in range(3))
    assert together["command"]["start_at"] == together["iat"] + 10
    assert "start_at" not in at_once["command"]
    assert "start_at" not in emergency["command"]


def test_items_are_put_in_order_and_files_are_fetched_beforehand(broker: Broker, folder: Path) -> None:
    (folder / "a.flac").write_bytes(b"fLaC" + bytes(96))
    with node(broker, folder) as pole:
        file = (str(folder / "a.flac"), "--uri", "https://tin.example/a.flac")
        ordered = loactl(folder, "order", "b", "a", "--to", f"node:{NODE}")
        fetched = loactl(folder, "prefetch", *file, "--pin", "--to", f"node:{NODE}", *known(pole))
        order, prefetch = pole.heard(), pole.heard()
    assert (ordered.exit_code, fetched.exit_code) == (0, 0), fetched.output
    assert order["command"] == {"type": "order", "items": ["b", "a"]}
    (source,) = prefetch["command"]["sources"]
    assert (source["file"]["uri"], source["file"]["bytes"]) == ("https://tin.example/a.flac", 100)
    assert (prefetch["command"]["pin"], prefetch["exp"] - prefetch["iat"]) == (True, 7 * 86_400)


def stale(_claims: Mapping[str, Any]) -> Verdict:
    return "refused", "stale_version"


def test_a_schedule_and_a_policy_are_sent_and_a_stale_one_is_told(broker: Broker, folder: Path) -> None:
    (folder / "lich.yaml").write_text(SCHEDULE)
    (folder / "tin.flac").write_bytes(b"fLaC" + bytes(96))
    (folder / "quy-che.yaml").write_text(POLICY)

    def send(sort: str, name: str, *more: str) -> Result:
        addressed = ("--to", f"node:{NODE}", "--config", str(folder / "control.yaml"))
        return CliRunner().invoke(app, [sort, "send", str(folder / name), *addressed, *more])

    with node(broker, folder) as pole:
        for sort, name in (("schedule", "lich.yaml"), ("policy", "quy-che.yaml")):
            result = send(sort, name, *known(pole))
            claims = pole.heard()
            assert result.exit_code == 0, result.output
            assert claims["command"]["type"] == f"set_{sort}"
            assert claims["exp"] - claims["iat"] == 7 * 86_400
            assert f"version: {claims['iat']}\nsha256: " in result.stdout
            assert f"{NODE}  accepted" in result.stdout
        pole.judge = stale
        result = send("policy", "quy-che.yaml", *known(pole))
        pole.heard()
        assert (result.exit_code, "refused: stale_version" in result.stdout) == (3, True)
        assert "leave `version:` out" in result.stderr


def test_a_schedule_with_warnings_is_sent_only_on_purpose(broker: Broker, folder: Path) -> None:
    every_day = SCHEDULE.replace("[mon, wed]", "[mon, tue, wed, thu, fri, sat, sun]")
    (folder / "lich.yaml").write_text(every_day)
    (folder / "tin.flac").write_bytes(b"fLaC" + bytes(96))
    (folder / "quy-che.yaml").write_text(POLICY)
    order = ["schedule", "send", str(folder / "lich.yaml"), "--policy", str(folder / "quy-che.yaml")]
    addressed = ["--to", f"node:{NODE}", "--config", str(folder / "control.yaml")]
    with node(broker, folder) as pole:
        held = CliRunner().invoke(app, [*order, *addressed])
        assert held.exit_code == 1
        assert "will not sound, policy_quiet_hours" in held.stderr
        assert "nothing was sent" in held.stderr
        assert pole.orders.empty()
        assert CliRunner().invoke(app, [*order, "--anyway", *addressed]).exit_code == 0
        assert len(pole.heard()["command"]["slots"]) == 1
