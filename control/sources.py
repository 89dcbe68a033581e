"""`--file`, `--uri`, `--relay`, `--builtin` in the order they were typed: what a node tries, one after another.

Pure: the measuring of files is an argument.
"""

from collections.abc import Callable, Iterator, Sequence

from control.problems import InputError
from control.recordings import Recording, is_uri

MAX_SOURCES = 4
"""Protocol section 4."""

SourceMembers = dict[str, dict[str, object]]


def in_order(
    order: Sequence[str],
    *,
    files: Sequence[str],
    uris: Sequence[str],
    relays: Sequence[str],
    builtins: Sequence[str],
    measure: Callable[[str], Recording],
) -> list[SourceMembers]:
    """The sources as members of a `play`; `order` names an option for each time it was typed.

    The first `--uri` belongs to the first local `--file`, and so on; a `--file` that is an http(s) address needs none.

    Raises:
        InputError: no source, more than four, or files and addresses that do not pair.
    """
    _require_pairs(files, uris, "--file")
    addresses = iter(uris)
    taken: dict[str, Iterator[SourceMembers]] = {
        "file": (_file(name, addresses, measure) for name in files),
        "relay": ({"relay": {"uri": uri}} for uri in relays),
        "builtin": ({"builtin": {"name": name}} for name in builtins),
    }
    if not 1 <= (count := len(files) + len(relays) + len(builtins)) <= MAX_SOURCES:
        raise InputError(f"a play has 1 to {MAX_SOURCES} sources (--file with --uri, --relay, --builtin), not {count}")
    return [next(taken[option]) for option in order if option in taken]


def of_files(files: Sequence[str], uris: Sequence[str], measure: Callable[[str], Recording]) -> list[SourceMembers]:
    """Files alone, paired with their addresses as in `in_order`.

    Raises:
        InputError: files and addresses that do not pair.
    """
    _require_pairs(files, uris, "file")
    addresses = iter(uris)
    return [_file(name, addresses, measure) for name in files]


def _require_pairs(files: Sequence[str], uris: Sequence[str], what: str) -> None:
    local = sum(not is_uri(name) for name in files)
    if local != len(uris):
        raise InputError(
            f"{local} local {what} but {len(uris)} --uri: each local file needs the address nodes fetch it from"
        )


def _file(name: str, addresses: Iterator[str], measure: Callable[[str], Recording]) -> SourceMembers:
    uri = name if is_uri(name) else next(addresses)
    if not is_uri(uri):
        raise InputError(f"--uri {uri!r} must begin with https:// or http://")
    recording = measure(name)
    return {"file": {"uri": uri, "sha256": recording.sha256, "bytes": recording.bytes}}
