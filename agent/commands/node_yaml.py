"""A node.yaml from a few answers, commented in both languages, and what the loader says of it before it is written."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from agent.config import ConfigError, Problem, load_config

NAMED: Final = ("ca.pem", "node.crt", "node.key", "trust.yaml")
"""The files that the file names, beside it."""

_STANDS_FOR: Final = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"
"""What is looked at in place of a file that is still to come."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What only the technician knows; the rest has defaults that are right for most poles."""

    node: str
    site: str
    brokers: tuple[str, ...]
    device: str
    gpio: str
    active: str
    groups: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    quiet_hours: tuple[str, ...] = ()
    factory: str = "lgpio"


FINE: Final = Answers("hd-03", "hoang-dao", ("mqtts://mqtt.example.vn:8883",), "plughw:CARD=NAME", "17", "high")
"""Stands for what is not answered yet, so that one answer can be judged by itself."""


def compose(answers: Answers) -> str:
    """The file's text. Answers are put in quotes: `017` and `on` are names too."""
    gpio = answers.gpio if answers.gpio.isdecimal() else json.dumps(answers.gpio)
    parts = [
        _HEAD.format(
            node=json.dumps(answers.node),
            site=json.dumps(answers.site),
            groups=_listed(answers.groups),
            brokers=_listed(answers.brokers),
        ),
        "" if all(url.startswith("mqtt://") for url in answers.brokers) else _CERTIFICATES,
        _BODY.format(
            device=json.dumps(answers.device, ensure_ascii=False),
            factory=json.dumps(answers.factory),
            gpio=gpio,
            active=json.dumps(answers.active),
            allow=_listed(answers.allow),
        ),
        _POLICY.format(quiet_hours=_listed(answers.quiet_hours)) if answers.quiet_hours else "",
    ]
    return "".join(parts)


def problems_of(text: str, path: Path) -> tuple[Problem, ...]:
    """What the loader would say if this stood at `path` and the files that it names were there, as they should be."""
    with TemporaryDirectory() as made:
        aside = Path(made)
        (aside / path.name).write_text(text, "utf-8")
        for name in NAMED:
            (aside / name).write_text(_STANDS_FOR)
            (aside / name).chmod(0o600)
        try:
            load_config(path, aside)
        except ConfigError as error:
            return error.problems
    return ()


def _listed(texts: tuple[str, ...]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


_HEAD: Final = """\
# Loa: what this node is, by `loa-agent init`. Every key there is: node.example.yaml. Mistakes: `loa-agent check`.
# Loa: cấu hình của cụm loa này, do `loa-agent init` viết. Mọi mục: node.example.yaml. Kiểm tra: `loa-agent check`.

# This node, and its commune.     Tên cụm loa và tên xã.
node: {node}
site: {site}
# Groups that this node belongs to.     Các nhóm mà cụm loa này thuộc về.
groups: {groups}

mqtt:
  # Tried in turn.     Các máy chủ, thử lần lượt.
  brokers: {brokers}
"""

_CERTIFICATES: Final = """\
  # Files beside this one: the commune's authority, this node's certificate, and its key (chmod 600).
  # Các tệp đặt cạnh tệp này: chứng thư gốc của xã, chứng thư và khóa bí mật của cụm loa (chmod 600).
  ca: ca.pem
  certificate: node.crt
  key: node.key
"""

_BODY: Final = """\

# Whose orders are obeyed: made by `loactl trust new`.     Tuân lệnh của ai: do `loactl trust new` tạo ra.
trust: trust.yaml

audio:
  # The sound card by name: aplay -l.     Card âm thanh, gọi theo tên: aplay -l.
  device: {device}
  volume_percent: 80
  emergency_volume_percent: 100

gpio:
  # lgpio: real lines. mock: no hardware, no relay.     lgpio: chân thật. mock: không có phần cứng, không đóng rơ-le.
  factory: {factory}

amplifier:
  main:
    # The relay's line by Broadcom number, and the level that closes it. Try both without the amplifier.
    # Chân điều khiển rơ-le theo số Broadcom, và mức đóng rơ-le. Hãy thử khi chưa nối âm ly.
    gpio: {gpio}
    active: {active}
    warm_up_ms: 800
    linger_ms: 3000
    max_on_s: 3600

sources:
  # Stations that may be relayed; none: [].     Các đài được phép tiếp âm; không có: [].
  allow: {allow}
"""

_POLICY: Final = """\

policy:
  # Nothing sounds in these hours but emergencies.     Giờ nghỉ: chỉ phát tin khẩn cấp.
  quiet_hours: {quiet_hours}
"""
