"""`loactl keygen | verify`: keys, and what is in an envelope. No network."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from control import keys
from control.envelope import MAX_ENVELOPE_BYTES
from control.inspection import inspected, trust_lines
from control.problems import InputError

VALID_YEARS = 3
MAX_YEARS = 10


def keygen(
    name: Annotated[str, typer.Argument(help="The key's name (kid), e.g. hd-operator.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for NAME.pem.")] = Path(),
    authority: Annotated[str, typer.Option(help="In whose name it orders (default: its own name).")] = "",
    may: Annotated[str, typer.Option(help="Permissions with commas: play.normal,stop (default: none).")] = "",
    years: Annotated[int, typer.Option(min=1, max=MAX_YEARS, help="Years of validity.")] = VALID_YEARS,
) -> None:
    """Make an Ed25519 key; print what trust.yaml shall say of it."""
    key = keys.generate(name)
    permissions = tuple(word.strip() for word in may.split(",") if word.strip())
    entry = keys.trust_entry(key, authority=authority or name, may=permissions, now=datetime.now(UTC), years=years)
    path = out / f"{name}.pem"
    keys.store(key, path)
    typer.echo(f"loactl: {path} is the private key / khóa bí mật: keep it, show it to nobody", err=True)
    print(trust_lines(entry))


def verify(
    file: Annotated[str, typer.Argument(help="An envelope or a report; - reads standard input.")],
    *,
    public: Annotated[list[str] | None, typer.Option(help="[KID=]PUBLIC to verify with (repeatable).")] = None,
) -> None:
    """Show what a report or an order says; with --public, whether its signature is good."""
    result = inspected(_bytes_of(file), _publics(public or []))
    print(result.text)
    raise typer.Exit(result.exit_code)


def _publics(given: list[str]) -> dict[str, str]:
    """Names to public key; the empty kid fits any."""
    parted = ((kid, public) if equals else ("", kid) for kid, equals, public in (text.partition("=") for text in given))
    return {kid: keys.require_public(public, kid or "--public") for kid, public in parted}


def _bytes_of(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_ENVELOPE_BYTES + 1)
        with Path(file).open("rb") as opened:
            return opened.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from None
