"""The command line itself: names, help, exit codes; and that a command imports what it needs alone."""

import subprocess
import sys
from pathlib import Path

import pytest

import agent.commands
from agent.__main__ import COMMANDS, run_command
from agent.commands.language import Language

ENGLISH = Language("en")
HEAVY = {"vlc", "paho", "gpiozero", "urllib3", "m3u8", "sqlite3", "cryptography"}


def imported_by(*arguments: str) -> set[str]:
    """What a process imports, down to the top-level names, for one command line that ends by itself."""
    program = (
        "import sys\nfrom agent.__main__ import main\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stderr.splitlines()[-1].split())


def test_every_module_of_a_command_has_its_name_in_the_list() -> None:
    (folder,) = agent.commands.__path__
    commands = [path for path in Path(folder).glob("*.py") if "\ndef main(" in path.read_text("utf-8")]
    assert {path.stem.replace("_", "-") for path in commands} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command([name, "--help"], ENGLISH)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: loa-agent {name} ")
    assert "--config FILE" in said


def test_what_the_system_says_of_a_file_is_a_sentence_in_both_languages() -> None:
    gone = FileNotFoundError(2, "No such file or directory", "/nowhere")
    mine = PermissionError(13, "Permission denied", "/etc/loa/node.yaml")
    assert ENGLISH.error(gone) == "/nowhere: No such file or directory"
    assert ENGLISH.error(mine) == "/etc/loa/node.yaml: Permission denied: say it with sudo"
    assert Language("vi").error(mine).endswith(": hãy thêm sudo")
    assert ENGLISH.error(OSError("no file in it")) == "no file in it"


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(["--help"], ENGLISH)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name} " in said] == list(COMMANDS)


def test_nothing_at_all_is_bad_input_and_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-m", "agent"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("loa-agent: error:")


@pytest.mark.parametrize("arguments", [[], ["reboot"], ["check", "--colour"], ["--config", "check"]])
def test_what_cannot_be_read_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(arguments, ENGLISH)
    assert ended.value.code == 2
    assert "loa-agent" in capsys.readouterr().err


def test_a_command_waits_for_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    missing = str(tmp_path / "node.yaml")
    assert imported_by("status", "--config", missing) & HEAVY <= {"cryptography"}
    assert imported_by("amp-off", "--config", missing) & HEAVY <= {"gpiozero"}
    assert imported_by("run", "--config", missing) >= HEAVY - {"m3u8"}, "this would see them"
