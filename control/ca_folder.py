"""The folder in which a commune keeps its two authorities, and what they made.

    ca.pem  ca.key  ca.crl                            trusted by every machine; signs the broker and the nodes
    control-ca.pem  control-ca.key  control-ca.crl    signs control servers
    server/NAME.crt .key                              made, to be carried to their machines
    nodes/NODE.crt .key
    clients/NAME.crt .key
    revoked/SERIAL.crt                                out of use; each serial number stands in a list

Invariant: of one name there is one certificate that is not revoked. A second is made once the first is revoked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control import files
from control.addresses import require_name
from control.certificates import Identity, Role, new_authority, read_identity, signed_by
from control.keys import require_private
from control.problems import InputError, WorldError
from control.revocations import read_revocations, revocations

MAX_FILE_BYTES = 1 << 20
"""A certificate takes 1 KB, and each revoked one some 40 bytes of a list."""
KINDS = {"server": Role.NODES, "nodes": Role.NODES, "clients": Role.CONTROL}
"""Folder of what is made, and who signs it."""
FLAGS = {"server": " --server", "nodes": "", "clients": " --client"}
"""How `loactl ca revoke` tells them apart."""


@dataclass(frozen=True, slots=True)
class Made:
    """One certificate in the folder."""

    kind: str
    name: str
    path: Path
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class CaFolder:
    """All of one commune's certificates."""

    path: Path

    def begin(self, site: str, now: datetime) -> list[Path]:
        """Make both authorities with their empty lists; the paths of their certificates.

        Raises:
            InputError: there are some already, or `site` is no name.
            WorldError: the disk refuses.
        """
        made = {role: new_authority(site, role) for role in Role}
        for role in Role:
            for suffix in ("pem", "key", "crl"):
                if (place := self._of(role, suffix)).exists():
                    raise InputError(f"{place} exists already: poles trust it, and nothing would trust a second one")
        self._make(self.path)
        for role, authority in made.items():
            files.write_new(self._of(role, "key"), authority.key_pem, mode=files.PRIVATE)
            files.write_new(self._of(role, "crl"), revocations(authority, now=now).public_bytes(Encoding.PEM))
            # Last: without it nothing else of the authority counts.
            files.write_new(self._of(role, "pem"), authority.certificate_pem)
        return [self._of(role, "pem") for role in Role]

    def authority(self, role: Role) -> Identity:
        """One of the two, with its key.

        Raises:
            InputError: there is none, others may read its key, or the files do not fit.
        """
        certificate, key = self._of(role, "pem"), self._of(role, "key")
        pem = self._read(certificate)
        require_private(key)
        try:
            return read_identity(pem, files.read(key, MAX_FILE_BYTES))
        except ValueError as error:
            raise InputError(f"{certificate}, {key.name}: {error}") from None

    def make(self, kind: str, name: str, build: Callable[[Identity], Identity]) -> Path:
        """Have a certificate made under a name that has none yet; its path, with the key beside it.

        Raises:
            InputError: there is one already, or what `build` refuses.
            WorldError: the disk refuses.
        """
        require_name(name, "name")
        place = self.path / kind / f"{name}.crt"
        for path in (place, place.with_suffix(".key")):
            if path.exists():
                told = f"{path} exists already: one certificate a name"
                raise InputError(f"{told}; for another one first: loactl ca revoke {name}{FLAGS[kind]}")
        identity = build(self.authority(KINDS[kind]))
        self._make(place.parent)
        files.write_new(place.with_suffix(".key"), identity.key_pem, mode=files.PRIVATE)
        files.write_new(place, identity.certificate_pem)
        return place

    def made(self) -> list[Made]:
        """All certificates in use, by kind and name.

        Raises:
            InputError: a file is none, or another authority's.
        """
        return [self._opened(kind, path) for kind in KINDS for path in sorted((self.path / kind).glob("*.crt"))]

    def revoke(self, kind: str, name: str, now: datetime) -> Path:
        """Put a certificate on its authority's list, which the broker must be given; the path of the list.

        The list comes first: when this is broken off, it is done again.

        Raises:
            InputError: there is no such certificate.
            WorldError: the disk refuses.
        """
        path = self.path / kind / f"{name}.crt"
        if not path.exists():
            raise InputError(f"there is no {path}: `loactl ca show` lists what there is")
        made = self._opened(kind, path)
        role = KINDS[kind]
        authority = self.authority(role)
        place = self._of(role, "crl")
        listed = revocations(authority, self.revocations(role), [made.certificate], now=now)
        files.write_over(place, listed.public_bytes(Encoding.PEM))
        gone = self.path / "revoked"
        self._make(gone)
        try:
            path.with_suffix(".key").unlink(missing_ok=True)  # nobody may use it any more
            path.replace(gone / f"{made.certificate.serial_number:x}.crt")
        except OSError as error:
            raise WorldError(f"cannot put {path} away: {error.strerror}") from None
        return place

    def revocations(self, role: Role) -> x509.CertificateRevocationList:
        """An authority's list.

        Raises:
            InputError: it is missing, or not its own.
        """
        place = self._of(role, "crl")
        try:
            return read_revocations(self.certificate(role), files.read(place, MAX_FILE_BYTES))
        except ValueError as error:
            raise InputError(f"{place}: {error}") from None

    def certificate(self, role: Role) -> x509.Certificate:
        """An authority's certificate.

        Raises:
            InputError: there is none.
        """
        return _certificate(self._of(role, "pem"), self._read(self._of(role, "pem")))

    def _opened(self, kind: str, path: Path) -> Made:
        certificate = _certificate(path, files.read(path, MAX_FILE_BYTES))
        if not signed_by(self.certificate(KINDS[kind]), certificate):
            raise InputError(f"{path} was not made by the authority of this folder")
        return Made(kind, path.stem, path, certificate)

    def _of(self, role: Role, suffix: str) -> Path:
        return self.path / f"{role.value}.{suffix}"

    def _read(self, path: Path) -> bytes:
        if not path.exists():
            raise InputError(f"there is no {path}: make it with loactl ca new --site SITE, or name its --folder")
        return files.read(path, MAX_FILE_BYTES)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise WorldError(f"cannot make {folder}: {error.strerror}") from None


def _certificate(path: Path, pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise InputError(f"{path} holds no certificate in PEM") from None
