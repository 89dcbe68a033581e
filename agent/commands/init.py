"""`init`: asks what only the technician knows, and writes a node.yaml that `check` takes.

What is given as an option is not asked. Nobody is asked where there is no terminal: then what is missing is told.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agent.certificate import CertificateError, read_certificate
from agent.commands.exits import BAD_INPUT, DONE, CommandError
from agent.commands.language import Language
from agent.commands.node_yaml import FINE, NAMED, Answers, compose, problems_of
from agent.messages.sentences import Sentence

CARDS: Final = Path("/proc/asound/cards")
_CARD: Final = re.compile(r"^ *[0-9]+ \[([A-Za-z0-9_-]+) *\]:", re.MULTILINE)
_LAST: Final = ("vc4hdmi", "HDMI", "Headphones")
"""Cards that hardly any amplifier hangs on."""

MAX_TRIES: Final = 5
"""Of one question: whoever is wrong so often should look at the guide."""


def _nothing(_: Path) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Question:
    """One field of `Answers`. `several`: a list, with commas; `propose`: what an empty answer at a terminal means."""

    field: str
    option: str
    text: Sentence
    several: bool = False
    needed: bool = True
    propose: Callable[[Path], str] = _nothing

    def read(self, answer: str) -> str | tuple[str, ...]:
        """As the field holds it."""
        return tuple(filter(None, map(str.strip, answer.split(",")))) if self.several else answer.strip()


def arguments(parser: argparse.ArgumentParser, language: Language) -> None:
    """One option for each question, and what to do with a file that is there."""
    for question in QUESTIONS:
        told = language.text(question.text)
        parser.add_argument(question.option, dest=question.field, metavar="TEXT", help=told)
    mock = language.text(Sentence("no hardware: no relay is switched"))
    force = language.text(Sentence("replace a file that is there"))
    parser.add_argument("--mock", action="store_true", help=mock)
    parser.add_argument("--force", action="store_true", help=force)


def main(options: argparse.Namespace, language: Language) -> int:
    """Ask, judge, write. Raises CommandError, OSError."""
    path: Path = options.config.absolute()
    if path.exists() and not options.force:
        raise CommandError(Sentence("{file} is there already: remove it, or add --force", file=path))
    if sys.stdin.isatty():
        print(language.text(Sentence("An empty answer takes what stands in brackets; Ctrl-C ends without a file.")))
    answers = replace(FINE, factory="mock" if options.mock else "lgpio")
    wrong: list[Sentence] = []
    for question in QUESTIONS:
        given = getattr(options, question.field)
        if given is None and sys.stdin.isatty():
            given = _ask(question, answers, path, language)
        if given is None and question.needed:
            wrong.append(Sentence("{option} is missing: {question}", option=question.option, question=question.text))
            continue
        found = _judged(question, answers, given or "", path)
        wrong += found
        answers = answers if found else _with(answers, question, given or "")
    if wrong:
        print("\n".join(map(language.text, wrong)))
        return BAD_INPUT
    _write(path, compose(answers), force=options.force)
    print("\n".join(map(language.text, _next_steps(path))))
    return DONE


def _ask(question: Question, answers: Answers, path: Path, language: Language) -> str:
    """A good answer. Raises CommandError: there is none to be had."""
    proposal = question.propose(path)
    shown = f" [{proposal}]" if proposal or not question.needed else ""
    for _ in range(MAX_TRIES):
        try:
            given = input(f"{language.text(question.text)}{shown} ").strip() or proposal
        except (EOFError, KeyboardInterrupt):
            print()
            break
        wrong = _judged(question, answers, given, path)
        if not wrong:
            return given
        print("\n".join(map(language.text, wrong)))
    raise CommandError(Sentence("no file was written"))


def _judged(question: Question, answers: Answers, given: str, path: Path) -> list[Sentence]:
    """What the loader says against this answer, all others being right."""
    return [problem.text for problem in problems_of(compose(_with(answers, question, given)), path)]


def _with(answers: Answers, question: Question, given: str) -> Answers:
    return replace(answers, **{question.field: question.read(given)})  # type: ignore[arg-type]


def _write(path: Path, text: str, *, force: bool) -> None:
    """Whole or not at all, and never over a file that came meanwhile. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with fresh.open("x", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if force:
        fresh.replace(path)
    else:
        os.link(fresh, path)
        fresh.unlink()


def _next_steps(path: Path) -> Iterator[Sentence]:
    yield Sentence("{file} is written.", file=path)
    named = path.read_text("utf-8")
    missing = [name for name in NAMED if name in named and not (path.parent / name).exists()]
    if missing:
        yield Sentence("Put these beside it: {files}", files=", ".join(missing))
    if "trust.yaml" in missing:
        yield Sentence("trust.yaml says whose orders are obeyed: `loactl trust new` makes it at the commune.")
    if "node.key" in missing:
        yield Sentence("`loactl ca node` makes ca.pem, node.crt and node.key; the key needs chmod 600.")
    yield Sentence("Then: loa-agent check --config {file}", file=path)


# What is proposed ---------------------------------------------------------------------------------------------------


def _node_of_certificate(path: Path) -> str:
    try:
        return read_certificate((path.parent / "node.crt").read_bytes()).name
    except (OSError, CertificateError):
        return ""


def _card(_: Path) -> str:
    try:
        found = _CARD.findall(CARDS.read_text("utf-8", "replace"))
    except OSError:
        return ""
    likely = sorted(found, key=lambda name: any(name.startswith(each) for each in _LAST))
    return f"plughw:CARD={likely[0]}" if likely else ""


QUESTIONS: Final = (
    Question("node", "--node", Sentence("The node's name, such as hd-03?"), propose=_node_of_certificate),
    Question("site", "--site", Sentence("The commune's name, such as hoang-dao?")),
    Question("groups", "--groups", Sentence("Groups, with commas, such as thon-2?"), several=True, needed=False),
    Question(
        "brokers",
        "--brokers",
        Sentence("The MQTT server, such as mqtts://mqtt.example.vn:8883? (several with commas)"),
        several=True,
    ),
    Question("device", "--device", Sentence("The sound card, such as plughw:CARD=NAME?"), propose=_card),
    Question("gpio", "--gpio", Sentence("The relay's GPIO by Broadcom number?"), propose=lambda _: "17"),
    Question("active", "--active", Sentence("The level that closes the relay, high or low?")),
    Question(
        "allow",
        "--allow",
        Sentence("Stations that may be relayed, with commas, such as https://*.vov.vn?"),
        several=True,
        needed=False,
    ),
    Question(
        "quiet_hours",
        "--quiet-hours",
        Sentence("Quiet hours, with commas, such as 21:00-04:45?"),
        several=True,
        needed=False,
    ),
)
