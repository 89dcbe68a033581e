"""`loactl` without a network: mistakes are one sentence and exit code 2; keys and envelopes are shown."""

import hashlib
import os
import shlex
import stat
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from agent.messages.codec import convert
from agent.messages.trust import TrustedKey
from control import keys
from control.__main__ import app
from control.cli_say import beginning
from control.envelope import sign
from control.recordings import measured
from tests.control.simulated_node import new_key, public_of, report_claims, signed_report

FLAC = b"fLaC" + bytes(96)


def loactl(*arguments: str | Path, stdin: bytes | None = None, home: Path | None = None) -> Result:
    environment = {"HOME": str(home or "/nonexistent"), "COLUMNS": "200"}
    return CliRunner().invoke(app, [str(part) for part in arguments], env=environment, input=stdin)


def told(result: Result) -> str:
    """The one sentence of a failure."""
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    assert loactl("keygen", "hd-operator", "--out", tmp_path).exit_code == 0
    return tmp_path / "hd-operator.pem"


def test_keygen_makes_a_key_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        result = loactl(
            "keygen", "hd-chair", "--out", tmp_path, "--authority", 'Chủ tịch "xã"', "--may", "play.normal, stop"
        )
    finally:
        os.umask(before)
    assert result.exit_code == 0
    path = tmp_path / "hd-chair.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (add,) = [line for line in result.stdout.splitlines() if line.startswith("# loactl trust add ")]
    (entry,) = yaml.safe_load("keys:\n" + result.stdout)["keys"]
    trusted = convert(
        {**entry, **{name: entry[name].isoformat() for name in ("valid_from", "valid_until")}}, TrustedKey
    )
    assert (trusted.kid, trusted.authority, trusted.may) == ("hd-chair", 'Chủ tịch "xã"', ("play.normal", "stop"))
    assert keys.load(path, "hd-chair").public == trusted.public
    assert trusted.valid_until.year == trusted.valid_from.year + 3
    assert "PRIVATE" not in result.output
    given = ["trust", "new", "--site", "a", "--folder", str(tmp_path / "trust"), "--out", str(tmp_path)]
    assert loactl(*given).exit_code == 0
    added = loactl(*shlex.split(add)[2:], "--folder", tmp_path / "trust")
    assert added.exit_code == 0, added.output
    assert 'new key / khóa mới hd-chair (Chủ tịch "xã"): play.normal, stop' in added.stdout


def test_keygen_never_overwrites(key: Path) -> None:
    before = key.read_bytes()
    result = loactl("keygen", "hd-operator", "--out", key.parent)
    assert (result.exit_code, key.read_bytes()) == (2, before)
    assert "not overwritten" in told(result)


@pytest.mark.parametrize(
    "arguments", [["a b"], ["../x"], ["x", "--may", "everything"], ["x", "--authority", "a" * 201]]
)
def test_keygen_makes_no_key_that_no_node_takes(tmp_path: Path, arguments: list[str]) -> None:
    result = loactl("keygen", *arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert "no node would take this key" in told(result)
    assert list(tmp_path.iterdir()) == []


def test_keygen_into_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    result = loactl("keygen", "x", "--out", tmp_path / "no")
    assert (result.exit_code, "cannot write" in told(result)) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--builtin", "chime"], "1 to 200 addresses"),
        (["--to", "hd-03", "--builtin", "chime"], "'hd-03' is no address"),
        (["--to", "site:a"], "1 to 4 sources"),
        (["--to", "site:a", *["--builtin", "tone"] * 5], "1 to 4 sources"),
        (["--to", "site:a", "--file", "x.mp3"], "1 local --file but 0 --uri"),
        (["--to", "site:a", "--relay", "https://a/b", "--uri", "https://a/c"], "0 local --file but 1 --uri"),
        (["--to", "site:a", "--file", "no.mp3", "--uri", "https://a/b"], "cannot read no.mp3: No such file"),
        (["--to", "site:a", "--file", "/etc/hostname", "--uri", "ftp://a/b"], "must begin with https://"),
        (["--to", "site:a", "--file", "/etc/hostname", "--uri", "https://a/b"], "is not MP3, FLAC, WAV"),
        (["--to", "site:a", "--builtin", "chime", "--volume", "101"], "$.volume_percent"),
        (["--to", "site:a", "--builtin", "chime", "--item", "a b"], "$.item"),
        (["--to", "site:a", "--builtin", "chime", "--max-duration", "5h"], "$.max_duration_s"),
        (["--to", "site:a", "--builtin", "chime", "--max-duration", "soon"], "--max-duration"),
        (["--to", "site:a", "--builtin", "chime", "--expires", "0"], "--expires"),
        (["--to", "site:a", "--builtin", "chime", "--expires", "2d"], "valid for 86400 s"),
        (["--to", "site:a", "--builtin", "chime", "--not-after", "2020-01-01T00:00Z"], "--not-after"),
        (["--to", "site:a", "--builtin", "chime", "--start-at", "05:00"], "no instant"),
        (["--to", "site:a", "--builtin", "chime", "--jti", "short"], "$.jti"),
        (["--to", "site:a", "--builtin", "chime", "--also-sign", "x"], "write KID=FILE"),
        (["--to", "site:a", "--builtin", "chime", "--node-key", "x"], "write NODE=PUBLIC"),
        (["--to", "site:a", "--builtin", "chime", "--node-key", "x=y"], "the public key of x"),
        (["--to", "site:a", "--builtin", "chime", "--broker", "mqtt://mqtt.example"], "plain mqtt://"),
        (["--to", "site:a", "--builtin", "chime", "--broker", "https://x"], "write mqtts://HOST"),
        (["--to", "site:a", "--builtin", "chime", "--broker", "mqtts://x:y"], "write mqtts://HOST"),
        (
            ["--to", "site:a", "--builtin", "chime", "--broker", "mqtts://x", "--ca", "no.pem"],
            "cannot use the authorities",
        ),
        (["--to", "site:a", "--builtin", "chime", "--broker", "mqtts://x", "--key", "k"], "go together"),
        (["--to", "site:a", "--builtin", "chime"], "no broker"),
    ],
)
def test_a_play_that_cannot_be_is_told_before_it_is_sent(key: Path, arguments: list[str], says: str) -> None:
    result = loactl("play", "--title", "t", "--signing-key", key, "--authority", "op", *arguments)
    assert result.exit_code == 2, result.output
    assert says in told(result).replace("jti: ", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["x" * 2_001], "sources[0].speech.text"),
        ([""], "sources[0].speech.text"),
        (["\x07"], "control characters"),
        (["x", "--language", "tiếng Việt"], "speech.language"),
        (["x", "--voice", "../x"], "speech.voice"),
        (["x", "--volume", "101"], "$.volume_percent"),
        (["x", "--max-duration", "soon"], "--max-duration"),
        (["x"], "no broker"),
        (["x y" * 300], "no broker"),
        (["-"], "no broker"),
    ],
)
def test_a_text_that_cannot_be_said_is_told_before_it_is_sent(key: Path, arguments: list[str], says: str) -> None:
    common = ("--to", "site:a", "--signing-key", key, "--authority", "op")
    result = loactl("say", *arguments, *common, stdin=b"Xin ch\xc3\xa0o\nb\xc3\xa0 con\n")
    assert result.exit_code == 2, result.output
    assert says in told(result).replace("jti: ", "")


@pytest.mark.parametrize(
    ("words", "title"),
    [("x" * 200, "x" * 200), ("x" * 201, "x" * 199 + "…"), ("ab " * 99, "ab " * 65 + "ab…"), ("Loa", "Loa")],
)
def test_a_text_without_a_title_is_called_by_its_beginning(words: str, title: str) -> None:
    assert beginning(words) == title
    assert len(title) <= 200


def test_without_key_or_authority_nothing_is_ordered(key: Path, tmp_path: Path) -> None:
    play = ("play", "--title", "t", "--to", "site:a", "--builtin", "chime")
    assert "no authority" in told(loactl(*play, "--signing-key", key))
    assert "no key to sign with" in told(loactl(*play, "--authority", "op"))
    assert "cannot read the signing key" in told(loactl(*play, "--authority", "op", "--signing-key", tmp_path / "no"))
    other = tmp_path / "other.pem"
    other.write_text("no key at all")
    other.chmod(0o600)
    assert "no unencrypted private key" in told(loactl(*play, "--authority", "op", "--signing-key", other))


@pytest.mark.parametrize("arguments", [["--reason", "x"], ["--reason", "x", "--all", "--item", "a"]])
def test_stop_names_one_item_or_all(arguments: list[str]) -> None:
    result = loactl("stop", "--to", "site:a", *arguments)
    assert (result.exit_code, "either --item ID or --all" in told(result)) == (2, True)


def test_unknown_flags_and_kinds_are_bad_input() -> None:
    for arguments in (["play", "--loud"], ["play", "--title", "t", "--kind", "urgent"], ["sing"], ["volume", "loud"]):
        assert loactl(*arguments).exit_code == 2


def test_watch_needs_a_site() -> None:
    assert "no site" in told(loactl("watch", "--broker", "mqtt://localhost"))
    assert "site 'A'" in told(loactl("watch", "--site", "A", "--broker", "mqtt://localhost"))


def test_a_broker_that_is_not_there_is_one_sentence_and_exit_1(key: Path) -> None:
    here = ("--broker", "mqtt://127.0.0.1:1", "--site", "a")
    sending = (
        "play",
        "--title",
        "t",
        "--to",
        "site:a",
        "--builtin",
        "chime",
        "--signing-key",
        key,
        "--authority",
        "op",
    )
    for arguments in (sending, ("watch",), ("time", "--signing-key", key, "--authority", "op")):
        result = loactl(*arguments, *here)
        assert (result.exit_code, told(result)) == (
            1,
            "loactl: cannot reach the broker 127.0.0.1:1: Connection refused",
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sites: a\n", "control.yaml:1:1: 'sites' is unknown; the keys are authority, broker"),
        ("site: a\nsite: b\n", "control.yaml:2:1: 'site' stands twice"),
        ("site: [a]\n", "control.yaml:1:7: site is one piece of text"),
        ("- a\n", "control.yaml:1:1: write `key: value` lines"),
        ("site: 'a\n", "control.yaml:2:1: not YAML"),
        ("insecure: maybe\n", "control.yaml:1:11: insecure is true or false"),
        ("nodes:\n  HD: x\n", "control.yaml:2:3: node 'HD' is not a name"),
        ("nodes:\n  hd: x\n", "control.yaml:2:3: the public key of hd"),
        ("nodes: no.yaml\n", "no.yaml: no such file"),
        ("site: A\n", "site 'A' is not a name"),
        ("[a]: b\n", "control.yaml:1:1: a key is a plain word"),
    ],
)
def test_mistakes_in_the_configuration_are_told_with_their_place(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    result = loactl("watch", "--config", path)
    assert result.exit_code == 2
    assert says in told(result)


def test_a_configuration_that_is_not_there_is_told_only_if_it_was_named(tmp_path: Path) -> None:
    assert "no such file" in told(loactl("watch", "--config", tmp_path / "no.yaml"))
    assert "no site" in told(loactl("watch", home=tmp_path))


def test_the_usual_configuration_is_read_and_flags_win(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "loa"
    folder.mkdir(parents=True)
    (folder / "nodes.yaml").write_text(f"hd-03: {public_of(new_key())}\n")
    (folder / "control.yaml").write_text("site: a\nbroker: mqtt://127.0.0.1:1\nnodes: nodes.yaml\n")
    assert "cannot reach the broker 127.0.0.1:1" in told(loactl("watch", home=tmp_path))
    assert "cannot reach the broker 127.0.0.1:2" in told(
        loactl("watch", "--broker", "mqtt://127.0.0.1:2", home=tmp_path)
    )


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_is_not_used(key: Path, mode: int) -> None:
    key.chmod(mode)
    order = ("stop", "--all", "--reason", "x", "--to", "site:a", "--authority", "op", "--broker", "mqtt://127.0.0.1:1")
    for signing in (("--signing-key", key), ("--signing-key", key, "--also-sign", f"b={key}")):
        result = loactl(*order, *signing)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert (
            f"{key} can be read or changed by others than its owner (mode {mode:04o}): chmod 600 {key}" in result.stderr
        )
    key.chmod(0o600)
    assert "cannot reach the broker" in loactl(*order, "--signing-key", key).stderr, "what it told does mend it"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"ID3\x04", "MP3"),
        (b"\xff\xfb\x90\x00", "MP3"),
        (b"fLaC", "FLAC"),
        (b"RIFF....WAVE", "WAV"),
        (b"OggS", "Ogg"),
        (b"....ftypM4A", "MP4"),
        (b"\x47\x40", "MPEG-TS"),
    ],
)
def test_a_recording_is_measured(tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(head + bytes(3_000_000))
    recording = measured(str(path))
    assert recording.format == name
    assert recording.bytes == len(head) + 3_000_000
    assert recording.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("head", [b"", b"#EXTM3U\n", b"<html>", b"\xff\xf1\x50", b"\xff"])
def test_what_no_node_plays_is_not_offered(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(head)
    with pytest.raises(ValueError, match="no node would play it"):
        measured(str(path))


NODE = new_key()
REPORT = signed_report(
    report_claims("a/b", 1, {"type": "alarm", "what": "x\x1b[2J\u202e", "detail": "", "count": 1}), NODE
).encode()


def test_a_report_is_verified_with_its_key() -> None:
    good = loactl("verify", "-", "--public", public_of(NODE), stdin=REPORT)
    assert good.exit_code == 0
    assert good.stdout.startswith("REPORT of a node")
    assert good.stdout.endswith("VERIFIED\n")
    assert "NOT" not in good.stdout
    assert "\x1b" not in good.stdout
    assert "\u202e" not in good.stdout
    bad = loactl("verify", "-", "--public", public_of(new_key()), stdin=REPORT)
    assert (bad.exit_code, "BAD" in bad.stdout) == (1, True)
    unasked = loactl("verify", "-", stdin=REPORT)
    assert (unasked.exit_code, "NOT VERIFIED" in unasked.stdout) == (1, True)


def test_another_signing_algorithm_is_never_verified() -> None:
    none = sign({}, [keys.generate("x")], typ="loa-report+jws", alg="none")
    result = loactl("verify", "-", "--public", public_of(NODE), stdin=none)
    assert (result.exit_code, "NOT VERIFIED, alg" in result.stdout) == (1, True)


def test_an_order_is_shown_and_said_to_be_shown_only(tmp_path: Path) -> None:
    signer, other = keys.generate("op"), keys.generate("chair")
    claims: dict[str, object] = {
        "iss": "op", "aud": ["site:a"], "jti": "j" * 16, "iat": 1, "exp": 2, "command": {"type": "report_now"}
    }  # fmt: skip
    path = tmp_path / "order"
    path.write_bytes(sign(claims, [signer, other]))
    shown = loactl("verify", path)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("ORDER for nodes, General JSON, 2 signature(s)")
    assert "words: right" in shown.stdout
    assert "SHOWN ONLY" in shown.stdout
    both = loactl("verify", path, "--public", f"op={signer.public}", "--public", f"chair={other.public}")
    assert (both.exit_code, both.stdout.count(": VERIFIED")) == (0, 2)
    one = loactl("verify", path, "--public", f"op={signer.public}")
    assert (one.exit_code, "of chair: NOT VERIFIED" in one.stdout) == (1, True)
    path.write_bytes(sign({**claims, "command": {"type": "play"}}, [signer]))
    assert "a node would refuse them" in loactl("verify", path).stdout


def test_what_is_neither_is_bad_input(tmp_path: Path) -> None:
    other = sign({}, [keys.generate("x")], typ="JWT")
    for data, says in ((b"hello", "neither a report nor an order"), (other, "neither loa-report+jws nor")):
        result = loactl("verify", "-", stdin=data)
        assert (result.exit_code, says in result.stdout) == (2, True)
    assert "cannot read" in told(loactl("verify", tmp_path / "no"))
