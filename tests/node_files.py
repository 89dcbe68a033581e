"""A folder as it stands on a node: node.yaml, trust.yaml and the files they name; and reading them with mistakes in."""

from pathlib import Path

from agent.config import Config, ConfigError, load_config, load_trust

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
LOCKED_KEY = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"

NODE = """\
node: hd-03
site: hoang-dao
groups: [thon-2]
mqtt:
  brokers: ["mqtts://mqtt.hoang-dao.example"]
  ca: ca.pem
  certificate: node.crt
  key: node.key
trust: trust.yaml
audio: {device: "plughw:CARD=dac"}
gpio: {factory: lgpio}
amplifier:
  main: {gpio: 17, active: high}
"""

TRUST = """\
version: 1
site: hoang-dao
keys:
  - kid: operator
    public: "EXAMPLE-operator-nobody-holds-this-replac20"
    authority: commune operator
    may: [play.normal, stop]
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2029-01-01T00:00:00Z
  - kid: root
    public: "EXAMPLE-root-nobody-holds-this-replace-it10"
    authority: root
    may: []
    valid_from: 2026-01-01T00:00:00Z
    valid_until: 2036-01-01T00:00:00Z
roots: {threshold: 1, kids: [root]}
approvals: {}
"""


def make_folder(folder: Path) -> Path:
    """Everything that NODE names, with the rights it should have; the path of node.yaml."""
    for name, text, mode in (
        ("ca.pem", CERTIFICATE, 0o644),
        ("node.crt", CERTIFICATE, 0o644),
        ("node.key", PRIVATE_KEY, 0o600),
        ("open.key", PRIVATE_KEY, 0o644),
        ("locked.key", LOCKED_KEY, 0o600),
        ("trust.yaml", TRUST, 0o644),
        ("node.yaml", NODE, 0o644),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return folder / "node.yaml"


def load_with(path: Path, old: str, new: str) -> Config:
    """The configuration of NODE after one change."""
    assert NODE.count(old) >= 1
    path.write_text(NODE.replace(old, new, 1))
    return load_config(path)


def told_about_node(path: Path, text: str | bytes) -> list[str]:
    """What is said of this node.yaml: `line:column: text`, with FOLDER for its folder."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        load_config(path)
    except ConfigError as error:
        return _short(error, path)
    return []


def told_about_trust(path: Path, text: str) -> list[str]:
    """What is said of this trust.yaml, on a node of hoang-dao."""
    path.write_text(text)
    try:
        load_trust(path, "hoang-dao")
    except ConfigError as error:
        return _short(error, path)
    return []


def _short(error: ConfigError, path: Path) -> list[str]:
    assert str(error) == "\n".join(f"{one.file}:{one.line}:{one.column}: {one.text}" for one in error.problems)
    assert {one.file for one in error.problems} == {str(path)}
    return [f"{one.line}:{one.column}: {one.text}".replace(str(path.parent), "FOLDER") for one in error.problems]
