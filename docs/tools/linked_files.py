"""A hook of MkDocs: what pages link to beside docs/ (recipes, tables, notebooks) becomes a part of the site.

So a link such as `../examples/recipes/s4.yaml` leads to the file in the repository and on the site alike.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_TARGET = re.compile(r"(?<=\]\()(?!https?:)[^)#\s]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every file outside docs/ that is in the navigation, or linked from a page that is shown."""
    in_navigation = re.findall(r"'([\w/.-]+\.md)'", str(config.nav))
    wanted = [_ROOT / name for name in in_navigation if not (_DOCS / name).exists()]
    for page in files.documentation_pages():
        wanted += _linked_from(Path(page.abs_src_path or ""))
    while wanted:
        path = wanted.pop()
        name = _place_on_site(path)
        if path.is_file() and files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(path)))
            wanted += _linked_from(path) if path.suffix == ".md" else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turns the links of the repository into those of the site."""
    source = Path(page.file.abs_src_path or "")
    here = Path(page.file.src_uri).parent

    def on_site(link: re.Match[str]) -> str:
        path = (source.parent / link[0]).resolve()
        return os.path.relpath(_place_on_site(path), here) if path.is_file() else link[0]

    return _TARGET.sub(on_site, markdown)


def _linked_from(page: Path) -> list[Path]:
    text = page.read_text(encoding="utf-8")
    return [(page.parent / target).resolve() for target in _TARGET.findall(text)]


def _place_on_site(path: Path) -> str:
    """Where a file stands on the site, whose root are both docs/ and the repository."""
    return path.relative_to(_DOCS if _DOCS in path.parents else _ROOT).as_posix()
