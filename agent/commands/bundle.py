"""`bundle`: one file for whoever helps from afar: what the node says, what the machine says, and no secret.

Everything is text, scrubbed as it is taken; each part is bounded in time and size, and says so where it was cut. The
store, the cache and the keys are not looked into.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent import __version__
from agent.commands.exits import DONE
from agent.commands.first_boot import BOOT
from agent.commands.language import Language
from agent.commands.places import ASK_TIMEOUT_S, key_file, runtime_folder, socket_in
from agent.commands.scrub import Scrub
from agent.config import Config, ConfigError, load_config
from agent.console import ConsoleError, ask
from agent.messages.sentences import Sentence
from agent.provisioning.result import FILE_NAME

MAX_PART_BYTES: Final = 1024 * 1024
"""Of a part the last megabyte: a journal of days."""
COMMAND_S: Final = 15.0
CHECK_S: Final = 60.0
TRUST_NAME: Final = "trust.yaml"

OURSELVES: Final = (
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from agent.__main__ import main; main()",
    str(Path(__file__).parents[2]),
)
"""This very agent, also where it is no module that Python finds by itself."""
COMMANDS: Final = (
    (
        "journal.txt",
        ("journalctl", "--no-pager", "-o", "short-iso", "-n", "3000", "-u", "loa-agent", "-u", "loa-first-boot"),
    ),
    ("kernel.txt", ("journalctl", "--no-pager", "-o", "short-iso", "-n", "500", "-k")),
    ("unit.txt", ("systemctl", "--no-pager", "--full", "status", "loa-agent", "loa-first-boot")),
    ("unit-properties.txt", ("systemctl", "--no-pager", "show", "loa-agent")),
    ("sound-cards.txt", ("aplay", "-l")),
    ("disk.txt", ("df", "-h")),
    ("mounts.txt", ("findmnt", "--real")),
    ("clock.txt", ("timedatectl", "--no-pager")),
    ("addresses.txt", ("ip", "-brief", "address")),
    ("packages.txt", ("dpkg-query", "-W", "loa*", "python3", "libvlc5", "vlc-plugin-base", "libasound2*", "python3-*")),
    ("throttled.txt", ("vcgencmd", "get_throttled")),
)
FILES: Final = (
    ("os-release.txt", Path("/etc/os-release")),
    ("model.txt", Path("/proc/device-tree/model")),
    ("cmdline.txt", Path("/proc/cmdline")),
    ("config.txt", Path("/boot/firmware/config.txt")),
    (FILE_NAME, BOOT / FILE_NAME),
    ("memory.txt", Path("/proc/meminfo")),
)


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """Where to write it."""
    told = language.text(Sentence("the file to write (default: loa-bundle-TIME.tar.gz here)"))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help=told)


def main(options: argparse.Namespace, language: Language) -> int:
    """Gather, and write. Raises OSError."""
    path: Path = options.file or Path(f"loa-bundle-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    config: Config | None = None
    with contextlib.suppress(ConfigError):
        config = load_config(options.config)
    scrub = Scrub(_key_files(options.config, config))
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as bundle:
            for name, text in _parts(options.config, config):
                _add(bundle, name, scrub.clean(text))
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    print(language.text(Sentence("{file}: give it to whoever helps you; it holds no key and no password.", file=path)))
    if not os.access(options.config, os.R_OK):
        print(language.text(Sentence("{file} could not be read: with sudo there is more in it.", file=options.config)))
    return DONE


def _key_files(path: Path, config: Config | None) -> list[Path]:
    """Whatever may hold a secret: also beside a node.yaml that cannot be read."""
    found = [*path.absolute().parent.glob("*.key"), *path.absolute().parent.glob("*.pem")]
    if config is not None:
        found += [key_file(config), *([config.mqtt.key] if config.mqtt.key else [])]
    return found


def _parts(path: Path, config: Config | None) -> Iterator[tuple[str, str]]:
    yield "versions.txt", f"loa {__version__}\nPython {sys.version}\n{platform.platform()}\n"
    yield "status.json", _status(config)
    yield (
        "check.txt",
        _said_by((*OURSELVES, "--lang", "en", "check", "--online", "--config", str(path)), CHECK_S),
    )
    yield "node.yaml", _read(path)
    yield TRUST_NAME, _read(path.with_name(TRUST_NAME) if config is None else config.trust)
    for name, command in COMMANDS:
        yield name, _said_by(command, COMMAND_S)
    for name, file in FILES:
        yield name, _read(file)


def _status(config: Config | None) -> str:
    try:
        answer = ask(socket_in(runtime_folder(config)), "status", ASK_TIMEOUT_S)
        return json.dumps(json.loads(answer), ensure_ascii=False, indent=1)
    except (ConsoleError, ValueError) as error:
        return f"{error}\n"


def _said_by(command: tuple[str, ...], patience_s: float) -> str:
    """What a program says, its errors too. It is never asked for a password, and never waited for."""
    try:
        done = subprocess.run(  # noqa: S603  a fixed list, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience_s,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as late:
        return f"{_tail(late.output or b'')}\n[no end within {patience_s:.0f} s]\n"
    except OSError as error:
        return f"[{command[0]}: {error.strerror}]\n"
    return f"{_tail(done.stdout)}\n[exit {done.returncode}]\n"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _tail(file.read(4 * MAX_PART_BYTES))
    except OSError as error:
        return f"[{path}: {error.strerror}]\n"


def _tail(said: bytes) -> str:
    cut = f"[cut: the last {MAX_PART_BYTES} of {len(said)} bytes]\n" if len(said) > MAX_PART_BYTES else ""
    return cut + said[-MAX_PART_BYTES:].decode("utf-8", "replace")


def _add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    contents = text.encode("utf-8", "replace")
    entry = tarfile.TarInfo(f"loa-bundle/{name}")
    entry.size, entry.mode, entry.mtime = len(contents), 0o644, int(time.time())
    bundle.addfile(entry, io.BytesIO(contents))
