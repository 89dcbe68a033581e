"""A commune's certificates for its broker: two authorities and what they sign. Pure.

No date ever locks a pole out (RFC 5280 section 4.1.2.5, ADR 0014): everything is valid from 1970, the earliest clock
that Linux can show, until 99991231235959Z, which says that there is no end. What ends a certificate is its authority's
list alone (revocations). Keys are ECDSA on P-256: whatever speaks TLS 1.2 takes them.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from control.addresses import require_name
from control.problems import InputError

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""A Pi without a clock chip starts here: `notBefore` of everything."""
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""`notAfter` of everything: "no well-defined expiration date" (RFC 5280)."""
CONTROL_USER = "control"
"""Common name of every control server, so the user of its order and its watch at the broker; no node may have it."""
MAX_HOSTS = 20
"""Names and addresses of one broker."""

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_host = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.ASCII)


class Role(Enum):
    """What an authority vouches for. Two of them, so that no pole's certificate opens the control servers' door."""

    NODES = "ca"
    """The broker itself, and the nodes: what every machine trusts."""
    CONTROL = "control-ca"
    """Control servers: believed by the broker's second listener alone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def certificate_pem(self) -> bytes:
        """To be shown to anybody."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted: nobody types a password on a pole."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def site(self) -> str:
        """The commune that the certificate names."""
        return site_of(self.certificate)


def new_authority(site: str, role: Role) -> Identity:
    """An authority of a site, signed by itself; it may sign certificates, but no further authorities.

    Raises:
        InputError: `site` is no name.
    """
    require_name(site, "site")
    key = ec.generate_private_key(ec.SECP256R1())
    kind = "nodes" if role is Role.NODES else "control servers"
    name = _subject(f"Loa {site} {kind}", site)
    extensions = [x509.BasicConstraints(ca=True, path_length=0), _usage(authority=True)]
    return Identity(_signed(name, key.public_key(), _Issuer(name, key), extensions), key)


def server(authority: Identity, hosts: Sequence[str]) -> Identity:
    """For a broker that is reached by these host names and addresses.

    Raises:
        InputError: none, too many, or one that is neither.
    """
    if not 1 <= len(hosts) <= MAX_HOSTS:
        raise InputError(f"a broker has 1 to {MAX_HOSTS} names and addresses, not {len(hosts)}")
    names = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])
    subject = _subject("broker", authority.site)
    return _issued(authority, subject, names, ExtendedKeyUsageOID.SERVER_AUTH)


def node(authority: Identity, name: str) -> Identity:
    """For a pole: its node name is the common name, and so its user name and its session at the broker.

    Raises:
        InputError: no node may have this name.
    """
    if require_name(name, "node") == CONTROL_USER:
        raise InputError(f"no node may be called {CONTROL_USER!r}: that is the control servers' name at the broker")
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"node:{authority.site}/{name}")])
    return _issued(authority, _subject(name, authority.site), names, ExtendedKeyUsageOID.CLIENT_AUTH)


def client(authority: Identity, name: str) -> Identity:
    """For a control server: all have one common name, one rule at the broker; `name` tells them apart.

    Raises:
        InputError: `name` is no name.
    """
    require_name(name, "control server")
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"control:{authority.site}/{name}")])
    return _issued(authority, _subject(CONTROL_USER, authority.site, unit=name), names, ExtendedKeyUsageOID.CLIENT_AUTH)


def read_identity(certificate_pem: bytes, key_pem: bytes) -> Identity:
    """An authority's own two files.

    Raises:
        ValueError: they are not what they should be, or do not belong together.
    """
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (TypeError, UnsupportedAlgorithm):
        raise ValueError("the key is encrypted, or of an unknown kind") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ValueError("certificate and key do not belong together")
    return Identity(certificate, key)


def signed_by(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the authority made the certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def site_of(certificate: x509.Certificate) -> str:
    """The commune that a certificate of ours names."""
    named = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return next((str(each.value) for each in named), "")


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Whom a certificate of ours is for: hosts, `node:SITE/NODE` or `control:SITE/NAME`."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(str(each.value) for each in names)


def issuer_key(public: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    """How certificates and lists name the key that signed them."""
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)


@dataclass(frozen=True, slots=True)
class _Issuer:
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def _issued(
    authority: Identity, subject: x509.Name, names: x509.SubjectAlternativeName, purpose: x509.ObjectIdentifier
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    extensions = [
        x509.BasicConstraints(ca=False, path_length=None),
        _usage(authority=False),
        x509.ExtendedKeyUsage([purpose]),
        names,
    ]
    issuer = _Issuer(authority.certificate.subject, authority.key)
    return Identity(_signed(subject, key.public_key(), issuer, extensions), key)


def _signed(
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer: _Issuer,
    extensions: Sequence[x509.ExtensionType],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINNING)
        .not_valid_after(NO_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(issuer_key(issuer.key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(
            extension, critical=isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        )
    return builder.sign(issuer.key, hashes.SHA256())


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, site: str, *, unit: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, site)]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    # Digits and dots alone are a mistyped address, and no top-level domain is a number.
    if _host.fullmatch(host) is None or host.rpartition(".")[2].isdigit():
        raise InputError(f"{host!r} is neither a host name (A-labels, no *) nor an address")
    return x509.DNSName(host.lower())
