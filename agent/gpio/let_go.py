"""The relays' lines let go at rest by a process that has time for nothing else: systemd's ExecStopPost.

After SIGKILL nobody has switched the amplifier off, and on a Zero 2 W it takes seconds to import what `amp-off` needs
for a person. This asks nobody (the service is dead), reads what was claimed from the runtime folder, and knows lgpio
alone. What it cannot do is left to `amp-off` itself.
"""

import importlib
import json
import os
from collections.abc import Mapping
from typing import Any

from agent.gpio import trace

FILE_NAME = "amplifier.json"
"""What was claimed (`gpio.claim`)."""


def after_the_service(arguments: list[str], environment: Mapping[str, str]) -> bool:
    """Whether this was `amp-off` as ExecStopPost, and all lines that were claimed are let go at rest."""
    folder = environment.get("RUNTIME_DIRECTORY", "")
    if arguments[:1] != ["amp-off"] or "SERVICE_RESULT" not in environment or not folder:
        return False
    try:
        with open(os.path.join(folder, FILE_NAME), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - pathlib is slow
            claim = json.load(file)
        if claim["factory"] == "mock":
            _rest_simulated(claim)
        else:
            _rest(claim)
    except Exception:  # noqa: BLE001 - lgpio.error is no relative of anything, and amp-off says what is wrong
        return False
    return True


def _rest(claim: Mapping[str, Any]) -> None:
    """Level, direction and pull in one request, then free: the pull outlives it (ADR 9). A line in use is refused."""
    if claim["chip"] is None:
        raise LookupError("the agent had not found its chip yet, and so has claimed nothing")
    lgpio = importlib.import_module("lgpio")
    up = getattr(lgpio, "SET_PULL_UP", None) or lgpio.SET_BIAS_PULL_UP  # lg 0.1.6 had other names
    down = getattr(lgpio, "SET_PULL_DOWN", None) or lgpio.SET_BIAS_PULL_DOWN
    handle = lgpio.gpiochip_open(claim["chip"])
    try:
        for line in claim["lines"].values():
            inactive = int(not line["active_high"])
            lgpio.gpio_claim_output(handle, line["gpio"], inactive, up if inactive else down)
            lgpio.gpio_free(handle, line["gpio"])
    finally:
        lgpio.gpiochip_close(handle)


def _rest_simulated(claim: Mapping[str, Any]) -> None:
    if claim["trace"] is None:
        return
    left = trace.levels_left(claim["trace"])
    for zone, line in claim["lines"].items():
        inactive = not line["active_high"]
        if left.get(line["gpio"]) != inactive:
            trace.note(claim["trace"], zone, line["gpio"], level=inactive, on=False)
