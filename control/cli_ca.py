"""`loactl ca new | server | node | client | revoke | show`: the commune's certificates. No network."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from control import certificates, revocations
from control.addresses import require_name
from control.ca_folder import CaFolder, Made
from control.certificates import Role
from control.problems import InputError
from control.sending import complain

Folder = Annotated[Path, typer.Option("--folder", help="Folder of the two authorities and of what they made.")]
DEFAULT = Path("ca")
Site = Annotated[str, typer.Option(help="Site, e.g. hoang-dao.")]

KEY_TOLD = """\
{folder}/ca.key and control-ca.key make poles and control servers: keep this folder off the broker, and a copy of it
  locked away. / Giữ thư mục này ngoài máy chủ MQTT, cất một bản sao có khóa.
next / tiếp theo: loactl ca server HOST, loactl ca node NODE, loactl ca client NAME"""
REVOKED_TOLD = """\
give {crl} to the broker and restart it: until then {name} is still let in
  chép {crl} vào máy chủ rồi khởi động lại; trước lúc đó {name} vẫn vào được"""


def new(*, site: Site, folder: Folder = DEFAULT) -> None:
    """Make the commune's two authorities. / Tạo hai chứng thư gốc của xã."""
    for path in CaFolder(folder).begin(site, datetime.now(UTC)):
        print(path)
    complain(KEY_TOLD.format(folder=folder))


def server(
    hosts: Annotated[list[str], typer.Argument(help="Names and addresses under which machines reach the broker.")],
    *,
    name: Annotated[str, typer.Option(help="Name of the files.")] = "broker",
    folder: Folder = DEFAULT,
) -> None:
    """Make the broker's certificate. / Tạo chứng thư cho máy chủ MQTT."""
    print(CaFolder(folder).make("server", name, lambda authority: certificates.server(authority, hosts)))
    complain(f"next to it lies the private key; to the broker go both, and {folder}/*.pem, {folder}/*.crl")


def node(
    name: Annotated[str, typer.Argument(help="NODE, or SITE/NODE, as in its node.yaml.")],
    *,
    site: Site = "",
    folder: Folder = DEFAULT,
) -> None:
    """Make a pole's certificate. / Tạo chứng thư cho một cụm loa."""
    place = CaFolder(folder)
    short = _of_site(name, site, place)
    path = place.make("nodes", short, lambda authority: certificates.node(authority, short))
    print(path)
    complain(f"to the pole go: {folder}/ca.pem, {path} as node.crt, {path.with_suffix('.key')} as node.key (chmod 600)")


def client(
    name: Annotated[str, typer.Argument(help="Name of the control server, e.g. ubnd.")],
    *,
    folder: Folder = DEFAULT,
) -> None:
    """Make a control server's certificate. / Tạo chứng thư cho máy điều khiển."""
    path = CaFolder(folder).make("clients", name, lambda authority: certificates.client(authority, name))
    print(path)
    complain(f"control.yaml: ca: {folder}/ca.pem, certificate: {path}, key: {path.with_suffix('.key')}")


def revoke(
    name: Annotated[str, typer.Argument(help="NODE, or SITE/NODE.")],
    *,
    client: Annotated[bool, typer.Option("--client", help="A control server, not a pole.")] = False,
    server: Annotated[bool, typer.Option("--server", help="A broker, not a pole.")] = False,
    folder: Folder = DEFAULT,
) -> None:
    """Shut out a stolen pole or control server. / Chặn cụm loa hoặc máy điều khiển bị mất."""
    if client and server:
        raise InputError("give --client or --server, not both")
    place = CaFolder(folder)
    kind = "clients" if client else "server" if server else "nodes"
    short = require_name(name, "name") if client or server else _of_site(name, "", place)
    crl = place.revoke(kind, short, datetime.now(UTC))
    print(crl)
    complain(REVOKED_TOLD.format(crl=crl, name=short))


def show(*, folder: Folder = DEFAULT) -> None:
    """List all certificates in use. / Liệt kê mọi chứng thư đang dùng."""
    place = CaFolder(folder)
    for role in Role:
        authority, listed = place.certificate(role), place.revocations(role)
        print(f"{role.value}.pem  {authority.subject.rfc4514_string()}  SHA-256 {_fingerprint(authority)}")
        print(f"{role.value}.crl  list {revocations.number_of(listed)}: {len(listed)} revoked")
    for made in place.made():
        print(_line(made))


def _of_site(name: str, site: str, place: CaFolder) -> str:
    """NODE of NODE or SITE/NODE, if the site is the authorities' own.

    Raises:
        InputError: no name, or another site.
    """
    before, slash, short = name.rpartition("/")
    own = certificates.site_of(place.certificate(Role.NODES))
    for given in (before if slash else own, site or own):
        if given != own:
            raise InputError(f"{place.path} is the authority of site {own}, not of {given}: name its own --folder")
    return require_name(short, "node")


def _line(made: Made) -> str:
    names = certificates.names_of(made.certificate)
    return f"{made.kind}/{made.name}.crt  {', '.join(names)}  serial {made.certificate.serial_number:x}"


def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
