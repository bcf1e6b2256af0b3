"""A hook of MkDocs: what pages link to beside docs/ (recipes, tables, notebooks) becomes a part of the site.

So a link such as `../examples/recipes/s4.yaml` leads to the file in the repository and on the site alike. A notebook
becomes a page, with the outputs that it was stored with.
"""

import json
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_TARGET = re.compile(r"(?<=\]\()(?!https?:|data:)[^)#\s]+")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds every file outside docs/ that is in the navigation, or linked from a page that is shown."""
    in_navigation = re.findall(r"'([\w/.-]+\.md)'", str(config.nav))
    wanted = [_ROOT / name for name in in_navigation if not (_DOCS / name).exists()]
    for page in files.documentation_pages():
        wanted += _linked_from(Path(page.abs_src_path or ""))
    while wanted:
        path = wanted.pop()
        place = _place_on_site(path)
        if not path.is_file() or files.get_file_from_path(place) is not None:
            continue
        if path.suffix == ".ipynb":
            files.append(File.generated(config, place, content=_page_of_notebook(path)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(path)))
        wanted += _linked_from(path) if path.suffix in (".md", ".ipynb") else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turns the links of the repository into those of the site."""
    place = Path(page.file.src_uri)
    source = Path(page.file.abs_src_path or (_ROOT / place).with_suffix(".ipynb"))

    def on_site(link: re.Match[str]) -> str:
        path = (source.parent / link[0]).resolve()
        return os.path.relpath(_place_on_site(path), place.parent) if path.is_file() else link[0]

    return _TARGET.sub(on_site, markdown)


def _linked_from(page: Path) -> list[Path]:
    text = _page_of_notebook(page) if page.suffix == ".ipynb" else page.read_text(encoding="utf-8")
    return [(page.parent / target).resolve() for target in _TARGET.findall(text)]


def _place_on_site(path: Path) -> str:
    """Where a file stands on the site, whose root are both docs/ and the repository."""
    place = path.relative_to(_DOCS if _DOCS in path.parents else _ROOT)
    return (place.with_suffix(".md") if path.suffix == ".ipynb" else place).as_posix()


def _page_of_notebook(path: Path) -> str:
    """The cells of a notebook as Markdown, each with what it printed and the pictures that it gave."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if output.get("name") == "stdout":
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            for kind, data in output.get("data", {}).items():
                if kind.startswith("image/"):
                    picture = "".join("".join(data).split())
                    parts.append(f"![What the cell above shows](data:{kind};base64,{picture})")
    return "\n\n".join(parts)
