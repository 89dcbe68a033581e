"""First boot with a folder as the boot partition: whole or not at all, and a result that can be read on a laptop."""

import pwd
import subprocess
import tempfile
from pathlib import Path

import pytest

from agent.provisioning.dropped import MAX_FILE_BYTES, MAX_FILES
from agent.provisioning.result import FILE_NAME
from agent.security import NodeKey
from rig.boot_partition import Card, Lives, environment
from rig.certificates import Authority
from rig.disk import SmallDisk

NODE_FILES = ["ca.pem", "node.crt", "node.key", "node.yaml", "trust.yaml"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def card(tmp_path: Path, authority: Authority) -> Card:
    made = Card(tmp_path, authority)
    made.clear()
    return made


def seen(card: Card) -> object:
    """Everything on the machine: names, contents, rights."""
    return {
        path.relative_to(card.folder): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(card.folder.rglob("*"))
        if path.name != FILE_NAME
    }


def test_what_was_dropped_is_installed_with_the_right_modes_and_taken_from_the_card(card: Card) -> None:
    files = card.node()
    card.drop(files)
    done = card.switch_on()
    assert (done.returncode, done.stderr) == (0, "")
    installed = card.installed()
    assert sorted(installed) == NODE_FILES
    assert {name: contents for name, (contents, _) in installed.items()} == {
        name: contents if isinstance(contents, bytes) else contents.encode() for name, contents in files.items()
    }
    assert {name: mode for name, (_, mode) in installed.items()} == {
        **dict.fromkeys(NODE_FILES, 0o640),
        "node.key": 0o600,
    }
    assert card.target.stat().st_mode & 0o7777 == 0o750
    assert card.dropped() == []
    assert sorted(path.name for path in card.target.parent.iterdir()) == ["loa"], "nothing lies beside it"


def test_the_result_is_for_notepad_in_both_languages_with_the_node_s_public_key(card: Card) -> None:
    card.drop(card.node())
    card.switch_on()
    raw = (card.boot / FILE_NAME).read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\n") == raw.count(b"\r\n") > 6
    key = NodeKey.from_pem((card.state / "node.key").read_bytes())
    assert (card.state / "node.key").stat().st_mode & 0o777 == 0o600
    vietnamese, english = card.result().split("\r\n\r\n")[:2]
    assert "ĐÃ CÀI ĐẶT" in vietnamese
    assert "INSTALLED: node hd-03, site hoang-dao." in english
    assert vietnamese.count(key.public_base64url) == english.count(key.public_base64url) == 1


def test_a_bad_file_leaves_everything_as_it_was_and_is_told_line_by_line(card: Card) -> None:
    card.drop(card.node())
    card.switch_on()
    bad = str(card.node()["node.yaml"]).replace("gpio: 17", "gpio: 77").replace("site:", "sit:")
    card.drop({"node.yaml": bad, "trust.yaml": "version: 0\n"})
    before = seen(card)
    done = card.switch_on()
    assert done.returncode == 2
    assert seen(card) == before
    _, english = card.result().split("\r\n\r\n")[:2]
    lines = english.splitlines()
    assert lines[0] == "NOT INSTALLED: 7 to be mended."
    assert "node.yaml:2:1: sit is no key here: write site" in lines
    assert any(line.startswith("node.yaml:16:11: amplifier.main.gpio is 77: ") for line in lines)
    assert "trust.yaml:1:10: version is 0: write a whole number from 1 to 1000000000" in lines
    assert "The configuration that the node had before stays in force." in lines


def test_a_first_node_yaml_that_is_bad_leaves_the_node_without_one(card: Card) -> None:
    card.drop({**card.node(), "node.yaml": "node: hd-03\n"})
    assert card.switch_on().returncode == 2
    assert card.installed() == {}
    assert "The node has no configuration, and stays silent." in card.result()
    assert "Cụm loa chưa có cấu hình" in card.result()
    assert card.dropped() == NODE_FILES


def test_mended_and_put_back_it_is_installed(card: Card) -> None:
    card.drop({**card.node(), "node.yaml": "node: hd-03\n"})
    card.switch_on()
    card.drop({"node.yaml": card.node()["node.yaml"]})
    assert card.switch_on().returncode == 0
    assert sorted(card.installed()) == NODE_FILES


def test_a_new_certificate_alone_joins_what_is_there(card: Card) -> None:
    card.drop(card.node())
    card.switch_on()
    (card.target / "notes.txt").write_text("by hand\n")
    (card.target / "more").mkdir(mode=0o700)
    (card.target / "more" / "deep.txt").write_text("by hand too\n")
    fresh = card.node()
    card.drop({name: fresh[name] for name in ("node.crt", "node.key")})
    assert card.switch_on().returncode == 0
    installed = {path.name: path.read_bytes() for path in card.target.rglob("*") if path.is_file()}
    assert installed["node.key"] == fresh["node.key"]
    assert installed["node.crt"] == fresh["node.crt"]
    assert (installed["notes.txt"], installed["deep.txt"]) == (b"by hand\n", b"by hand too\n")
    assert (card.target / "more").stat().st_mode & 0o777 == 0o700


def test_a_certificate_without_its_key_is_refused(card: Card) -> None:
    card.drop({**card.node(), "node.key": card.node("hd-04")["node.key"]})
    assert card.switch_on().returncode == 2
    told = f"node.key:1:1: this key does not belong to {card.target}/node.crt: copy both anew from the same place"
    assert told in card.result()
    assert card.installed() == {}


def test_another_pole_s_certificate_is_noted(card: Card) -> None:
    other = card.node("hd-04")
    card.drop({**card.node(), "node.key": other["node.key"], "node.crt": other["node.crt"]})
    assert card.switch_on().returncode == 0
    assert "is made out to hd-04, and this node is hd-03" in card.result()


def test_paths_may_be_absolute_where_the_folder_will_be(card: Card) -> None:
    files = card.node()
    files["node.yaml"] = str(files["node.yaml"]).replace("ca: ca.pem", f"ca: {card.target}/ca.pem")
    card.drop(files)
    assert card.switch_on().returncode == 0, card.result()


@pytest.mark.parametrize("name", ["node.yaml.txt", "node.yml", "Node.txt", "trust.yaml.txt"])
def test_a_name_that_windows_made_is_told(card: Card, name: str) -> None:
    card.drop({name: "node: hd-03\n"})
    assert card.switch_on().returncode == 2
    meant = "trust.yaml" if name.startswith("trust") else "node.yaml"
    assert f"{name}: rename it to {meant}" in card.result()


def test_names_in_capitals_and_ends_of_line_of_windows_are_taken(card: Card) -> None:
    files = card.node()
    files["NODE.YAML"] = str(files.pop("node.yaml")).replace("\n", "\r\n")
    card.drop(files)
    assert card.switch_on().returncode == 0
    assert sorted(card.installed()) == NODE_FILES
    assert card.dropped() == []


def test_what_is_not_for_the_node_stays_and_is_named(card: Card) -> None:
    card.drop({**card.node(), "photo.jpg": b"\xff\xd8", "._node.yaml": b"of a Macintosh", "huong dan.pdf": b"%PDF"})
    (card.boot / "folder.pem").mkdir()
    assert card.switch_on().returncode == 0
    assert card.dropped() == ["._node.yaml", "folder.pem", "huong dan.pdf", "photo.jpg"]
    assert "Not for the node, and left here: photo.jpg" in card.result()
    assert sorted(card.installed()) == NODE_FILES


def test_too_much_is_refused(card: Card) -> None:
    card.drop({f"n{number:02}.pem": b"" for number in range(MAX_FILES + 1)})
    assert card.switch_on().returncode == 2
    assert f"there are more than {MAX_FILES} files: leave only those of this node" in card.result()
    card.clear()
    card.drop({"node.yaml": b"#" * (MAX_FILE_BYTES + 1)})
    assert card.switch_on().returncode == 2
    assert f"node.yaml: is larger than {MAX_FILE_BYTES} bytes" in card.result()


def test_without_anything_dropped_nothing_is_done(card: Card) -> None:
    card.drop(card.node())
    card.switch_on()
    before, result = seen(card), card.result()
    assert card.switch_on().stdout == ""
    assert (seen(card), card.result()) == (before, result)
    card.boot.rename(card.folder / "elsewhere")
    assert card.switch_on().returncode == 0, "no boot partition at all"


def test_a_machine_without_the_user_says_so(card: Card) -> None:
    card.drop(card.node())
    command = [*card.command()[:-1], "nobody-of-this-name"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=60)
    assert done.returncode == 1
    assert "there is no user nobody-of-this-name here: install the package first" in done.stderr
    assert card.dropped() == NODE_FILES


def test_the_key_and_the_secret_belong_to_the_agent_s_user(card: Card) -> None:
    """As on a pole: root installs, and a user without rights must be able to read, and to sign."""
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        state = Path(open_to_all) / "loa"
        card.drop(card.node(storage={"state": str(state)}))
        command = [*card.command()[:-1], user.pw_name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(), timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        made = [(path.stat().st_uid, path.stat().st_gid) for path in (state, state / "node.key")]
    assert made == [(user.pw_uid, user.pw_gid)] * 2
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in card.target.iterdir()}
    assert owners == {**dict.fromkeys(NODE_FILES, (0, user.pw_gid)), "node.key": (user.pw_uid, user.pw_gid)}


def test_a_boot_partition_that_takes_no_result_is_not_installed_from(card: Card) -> None:
    """Nor could the secret be taken from it, and it would be installed at every start anew, over later changes."""
    with SmallDisk(card.boot) as disk:
        card.drop(card.node())
        disk.take_nothing()
        done = card.switch_on()
        assert (done.returncode, "Read-only file system" in done.stderr) == (1, True)
        assert card.installed() == {}


def test_a_full_disk_leaves_everything_as_it_was(card: Card) -> None:
    card.target.parent.rmdir()
    with SmallDisk(card.target.parent) as disk:
        card.drop(card.node())
        card.switch_on()
        before = card.installed()
        card.drop(card.node())
        disk.fill()
        assert card.switch_on().returncode == 1
        assert "It could not be done (No space left on device)." in card.result()
        assert card.installed() == before
        assert card.dropped() == NODE_FILES
        disk.free()
        assert card.switch_on().returncode == 0
        assert card.installed() != before


def test_two_at_once_do_not_take_each_other_s_files(card: Card) -> None:
    card.drop(card.node())
    with Lives(card) as lives:
        assert lives.stand_still_at(20)
        done = card.switch_on()
        lives.be_gone()
    assert done.returncode == 1
    assert f"another first-boot is at work in {card.boot}: wait for it" in done.stderr
    assert card.switch_on().returncode == 0


def test_wherever_it_dies_the_folder_is_whole_and_the_next_start_brings_it_to_its_end(card: Card) -> None:
    """Also the key on the card: there, or overwritten; and nothing is ever said to be bad that was good."""
    card.drop(card.node())
    card.switch_on()
    old, new = contents(card), as_bytes(card.node(groups=["thon-2"]))
    card.drop(new)
    card.keep()
    change = 0
    with Lives(card) as lives:
        while lives.die_at(change := change + 1):
            assert contents(card) in (old, new), change
            assert not lives.die_at(10_000)
            assert contents(card) == new, change
            assert "NOT INSTALLED" not in card.result(), change
            assert card.dropped() == [], change
            assert sorted(path.name for path in card.target.parent.iterdir()) == ["loa"], change
            card.go_back()
    assert change > 50


def contents(card: Card) -> dict[str, bytes]:
    return {name: found for name, (found, _) in card.installed().items()}


def as_bytes(files: dict[str, str | bytes]) -> dict[str, bytes]:
    return {name: contents if isinstance(contents, bytes) else contents.encode() for name, contents in files.items()}
