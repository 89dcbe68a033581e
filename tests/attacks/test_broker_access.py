"""A stolen pole, a stranger and a false broker against config/mosquitto as shipped: real broker, its own clients.

That nothing is heard is shown by what is heard after it.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from control.ca_folder import CaFolder
from control.certificates import Identity, Role, client, node
from rig.broker import CLIENT_WAIT_S
from rig.commune import NOW, SHIPPED, SITE, Card, Commune, card

COMMAND = f"loa/v1/{SITE}/command"
NODE = f"loa/v1/{SITE}/node"


@contextmanager
def running(folder: Path) -> Iterator[Commune]:
    commune = Commune(folder)
    try:
        yield commune
    finally:
        commune.stop()


@dataclass(frozen=True)
class Cast:
    """The people of most tests."""

    commune: Commune
    thief: Card
    victim: Card
    officer: Card


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    with running(tmp_path_factory.mktemp("commune")) as commune:
        people = Cast(commune, commune.pole("hd-03"), commune.pole("hd-04"), commune.control("ubnd"))
        commune.start()
        yield people


def test_a_stolen_pole_hears_no_orders_to_others(cast: Cast) -> None:
    commune, desk = cast.commune, cast.commune.desk
    with commune.hears(cast.thief, "#", port=commune.poles) as thief:
        for topic, text in (
            (f"{COMMAND}/node/hd-04", "to the victim"),
            ("loa/v1/other/command/all", "to another commune"),
            (f"{COMMAND}/node/hd-03", "to the thief"),
            (f"{COMMAND}/group/thon-2", "to a group"),
            (f"{COMMAND}/node/hd-04", "to the victim"),
            (f"{COMMAND}/all", "to all"),
        ):
            assert commune.says(cast.officer, topic, text, port=desk) == ""
        assert [thief.next().payload for _ in range(3)] == [b"to the thief", b"to a group", b"to all"]


def test_a_stolen_pole_hears_no_other_pole(cast: Cast) -> None:
    commune = cast.commune
    with commune.hears(cast.thief, "#", port=commune.poles) as thief:
        for word in ("state", "report"):
            assert commune.says(cast.victim, f"{NODE}/hd-04/{word}", "mine", port=commune.poles) == ""
        assert commune.says(cast.officer, f"{COMMAND}/all", "the end", port=commune.desk) == ""
        assert thief.next().payload == b"the end"


def test_a_pole_speaks_as_itself_alone(cast: Cast) -> None:
    commune = cast.commune
    with commune.hears(cast.officer, f"{NODE}/#", "loa/v1/other/node/#", port=commune.desk) as officer:
        for topic in (
            f"{NODE}/hd-04/state",
            f"{NODE}/hd-04/report",
            f"{NODE}/hd-03/other",
            f"{NODE}/hd-03",
            "loa/v1/other/node/hd-03/state",
        ):
            assert "ot authorized" in commune.says(cast.thief, topic, "forged", port=commune.poles)
        for word in ("state", "heartbeat", "report"):
            assert commune.says(cast.thief, f"{NODE}/hd-03/{word}", word, port=commune.poles) == ""
        assert [officer.next().payload for _ in range(3)] == [b"state", b"heartbeat", b"report"]


def test_a_stolen_pole_gives_no_orders(cast: Cast) -> None:
    commune = cast.commune
    with commune.hears(cast.victim, f"{COMMAND}/#", port=commune.poles) as victim:
        for topic in (f"{COMMAND}/node/hd-04", f"{COMMAND}/node/hd-03", f"{COMMAND}/group/thon-2", f"{COMMAND}/all"):
            assert "ot authorized" in commune.says(cast.thief, topic, "forged", port=commune.poles)
        assert commune.says(cast.officer, f"{COMMAND}/node/hd-04", "real", port=commune.desk) == ""
        assert victim.next().payload == b"real"


def test_a_control_server_orders_and_watches_and_does_not_speak_for_poles(cast: Cast) -> None:
    commune = cast.commune
    assert "ot authorized" in commune.says(cast.officer, f"{NODE}/hd-03/report", "forged", port=commune.desk)
    assert "ot authorized" in commune.says(cast.officer, "$SYS/x", "forged", port=commune.desk)


def test_each_door_takes_its_own_authority_alone(cast: Cast) -> None:
    commune = cast.commune
    assert commune.says(cast.thief, f"{COMMAND}/all", "forged", port=commune.desk) != ""
    assert commune.says(cast.officer, f"{COMMAND}/all", "real", port=commune.poles) != ""


def test_a_stolen_pole_takes_nobodys_session(cast: Cast) -> None:
    """By the victim's client identifier it would end the victim's connection, and throw away its waiting orders."""
    commune = cast.commune
    topic = f"{COMMAND}/node/hd-04"
    with commune.hears(cast.victim, topic, port=commune.poles, session="loa-hoang-dao-hd-04"):
        pass
    for name in ("loa-hoang-dao-hd-04", "hd-04"):
        thief = [*commune.arguments(cast.thief, port=commune.poles), "-i", name, "-q", "1", "-m", "x"]
        subprocess.run(
            ["mosquitto_pub", *thief, "-t", f"{NODE}/hd-03/report"],
            timeout=CLIENT_WAIT_S,
            check=True,
            capture_output=True,
        )
    assert commune.says(cast.officer, topic, "waiting", port=commune.desk) == ""
    with commune.hears(cast.victim, topic, port=commune.poles, session="loa-hoang-dao-hd-04") as victim:
        assert victim.next().payload == b"waiting"


@pytest.mark.parametrize("door", ["poles", "desk"])
def test_a_stranger_is_not_let_in(cast: Cast, tmp_path: Path, door: str) -> None:
    commune = cast.commune
    port = int(getattr(commune, door))
    other = CaFolder(tmp_path / "ca")
    other.begin(SITE, NOW)
    strangers = {
        "nobody": None,
        "of another authority": card(other.make("nodes", "hd-03", lambda authority: node(authority, "hd-03"))),
        "of another control": card(other.make("clients", "ubnd", lambda authority: client(authority, "ubnd"))),
        "expired": expired(commune, Role.NODES if door == "poles" else Role.CONTROL, tmp_path),
        "the broker itself": card(commune.ca.path / "server" / "broker.crt"),
    }
    before = len(commune.logged())
    for who, stranger in strangers.items():
        assert commune.says(stranger, f"{NODE}/hd-03/report", "forged", port=port) != "", who
    assert " as " not in commune.logged()[before:], "none of them got as far as a name"


def test_a_false_broker_is_not_spoken_to(cast: Cast, tmp_path: Path) -> None:
    commune, topic = cast.commune, f"{NODE}/hd-03/report"
    CaFolder(tmp_path / "ca").begin(SITE, NOW)
    wrong = commune.says(cast.thief, topic, "x", port=commune.poles, ca=tmp_path / "ca" / "ca.pem")
    assert "TLS error" in wrong
    # 127.0.0.2 is this machine, too, and no name of the broker.
    mismatch = commune.says(cast.thief, topic, "x", port=commune.poles, host="127.0.0.2")
    assert "TLS error" in mismatch
    assert commune.says(cast.thief, topic, "x", port=commune.poles, host="127.0.0.1") == ""


def test_old_tls_is_not_spoken(cast: Cast) -> None:
    files = ("-CAfile", cast.commune.ca.path / "ca.pem", "-cert", cast.thief.certificate, "-key", cast.thief.key)
    for version, spoken in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        # Security level 0: this client would speak TLS 1.1 if it were let.
        command = ["openssl", "s_client", "-connect", f"localhost:{cast.commune.poles}", version]
        command += ["-cipher", "ALL:@SECLEVEL=0", "-verify_return_error", *map(str, files)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLIENT_WAIT_S, check=False
        )
        assert (b"Verify return code: 0 (ok)" in done.stdout and done.returncode == 0) is spoken, (version, done.stderr)


def test_what_is_too_large_is_not_taken(cast: Cast) -> None:
    commune = cast.commune
    big = cast.commune.folder / "big"
    with commune.hears(cast.victim, f"{COMMAND}/all", port=commune.poles) as victim:
        for size in (264 * 1024, 256 * 1024):  # the first with its topic is more than 264 KiB
            big.write_bytes(b"x" * size)
            command = ["mosquitto_pub", *commune.arguments(cast.officer, port=commune.desk), "-t", f"{COMMAND}/all"]
            subprocess.run(
                [*command, "-q", "1", "-f", str(big)], capture_output=True, timeout=CLIENT_WAIT_S, check=False
            )
        assert len(victim.next().payload) == 256 * 1024


def test_a_revoked_pole_is_shut_out_and_orders_outlive_the_restart(tmp_path: Path) -> None:
    with running(tmp_path) as commune:
        stolen, other, officer = commune.pole("hd-03"), commune.pole("hd-04"), commune.control("ubnd")
        kept = Card(tmp_path / "stolen.crt", tmp_path / "stolen.key")
        kept.certificate.write_bytes(stolen.certificate.read_bytes())
        kept.key.write_bytes(stolen.key.read_bytes())
        commune.start()
        assert commune.says(kept, f"{NODE}/hd-03/report", "x", port=commune.poles) == ""
        topic = f"{COMMAND}/node/hd-04"
        with commune.hears(other, topic, port=commune.poles, session="hd-04"):
            pass
        commune.ca.revoke("nodes", "hd-03", NOW)
        again = commune.pole("hd-03")
        commune.stop()
        commune.log.unlink()
        commune.start()
        assert commune.says(kept, f"{NODE}/hd-03/report", "x", port=commune.poles) != ""
        assert commune.says(again, f"{NODE}/hd-03/report", "x", port=commune.poles) == "", "the new card"
        assert commune.says(officer, topic, "while it was away", port=commune.desk) == ""
        with commune.hears(other, topic, port=commune.poles, session="hd-04") as pole:
            assert pole.next().payload == b"while it was away"


def test_the_acl_names_one_site_wherever_it_names_one() -> None:
    rules = [line for line in (SHIPPED / "acl").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert {rule.split()[2].split("/")[2] for rule in rules if rule.startswith("pattern")} == {SITE}
    assert [rule for rule in rules if not rule.startswith("pattern")] == [
        "user control",
        "topic read loa/v1/+/node/#",
        "topic write loa/v1/+/command/#",
    ]


def expired(commune: Commune, role: Role, folder: Path) -> Card:
    """As ours, by the same authority, but until 2021: what a stranger might have from elsewhere."""
    authority = commune.ca.authority(role)
    good = node(authority, "hd-03") if role is Role.NODES else client(authority, "ubnd")
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.certificate.subject)
        .issuer_name(good.certificate.issuer)
        .public_key(good.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2021, 1, 1, tzinfo=UTC))
    )
    for extension in good.certificate.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    old = Identity(builder.sign(authority.key, hashes.SHA256()), good.key)
    made = Card(folder / "old.crt", folder / "old.key")
    made.certificate.write_bytes(old.certificate_pem)
    made.key.write_bytes(old.key_pem)
    return made
