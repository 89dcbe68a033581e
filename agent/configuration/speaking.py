"""What is missing on this machine for texts to be spoken: notes, since a node without a voice is a node all the same.

Any thread; looks at the disk and changes nothing. An engine that is installed later is found without a restart.
"""

import os
import shutil
from collections.abc import Iterator

from agent.configuration.words import Speech
from agent.messages.sentences import Sentence

ESPEAK = "espeak-ng"
MODELS = "*.onnx"


def speech_notes(speech: Speech) -> Iterator[Sentence]:
    """One sentence for each engine that cannot speak."""
    if shutil.which(ESPEAK) is None:
        yield _no_espeak(others=speech.piper is not None)
    if speech.piper is None or speech.voices is None:
        return
    if not (speech.piper.is_file() and os.access(speech.piper, os.X_OK)):
        yield Sentence(
            "speech.piper: {piper} is no program that can be run: {espeak} speaks instead",
            piper=speech.piper,
            espeak=ESPEAK,
        )
    elif not any(path.with_name(f"{path.name}.json").is_file() for path in speech.voices.glob(MODELS)):
        yield Sentence(
            "speech.voices: {voices} holds no voice (NAME.onnx with NAME.onnx.json): {espeak} speaks instead",
            voices=speech.voices,
            espeak=ESPEAK,
        )


def _no_espeak(*, others: bool) -> Sentence:
    if others:
        return Sentence(
            "{espeak} is not installed: languages for which Piper has no voice are refused (no_voice); "
            "run apt install {espeak}",
            espeak=ESPEAK,
        )
    return Sentence("{espeak} is not installed: speech is refused (no_voice); run apt install {espeak}", espeak=ESPEAK)
