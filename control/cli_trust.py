"""`loactl trust new | show | add | retire | revoke`: the trust document of a site, version by version. No network."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from agent.messages.trust import TrustDocument
from control import keys, trust_changes
from control import settings as files
from control.addresses import require_name
from control.instants import instant_s
from control.options import flag, injecting
from control.problems import InputError
from control.sending import complain
from control.settings import Settings
from control.trust_folder import Folder, History, read_change, read_document
from control.trust_show import differences, shown, warnings
from control.trust_signatures import proven

ROOT_YEARS = 10
KEY_YEARS = 3
MAX_YEARS = 20
MAX_VERSION = 999_999_999
"""The names of the folder's files have room for it."""

FOLDER = flag(
    "trust_folder",
    Annotated[Path | None, typer.Option("--folder", help="Folder of all versions (default: trust).")],
    None,
)
CONFIG = flag(
    "config", Annotated[Path | None, typer.Option(help="YAML file (default: ~/.config/loa/control.yaml).")], None
)
SITE = flag("site", Annotated[str, typer.Option(help="Site, e.g. hoang-dao.")], "")

PAPER_TOLD = """\
{path} is the second root: print it on paper or write it to a USB stick, lock that away in another building,
  then delete the file here. Whoever has lost every root can never change again whom the loudspeakers obey.
  {path} là khóa gốc thứ hai: in ra giấy hoặc chép vào USB, cất khóa kỹ ở tòa nhà khác, rồi xóa tệp này
  trên máy. Mất hết khóa gốc thì không bao giờ đổi được người ra lệnh cho loa nữa."""
ROOT_TOLD = """\
{path} is the first root / khóa gốc thứ nhất: keep it off this machine between changes, show it to nobody
  cất ngoài máy này khi không dùng, không cho ai xem."""


def settings_of(*, config: Path | None, site: str, trust_folder: Path | None) -> Settings:
    """The settings from file and flags, for commands without a network.

    Raises:
        InputError: one sentence.
    """
    return files.load(config).overruled(site=site, trust_folder=trust_folder)


in_folder = injecting("settings", (FOLDER, CONFIG, SITE), settings_of)
"""A command on the folder of versions: gets `settings`."""


def folder_of(settings: Settings) -> Folder:
    """The folder of the site's versions."""
    return Folder(settings.trust_folder or Path("trust"))


def history_of(settings: Settings) -> History:
    """All versions, verified; of the site that was named, if one was.

    Raises:
        InputError: one sentence.
    """
    folder = folder_of(settings)
    history = folder.history()
    if settings.site and settings.site != history.last.site:
        raise InputError(f"{folder.path} is of site {history.last.site}, not of {settings.site}: name its own --folder")
    return history


@in_folder
def new(
    *,
    version: Annotated[
        int, typer.Option(min=1, max=MAX_VERSION, help="Where all roots are lost: above any that a node has.")
    ] = 1,
    root: Annotated[str, typer.Option(help="Name of the first root (default: SITE-root, from version 2: -N).")] = "",
    paper: Annotated[str, typer.Option(help="Name of the second root (default: the same with -paper).")] = "",
    authority: Annotated[str, typer.Option(help="In whose name the roots change this document.")] = "root",
    years: Annotated[int, typer.Option(min=1, max=MAX_YEARS, help="Years of validity.")] = ROOT_YEARS,
    out: Annotated[Path, typer.Option(help="Folder for the two private keys.")] = Path(),
    settings: Settings,
) -> None:
    """Make version 1 of a site's trust: two roots, one of which suffices. / Tạo bản đầu tiên với hai khóa gốc.

    Where all roots are lost, a higher --version begins anew: its names are new as well, since no node takes another
    key under a name that it knows, and each node is given it by hand.
    """
    if not settings.site:
        raise InputError("no site: give --site SITE, or write `site:` into the configuration file")
    site = require_name(settings.site, "site")
    folder = folder_of(settings)
    folder.require_empty()
    name = f"{site}-root" if version == 1 else f"{site}-root-{version}"
    made = [keys.generate(each) for each in (root or name, paper or f"{name}-paper")]
    now = datetime.now(UTC)
    entries = [keys.trust_entry(key, authority=authority, may=(), now=now, years=years) for key in made]
    document = trust_changes.first(site, tuple(entries), version)
    paths = [out / f"{key.kid}.pem" for key in made]
    for path in paths:
        if path.exists():
            raise InputError(f"{path} exists already and is not overwritten: choose another name or --out")
    for key, path in zip(made, paths, strict=True):
        keys.store(key, path)
    place = folder.begin(document)
    print(f"{place}: version / bản {version}, {site}")
    complain(ROOT_TOLD.format(path=paths[0]))
    complain(PAPER_TOLD.format(path=paths[1]))
    complain("next / tiếp theo: loactl keygen, then / rồi loactl trust add")


@in_folder
def show(
    file: Annotated[Path | None, typer.Argument(help="A document, signed or not (default: the newest here).")] = None,
    *,
    settings: Settings,
) -> None:
    """Show a trust document: whose orders nodes obey, and until when. / Xem loa tuân lệnh của ai, đến khi nào."""
    now = datetime.now(UTC)
    if file is not None and file.suffix != ".jws":
        print(shown(read_document(file), now))
        return
    history = history_of(settings)
    if file is None:
        print(shown(history.last, now))
        _tell_next(folder_of(settings), history)
        return
    change = read_change(file)
    before = next((each for each in history.documents if each.version == change.document.version - 1), None)
    print(shown(change.document, now))
    if before is None:
        complain(f"{folder_of(settings).path} has no version {change.document.version - 1}: no signature was checked")
        return
    print("\n".join(("", *differences(before, change.document))))
    print(f"signed by / đã ký: {', '.join(proven(change, before))}")


@in_folder
def add(
    kid: Annotated[str, typer.Argument(help="The key's name, never used before, e.g. hd-operator-2.")],
    *,
    public: Annotated[str, typer.Option(help="Its public part, as `loactl keygen` printed it.")],
    authority: Annotated[str, typer.Option(help="In whose name it orders (default: its own name).")] = "",
    may: Annotated[str, typer.Option(help="Permissions with commas: play.normal,stop (default: none).")] = "",
    max_volume: Annotated[int, typer.Option(min=0, max=100, help="No louder than this, percent.")] = 100,
    valid_from: Annotated[str, typer.Option(help="2026-05-01T00:00:00+07:00 (default: today).")] = "",
    valid_until: Annotated[str, typer.Option(help="As above, or +1095d (default: three years).")] = "",
    root: Annotated[bool, typer.Option("--root", help="It may change this document.")] = False,
    threshold: Annotated[int | None, typer.Option(help="So many roots must sign the next change.")] = None,
    settings: Settings,
) -> None:
    """Draft the next version with one more key. / Soạn bản kế tiếp: thêm một khóa."""
    now = int(time.time())
    entry = trust_changes.entry(
        kid,
        public,
        authority=authority or kid,
        may=tuple(word.strip() for word in may.split(",") if word.strip()),
        max_volume_percent=max_volume,
        valid_from=_moment(valid_from, "--valid-from", now) if valid_from else _today(now),
        valid_until=_moment(valid_until or f"+{KEY_YEARS * 365}d", "--valid-until", now),
    )
    _draft(settings, lambda document: trust_changes.added(document, entry, root=root), threshold)


@in_folder
def retire(kid: Annotated[str, typer.Argument(help="The key's name.")], *, settings: Settings) -> None:
    """Draft the next version: a key orders nothing new, what it ordered stays. / Thôi dùng một khóa."""
    _draft(settings, lambda document: trust_changes.retired(document, kid), None)


@in_folder
def revoke(
    kid: Annotated[str, typer.Argument(help="The key's name.")],
    *,
    threshold: Annotated[int | None, typer.Option(help="So many roots must sign the next change.")] = None,
    settings: Settings,
) -> None:
    """Draft the next version without a key: what it ordered ends. / Thu hồi một khóa: lệnh của nó bị hủy."""
    _draft(settings, lambda document: trust_changes.revoked(document, kid), threshold)


def _draft(settings: Settings, change: Callable[[TrustDocument], TrustDocument], threshold: int | None) -> None:
    """Change the draft of the next version, or begin one; say what it is now."""
    folder, history = folder_of(settings), history_of(settings)
    before = history.last
    document = change(folder.next_document(history) or replace(before, version=before.version + 1))
    if threshold is not None:
        document = trust_changes.with_threshold(document, threshold)
    place = folder.write_draft(history.check(document))
    print("\n".join((f"{place}: draft / bản nháp {document.version}", *differences(before, document))))
    for line in warnings(document, datetime.now(UTC)):
        complain(line)
    complain("next / tiếp theo: loactl trust sign --signing-key ROOT.pem")


def _tell_next(folder: Folder, history: History) -> None:
    """What is under way besides the newest signed version."""
    version = history.last.version + 1
    if (draft := folder.next_document(history)) is not None:
        print("\n".join(("", f"draft of / bản nháp {version}:", *differences(history.last, draft))))
    for part in folder.parts(version):
        print(f"signature waiting / chữ ký đang chờ: {part.name}")


def _today(now: int) -> datetime:
    """00:00 UTC: a pole whose clock is a little late takes the key at once."""
    return datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0)


def _moment(text: str, name: str, now: int) -> datetime:
    seconds = instant_s(text, name, now)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{name} {text!r} is beyond the calendar: write 2029-01-01T00:00:00Z") from None
