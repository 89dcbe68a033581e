"""A private certificate authority, as a station has one: its broker's and its nodes' certificates, good and bad.

For tests, benches and `make run`. Nothing here reads the clock: certificates are valid from 2020 to 2049, expired ones
were until 2021, early ones will be from 2048.
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FROM = datetime(2020, 1, 1, tzinfo=UTC)
_UNTIL = datetime(2049, 12, 31, tzinfo=UTC)
_LONG_AGO = datetime(2021, 1, 1, tzinfo=UTC)
_LATER = datetime(2048, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key, as PEM files; the key is readable by its owner only."""

    certificate: Path
    key: Path


class Authority:
    """A CA whose files live in `folder`; another instance with another name is the wrong CA."""

    def __init__(self, folder: Path, name: str = "station-ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        self._certificate = self._sign(self._name, self._key.public_key(), _UNTIL, _authority_extensions())
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self, name: str = "broker", *, hosts: tuple[str, ...] = LOOPBACK, expired: bool = False, early: bool = False
    ) -> Identity:
        """For a broker reached by these host names and addresses."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        return self._issue(name, expired, [names, usage], begins=_LATER if early else _FROM)

    def client(self, name: str, *, expired: bool = False) -> Identity:
        """For a node or a control server: `name` becomes its user name at the broker."""
        return self._issue(name, expired, [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])])

    def _issue(
        self, name: str, expired: bool, extensions: list[x509.ExtensionType], begins: datetime = _FROM
    ) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        until = _LONG_AGO if expired else _UNTIL
        certificate = self._sign(_common_name(name), key.public_key(), until, extensions, begins)
        identity = Identity(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_secret(
            identity.key,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return identity

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        until: datetime,
        extensions: list[x509.ExtensionType],
        begins: datetime = _FROM,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(until)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())


def _authority_extensions() -> list[x509.ExtensionType]:
    may = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return [x509.BasicConstraints(ca=True, path_length=0), may]


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_secret(path: Path, text: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
