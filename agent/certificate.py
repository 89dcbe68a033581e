"""A certificate as a technician needs to know it: whose it is, from when to when, and whether a key is its other half.

Any thread; pure. TLS itself is `agent.mqtt`'s affair: here is only what can be said before anybody is called.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from agent.messages.sentences import Sentence


class CertificateError(ValueError):
    """The text is none, or cannot be used; its argument is one sentence."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The first one of a PEM file. Instants are in UTC; `name` is the common name, empty where there is none."""

    name: str
    valid_from: datetime
    valid_until: datetime
    public: bytes


def read_certificate(pem: bytes) -> Certificate:
    """What a PEM text says. Raises CertificateError."""
    try:
        found = load_pem_x509_certificate(pem)
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        public = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(Sentence("this is no certificate that can be read: copy it again")) from None
    return Certificate(
        str(names[0].value) if names else "", found.not_valid_before_utc, found.not_valid_after_utc, public
    )


def public_half(pem: bytes) -> bytes:
    """The public half of a private key, to be compared with a certificate's. Raises CertificateError."""
    try:
        private = load_pem_private_key(pem, password=None)
        return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError(Sentence("this is no private key that can be read: copy it again")) from None
