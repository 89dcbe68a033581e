"""What a node that is to live for hours is given."""

import os
from collections.abc import Mapping
from typing import Final

PRIORITY: Final[tuple[str, ...]] = ("nice", "-n", "-10") if os.geteuid() == 0 else ()
"""As its unit gives it: where others take the processor for 2 s, the dead man's handle ends the process."""
ENVIRONMENT: Final[Mapping[str, str]] = {"PYTHONFAULTHANDLER": "1"}
"""What kills it is told in its log."""
