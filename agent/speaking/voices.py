"""Which voices are here, and which of them speaks a text. Part of speech.

Thread `speech`; pure but for `piper_voices` and `rate_hz`, which read files. Languages are BCP 47 tags, compared in
lower case and found by lookup as in RFC 4647 section 3.4: `vi-VN-x-south`, then `vi-VN`, then `vi`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.messages.absent import UNSET
from agent.messages.reasons import Reason
from agent.messages.sources import Speech

MAX_DETAIL_CHARACTERS = 600
"""Longest sentence about what is missing: the tags of all that espeak-ng speaks take 450."""
MAX_PIPER_VOICES = 100
"""Models looked at in the folder of voices: each takes 60 MB, so that no card holds as many."""
MAX_MODEL_SETTINGS_BYTES = 1024 * 1024
"""Largest description of a model: its table of phonemes has some 10 KB."""
RATE_HZ = (8_000, 48_000)
"""Sample rates of a voice: telephone to studio."""

_LISTED = re.compile(r" *[0-9]+ +([A-Za-z0-9-]+) +\S+ +\S+ +\S+(.*)")
_ALSO_LISTED = re.compile(r"\(([A-Za-z0-9-]+) ([0-9]+)\)")
_PIPER_NAME = re.compile(r"([a-z]{2,3})_([A-Z]{2})-[A-Za-z0-9._-]{1,50}")


class SpeechError(Exception):
    """This text is not spoken: the reason that is reported, and one sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice. `speaks` is language to rank, the lowest first; `model` is Piper's file, None for espeak-ng."""

    name: str
    speaks: Mapping[str, int]
    model: Path | None = None

    @property
    def engine(self) -> str:
        """What makes it sound."""
        return "espeak-ng" if self.model is None else "piper"


def listed_voices(listing: str) -> tuple[Voice, ...]:
    """The voices in the table that `espeak-ng --voices` prints."""
    voices = []
    for row in filter(None, map(_LISTED.fullmatch, listing.splitlines())):
        own = row[1].lower()
        voices.append(Voice(own, {**{tag.lower(): int(rank) for tag, rank in _ALSO_LISTED.findall(row[2])}, own: 0}))
    return tuple(voices)


def piper_voices(folder: Path) -> tuple[Voice, ...]:
    """The voices whose model and description are in the folder, by name; none where there is no such folder."""
    try:
        models = sorted(path for path in folder.iterdir() if path.suffix == ".onnx")[:MAX_PIPER_VOICES]
    except OSError:
        return ()
    names = ((path, _PIPER_NAME.fullmatch(path.stem)) for path in models if _settings(path).is_file())
    return tuple(
        Voice(path.stem, {f"{name[1]}-{name[2]}".lower(): 0, name[1]: 1}, path) for path, name in names if name
    )


def rate_hz(model: Path) -> int:
    """The sample rate of a model's raw output, which its description tells.

    Raises:
        SpeechError: `no_voice`, the description cannot be read.
    """
    try:
        with _settings(model).open("rb") as file:
            rate = json.loads(file.read(MAX_MODEL_SETTINGS_BYTES))["audio"]["sample_rate"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpeechError(Reason.NO_VOICE, f"{_settings(model)} does not describe a voice: {error!r}") from None
    if type(rate) is not int or not RATE_HZ[0] <= rate <= RATE_HZ[1]:
        told = f"{_settings(model)} says {rate!r} Hz, a voice has {RATE_HZ[0]} to {RATE_HZ[1]}"
        raise SpeechError(Reason.NO_VOICE, told[:MAX_DETAIL_CHARACTERS])
    return rate


def _settings(model: Path) -> Path:
    return model.with_name(f"{model.name}.json")


def choose(voices: Iterable[Voice], speech: Speech) -> tuple[Voice, ...]:
    """The voices that may speak this text, the best first: Piper before espeak-ng; a voice that is named, or none.

    Raises:
        SpeechError: `no_voice`, with what there is instead.
    """
    here = tuple(voices)
    if speech.voice is not UNSET:
        return (_named(here, speech.language, str(speech.voice)),)
    piper = _best(speech.language, (voice for voice in here if voice.model is not None))
    espeak = _best(speech.language, (voice for voice in here if voice.model is None))
    if not piper and not espeak:
        spoken = " ".join(sorted({tag.partition("-")[0] for voice in here for tag in voice.speaks}))
        told = f"no voice here speaks {speech.language}; there are voices for: {spoken or 'no language'}"
        raise SpeechError(Reason.NO_VOICE, told[:MAX_DETAIL_CHARACTERS])
    return piper + espeak


def _named(voices: tuple[Voice, ...], language: str, name: str) -> Voice:
    found = next((voice for voice in voices if voice.name.lower() == name.lower()), None)
    if found is None:
        fit = " ".join(voice.name for voice in voices if _may_speak(voice, language))
        told = f"no voice {name} is here; for {language} there are: {fit or 'none'}"
        raise SpeechError(Reason.NO_VOICE, told[:MAX_DETAIL_CHARACTERS])
    if not _may_speak(found, language):
        told = f"voice {name} does not speak {language}; it speaks: {' '.join(sorted(found.speaks))}"
        raise SpeechError(Reason.NO_VOICE, told[:MAX_DETAIL_CHARACTERS])
    return found


def _may_speak(voice: Voice, language: str) -> bool:
    """Whether a voice may be named for a language: also one of a region of it."""
    regions = f"{language.lower()}-"
    return _rank(voice, language) is not None or any(tag.startswith(regions) for tag in voice.speaks)


def _best(language: str, voices: Iterable[Voice]) -> tuple[Voice, ...]:
    ranked = [(rank, voice) for voice in voices if (rank := _rank(voice, language)) is not None]
    return (min(ranked, key=lambda one: one[0])[1],) if ranked else ()


def _rank(voice: Voice, language: str) -> tuple[int, int] | None:
    """How far the voice is from the language, None if it does not speak it."""
    for steps, tag in enumerate(_lookup(language)):
        if tag in voice.speaks:
            return steps, voice.speaks[tag]
    return None


def _lookup(language: str) -> Iterator[str]:
    """The tag, then ever less of it; a singleton such as `x` goes with what it introduces."""
    subtags = language.lower().split("-")
    while subtags:
        yield "-".join(subtags)
        subtags.pop()
        if subtags and len(subtags[-1]) == 1:
            subtags.pop()
