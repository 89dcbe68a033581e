"""Where things of a node are, by its configuration or by the unit. Imports little: `amp-off` is in a hurry."""

import os
from pathlib import Path
from typing import Final

from agent.config import Config
from agent.console import SOCKET_NAME

ASK_TIMEOUT_S: Final = 3.0
"""The loop answers within a turn; one that hangs is ended by systemd after 10 s."""

DEFAULT_RUNTIME: Final = "/run/loa"
"""Where the unit's RuntimeDirectory is, if neither systemd nor the configuration can say."""


def runtime_folder(config: Config | None) -> Path:
    """The runtime folder; without a good configuration, the unit's."""
    if config is None:
        return Path(os.environ.get("RUNTIME_DIRECTORY", DEFAULT_RUNTIME))
    return config.storage.runtime


def unit_folder() -> Path | None:
    """The unit's runtime folder; None where systemd has not started us."""
    folder = os.environ.get("RUNTIME_DIRECTORY")
    return Path(folder) if folder else None


def socket_in(runtime: Path) -> Path:
    """Where the running agent answers."""
    return runtime / SOCKET_NAME


def key_file(config: Config) -> Path:
    """Where the node's own key is."""
    return config.storage.state / "node.key"
