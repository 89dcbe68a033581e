"""What a folder's change needs before it may be counted on."""

import os
from pathlib import Path


def sync(folder: Path) -> None:
    """Names made, changed or removed in it are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
