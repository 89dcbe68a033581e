"""The Vietnamese catalogue: every sentence of the sources in it, with the same placeholders, compiled as it stands."""

import re
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message

from agent.commands.language import LOCALE, Language, choose, spoken_by
from agent.config import ConfigError, load_config, load_trust
from agent.messages.sentences import Sentence
from release.catalogue import MO, PO, NotLiteralError, compiled, read_catalogue, sentences, templates
from tests.node_files import NODE, TRUST, make_folder
from tests.node_mistakes import MISTAKES
from tests.test_config_trust import MISTAKES as TRUST_MISTAKES

MESSAGES = [message for message in read_catalogue() if message.id]
VIETNAMESE = Language("vi")


def placeholders(template: str) -> list[tuple[str, str]]:
    """What is put in where, in braces and by percent signs; in any order, as another language has another."""
    braces = [(name, conversion or "") for _, name, _, conversion in Formatter().parse(template) if name is not None]
    return sorted(braces + [(found, "%") for found in re.findall(r"%(?:\(\w+\))?[srd]", template)])


def test_the_catalogue_holds_the_sentences_of_the_sources_and_no_other() -> None:
    assert {str(message.id) for message in MESSAGES} == {template for _, template in sentences()}
    assert len(MESSAGES) > 200


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: str(message.id)[:40])
def test_every_sentence_is_translated_with_the_same_placeholders(message: Message) -> None:
    english, vietnamese = str(message.id), str(message.string)
    assert vietnamese
    assert not message.fuzzy
    assert placeholders(vietnamese) == placeholders(english)
    assert vietnamese.endswith("\n") == english.endswith("\n")
    assert vietnamese.startswith(" ") == english.startswith(" ")


def test_what_is_compiled_is_what_is_written() -> None:
    assert MO.read_bytes() == compiled(read_catalogue()), "run make words"
    assert PO.is_relative_to(LOCALE)


def test_other_placeholders_would_be_seen() -> None:
    assert placeholders("{a} of {b!r}, {{c}}") == [("a", ""), ("b", "r")]
    assert placeholders("%(prog)s: %s") == [("%(prog)s", "%"), ("%s", "%")]
    assert placeholders("{a}") != placeholders("{b}")
    assert placeholders("{a!r}") != placeholders("{a}")


@pytest.mark.parametrize(
    "source", ["Sentence(told)", "Sentence(f'{a}')", "Sentence('a' + b)", "Sentence()", "Sentence('')"]
)
def test_a_template_that_is_made_at_run_time_is_refused(source: str) -> None:
    with pytest.raises(NotLiteralError, match=r"^x\.py:2: "):
        list(templates(f"\n{source}\n", "x.py"))


def test_templates_are_found_in_the_order_of_the_source() -> None:
    assert list(templates("f(Sentence('a ' 'b', x=Sentence('c')), Sentence('d'))", "x.py")) == ["a b", "c", "d"]


# Sentences ----------------------------------------------------------------------------------------------------------


def test_a_sentence_is_english_text_and_can_be_said_in_other_words() -> None:
    words = {"{name} is {what}": "{what}: {name}", "a list": "danh sách"}
    said = Sentence("{name} is {what}", name="groups", what=Sentence("a list"))
    assert said == "groups is a list"
    assert said.in_words_of(lambda template: words.get(template, template)) == "danh sách: groups"
    assert sorted([said, "a"]) == ["a", said]
    assert len({said, "groups is a list"}) == 1


def test_what_somebody_wrote_is_no_template() -> None:
    said = Sentence("{name} is wrong", name="{name} {other}")
    assert said == "{name} {other} is wrong"
    assert said.in_words_of(lambda template: template) == said


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        *(("node.yaml", old, new) for old, new, _, _ in MISTAKES),
        *(("trust.yaml", old, new) for old, new, _, _ in TRUST_MISTAKES),
    ],
)
def test_every_mistake_of_the_tables_is_told_in_vietnamese(tmp_path: Path, file: str, old: str, new: str) -> None:
    path = make_folder(tmp_path)
    text = (NODE if file == "node.yaml" else TRUST).replace(old, new, 1)
    (path.parent / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigError) as raised:
        load_config(path) if file == "node.yaml" else load_trust(path.parent / file, "hoang-dao")
    for problem in raised.value.problems:
        place = f"{problem.file}:{problem.line}:{problem.column}: "
        told = VIETNAMESE.problem(problem)
        assert told.startswith(place)
        assert told != str(problem)
        assert re.search(r"[À-ỹ]", told), told
        assert not re.search(r" (write|remove|such as|is|has|missing) ", told), told


# Whose language -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "vi"}, "vi"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "vi_VN"}, "vi"),
        ({"LANG": "vi_VN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "vi_VN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "vi_VN.UTF-8", "LC_ALL": ""}, "vi"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "vic_XX"}, "en"),
    ],
)
def test_the_environment_says_whose_language(environment: dict[str, str], code: str) -> None:
    assert spoken_by(environment) == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "--lang", "vi"], "vi"),
        (["--lang=vi", "check"], "vi"),
        (["check", "--lang", "fr"], "en"),
        (["check", "--lang"], "en"),
        (["check"], "en"),
    ],
)
def test_an_option_says_it_louder(arguments: list[str], code: str) -> None:
    assert choose(arguments, {"LANG": "en_US.UTF-8"}).code == code
    assert choose([*arguments, "--lang", "en"], {"LANG": "vi_VN.UTF-8"}).code == "en"


def test_english_needs_no_catalogue() -> None:
    assert (
        Language("en").text(Sentence("{name} is missing: write {write}", name="a", write="b"))
        == "a is missing: write b"
    )
