"""YAML with the place of everything in it, so that each mistake is told with file, line and column.

Reads one file; nothing is converted: what a scalar means, its reader decides.
"""

from pathlib import Path

import yaml

from control.problems import InputError

MAX_FILE_BYTES = 4 * 1024 * 1024
"""A province's 50,000 public keys take less than this."""


def text_of(path: Path) -> str:
    """The text of a small file of ours.

    Raises:
        FileNotFoundError: no such file.
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None


def root_of(text: str, place: Path) -> yaml.MappingNode | None:
    """The mapping that a file is; None where it is empty.

    Raises:
        InputError: with file, line and column.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{place}:{mark.line + 1}:{mark.column + 1}" if mark else str(place)
        raise InputError(f"{where}: not YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise InputError(f"{place}: not YAML") from None
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise InputError(f"{at(root, place)}: write `key: value` lines")
    return root


def pairs(root: yaml.MappingNode, place: Path) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values in the order of the file.

    Raises:
        InputError: a key is no plain word.
    """
    for key, _ in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{at(key, place)}: a key is a plain word")
    return root.value  # type: ignore[no-any-return]


def one_text(node: yaml.Node, name: str, place: Path) -> str:
    """The text of a scalar that is not empty.

    Raises:
        InputError: it is a list, a mapping, or nothing.
    """
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise InputError(f"{at(node, place)}: {name} is one piece of text")
    return str(node.value)


def at(node: yaml.Node, place: Path) -> str:
    """FILE:LINE:COLUMN of a node."""
    return f"{place}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
