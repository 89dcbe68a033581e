"""The technician's language: sentences by the catalogue in agent/locale, English where there is none.

Chosen once by the command line and handed on; nothing here is global but what argparse itself asks for (`choose`).
"""

import gettext
import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from agent.config import Problem
from agent.configuration.problems import reason_of
from agent.messages.reasons import Reason
from agent.messages.sentences import Sentence

LOCALE: Final = Path(__file__).parent.parent / "locale"
"""LANGUAGE/LC_MESSAGES/loa.po, and the same compiled; both kept by `make words` (ADR 31)."""

DOMAIN: Final = "loa"
LANGUAGES: Final = ("vi", "en")


class Language:
    """One language, `vi` or `en`."""

    def __init__(self, code: str) -> None:
        """Read the catalogue, once."""
        self.code = code
        languages = [] if code == "en" else [code]
        self._catalogue = gettext.translation(DOMAIN, LOCALE, languages, fallback=not languages)

    def text(self, sentence: Sentence) -> str:
        """The sentence in this language."""
        return sentence.in_words_of(self._catalogue.gettext)

    def problem(self, problem: Problem) -> str:
        """A problem of a file: `file:line:column: ` and what is wrong."""
        return problem.in_words_of(self._catalogue.gettext)

    def reason(self, code: str) -> str:
        """What a reason code means, as a clause; the code itself where it is not one of this version's."""
        try:
            meaning = Reason(code).meaning
        except ValueError:
            return code
        return self._catalogue.gettext(meaning).removesuffix(".")

    def known(self, text: str) -> str:
        """What the node has logged, `WHERE: WHY`, with its second half in this language if that is a whole sentence."""
        where, colon, why = text.partition(": ")
        return f"{where}{colon}{self._catalogue.gettext(why)}" if why else text

    def error(self, error: Exception) -> str:
        """What an error says; in English where it is not of our own words."""
        said = error.args[0] if error.args else None
        if isinstance(said, Sentence):
            return self.text(said)
        if not isinstance(error, OSError) or error.filename is None:
            return str(error)
        if isinstance(error, PermissionError):
            return self.text(Sentence("{file}: {why}: say it with sudo", file=error.filename, why=reason_of(error)))
        return self.text(Sentence("{file}: {why}", file=error.filename, why=reason_of(error)))


def spoken_by(environment: Mapping[str, str]) -> str:
    """The language of whoever started us, by the order of POSIX; English unless it is Vietnamese."""
    named = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "vi" if re.split(r"[_.@]", named.lower())[0] == "vi" else "en"


def choose(arguments: list[str], environment: Mapping[str, str]) -> Language:
    """By `--lang`, wherever it stands, else by the environment; argparse is told as well."""
    code = spoken_by(environment)
    for word, after in pairwise([*arguments, ""]):
        named = after if word == "--lang" else word.removeprefix("--lang=") if word.startswith("--lang=") else ""
        code = named if named in LANGUAGES else code
    gettext.bindtextdomain(DOMAIN, LOCALE)
    gettext.textdomain(DOMAIN)
    os.environ["LANGUAGE"] = code  # gettext asks nothing else
    return Language(code)


_ARGPARSE: Final = (
    Sentence("usage: "),
    Sentence("options"),
    Sentence("positional arguments"),
    Sentence("show this help message and exit"),
    Sentence("the following arguments are required: %s"),
    Sentence("unrecognized arguments: %s"),
    Sentence("expected one argument"),
    Sentence("argument %(argument_name)s: %(message)s"),
    Sentence("invalid choice: %(value)r (choose from %(choices)s)"),
    Sentence("invalid %(type)s value: %(value)r"),
    Sentence("%(prog)s: error: %(message)s\n"),
)
"""What argparse asks gettext for; here so that the catalogue has it."""
