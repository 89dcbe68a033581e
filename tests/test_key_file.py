"""The node's own key: made once, its owner's alone, and refused where others may read it."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.security import NodeKeyError
from agent.verification.key_file import load_or_make
from tests.node_files import make_folder


def test_a_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    made = load_or_make(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make(path).public_base64url == made.public_base64url
    assert [each.name for each in tmp_path.iterdir()] == ["node.key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    load_or_make(path)
    before = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(NodeKeyError) as refused:
        load_or_make(path)
    told = f"{path} can be read or changed by others than its owner (mode {mode:04o}): run chmod 600 {path}"
    assert str(refused.value) == told
    assert path.read_bytes() == before
    path.chmod(0o600)
    load_or_make(path)


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("key", "code"), [("state/node.key", 1), ("node.key", 2)], ids=["reports", "the broker's certificate"]
)
def test_the_agent_says_what_mends_it(tmp_path: Path, command: str, key: str, code: int) -> None:
    config = make_folder(tmp_path)
    config.write_text(config.read_text() + "storage: {state: state, runtime: runtime}\n")
    (tmp_path / "state").mkdir()
    load_or_make(tmp_path / "state" / "node.key")
    (tmp_path / key).chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-m", "agent", command, "--config", config],
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert f"run chmod 600 {tmp_path / key}\n" in done.stdout + done.stderr
    assert not (tmp_path / "state" / "loa.db").exists(), "nothing was begun"
