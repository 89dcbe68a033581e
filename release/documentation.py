"""What MkDocs is told beyond mkdocs.yml: pages link to files that lie outside docs/, such as the examples.

Each such file becomes a file of the site, so that a page has the same links on paper, in the checkout and on the site.
MkDocs calls `on_files` and `on_page_markdown`, on its one thread.
"""

import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]

OUTSIDE: Final = re.compile(r"\]\((?P<up>(?:\.\./)+)(?P<path>[A-Za-z][\w./-]*)\)")
"""A link that leaves the page's folder upwards."""


def outside(page: Path, text: str) -> list[Path]:
    """The files outside docs/ that this page links to. Raises FileNotFoundError where one is not there."""
    found = [(page.parent / match["up"] / match["path"]).resolve() for match in OUTSIDE.finditer(text)]
    for path in found:
        if not path.exists():
            raise FileNotFoundError(f"{page}: links to {path}, which does not exist")
    return [path for path in found if (ROOT / "docs") not in path.parents and path.is_file()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the linked files in, as they are, under `checkout/`."""
    for page in list(files.documentation_pages()):
        assert page.abs_src_path is not None
        source = Path(page.abs_src_path)
        for path in outside(source, source.read_text("utf-8")):
            name = f"checkout/{path.relative_to(ROOT)}.txt"
            if files.get_file_from_path(name) is None:
                files.append(File.generated(config, name, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Let such links lead there."""
    source = Path(config.docs_dir) / page.file.src_uri
    depth = page.file.src_uri.count("/")

    def moved(match: re.Match[str]) -> str:
        path = (source.parent / match["up"] / match["path"]).resolve()
        if not path.is_file() or Path(config.docs_dir) in path.parents:
            return match[0]
        return f"]({'../' * depth}checkout/{path.relative_to(ROOT)}.txt)"

    return OUTSIDE.sub(moved, markdown)
