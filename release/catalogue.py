"""Sentences of the sources into agent/locale: `make words` brings .po and .mo up to date.

A `Sentence("...")` in agent/ is a message. New ones come into the .po untranslated, those that are gone leave it, all
others stay as the translator wrote them; then the .mo is compiled. Tests hold all three together.
"""

import ast
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from agent.messages.reasons import Reason

ROOT: Final = Path(__file__).parent.parent
PO: Final = ROOT / "agent/locale/vi/LC_MESSAGES/loa.po"
MO: Final = PO.with_suffix(".mo")
KEYWORD: Final = "Sentence"


HEADER: Final = """\
# Loa in Vietnamese. Messages come from the sources by `make words`; write translations here.
# Loa tiếng Việt. Câu gốc lấy từ mã nguồn bằng `make words`; bản dịch viết ở đây.
msgid ""
msgstr ""
"Project-Id-Version: loa\\n"
"Language: vi\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""
"""Without dates and versions, which would change by themselves."""


class NotLiteralError(ValueError):
    """A template that is made at run time: no catalogue can hold it."""


def sentences() -> Iterator[tuple[str, str]]:
    """(file, template) of every sentence in agent/, and what each reason means.

    Raises:
        NotLiteralError: with file and line.
    """
    for path in sorted((ROOT / "agent").rglob("*.py")):
        for template in templates(path.read_text("utf-8"), path.relative_to(ROOT).as_posix()):
            yield path.relative_to(ROOT).as_posix(), template
    for reason in Reason:
        yield "agent/messages/reasons.py", reason.meaning


def templates(source: str, name: str) -> Iterator[str]:
    """The templates in one source text, in its order.

    Raises:
        NotLiteralError: with name and line.
    """
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if isinstance(node.func, ast.Name) and node.func.id == KEYWORD:
            first = node.args[0] if node.args else None
            if not isinstance(first, ast.Constant) or not isinstance(first.value, str) or not first.value:
                raise NotLiteralError(f"{name}:{node.lineno}: a sentence's template must be written out")
            yield first.value


def template_catalogue() -> Catalog:
    """Every message of the sources, untranslated."""
    catalogue = Catalog(locale="vi", project="loa", charset="utf-8", fuzzy=False)
    for file, template in sentences():
        catalogue.add(template, locations=[(file, 1)])
    return catalogue


def read_catalogue() -> Catalog:
    """What the translator has written."""
    with PO.open("rb") as file:
        return read_po(file, locale="vi", abort_invalid=True)


class _Lasting(Catalog):
    """Without the hour and Babel's version in its header: the same messages always give the same bytes."""

    mime_headers = [("Content-Type", "text/plain; charset=utf-8"), ("Language", "vi")]  # type: ignore[override]  # noqa: RUF012


def compiled(catalogue: Catalog) -> bytes:
    """The same as gettext reads it."""
    lasting = _Lasting(locale="vi")
    for message in catalogue:
        if message.id:
            lasting.add(message.id, message.string)
    packed = io.BytesIO()
    write_mo(packed, lasting)
    return packed.getvalue()


def update() -> list[str]:
    """Bring both files up to date; the messages that still lack a translation."""
    catalogue = read_catalogue() if PO.exists() else template_catalogue()
    catalogue.update(template_catalogue(), no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    PO.parent.mkdir(parents=True, exist_ok=True)
    text = io.BytesIO()
    write_po(text, catalogue, width=118, include_lineno=False, omit_header=True)
    PO.write_bytes(HEADER.encode() + text.getvalue())
    MO.write_bytes(compiled(read_catalogue()))
    return [str(message.id) for message in read_catalogue() if message.id and not message.string]


if __name__ == "__main__":
    untranslated = update()
    for message in untranslated:
        print(f"not translated: {message}")
    sys.exit(1 if untranslated else 0)
