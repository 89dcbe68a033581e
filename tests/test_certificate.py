"""Certificates and keys as the command line looks at them, before anybody is called."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.certificate import CertificateError, public_half, read_certificate
from agent.messages.sentences import Sentence
from rig.certificates import Authority
from tests.node_files import CERTIFICATE, PRIVATE_KEY


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


def test_a_certificate_says_whose_it_is_and_until_when(authority: Authority) -> None:
    found = read_certificate(authority.client("hd-03").certificate.read_bytes())
    assert found.name == "hd-03"
    assert found.valid_from == datetime(2020, 1, 1, tzinfo=UTC)
    assert found.valid_until == datetime(2049, 12, 31, tzinfo=UTC)


def test_a_key_is_the_other_half_of_its_own_certificate_alone(authority: Authority) -> None:
    one, other = authority.client("hd-03"), authority.client("hd-04")
    halves = [public_half(each.key.read_bytes()) for each in (one, other)]
    certificates = [read_certificate(each.certificate.read_bytes()).public for each in (one, other)]
    assert halves == certificates
    assert halves[0] != halves[1]


@pytest.mark.parametrize("pem", [b"", b"\x00" * 500, CERTIFICATE.encode(), PRIVATE_KEY.encode()])
def test_what_cannot_be_read_is_a_sentence(pem: bytes) -> None:
    for read in (read_certificate, public_half):
        with pytest.raises(CertificateError, match="that can be read: copy it again") as raised:
            read(pem)
        assert isinstance(raised.value.args[0], Sentence)


def test_a_locked_key_is_no_key(tmp_path: Path, authority: Authority) -> None:
    with pytest.raises(CertificateError):
        public_half(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n")
