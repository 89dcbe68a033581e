"""`loactl ca`, judged by OpenSSL: whom each certificate opens a door for, and that no date closes one."""

import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from control.__main__ import app

SITE = "hoang-dao"
CLOCKS = {"1970": 0, "a second later": 1, "32 bits end": 2**31 - 1, "2107": 2**32, "9999": 253_402_300_798}
"""Seconds since 1970: from a Pi's clock without a battery to the last second but one that a certificate can show."""


def ca(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["ca", *arguments, "--folder", str(folder)])


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60.0, check=False)


def shown(path: Path, *what: str) -> str:
    done = openssl("x509", "-in", path, "-noout", *what)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verified(folder: Path, certificate: Path, purpose: str, *more: object, role: str = "ca") -> str:
    """What OpenSSL finds wrong, by the strict reading of RFC 5280 and with the list; empty for nothing."""
    files = ("-CAfile", folder / f"{role}.pem", "-crl_check", "-CRLfile", folder / f"{role}.crl")
    done = openssl("verify", "-x509_strict", *files, "-purpose", purpose, *more, certificate)
    return "" if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A commune's folder: nobody changes it."""
    folder = tmp_path_factory.mktemp("commune") / "ca"
    for command in (
        ("new", "--site", SITE),
        ("server", "mqtt.hoang-dao.example", "LOCALHOST", "127.0.0.1", "::1"),
        ("node", f"{SITE}/hd-03"),
        ("node", "hd-04", "--site", SITE),
        ("client", "ubnd"),
    ):
        result = ca(folder, *command)
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with one pole, to be changed."""
    assert ca(tmp_path / "ca", "new", "--site", SITE).exit_code == 0
    assert ca(tmp_path / "ca", "node", "hd-03").exit_code == 0
    return tmp_path / "ca"


@pytest.mark.parametrize("clock_s", CLOCKS.values(), ids=CLOCKS)
def test_no_clock_locks_anybody_out(made: Path, clock_s: int) -> None:
    at = ("-attime", clock_s)
    assert verified(made, made / "server/broker.crt", "sslserver", *at) == ""
    assert verified(made, made / "nodes/hd-03.crt", "sslclient", *at) == ""
    assert verified(made, made / "clients/ubnd.crt", "sslclient", *at, role="control-ca") == ""


def test_a_clock_before_1970_would_be_refused_so_the_test_above_can_fail(made: Path) -> None:
    assert "not yet valid" in verified(made, made / "nodes/hd-03.crt", "sslclient", "-attime", -1)


def test_dates_are_written_as_rfc_5280_says(made: Path) -> None:
    for path in (made / "ca.pem", made / "control-ca.pem", *made.glob("*/*.crt")):
        parsed = openssl("asn1parse", "-in", path).stdout
        assert "UTCTIME           :700101000000Z" in parsed
        assert "GENERALIZEDTIME   :99991231235959Z" in parsed
        assert "99991231235959Z" in openssl("asn1parse", "-in", made / "ca.crl").stdout


def test_an_authority_signs_certificates_and_no_authorities(made: Path) -> None:
    for name in ("ca.pem", "control-ca.pem"):
        text = shown(made / name, "-text")
        assert "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n" in text
        assert "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n" in text
        assert "ASN1 OID: prime256v1" in text


@pytest.mark.parametrize(
    ("name", "subject", "purpose", "names"),
    [
        (
            "server/broker",
            "O = hoang-dao, CN = broker",
            "TLS Web Server Authentication",
            "DNS:mqtt.hoang-dao.example, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        ),
        ("nodes/hd-03", "O = hoang-dao, CN = hd-03", "TLS Web Client Authentication", "URI:node:hoang-dao/hd-03"),
        (
            "clients/ubnd",
            "O = hoang-dao, OU = ubnd, CN = control",
            "TLS Web Client Authentication",
            "URI:control:hoang-dao/ubnd",
        ),
    ],
)
def test_a_certificate_says_who_and_what_for(made: Path, name: str, subject: str, purpose: str, names: str) -> None:
    text = shown(made / f"{name}.crt", "-text")
    assert f"Subject: {subject}\n" in text
    assert "X509v3 Basic Constraints: critical\n                CA:FALSE\n" in text
    assert "X509v3 Key Usage: critical\n                Digital Signature\n" in text
    assert f"X509v3 Extended Key Usage: \n                {purpose}\n" in text
    assert f"X509v3 Subject Alternative Name: \n                {names}\n" in text
    assert "X509v3 Subject Key Identifier" in text
    assert "X509v3 Authority Key Identifier" in text


def test_each_is_for_its_own_purpose_and_its_own_authority(made: Path) -> None:
    assert "purpose" in verified(made, made / "nodes/hd-03.crt", "sslserver")
    assert "purpose" in verified(made, made / "server/broker.crt", "sslclient")
    assert "unable to get local issuer" in verified(made, made / "nodes/hd-03.crt", "sslclient", role="control-ca")
    assert "unable to get local issuer" in verified(made, made / "clients/ubnd.crt", "sslclient")


def test_a_broker_is_known_by_its_names_alone(made: Path) -> None:
    broker = made / "server/broker.crt"
    for good in (("-verify_hostname", "localhost"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")):
        assert verified(made, broker, "sslserver", *good) == ""
    assert "hostname mismatch" in verified(made, broker, "sslserver", "-verify_hostname", "broker")
    assert "IP address mismatch" in verified(made, broker, "sslserver", "-verify_ip", "127.0.0.2")


def test_keys_are_their_owners_and_fit(made: Path) -> None:
    keys = sorted(made.rglob("*.key"))
    assert len(keys) == 6
    for key in keys:
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        certificate = next(each for each in (key.with_suffix(".crt"), key.with_suffix(".pem")) if each.exists())
        public = openssl("pkey", "-in", key, "-pubout").stdout
        assert public == openssl("x509", "-in", certificate, "-noout", "-pubkey").stdout
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_show_lists_what_is_in_use(made: Path) -> None:
    result = ca(made, "show")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("ca.pem", "ca.crl", "control-ca.pem", "control-ca.crl"),
        *("server/broker.crt", "nodes/hd-03.crt", "nodes/hd-04.crt", "clients/ubnd.crt"),
    ]
    fingerprint = shown(made / "ca.pem", "-fingerprint", "-sha256").strip().partition("=")[2]
    assert fingerprint.replace(":", "").lower() in lines[0]
    assert "  node:hoang-dao/hd-03  " in lines[5]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("new", "--site", SITE), "ca.pem exists already"),
        (("new", "--site", "Hoàng Đạo"), "is not a name"),
        (("node", "hd-03"), "for another one first: loactl ca revoke hd-03\n"),
        (("node", "other/hd-05"), "is the authority of site hoang-dao, not of other"),
        (("node", "hd-05", "--site", "other"), "is the authority of site hoang-dao, not of other"),
        (("node", "../hd-05"), "not of .."),
        (("node", "control"), "no node may be called 'control'"),
        (("node", "HD"), "is not a name"),
        (("client", "a/b"), "is not a name"),
        (("server", "x", "--name", "../x"), "is not a name"),
        (("server", "*.example"), "neither a host name"),
        (("server", "1.2.3.4.5"), "neither a host name"),
        (("server", "loa.xã.vn"), "neither a host name"),
        (("server", *("a" for _ in range(21))), "1 to 20 names"),
        (("revoke", "hd-09"), "there is no"),
        (("revoke", "x", "--client", "--server"), "not both"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(own: Path, command: tuple[str, ...], told: str) -> None:
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    result = ca(own, *command)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert told in result.stderr
    assert {path: path.read_bytes() for path in own.rglob("*") if path.is_file()} == before


def test_a_revoked_pole_is_on_the_list_and_its_successor_is_not(own: Path) -> None:
    assert ca(own, "revoke", f"{SITE}/hd-03").exit_code == 0
    (gone,) = (own / "revoked").iterdir()
    assert list((own / "nodes").iterdir()) == [], "the stolen key is of no use to anybody"
    assert "certificate revoked" in verified(own, gone, "sslclient", "-attime", 0)
    assert ca(own, "node", "hd-03").exit_code == 0
    assert verified(own, own / "nodes/hd-03.crt", "sslclient", "-attime", CLOCKS["9999"]) == ""
    assert ca(own, "revoke", "hd-03").exit_code == 0
    text = openssl("crl", "-in", own / "ca.crl", "-noout", "-text").stdout
    assert text.count("Serial Number:") == 2
    assert "X509v3 CRL Number: \n                2\n" in text
    assert "2 revoked" in ca(own, "show").stdout


def test_a_control_server_is_revoked_on_its_own_list(own: Path) -> None:
    assert ca(own, "client", "ubnd").exit_code == 0
    before = (own / "ca.crl").read_bytes()
    assert ca(own, "revoke", "ubnd", "--client").exit_code == 0
    (gone,) = (own / "revoked").iterdir()
    assert "certificate revoked" in verified(own, gone, "sslclient", role="control-ca")
    assert (own / "ca.crl").read_bytes() == before


def test_an_authority_that_others_may_read_signs_nothing(own: Path) -> None:
    (own / "ca.key").chmod(0o640)
    for command in (("node", "hd-04"), ("revoke", "hd-03")):
        result = ca(own, *command)
        assert (result.exit_code, f"chmod 600 {own / 'ca.key'}" in result.stderr) == (2, True)
    assert sorted(path.name for path in (own / "nodes").iterdir()) == ["hd-03.crt", "hd-03.key"]


def test_files_that_do_not_fit_are_refused(own: Path, made: Path) -> None:
    (own / "ca.crl").write_bytes((made / "ca.crl").read_bytes())
    assert "not signed by its authority" in ca(own, "revoke", "hd-03").stderr
    (own / "nodes/hd-03.crt").write_bytes((made / "nodes/hd-03.crt").read_bytes())
    assert "was not made by the authority" in ca(own, "revoke", "hd-03").stderr
    (own / "ca.key").write_bytes((made / "ca.key").read_bytes())
    assert "do not belong together" in ca(own, "node", "hd-04").stderr
    (own / "ca.pem").write_text("x")
    assert "holds no certificate" in ca(own, "show").stderr
    assert "make it with loactl ca new" in ca(own / "none", "show").stderr
