"""The node's own key on the disk: made at the first start, never replaced. Main thread, before the loop begins."""

import os
import stat
from pathlib import Path

from agent.messages.sentences import Sentence
from agent.security import NodeKey, NodeKeyError


def load_or_make(path: Path) -> NodeKey:
    """The key in `path`; a fresh one is stored durably first, readable by its owner alone.

    Raises:
        NodeKeyError: as `load`.
        OSError: it can be neither read nor written.
    """
    if path.exists():
        return load(path)
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


def load(path: Path) -> NodeKey:
    """The key in `path`, if its owner alone can read and change it: whoever reads it can sign this node's reports.

    Raises:
        NodeKeyError: others can, or the file holds no Ed25519 private key.
        OSError: it cannot be read.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        told = Sentence(
            "{file} can be read or changed by others than its owner (mode {mode}): run chmod 600 {file}",
            mode=f"{mode:04o}",
            file=path,
        )
        raise NodeKeyError(told)
    return NodeKey.from_pem(path.read_bytes())
