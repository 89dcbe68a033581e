"""Ed25519 keys of those who order: made, stored, loaded, used.

A private key lies in one PEM file (PKCS8, not encrypted) that its owner alone may read; no file is ever overwritten.
"""

import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.messages.codec import WordError, convert
from agent.messages.trust import TrustedKey
from control import base64url, files
from control.problems import InputError

PUBLIC_KEY_BYTES = 32
MAX_KEY_FILE_BYTES = 4_096
"""A PKCS8 Ed25519 key takes 119; anything far larger is another kind of file."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the name (`kid`) under which nodes know it."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> str:
        """The 32 public bytes as base64url, as in trust.yaml."""
        return base64url.encode(self.private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the signature over `data`."""
        return self.private.sign(data)


def generate(kid: str) -> SigningKey:
    """A fresh key, not stored anywhere yet."""
    return SigningKey(kid, Ed25519PrivateKey.generate())


def store(key: SigningKey, path: Path) -> None:
    """Write the private key, mode 0600, on the disk before this returns.

    Raises:
        InputError: a file of this name exists; it is left as it is.
        WorldError: the disk refuses.
    """
    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files.write_new(path, pem, mode=files.PRIVATE)


def load(path: Path, kid: str) -> SigningKey:
    """The private key in `path`.

    Raises:
        InputError: no such file, others may read it, not PEM, encrypted, or not Ed25519.
    """
    require_private(path)
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the signing key {path}: {error.strerror}") from None
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(
            f"{path} holds no unencrypted private key in PEM (make one with: loactl keygen NAME)"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(f"{path} holds another kind of key; nodes take Ed25519 only")
    return SigningKey(kid, private)


def require_private(path: Path) -> None:
    """See that nobody but its owner may read or change a private key. What is not there is left to its reader.

    Raises:
        InputError: others may; with what mends it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        told = f"{path} can be read or changed by others than its owner (mode {mode:04o}): chmod 600 {path}"
        raise InputError(f"{told} (on a FAT stick modes come from its mount: umask=077)")


def require_public(text: str, whose: str) -> str:
    """`text`, if it is a public key as trust.yaml and `loa-agent status` write it.

    Raises:
        InputError: it is not base64url of 32 bytes.
    """
    try:
        if len(base64url.decode(text)) == PUBLIC_KEY_BYTES:
            return text
    except ValueError:
        pass
    raise InputError(f"the public key of {whose} is not base64url of 32 bytes without padding (43 characters)")


def verifies(public: str, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` was made by the owner of `public` (base64url)."""
    try:
        Ed25519PublicKey.from_public_bytes(base64url.decode(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def trust_entry(key: SigningKey, *, authority: str, may: tuple[str, ...], now: datetime, years: int) -> TrustedKey:
    """What trust.yaml says of this key: valid from today 00:00 UTC for `years` years.

    Raises:
        InputError: a name or a permission that no node would take.
    """
    begin = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # 28 February instead of 29: the day exists in every year.
    day = min(begin.day, 28) if begin.month == 2 else begin.day  # noqa: PLR2004  the month of February
    entry = {
        "kid": key.kid,
        "public": key.public,
        "authority": authority,
        "may": list(may),
        "valid_from": begin.isoformat(),
        "valid_until": begin.replace(year=begin.year + years, day=day).isoformat(),
    }
    try:
        return convert(entry, TrustedKey)
    except WordError as error:
        raise InputError(f"no node would take this key: {error.detail}") from None
