"""What must not leave a node, taken out of every text that does: private keys in any dress, passwords in URLs.

Pure but for reading the key files, so as to know what to look for.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

REMOVED: Final = "[removed]"

MAX_KEY_BYTES: Final = 64 * 1024
WINDOW: Final = 12
"""So many letters of a key's base64 in a row are no chance: 9 of its bytes."""

_BLOCK: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_PASSWORD: Final = re.compile(r"(?<=://)[^\s/@\"']+@")
_RUN: Final = re.compile(rf"[A-Za-z0-9+/=_-]{{{WINDOW},}}")


class Scrub:
    """Knows the secrets of this node."""

    def __init__(self, key_files: Iterable[Path]) -> None:
        """Read those that can be read; what cannot be read cannot have got into anything either."""
        self._windows: set[str] = set()
        for path in key_files:
            try:
                contents = path.read_bytes()[:MAX_KEY_BYTES].decode("ascii", "replace")
            except OSError:
                continue
            if "PRIVATE KEY" in contents:
                body = "".join(line.strip() for line in contents.splitlines() if "-----" not in line)
                self._windows.update(body[at : at + WINDOW] for at in range(len(body) - WINDOW + 1))

    def clean(self, text: str) -> str:
        """The text without them. Of a piece of a key everything goes that could be told from it."""
        text = _PASSWORD.sub(f"{REMOVED}@", _BLOCK.sub(REMOVED, text))
        return _RUN.sub(lambda run: self._without_windows(run[0]), text)

    def _without_windows(self, run: str) -> str:
        secret = bytearray(len(run))
        for at in range(len(run) - WINDOW + 1):
            if run[at : at + WINDOW] in self._windows:
                secret[at : at + WINDOW] = b"\1" * WINDOW
        if not any(secret):
            return run
        kept = "".join(letter if not hidden else "\0" for letter, hidden in zip(run, secret, strict=True))
        return re.sub("\0+", REMOVED, kept)
