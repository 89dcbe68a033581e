"""`loactl trust sign | merge`: several officers' signatures on one new version. No network.

The first to sign turns the draft into the payload. Whoever signs after that is given the file it wrote: signatures join
only over the very same bytes.
"""

from pathlib import Path
from typing import Annotated

import typer

from agent.messages.trust import TrustDocument
from control import keys, orders
from control.cli_trust import folder_of, history_of, in_folder
from control.keys import SigningKey
from control.problems import EXIT_FAILED, InputError
from control.sending import complain, wall_s
from control.settings import Settings
from control.trust_folder import Folder, History, read_change
from control.trust_show import differences
from control.trust_signatures import Change, payload, proven, signed, together


@in_folder
def sign(
    files: Annotated[
        list[Path] | None, typer.Argument(help="What other roots have signed (default: those here).")
    ] = None,
    *,
    signing_key: Annotated[Path, typer.Option(help="Private key of a root (PEM).")],
    kid: Annotated[str, typer.Option(help="Its name in the document (default: the file's).")] = "",
    settings: Settings,
) -> None:
    """Sign the next version with a root's key. / Ký bản kế tiếp bằng khóa gốc."""
    folder, history = folder_of(settings), history_of(settings)
    signer = keys.load(signing_key, kid or signing_key.stem)
    others = _given(files, folder, history)
    body, document = (
        (others[0].envelope.payload, others[0].document) if others else _first_payload(folder, history, signer)
    )
    history.check(document)
    print("\n".join((f"version / bản {document.version}:", *differences(history.last, document))))
    _gathered([*others, signed(body, signer, history.last, document)], folder, history)


@in_folder
def merge(
    files: Annotated[list[Path] | None, typer.Argument(help="What roots have signed (default: those here).")] = None,
    *,
    settings: Settings,
) -> None:
    """Join several roots' signatures on one version into one envelope. / Gộp chữ ký của nhiều người."""
    folder, history = folder_of(settings), history_of(settings)
    changes = _given(files, folder, history)
    if not changes:
        raise InputError(f"{folder.path} has no signatures on version {history.last.version + 1}: name the files")
    _gathered(changes, folder, history)


def _given(files: list[Path] | None, folder: Folder, history: History) -> list[Change]:
    """The signatures that were named and those in the folder: one payload, of the next version, each signature good."""
    version = history.last.version + 1
    named = [read_change(path) for path in files or ()]
    for path, change in zip(files or (), named, strict=True):
        if change.document.version != version:
            raise InputError(f"{path} is version {change.document.version}, and the next one here is {version}")
    changes = [*named, *map(read_change, folder.parts(version))]
    if not changes:
        return []
    proven(together(changes), history.last)
    draft = folder.next_document(history)
    if draft is not None and draft != changes[0].document:
        raise InputError(
            f"{folder.draft(version)} says something else than what was signed: move the one that is not meant away"
        )
    return changes


def _first_payload(folder: Folder, history: History, signer: SigningKey) -> tuple[bytes, TrustDocument]:
    draft = folder.next_document(history)
    if draft is None:
        raise InputError(
            f"{folder.path} has no draft of version {history.last.version + 1}: "
            "begin with `loactl trust add | retire | revoke`, or name what another root has signed"
        )
    return payload(draft, history.last, signer, iat=wall_s(), jti=orders.new_jti()), draft


def _gathered(changes: list[Change], folder: Folder, history: History) -> None:
    """Keep the signatures; say what is there and what is missing.

    Raises:
        typer.Exit: 1 while something is missing, so that a script does not go on to send.
    """
    whole, missing = folder.gather(changes, history)
    version = whole.document.version
    print(f"signed by / đã ký: {', '.join(proven(whole, history.last))}")
    if not missing:
        print(f"{folder.signed(version)}: complete / đủ chữ ký")
        complain("next / tiếp theo: loactl trust send")
        return
    print(f"still missing / còn thiếu: {'; '.join(missing)}")
    names = ", ".join(path.name for path in folder.parts(version))
    complain(f"give these to the other roots, who sign them: {names} / đưa các tệp này cho người giữ khóa gốc khác ký")
    raise typer.Exit(EXIT_FAILED)
