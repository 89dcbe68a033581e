"""What is missing on this machine for texts to be spoken: notes, since a node without a voice is a node all the same.

Any thread; looks at the disk and changes nothing. An engine that is installed later is found without a restart.
"""

import os
import shutil
from collections.abc import Iterator

from agent.configuration.words import Speech

ESPEAK = "espeak-ng"
MODELS = "*.onnx"


def speech_notes(speech: Speech) -> Iterator[str]:
    """One sentence for each engine that cannot speak."""
    if shutil.which(ESPEAK) is None:
        others = "languages for which Piper has no voice are" if speech.piper is not None else "speech is"
        yield f"{ESPEAK} is not installed: {others} refused (no_voice); run apt install {ESPEAK}"
    if speech.piper is None or speech.voices is None:
        return
    if not (speech.piper.is_file() and os.access(speech.piper, os.X_OK)):
        yield f"speech.piper: {speech.piper} is no program that can be run: {ESPEAK} speaks instead"
    elif not any(path.with_name(f"{path.name}.json").is_file() for path in speech.voices.glob(MODELS)):
        yield f"speech.voices: {speech.voices} holds no voice (NAME.onnx with NAME.onnx.json): {ESPEAK} speaks instead"
