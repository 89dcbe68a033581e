"""Flags that many commands share, written once: the connection, the key, and how an order is sent.

`injecting` gives a command one argument made from several flags, so that no command repeats them.
"""

import functools
import inspect
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from control import settings as files
from control.addresses import require_name
from control.keys import require_public
from control.problems import InputError
from control.settings import Settings

Command = Callable[..., None]
Flag = inspect.Parameter


def flag(name: str, annotation: object, default: object) -> Flag:
    """One flag of a command line as typer reads it from a signature."""
    return Flag(name, Flag.KEYWORD_ONLY, default=default, annotation=annotation)


CONNECTION: tuple[Flag, ...] = (
    flag("config", Annotated[Path | None, typer.Option(help="YAML file (default: ~/.config/loa/control.yaml).")], None),
    flag("broker", Annotated[str, typer.Option(help="mqtts://HOST[:PORT]")], ""),
    flag(
        "ca", Annotated[Path | None, typer.Option(help="Authorities that sign the broker's certificate (PEM).")], None
    ),
    flag("certificate", Annotated[Path | None, typer.Option(help="Our TLS certificate (PEM).")], None),
    flag("key", Annotated[Path | None, typer.Option(help="Its private key (PEM).")], None),
    flag("insecure", Annotated[bool, typer.Option("--insecure", help="Allow plain mqtt:// to other machines.")], False),
    flag("site", Annotated[str, typer.Option(help="Site, where none is named.")], ""),
    flag("nodes", Annotated[Path | None, typer.Option(help="YAML file of enrolled keys, NODE: PUBLIC.")], None),
    flag("node_key", Annotated[list[str], typer.Option(help="NODE=PUBLIC, one enrolled key (repeatable).")], ()),
)

SIGNING: tuple[Flag, ...] = (
    flag("signing_key", Annotated[Path | None, typer.Option(help="Ed25519 private key (PEM) that signs.")], None),
    flag("kid", Annotated[str, typer.Option(help="Its name in trust.yaml (default: the file's).")], ""),
    flag("authority", Annotated[str, typer.Option(help="Its authority in trust.yaml: `iss`.")], ""),
)


def injecting(argument: str, flags: Sequence[Flag], build: Callable[..., object]) -> Callable[[Command], Command]:
    """A decorator: the command takes `flags` on its command line and gets `argument=build(**flags)` instead."""

    def decorate(command: Command) -> Command:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != argument]
        parameters = [p.replace(kind=Flag.KEYWORD_ONLY) for p in (*own, *flags)]
        names = [p.name for p in flags]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            built = build(**{name: given.pop(name) for name in names})
            command(**given, **{argument: built})

        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def settings_of(
    *, config: Path | None, nodes: Path | None, node_key: Sequence[str], insecure: bool, **flags: object
) -> Settings:
    """The settings from file and flags; flags win, keys of nodes add up.

    Raises:
        InputError: one sentence.
    """
    loaded = files.load(config)
    known = {**loaded.nodes, **(files.load_nodes(nodes) if nodes else {}), **dict(map(_node_key, node_key))}
    return loaded.overruled(**flags, nodes=known, insecure=insecure or loaded.insecure)


def session_name(given: str) -> str:
    """The name under which the broker keeps a session: as given, else this machine's, made fit.

    Raises:
        InputError: the given one is no name.
    """
    if given:
        return require_name(given, "--as")
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in platform.node().lower())
    return host.strip("-")[:40] or "watch"


def _node_key(text: str) -> tuple[str, str]:
    name, equals, public = text.partition("=")
    if not equals:
        raise InputError(f"--node-key {text!r}: write NODE=PUBLIC")
    return require_name(name, "node"), require_public(public, name)


with_settings = injecting("settings", CONNECTION, settings_of)
"""A command with a connection: gets `settings`."""
