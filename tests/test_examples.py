"""The example files, and the files of the design, load as they stand."""

import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from agent.config import load_config, load_trust
from agent.configuration.words import (
    Audio,
    Clock,
    Config,
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
from agent.messages.documents import Day, SetPolicy, SetSchedule, Slot
from agent.messages.trust import check_document
from agent.messages.words import Kind
from control.documents_yaml import read_policy, read_schedule
from control.recordings import Recording
from tests.node_files import make_folder

EXAMPLES = Path(__file__).parent.parent / "config"

DESIGN_NODE = """\
node: hd-03
site: hoang-dao
groups: [thon-2]
mqtt:
  brokers: ["mqtts://mqtt.hoang-dao.example:8883"]   # mqtt:// only to loopback, or with insecure: true
  ca: ca.pem
  certificate: node.crt
  key: node.key
trust: trust.yaml
audio: {device: "plughw:CARD=sndrpihifiberry", volume_percent: 80, emergency_volume_percent: 100}   # I2S or USB card
gpio: {factory: lgpio}                               # or mock: no hardware
amplifier:
  main: {gpio: 17, active: high, warm_up_ms: 800, linger_ms: 3000, max_on_s: 3600}
sources: {allow: ["https://*.vov.example"]}          # relays; files: [...] narrows the hosts of hashed files
storage: {state: /var/lib/loa, cache_max_mb: 512}
clock: {trust: kernel}                               # or always: a machine whose clock is known to be right
heartbeat_s: 60
policy: {quiet_hours: ["21:00-04:45"], max_session_min: 45, max_sessions_per_day: 3}
"""

DESIGN_TRUST = """\
version: 1
site: hoang-dao
keys:
  - kid: hd-operator
    public: "EXAMPLE-operator-nobody-holds-this-replac20"
    authority: commune operator
    may: [play.normal, play.priority, stop, schedule, prefetch, volume]
    max_volume_percent: 90
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2029-01-01T00:00:00Z
  - {kid: hd-root, public: "EXAMPLE-root-nobody-holds-this-replace-it10", authority: root, may: [], \
valid_from: 2026-01-01T00:00:00Z, valid_until: 2036-01-01T00:00:00Z}
roots: {threshold: 1, kids: [hd-root]}
approvals: {}
"""


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example's folder, as its comments tell a technician to make it."""
    make_folder(tmp_path)
    shutil.copy(EXAMPLES / "trust.example.yaml", tmp_path / "trust.yaml")
    return Path(shutil.copy(EXAMPLES / "node.example.yaml", tmp_path / "node.yaml"))


def test_the_example_loads_and_says_what_it_shows(example: Path) -> None:
    config = load_config(example)
    assert (config.node, config.site, config.groups) == ("hd-03", "hoang-dao", ("thon-2",))
    assert [broker.url for broker in config.mqtt.brokers] == ["mqtts://mqtt.hoang-dao.example:8883"]
    assert (config.sources.allow, config.sources.files) == (
        ("https://*.vov.example",),
        ("https://files.hoang-dao.example",),
    )
    hours = (QuietHours(21 * 60, 4 * 60 + 45),)
    assert config.policy == Policy(
        quiet_hours=hours,
        days=tuple(Day),
        max_session_min=45,
        max_sessions_per_day=3,
        max_minutes_per_day=180,
        volume_ceilings=((Kind.NORMAL, 90), (Kind.PRIORITY, 100)),
        volume_by_hour=(
            VolumeHours(4 * 60 + 45, 5 * 60 + 30, Kind.NORMAL, 60),
            VolumeHours(20 * 60, 21 * 60, Kind.NORMAL, 50),
        ),
    )
    assert config.notes == ()


def _defaults(word: type) -> dict[str, object]:
    return {field.name: field.default for field in fields(word)}


@pytest.mark.parametrize(
    ("section", "word", "unlike"),
    [
        ("mqtt", Mqtt, {"ca", "certificate", "key"}),
        ("audio", Audio, set()),
        ("clock", Clock, set()),
        ("storage", Storage, set()),
    ],
)
def test_the_example_shows_the_defaults(example: Path, section: str, word: type, unlike: set[str]) -> None:
    shown = getattr(load_config(example), section)
    required = {"brokers", "device"}
    for name, default in _defaults(word).items():
        if name not in unlike | required:
            assert getattr(shown, name) == default, name


def test_the_example_shows_the_defaults_of_a_zone_and_of_the_node(example: Path) -> None:
    config = load_config(example)
    assert config.amplifier == (Zone(name="main", gpio=17, active="high"),)
    defaults = _defaults(Config)
    assert (config.heartbeat_s, config.timezone) == (defaults["heartbeat_s"], defaults["timezone"])


def test_the_example_is_complete() -> None:
    """Every key there is stands in it, if only behind a # where it has no place beside the others."""
    text = (EXAMPLES / "node.example.yaml").read_text(encoding="utf-8")
    written = set(re.findall(r"^ *(?:# )?([a-z0-9_]+):(?: |$)", text, re.MULTILINE))
    words = (Config, Mqtt, Audio, Gpio, Zone, Sources, Speech, Storage, Clock, Policy)
    keys = {field.name for word in words for field in fields(word)} - {"name", "notes"}
    assert keys - written == set()


def test_what_is_commented_out_in_the_example_can_be_written(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    example.write_text(text.replace("# chip: 0", "chip: 0").replace("# ca: sources-ca.pem", "ca: ca.pem"))
    config = load_config(example)
    assert (config.gpio.chip, config.sources.ca) == (0, example.parent / "ca.pem")
    speech = text
    for line in ("speech:", "piper:", "voices:"):
        speech = speech.replace(f"# {line}", line)
    example.write_text(speech)
    assert load_config(example).speech == Speech(piper=Path("/usr/bin/piper"), voices=Path("/usr/share/loa/voices"))
    example.write_text(text.replace("factory: lgpio", "factory: mock").replace("# trace:", "trace:"))
    assert load_config(example).gpio.trace == example.parent / "relay-levels.txt"


def test_the_example_survives_being_written_out_by_another_program(example: Path) -> None:
    config = load_config(example)
    plain = yaml.safe_load(example.read_text(encoding="utf-8"))
    plain["mqtt"]["version"] = "5"
    example.write_text(yaml.safe_dump(plain, allow_unicode=True))
    assert load_config(example) == config


def test_the_example_of_trust_loads_and_can_be_believed(example: Path) -> None:
    config = load_config(example)
    document = load_trust(config.trust, config.site)
    check_document(document, config.site)
    assert [key.kid for key in document.keys] == ["hd-operator", "hd-civil-defence", "hd-root", "hd-root-paper"]
    assert document.roots.kids == ("hd-root", "hd-root-paper")


NOW = 1_790_000_000
"""September 2026."""


def test_the_examples_of_a_week_and_its_rules_are_documents() -> None:
    taken = []

    def measure(name: str) -> Recording:
        taken.append(name)
        return Recording("0" * 64, 1, "MP3")

    schedule = read_schedule(EXAMPLES / "schedule.example.yaml", now=NOW, measure=measure)
    assert [(slot.id, slot.at, slot.kind) for slot in schedule.slots] == [
        ("thoi-su-sang", "05:00", Kind.NORMAL),
        ("thong-bao-chieu", "17:00", Kind.PRIORITY),
    ]
    assert taken == [str(EXAMPLES / "thong-bao.mp3")]
    policy = read_policy(EXAMPLES / "policy.example.yaml", now=NOW)
    assert (policy.quiet_hours, policy.max_sessions_per_day) == (("21:00-04:45",), 3)


def test_the_examples_of_a_week_show_every_key_that_there_is() -> None:
    for name, word in (("schedule", SetSchedule), ("schedule", Slot), ("policy", SetPolicy)):
        text = (EXAMPLES / f"{name}.example.yaml").read_text(encoding="utf-8")
        written = set(re.findall(r"^[ -]*(?:# )?([a-z0-9_]+):(?: |$)", text, re.MULTILINE))
        assert set(word.__struct_fields__) - written == set()


def test_all_examples_speak_vietnamese_beside_english() -> None:
    for name in ("node.example.yaml", "trust.example.yaml", "schedule.example.yaml", "policy.example.yaml"):
        text = (EXAMPLES / name).read_text(encoding="utf-8")
        comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
        assert sum(not line.isascii() for line in comments) >= len(comments) / 3, name


def test_the_files_of_the_design_load(tmp_path: Path) -> None:
    path = make_folder(tmp_path)
    path.write_text(DESIGN_NODE)
    (tmp_path / "trust.yaml").write_text(DESIGN_TRUST)
    config = load_config(path)
    document = load_trust(config.trust, config.site)
    check_document(document, config.site)
    assert config.amplifier[0].max_on_s == 3600
    assert document.keys[0].max_volume_percent == 90
