"""An authority's list of certificates that are valid no longer, though no date ends them. Pure."""

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from control.certificates import BEGINNING, NO_END, Identity, issuer_key


def revocations(
    authority: Identity,
    before: x509.CertificateRevocationList | None = None,
    revoked: Sequence[x509.Certificate] = (),
    *,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The authority's list: all of `before`, and `revoked` from `now` on.

    The list itself has no end either: OpenSSL refuses everybody once a list is past its next update.
    """
    known = {} if before is None else {each.serial_number: each for each in before}
    for certificate in revoked:
        serial = certificate.serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        known.setdefault(serial, entry.build())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(BEGINNING)
        .next_update(NO_END)
        .add_extension(issuer_key(authority.key.public_key()), critical=False)
        .add_extension(x509.CRLNumber(0 if before is None else number_of(before) + 1), critical=False)
    )
    for each in known.values():
        builder = builder.add_revoked_certificate(each)
    return builder.sign(authority.key, hashes.SHA256())


def number_of(listed: x509.CertificateRevocationList) -> int:
    """How many lists came before it."""
    return listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def read_revocations(authority: x509.Certificate, pem: bytes) -> x509.CertificateRevocationList:
    """An authority's list.

    Raises:
        ValueError: it is none, or another's.
    """
    listed = x509.load_pem_x509_crl(pem)
    public = authority.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey), "it was read with its key"
    if not listed.is_signature_valid(public):
        raise ValueError("the list is not signed by its authority")
    return listed
