"""`loactl schedule check`: the file's mistakes with their place, the week as a table, and the exit codes."""

import hashlib
from pathlib import Path

import pytest

from agent.messages.documents import SetSchedule
from agent.messages.sources import File
from control.documents_yaml import read_policy, read_schedule
from control.problems import InputError
from control.recordings import measured
from tests.control.test_commands import loactl, told

NOW = 1_790_000_000
SCHEDULE = """\
slots:
  - id: thoi-su-sang
    days: [mon, wed]
    at: 05:00
    kind: normal
    title: Thời sự buổi sáng
    sources:
      - relay: {uri: "https://stream.vov.example/vov1"}
      - file: {path: tin.flac, uri: "https://tin.example/tin.flac"}
    max_duration_s: 1800
    valid_from: 2026-01-01
    valid_until: 2036-12-31
"""
POLICY = """\
quiet_hours: [21:00-05:15]
days: [mon, tue, wed, thu, fri, sat, sun]
max_session_min: 45
max_sessions_per_day: 3
max_minutes_per_day: 120
volume_ceilings: {normal: 80}
"""
FLAC = b"fLaC" + bytes(96)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tin.flac").write_bytes(FLAC)
    (tmp_path / "lich.yaml").write_text(SCHEDULE)
    (tmp_path / "quy-che.yaml").write_text(POLICY)
    return tmp_path


def schedule_of(folder: Path, text: str = SCHEDULE) -> SetSchedule:
    (folder / "lich.yaml").write_text(text)
    return read_schedule(folder / "lich.yaml", now=NOW, measure=measured)


def test_a_schedule_is_read_and_its_recordings_are_hashed(folder: Path) -> None:
    read = schedule_of(folder)
    assert read.version == NOW
    (slot,) = read.slots
    assert (slot.at, slot.valid_until.isoformat(), slot.title) == ("05:00", "2036-12-31", "Thời sự buổi sáng")
    assert slot.sources[1].only == File("https://tin.example/tin.flac", hashlib.sha256(FLAC).hexdigest(), 100)


def test_a_version_that_is_written_holds(folder: Path) -> None:
    assert schedule_of(folder, "version: 7\n" + SCHEDULE).version == 7
    assert schedule_of(folder, "version: 7\nslots: []\n").slots == ()


def test_what_is_written_as_on_the_wire_is_left_as_it_is(folder: Path) -> None:
    wire = f'{{uri: "https://tin.example/gone.flac", sha256: "{"0" * 64}", bytes: 5}}'
    text = SCHEDULE.replace('{path: tin.flac, uri: "https://tin.example/tin.flac"}', wire)
    assert schedule_of(folder, "type: set_schedule\n" + text).slots[0].sources[1].only == File(
        "https://tin.example/gone.flac", "0" * 64, 5
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("05:00", "5:00", "lich.yaml:4:9: a node would refuse this (bad_value)"),
        ("[mon, wed]", "[mon, someday]", "lich.yaml:3:17: a node would refuse this (bad_value)"),
        ("normal", "emergency", "lich.yaml:2:5: a node would refuse this (bad_value): a slot is normal or priority"),
        ("title: Thời sự buổi sáng", "title: 2026", "lich.yaml:6:12: a node would refuse this (bad_value)"),
        ("    title: Thời sự buổi sáng\n", "", "lich.yaml:2:5: a node would refuse this (missing_member)"),
        ("    title:", "    loud: true\n    title:", "lich.yaml:2:5: a node would refuse this (unknown_member)"),
        ("    title:", "    at: 06:00\n    title:", "lich.yaml:6:5: 'at' stands twice"),
        ("1800", "14401", "lich.yaml:10:21: a node would refuse this (bad_value)"),
        ("1800", "1.5", "lich.yaml:10:21: a node would refuse this (bad_value)"),
        ("1800", "", "lich.yaml:10:20: nothing is written here"),
        ("tin.flac,", "no.flac,", "lich.yaml:9:15: cannot read"),
        ("slots:\n", "slots: &a\n  - *a\n", "aliases are not read here"),
        ("slots:\n", "slots: [[[[[[[[[[]]]]]]]]]]\nmore:\n", "nested deeper than 8 levels"),
        ("slots:\n", "type: set_policy\nslots:\n", "this is a set_policy, not a set_schedule"),
        ("slots:\n", "version: 0\nslots:\n", "lich.yaml:1:10: a node would refuse this (bad_value)"),
        ("slots:\n", "other:\n", "lich.yaml:1:1: a node would refuse this"),
        (SCHEDULE, "", "lich.yaml: empty"),
        (SCHEDULE, "- a\n", "lich.yaml:1:1: write `key: value` lines"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, old: str, new: str, says: str) -> None:
    assert old in SCHEDULE
    (folder / "lich.yaml").write_text(SCHEDULE.replace(old, new, 1))
    result = loactl("schedule", "check", folder / "lich.yaml")
    assert result.exit_code == 2
    assert says in told(result)


def test_two_slots_of_one_name_are_told(folder: Path) -> None:
    with pytest.raises(InputError, match=r"lich.yaml:1:1: .*slot id thoi-su-sang stands twice"):
        schedule_of(folder, SCHEDULE + SCHEDULE.removeprefix("slots:\n"))


def test_a_policy_is_read_and_its_mistakes_are_told(folder: Path) -> None:
    policy = read_policy(folder / "quy-che.yaml", now=NOW)
    assert (policy.version, policy.quiet_hours, policy.max_sessions_per_day) == (NOW, ("21:00-05:15",), 3)
    (folder / "quy-che.yaml").write_text(POLICY.replace("21:00", "25:00"))
    with pytest.raises(InputError, match=r"quy-che.yaml:1:15: a node would refuse this \(bad_value\)"):
        read_policy(folder / "quy-che.yaml", now=NOW)
    with pytest.raises(InputError, match="no such file"):
        read_policy(folder / "no.yaml", now=NOW)


def test_a_week_in_order_is_a_table_and_exit_0(folder: Path) -> None:
    result = loactl("schedule", "check", folder / "lich.yaml", "--from", "2026-09-07")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("Thời sự buổi sáng") == 2
    for shown in ("T2·Mon 07/09 05:00", "T4·Wed 09/09 05:00", "thường · normal", "30m", "stream.vov.example +1"):
        assert shown in result.stdout
    assert "!" not in result.stdout.splitlines()[3:]


def test_warnings_are_told_and_exit_1(folder: Path) -> None:
    options = ("--from", "2026-09-07", "--days", "1", "--policy", folder / "quy-che.yaml")
    result = loactl("schedule", "check", folder / "lich.yaml", *options)
    assert result.exit_code == 1
    assert (
        "! T2·Mon 07/09 05:00 Thời sự buổi sáng: sẽ không phát, giờ nghỉ · "
        "will not sound, policy_quiet_hours: quiet_hours 21:00-05:15: it is 05:00\n"
    ) in result.stdout


def test_a_relay_by_night_is_told_also_without_a_policy(folder: Path) -> None:
    """Trung Lộc, 5 December 2025: and that no caps were looked at is told as well."""
    (folder / "lich.yaml").write_text(SCHEDULE.replace("05:00", "03:15"))
    result = loactl("schedule", "check", folder / "lich.yaml", "--from", "2026-09-07")
    assert result.exit_code == 1, result.output
    assert "will not sound, policy_quiet_hours: quiet_hours 21:00-04:45: it is 03:15" in result.stdout
    assert "no --policy given: looked at are quiet hours of 21:00-04:45 alone, and no caps" in result.stdout


def test_with_a_policy_its_own_hours_count(folder: Path) -> None:
    (folder / "lich.yaml").write_text(SCHEDULE.replace("05:00", "03:15"))
    (folder / "quy-che.yaml").write_text(POLICY.replace("[21:00-05:15]", "[23:00-02:00]"))
    options = ("--from", "2026-09-07", "--policy", folder / "quy-che.yaml")
    result = loactl("schedule", "check", folder / "lich.yaml", *options)
    assert (result.exit_code, "--policy" in result.stdout) == (0, False), result.output


def test_what_an_amplifier_is_too_long_on_for_is_told(folder: Path) -> None:
    (folder / "lich.yaml").write_text(SCHEDULE.replace("max_duration_s: 1800", "max_duration_s: 3600"))
    check = ("schedule", "check", folder / "lich.yaml", "--from", "2026-09-07")
    assert "amplifier_max_on: the amplifier has been on for 60 min" in loactl(*check).stdout
    assert loactl(*check, "--max-on", "2h").exit_code == 0


def test_several_schedules_are_shown_as_one(folder: Path) -> None:
    (folder / "huyen.yaml").write_text(SCHEDULE.replace("thoi-su-sang", "huyen").replace("05:00", "05:10"))
    result = loactl("schedule", "check", folder / "lich.yaml", folder / "huyen.yaml", "--from", "2026-09-07")
    assert result.exit_code == 1
    assert "huyen.yaml" in result.stdout
    assert "overlaps “Thời sự buổi sáng”: may begin late and lose 20 min" in result.stdout


def test_slots_that_do_not_sound_are_named(folder: Path) -> None:
    result = loactl("schedule", "check", folder / "lich.yaml", "--from", "2026-09-08", "--days", "1")
    assert result.exit_code == 0
    assert (
        "thoi-su-sang: không có buổi nào trong 1 ngày · not within these 1 days (2026-01-01 .. 2036-12-31)"
        in result.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--zone", "Asia/Hanoi"], "--zone 'Asia/Hanoi' is no time zone"),
        (["--from", "tomorrow"], "--from 'tomorrow' is no day"),
        (["--from", "0001-01-01"], "--from '0001-01-01' is no day of ours"),
        (["--policy", "no.yaml"], "no.yaml: no such file"),
    ],
)
def test_what_cannot_be_asked_is_bad_input(folder: Path, arguments: list[str], says: str) -> None:
    result = loactl("schedule", "check", folder / "lich.yaml", *arguments)
    assert (result.exit_code, says in told(result)) == (2, True), result.output


def test_a_version_ahead_of_the_time_is_not_sent(folder: Path) -> None:
    assert loactl("keygen", "op", "--out", folder).exit_code == 0
    signing = ("--signing-key", folder / "op.pem", "--authority", "op", "--to", "site:a")
    for sort, name, text in (("schedule", "lich.yaml", SCHEDULE), ("policy", "quy-che.yaml", POLICY)):
        (folder / name).write_text(f"version: 99999999999\n{text}")
        result = loactl(sort, "send", folder / name, *signing)
        assert (result.exit_code, "is above the Unix time" in told(result)) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["order", "a", "a"], "an item stands twice"),
        (["order", "a b"], "$.items[0]"),
        (["prefetch", "x.flac"], "1 local file but 0 --uri"),
        (["prefetch", "no.flac", "--uri", "https://a/b"], "cannot read no.flac"),
    ],
)
def test_orders_of_the_programme_that_cannot_be_are_told(folder: Path, arguments: list[str], says: str) -> None:
    result = loactl(*arguments, "--to", "site:a", "--authority", "op")
    assert (result.exit_code, says in told(result)) == (2, True), result.output
