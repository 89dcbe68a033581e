"""The node's own key on the disk: made at the first start, never replaced. Main thread, before the loop begins."""

import os
from pathlib import Path

from agent.security import NodeKey


def load_or_make(path: Path) -> NodeKey:
    """The key in `path`; a fresh one is stored durably first, readable by its owner alone.

    Raises:
        NodeKeyError: the file holds no Ed25519 private key.
        OSError: it can be neither read nor written.
    """
    if path.exists():
        return NodeKey.from_pem(path.read_bytes())
    key = NodeKey.generate()
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_pem())
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
    return key
