"""`init`: by options, and asked at a real terminal; what it writes is what `check` takes."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import yaml

from agent.config import load_config
from rig.boot_partition import TRUST, environment
from rig.certificates import Authority

GIVEN = {
    "--node": "hd-03",
    "--site": "hoang-dao",
    "--brokers": "mqtts://mqtt.hoang-dao.example, mqtts://other.example:443",
    "--device": "plughw:CARD=dac",
    "--gpio": "17",
    "--active": "high",
}
PATIENCE_S = 60.0


def init(path: Path, *more: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    options = {**GIVEN, **{f"--{name}": value for name, value in changes.items()}}
    words = [word for option, value in options.items() if value for word in (option, value)]
    return subprocess.run(
        [sys.executable, "-m", "agent", "init", "--config", str(path), *words, *more],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(),
    )


def add_files(folder: Path) -> None:
    authority = Authority(folder / "pki")
    identity = authority.client("hd-03")
    for name, source in (("ca.pem", authority.ca), ("node.crt", identity.certificate), ("node.key", identity.key)):
        source.rename(folder / name)
    (folder / "trust.yaml").write_text(TRUST)


def test_what_is_written_is_taken_by_check_once_the_files_are_there(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "node.yaml"
    done = init(path, "--groups", "thon-2, thon-3", "--allow", "https://*.vov.vn", "--quiet-hours", "21:00-04:45")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path} is written." in done.stdout
    assert "Put these beside it: ca.pem, node.crt, node.key, trust.yaml" in done.stdout
    assert [each.name for each in path.parent.iterdir()] == ["node.yaml"]
    assert path.stat().st_mode & 0o777 == 0o644
    add_files(path.parent)
    command = [sys.executable, "-m", "agent", "check", "--config", str(path)]
    check = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment())
    assert check.returncode == 0, check.stdout
    config = load_config(path)
    assert (config.node, config.site, config.groups) == ("hd-03", "hoang-dao", ("thon-2", "thon-3"))
    assert [each.host for each in config.mqtt.brokers] == ["mqtt.hoang-dao.example", "other.example"]
    assert config.policy is not None
    assert [(zone.gpio, zone.active) for zone in config.amplifier] == [(17, "high")]
    assert (config.sources.allow, config.policy.quiet_hours[0].start_minute) == (("https://*.vov.vn",), 21 * 60)


def test_it_is_commented_in_both_languages(tmp_path: Path) -> None:
    init(tmp_path / "node.yaml")
    text = (tmp_path / "node.yaml").read_text("utf-8")
    comments = [line for line in text.splitlines() if line.strip().startswith("#")]
    assert len(comments) > 8
    assert "Card âm thanh" in text
    assert "The sound card by name" in text
    assert "policy" not in text, "what was not asked for is not limited"


@pytest.mark.parametrize("name", ["017", "on", "null", "2026-01-01", "1e3"])
def test_names_that_yaml_would_take_for_something_else_stay_names(tmp_path: Path, name: str) -> None:
    assert init(tmp_path / "node.yaml", node=name, brokers="mqtt://localhost").returncode == 0
    assert yaml.safe_load((tmp_path / "node.yaml").read_text())["node"] == name


def test_a_broker_on_this_machine_needs_no_certificates(tmp_path: Path) -> None:
    done = init(tmp_path / "node.yaml", "--mock", brokers="mqtt://127.0.0.1")
    assert "Put these beside it: trust.yaml" in done.stdout
    (tmp_path / "trust.yaml").write_text(TRUST)
    assert load_config(tmp_path / "node.yaml").gpio.factory == "mock"


def test_what_is_missing_or_wrong_is_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    done = init(tmp_path / "node.yaml", node="", gpio="28", active="hi", device="default")
    assert (done.returncode, done.stderr) == (2, "")
    assert done.stdout.splitlines() == [
        "--node is missing: The node's name, such as hd-03?",
        (
            "audio.device is default, which others may hold or mix into: "
            "write plughw:CARD=NAME, with a NAME that `aplay -l` shows"
        ),
        "amplifier.main.gpio is 28: write a whole number from 0 to 27, the Broadcom number",
        'amplifier.main.active is "hi": write high or low',
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_unless_it_is_forced(tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_text("mine\n")
    done = init(path)
    assert (done.returncode, done.stderr) == (
        1,
        f"loa-agent: {path} is there already: remove it, or add --force\n",
    )
    assert path.read_text() == "mine\n"
    assert init(path, "--force").returncode == 0
    assert path.read_text().startswith("# Loa: ")
    assert [each.name for each in tmp_path.iterdir()] == ["node.yaml"]


# At a terminal ------------------------------------------------------------------------------------------------------


class Terminal:
    """A technician at a keyboard: waits for words, and types."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", sys.executable, "-m", "agent", "init", "--config", str(path), *options],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(),
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._master)  # hangs up
        self._process.wait(PATIENCE_S)

    def wait_for(self, words: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while words not in self.shown:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{words!r} did not come: {self.shown}"
            if select.select([self._master], [], [], left_s)[0]:
                self._read()

    def _read(self) -> bool:
        try:
            part = os.read(self._master, 4_096)
        except OSError:  # the other side is closed
            return False
        self.shown += part.decode("utf-8", "replace")
        return bool(part)

    def answer(self, question: str, typed: str) -> None:
        self.wait_for(question)
        self.shown = ""
        os.write(self._master, f"{typed}\n".encode())

    def interrupt(self) -> int:
        """Ctrl-C, as a person presses it: again where nothing happens, since Python may just be about to read."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self._process.poll() is None:
            assert time.monotonic() < deadline_s, f"it goes on: {self.shown}"
            os.write(self._master, b"\x03")
            while select.select([self._master], [], [], 1.0)[0] and self._read():
                pass
        return self._process.wait(PATIENCE_S)

    def end(self) -> int:
        while self._read():
            pass
        return self._process.wait(PATIENCE_S)


def test_questions_are_asked_one_by_one_and_again_where_the_answer_is_wrong(tmp_path: Path) -> None:
    with Terminal(tmp_path / "node.yaml", "--device", "plughw:CARD=dac") as terminal:
        terminal.answer("The node's name", "hd 03")
        terminal.wait_for('node is "hd 03": write a name of a to z')
        terminal.answer("The node's name", "hd-03")
        terminal.answer("The commune's name", "hoang-dao")
        terminal.answer("Groups", "")
        terminal.answer("The MQTT server", "mqtt.example.vn")
        terminal.wait_for('mqtt.brokers[1] is "mqtt.example.vn": write mqtts://HOST:PORT')
        terminal.answer("The MQTT server", "mqtts://mqtt.example.vn")
        terminal.answer("The relay's GPIO by Broadcom number? [17]", "")
        terminal.answer("high or low?", "")
        terminal.wait_for('amplifier.main.active is "": write high or low')
        terminal.answer("high or low?", "low")
        terminal.answer("Stations", "https://*.vov.vn")
        terminal.answer("Quiet hours", "")
        assert terminal.end() == 0, terminal.shown
    written = yaml.safe_load((tmp_path / "node.yaml").read_text())
    assert (written["node"], written["groups"], written["sources"]) == ("hd-03", [], {"allow": ["https://*.vov.vn"]})
    assert written["amplifier"]["main"]["gpio"] == 17
    assert written["amplifier"]["main"]["active"] == "low"


def test_questions_are_asked_in_vietnamese(tmp_path: Path) -> None:
    (tmp_path / "node.crt").write_bytes(Authority(tmp_path / "pki").client("hd-09").certificate.read_bytes())
    with Terminal(tmp_path / "node.yaml", "--lang", "vi") as terminal:
        terminal.wait_for("Tên cụm loa, ví dụ hd-03? [hd-09]")
        assert terminal.interrupt() == 1
    assert "chưa viết tệp nào" in terminal.shown
    assert not (tmp_path / "node.yaml").exists()


def test_whoever_is_wrong_again_and_again_is_let_go(tmp_path: Path) -> None:
    with Terminal(tmp_path / "node.yaml") as terminal:
        for _ in range(5):
            terminal.answer("The node's name", "Ấp 3")
        assert terminal.end() == 1
    assert "no file was written" in terminal.shown
