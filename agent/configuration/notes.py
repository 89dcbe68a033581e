"""What node.yaml may say, and is still worth a sentence at every `check`."""

from collections.abc import Iterator

from agent.configuration.speaking import speech_notes
from agent.configuration.values import is_numbered
from agent.configuration.words import Config, Zone
from agent.messages.sentences import Sentence

LAST_PULLED_UP_GPIO = 8
"""The Pi's chip starts with GPIO 0 to 8 pulled up, and 9 to 27 pulled down, until somebody drives them."""


def notes(config: Config) -> Iterator[Sentence]:
    """What is allowed and still worth a sentence."""
    if config.gpio.factory == "mock":
        yield Sentence("gpio.factory is mock: no relay is switched")
    if config.clock.trust == "always":
        yield Sentence("clock.trust is always: a wrong clock would not be noticed")
    if config.mqtt.insecure:
        yield Sentence("mqtt.insecure is true: a broker may be called in the clear, and whoever listens reads along")
    for written in config.sources.allow:
        if written.startswith("http://"):
            yield Sentence("sources.allow holds {entry}: whoever sits between can put in another sound", entry=written)
    yield from speech_notes(config.speech)
    if is_numbered(config.audio.device):
        yield Sentence(
            "audio.device {device} goes by a number, which may be another card after the next start",
            device=config.audio.device,
        )
    if config.gpio.factory == "lgpio":
        yield from (note for note in map(_note_on_pull, config.amplifier) if note is not None)


def _note_on_pull(zone: Zone) -> Sentence | None:
    pulled_up = zone.gpio <= LAST_PULLED_UP_GPIO
    if pulled_up != zone.active_high:
        return None
    values = {"zone": f"amplifier.{zone.name}", "gpio": zone.gpio, "file": "/boot/firmware/config.txt"}
    if pulled_up:
        return Sentence(
            "{zone}: the Pi pulls GPIO {gpio} up until the agent runs, which may close an active high relay: "
            "add {line} to {file}",
            line=f"gpio={zone.gpio}=op,dl",
            **values,
        )
    return Sentence(
        "{zone}: the Pi pulls GPIO {gpio} down until the agent runs, which may close an active low relay: "
        "add {line} to {file}",
        line=f"gpio={zone.gpio}=op,dh",
        **values,
    )
