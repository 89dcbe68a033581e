"""`first-boot`: what a technician has put on the boot partition is checked and installed whole, or not at all.

Runs as root, before the agent and without a network; again and again until nothing is left to do, so that the power may
fail at any moment (ADR 32). What came of it is written beside what was dropped, in Vietnamese and English.
"""

import argparse
import fcntl
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.commands.exits import BAD_INPUT, DONE, FAILED, CommandError
from agent.commands.files import load, node_key
from agent.commands.identity import identity_notes, identity_problems
from agent.commands.language import LANGUAGES, Language
from agent.commands.places import key_file
from agent.config import Config, ConfigError, Problem
from agent.configuration.problems import reason_of
from agent.messages.sentences import Sentence
from agent.provisioning import dropped, exchange, result

BOOT: Final = Path("/boot/firmware/loa")
USER: Final = "loa"


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """Where to look, and whom the node runs as."""
    boot = language.text(Sentence("the folder on the boot partition"))
    user = language.text(Sentence("whom the agent runs as"))
    parser.add_argument("--boot", type=Path, default=BOOT, metavar="DIR", help=boot)
    parser.add_argument("--user", default=USER, help=user)


def main(options: argparse.Namespace, language: Language) -> int:
    """Install what was dropped; the result is written there, and printed. Raises CommandError, OSError."""
    if options.config.name != "node.yaml":
        raise CommandError(Sentence("{file}: name a file called node.yaml", file=options.config))
    if not options.boot.is_dir():
        return DONE
    target = options.config.absolute().parent.resolve()
    owner = _owner(options.user)
    with _alone(options.boot):
        exchange.discard(target)
        dropped.wipe_used(options.boot)
        found = dropped.collect(options.boot, result.FILE_NAME)
        if not found:
            return DONE
        result.write(options.boot, _told([_BEGUN]))  # a partition that takes no result is not installed from
        outcome = _attempt(found, target, owner)
        result.write(options.boot, _told(outcome.lines(target)))
        if outcome.config is not None:
            dropped.take_away(options.boot, found.places)
    print("\n".join(map(language.text, outcome.lines(target))))
    return outcome.code


@dataclass(slots=True)
class Outcome:
    """What came of it. `config` is what is now in force, if anything was installed."""

    code: int
    config: Config | None = None
    public: Sentence | str = ""
    problems: list[Sentence] = field(default_factory=list)
    notes: list[Sentence] = field(default_factory=list)
    left: list[Sentence] = field(default_factory=list)
    files: tuple[str, ...] = ()
    kept: bool = False

    def lines(self, target: Path) -> list[Sentence]:
        """For the technician."""
        if self.config is None:
            return [*self._refused(), *self.left]
        names = ", ".join(self.files)
        return [
            Sentence("INSTALLED: node {node}, site {site}.", node=self.config.node, site=self.config.site),
            Sentence("The node's public key, to be entered on the control server: {key}", key=self.public),
            Sentence("Now in {folder}: {files}", folder=target, files=names),
            Sentence("They are removed from this card, as one is secret. If one is still here, delete it."),
            *self.left,
            *(Sentence("Note: {note}", note=note) for note in self.notes),
        ]

    def _refused(self) -> list[Sentence]:
        before = (
            Sentence("The configuration that the node had before stays in force.")
            if self.kept
            else Sentence("The node has no configuration, and stays silent.")
        )
        return [
            Sentence("NOT INSTALLED: {count} to be mended.", count=len(self.problems)),
            *self.problems,
            before,
            Sentence("Mend the files in this folder, put the card back and switch the node on."),
        ]


_BEGUN: Final = Sentence(
    "The files are being checked. If this stays, the power failed: switch the node on again and wait two minutes."
)


def _attempt(found: dropped.Dropped, target: Path, owner: exchange.Owner) -> Outcome:
    kept = (target / "node.yaml").exists()
    left = [Sentence("Not for the node, and left here: {file}", file=name) for name in found.ignored]
    try:
        if found.wrong:
            return Outcome(BAD_INPUT, problems=found.wrong, left=left, kept=kept)
        config, problems, notes = _checked(exchange.stage(target, found.files, owner), target)
        if config is None or problems:
            exchange.discard(target)
            return Outcome(BAD_INPUT, problems=problems, left=left, kept=kept)
        exchange.put_in_place(target)
    except OSError as error:
        told = Sentence("It could not be done ({why}).", why=reason_of(error))
        return Outcome(FAILED, problems=[told], left=left, kept=kept)
    code, public = _public_key(config, owner)
    return Outcome(code, config, public, notes=notes, left=left, files=tuple(sorted(found.files)))


def _checked(staged: Path, target: Path) -> tuple[Config | None, list[Sentence], list[Sentence]]:
    """What the folder will mean once it is in its place, what is wrong with it, and what is worth a note."""

    def now(path: Path) -> Path:
        return staged / path.relative_to(target) if path.is_relative_to(target) else path

    try:
        config, trust = load(target / "node.yaml", aside=staged)
    except ConfigError as error:
        return None, [_in_folder(problem, target) for problem in error.problems], []
    problems = [_in_folder(problem, target) for problem in identity_problems(config, now)]
    return config, problems, [*config.notes, *identity_notes(config, trust, now)]


def _in_folder(problem: Problem, target: Path) -> Sentence:
    """As it is seen on a laptop: the file alone."""
    place = f"{problem.file.removeprefix(f'{target}/')}:{problem.line}:{problem.column}"
    return Sentence("{place}: {problem}", place=place, problem=problem.text)


def _public_key(config: Config, owner: exchange.Owner) -> tuple[int, Sentence | str]:
    """Made as the agent would make it, and by its user: what root makes, the agent could not read."""
    try:
        folder = key_file(config).parent
        if not folder.exists():
            folder.mkdir(mode=0o750, parents=True)
        if not any(folder.iterdir()):
            os.chown(folder, *owner)
        with _as(owner):
            return DONE, node_key(config).public_base64url
    except CommandError as error:
        return FAILED, error.args[0]
    except OSError as error:
        return FAILED, Sentence("it could not be made ({why})", why=reason_of(error))


@contextmanager
def _as(owner: exchange.Owner) -> Iterator[None]:
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)


def _owner(name: str) -> exchange.Owner:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise CommandError(Sentence("there is no user {name} here: install the package first", name=name)) from None
    return exchange.Owner(entry.pw_uid, entry.pw_gid)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two at once would take each other's files away."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CommandError(Sentence("another first-boot is at work in {folder}: wait for it", folder=folder)) from None
    finally:
        os.close(descriptor)


def _told(lines: list[Sentence]) -> Iterator[str]:
    for code in LANGUAGES:
        yield from map(Language(code).text, lines)
        yield ""
