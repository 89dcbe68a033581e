"""YAML as text: what is refused of it, where, and that nothing whatever raises anything but a ConfigError."""

import os
from functools import partial
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import ConfigError, load_config, load_trust
from agent.configuration.problems import MAX_FILE_BYTES
from agent.configuration.yaml_text import Mapping, Refused, Scalar, Sequence, Value, read_tree
from tests.node_files import NODE, TRUST, make_folder, told_about_node

NOBODY = 65_534
QUOTES_OR_INDENT = "put the text in quotes, or line the key up with its neighbours"

MISTAKES = [
    ("node: hd-03", 'node: "\\UFFFFFFFF"', "1:10: a number here is too large for YAML", "write a smaller one"),
    ("node: hd-03", 'node: "\\d"', "1:9: this is no escape", "write \\\\ for a backslash, or take single quotes"),
    ("node: hd-03", "node: !!str hd-03", "1:7: tags are not read here", "remove !!str, and put texts in quotes"),
    ("node: hd-03", "node: hd-03\nnode: hd-04", "2:1: node stands twice, first in line 1", "keep one of them"),
    ("node: hd-03", "node: hd-03\n? [a]\n: b", "2:3: a key must be one word", "write name: value"),
    ("node: hd-03", "<<: {a: b}\nnode: hd-03", "1:1: merge keys are not read here", "write the keys out"),
    (
        "node: hd-03",
        "%YAML 1.1\n---\nnode: hd-03",
        "1:1: directives are not read here",
        "remove the line that begins with %",
    ),
    (
        "active: high}",
        "active: high}\n---\nnode: b",
        "14:1: a second document begins here",
        "keep one document in the file",
    ),
    ("  ca: ca.pem", "\tca: ca.pem", "6:1: a tab stands here, where YAML takes only spaces", "write spaces"),
    ("node: hd-03", "node: 'hd-03", "1:7: a quote is opened here and never closed", "write the closing quote"),
    (
        "[thon-2]",
        "[thon-2",
        "4:5: a list is not closed before this",
        "write ] after its last entry, and commas between",
    ),
    (
        "{factory: lgpio}",
        "{factory: lgpio",
        "12:10: a mapping is not closed before this",
        "write } after its last entry, and commas between",
    ),
    ("node: hd-03", "node hd-03", "2:5: a colon stands where none can be", QUOTES_OR_INDENT),
    ("node: hd-03", "node: hd: 03", "1:9: a colon stands where none can be", QUOTES_OR_INDENT),
    ("node: hd-03", "node: @hd", "1:7: this character cannot begin a text", "put the text in quotes"),
    (
        "  ca: ca.pem",
        "   ca: ca.pem",
        "6:4: this line is not lined up with its neighbours",
        "indent it with as many spaces as they",
    ),
    (
        "  ca: ca.pem",
        " ca: ca.pem",
        "6:2: this line is not lined up with its neighbours",
        "indent it with as many spaces as they",
    ),
    ("node: hd-03", "node: hd\x01", "1:9: character U+0001 cannot stand in YAML", "remove it"),
    ("[thon-2]", "[[[[[[[[[[[a]]]]]]]]]]]", "3:16: nested deeper than 8 levels", "write it as the example shows"),
    (
        "active: high}",
        "active: high}\nclock: {}\nclock: {}",
        "15:1: clock stands twice, first in line 14",
        "keep one of them",
    ),
    ("[thon-2]", "*groups", "3:9: aliases are not read here", "write out again what *groups stands for"),
    ("[thon-2]", "&groups [thon-2]", "3:9: anchors are not read here", "remove &groups"),
    (
        "[thon-2]",
        "[thon-2, thon-3",
        "4:5: a list is not closed before this",
        "write ] after its last entry, and commas between",
    ),
]
"""What stands in NODE, what is written instead, what is told about it, and what to write."""


@pytest.fixture(scope="module")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("node"))


@pytest.fixture
def path(one_folder: Path) -> Path:
    """A sound node.yaml in a folder that all tests share, since none changes anything else there."""
    one_folder.write_text(NODE)
    return one_folder


@pytest.mark.parametrize(("old", "new", "told", "write"), MISTAKES)
def test_a_mistake_is_told_where_it_is_and_what_to_write(path: Path, old: str, new: str, told: str, write: str) -> None:
    assert old in NODE
    assert told_about_node(path, NODE.replace(old, new, 1)) == [f"{told}: {write}"]


EMPTY = "1:1: the file is empty: begin with the example file"


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (b"", EMPTY),
        (b"\n\n", EMPTY),
        (b"# only a remark\n", EMPTY),
        (b"\xef\xbb\xbfnode: a\n", "1:1: begins with a byte order mark: save it as UTF-8 without one"),
        ("node: a\n".encode("utf-16"), "1:1: is UTF-16: save it as UTF-8"),
        ("# xã\nnode: xã".encode("latin-1", "replace"), "1:4: byte 0xe3 is not UTF-8: save the file as UTF-8"),
        ("a: b\nđ: ".encode() + b"\xff", "2:4: byte 0xff is not UTF-8: save the file as UTF-8"),
        (
            b"#" * (MAX_FILE_BYTES + 1),
            "1:1: is larger than 65536 bytes: write only what the example file shows",
        ),
        (b"%YAML " + b"9" * 5_000 + b".1\n---\na: b", "1:7: a number here is too large for YAML: write a smaller one"),
    ],
)
def test_files_that_are_no_text_of_ours(path: Path, contents: bytes, told: str) -> None:
    assert told_about_node(path, contents) == [told]


KEYS = (
    "node, site, groups, mqtt, trust, audio, gpio, amplifier, sources, speech, storage, clock, heartbeat_s, policy, "
    "timezone"
)


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n", "is a list"), ("hello\n", "is hello"), ("7\n", "is 7"), ("~\n", "is empty"), ("--- \n", "is empty")],
)
def test_the_top_must_be_a_group_of_keys(path: Path, text: str, found: str) -> None:
    (told,) = told_about_node(path, text)
    assert told.partition(": ")[2] == f"the file {found}: write a group of keys ({KEYS})"


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(path.parent / "gone.yaml")
    reason = "cannot be read (No such file or directory): write this file, or name another one"
    assert str(raised.value) == f"{path.parent}/gone.yaml:1:1: {reason}"


def test_a_file_that_is_for_others_alone(path: Path) -> None:
    """A technician without sudo: /etc/loa is root's and the agent's."""
    path.chmod(0)
    user = os.geteuid()
    os.seteuid(NOBODY if user == 0 else user)
    try:
        with pytest.raises(ConfigError) as raised:
            load_config(path)
    finally:
        os.seteuid(user)
    assert str(raised.value) == f"{path}:1:1: cannot be read (Permission denied): say it with sudo"


def test_a_folder_or_a_pipe_is_no_file(path: Path) -> None:
    os.mkfifo(path.parent / "pipe")
    for name in (".", "pipe"):
        with pytest.raises(ConfigError, match="is not a file: name the file itself"):
            load_config(path.parent / name)


def test_a_path_that_no_system_can_hold(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path.parent / "a\0b")


def test_a_file_of_the_largest_size_is_read(path: Path) -> None:
    path.write_text(NODE + "#" * (MAX_FILE_BYTES - len(NODE)))
    assert load_config(path).node == "hd-03"


def test_a_leading_marker_and_an_end_marker_are_yaml_too(path: Path) -> None:
    assert told_about_node(path, f"---\n{NODE}...\n") == []


def test_an_anchor_and_its_alias_are_both_told(path: Path) -> None:
    assert told_about_node(path, NODE.replace("[thon-2]", "&g [thon-2]") + "heartbeat_s: *g\n") == [
        "3:9: anchors are not read here: remove &g",
        "14:14: aliases are not read here: write out again what *g stands for",
    ]


def test_control_characters_never_reach_the_terminal(path: Path) -> None:
    text = NODE + '"\\e[2Ja": 1\nheartbeat_s: "\\e[31m"\n"\\e": 1\n"\\e": 2\nx: !<a%1b> b\n'
    told = told_about_node(path, text)
    assert len(told) == 6
    assert all(one.isprintable() for one in told)


# Positions ----------------------------------------------------------------------------------------------------------


def _scalars(value: Value) -> list[Scalar]:
    if isinstance(value, Scalar):
        return [value]
    if isinstance(value, Sequence):
        return [scalar for one in value.values for scalar in _scalars(one)]
    assert isinstance(value, Mapping)
    return [scalar for key, one in value.entries for scalar in (key, *_scalars(one))]


def test_every_word_stands_where_the_tree_says() -> None:
    text = NODE + "# xã Hoằng Đạo\nđài: {ô: [ă, â], 'ê': \"ơ\"}\n"
    tree, found = read_tree(text)
    lines = text.splitlines()
    assert found == []
    scalars = _scalars(tree)
    assert len(scalars) == 35
    for scalar in scalars:
        rest = lines[scalar.position.line - 1][scalar.position.column - 1 :]
        assert rest.lstrip("'\"").startswith(scalar.text)
        assert scalar.plain == (rest[0] not in "'\"")


ANYTHING = settings(deadline=None, max_examples=60)
"""No deadline for one example: the machine may be busy with other tests."""

# Anything at all ----------------------------------------------------------------------------------------------------

_NAMES = "node site mqtt brokers trust audio device gpio factory amplifier keys kid roots policy quiet_hours"
_TRAPS = "on 017 5:00 ~ .nan 0x1f 2026-01-01 << * & ! | > % @ ` - ? : , [ ] { } # ' \" --- ... !!str &a *a \\ đ"
_words = st.sampled_from([*_NAMES.split(), *_TRAPS.split(), "\t", "\n", "\n  ", "\n    ", "\x85", "\u2028", ""])
_yaml_like = st.lists(_words | st.text(max_size=3), max_size=60).map(" ".join)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)
_slips = st.lists(st.tuples(st.integers(0, len(NODE)), st.integers(0, 3), _words), min_size=1, max_size=4)


def _only_config_errors(path: Path, contents: bytes) -> None:
    path.write_bytes(contents)
    lines = max(1, len(contents.decode("utf-8", "replace").splitlines()))
    for load in (load_config, partial(load_trust, site="hoang-dao")):
        try:
            load(path)
        except ConfigError as error:
            problems = error.problems
        else:
            continue
        assert problems
        assert all(1 <= one.line <= lines + 1 and one.column >= 1 for one in problems)
        assert all(one.text.isprintable() and ": " in one.text for one in problems)


@given(contents=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | _yaml_like.map(str.encode))
@ANYTHING
def test_no_text_raises_anything_but_a_config_error(one_folder: Path, contents: bytes) -> None:
    _only_config_errors(one_folder, contents)


@given(sections=st.dictionaries(st.sampled_from(["node", "mqtt", "amplifier", "policy", "audio"]), _values))
@ANYTHING
def test_no_wrong_section_raises_anything_but_a_config_error(one_folder: Path, sections: dict[str, object]) -> None:
    whole = yaml.safe_load(NODE) | sections
    _only_config_errors(one_folder, yaml.safe_dump(whole, allow_unicode=True).encode())


@given(slips=_slips, text=st.sampled_from([NODE, TRUST]))
@ANYTHING
def test_no_slip_of_the_hand_raises_anything_but_a_config_error(
    one_folder: Path, slips: list[tuple[int, int, str]], text: str
) -> None:
    for start, length, word in slips:
        text = text[:start] + word + text[start + length :]
    _only_config_errors(one_folder, text.encode())


def test_refused_values_are_told_once_and_not_again_as_wrong_ones() -> None:
    tree, found = read_tree("a: !!int 5\nb: *x\n")
    assert isinstance(tree, Mapping)
    assert [type(value) for _, value in tree.entries] == [Refused, Refused]
    assert len(found) == 2
