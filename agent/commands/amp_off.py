"""`amp-off`: the amplifier off, by the running agent, or by ourselves where none runs.

Needs no good configuration: it has to work after a crash, when a file may have been edited badly since.
"""

import argparse
import sys
from typing import Final

from agent.commands.exits import BAD_INPUT, DONE, FAILED
from agent.commands.language import Language
from agent.commands.places import ASK_TIMEOUT_S, runtime_folder, socket_in
from agent.config import Config, ConfigError, load_config
from agent.console import ConsoleDeniedError, ConsoleError, ask
from agent.gpio.claim import Claim, recall
from agent.gpio_amp import GpioError, Line, amp_off
from agent.messages.sentences import Sentence

AMPLIFIER_OFF: Final = Sentence("amplifier off")


def arguments(_: argparse.ArgumentParser, __: Language) -> None:
    """None of its own."""


def main(options: argparse.Namespace, language: Language) -> int:
    """The running agent owns the line; only where none runs is it opened from here (field notes, gpiozero 4)."""
    config = None
    try:
        config = load_config(options.config)
    except ConfigError as error:
        print("\n".join(map(language.problem, error.problems)))
    claims = [claim_of(config)] if config is not None else []
    runtime = runtime_folder(config)
    try:
        answer = ask(socket_in(runtime), "amp-off", ASK_TIMEOUT_S)
    except ConsoleDeniedError as error:
        print(f"loa-agent: {language.error(error)}", file=sys.stderr)
        return FAILED
    except ConsoleError:
        return _open_relays(claims, recall(runtime), language)
    if answer == b"amplifier off\n":
        print(language.text(AMPLIFIER_OFF))
        return DONE
    print(answer.decode("utf-8", "replace"), file=sys.stderr)
    return FAILED


def _open_relays(claims: list[Claim], remembered: Claim | None, language: Language) -> int:
    """What was claimed last, and what the configuration names now: usually the same."""
    if remembered is not None and remembered not in claims:
        claims.insert(0, remembered)
    try:
        for claim in claims:
            amp_off(lines=claim.lines, factory=claim.factory, chip=claim.chip, trace=claim.trace)
    except (GpioError, OSError) as error:
        print(f"loa-agent: {language.error(error)}", file=sys.stderr)
        return FAILED
    if not claims:
        return BAD_INPUT
    print(language.text(AMPLIFIER_OFF))
    return DONE


def claim_of(config: Config) -> Claim:
    """The lines that this configuration names."""
    lines = {zone.name: Line(zone.gpio, zone.active_high) for zone in config.amplifier}
    return Claim(lines=lines, factory=config.gpio.factory, chip=config.gpio.chip, trace=config.gpio.trace)
