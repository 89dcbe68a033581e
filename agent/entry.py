"""`loa-agent`: what must happen at once, before a Zero 2 W has taken seconds to import the rest."""

import importlib
import os
import sys

from agent.gpio.let_go import after_the_service


def main() -> None:
    """Entry point of the command."""
    if after_the_service(sys.argv[1:], os.environ):
        sys.stdout.write("amplifier off\n")
        sys.exit(0)
    importlib.import_module("agent.__main__").main()
