"""node.yaml: what each mistake in it is told, what it is when it is right, and what is only worth a note."""

import zoneinfo
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.config import ConfigError, load_config
from agent.configuration.words import (
    Broker,
    Gpio,
    Mqtt,
    Policy,
    QuietHours,
    Sources,
    Speech,
    Storage,
    VolumeHours,
    Zone,
)
from agent.messages.documents import Day
from agent.messages.rules import NO_RULES, Ceiling, Rules
from agent.messages.words import Kind
from tests.node_files import NODE, load_with, make_folder, told_about_node
from tests.node_mistakes import A_CARD, AN_ENTRY, MISTAKES


@pytest.fixture(scope="module")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("node"))


@pytest.fixture
def path(one_folder: Path) -> Path:
    """A sound node.yaml in a folder that all tests share, since none changes anything else there."""
    one_folder.write_text(NODE)
    return one_folder


@pytest.mark.parametrize(("old", "new", "told", "write"), MISTAKES)
def test_a_mistake_is_told_where_it_is_and_what_to_write(path: Path, old: str, new: str, told: str, write: str) -> None:
    assert old in NODE
    assert told_about_node(path, NODE.replace(old, new, 1)) == [f"{told}: {write}"]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(path: Path) -> None:
    text = (
        "nod: hd-03\n"
        "site: on\n"
        "mqtt: {brokers: [mqtt://a.example, 'mqtts://b.example'], keepalive_s: 0x1e}\n"
        "trust: gone.yaml\n"
        "audio: {device: default, volume_percent: 101}\n"
        "gpio: {factory: lgpio}\n"
        "amplifier:\n"
        "  main: {gpio: 99, active: yes}\n"
        "  yard: &y {gpio: 18}\n"
        "sources: {allow: [ftp://a.example, 'https://*.vn', 'https://fine.example']}\n"
        "policy: {quiet_hours: 21:00-04:45, max_session_min: 0}\n"
    )
    expected = f"""\
1:1: nod is no key here: write node
2:7: site is on, which YAML takes for a yes/no value: write it in quotes, "on"
3:71: mqtt.keepalive_s is 0x1e, which YAML takes for a number in base 16: write a whole number from 5 to 600
4:8: trust: FOLDER/gone.yaml cannot be read (No such file or directory): put the file there, or write another path
5:17: audio.device is default, which others may hold or mix into: {A_CARD}
5:42: audio.volume_percent is 101: write a whole number from 0 to 100
8:16: amplifier.main.gpio is 99: write a whole number from 0 to 27, the Broadcom number
8:28: amplifier.main.active is yes, which YAML takes for a yes/no value: write high or low
9:9: amplifier.yard.active is missing: write active: high or active: low, the level that closes the relay
9:9: anchors are not read here: remove &y
10:19: sources.allow[1] is no entry (an entry begins with http:// or https://): {AN_ENTRY}
10:36: sources.allow[2] is no entry (after *. an entry names at least two labels, as in *.vov.example): {AN_ENTRY}
11:23: policy.quiet_hours is 21:00-04:45: write a list such as ["21:00-04:45"]
11:53: policy.max_session_min is 0: write a whole number from 1 to 1440
"""
    assert told_about_node(path, text) == expected.splitlines()


def test_all_that_tls_needs_is_told_at_once(path: Path) -> None:
    files = "  ca: ca.pem\n  certificate: node.crt\n  key: node.key\n"
    assert told_about_node(path, NODE.replace(files, "")) == [
        f"5:3: mqtt.{name} is missing, and a mqtts:// broker needs it: write {name}: {file}"
        for name, file in (("ca", "ca.pem"), ("certificate", "node.crt"), ("key", "node.key"))
    ]


def test_more_groups_than_allowed(path: Path) -> None:
    groups = ", ".join(f"g{number}" for number in range(33))
    assert told_about_node(path, NODE.replace("[thon-2]", f"[{groups}]")) == [
        "3:9: groups has 33 entries: write 0 to 32, in a list such as [thon-2], or [] for none"
    ]


def test_an_endless_number_is_out_of_range_and_not_a_crash(path: Path) -> None:
    (told,) = told_about_node(path, NODE + "heartbeat_s: " + "9" * 5_000 + "\n")
    assert told.startswith("14:14: heartbeat_s is 999")
    assert told.endswith("...: write a whole number from 1 to 3600")


def test_of_very_many_problems_only_the_first_hundred_are_told(path: Path) -> None:
    told = told_about_node(path, NODE + "".join(f"x{number}: 1\n" for number in range(150)))
    assert len(told) == 101
    assert told[-1] == "114:1: and 50 more problems: mend those above, and check again"


def test_a_key_that_cannot_be_read_is_told_with_the_reason(path: Path) -> None:
    (path.parent / "circle.key").symlink_to("circle.key")
    reason = "cannot be read (Too many levels of symbolic links): put the file there, or write another path"
    told = told_about_node(path, NODE.replace("node.key", "circle.key"))
    assert told == [f"8:8: mqtt.key: FOLDER/circle.key {reason}"]


# What it is when it is right ----------------------------------------------------------------------------------------


def test_the_shortest_file_has_sensible_defaults(path: Path) -> None:
    folder = path.parent
    config = load_config(path)
    assert config.mqtt == Mqtt(
        brokers=(Broker("mqtts://mqtt.hoang-dao.example", "mqtt.hoang-dao.example", 8883, tls=True),),
        ca=folder / "ca.pem",
        certificate=folder / "node.crt",
        key=folder / "node.key",
        insecure=False,
        version="5",
        keepalive_s=30,
    )
    assert config.amplifier == (
        Zone(name="main", gpio=17, active="high", warm_up_ms=800, linger_ms=3_000, max_on_s=3_600, min_off_ms=1_000),
    )
    assert (config.node, config.site, config.groups) == ("hd-03", "hoang-dao", ("thon-2",))
    assert (config.audio.volume_percent, config.audio.emergency_volume_percent) == (80, 100)
    assert config.trust == folder / "trust.yaml"
    assert config.gpio == Gpio(factory="lgpio", chip=None, trace=None)
    assert config.sources == Sources(allow=(), files=None, ca=None)
    assert config.speech == Speech(piper=None, voices=None)
    assert config.storage == Storage(state=Path("/var/lib/loa"), cache_max_mb=512, runtime=Path("/run/loa"))
    assert (config.clock.trust, config.heartbeat_s, config.policy) == ("kernel", 60, None)
    assert config.timezone == "Asia/Ho_Chi_Minh"
    assert config.notes == ()


def test_paths_begin_in_the_folder_of_the_file_and_stay_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    config = load_config(Path("node.yaml"))
    assert config.mqtt.key == path.parent / "node.key"
    config = load_with(path, "gpio: {factory: lgpio}", "gpio: {factory: mock, trace: ../levels}\nstorage: {state: s}")
    assert config.gpio.trace == path.parent / "../levels"
    assert config.storage.state == path.parent / "s"


def test_a_configuration_cannot_be_changed(path: Path) -> None:
    config = load_config(path)
    with pytest.raises(FrozenInstanceError):
        config.node = "other"  # type: ignore[misc]
    assert hash(config) == hash(load_config(path))


@pytest.mark.parametrize(
    ("url", "host", "port", "loopback"),
    [
        ("mqtt://localhost", "localhost", 1883, True),
        ("mqtt://127.0.0.9:1884", "127.0.0.9", 1884, True),
        ("mqtt://[::1]:1884", "::1", 1884, True),
        ("mqtts://LocalHost/", "localhost", 8883, True),
        ("mqtts://[2001:db8::1]:443", "2001:db8::1", 443, False),
        ("mqtts://Broker-1.example:65535", "broker-1.example", 65535, False),
        ("mqtts://localhost.example", "localhost.example", 8883, False),
    ],
)
def test_brokers_are_taken_apart(path: Path, url: str, host: str, port: int, *, loopback: bool) -> None:
    (broker,) = load_with(path, "mqtts://mqtt.hoang-dao.example", url).mqtt.brokers
    assert (broker.url, broker.host, broker.port, broker.tls) == (url, host, port, url.startswith("mqtts:"))
    assert broker.loopback is loopback


def test_a_loopback_broker_needs_no_certificates(path: Path) -> None:
    files = "  ca: ca.pem\n  certificate: node.crt\n  key: node.key\n"
    path.write_text(NODE.replace(files, "").replace("mqtts://mqtt.hoang-dao.example", "mqtt://127.0.0.1"))
    assert load_config(path).mqtt.key is None


@pytest.mark.parametrize(("written", "version"), [("5", "5"), ("3.1.1", "3.1.1"), ('"5"', "5")])
def test_versions_of_mqtt(path: Path, written: str, version: str) -> None:
    assert load_with(path, "key: node.key", f"key: node.key\n  version: {written}").mqtt.version == version


def test_every_key_arrives(path: Path) -> None:
    text = (
        "  yard: {gpio: 0, active: low, warm_up_ms: 0, linger_ms: 60000, max_on_s: 14400, min_off_ms: 0}\n"
        "sources: {allow: ['https://*.vov.example', 'http://10.0.0.2:8000/live'], files: [], ca: ca.pem}\n"
        "storage: {state: s, cache_max_mb: 16, runtime: r}\n"
        "clock: {trust: always}\n"
        "heartbeat_s: 3600\n"
        "policy:\n"
        "  {quiet_hours: [21:00-04:45, '12:00-13:00'], days: [sun, mon], max_session_min: 45,\n"
        "  max_sessions_per_day: 0, max_minutes_per_day: 90, volume_ceilings: {normal: 0},\n"
        "  volume_by_hour: [20:00-04:00 priority 100]}\n"
        "timezone: UTC\n"
    )
    config = load_with(path, "active: high}\n", "active: high}\n" + text)
    yard = config.amplifier[1]
    assert (yard.name, yard.gpio, yard.active_high, config.amplifier[0].active_high) == ("yard", 0, False, True)
    assert (yard.warm_up_ms, yard.linger_ms, yard.max_on_s, yard.min_off_ms) == (0, 60_000, 14_400, 0)
    assert config.sources.allow == ("https://*.vov.example", "http://10.0.0.2:8000/live")
    assert (config.sources.files, config.sources.ca) == ((), path.parent / "ca.pem")
    assert (config.storage.cache_max_mb, config.storage.runtime) == (16, path.parent / "r")
    assert (config.clock.trust, config.heartbeat_s, config.timezone) == ("always", 3_600, "UTC")
    quiet = (QuietHours(21 * 60, 4 * 60 + 45), QuietHours(12 * 60, 13 * 60))
    assert config.policy == Policy(
        quiet_hours=quiet,
        days=(Day.SUN, Day.MON),
        max_session_min=45,
        max_sessions_per_day=0,
        max_minutes_per_day=90,
        volume_ceilings=((Kind.NORMAL, 0),),
        volume_by_hour=(VolumeHours(20 * 60, 4 * 60, Kind.PRIORITY, 100),),
    )
    assert config.policy.rules == Rules(
        quiet_hours=((0, 285), (720, 780), (1_260, 1_440)),
        days=frozenset({Day.SUN, Day.MON}),
        max_session_min=45,
        max_sessions_per_day=0,
        max_minutes_per_day=90,
        ceilings=(
            Ceiling(Kind.NORMAL, 0),
            Ceiling(Kind.PRIORITY, 100, 0, 240),
            Ceiling(Kind.PRIORITY, 100, 1_200, 1_440),
        ),
    )


def test_a_policy_without_words_has_no_rules_and_no_days_are_none(path: Path) -> None:
    policy = load_with(path, "trust:", "policy: {}\ntrust:").policy
    assert policy is not None
    assert policy.rules == NO_RULES
    policy = load_with(path, "trust:", "policy: {days: []}\ntrust:").policy
    assert policy is not None
    assert policy.rules == Rules(days=frozenset())


def test_zones_of_time_are_known_where_the_machine_has_no_data_of_its_own(path: Path) -> None:
    """Minimal images leave /usr/share/zoneinfo out; the package tzdata stands in."""
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert load_config(path).timezone == "Asia/Ho_Chi_Minh"
        assert load_with(path, "trust:", "timezone: Europe/Berlin\ntrust:").timezone == "Europe/Berlin"
        hanoi = zoneinfo.ZoneInfo("Asia/Ho_Chi_Minh")
        assert datetime(2026, 9, 7, 5, tzinfo=hanoi).utcoffset() == timedelta(hours=7)
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def test_quiet_hours_go_past_midnight_and_end_before_their_last_minute() -> None:
    assert QuietHours(23 * 60 + 58, 2).minutes() == {1438, 1439, 0, 1}
    assert QuietHours(60, 62).minutes() == {60, 61}


# What is only worth a note ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("lgpio", "mock", "gpio.factory is mock: no relay is switched"),
        ("trust:", "clock: {trust: always}\ntrust:", "clock.trust is always: a wrong clock would not be noticed"),
        (
            "  key:",
            "  insecure: true\n  key:",
            "mqtt.insecure is true: a broker may be called in the clear, and whoever listens reads along",
        ),
        (
            "trust:",
            "sources: {allow: ['http://a.example']}\ntrust:",
            "sources.allow holds http://a.example: whoever sits between can put in another sound",
        ),
        (
            "plughw:CARD=dac",
            "plughw:1,0",
            "audio.device plughw:1,0 goes by a number, which may be another card after the next start",
        ),
        (
            "active: high",
            "active: low",
            (
                "amplifier.main: the Pi pulls GPIO 17 down until the agent runs, which may close an active low relay: "
                "add gpio=17=op,dh to /boot/firmware/config.txt"
            ),
        ),
        (
            "gpio: 17",
            "gpio: 8",
            (
                "amplifier.main: the Pi pulls GPIO 8 up until the agent runs, which may close an active high relay: "
                "add gpio=8=op,dl to /boot/firmware/config.txt"
            ),
        ),
    ],
)
def test_what_is_allowed_and_still_worth_a_note(path: Path, old: str, new: str, note: str) -> None:
    assert load_with(path, old, new).notes == (note,)


SPEECH = "speech: {piper: piper, voices: voices}\ntrust:"


def test_a_voice_that_is_missing_is_worth_a_note_and_no_mistake(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piper, voices = path.parent / "piper", path.parent / "voices"
    no_program = f"speech.piper: {piper} is no program that can be run: espeak-ng speaks instead"
    no_voice = f"speech.voices: {voices} holds no voice (NAME.onnx with NAME.onnx.json): espeak-ng speaks instead"
    assert load_with(path, "trust:", SPEECH).notes == (no_program,)
    piper.write_text("#!/bin/sh")
    piper.chmod(0o755)
    config = load_config(path)
    assert (config.notes, config.speech) == ((no_voice,), Speech(piper=piper, voices=voices))
    voices.mkdir()
    (voices / "vi_VN-a-low.onnx").touch()
    assert load_config(path).notes == (no_voice,)
    (voices / "vi_VN-a-low.onnx.json").touch()
    assert load_config(path).notes == ()
    monkeypatch.setenv("PATH", "/nonexistent")
    (note,) = load_config(path).notes
    assert note.startswith("espeak-ng is not installed: languages for which Piper has no voice are refused (no_voice)")
    told = "espeak-ng is not installed: speech is refused (no_voice); run apt install espeak-ng"
    assert load_with(path, "trust:", "speech: {}\ntrust:").notes == (told,)


def test_an_error_is_a_value_error_with_all_its_problems_in_one_text(path: Path) -> None:
    path.write_text("node: hd-03\n")
    with pytest.raises(ValueError, match="site is missing") as raised:
        load_config(path)
    assert isinstance(raised.value, ConfigError)
    assert str(raised.value).splitlines() == [str(problem) for problem in raised.value.problems]
    assert len(raised.value.problems) == 6
