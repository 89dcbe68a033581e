"""The trying part of `check --online`: all probes side by side, each a line, in bounded time."""

import threading
import time
from queue import Empty, SimpleQueue
from typing import Final

from agent.commands.language import Language
from agent.commands.probes import FaultError, Probe
from agent.messages.sentences import Sentence

PATIENCE_S: Final = 20.0
"""Two steps of `probes.STEP_S`, and the name server's own patience for one try."""

Answer = tuple[int, Sentence, bool]


def try_all(probes: list[Probe], language: Language) -> bool:
    """Print one line for each, in their order; whether all is well."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    for number, probe in enumerate(probes):
        threading.Thread(target=_look, args=(number, probe, answers), name=f"probe-{number}", daemon=True).start()
    given = _collect(answers, len(probes))
    for number, probe in enumerate(probes):
        late = Sentence("no answer in {seconds} s: is the network up?", seconds=f"{PATIENCE_S:.0f}")
        said, well = given.get(number, (late, False))
        what = language.text(probe.what) if isinstance(probe.what, Sentence) else probe.what
        word = language.text(Sentence("ok") if well else Sentence("FAIL"))
        print(f"{word:5} {what}: {language.text(said)}")
    return all(number in given and given[number][1] for number in range(len(probes)))


def _look(number: int, probe: Probe, answers: "SimpleQueue[Answer]") -> None:
    try:
        answers.put((number, probe.look(), True))
    except FaultError as fault:
        answers.put((number, fault.args[0], False))
    except OSError as error:
        told = Sentence("cannot be looked at ({why})", why=error.strerror or str(error))
        answers.put((number, told, False))


def _collect(answers: "SimpleQueue[Answer]", count: int) -> dict[int, tuple[Sentence, bool]]:
    given: dict[int, tuple[Sentence, bool]] = {}
    until_s = time.monotonic() + PATIENCE_S
    while len(given) < count:
        try:
            number, said, well = answers.get(timeout=max(0.0, until_s - time.monotonic()))
        except Empty:
            break
        given[number] = said, well
    return given
