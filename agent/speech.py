"""Makes sound of text: `speech` sources, spoken by espeak-ng, or by Piper where its voices are installed.

Verbs are the loop's and never block. The thread `speech` speaks one text at a time; more wait, up to a bound. The texts
of emergencies go first, in the order asked: a lesser one that is being spoken is interrupted, and spoken anew after
them. Where an emergency's text has a choice, a slow voice has not long: the next one speaks it.
Each engine is a child process with a list of arguments in which nothing of an order stands but the name of a voice
found here; the text goes to its standard input. What a sibling does is said there (`agent.speaking`): voices, the
child, the folder of sounds.

Invariants: a text that is not cancelled is answered by exactly one FileReady or SourceFailed; after `cancel` nothing is
posted, except what was on its way already, and the child is killed. No text outlives its limits. A text spoken before
costs nothing, for as long as the folder keeps it. A bug ends the thread, and with it the process.
"""

import functools
import hashlib
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from agent.messages.events import FileReady, SourceFailed
from agent.messages.reasons import Reason
from agent.messages.sources import Speech
from agent.speaking.child import Cancellation, CancelledError, run
from agent.speaking.sounds import Sounds
from agent.speaking.voices import SpeechError, Voice, choose, listed_voices, piper_voices, rate_hz

AMPLITUDE = 150
"""Of espeak-ng, whose own 100 gave a notice at -19 dBFS RMS: a horn loses 3 dB of its reach for nothing. 150 gave -16
dBFS with 0.4 samples in 10,000 at full scale; 200 gives 2 dB more and twice as many."""
WORDS_A_MINUTE = 130
"""Of espeak-ng, whose own 175 is for a listener at a desk. A village hears each syllable again from the next pole, up
to a second late: at 130 a notice has some 190 syllables a minute, and takes 1.4 times as long."""

MAX_LISTING_BYTES = 64 * 1024
"""Of espeak-ng's table of voices: it has 9 KB."""

_PHONEMES = re.compile(r"\[(?=\[)")
"""Both engines take `[[...]]` for phonemes, which nobody reads who approves a text: the brackets are set apart."""

_log = logging.getLogger(__name__)

Post = Callable[[FileReady | SourceFailed], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much."""

    espeak_s: float = 60.0
    """For one text: 2,000 characters took 0.9 s of a processor here, 11 s on a Zero 2 W, which has other work too."""
    piper_s: float = 120.0
    """For one text: Piper needs from half to twice the time that the sound lasts; later than this, espeak-ng has it."""
    urgent_piper_s: float = 20.0
    """The same for an emergency's text, where espeak-ng could have it: a warning waits for no better voice."""
    sound_bytes: int = 12 * 1024 * 1024
    """Of one text: 4 minutes and 45 s at 22,050 Hz. 2,000 characters of Vietnamese took 2 minutes and 41 s."""
    kept_bytes: int = 24 * 1024 * 1024
    """Of all that is kept: two of the longest. /run has a tenth of the memory, 42 MB on a Zero 2 W."""
    texts: int = 16
    """Unanswered at once, of emergencies and of all else: few are made ready at a time."""
    close_s: float = 3.0
    """How long `close` waits for the thread: killing a child takes no time, but on a machine that stands still."""


class _InterruptedError(Exception):
    """An emergency's text waits: this one is spoken after it."""


class _Text:
    """One text, from the moment the loop gives it until it is answered or cancelled."""

    def __init__(self, token: int, speech: Speech, urgent: bool) -> None:
        self.token = token
        self.speech = speech
        self.urgent = urgent
        self.cancelled = False


class Synthesiser:
    """Speaks texts into the folder; `piper` and `voices` are None where only espeak-ng speaks."""

    def __init__(
        self,
        *,
        folder: Path,
        post: Post,
        piper: Path | None = None,
        voices: Path | None = None,
        espeak: str = "espeak-ng",
        limits: Limits | None = None,
    ) -> None:
        self._post = post
        self._piper = piper
        self._voices = voices
        self._espeak = espeak
        self._limits = limits or Limits()
        self._sounds = Sounds(folder, sound_bytes=self._limits.sound_bytes, kept_bytes=self._limits.kept_bytes)
        self._espeak_voices: tuple[Voice, ...] = ()
        self._closed = False
        self._texts: dict[int, _Text] = {}
        self._urgent: deque[_Text] = deque()
        self._lesser: deque[_Text] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        """Rings once for each text that is put, and for `close`."""
        self._cancellation = Cancellation()
        self._thread = threading.Thread(target=self._work, name="speech", daemon=True)
        self._thread.start()

    # The loop's thread ------------------------------------------------------------------------------------------------

    def speak(self, token: int, speech: Speech, *, urgent: bool = False) -> None:
        """Answered by FileReady, with a WAV, or SourceFailed. What is urgent, an emergency's, goes first."""
        if sum(text.urgent is urgent for text in self._texts.copy().values()) >= self._limits.texts:
            self._post(SourceFailed(token, Reason.QUEUE_FULL, f"{self._limits.texts} texts wait to be spoken already"))
            return
        text = self._texts[token] = _Text(token, speech, urgent)
        (self._urgent if urgent else self._lesser).append(text)
        self._bell.put(None)
        if urgent:
            self._cancellation.wake()

    def cancel(self, token: int) -> None:
        """Nobody wants this text any more: what speaks it is killed. Unknown tokens are ignored."""
        text = self._texts.pop(token, None)
        if text is not None:
            text.cancelled = True
            self._cancellation.wake()

    def close(self) -> None:
        """Cancel everything and wait for the thread, at most `close_s`. A second time does nothing."""
        if self._closed:
            return
        self._closed = True
        for token in list(self._texts):
            self.cancel(token)
        self._bell.put(None)
        self._thread.join(self._limits.close_s)
        if not self._thread.is_alive():
            os.close(self._cancellation.fd)  # else it may still be polled, as another file by then

    # The thread `speech` ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (text := self._next()) is not None:
            news: FileReady | SourceFailed
            try:
                news = FileReady(text.token, str(self._spoken(text)))
            except CancelledError:
                continue
            except _InterruptedError:
                self._lesser.appendleft(text)
                self._bell.put(None)
                continue
            except SpeechError as error:
                news = SourceFailed(text.token, error.reason, error.detail)
            self._texts.pop(text.token, None)
            if not text.cancelled:
                self._post(news)

    def _next(self) -> _Text | None:
        """What is to be spoken next; None once this is closed."""
        self._bell.get()
        for waiting in (self._urgent, self._lesser):
            if waiting:
                return waiting.popleft()
        return None

    def _check(self, text: _Text) -> None:
        """Go on with this text.

        Raises:
            CancelledError: nobody wants it any more.
            _InterruptedError: an emergency's waits.
        """
        if text.cancelled:
            raise CancelledError
        if self._urgent and not text.urgent:
            raise _InterruptedError

    def _spoken(self, text: _Text) -> Path:
        """The sound of this text. Where the order names no voice and Piper fails, espeak-ng speaks."""
        self._check(text)
        *better, last = self._choose(text)
        piper_s = self._limits.urgent_piper_s if text.urgent else self._limits.piper_s
        for voice in better:
            try:
                return self._sound(text, voice, piper_s)
            except SpeechError as error:
                _log.warning("%s does not speak, %s does: %s", voice.name, last.name, error)
        return self._sound(text, last, self._limits.espeak_s if last.model is None else self._limits.piper_s)

    def _choose(self, text: _Text) -> tuple[Voice, ...]:
        piper = piper_voices(self._voices) if self._piper is not None and self._voices is not None else ()
        complaint = ""
        if not self._espeak_voices:
            try:
                self._espeak_voices = self._list_espeak_voices(text)
            except SpeechError as error:
                complaint = f"; {error.detail}"
        try:
            return choose((*piper, *self._espeak_voices), text.speech)
        except SpeechError as error:
            raise SpeechError(error.reason, error.detail + complaint) from None

    def _list_espeak_voices(self, text: _Text) -> tuple[Voice, ...]:
        listing = bytearray()

        def take(data: bytes) -> None:
            listing.extend(data[: MAX_LISTING_BYTES - len(listing)])

        self._run([self._espeak, "--voices"], "", take, text, self._limits.espeak_s)
        return listed_voices(listing.decode(errors="replace"))

    def _sound(self, text: _Text, voice: Voice, within_s: float) -> Path:
        words = _PHONEMES.sub("[ ", text.speech.text)
        rate, arguments = self._command(voice)
        named = "\0".join((*arguments, words))
        name = hashlib.sha256(named.encode(errors="replace")).hexdigest()
        path = self._sounds.find(name)
        if path is not None:
            return path
        began_s = time.monotonic()
        with self._sounds.recording(name, rate) as recording:
            self._run(arguments, words, recording.write, text, within_s)
        _log.info("%d characters spoken by %s in %.1f s", len(words), voice.name, time.monotonic() - began_s)
        return recording.path

    def _command(self, voice: Voice) -> tuple[int | None, list[str]]:
        """The sample rate, if the output does not tell it, and the program with its arguments."""
        if voice.model is None:
            options = ["-v", voice.name, "-a", str(AMPLITUDE), "-s", str(WORDS_A_MINUTE), "-b", "1"]
            return None, [self._espeak, *options, "--stdin", "--stdout"]
        return rate_hz(voice.model), [str(self._piper), "--model", str(voice.model), "--output-raw"]

    def _run(
        self, arguments: list[str], words: str, take: Callable[[bytes], None], text: _Text, within_s: float
    ) -> None:
        check = functools.partial(self._check, text)
        run(arguments, words, take, within_s=within_s, cancellation=self._cancellation, check=check)
